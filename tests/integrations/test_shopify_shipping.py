"""Telling Shopify that a parcel is on its way, against the played platform over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from integrations.channels import Parcel
from integrations.channels.shopify import Shopify
from integrations.errors import Refused, Unclear
from integrations.sandbox import shopify_orders as shop
from integrations.sandbox.baskets import Basket
from integrations.sandbox.world import World
from models.intake import IncomingOrder, PlatformStatus
from tests.integrations.sandbox_server import NOON, PET, Running, basket, line, sandbox


def place(world: World, wanted: Basket, number: int) -> str:
    order = shop.written(wanted, number, NOON, paid=True)
    shop.save(world, order, NOON)
    return str(order["id"])


def channel(running: Running, timeout: float = 5.0) -> Shopify:
    return Shopify(running.settings.shopify, running.client, timeout=timeout)


def parcel_of(order: IncomingOrder, waybill: str = "SF1000000001") -> Parcel:
    lines = tuple((item.channel_line_id, item.quantity) for item in order.lines)
    return Parcel(waybill, "sf_express", f"https://example.test/t/{waybill}", lines)


async def test_parcel_told_once_is_shipped_once_and_can_be_asked_for(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shopify = channel(running)
        order = await shopify.order(place(running.world, basket(line(pet=PET), line("CAT-2", 3)), 0))
        notice = shopify.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        assert notice == shopify.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        assert await shopify.was_told_shipped(notice) is None

        told = await shopify.tell_shipped(notice)

        known = await shopify.was_told_shipped(notice)
        assert known is not None
        assert (known["id"], known["remaining"]) == (told["id"], 0)
        assert known["trackingInfo"][0]["company"] == "SF Express"
        assert (await shopify.order(order.channel_order_id)).status == PlatformStatus.SHIPPED
        key = f"{order.channel_order_id}:SF1000000001"
        assert running.world.effects("shopify", "fulfillmentCreate") == {key: 1}


async def test_whole_order_told_twice_is_refused_the_second_time(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shopify = channel(running)
        order = await shopify.order(place(running.world, basket(), 0))
        notice = shopify.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        await shopify.tell_shipped(notice)

        with pytest.raises(Refused, match="unfulfillable status"):
            await shopify.tell_shipped(notice)

        [counted] = running.world.counts()
        assert (counted["deliveries"], counted["effects"], counted["keys_twice"]) == (2, 1, 0)


async def test_part_of_a_line_told_twice_ships_twice_because_shopify_has_no_key(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shopify = channel(running)
        order = await shopify.order(place(running.world, basket(line(quantity=2)), 0))
        parcel = Parcel("SF1", "sf_express", "https://example.test/t", ((order.lines[0].channel_line_id, 1),))
        notice = shopify.shipping_notice(order.channel_order_id, order.handles, parcel)

        await shopify.tell_shipped(notice)
        assert (await shopify.order(order.channel_order_id)).status == PlatformStatus.PART_SHIPPED
        await shopify.tell_shipped(notice)

        [counted] = running.world.counts()
        assert (counted["deliveries"], counted["effects"], counted["keys_twice"]) == (2, 2, 1)


async def test_time_out_after_success_is_unclear_and_asking_finds_the_parcel(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shopify = channel(running, timeout=0.5)
        order = await shopify.order(place(running.world, basket(), 0))
        notice = shopify.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        running.world.set_fault("shopify", "fulfillmentCreate", "timeout_after", detail={"seconds": 5})

        with pytest.raises(Unclear, match="timeout"):
            await shopify.tell_shipped(notice)

        assert await shopify.was_told_shipped(notice) is not None
        assert sum(running.world.effects("shopify", "fulfillmentCreate").values()) == 1


async def test_time_out_before_acting_leaves_nothing_to_find(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shopify = channel(running, timeout=0.5)
        order = await shopify.order(place(running.world, basket(), 0))
        notice = shopify.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        running.world.set_fault("shopify", "fulfillmentCreate", "timeout_before", detail={"seconds": 5})

        with pytest.raises(Unclear):
            await shopify.tell_shipped(notice)

        assert await shopify.was_told_shipped(notice) is None
        assert running.world.counts() == []


async def test_notice_for_more_than_is_left_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shopify = channel(running)
        order = await shopify.order(place(running.world, basket(), 0))
        parcel = Parcel("SF1", "sf_express", "", ((order.lines[0].channel_line_id, 2),))

        with pytest.raises(Refused, match="nothing_left"):
            shopify.shipping_notice(order.channel_order_id, order.handles, parcel)
