"""Parts and parcels on an order's page over real HTTP: what is shown, who may change it, and when it is too late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlmodel import Session

from models.fulfilment import Fulfilment, fulfilments_of
from models.order import Contact, Order, OrderLine, lines_of
from models.parcel import keep_parcel
from models.privacy import seal
from models.product import Product, save_products
from models.shared_parcel import SharedState, company_of, lock_shared
from models.stock import receive, shelve
from models.timeline import EventKind
from models.warehouse import Warehouse
from tests.integrations.portal_server import (
    Browser,
    Portal,
    Seeded,
    an_order_of,
    committed,
    now,
    one,
    running_portal,
    signed_in,
    with_parcel,
)

HERE, OTHER = "/orders/SH-1001", "/orders/SH-1002"


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


@pytest.fixture
def desk(portal: Portal) -> Iterator[Browser]:
    """王敏 of customer service."""
    with signed_in(portal, "王敏", "customer_service") as person:
        yield person


def bought(order_no: str = "SH-1001", **stage: Any) -> Seeded:
    """A paid order of two pieces that are on the shelf, of the one customer whom all orders here have."""
    seeded = an_order_of(order_no, **{"stage": "produced", **stage})

    def work(session: Session) -> None:
        if session.get(Warehouse, "SZ") is None:
            session.add(Warehouse(code="SZ", name="深圳仓", province="广东省"))
            save_products(session, [Product(sku="FRESH-500", title="鲜食主粮 500g", price_fen=26_000)])
            session.flush()
            shelve(session, "SZ", "FRESH-500")
            receive(session, "SZ", "FRESH-500", 100, "期初", "test", now())
        order = session.get_one(Order, seeded.order_id)
        order.paid_at = order.payment_verified_at = now()
        (line,) = lines_of(session, seeded.order_id)
        line.made_to_order = False
        session.add_all([order, line])

    committed(work)
    return seeded


def press(browser: Browser, action: str, order: str = HERE, **fields: str) -> httpx.Response:
    return browser.send_form("/help", f"{order}/{action}", **fields)


def said(browser: Browser, page: str = HERE) -> str:
    return browser.get(page).text.partition('role="status">')[2].partition("</p>")[0]


def parts(order: Seeded) -> list[tuple[int, str]]:
    return [(part.number, part.stage) for part in committed(lambda s: fulfilments_of(s, order.order_id))]


def the_line(order: Seeded) -> int:
    return int(one("SELECT id FROM order_line WHERE order_id = :id", id=order.order_id))


def together(browser: Browser) -> tuple[Seeded, Seeded]:
    """Two orders that somebody has merged."""
    first, second = bought("SH-1001"), bought("SH-1002")
    press(browser, "merge", part="1", **{"with-1": "SH-1002-1"})
    return first, second


def test_a_part_is_split_off_and_put_back_under_ones_own_name(desk: Browser) -> None:
    order = bought()
    page = desk.get(HERE).text
    assert "拆分…" in page and "合并回…" not in page and f'name="take-{the_line(order)}"' in page

    assert 'name="parts" value="1"' in page
    assert press(desk, "split", part="1", parts="1", **{f"take-{the_line(order)}": "1"}).status_code == 303
    assert said(desk) == "已从 SH-1001-1 拆出 SH-1001-2,各自发出。"
    press(desk, "split", part="1", parts="1", **{f"take-{the_line(order)}": "1"})  # the button was pressed twice
    assert "已经拆过,现在是 2 件" in said(desk)
    page = desk.get(HERE).text
    for shown in (
        "履约 SH-1001-1",
        "履约 SH-1001-2",
        "合并回…",
        "拆成几个包裹:SH-1001-2 带走 鲜食主粮 500g × 1",
        "鲜食主粮 500g × 1",
    ):
        assert shown in page, shown

    press(desk, "join", **{"with-1": "1", "with-2": "2"})
    assert said(desk) == "SH-1001-1、SH-1001-2 已合并回 SH-1001-1,一起发出。"
    page = desk.get(HERE).text
    assert page.count("已并入 SH-1001-1") == 2  # in the headline and on its card
    assert "合并回 SH-1001-1:鲜食主粮 500g × 1" in page and "合并回…" not in page
    assert parts(order) == [(1, "produced"), (2, "cancelled")]
    assert [event.actor for kind in (EventKind.SPLIT, EventKind.JOINED) for event in order.events(kind)] == ["王敏"] * 2


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({}, 303, "没有选要拆出去的商品"),
        ({"take": "0"}, 303, "没有选要拆出去的商品"),
        ({"take": "2"}, 303, "要至少留下一件"),
        ({"take": "3"}, 303, "请核对件数"),
        ({"take": "-1"}, 303, "没有选要拆出去的商品"),
        ({"take": "一"}, 400, "要写整数"),
        ({"take": "9" * 5000}, 400, "要写整数"),
    ],
)
def test_pieces_that_make_no_sense_change_nothing(
    desk: Browser, fields: dict[str, str], status: int, sentence: str
) -> None:
    order = bought()
    pieces = {f"take-{the_line(order)}": value for value in fields.values()}
    answer = press(desk, "split", part="1", **pieces)
    assert answer.status_code == status
    assert sentence in (said(desk) if status == 303 else answer.text)
    assert parts(order) == [(1, "produced")]


def test_orders_of_one_customer_are_merged_shown_with_links_and_parted(desk: Browser) -> None:
    first, second = bought("SH-1001"), bought("SH-1002")
    page = desk.get(HERE).text
    assert "合并发货…" in page and 'value="SH-1002-1"' in page and "取消合并" not in page

    press(desk, "merge", part="1", **{"with-1": "SH-1002-1"})
    assert said(desk) == "SH-1001-1、SH-1002-1 会装在同一个包裹里发出。"
    for here, there in ((HERE, "SH-1002"), (OTHER, "SH-1001")):
        page = desk.get(here).text
        assert f'<a href="/orders/{there}">{there}-1</a> <small>还没备好</small>' in page
        assert f"与 {there}-1 合并发货" in page and "备齐后一起出运单" in page and "取消合并…" in page
    press(desk, "merge", part="1", **{"with-1": "SH-1002-1"})
    assert "已经在同一个合并包裹里,没有任何改变" in said(desk)

    press(desk, "unmerge", OTHER, part="1")
    assert said(desk, OTHER) == "SH-1002-1 单独发出,不再合并。"
    assert "合并发货…" in desk.get(HERE).text
    for order in (first, second):
        assert [e.actor for e in order.events(EventKind.MERGED)] == ["王敏"]
        assert [e.actor for e in order.events(EventKind.UNMERGED)] == ["王敏"]
    press(desk, "unmerge", OTHER, part="1")
    assert "没有和别的订单合并发货" in said(desk, OTHER)


def test_what_is_merged_has_one_waybill_on_both_pages_and_its_effects(desk: Browser) -> None:
    first, second = together(desk)

    def work(session: Session) -> str:
        shared = company_of(session, first.fulfilment_id)
        assert shared is not None and shared.id is not None
        lock_shared(session, shared.id).state = SharedState.SEALED.value
        for order in (first, second):
            keep_parcel(
                session, order.order_id, order.fulfilment_id, "sf_express", shared.shipment_no, "SF77", now(), shared
            )
        session.connection().exec_driver_sql(
            "INSERT INTO effect (kind, key, request, state, response, error, attempts, fence, intended_at)"
            " VALUES ('waybill', %s, %s, 'done', '{\"waybill_no\": \"SF77\"}', '', 1, 1, now())",
            (shared.waybill_key, seal("{}")),
        )
        return shared.waybill_key

    key = committed(work)
    for here in (HERE, OTHER):
        page = desk.get(here).text
        assert "SF77" in page and key in page and "一张运单" in page
        assert "拆分…" not in page and "合并发货…" not in page
    # too late to split; undone, the waybill is to be called back
    press(desk, "split", part="1", **{f"take-{the_line(first)}": "1"})
    assert "已经有运单,不能拆分或合并回" in said(desk)
    press(desk, "unmerge", part="1")
    assert "正在撤回合并包裹的运单;撤回后 SH-1001-1、SH-1002-1 各自发出" in said(desk)
    assert "正在撤回运单" in desk.get(OTHER).text


@pytest.mark.parametrize(
    ("role", "may"),
    [("customer_service", True), ("customer_service_lead", True), ("warehouse_supervisor", True), ("admin", True),
     ("nutritionist", False), ("finance", False), ("marketing_manager", False), ("auditor", False)],
)  # fmt: skip
def test_only_who_packs_and_who_serves_customers_may_change_parcels(portal: Portal, role: str, may: bool) -> None:
    order = bought()
    bought("SH-1002")
    with signed_in(portal, "某人", role) as person:
        assert ("拆分…" in person.get(HERE).text) == may
        for action in ("split", "join", "merge", "unmerge"):
            answer = press(person, action, part="1", **{f"take-{the_line(order)}": "1", "with-1": "SH-1002-1"})
            assert (answer.status_code == 303) == may
            assert may or (answer.status_code == 403 and "没有任何改变" in answer.text)
    assert (len(parts(order)) == 2) == may


@pytest.mark.parametrize("action", ["split", "join", "merge", "unmerge"])
def test_a_form_that_is_not_ours_changes_nothing(desk: Browser, action: str) -> None:
    order = bought()
    bought("SH-1002")
    fields = {"part": "1", f"take-{the_line(order)}": "1", "with-1": "SH-1002-1"}
    assert desk.post(f"{HERE}/{action}", data=fields).status_code == 403
    assert desk.get(f"{HERE}/{action}").status_code == 405
    assert press(desk, action, "/orders/SH-9999", **fields).status_code == 404
    if action != "join":
        assert press(desk, action, **{**fields, "part": "7"}).status_code == 404
    assert parts(order) == [(1, "produced")]
    assert one("SELECT count(*) FROM shared_parcel") == 0


def test_nothing_is_offered_once_it_is_too_late_or_for_somebody_else(desk: Browser) -> None:
    order = bought()
    stranger = bought("SH-1002")
    committed(lambda s: _elsewhere(s, stranger))
    page = desk.get(HERE).text
    assert "拆分…" in page and "合并发货…" not in page
    press(desk, "merge", part="1", **{"with-1": "SH-1002-1"})
    assert "收货地址或电话不同,不能合并发货" in said(desk)
    for name, status in (("SH-4711", 404), ("", 404), ("SH-1002-1\x00", 404)):
        assert press(desk, "merge", part="1", **{"with-1": name}).status_code == status

    with_parcel(order)
    page = desk.get(HERE).text
    assert not [button for button in ("拆分…", "合并发货…", "取消合并…", "合并回…") if button in page]


def _elsewhere(session: Session, order: Seeded) -> None:
    contact = session.get_one(Contact, session.get_one(Order, order.order_id).contact_id)
    contact.fingerprint = "another"
    session.add(contact)


def test_hostile_titles_are_text(desk: Browser) -> None:
    order = bought()

    def work(session: Session) -> None:
        line = session.get_one(OrderLine, the_line(order))
        line.title = "<script>alert(1)</script>"
        session.add_all([line, Fulfilment(order_id=order.order_id, number=2, stage_since=now(), ready_at=now())])

    committed(work)
    assert "<script>alert" not in desk.get(HERE).text
