"""Orders that change on their channel while they are carried, with real lanes' steps and platforms that answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from flows.cancel_order import cancel_order
from integrations.sandbox import sf_express
from integrations.sandbox import shopify_orders as shop
from integrations.sandbox.baskets import BasketLine
from models.database import transact, utcnow
from models.fulfilment import Stage
from models.order import Order
from models.production import WorkOrder, WorkState, work_orders_of
from models.refund import refunds_of
from models.review import CaseState, Verdict, decide, latest_case
from tests.buying import PRICE, bought, carry_parts, parts_of, shelve_goods
from tests.carrying import holds, reported, until
from tests.changing import EARLIER, bought_to_order, changed, moves_to, states, takes_away
from tests.e2e.money_back import given_back
from tests.e2e.passing_time import let_time_pass, set_speed
from tests.e2e.told_once import assert_nothing_twice, events
from tests.house import House
from tests.models.change_lane import shipped
from tests.prefect import RunningServer

BOWL, BED = "BOWL-7", "BED-7"


@pytest.fixture(autouse=True)
def goods(home: House) -> None:
    """Bowls and beds on the shelf."""
    shelve_goods({"WH-EAST": {BOWL: 100, BED: 100}})


@pytest.fixture
def slow_platforms(home: House) -> Iterator[None]:
    """Platforms whose own time hardly passes: nothing is made, and no parcel is picked up meanwhile."""
    set_speed(home, 0.1)
    yield
    set_speed(home, home.sandbox.world.speed)


async def test_reduced_before_anything_was_done_sends_what_is_left(home: House, prefect_server: RunningServer) -> None:
    order = await _bought(home, {BOWL: 3, BED: 1})
    # when two bowls and the bed are cancelled, and paid back
    await changed(home, order, takes_away({0: 2, 1: 1}, paid_back=3 * PRICE))
    assert [state.name for state in await carry_parts(order)] == ["已发货"]
    # then one bowl is sent
    assert _sent(order) == {BOWL: 1}
    assert states(order) == [("refund", "applied"), ("lines", "applied")]
    assert (events(order)["lines_changed"], events(order)["partly_refunded"]) == (1, 1)
    assert _cargo(home, f"{order.order_no}-1") == {f"货品 {BOWL}": 1}
    assert await holds(order) == []
    assert_nothing_twice(home)


async def test_edited_in_production_the_factory_is_called_back_and_the_rest_is_made_anew(
    home: House, prefect_server: RunningServer, slow_platforms: None
) -> None:
    # given three bags that are being made, and a bowl
    order = await bought_to_order(home, 3, {BOWL: 1})
    await carry_parts(order)
    (work,) = _works(order)
    # when two bags are cancelled
    await changed(home, order, takes_away({0: 2}))
    await carry_parts(order)
    # then they are called back once, and one bag is made for a part of its own
    assert home.effects("mes", "cancel")[work.work_order_no] == 1
    assert [(w.quantity, w.state) for w in _works(order)] == [(3, "called_back"), (1, "released")]
    assert states(order) == [("lines", "applied")]
    # and all of it is sent, once
    set_speed(home, home.sandbox.world.speed)
    await _until_shipped(order)
    assert _sent(order) == {BOWL: 1, work.sku: 1}
    assert events(order)["replaced"] == 1
    assert await holds(order) == []
    assert_nothing_twice(home)


async def test_edited_when_it_was_made_already_sends_as_many_as_are_wanted(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order whose completion the factory could not report yet
    order = await bought_to_order(home, 3)
    await carry_parts(order)
    await reported(order, WorkState.COMPLETED)
    forget = text("UPDATE work_order SET state = 'in_progress', completed_at = NULL WHERE order_id = :id")
    transact(lambda session: session.connection().execute(forget, {"id": order.id}))
    # when two bags are cancelled, which the factory refuses to stop
    await changed(home, order, takes_away({0: 2}))
    await carry_parts(order)
    said = text("UPDATE work_order SET state = 'completed', completed_at = now() WHERE order_id = :id")
    transact(lambda session: session.connection().execute(said, {"id": order.id}))
    await _until_shipped(order)
    # then one of the three is sent, nothing is made again, and two are somebody's to put into stock
    (work,) = _works(order)
    assert _sent(order) == {work.sku: 1}
    assert [part.stage for part in parts_of(order)] == [Stage.SHIPPED.value]
    assert await holds(order) == [f"overmade_{work.id}_1"]
    assert_nothing_twice(home)


async def test_a_new_address_after_the_waybill_gets_a_new_waybill(
    home: House, prefect_server: RunningServer, slow_platforms: None
) -> None:
    # given a waybill that the channel could not be told of yet
    order = await _bought(home, {BOWL: 1})
    home.sandbox.world.set_fault("shopify", "fulfillmentCreate", "http_429", detail={"retry_after": 600})
    await carry_parts(order)
    assert events(order)["waybill_created"] == 1
    home.sandbox.world.clear_faults()
    # when the customer moves, twice
    for street in ("新地址 5 号", "新地址 6 号"):
        await changed(home, order, moves_to(street))
    await carry_parts(order)
    # then the first waybill is called back, and the parcel goes to the last address, once
    number = f"{order.order_no}-1"
    assert home.effects("sf", "cancel_waybill")[number] == 1
    assert home.effects("sf", "create_waybill")[f"{number}-W2"] == 1
    assert _street(home, f"{number}-W2") == "新地址 6 号"
    assert [part.stage for part in parts_of(order)] == [Stage.SHIPPED.value]
    assert states(order) == [("address", "applied")] * 2
    assert await holds(order) == []
    assert_nothing_twice(home)


async def test_a_new_address_that_comes_too_late_for_the_carrier_is_a_persons(
    home: House, prefect_server: RunningServer
) -> None:
    # given a parcel that the carrier has, and a channel that could not be told
    order = await _bought(home, {BOWL: 1})
    home.sandbox.world.set_fault("shopify", "fulfillmentCreate", "http_429", detail={"retry_after": 600})
    await carry_parts(order)
    home.sandbox.world.clear_faults()
    number = f"{order.order_no}-1"
    await until(lambda: sf_express._shown(_at_sf(home, number)), "the parcel is picked up")
    # when the customer moves
    await changed(home, order, moves_to("新地址 5 号"))
    await carry_parts(order)
    # then it is on somebody's list, and no second waybill is made
    assert await holds(order) == ["address_changed"]
    assert states(order) == [("address", "by_hand")]
    assert f"{number}-W2" not in home.effects("sf", "create_waybill")
    assert_nothing_twice(home)


async def test_reduced_after_the_waybill_sends_less_under_a_new_waybill(
    home: House, prefect_server: RunningServer, slow_platforms: None
) -> None:
    order = await _bought(home, {BOWL: 3})
    home.sandbox.world.set_fault("shopify", "fulfillmentCreate", "http_429", detail={"retry_after": 600})
    await carry_parts(order)
    home.sandbox.world.clear_faults()
    await changed(home, order, takes_away({0: 1}, paid_back=PRICE))
    await carry_parts(order)
    assert _sent(order) == {BOWL: 2}
    assert _cargo(home, f"{order.order_no}-1-W2") == {f"货品 {BOWL}": 2}
    assert await holds(order) == []
    assert_nothing_twice(home)


async def test_an_added_line_waits_for_its_money_and_goes_out_as_a_part_of_its_own(
    home: House, prefect_server: RunningServer, slow_platforms: None
) -> None:
    # given an order in production, to which two beds are added that are not paid yet
    order = await bought_to_order(home, 1)
    await carry_parts(order)
    beds = BasketLine(BED, f"货品 {BED}", 2, PRICE, 0, {})
    await changed(home, order, lambda document: shop.add_line(document, beds))
    await carry_parts(order)
    # then nothing is done for them, and nothing is called back
    assert await holds(order) == ["balance_due"]
    assert states(order) == [("lines", "asked")]
    assert len(parts_of(order)) == 1
    # when they are paid
    await changed(home, order, lambda document: shop.pay(document, utcnow()))
    await carry_parts(order)
    # then they are sent, and what is being made is left alone
    assert await holds(order) == []
    assert [(part.number, part.stage) for part in parts_of(order)] == [(1, "approved"), (2, "shipped")]
    assert events(order)["payment_verified"] == 2
    set_speed(home, home.sandbox.world.speed)
    await _until_shipped(order)
    assert _sent(order) == {_works(order)[0].sku: 1, BED: 2}
    assert all(work.work_order_no not in home.effects("mes", "cancel") for work in _works(order))
    assert_nothing_twice(home)


async def test_what_was_approved_is_not_asked_again_when_it_shrinks_and_is_when_it_grows(
    home: House, prefect_server: RunningServer
) -> None:
    # given two orders above the sum from which a nutritionist decides, both approved
    shrinks, grows = [await _bought(home, {BED: 7}) for _ in range(2)]
    for order in (shrinks, grows):
        await carry_parts(order)
        _approve(order)
    # when one loses a bed, and the other gets a bowl that is paid at once
    bowl = BasketLine(BOWL, f"货品 {BOWL}", 1, PRICE, 0, {})
    await changed(home, shrinks, takes_away({0: 1}))
    await changed(
        home,
        grows,
        lambda document: shop.add_line(document, bowl),
        lambda document: shop.pay(document, utcnow()),
    )
    for order in (shrinks, grows):
        await carry_parts(order)
    # then the first is sent, and somebody looks at the second once more
    assert _sent(shrinks) == {BED: 6}
    assert (events(shrinks)["review_opened"], events(grows)["review_opened"]) == (1, 2)
    _approve(grows)
    await carry_parts(grows)
    assert _sent(grows) == {BED: 7, BOWL: 1}
    assert_nothing_twice(home)


async def test_what_the_platform_paid_back_is_not_paid_back_by_us(home: House, prefect_server: RunningServer) -> None:
    # given an order whose channel has paid back a part by itself
    order = await bought_to_order(home, 1, {BOWL: 1})
    await changed(home, order, lambda document: shop.refund_part(document, 1_000, []))
    # when all of it is cancelled here
    await cancel_order(order.order_no, "客户不要了", "客服小张", return_state=True)
    for _ in range(3):
        await carry_parts(order)
        let_time_pass()
    # then the rest goes back
    assert [part.stage for part in parts_of(order)] == [Stage.CANCELLED.value]
    (refund,) = transact(lambda session: refunds_of(session, order.id or 0))
    assert refund.amount_fen == order.paid_fen - 1_000
    assert given_back(home, order) == order.paid_fen
    assert events(order)["partly_refunded"] == 1
    assert_nothing_twice(home)


async def test_cancelled_here_after_an_edit_there_pays_everything_back(
    home: House, prefect_server: RunningServer, slow_platforms: None
) -> None:
    # given three bags in production, two of which are taken away without being paid back
    order = await bought_to_order(home, 3)
    await carry_parts(order)
    await changed(home, order, takes_away({0: 2}))
    # when the rest is cancelled here
    await cancel_order(order.order_no, "客户不要了", "客服小张", return_state=True)
    set_speed(home, home.sandbox.world.speed)
    for _ in range(3):
        await carry_parts(order)
        let_time_pass()
    # then the shop takes the refund of the one bag that it still knows of, with all the money
    assert [part.stage for part in parts_of(order)] == [Stage.CANCELLED.value]
    assert given_back(home, order) == order.paid_fen
    assert states(order) == [("lines", "declined")]
    assert_nothing_twice(home)


async def test_all_lines_taken_away_there_is_a_cancellation_and_we_pay_what_is_left(
    home: House, prefect_server: RunningServer
) -> None:
    order = await bought_to_order(home, 2)
    await changed(home, order, takes_away({0: 2}, paid_back=PRICE))
    for _ in range(3):
        await carry_parts(order)
        let_time_pass()
    assert [part.stage for part in parts_of(order)] == [Stage.CANCELLED.value]
    (refund,) = transact(lambda session: refunds_of(session, order.id or 0))
    assert (refund.amount_fen, given_back(home, order)) == (PRICE, order.paid_fen)
    assert _sent(order) == {}
    assert_nothing_twice(home)


def _approve(order: Order) -> None:
    """A nutritionist approves what is asked of the order."""
    (part,) = parts_of(order)

    def work(session: Session) -> None:
        case = latest_case(session, part.id or 0)
        assert case is not None and case.state == CaseState.OPEN.value
        decide(session, case.id or 0, Verdict.APPROVE, "王敏", "", utcnow())

    transact(work)


async def _bought(home: House, goods: dict[str, int]) -> Order:
    return await bought(home, goods, at=utcnow() - EARLIER)


def _works(order: Order) -> list[WorkOrder]:
    """The work orders of all parts of the order."""
    parts = [part.id or 0 for part in parts_of(order)]
    return transact(lambda session: [work for id in parts for work in work_orders_of(session, id)])


def _sent(order: Order) -> dict[str, int]:
    """What has been shipped of the order, by SKU."""
    return dict(transact(lambda session: shipped(session, order)))


async def _until_shipped(order: Order) -> None:
    """Carry all parts until each has been shipped or has ended."""
    for _ in range(100):
        if all(Stage(part.stage).reached(Stage.SHIPPED) for part in parts_of(order)):
            return
        await carry_parts(order)
        await asyncio.sleep(0.05)
    pytest.fail(f"{order.order_no} is not shipped: {[(p.number, p.stage, p.waiting_why) for p in parts_of(order)]}")


def _at_sf(home: House, number: str) -> dict[str, Any]:
    """What the carrier has under this number."""
    return home.sandbox.world.get(sf_express.ORDER, number) or {"way": []}


def _cargo(home: House, number: str) -> dict[str, int]:
    return {item["name"]: item["count"] for item in _at_sf(home, number)["cargo"]}


def _street(home: House, number: str) -> str:
    (receiver,) = [contact for contact in _at_sf(home, number)["contacts"] if contact["contactType"] == 2]
    return str(receiver["address"])
