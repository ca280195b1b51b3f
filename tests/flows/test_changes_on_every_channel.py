"""What a customer changes on Shopify, WeChat shop and Douyin after paying, carried by real steps to its end.

The order (two bags that are made to order, and a bowl from the shelf) has got nowhere yet, or is in production, or has
left, when its platform cancels it, moves it or pays back the bowl; then the shop is read as ever, and lanes go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from integrations.sandbox import (
    douyin_after_sales,
    douyin_orders,
    replay,
    sf_express,
    shopify_orders,
    wechat_after_sales,
    wechat_shop_orders,
)
from integrations.sandbox.world import World
from models.book import Taken, take_orders
from models.database import in_transaction, transact, utcnow
from models.fulfilment import Stage
from models.intake import PlatformStatus, Receiver
from models.order import Contact, Order, lines_of, reveal
from models.refund import refunds_of
from tasks.intake import pull_channel
from tasks.outside import platforms
from tasks.receiver import lift_mask_of
from tests.buying import PRICE, bought, carry_parts, parts_of, shelve_goods
from tests.carrying import holds
from tests.changing import EARLIER, bought_to_order, states
from tests.e2e.money_back import given_back
from tests.e2e.passing_time import set_speed
from tests.e2e.told_once import assert_nothing_twice, balance, events
from tests.house import House
from tests.models.change_lane import shipped
from tests.orders import CHANNELS
from tests.prefect import RunningServer

BOWL = "BOWL-8"
MOVED = Receiver("钱多多", "13911112222", "上海市", "上海市", "浦东新区", "世纪大道 8 号")
STAGES = ("before production", "in production", "shipped")


@pytest.fixture(autouse=True)
def slow_platforms(home: House) -> Iterator[None]:
    """Bowls on the shelf; and platforms whose own time hardly passes until a test says otherwise."""
    shelve_goods({"WH-EAST": {BOWL: 100}})
    set_speed(home, 0.1)
    yield
    set_speed(home, 100.0)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("reached", STAGES)
async def test_cancelled_there_it_is_stopped_called_back_or_a_persons(
    home: House, prefect_server: RunningServer, channel: str, reached: str
) -> None:
    order, bag = await _come_so_far(home, channel, reached)
    await _changed_there(home, order, lambda world, document: _cancel(world, channel, document))
    await _settle(home, order)
    # then what is not out yet never leaves, and what the factory has is called back, once
    number = f"{order.order_no}-1"
    made = f"{number}-1"
    was_asked = reached == "in production"
    assert home.effects("mes", "cancel").get(made, 0) == was_asked
    assert home.effects("mes", "release").get(made, 0) == (reached != "before production")
    assert home.effects("sf", "create_waybill").get(number, 0) == (reached == "shipped")
    # and what has left is a person's
    assert await holds(order) == (["cancel_after_shipping"] if reached == "shipped" else [])
    assert _stages(order) == (["shipped"] if reached == "shipped" else ["cancelled"])
    assert _sent(order) == ({BOWL: 1, bag: 2} if reached == "shipped" else {})
    happened = events(order)
    assert (happened["cancel_requested"], happened["cancelled"]) == (1, reached != "shipped")
    # and stock is back, and the platform alone has paid the money back
    assert reached == "shipped" or balance(order) == {}
    assert transact(lambda session: refunds_of(session, order.id or 0)) == []
    assert_nothing_twice(home)


#: Elsewhere than on Shopify no address can be changed once a parcel has left.
MOVES = [
    (channel, reached) for channel in CHANNELS for reached in STAGES if channel == "shopify" or reached != "shipped"
]


@pytest.mark.parametrize(("channel", "reached"), MOVES)
async def test_moved_there_it_goes_to_the_new_address_or_is_a_persons(
    home: House, prefect_server: RunningServer, channel: str, reached: str
) -> None:
    order, bag = await _come_so_far(home, channel, reached)
    await _changed_there(home, order, lambda world, document: _move(world, channel, document))
    await _settle(home, order)
    # then one parcel has left, to where the customer is now, or a person has been told that it has not
    number, late = f"{order.order_no}-1", reached == "shipped"
    assert home.effects("sf", "create_waybill")[number] == 1
    assert f"{number}-W2" not in home.effects("sf", "create_waybill")
    assert _street(home, number).endswith(MOVED.detail) is not late
    assert await holds(order) == (["address_changed"] if late else [])
    assert states(order) == [("address", "by_hand" if late else "applied")]
    assert _sent(order) == {BOWL: 1, bag: 2}
    assert events(order)["address_changed"] == 1
    # and nothing was made twice or called back
    assert home.effects("mes", "release")[f"{number}-1"] == 1
    assert f"{number}-1" not in home.effects("mes", "cancel")
    assert_nothing_twice(home)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("reached", STAGES)
async def test_a_line_paid_back_there_stays_here_or_is_a_persons(
    home: House, prefect_server: RunningServer, channel: str, reached: str
) -> None:
    order, bag = await _come_so_far(home, channel, reached)
    await _changed_there(home, order, lambda world, document: _pay_back_the_bowl(world, channel, document))
    await _settle(home, order)
    # then the bags have left without the bowl, or a person has been told of it
    number, late = f"{order.order_no}-1", reached == "shipped"
    assert _sent(order) == ({BOWL: 1, bag: 2} if late else {bag: 2})
    assert [code.rstrip("_0123456789") for code in await holds(order)] == ["changed_after_shipping"] * late
    assert sorted(states(order)) == [("lines", "by_hand" if late else "applied"), ("refund", "applied")]
    assert (events(order)["lines_changed"], events(order)["partly_refunded"]) == (1, 1)
    assert balance(order).get(BOWL, (0, 0)) == (-late, 0)
    # and the bags were made once, and the money went back once, by the platform
    assert home.effects("mes", "release")[f"{number}-1"] == 1
    assert f"{number}-1" not in home.effects("mes", "cancel")
    assert transact(lambda session: refunds_of(session, order.id or 0)) == []
    assert given_back(home, order) == PRICE
    assert_nothing_twice(home)


async def test_what_the_platform_has_frozen_waits_until_it_is_free(home: House, prefect_server: RunningServer) -> None:
    order = await bought(home, {BOWL: 1}, "wechat_shop", at=utcnow() - EARLIER)
    told = await platforms().channel("wechat_shop").order(order.channel_order_id)
    frozen = replace(told, status=PlatformStatus.HELD, updated_at=told.updated_at + EARLIER / 4)
    free = replace(told, updated_at=told.updated_at + EARLIER / 2)
    # when the platform freezes it
    assert await in_transaction(lambda session: take_orders(session, [frozen], utcnow())) == {Taken.CHANGED: 1}
    assert [state.name for state in await carry_parts(order)] == ["稍后自动重试"]
    assert _sent(order) == {}
    # then it goes on when it is free
    assert await in_transaction(lambda session: take_orders(session, [free], utcnow())) == {Taken.CHANGED: 1}
    await carry_parts(order)
    assert _sent(order) == {BOWL: 1}
    assert events(order)["changed_on_channel"] == 2


async def test_who_moves_while_the_mask_is_lifted_gets_it_at_the_new_address(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a lane that asks what is under the mask, and a customer who moves before the answer is kept
    order = await bought(home, {BOWL: 1}, "wechat_shop", at=utcnow() - EARLIER)
    shop: Any = platforms().channel("wechat_shop")
    ask = shop.receiver

    async def slowly(channel_order_id: str) -> Receiver:
        answer: Receiver = await ask(channel_order_id)
        await _changed_there(home, order, lambda world, document: _move(world, "wechat_shop", document))
        return answer

    monkeypatch.setattr(shop, "receiver", slowly)
    await lift_mask_of(order.id or 0)
    monkeypatch.undo()
    # when it is carried on
    await carry_parts(order)
    # then the parcel goes to where the customer is now
    assert _street(home, f"{order.order_no}-1") == MOVED.detail
    contact = transact(lambda session: session.get_one(Contact, order.contact_id))
    assert reveal(contact).detail == MOVED.detail
    assert _sent(order) == {BOWL: 1}


async def _come_so_far(home: House, channel: str, reached: str) -> tuple[Order, str]:
    """A new order in the book that has come so far, and the SKU of its bags."""
    order = await bought_to_order(home, 2, {BOWL: 1}, channel)
    (bag,) = transact(lambda session: [line.sku for line in lines_of(session, order.id or 0) if line.made_to_order])
    if reached != "before production":
        await carry_parts(order)
        assert _stages(order) == ["approved"]
    if reached == "shipped":
        set_speed(home, 100.0)
        await _carried_out(order)
        set_speed(home, 0.1)
    return order, bag


async def _changed_there(home: House, order: Order, change: Any) -> None:
    """Somebody changes the order on its platform, and its shop is read as ever."""
    world = home.sandbox.world
    kind = replay.SHOPS[order.channel].ORDER
    with world.transaction():
        change(world, world.get(kind, order.channel_order_id))
    await pull_channel.fn(order.channel)


def _cancel(world: World, channel: str, document: dict[str, Any]) -> None:
    shop, now = replay.SHOPS[channel], utcnow()
    shop.cancel(document, now)
    shop.save(world, document, now)


def _move(world: World, channel: str, document: dict[str, Any]) -> None:
    if channel == "shopify":
        fields = {"name": MOVED.name, "phone": MOVED.phone, "province": MOVED.province, "city": MOVED.city}
        shopify_orders.change_address(document, {**fields, "address1": MOVED.district + MOVED.detail})
    elif channel == "wechat_shop":
        wechat_shop_orders.change_address(document, MOVED)
    else:
        douyin_orders.change_address(document, MOVED)
    replay.SHOPS[channel].save(world, document, utcnow())


def _pay_back_the_bowl(world: World, channel: str, document: dict[str, Any]) -> None:
    if channel == "shopify":
        bowl = next(line for line in document["lineItems"] if line["sku"] == BOWL)
        gone = [] if document["displayFulfillmentStatus"] == "FULFILLED" else [(bowl["id"], 1)]
        shopify_orders.refund_part(document, PRICE, [(bowl["id"], 1)], gone)
        shopify_orders.save(world, document, utcnow())
    elif channel == "wechat_shop":
        products = document["order_detail"]["product_infos"]
        (key,) = [wechat_shop_orders.key_of(product) for product in products if product["sku_code"] == BOWL]
        wechat_after_sales.refund_part(world, document["order_id"], key, utcnow())
    else:
        (line,) = [line["order_id"] for line in document["sku_order_list"] if line["code"] == BOWL]
        douyin_after_sales.refund_part(world, document["order_id"], line, utcnow())


async def _settle(home: House, order: Order) -> None:
    """Lanes hear of it while the factory is still at it; then it makes what it has, and all leaves that is to leave."""
    await carry_parts(order)
    set_speed(home, 100.0)
    await _carried_out(order)


async def _carried_out(order: Order, seconds: float = 30.0) -> None:
    """Carry it again and again until every part has left or has ended."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not all(Stage(part.stage).reached(Stage.SHIPPED) for part in parts_of(order)):
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"{order.order_no}: {[(part.stage, part.waiting_why) for part in parts_of(order)]}")
        await carry_parts(order)
        await asyncio.sleep(0.05)


def _stages(order: Order) -> list[str]:
    return [part.stage for part in parts_of(order)]


def _sent(order: Order) -> dict[str, int]:
    """What has been shipped of the order, by SKU."""
    return dict(transact(lambda session: shipped(session, order)))


def _street(home: House, number: str) -> str:
    """Where the carrier takes the parcel of this number."""
    asked = home.sandbox.world.get(sf_express.ORDER, number)
    assert asked is not None
    (receiver,) = [contact for contact in asked["contacts"] if contact["contactType"] == 2]
    return str(receiver["address"])
