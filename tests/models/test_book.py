"""The order book: every order once, whatever comes how often."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from models.book import Taken, take_orders
from models.checks import check
from models.fulfilment import Fulfilment, fulfilments_of
from models.intake import Incoming, IncomingOrder, PlatformStatus, Unreadable
from models.order import Contact, Order, OrderUnknown, find_order, lines_of, reveal
from models.quarantine import waiting_list
from models.timeline import timeline
from tests.models.build import (
    NOW,
    RECEIVER,
    cans,
    engine_of,
    incoming,
    later,
    made,
    open_shop,
    taken,
    unpaid,
)
from tests.models.test_stock_at_once import at_once

MINUTE = timedelta(minutes=1)


def the_fulfilment(session: Session, order: Order) -> Fulfilment:
    """The order's only fulfilment."""
    assert order.id is not None
    (fulfilment,) = fulfilments_of(session, order.id)
    return fulfilment


def events(session: Session, order: Order) -> list[str]:
    """The kinds of the order's timeline."""
    assert order.id is not None
    return [event.kind for event in timeline(session, order.id)]


def count(session: Session, table: str) -> int:
    """How many rows there are."""
    return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


TABLES = ("orders", "contact", "order_line", "fulfilment", "fulfilment_line", "order_event", "quarantine")


def test_a_paid_order_enters_whole_and_ready(session: Session) -> None:
    open_shop(session)

    order = taken(session, incoming("1", cans(), made(), freight_fen=800, attributes={"来源": "小程序"}))

    assert (order.order_no, order.total_fen, order.paid_fen, order.freight_fen) == ("SH-1001", 14_700, 14_700, 800)
    part = the_fulfilment(session, order)
    assert (part.stage, part.waiting_on, part.ready_at, part.warehouse) == ("received", None, NOW, "WH-SZ")
    assert order.id is not None
    lines = lines_of(session, order.id)
    assert [(line.line_no, line.sku, line.quantity, line.made_to_order) for line in lines] == [
        (1, "CAN-400", 2, False),
        (2, "DRY-1500", 1, True),
    ]
    assert lines[1].profile["species"] == "dog" and lines[1].profile["来源"] == "小程序"
    assert reveal(session.get_one(Contact, order.contact_id)) == RECEIVER
    assert events(session, order) == ["received"]
    assert check(session, NOW) == []


def test_the_same_page_again_changes_nothing(session: Session) -> None:
    open_shop(session)
    page: list[Incoming] = [incoming("1"), unpaid("2", made()), incoming("3", cans(-1))]
    page.append(Unreadable("shopify", "pets", "4", "?", {}))
    first = take_orders(session, page, NOW)
    before = {table: count(session, table) for table in TABLES}

    again = take_orders(session, page, NOW + MINUTE)

    assert first == {Taken.NEW: 2, Taken.QUARANTINED: 2}
    assert again == {Taken.KNOWN: 2, Taken.QUARANTINED: 2}
    assert {table: count(session, table) for table in TABLES} == before


def test_one_order_twice_on_a_page_enters_once(session: Session) -> None:
    open_shop(session)
    order = unpaid("1")

    counts = take_orders(session, [order, order, later(order, status=PlatformStatus.TO_SHIP, paid_fen=4_000)], NOW)

    assert counts == {Taken.NEW: 1, Taken.KNOWN: 1, Taken.CHANGED: 1}
    assert count(session, "orders") == count(session, "contact") == count(session, "fulfilment") == 1


def test_one_page_at_once_in_four_threads_makes_every_order_once(database_url: str) -> None:
    page = [incoming(str(number)) for number in range(12)]

    def work(session: Session) -> Counter[Taken]:
        return take_orders(session, page, NOW)

    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_shop(session)
            session.commit()

        results = at_once(engine, [work] * 4)

        total: Counter[Taken] = Counter()
        for result in results:
            assert isinstance(result, Counter)
            total += result
        assert total == {Taken.NEW: 12, Taken.KNOWN: 36}
        with Session(engine) as session:
            assert [count(session, table) for table in TABLES] == [12, 12, 12, 12, 12, 12, 0]
            assert len(set(session.exec(select(Order.order_no)))) == 12


def test_changed_pages_at_once_in_every_order_never_wait_in_a_circle(database_url: str) -> None:
    # given: known and new orders mixed, each page in an order of its own
    first = [unpaid(f"{number:02}") for number in range(0, 16, 2)]
    paid = [later(unpaid(f"{n:02}"), status=PlatformStatus.TO_SHIP, paid_fen=4_000) for n in range(16)]
    pages = [paid, paid[::-1], paid[8:] + paid[:8], paid[::2] + paid[1::2]]
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_shop(session)
            take_orders(session, first[::-1], NOW)
            session.commit()

        results = at_once(engine, [lambda s, p=page: take_orders(s, p, NOW) for page in pages])  # type: ignore[misc]

        total: Counter[Taken] = Counter()
        for result in results:
            assert isinstance(result, Counter), result
            total += result
        assert total == {Taken.NEW: 8, Taken.CHANGED: 8, Taken.KNOWN: 48}


def test_order_numbers_tell_the_channel_and_are_never_reused(session: Session) -> None:
    open_shop(session)
    for channel in ("shopify", "wechat_shop", "douyin"):
        taken(session, incoming(channel, channel=channel))
        take_orders(session, [incoming(channel, channel=channel)], NOW)

    assert sorted(session.exec(select(Order.order_no))) == ["DY-1003", "SH-1001", "WX-1002"]


def test_the_same_id_in_another_shop_is_another_order(session: Session) -> None:
    open_shop(session)
    page = [incoming("1"), incoming("1", shop="other"), incoming("1", channel="douyin")]

    assert take_orders(session, page, NOW) == {Taken.NEW: 3}


@pytest.mark.parametrize("status", ["cancelled", "refunded", "shipped", "complete"])
def test_what_is_over_before_we_see_it_stays_out(session: Session, status: str) -> None:
    open_shop(session)

    blank = incoming("2", status=PlatformStatus(status), receiver=None, lines=())

    assert take_orders(session, [incoming("1", status=PlatformStatus(status)), blank], NOW) == {Taken.OVER: 2}
    assert count(session, "orders") == count(session, "quarantine") == 0


def test_what_was_set_aside_and_is_over_now_needs_nobody(session: Session) -> None:
    open_shop(session)
    take_orders(session, [incoming("1", receiver=None)], NOW)

    over = later(incoming("1"), status=PlatformStatus.CANCELLED, receiver=None)
    assert take_orders(session, [over], NOW) == {Taken.OVER: 1}
    assert waiting_list(session) == []


def test_unknown_numbers_say_what_to_do(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1"))

    assert find_order(session, " sh-1001 ") is order
    for number in ("SH-1", "", "\x00", "\ud83d"):
        with pytest.raises(OrderUnknown, match="请核对订单号"):
            find_order(session, number)


def test_a_whole_day_again_and_again_is_taken_once(session: Session) -> None:
    # given: windows that overlap, as pulling does, over orders that change meanwhile
    open_shop(session)
    day: list[IncomingOrder] = []
    for number in range(30):
        told = unpaid(f"{number}") if number % 3 else incoming(f"{number}")
        day += [told, later(told, 1, status=PlatformStatus.TO_SHIP, paid_fen=told.total_fen)]

    for start in range(0, 60, 5):
        take_orders(session, day[max(0, start - 10) : start + 5], NOW)

    assert count(session, "orders") == count(session, "fulfilment") == 30
    assert set(session.exec(select(Order.platform_status))) == {"to_ship"}
    assert set(session.exec(select(Order.paid_fen))) == {4_000}
    assert [violation.code for violation in check(session, NOW)] == []
