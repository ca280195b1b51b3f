"""A census of the played Shopify shop: what it counts and lists, also while its index lags behind."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from integrations.channels import Census
from integrations.channels.shopify import Shopify
from integrations.errors import Refused
from integrations.sandbox import shopify_orders as shop
from integrations.sandbox.shopify_index import hide, index_late
from integrations.sandbox.shopify_operations import SCOPES
from models.wording import TZ
from tests.integrations.sandbox_server import NOON, Running, basket, sandbox

LATER = NOON + timedelta(hours=1)


def channel(running: Running) -> Shopify:
    return Shopify(running.settings.shopify, running.client, timeout=5.0)


def place(running: Running, count: int, first: int = 0, at: datetime = NOON) -> list[str]:
    """Orders updated a second after each other."""
    placed = []
    with running.world.transaction():
        for number in range(first, first + count):
            order = shop.written(basket(), number, at + timedelta(seconds=number), paid=True)
            shop.save(running.world, order, at + timedelta(seconds=number))
            placed.append(order["id"])
    return placed


async def read(running: Running, shopify: Shopify) -> set[str]:
    pages = [page async for page in shopify.orders_updated(NOON, LATER)]
    return {order.channel_order_id for page in pages for order in page}


async def test_census_counts_and_lists_what_a_reading_of_the_same_window_finds(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        place(running, 5, at=NOON - timedelta(hours=1))
        placed = place(running, 12, first=5)
        place(running, 1, first=17, at=LATER)

        census = await channel(running).census(NOON, LATER)

        assert census == Census(12, frozenset(placed))
        assert await read(running, channel(running)) == census.ids


async def test_census_of_many_pages_names_every_order_once(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 620)

        census = await channel(running).census(NOON, LATER)

        assert (census.count, census.ids) == (620, frozenset(placed))


async def test_census_of_nothing_is_empty(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        assert await channel(running).census(NOON, LATER) == Census(0, frozenset())


async def test_window_with_fractions_of_seconds_is_the_same_for_reading_and_census(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 3)
        since, until = NOON + timedelta(milliseconds=300), NOON + timedelta(seconds=1, milliseconds=1)

        census = await channel(running).census(since, until)
        pages = [page async for page in channel(running).orders_updated(since, until)]

        assert census == Census(2, frozenset(placed[:2]))
        assert [order.channel_order_id for page in pages for order in page] == placed[:2]


async def test_count_that_is_not_exact_proves_no_more_than_the_listing(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 3)
        running.world.set_fault("shopify", "ordersCount", "at_least")

        assert await channel(running).census(NOON, LATER) == Census(3, frozenset(placed))


@pytest.mark.parametrize(("counted", "count"), [(True, 3), (False, 2)])
async def test_order_that_is_indexed_late_is_counted_or_not_and_listed_later(
    tmp_path: Path, counted: bool, count: int
) -> None:
    async with sandbox(tmp_path) as running:
        shopify = channel(running)
        placed = place(running, 3)
        hide(running.world, placed[1], 3600, counted=counted)

        early = await shopify.census(NOON, LATER)
        assert early == Census(count, frozenset({placed[0], placed[2]}))
        assert await read(running, shopify) == early.ids
        # its id was all that was missing: it can be read
        assert (await shopify.order(placed[1])).channel_order_id == placed[1]

        hide(running.world, placed[1], 0)
        assert await shopify.census(NOON, LATER) == Census(3, frozenset(placed))
        assert await read(running, shopify) == set(placed)


async def test_every_third_new_order_is_indexed_late_until_the_plan_ends(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        index_late(running.world, every=3, seconds=3600)
        late = place(running, 7)
        index_late(running.world, every=0, seconds=0)
        punctual = place(running, 3, first=7)

        census = await channel(running).census(NOON, LATER)

        assert census == Census(10, frozenset({*late, *punctual} - {late[2], late[5]}))


async def test_census_waits_out_trouble_like_a_reading(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 2)
        running.world.set_fault("shopify", "ordersCount", "http_500")
        running.world.set_fault("shopify", "orderIds", "throttled", detail={"seconds": 0.1})

        assert await channel(running).census(NOON, LATER) == Census(2, frozenset(placed))


async def test_census_without_permission_is_refused(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        wrong = running.settings.shopify.model_copy(update={"access_token": SecretStr("no"), "client_id": ""})
        with pytest.raises(Refused, match="401"):
            await Shopify(wrong, running.client).census(NOON, LATER)


async def test_without_the_scope_for_all_orders_the_last_sixty_days_are_shown_and_it_says_so(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shopify, now = channel(running), running.world.now()
        old, new = now - timedelta(days=70), now - timedelta(days=50)
        [ancient] = place(running, 1, at=old)
        [recent] = place(running, 1, first=1, at=new)
        # with the scope, both are there
        assert await shopify.horizon(old, now) is None
        assert (await shopify.census(old, now)).ids == {ancient, recent}
        # without it, the older one is nowhere, and the channel names the scope and the day
        running.world.put(SCOPES, "", {"handles": ["read_orders"]})
        assert await shopify.census(old, now) == Census(1, frozenset({recent}))
        with pytest.raises(Refused, match="not_found"):
            await shopify.order(ancient)
        horizon = await shopify.horizon(old, now)
        assert horizon is not None and horizon.since == now - timedelta(days=60)
        assert "read_all_orders" in horizon.sentence and f"{horizon.since.astimezone(TZ):%Y-%m-%d}" in horizon.sentence
        # nobody asks about what every app is shown
        assert await shopify.horizon(new, now) is None
