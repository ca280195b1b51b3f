"""The board counts what is unfinished, cheaply; the list and the page show staff no more than masks."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models import hold
from models.board import MOVING, matrix, order_page, recent_orders
from models.book import take_orders
from models.fulfilment import Stage, WaitingOn
from models.order import OrderUnknown
from models.parcel import parcel_of
from tests.models.build import (
    NOW,
    PET,
    RECEIVER,
    cans,
    claimed,
    incoming,
    made,
    open_shop,
    taken,
    unpaid,
    waiting,
    walk,
)


def test_cells_count_every_unfinished_fulfilment_once_with_age_and_examples(session: Session) -> None:
    open_shop(session)
    for number in range(5):
        waiting(session, taken(session, incoming(f"b{number}")), WaitingOn.BACKORDER, "缺 CAN-400")
    taken(session, unpaid("u"), NOW + timedelta(minutes=3))
    taken(session, incoming("fresh"))
    walk(session, taken(session, incoming("done")).order_no, Stage.CLOSED)
    third = "(SELECT id FROM orders WHERE order_no = 'SH-1003')"
    session.execute(
        text(f"UPDATE fulfilment SET stage_since = stage_since - interval '1 hour' WHERE order_id = {third}")
    )

    board = matrix(session, NOW + timedelta(minutes=5))

    found = {(cell.stage, cell.waiting_on): cell for cell in board.cells}
    assert {key: cell.count for key, cell in found.items()} == {
        ("received", None): 1,
        ("received", "backorder"): 5,
        ("received", "payment"): 1,
    }
    backorders = found["received", "backorder"]
    assert backorders.oldest_seconds == 3900
    assert backorders.examples == ("SH-1003", "SH-1001", "SH-1002")
    assert found["received", "payment"].oldest_seconds == 120
    assert board.unfinished == 7
    assert board.channels == {"shopify": 7}
    assert [(r.waiting_on, r.why, r.count) for r in board.waiting_reasons] == [
        ("backorder", "缺 CAN-400", 5),
        ("payment", "客户还没有付款", 1),
    ]


def test_today_is_shanghais_day_and_counts_events(session: Session) -> None:
    # given: two orders shipped at noon, one received at 23:59 the evening before
    open_shop(session)
    for name in "ab":
        walk(session, taken(session, incoming(name)).order_no, Stage.SHIPPED)
    evening = NOW.replace(day=10, hour=15, minute=59)
    taken(session, incoming("yesterday", placed_at=evening), evening)

    today = matrix(session, NOW).today

    assert (today.received, today.shipped, today.notified, today.delivered, today.cancelled) == (2, 2, 2, 0, 0)
    tomorrow = matrix(session, NOW + timedelta(hours=12)).today
    assert (tomorrow.received, tomorrow.shipped) == (0, 0)


def test_what_needs_people_is_counted(session: Session) -> None:
    open_shop(session)
    waiting(session, taken(session, incoming("1", made(8))), WaitingOn.REVIEW, "金额超过 500 元")
    order = taken(session, incoming("2"))
    assert order.id is not None
    hold.place(session, order.id, "no_recipe", "没有配方", "营养师", "指定配方", "test", NOW)
    take_orders(session, [incoming("3", cans(-1))], NOW)

    board = matrix(session, NOW + timedelta(minutes=30))

    assert (board.reviews_open, board.reviews_overdue, board.holds_open, board.quarantined) == (1, 1, 1, 1)
    assert board.overdue == 1  # the order with the hold is ready and nobody took it


def test_an_empty_house_has_an_empty_board(session: Session) -> None:
    board = matrix(session, NOW)

    assert (board.cells, board.channels, board.waiting_reasons) == ((), {}, ())
    assert (board.unfinished, board.overdue, board.finished_about, board.quarantined) == (0, 0, 0, 0)


@pytest.mark.usefixtures("database_url")  # the planner's estimates outlive a transaction
def test_a_mass_of_finished_orders_is_not_read(session: Session) -> None:
    # given: 30,000 finished fulfilments and a handful that are not
    open_shop(session)
    order = taken(session, incoming("1"))
    session.execute(
        text(
            "INSERT INTO fulfilment (order_id, number, warehouse, stage, stage_since, waiting_why, priority, wake_seq,"
            " fence, attempts) SELECT :id, n, 'WH-SZ', 'closed', now(), '', 100, 0, 0, 0"
            " FROM generate_series(2, 30000) n"
        ),
        {"id": order.id},
    )
    session.execute(text("ANALYZE fulfilment"))

    board = matrix(session, NOW)
    plan = "\n".join(
        session.execute(text("EXPLAIN SELECT count(*) FROM fulfilment WHERE ready_at IS NOT NULL")).scalars()
    )

    assert board.unfinished == 1
    assert board.finished_about == 29_999
    assert "Seq Scan" not in plan


@pytest.fixture
def shop(session: Session) -> Session:
    """A WeChat, a Douyin and three Shopify orders at different places."""
    open_shop(session)
    taken(session, incoming("1", channel="wechat_shop", placed_at=NOW - timedelta(hours=3)))
    taken(session, incoming("2", channel="douyin", placed_at=NOW - timedelta(hours=2)))
    waiting(session, taken(session, incoming("3", made())), WaitingOn.BACKORDER, "缺鸡肉")
    walk(session, taken(session, incoming("4", placed_at=NOW - timedelta(hours=1))).order_no, Stage.CLOSED)
    walk(session, taken(session, incoming("5")).order_no, Stage.SHIPPED)
    return session


def numbers(session: Session, **filters: str) -> list[str]:
    """The order numbers that a search finds."""
    return [row.order_no for row in recent_orders(session, 50, **filters)]


def test_the_list_is_newest_first_and_has_masks_only(shop: Session) -> None:
    rows = recent_orders(shop, 3)

    assert [row.order_no for row in rows] == ["SH-1005", "SH-1003", "SH-1004"]
    assert {(row.masked_name, row.masked_phone, row.city) for row in rows} == {("王**", "138****5678", "深圳市")}


def test_the_list_can_be_narrowed(shop: Session) -> None:
    assert numbers(shop, channel="douyin") == ["DY-1002"]
    assert numbers(shop, stage="closed") == ["SH-1004"]
    assert numbers(shop, stage="received") == ["SH-1003", "DY-1002", "WX-1001"]
    assert numbers(shop, waiting="backorder") == ["SH-1003"]
    assert numbers(shop, waiting=MOVING) == ["DY-1002", "WX-1001"]
    assert numbers(shop, waiting=MOVING, channel="wechat_shop") == ["WX-1001"]
    assert numbers(shop, stage="no such stage") == []


def test_an_order_is_found_by_any_of_its_numbers(shop: Session) -> None:
    for query in ("SH-1005", " sh-1005 ", "id-5", "#5", "SF-SH-1005-1"):
        assert numbers(shop, query=query) == ["SH-1005"]


def test_a_hostile_search_finds_nothing(shop: Session) -> None:
    for query in ("SH-9", "%", "'; DROP TABLE orders; --", "\x00", "\ud83d", "x" * 20_000):
        assert numbers(shop, query=query) == []
    assert len(numbers(shop)) == 5


def test_the_page_shows_the_whole_life_of_an_order(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1", cans(), made(2)))
    walk(session, order.order_no, Stage.SHIPPED)
    assert order.id is not None
    hold.place(session, order.id, "notify_failed", "短信发不出去", "客服", "打电话", "test", NOW, blocking=False)

    page = order_page(session, "sh-1001")

    assert (page.order_no, page.total_fen, page.masked_name, page.masked_phone) == (
        "SH-1001",
        23_800,
        "王**",
        "138****5678",
    )
    assert [(line.sku, line.quantity, line.recipes) for line in page.lines] == [
        ("CAN-400", 2, ()),
        ("DRY-1500", 2, ("DOG-CHICKEN-DRY",)),
    ]
    assert page.lines[1].pet == {"物种": "狗", "体重": "12 kg", "过敏原": "没有", "主食偏好": "干粮"}
    (part,) = page.fulfilments
    assert (part.stage, part.waiting_on) == ("shipped", "retry")
    assert Counter(state for _, _, state in part.reservations) == {"consumed": 6}
    assert [effect.kind for effect in page.effects] == ["production_release", "waybill", "ship_notice", "sms"]
    assert {effect.state for effect in page.effects} == {"done"}
    assert [work.state for work in page.work_orders] == ["completed"]
    assert [parcel.waybill_no for parcel in page.parcels] == ["SF-SH-1001-1"]
    assert [message.state for message in page.notifications] == ["sent"]
    assert [held.code for held in page.holds] == ["notify_failed"]
    assert [event.kind for event in page.events][:2] == ["received", "payment_verified"]
    assert {event.fulfilment for event in page.events[1:-1]} == {1}


def test_the_page_says_nothing_personal(session: Session) -> None:
    # given: a customer who wrote a phone into every free field
    open_shop(session)
    phone = {"gift_phone": "13999998888", "备注": "王小明家"}
    order = taken(session, incoming("1", made(pet={**PET, **phone}), note="送 13999998888", attributes=phone))
    walk(session, order.order_no, Stage.SHIPPED)
    parcel = parcel_of(session, claimed(session, order).fulfilment_id)
    assert parcel is not None

    page = asdict(order_page(session, order.order_no))
    told = str({name: [str(row) for row in part] if isinstance(part, tuple) else part for name, part in page.items()})

    for secret in (RECEIVER.name, RECEIVER.phone, RECEIVER.detail, "13999998888", "buyer-1"):
        assert secret not in told
    assert all("request" not in effect for effect in page["effects"])


def test_an_unknown_order_has_no_page(session: Session) -> None:
    for order_no in ("SH-1", "", "\x00", "\ud83d"):
        with pytest.raises(OrderUnknown):
            order_page(session, order_no)
