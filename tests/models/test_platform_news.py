"""What a change on a channel does to an order that we know: paid, edited, a new address, shipped, cancelled."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from models.book import Taken, take_orders
from models.change import changes_of
from models.checks import check
from models.effect import WAYBILL, effects_of
from models.fulfilment import ClaimLost, Fulfilment, Stage, fulfilments_of, hold_on
from models.hold import open_holds
from models.intake import PlatformStatus
from models.order import Contact, Order, lines_of, reveal
from models.quarantine import waiting_list
from models.timeline import timeline
from tests.models.build import (
    NOW,
    RECEIVER,
    cans,
    claimed,
    engine_of,
    incoming,
    later,
    made,
    open_shop,
    taken,
    told,
    unpaid,
    walk,
)

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


def test_a_lane_in_the_middle_of_an_order_and_its_channel_never_wait_in_a_circle(database_url: str) -> None:
    # given: a lane that has locked the fulfilment and is about to write the order
    with engine_of(database_url) as engine, Session(engine) as lane, Session(engine) as channel:
        open_shop(lane)
        order = taken(lane, incoming("1"))
        claim = claimed(lane, order)
        lane.commit()
        hold_on(lane, claim)
        started = Event()

        def news() -> None:
            started.set()
            take_orders(channel, [later(incoming("1"), status=PlatformStatus.CANCELLED)], NOW)
            channel.commit()

        thread = Thread(target=news)
        thread.start()
        started.wait()
        thread.join(0.3)  # it waits for the lane, holding nothing that the lane needs
        order.payment_verified_at = NOW
        lane.add(order)
        lane.commit()
        thread.join(10)

        assert not thread.is_alive()
        lane.refresh(order)
        assert order.payment_verified_at == NOW and order.cancel_requested_at == NOW
        with pytest.raises(ClaimLost):
            hold_on(lane, claim)


def test_an_unpaid_order_waits_and_paying_wakes_it(session: Session) -> None:
    open_shop(session)
    told = unpaid("1")
    order = taken(session, told)
    part = the_fulfilment(session, order)
    assert (part.waiting_on, part.waiting_why, part.ready_at) == ("payment", "客户还没有付款", NOW + 30 * MINUTE)

    paid = later(told, status=PlatformStatus.TO_SHIP, paid_fen=4_000, paid_at=NOW)
    assert take_orders(session, [paid], NOW + MINUTE) == {Taken.CHANGED: 1}

    session.refresh(order)
    part = the_fulfilment(session, order)
    assert (order.platform_status, order.paid_fen, order.paid_at) == ("to_ship", 4_000, NOW)
    assert (part.ready_at, part.wake_seq) == (NOW + MINUTE, 1)
    assert events(session, order) == ["received", "changed_on_channel"]


def test_a_price_changed_before_paying_is_the_price_that_is_paid(session: Session) -> None:
    # given: the seller lowers the price in the shop, the customer drops a line and pays
    open_shop(session)
    told = unpaid("1", cans(2), made())
    order = taken(session, told)

    paid = later(incoming("1", cans(2, paid_fen=3_500)), 20)
    assert take_orders(session, [paid], NOW) == {Taken.CHANGED: 1}

    session.refresh(order)
    assert (order.total_fen, order.paid_fen) == (3_500, 3_500)
    assert order.id is not None
    assert [(line.line_no, line.sku, line.paid_fen) for line in lines_of(session, order.id)] == [(1, "CAN-400", 3_500)]
    assert count(session, "fulfilment") == count(session, "fulfilment_line") == 1
    assert check(session, NOW) == []


def test_a_new_price_of_an_order_still_unpaid_is_a_change_and_nothing_else_is(session: Session) -> None:
    open_shop(session)
    told = unpaid("1")
    order = taken(session, told)

    assert take_orders(session, [later(told, 5)], NOW) == {Taken.KNOWN: 1}
    assert take_orders(session, [later(unpaid("1", cans(2, paid_fen=3_000)), 10)], NOW) == {Taken.CHANGED: 1}

    session.refresh(order)
    assert (order.total_fen, order.paid_fen, order.platform_status) == (3_000, 0, "awaiting_payment")


def test_older_news_changes_nothing(session: Session) -> None:
    open_shop(session)
    old = unpaid("1")
    paid = later(old, 10, status=PlatformStatus.TO_SHIP, paid_fen=4_000)
    order = taken(session, paid)
    before = events(session, order)

    assert take_orders(session, [old, later(old, 9, status=PlatformStatus.CANCELLED)], NOW) == {Taken.KNOWN: 2}

    session.refresh(order)
    assert (order.platform_status, order.cancel_requested_at) == ("to_ship", None)
    assert events(session, order) == before


def test_within_one_second_the_further_status_wins_in_either_order(session: Session) -> None:
    open_shop(session)
    for name, versions in {"1": (0, 1), "2": (1, 0)}.items():
        told = unpaid(name)
        both = (told, replace(told, status=PlatformStatus.TO_SHIP, paid_fen=4_000))
        for version in versions:
            take_orders(session, [both[version]], NOW)

    assert session.exec(select(Order.platform_status)).all() == ["to_ship", "to_ship"]


def test_cancelled_before_reserving_interrupts_the_lane(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1"))
    claim = claimed(session, order)

    assert take_orders(session, [later(incoming("1"), status=PlatformStatus.CANCELLED)], NOW) == {Taken.CHANGED: 1}

    session.refresh(order)
    part = the_fulfilment(session, order)
    assert (order.cancel_requested_at, order.cancel_reason) == (NOW, "平台上已取消")
    assert (part.claimed_by, part.ready_at, part.stage) == (None, NOW, "received")
    with pytest.raises(ClaimLost):
        hold_on(session, claim)


def test_cancelled_after_reserving_keeps_the_stock_until_all_is_called_back(session: Session) -> None:
    open_shop(session, cans=10)
    order = taken(session, incoming("1"))
    walk(session, order.order_no, Stage.RESERVED)

    take_orders(session, [later(incoming("1"), status=PlatformStatus.CANCELLED)], NOW)
    take_orders(session, [later(incoming("1"), 6, status=PlatformStatus.REFUNDED)], NOW)

    assert session.execute(text("SELECT reserved FROM stock_item WHERE sku = 'CAN-400'")).scalar_one() == 2
    assert events(session, order).count("cancel_requested") == 1


def test_a_cancelled_order_whose_address_and_money_are_gone_is_cancelled_all_the_same(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1"))
    blank = later(incoming("1"), status=PlatformStatus.REFUNDED, receiver=None, lines=(), total_fen=0, paid_fen=4_000)

    assert take_orders(session, [blank], NOW) == {Taken.CHANGED: 1}

    session.refresh(order)
    assert (order.cancel_requested_at, order.total_fen, order.platform_status) == (NOW, 4_000, "refunded")
    assert waiting_list(session) == []


def test_a_new_address_reaches_the_order_and_interrupts_it(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1"))
    claim = claimed(session, order)
    moved = replace(RECEIVER, phone="13987654321", detail="新地址 5 号")

    assert take_orders(session, [later(incoming("1"), receiver=moved)], NOW) == {Taken.CHANGED: 1}

    assert reveal(session.get_one(Contact, order.contact_id)) == moved
    assert order.id is not None and open_holds(session, order.id) == []
    with pytest.raises(ClaimLost):
        hold_on(session, claim)
    assert take_orders(session, [later(incoming("1"), 6, receiver=moved)], NOW) == {Taken.KNOWN: 1}


def test_a_new_address_after_the_waybill_asks_for_a_new_waybill(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1"))
    claim = claimed(session, order)
    told(session, claim, WAYBILL, "waybill-SH-1001-1", {"waybill_no": "SF-1", "carrier": "sf_express"}, NOW)

    take_orders(session, [later(incoming("1"), receiver=replace(RECEIVER, detail="新地址"))], NOW)

    assert order.id is not None
    (asked,) = changes_of(session, order.id)
    assert (asked.kind, asked.state, asked.after["shipments"]) == ("address", "asked", ["SH-1001-1"])
    assert events(session, order)[-1] == "address_changed"
    assert open_holds(session, order.id) == []
    with pytest.raises(ClaimLost):
        hold_on(session, claim)


def test_masks_never_overwrite_what_is_known_in_clear(session: Session) -> None:
    open_shop(session)
    masked = replace(RECEIVER, name="王**", phone="138****5678", detail="科***", masked=True)
    order = taken(session, incoming("1", receiver=masked))
    assert session.get_one(Contact, order.contact_id).only_masked

    assert take_orders(session, [later(incoming("1"), 5)], NOW) == {Taken.KNOWN: 1}  # the mask is lifted
    assert take_orders(session, [later(incoming("1", receiver=masked), 10)], NOW) == {Taken.KNOWN: 1}

    assert reveal(session.get_one(Contact, order.contact_id)) == RECEIVER


def test_shipped_on_the_channel_by_somebody_else_stops_our_parcel(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1"))
    claim = claimed(session, order)

    take_orders(session, [later(incoming("1"), status=PlatformStatus.SHIPPED)], NOW)

    (held,) = open_holds(session, claim.order_id)
    assert (held.code, held.blocking) == ("shipped_elsewhere", True)
    with pytest.raises(ClaimLost):
        hold_on(session, claim)


def test_shipped_on_the_channel_by_us_is_no_surprise(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1"))
    walk(session, order.order_no, Stage.SHIPPED)

    take_orders(session, [later(incoming("1"), status=PlatformStatus.SHIPPED)], NOW)

    assert order.id is not None
    assert open_holds(session, order.id) == []
    assert {effect.kind for effect in effects_of(session, order.id)} == {"waybill", "ship_notice", "sms"}


def test_an_edit_in_the_very_second_in_which_the_order_was_read_is_news(session: Session) -> None:
    # given an order that was read, and edited on its channel within the same second
    open_shop(session)
    order = incoming()
    taken(session, order)
    assert order.receiver is not None
    moved = replace(order, receiver=replace(order.receiver, detail="新路 9 号"))
    # when it is read again, then the new address is taken, once
    assert take_orders(session, [moved], NOW) == {Taken.CHANGED: 1}
    assert take_orders(session, [moved], NOW) == {Taken.KNOWN: 1}
