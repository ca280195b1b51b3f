"""Single steps: what they do the second time, and with payments that are not what the order says."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.sandbox import shopify_orders
from models.database import transact, utcnow
from models.fulfilment import ClaimLost, Stage, WaitingOn, carried_by
from models.order import Order
from tasks.payment import verify_payment
from tasks.recipe import match_recipe
from tasks.stock import reserve_stock
from tasks.working import MustWait
from tests.carrying import claim, holds, placed
from tests.e2e.told_once import balance, events
from tests.house import House
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer


async def test_a_recipe_is_matched_and_stock_reserved_once(home: House) -> None:
    order = await placed(home, Kind.MADE)
    mine = await claim(order)
    for _ in range(2):
        await match_recipe(mine)
    parts = transact(lambda session: carried_by(session, mine.fulfilment_id))
    assert any(part.recipe for part in parts)
    for _ in range(2):
        await reserve_stock(mine)
    # then the ingredients are promised once
    reserved = balance(order)
    assert reserved and all(on_hand == 0 and held > 0 for on_hand, held in reserved.values())
    happened = events(order)
    assert (happened["recipe_matched"], happened["reserved"]) == (1, 1)
    assert fulfilment_of(order).stage == mine.stage.value == Stage.RESERVED.value


async def test_a_step_whose_claim_is_lost_changes_nothing(home: House) -> None:
    order = await placed(home)
    mine = await claim(order)
    mine.fence -= 1
    with pytest.raises(ClaimLost):
        await reserve_stock(mine)
    assert balance(order) == {}
    assert fulfilment_of(order).stage == Stage.RECEIVED.value


async def test_a_payment_is_asked_for_once(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    mine = await claim(order)
    await verify_payment(mine)
    home.sandbox.world.set_fault("shopify", "order", "http_500", times=9)
    await verify_payment(mine)
    assert events(order)["payment_verified"] == 1


async def test_a_payment_of_another_sum_stops_the_order_for_a_person(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order of which the platform says that one fen is missing
    order = await placed(home)
    _change(home, order, lambda document: document.update(totalReceivedSet=_received(order.total_fen - 1)))
    with pytest.raises(MustWait, match="对不上") as stopped:
        await verify_payment(await claim(order))
    assert stopped.value.on is WaitingOn.PERSON
    assert await holds(order) == ["paid_amount_differs"]
    assert events(order)["payment_verified"] == 0


async def test_an_order_that_was_refunded_meanwhile_is_cancelled_not_made(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, Kind.MADE)
    _change(home, order, lambda document: shopify_orders.cancel(document, utcnow()))
    with pytest.raises(ClaimLost, match="转入取消流程"):
        await verify_payment(await claim(order))
    assert events(order)["cancel_requested"] == 1
    assert events(order)["payment_verified"] == 0


def _change(home: House, order: Order, change: Any) -> None:
    world = home.sandbox.world
    with world.transaction():
        document = world.get(shopify_orders.ORDER, order.channel_order_id)
        assert document is not None
        change(document)
        shopify_orders.save(world, document, utcnow())


def _received(fen: int) -> dict[str, Any]:
    return {"shopMoney": {"amount": f"{fen // 100}.{fen % 100:02d}"}}
