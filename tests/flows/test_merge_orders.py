"""Orders of one customer that travel in one parcel: one waybill, and each channel and customer hears of it once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlmodel import Session, col, select

from models.change import ChangeKind, record
from models.database import transact, utcnow
from models.fulfilment import Stage, WaitingOn
from models.merge_desk import MergeRefused, merge, unmerge
from models.new_address import follow_receiver
from models.order import Contact, Order, keep_contact, lock_order, reveal
from models.parcel import Parcel
from models.shared_parcel import SharedParcel, SharedParcelMember
from models.timeline import OrderEvent, timeline
from tests.buying import bought, carry_parts, shelve_goods
from tests.carrying import ended, holds
from tests.database import TemporaryServer
from tests.e2e.passing_time import let_time_pass, set_speed
from tests.e2e.told_once import NOTICES, assert_nothing_twice, events
from tests.house import House, house, with_policy
from tests.orders import CHANNELS
from tests.prefect import RunningServer
from tests.travelling import (
    EAST,
    MERGING,
    asked_of_carrier,
    assert_shipped_together,
    behind,
    cancel,
    forget,
    parcel,
    part_of,
    told,
    waybills,
)

WAITS = "等待合并发货"


@pytest.fixture(scope="module")
def _merging(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house"), overrides=MERGING) as furnished:
        yield furnished


@pytest.fixture
def home(_merging: House) -> Iterator[House]:
    """A house that merges orders paid within the hour."""
    shelve_goods({EAST: {"CAN-9": 1_000}})
    yield _merging
    _merging.sandbox.world.clear_faults()
    set_speed(_merging, 100)
    transact(forget)


async def two(home: House, channel: str = "shopify", other: str = "") -> tuple[Order, Order]:
    """Two orders of one customer, paid a moment apart."""
    one = await bought(home, {"CAN-9": 1}, channel)
    return one, await bought(home, {"CAN-9": 2}, other or channel)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_two_orders_of_one_customer_get_one_waybill_and_two_notices(
    home: House, prefect_server: RunningServer, channel: str
) -> None:
    one, other = await two(home, channel)
    # when the first is ready while the second is still on its way
    (state,) = await carry_parts(one)
    assert (state.name, part_of(one).waiting_on) == (WAITS, WaitingOn.MERGE.value)
    assert part_of(one).waiting_why == f"等同一客户的订单 {other.order_no}-1 一起发货"
    assert waybills(home, one, other) == {}
    # then the second gets a waybill for both
    await carry_parts(other)
    assert [part_of(order).stage for order in (one, other)] == [Stage.PRODUCED.value, Stage.SHIPPED.value]
    await carry_parts(one)
    assert_shipped_together(home, one, other)
    # and what was in the parcel weighs as much as both
    assert sum(item["count"] for item in asked_of_carrier(home, one)["cargo"]) == 3


async def test_orders_on_two_channels_travel_together_once_both_addresses_are_known(
    home: House, prefect_server: RunningServer
) -> None:
    # Shopify shows the address; Douyin shows a mask, which nobody takes for the same customer
    one, other = await two(home, "shopify", "douyin")
    await carry_parts(one)
    assert part_of(one).stage == Stage.SHIPPED.value
    assert events(one)["merged"] == 0
    await carry_parts(other)
    assert part_of(other).stage == Stage.SHIPPED.value
    assert len(waybills(home, one, other)) == 2


async def test_without_the_policy_every_order_goes_alone(home: House, prefect_server: RunningServer) -> None:
    with with_policy(merge_within_minutes=0):
        one, other = await two(home)
        for order in (one, other):
            await carry_parts(order)
    assert [part_of(order).stage for order in (one, other)] == [Stage.SHIPPED.value] * 2
    assert waybills(home, one, other) == {f"{one.order_no}-1": 1, f"{other.order_no}-1": 1}
    assert events(one)["merged"] == 0


async def test_who_has_waited_long_enough_goes_alone(home: House, prefect_server: RunningServer) -> None:
    one, other = await two(home)
    await carry_parts(one)
    with with_policy(merge_wait_hours=0):
        await carry_parts(one)
    assert part_of(one).stage == Stage.SHIPPED.value
    assert waybills(home, one, other) == {f"{one.order_no}-1": 1}
    # and the other one does not look for company again
    await carry_parts(other)
    assert waybills(home, one, other) == {f"{one.order_no}-1": 1, f"{other.order_no}-1": 1}
    assert (events(one)["unmerged"], events(other)["unmerged"]) == (1, 1)


async def test_lanes_at_once_make_one_waybill(home: House, prefect_server: RunningServer) -> None:
    orders = [await bought(home, {"CAN-9": 1}) for _ in range(4)]
    # when all are carried at once, again and again as lanes do
    for _ in range(8):
        await asyncio.gather(*(carry_parts(order) for order in orders if part_of(order).waiting_on != "carrier"))
        if all(part_of(order).stage == Stage.SHIPPED.value for order in orders):
            break
        let_time_pass()
    numbers = {row.waybill_no for order in orders if (row := parcel(order)) is not None}
    assert [part_of(order).stage for order in orders] == [Stage.SHIPPED.value] * 4
    assert len(numbers) == len(waybills(home, *orders)) == 1
    assert [told(home, order) for order in orders] == [[1]] * 4
    assert_nothing_twice(home)


async def test_a_cancelled_one_leaves_before_the_waybill_and_the_other_goes_alone(
    home: House, prefect_server: RunningServer
) -> None:
    one, other = await two(home)
    await carry_parts(one)
    cancel(other)
    await ended(other)
    await carry_parts(one)
    assert (part_of(one).stage, part_of(other).stage) == (Stage.SHIPPED.value, Stage.CANCELLED.value)
    assert waybills(home, one, other) == {f"{one.order_no}-1": 1}
    assert home.effects("sf", "cancel_waybill") == {}
    assert parcel(other) is None
    assert_nothing_twice(home)


async def test_a_cancelled_one_has_the_sealed_waybill_called_back_and_the_other_gets_its_own(
    home: House, prefect_server: RunningServer
) -> None:
    # given a waybill for both that no channel has heard of
    one, other = await two(home)
    behind(home)
    await carry_parts(one)
    await carry_parts(other)
    (shared,) = waybills(home, one, other)
    assert {row.shipment_no for order in (one, other) if (row := parcel(order))} == {shared}
    # when one of them is cancelled
    cancel(one)
    home.sandbox.world.clear_faults()
    set_speed(home, 100)
    await ended(one)
    # then the waybill is called back once, the other goes alone with one of its own
    let_time_pass()
    await carry_parts(other)
    assert (part_of(one).stage, part_of(other).stage) == (Stage.CANCELLED.value, Stage.SHIPPED.value)
    assert {n: c for n, c in home.effects("sf", "cancel_waybill").items() if n == shared} == {shared: 1}
    assert waybills(home, one, other) == {shared: 1, f"{other.order_no}-1": 1}
    assert parcel(one) is None and told(home, other) == [1]
    assert_nothing_twice(home)


async def test_a_parcel_that_a_customer_waits_for_is_not_undone_but_unpacked(
    home: House, prefect_server: RunningServer
) -> None:
    # given a shared parcel of which one channel has heard
    one, other = await two(home)
    await carry_parts(one)
    set_speed(home, 0.01)
    await carry_parts(other)
    (shared,) = waybills(home, one, other)
    # when the order that its channel has not heard of is cancelled
    cancel(one)
    set_speed(home, 100)
    await ended(one)
    # then the warehouse is asked to take its goods out, and the other one's parcel goes
    assert "in_shared_parcel" in await holds(one)
    assert shared not in home.effects("sf", "cancel_waybill")
    assert (part_of(one).stage, part_of(other).stage) == (Stage.CANCELLED.value, Stage.SHIPPED.value)
    assert parcel(one) is None
    assert_nothing_twice(home)


async def test_a_parcel_that_the_carrier_has_is_not_given_back(home: House, prefect_server: RunningServer) -> None:
    # given a sealed parcel that the carrier has picked up, and a channel that has not heard of it
    one, other = await two(home)
    home.sandbox.world.set_fault(*NOTICES["shopify"], "http_429", times=9, detail={"retry_after": 600})
    await carry_parts(one)
    await carry_parts(other)
    await asyncio.sleep(0.2)
    cancel(one)
    home.sandbox.world.clear_faults()
    await ended(one)
    # then a person hears of it, and the other one goes on with it
    assert "parcel_gone" in await holds(one)
    let_time_pass()
    await carry_parts(other)
    assert part_of(other).stage == Stage.SHIPPED.value
    assert len(waybills(home, one, other)) == 1
    assert [row.detail["stopped"] for row in rows_of(other) if row.kind == "called_back"] == [False]


def rows_of(order: Order) -> list[OrderEvent]:
    return transact(lambda session: timeline(session, order.id or 0))


async def test_a_new_address_after_the_waybill_has_it_undone(home: House, prefect_server: RunningServer) -> None:
    one, other = await two(home)
    behind(home)
    await carry_parts(one)
    await carry_parts(other)
    (shared,) = waybills(home, one, other)
    transact(lambda session: move(session, one))
    home.sandbox.world.clear_faults()
    set_speed(home, 100)
    for _ in range(3):
        let_time_pass()
        await carry_parts(one)
        await carry_parts(other)
    assert [part_of(order).stage for order in (one, other)] == [Stage.SHIPPED.value] * 2
    assert waybills(home, one, other) == {shared: 1, f"{one.order_no}-1": 1, f"{other.order_no}-1": 1}
    addresses = [asked_of_carrier(home, order)["contacts"][1]["address"] for order in (one, other)]
    assert [address == "新路 9 号" for address in addresses] == [True, False]
    assert_nothing_twice(home)


def move(session: Session, order: Order) -> None:
    """The customer of this order, and of no other, lives elsewhere now."""
    contact = session.get_one(Contact, session.get_one(Order, order.id).contact_id)
    keep_contact(session, replace(reveal(contact), detail="新路 9 号"), contact)


async def test_a_new_address_after_the_channel_has_heard_is_a_persons(
    home: House, prefect_server: RunningServer
) -> None:
    one, other = await two(home)
    await carry_parts(one)
    await carry_parts(other)
    await carry_parts(one)
    assert_shipped_together(home, one, other)
    transact(lambda session: moved_on_channel(session, one))
    await carry_parts(one)
    assert (await holds(one), await holds(other)) == (["address_changed"], [])
    assert [part_of(order).stage for order in (one, other)] == [Stage.SHIPPED.value] * 2
    assert len(waybills(home, one, other)) == 1


def moved_on_channel(session: Session, order: Order) -> None:
    """The channel says that the customer of this order lives elsewhere now."""
    known = lock_order(session, order.id or 0)
    receiver = replace(reveal(session.get_one(Contact, known.contact_id)), detail="新路 9 号")
    assert follow_receiver(session, known, receiver, "platform:shopify", utcnow())


async def test_an_edit_after_the_waybill_has_it_undone(home: House, prefect_server: RunningServer) -> None:
    one, other = await two(home)
    behind(home)
    await carry_parts(one)
    await carry_parts(other)
    (shared,) = waybills(home, one, other)
    ids = one.id or 0
    transact(lambda session: record(session, ids, ChangeKind.LINES, {}, {}, "platform:shopify", utcnow()))
    home.sandbox.world.clear_faults()
    set_speed(home, 100)
    for _ in range(3):
        let_time_pass()
        await carry_parts(one)
        await carry_parts(other)
    assert [part_of(order).stage for order in (one, other)] == [Stage.SHIPPED.value] * 2
    assert waybills(home, one, other) == {shared: 1, f"{one.order_no}-1": 1, f"{other.order_no}-1": 1}
    assert_nothing_twice(home)


async def test_a_person_merges_and_undoes_it_before_and_after_the_waybill(
    home: House, prefect_server: RunningServer
) -> None:
    with with_policy(merge_within_minutes=0):
        one, other = await two(home)
        for order in (one, other):  # both reserved, and nothing further
            home.sandbox.world.set_fault("sf", "create_waybill", "http_503", times=2)
            await carry_parts(order)
        home.sandbox.world.clear_faults()
        behind(home)
        ids = [part_of(order).id or 0 for order in (one, other)]
        said = transact(lambda session: merge(session, ids, "王敏", utcnow()))
        assert said == f"{one.order_no}-1、{other.order_no}-1 会装在同一个包裹里发出。"
        let_time_pass()
        await carry_parts(one)
        await carry_parts(other)
        (shared,) = [n for n in waybills(home, one, other) if "-M" in n]
        # undone after the waybill: called back, and each goes alone
        said = transact(lambda session: unmerge(session, ids[0], "王敏", utcnow()))
        assert "正在撤回合并包裹的运单" in said
        home.sandbox.world.clear_faults()
        for _ in range(3):
            let_time_pass()
            await carry_parts(one)
            await carry_parts(other)
        assert [part_of(order).stage for order in (one, other)] == [Stage.SHIPPED.value] * 2
        assert home.effects("sf", "cancel_waybill")[shared] == 1
        assert waybills(home, one, other) == {shared: 1, f"{one.order_no}-1": 1, f"{other.order_no}-1": 1}
        with pytest.raises(MergeRefused, match="已经发货或了结"):
            transact(lambda session: merge(session, ids, "王敏", utcnow()))
        with pytest.raises(MergeRefused, match="没有和别的订单合并"):
            transact(lambda session: unmerge(session, ids[0], "王敏", utcnow()))
    assert groups(one) == ["undone"]
    assert_nothing_twice(home)


def groups(order: Order) -> list[str]:
    """What became of the shared parcels that the order was in."""
    asked = (
        select(SharedParcel.state)
        .join(SharedParcelMember, col(SharedParcelMember.shared_parcel_id) == col(SharedParcel.id))
        .where(SharedParcelMember.fulfilment_id == part_of(order).id)
    )
    return transact(lambda session: list(session.exec(asked)))


async def test_news_of_the_route_reach_all_who_share_the_parcel(home: House, prefect_server: RunningServer) -> None:
    one, other = await two(home)
    await carry_parts(one)
    await carry_parts(other)
    await carry_parts(one)
    transact(long_ago)
    await asyncio.sleep(0.7)
    await carry_parts(one)
    assert part_of(one).stage == Stage.DELIVERED.value
    rows = [parcel(order) for order in (one, other)]
    assert [row.state for row in rows if row] == ["signed", "signed"]
    assert events(other)["route_reported"] == 1
    await carry_parts(other)
    assert part_of(other).stage == Stage.DELIVERED.value
    assert (events(one)["delivered"], events(other)["delivered"]) == (1, 1)


def long_ago(session: Session) -> None:
    for row in session.exec(select(Parcel)):
        row.created_at = row.created_at.replace(year=2000)
        session.add(row)
