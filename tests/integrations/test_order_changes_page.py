"""The table of an order's page that says what the customer changed after paying."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import Session

from models import change
from models.change import ChangeKind, ChangeState
from tests.integrations.portal_server import (
    Browser,
    an_order_of,
    committed,
    now,
    running_portal,
    signed_in,
)

REGION = "广东省深圳市南山区"


@pytest.fixture
def browser(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    with running_portal(database_url, monkeypatch) as portal, signed_in(portal) as person:
        yield person


def test_an_order_that_nobody_changed_has_no_table(browser: Browser) -> None:
    an_order_of("SH-1001")
    assert "客户改了什么" not in browser.get("/orders/SH-1001").text


def test_every_change_is_a_row_with_what_was_what_is_and_what_we_did(browser: Browser) -> None:
    # given a line that was lessened, a waybill made anew, money paid back, and an edit that came too late
    order = an_order_of("SH-1001")

    def work(session: Session) -> None:
        def record(kind: ChangeKind, before: dict[str, object], after: dict[str, object], **how: object) -> None:
            change.record(session, order.order_id, kind, before, after, "platform:shopify", now(), **how)  # type: ignore[arg-type]

        lines = {"lines": {"1 CAN-400": 3}, "total_fen": 6_000}
        record(ChangeKind.LINES, lines, {"lines": {"1 CAN-400": 2}, "total_fen": 4_000}, applied=True)
        record(ChangeKind.ADDRESS, {"region": REGION}, {"region": REGION, "shipments": ["SH-1001-1"]}, applied=True)
        record(ChangeKind.REFUND, {"refunded_fen": 0}, {"refunded_fen": 123_456}, applied=True, amount_fen=123_456)
        record(ChangeKind.LINES, {"total_fen": 4_000}, {"total_fen": 3_000}, applied=True)
        record(ChangeKind.LINES, {"lines": {"2 BED-7": 1}}, {"lines": {"2 BED-7": 0}})
        change.close(session, change.asked(session, order.order_id), ChangeState.BY_HAND, now())

    committed(work)
    # when
    page = browser.get("/orders/SH-1001").text
    table = page.partition('id="changes"')[2].partition("</table>")[0]
    # then
    rows = table.split("<tr>")[2:]
    assert len(rows) == 5
    for row, shown in zip(
        rows,
        [
            ("商品", "第 2 行 BED-7 × 1", "第 2 行 BED-7 × 0", "转人工拦截"),
            ("商品", "订单金额 40.00 元", "订单金额 30.00 元", "要发的商品不变"),
            ("平台退款", "累计已退 0.00 元", "累计已退 1,234.56 元", "不再重复退"),
            ("收货地址", REGION, "门牌、收件人或电话有变", "已撤回运单 SH-1001-1"),
            ("商品", "第 1 行 CAN-400 × 3;订单金额 60.00 元", "第 1 行 CAN-400 × 2;订单金额 40.00 元", "已按改后"),
        ],
        strict=True,
    ):
        assert [word for word in shown if word not in row] == []


def test_what_a_platform_says_is_only_text_on_the_page(browser: Browser) -> None:
    order = an_order_of("SH-1001")
    evil = "<script>alert(1)</script>13812345678"

    def work(session: Session) -> None:
        kind, after = ChangeKind.ADDRESS, {"region": evil, "shipments": [evil]}
        change.record(session, order.order_id, kind, {"region": "x"}, after, "platform:shopify", now(), applied=True)
        lines = {"lines": {f"1 {evil}": 1}}
        change.record(session, order.order_id, ChangeKind.LINES, lines, lines, "platform:shopify", now())

    committed(work)
    page = browser.get("/orders/SH-1001").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;138****5678" in page
    assert "正在处理" in page
