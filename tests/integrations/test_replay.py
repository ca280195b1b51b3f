"""Baskets of the history, placed on the played platforms and read back through the channels."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from integrations.channels import Channel
from integrations.channels.douyin import Douyin
from integrations.channels.shopify import Shopify
from integrations.channels.wechat_shop import WeChatShop
from integrations.sandbox.baskets import FLAWS
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.history import HistoricOrder, customers, orders
from integrations.sandbox.replay import CHANNEL_OF_HISTORY, SHOPS, STATE, cancel, jobs, pay, place, replay, scaled
from integrations.sandbox.world import World
from models.intake import IncomingOrder, PlatformStatus
from models.settings import Settings
from tests.integrations.sandbox_server import NOON, sandbox


def channels(settings: Settings, client: httpx.AsyncClient) -> dict[str, Channel]:
    return {
        "shopify": Shopify(settings.shopify, client),
        "wechat_shop": WeChatShop(settings.wechat_shop, client),
        "douyin": Douyin(settings.douyin, client),
    }


def made_to_order(channel: str) -> HistoricOrder:
    """The first basket of the channel with two lines of which one is for a pet."""
    return next(
        order
        for order in orders()
        if CHANNEL_OF_HISTORY[order.channel] == channel
        and len(order.lines) == 2
        and sum(line.pet is not None for line in order.lines) == 1
    )


def place_one(world: World, channel: str, order: HistoricOrder, *, paid: bool = True) -> str:
    return place(world, channel, order, customers()[order.customer_id], NOON, paid=paid)


async def nobody(url: str, body: bytes, headers: dict[str, str]) -> int:
    raise AssertionError("a replay posts nothing")


async def do_all(world: World) -> Counter[str]:
    """Do every job that is due; returns how many of each kind."""
    handlers = jobs(Credentials(), "")
    done: Counter[str] = Counter()
    while due := world.due():
        for job in due:
            await handlers[job.kind](job, world, nobody)
            world.done(job)
            done[job.kind] += 1
    return done


def placed(world: World) -> Counter[str]:
    return Counter({channel: world.size(shop.ORDER) for channel, shop in SHOPS.items() if world.size(shop.ORDER)})


async def test_basket_placed_on_each_channel_reads_back_the_same(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        for name, channel in channels(running.settings, running.client).items():
            order = made_to_order(name)
            customer = customers()[order.customer_id]

            found = await channel.order(place_one(running.world, name, order))

            assert found.status == PlatformStatus.TO_SHIP
            assert (found.total_fen, found.paid_fen) == (order.total_fen, order.total_fen)
            assert sum(line.paid_fen for line in found.lines) + found.freight_fen == found.total_fen
            assert [(line.sku, line.quantity, line.unit_price_fen, line.paid_fen) for line in found.lines] == [
                (line.sku, line.quantity, line.unit_price_fen, line.total_fen) for line in order.lines
            ]
            receiver = await channel.receiver(found.channel_order_id)
            assert (receiver.name, receiver.phone, receiver.masked) == (customer.name, customer.phone, False)
            assert (receiver.province, receiver.city) == (customer.province, customer.city)
            assert receiver.district + receiver.detail == customer.district + customer.street


async def test_pet_keeps_its_age_and_all_ten_answers_on_every_channel(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        for name, channel in channels(running.settings, running.client).items():
            order = made_to_order(name)
            [index] = [number for number, line in enumerate(order.lines) if line.pet is not None]
            pet = customers()[order.customer_id].pets[order.lines[index].pet or 0]

            found = await channel.order(place_one(running.world, name, order))

            answers = {**found.attributes, **found.lines[index].attributes}
            assert len(answers) == 10
            assert (answers["species"], answers["breed"]) == (pet.species, pet.breed)
            assert answers["allergens"] == (",".join(pet.allergens) or "无")
            assert answers["birth_date"] == (pet.birth_date + timedelta(days=(NOON - order.placed_at).days)).isoformat()


async def test_unpaid_order_is_paid_later_and_cancelled_orders_say_so(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        world = running.world
        for name, channel in channels(running.settings, running.client).items():
            kept, dropped = (place_one(world, name, order, paid=False) for order in orders()[:2])
            assert (await channel.order(kept)).status == PlatformStatus.AWAITING_PAYMENT

            pay(world, name, kept, NOON + timedelta(minutes=5))
            cancel(world, name, dropped, NOON + timedelta(minutes=5))

            paid = await channel.order(kept)
            assert (paid.status, paid.paid_at) == (PlatformStatus.TO_SHIP, NOON + timedelta(minutes=5))
            assert (await channel.order(dropped)).status == PlatformStatus.CANCELLED
            cancel(world, name, kept, NOON + timedelta(minutes=6))
            assert (await channel.order(kept)).status == PlatformStatus.REFUNDED


def test_unknown_order_cannot_be_cancelled(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite")
    with pytest.raises(KeyError, match="douyin has no order 1"):
        cancel(world, "douyin", "1", NOON)
    world.close()


def test_two_thousand_orders_are_placed_in_seconds(tmp_path: Path) -> None:
    world, people = World(tmp_path / "w.sqlite"), customers()
    baskets = orders(limit=2000)

    begun = time.monotonic()
    with world.transaction():
        ids = {
            place(world, CHANNEL_OF_HISTORY[order.channel], order, people[order.customer_id], NOON) for order in baskets
        }

    assert time.monotonic() - begun < 10.0
    assert len(ids) == sum(placed(world).values()) == 2000
    world.close()


def test_order_of_one_number_is_placed_once(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite")
    order = orders()[0]
    customer = customers()[order.customer_id]
    first = place(world, "douyin", order, customer, NOON, number=7)
    again = place(world, "douyin", order, customer, NOON + timedelta(minutes=1), number=7)

    assert first == again
    [document] = world.window("douyin.order")
    assert document["create_time"] == NOON.timestamp()
    world.close()


def test_gaps_are_those_of_the_history_in_another_measure() -> None:
    moments = [NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=1), NOON + timedelta(hours=4)]
    assert scaled(moments, 60.0) == [0.0, 15.0, 15.0, 60.0]
    assert scaled(moments, 0.0) == [0.0, 0.0, 0.0, 0.0]
    assert scaled(moments[:1], 60.0) == [0.0]
    assert scaled([], 60.0) == []


async def test_replay_places_every_basket_once_and_only_when_it_is_due(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite")
    history = orders(limit=310)
    replay(world, 10, 3600.0)
    await do_all(world)
    assert placed(world) == {CHANNEL_OF_HISTORY[history[0].channel]: 1}  # the others lie ahead

    world.speed = 1_000_000.0
    replay(world, 300, 3600.0)
    await asyncio.sleep(0.01)
    await do_all(world)

    come = [history[0], *history[10:]]
    assert placed(world) == Counter(CHANNEL_OF_HISTORY[order.channel] for order in come)
    world.close()


async def test_job_that_is_done_again_places_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite")
    replay(world, 40, 0.0, channel="shopify")
    again = world.due()
    await do_all(world)
    first = world.window("shopify.order")

    handlers = jobs(Credentials(), "")
    for job in again:
        await handlers[job.kind](job, world, nobody)

    assert len(first) == 40
    assert world.window("shopify.order") == first
    world.close()


async def test_every_so_many_orders_are_bad_or_pay_late(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite", speed=1_000_000.0)
    replay(world, 70, 0.0, channel="wechat_shop", bad_every=10, unpaid_every=7)
    [job] = world.due()
    assert sum(not entry["paid"] for entry in job.body["orders"]) == 10
    assert sorted(entry["flaw"] for entry in job.body["orders"] if entry["flaw"]) == sorted(FLAWS)

    done = await do_all(world)
    await asyncio.sleep(0.01)
    done += await do_all(world)

    assert done == {"replay.place": 1, "replay.pay": 10}
    documents = world.window("wechat_shop.order")
    assert len(documents) == 70
    assert {document["status"] for document in documents} == {20}
    assert sum(document["order_detail"]["delivery_info"]["address_info"] is None for document in documents) == 1
    world.close()


async def test_history_begins_again_when_it_is_used_up(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite")
    world.put(STATE, "", {"number": 0, "next": len(orders()) - 5})
    replay(world, 10, 0.0, channel="douyin")

    await do_all(world)

    buyers = [document["doudian_open_id"] for document in world.window("douyin.order")]
    expected = [*orders()[-5:], *orders()[:5]]
    assert buyers == [f"1@#{order.customer_id}" for order in expected]
    world.close()


async def test_orders_appear_by_themselves_while_the_sandbox_runs(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        since = running.world.now() - timedelta(seconds=1)
        replay(running.world, 12, 0.3)
        async with asyncio.timeout(10):
            while sum(placed(running.world).values()) < 12:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

        found = [
            order
            for channel in channels(running.settings, running.client).values()
            async for page in channel.orders_updated(since, running.world.now() + timedelta(seconds=2))
            for order in page
        ]

        assert len(found) == 12
        assert all(isinstance(order, IncomingOrder) for order in found)
