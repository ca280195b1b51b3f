"""The staff pages over real HTTP: what each shows, what each button does, and whose name is in the timeline."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session

from models import hold
from models.effect import WAYBILL, begin
from models.order import Order
from models.quality import Fault
from models.quarantine import set_aside
from models.review import ReviewCase
from models.timeline import EventKind
from tests.integrations.portal_server import (
    RECEIVER,
    Browser,
    Portal,
    Seeded,
    an_account,
    an_order_of,
    committed,
    now,
    one,
    running_portal,
    signed_in,
    with_hold,
    with_parcel,
    with_review,
    with_work_order,
)


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    monkeypatch.setenv("ORDERLOOM_PREFECT_UI_URL", "http://prefect.test:4200/")
    with running_portal(database_url, monkeypatch) as running:
        yield running


@pytest.fixture
def browser(portal: Portal) -> Iterator[Browser]:
    """王敏, who may do everything."""
    with signed_in(portal) as person:
        yield person


def later(hours: float = 2) -> dict[str, Any]:
    return {"ready_at": now() + timedelta(hours=hours)}


def said(browser: Browser, page: str) -> str:
    """The sentence that a page says once."""
    text = browser.get(page).text
    return text.partition('role="status">')[2].partition("</p>")[0]


def order_now(seeded: Seeded) -> Order:
    return committed(lambda s: s.get_one(Order, seeded.order_id))


def test_board_counts_orders_by_stage_and_reason(browser: Browser) -> None:
    for order_no in ("SH-1001", "SH-1002"):
        an_order_of(order_no, stage="approved", waiting_on="production", **later())
    an_order_of("SH-1003", stage="reserved", waiting_on="review", **later())
    page = browser.get("/").text
    assert 'href="/?stage=approved&amp;waiting=production#list"' in page
    assert 'href="/?stage=reserved&amp;waiting=review#list"' in page
    assert "<b>3</b><span>进行中</span>" in page
    for number in ("SH-1001", "SH-1002", "SH-1003"):
        assert f'href="/orders/{number}"' in page


def test_board_without_orders_says_so(browser: Browser) -> None:
    page = browser.get("/").text
    assert "没有进行中的订单" in page
    assert "没有符合条件的订单" in page


def test_board_warns_when_nobody_takes_what_is_ready(browser: Browser) -> None:
    an_order_of(ready_at=now() - timedelta(minutes=5))
    assert "有 1 件已经就绪 2 分钟以上却没有人处理" in browser.get("/").text


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("stage=reserved", {"SH-1001"}),
        ("waiting=production", {"SH-1002"}),
        ("waiting=moving", {"SH-1003"}),
        ("q=sh-1002", {"SH-1002"}),
        ("q=%231003", {"SH-1003"}),
        ("channel=douyin", set()),
        ("stage=nonsense&waiting=nonsense", {"SH-1001", "SH-1002", "SH-1003"}),
        ("q=%00", set()),
        ("page=-1", {"SH-1001", "SH-1002", "SH-1003"}),
        ("page=99999999999999999999", set()),
    ],
)
def test_list_is_narrowed_by_what_is_asked(browser: Browser, asked: str, shown: set[str]) -> None:
    an_order_of("SH-1001", stage="reserved", waiting_on="review", **later())
    an_order_of("SH-1002", stage="approved", waiting_on="production", **later())
    an_order_of("SH-1003")
    answer = browser.get(f"/?{asked}")
    assert answer.status_code == 200
    listed = answer.text.partition('id="orders"')[2]
    assert {number for number in ("SH-1001", "SH-1002", "SH-1003") if f'href="/orders/{number}"' in listed} == shown


def test_list_has_pages_of_fifty(browser: Browser) -> None:
    for number in range(51):
        an_order_of(f"SH-{2000 + number}", **later())
    first, second = browser.get("/?stage=received").text, browser.get("/?stage=received&page=2").text
    assert first.count('class="number"') == 50
    assert second.count('class="number"') == 1
    assert "/?stage=received&amp;page=2" in first
    assert "下一页" not in second


def test_order_page_shows_everything_but_the_person(browser: Browser) -> None:
    order = an_order_of(stage="approved", waiting_on="production", waiting_why="批次 B-1 制作中", **later())
    with_work_order(order)
    parcel = with_parcel(order, state="in_transit")
    with_hold(order)
    committed(lambda s: begin(s, WAYBILL, "waybill-SH-1001-1", b"secret bytes", now(), order_id=order.order_id))
    page = browser.get("/orders/SH-1001").text
    for shown in (
        "为什么在这里,谁能推动,何时再看", "工厂正在生产。", "批次 B-1 制作中", "鲜食主粮 500g", "柯基犬", "过敏原",
        parcel.waybill_no, "运输中", "SH-1001-1-1", "批次 B-1", "出运单", "waybill-SH-1001-1", "进行中",
        "实付与应付不等", "从渠道接单 #1001", "Shopify", "王**", "138****5678", "520.00 元",
    ):  # fmt: skip
        assert shown in page, shown
    for hidden in (RECEIVER.name, RECEIVER.phone, RECEIVER.detail, "secret bytes"):
        assert hidden not in page


def test_order_is_found_by_the_name_its_channel_gives_it(browser: Browser) -> None:
    an_order_of("SH-1001")
    for asked in ("sh-1001", "%231001", "%20SH-1001"):
        answer = browser.get(f"/orders/{asked}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/orders/SH-1001")


def test_number_that_nobody_knows_is_explained(browser: Browser) -> None:
    for asked in ("SH-9999", "%00", "%F0%9F%90%B6", "%2e%2e", "x" * 500):
        answer = browser.get(f"/orders/{asked}")
        assert answer.status_code == 404
    assert "没有订单" in browser.get("/orders/SH-9999").text


def test_order_in_quarantine_is_explained_by_its_number(browser: Browser) -> None:
    faults = [Fault("address_missing", "没有收货地址:请在平台补全后重新拉取。")]
    committed(lambda s: set_aside(s, "douyin", "shop", "69199", faults, {"name": RECEIVER.name}, now()))
    page = browser.get("/orders/69199").text
    assert "没有收货地址" in page
    assert RECEIVER.name not in page


def test_waking_makes_the_order_ready_and_names_the_person(browser: Browser) -> None:
    order = an_order_of(stage="approved", waiting_on="production", **later())
    answer = browser.send_form("/orders/SH-1001", "/orders/SH-1001/wake")
    assert (answer.status_code, answer.headers["location"]) == (303, "/orders/SH-1001")
    assert "已唤醒订单 SH-1001" in said(browser, "/orders/SH-1001")
    assert said(browser, "/orders/SH-1001") == ""
    assert one("SELECT ready_at <= now() AND wake_seq = 1 FROM fulfilment")
    assert [event.actor for event in order.events(EventKind.RERUN)] == ["王敏"]


def test_finished_order_is_not_woken(browser: Browser) -> None:
    an_order_of("SH-1002", **later())
    order = an_order_of(stage="closed", ready_at=None)
    assert "现在再看一次" not in browser.get("/orders/SH-1001").text
    browser.send_form("/orders/SH-1002", "/orders/SH-1001/wake")
    assert "已经结束" in said(browser, "/orders/SH-1001")
    assert order.events(EventKind.RERUN) == []


def test_cancelling_asks_once_and_names_the_person(browser: Browser) -> None:
    order = an_order_of(stage="reserved", waiting_on="review", **later())
    case = with_review(order)
    for _ in range(2):
        assert browser.send_form("/reviews", "/orders/SH-1001/cancel", reason="客户不要了").status_code == 303
    assert "已经在取消(客户不要了)" in said(browser, "/orders/SH-1001")
    assert order_now(order).cancel_reason == "客户不要了"
    assert [event.actor for event in order.events(EventKind.CANCEL_REQUESTED)] == ["王敏"]
    assert committed(lambda s: s.get_one(ReviewCase, case.id)).state == "withdrawn"
    assert one("SELECT ready_at <= now() AND fence = 1 FROM fulfilment")
    assert "取消订单…" not in browser.get("/orders/SH-1001").text


def test_cancelling_without_a_reason_changes_nothing(browser: Browser) -> None:
    order = an_order_of(**later())
    for reason in ("", "   ", "长" * 201):
        answer = browser.send_form("/orders/SH-1001", "/orders/SH-1001/cancel", reason=reason)
        assert answer.status_code == 400
    assert order_now(order).cancel_requested_at is None
    assert order.events(EventKind.CANCEL_REQUESTED) == []


def test_hold_is_released_by_the_person_who_pressed(browser: Browser) -> None:
    order = an_order_of(waiting_on="person", **later())
    with_hold(order, "paid_amount_differs")
    with_hold(order, "production_failed", "工厂报告生产失败")
    browser.send_form("/orders/SH-1001", "/orders/SH-1001/release", code="production_failed")
    assert "已解除暂停" in said(browser, "/orders/SH-1001")
    assert [h.code for h in committed(lambda s: hold.open_holds(s, order.order_id))] == ["paid_amount_differs"]
    assert [(e.actor, e.detail["code"]) for e in order.events(EventKind.HOLD_RELEASED)] == [
        ("王敏", "production_failed")
    ]
    browser.send_form("/orders/SH-1001", "/orders/SH-1001/release", code="production_failed")
    assert "已经解除过了" in said(browser, "/orders/SH-1001")
    assert len(order.events(EventKind.HOLD_RELEASED)) == 1


def test_releasing_without_saying_which_hold_releases_none(browser: Browser) -> None:
    order = an_order_of(**later())
    with_hold(order)
    assert browser.send_form("/orders/SH-1001", "/orders/SH-1001/release").status_code == 400
    assert len(committed(lambda s: hold.open_holds(s, order.order_id))) == 1


def test_action_on_an_order_that_does_not_exist_is_404(browser: Browser) -> None:
    an_order_of(**later())
    for action in ("wake", "cancel", "release"):
        answer = browser.send_form("/orders/SH-1001", f"/orders/SH-9/{action}", reason="x", code="x")
        assert answer.status_code == 404
        assert "没有订单 SH-9" in answer.text


def test_reviews_are_listed_most_urgent_first_with_their_run(browser: Browser) -> None:
    calm, urgent = an_order_of("SH-1001", **later()), an_order_of("SH-1002", **later())
    case = with_review(calm, 22)
    with_review(urgent, -30)

    def shown_in_prefect(session: Session) -> None:
        row = session.get_one(ReviewCase, case.id)
        row.run_id = "5b0f1e7c-0000-4000-8000-000000000000"

    committed(shown_in_prefect)
    page = browser.get("/reviews").text
    assert page.index("SH-1002") < page.index("SH-1001")
    assert "已超时" in page
    assert 'href="http://prefect.test:4200/runs/flow-run/5b0f1e7c-0000-4000-8000-000000000000"' in page
    assert "柯基犬" in page
    assert "金额 520.00 元,超过 500 元" in page


@pytest.mark.parametrize(
    ("verdict", "words"), [("approve", "批准"), ("ask_customer", "退回客户补充"), ("reject", "拒绝并取消")]
)
def test_review_is_decided_under_ones_own_name(browser: Browser, verdict: str, words: str) -> None:
    order = an_order_of(stage="reserved", waiting_on="review", **later())
    case = with_review(order)
    answer = browser.send_form("/reviews", f"/reviews/{case.id}", verdict=verdict, note="看过了", reviewer="别人")
    assert (answer.status_code, answer.headers["location"]) == (303, "/reviews")
    assert said(browser, "/reviews") == f"订单 SH-1001:{words}。"
    decided = committed(lambda s: s.get_one(ReviewCase, case.id))
    assert (decided.state, decided.verdict, decided.reviewer, decided.note) == ("decided", verdict, "王敏", "看过了")
    assert [event.actor for event in order.events(EventKind.REVIEW_DECIDED)] == ["王敏"]
    assert one("SELECT ready_at <= now() FROM fulfilment")


def test_second_and_late_verdicts_get_a_clear_sentence_and_change_nothing(portal: Portal, browser: Browser) -> None:
    order, gone = an_order_of("SH-1001", **later()), an_order_of("SH-1002", **later())
    case, withdrawn = with_review(order), with_review(gone)
    an_account("李华", "nutritionist")
    with Browser(portal) as other:
        other.sign_in("李华")
        token = other.token("/reviews")
        browser.send_form("/reviews", f"/reviews/{case.id}", verdict="approve")
        other.post(f"/reviews/{case.id}", data={"csrf": token, "verdict": "reject"})
        assert "已由 王敏 于" in said(other, "/reviews")
        browser.send_form("/orders/SH-1002", "/orders/SH-1002/cancel", reason="不要了")
        other.post(f"/reviews/{withdrawn.id}", data={"csrf": token, "verdict": "approve"})
        assert "不再需要审核" in said(other, "/reviews")
        other.post("/reviews/999", data={"csrf": token, "verdict": "approve"})
        assert "没有编号为 999 的审核" in said(other, "/reviews")
    assert committed(lambda s: s.get_one(ReviewCase, case.id)).verdict == "approve"
    assert len(order.events(EventKind.REVIEW_DECIDED)) == 1
    assert gone.events(EventKind.REVIEW_DECIDED) == []


def test_verdict_that_is_none_is_refused(browser: Browser) -> None:
    order = an_order_of(**later())
    case = with_review(order)
    for verdict in ("", "yes", "APPROVE"):
        assert browser.send_form("/reviews", f"/reviews/{case.id}", verdict=verdict).status_code == 400
    assert browser.send_form("/reviews", f"/reviews/{2**63}", verdict="approve").status_code == 404
    assert committed(lambda s: s.get_one(ReviewCase, case.id)).state == "open"


def test_quarantine_lists_reasons_and_never_the_payload(browser: Browser) -> None:
    faults = [Fault("unknown_sku", "第 1 行的 SKU 'X-9' 不在商品表里"), Fault("phone", "电话 13812345678 不对")]
    raw = {"receiver": RECEIVER.name, "phone": RECEIVER.phone}
    for _ in range(2):
        committed(lambda s: set_aside(s, "douyin", "shop", "6919", faults, raw, now()))
    page = browser.get("/quarantine").text
    for shown in ("抖店", "6919", "不在商品表里", "共 2 次", "138****5678"):
        assert shown in page
    assert RECEIVER.name not in page
    assert RECEIVER.phone not in page


def test_empty_lists_say_so(browser: Browser) -> None:
    assert "没有待审核的订单" in browser.get("/reviews").text
    assert "没有被隔离的订单" in browser.get("/quarantine").text


def test_help_explains_every_stage_and_reason(browser: Browser) -> None:
    page = browser.get("/help").text
    for word in ("已接单", "已锁库存", "等待审核", "等待到货", "需要人工处理", "解除暂停", "营养师"):
        assert word in page


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("auditor", set()),
        ("finance", set()),
        ("nutritionist", {"decide", "wake"}),
        ("customer_service", {"cancel", "release", "wake"}),
        ("warehouse_supervisor", {"cancel", "release", "wake"}),
        ("admin", {"decide", "cancel", "release", "wake"}),
    ],
)
def test_role_decides_what_may_be_done(portal: Portal, role: str, may: set[str]) -> None:
    order = an_order_of("SH-1001", **later())
    case = with_review(an_order_of("SH-1002", **later()))
    with_hold(order)
    with signed_in(portal, "某人", role) as browser:
        token, page, reviews = browser.token("/help"), browser.get("/orders/SH-1001").text, browser.get("/reviews").text
        buttons = {"wake": "现在再看一次" in page, "cancel": "确认取消" in page, "release": "已处理,解除" in page}
        buttons["decide"] = 'name="verdict"' in reviews
        assert {what for what, shown in buttons.items() if shown} == may
        statuses = {
            "wake": browser.post("/orders/SH-1001/wake", data={"csrf": token}).status_code,
            "release": browser.post("/orders/SH-1001/release", data={"csrf": token, "code": "x"}).status_code,
            "cancel": browser.post("/orders/SH-1001/cancel", data={"csrf": token, "reason": "x"}).status_code,
            "decide": browser.post(f"/reviews/{case.id}", data={"csrf": token, "verdict": "approve"}).status_code,
        }
    assert {what for what, status in statuses.items() if status == 303} == may
    assert {status for what, status in statuses.items() if what not in may} <= {403}
    assert len(order.events(EventKind.CANCEL_REQUESTED)) == ("cancel" in may)
