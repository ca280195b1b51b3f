"""What a platform itself says of a window, against the reading of it: WeChat shop and Douyin."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from integrations.channels import Channel
from integrations.channels.douyin import Douyin
from integrations.channels.wechat_shop import WeChatShop
from integrations.errors import Unclear
from integrations.sandbox import douyin_orders, wechat_shop_orders
from integrations.sandbox.douyin import LIMITS
from integrations.sandbox.listing_lag import hide
from tests.integrations.sandbox_server import NOON, Running, basket, sandbox

SHOPS: dict[str, Any] = {"wechat_shop": wechat_shop_orders, "douyin": douyin_orders}
HOUR = NOON + timedelta(hours=1)


def channel(running: Running, name: str) -> Channel:
    if name == "douyin":
        return Douyin(running.settings.douyin, running.client)
    return WeChatShop(running.settings.wechat_shop, running.client)


def place(running: Running, name: str, number: int, at: datetime = NOON) -> str:
    order = SHOPS[name].written(basket(), number, at, paid=True)
    SHOPS[name].save(running.world, order, at)
    return str(order["order_id"])


def move(running: Running, name: str, order_id: str, at: datetime) -> None:
    """The order is updated again."""
    order = running.world.get(SHOPS[name].ORDER, order_id)
    SHOPS[name].save(running.world, order, at)


async def read(shop: Channel, since: datetime, until: datetime) -> set[str]:
    return {order.channel_order_id async for page in shop.orders_updated(since, until) for order in page}


@pytest.mark.parametrize("name", SHOPS)
async def test_census_of_a_quiet_window_is_what_was_read(tmp_path: Path, name: str) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = {place(running, name, n, NOON + timedelta(seconds=n // 2)) for n in range(230)}
            place(running, name, 230, NOON - timedelta(seconds=1))
            place(running, name, 231, HOUR)
        shop = channel(running, name)

        census = await shop.census(NOON, HOUR)

        assert (census.count, census.ids) == (230, placed)
        assert await read(shop, NOON, HOUR) >= census.ids


@pytest.mark.parametrize("name", SHOPS)
async def test_census_of_nothing_is_zero(tmp_path: Path, name: str) -> None:
    async with sandbox(tmp_path) as running:
        shop = channel(running, name)
        for until in (HOUR, NOON):
            census = await shop.census(NOON, until)
            assert (census.count, census.ids) == (0, frozenset())


async def test_douyin_counts_what_its_listing_does_not_show_yet(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = [place(running, "douyin", n, NOON + timedelta(seconds=n)) for n in range(120)]
        hide(running.world, douyin_orders.ORDER, placed[40], 60)
        shop = channel(running, "douyin")

        lagging = await shop.census(NOON, HOUR)
        assert (lagging.count, len(lagging.ids)) == (120, 119)
        assert await read(shop, NOON, HOUR) == lagging.ids == set(placed) - {placed[40]}

        hide(running.world, douyin_orders.ORDER, placed[40], 0)
        assert (await shop.census(NOON, HOUR)).ids - lagging.ids == {placed[40]}


async def test_wechat_cannot_know_of_an_order_that_it_does_not_list(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = [place(running, "wechat_shop", n) for n in range(3)]
        hide(running.world, wechat_shop_orders.ORDER, placed[1], 60)
        shop = channel(running, "wechat_shop")

        census = await shop.census(NOON, HOUR)
        assert (census.count, census.ids) == (2, {placed[0], placed[2]})
        assert (await shop.order(placed[1])).channel_order_id == placed[1]  # it is there all the time

        hide(running.world, wechat_shop_orders.ORDER, placed[1], 0)
        assert (await shop.census(NOON, HOUR)).ids == set(placed)


async def test_order_may_lag_behind_uncounted(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = [place(running, "douyin", n) for n in range(3)]
        hide(running.world, douyin_orders.ORDER, placed[0], 60, is_counted=False)

        census = await channel(running, "douyin").census(NOON, HOUR)

        assert (census.count, census.ids) == (2, set(placed[1:]))


async def test_window_beyond_the_ceiling_is_counted_in_halves_and_nobody_twice(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():  # a busy second at each place where windows are cut
            placed = {place(running, "douyin", n, NOON + timedelta(seconds=n // 9)) for n in range(450)}
        running.world.put(LIMITS, "", {"ceiling": 200})
        douyin = Douyin(running.settings.douyin, running.client)
        douyin.ceiling = 200

        census = await douyin.census(NOON, NOON + timedelta(seconds=50))

        assert (census.count, census.ids) == (450, placed)
        assert await read(douyin, NOON, NOON + timedelta(seconds=50)) == placed


async def test_orders_that_leave_the_window_between_pages_hide_nobody_from_the_census(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = [place(running, "douyin", n, NOON + timedelta(seconds=n)) for n in range(210)]
        async with MovingClient(running, placed[-5:]) as moving:
            census = await Douyin(running.settings.douyin, moving).census(NOON, HOUR)

        assert census.count == 205
        assert census.ids >= set(placed[:205])


async def test_weeks_are_counted_window_by_window(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        # the second where one window ends and the next begins is in one of them
        edges = [timedelta(0), timedelta(days=7), timedelta(days=7, seconds=1), timedelta(days=14), timedelta(days=15)]
        placed = [place(running, "wechat_shop", n, NOON + edge) for n, edge in enumerate(edges)]

        census = await channel(running, "wechat_shop").census(NOON, NOON + timedelta(days=15))

        assert (census.count, census.ids) == (4, set(placed[:-1]))


async def test_census_begins_again_when_its_key_is_refused(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = {place(running, "wechat_shop", n) for n in range(120)}
        shop = channel(running, "wechat_shop")
        await shop.order(min(placed))
        running.world.set_fault("wechat_shop", "order/list/get", "wrong_key", times=2)

        assert (await shop.census(NOON, HOUR)).ids == placed


@pytest.mark.parametrize(("name", "call"), [("wechat_shop", "order/list/get"), ("douyin", "order.searchList")])
async def test_census_that_cannot_be_taken_is_no_census(tmp_path: Path, name: str, call: str) -> None:
    async with sandbox(tmp_path) as running:
        place(running, name, 0)
        running.world.set_fault(name, call, "http_500", times=6)
        with pytest.raises(Unclear):
            await channel(running, name).census(NOON, HOUR)


class MovingClient(httpx.AsyncClient):
    """A client beside whom, after the first page of a listing, orders are updated."""

    def __init__(self, running: Running, moved: list[str]) -> None:
        super().__init__(trust_env=False)
        self._running, self._moved = running, moved

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        answered = await super().send(request, **options)
        if request.url.path.endswith("/order/searchList"):
            while self._moved:
                move(self._running, "douyin", self._moved.pop(), HOUR + timedelta(hours=1))
        return answered
