"""Shopify's cost bucket: calls wait for their turn before they are sent, and are seldom turned away."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integrations.channels import Parcel
from integrations.channels.shopify import Shopify
from integrations.channels.shopify_bucket import FORGET_AFTER, Cost, CostBucket, read_cost
from integrations.errors import Later
from integrations.sandbox import shopify_orders as shop
from integrations.sandbox.shopify import BUCKET, PLAN
from tests.integrations.sandbox_server import NOON, Running, basket, sandbox

LATER = NOON + timedelta(hours=1)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def channel(running: Running) -> Shopify:
    return Shopify(running.settings.shopify, running.client, timeout=5.0)


def place(running: Running, count: int) -> list[str]:
    placed = []
    with running.world.transaction():
        for number in range(count):
            order = shop.written(basket(), number, NOON, paid=True)
            shop.save(running.world, order, NOON + timedelta(seconds=number))
            placed.append(order["id"])
    return placed


def plan(running: Running, maximum: float, restore: float, available: float | None = None) -> None:
    """A small shop: points that its bucket holds, points a second, and what is in it now."""
    running.world.put(PLAN, "", {"maximum": maximum, "restore": restore})
    now = running.world.now().timestamp()
    running.world.put(BUCKET, "", {"available": maximum if available is None else available, "at": now})


def turned_away(running: Running) -> int:
    """How many queries the bucket turned away."""
    return sum(row["deliveries"] for row in running.world.counts() if row["operation"] == "throttled")


async def read(shopify: Shopify) -> list[str]:
    pages = [page async for page in shopify.orders_updated(NOON, LATER)]
    return [order.channel_order_id for page in pages for order in page]


# the estimate -----------------------------------------------------------------------------------------------


def answer(requested: Any = 500, maximum: Any = 1000, available: Any = 100, restore: Any = 50) -> dict[str, Any]:
    status = {"maximumAvailable": maximum, "currentlyAvailable": available, "restoreRate": restore}
    return {"extensions": {"cost": {"requestedQueryCost": requested, "throttleStatus": status}}}


def told(clock: Clock, **changes: Any) -> CostBucket:
    """A bucket that has heard one answer to `orders`."""
    bucket = CostBucket(clock)
    bucket.learn("orders", read_cost(answer(**changes)))
    return bucket


def test_nothing_is_waited_for_before_an_answer_came() -> None:
    assert CostBucket(Clock()).wait("orders") == 0


def test_wait_is_what_is_lacking_at_the_rate_it_comes_back() -> None:
    clock = Clock()
    bucket = told(clock)
    assert bucket.wait("orders") == pytest.approx((500 + 1 - 100) / 50)
    clock.now += 5
    assert bucket.wait("orders") == pytest.approx((500 + 1 - 350) / 50)
    clock.now += 4
    assert bucket.wait("orders") == 0


def test_operation_that_was_never_asked_waits_for_an_empty_bucket_only() -> None:
    assert told(Clock()).wait("order") == 0
    assert told(Clock(), available=-99).wait("order") == pytest.approx(2)


def test_query_that_is_dearer_than_the_bucket_goes_when_the_bucket_is_full() -> None:
    bucket = told(Clock(), requested=5000)
    assert bucket.wait("orders") == pytest.approx((1000 - 100) / 50)


def test_old_answer_is_forgotten_so_that_an_odd_one_stops_nobody_for_good() -> None:
    clock = Clock()
    bucket = told(clock, restore=0.0001)
    assert bucket.wait("orders") == pytest.approx(FORGET_AFTER)
    clock.now += FORGET_AFTER
    assert bucket.wait("orders") == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"requested": None},
        {"requested": "many"},
        {"requested": math.nan},
        {"requested": -1},
        {"restore": 0},
        {"restore": -1},
        {"maximum": math.inf},
        {"available": 10**400},
        {"available": [1]},
    ],
)
def test_cost_that_is_not_what_is_documented_says_nothing(changes: dict[str, Any]) -> None:
    assert read_cost(answer(**changes)) is None
    assert told(Clock(), **changes).wait("orders") == 0


@pytest.mark.parametrize("result", [{}, {"extensions": None}, {"extensions": {"cost": 3}}, {"extensions": []}])
def test_answer_without_a_cost_says_nothing(result: dict[str, Any]) -> None:
    assert read_cost(result) is None


def test_cost_of_an_answer_says_how_long_the_same_takes_to_fit() -> None:
    assert read_cost(answer()) == Cost(500, 1000, 100, 50)
    assert Cost(500, 1000, 100, 50).seconds == 8
    assert Cost(500, 1000, 600, 50).seconds == 0


# taking turns -----------------------------------------------------------------------------------------------


async def test_calls_under_way_count_until_they_are_answered() -> None:
    bucket = told(Clock(), available=1000)
    async with bucket.turn("shopify", "orders", 1):
        assert bucket.wait("orders") > 0
    assert bucket.wait("orders") == 0


async def test_who_asked_first_goes_first_also_when_a_later_one_is_cheaper() -> None:
    clock = Clock()
    bucket = told(clock, available=0)
    bucket.learn("order", read_cost(answer(requested=1, available=0)))
    went: list[str] = []

    async def call(operation: str) -> None:
        async with bucket.turn("shopify", operation, 5):
            went.append(operation)

    waiting = []
    for operation in ("orders", "order", "order"):
        waiting.append(asyncio.create_task(call(operation)))
        await asyncio.sleep(0)
    assert went == []
    bucket.learn("orders", read_cost(answer(available=1000)))
    await asyncio.gather(*waiting)
    assert went == ["orders", "order", "order"]


async def test_turn_that_does_not_come_is_later_with_nothing_sent_and_frees_the_queue() -> None:
    bucket = told(Clock(), available=0)
    with pytest.raises(Later) as caught:
        async with bucket.turn("shopify", "orders", 0.05):
            raise AssertionError("it was not its turn")
    assert (caught.value.code, caught.value.retry_after) == ("THROTTLED", pytest.approx((500 + 1) / 50))

    bucket.learn("orders", read_cost(answer(available=1000)))
    async with bucket.turn("shopify", "orders", 0.05):
        pass


async def test_failed_call_gives_its_share_back() -> None:
    bucket = told(Clock(), available=1000)
    with pytest.raises(ValueError, match="broken"):
        async with bucket.turn("shopify", "orders", 1):
            raise ValueError("broken")
    assert bucket.wait("orders") == 0


# against the played shop ------------------------------------------------------------------------------------


async def test_long_reading_on_a_small_plan_is_turned_away_once_and_then_waits_for_its_turn(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 120)  # 12 pages: each must find 502 points and costs 122
        plan(running, 1000, 1000, available=0)
        shopify = channel(running)

        assert await read(shopify) == placed
        assert turned_away(running) == 1
        assert (await shopify.census(NOON, LATER)).ids == set(placed)
        assert turned_away(running) == 1


async def test_calls_at_the_same_time_share_the_bucket_and_none_is_turned_away(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 30)
        plan(running, 150, 400)
        shopify = channel(running)
        await shopify.order(placed[0])

        found = await asyncio.gather(*(shopify.order(order_id) for order_id in placed))

        assert [order.channel_order_id for order in found] == placed
        assert turned_away(running) == 0


async def test_bucket_that_another_program_empties_stops_a_reading_for_a_moment_only(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 50)
        plan(running, 1000, 1000)
        shopify, seen = channel(running), []
        async for page in shopify.orders_updated(NOON, LATER):
            seen += [order.channel_order_id for order in page]
            if len(seen) in (10, 30):
                plan(running, 1000, 1000, available=0)

        assert seen == placed
        assert turned_away(running) == 2


async def test_telling_does_not_wait_beyond_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.channels.shopify_graphql.LONGEST_WAIT_TO_TELL", 0.1)
    async with sandbox(tmp_path) as running:
        shopify = channel(running)
        [order_id] = place(running, 1)
        order = await shopify.order(order_id)
        lines = tuple((item.channel_line_id, item.quantity) for item in order.lines)
        notice = shopify.shipping_notice(order_id, order.handles, Parcel("SF1", "sf_express", "", lines))
        plan(running, 100, 5, available=0)
        with pytest.raises(Later):
            await shopify.tell_shipped(notice)  # the shop says so
        with pytest.raises(Later, match="no room"):
            await shopify.tell_shipped(notice)  # we know already

        assert turned_away(running) == 1
        assert running.world.effects("shopify", "fulfillmentCreate") == {}


async def test_cost_bucket_says_how_long_to_wait(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        [order_id] = place(running, 1)
        plan(running, 1000, 10, available=2)

        with pytest.raises(Later) as caught:
            await channel(running).order(order_id)

        assert caught.value.code == "THROTTLED"
        assert caught.value.retry_after == pytest.approx(5.0, abs=0.3)  # (52 - 2) points at 10 a second
