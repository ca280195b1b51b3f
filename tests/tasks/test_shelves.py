"""Publishing stock: sales that come in between, repeats, answers that are lost, channels that are down.

A small shop of its own: three SKUs with 100 pieces each, of which the pool shows 90.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from integrations.channels.shelves import Listed, Shelf, ShelfChange
from integrations.sandbox import shelves
from integrations.sandbox.credentials import settings_for_sandbox
from integrations.sandbox.replay import SHOPS
from integrations.sandbox.shelves import CHANNELS, stock_shelves
from integrations.sandbox.world import World
from models.channel_stock import ChannelStock, of_channel
from models.database import engine_for, transact, utcnow
from models.privacy import new_key
from models.product import Product, save_products
from models.stock import adjust, receive
from models.warehouse import Warehouse
from tasks.outside import platforms
from tasks.shelves import ATTEMPTS, KEEPS_SELLING, TWICE_LISTED, Change, Published, publish_shelf
from tests.database import TemporaryServer, fresh_database
from tests.house import living_in
from tests.integrations.sandbox_server import basket, line
from tests.sandbox import running_sandbox

GOODS = ("BED-1", "BOWL-1", "TOY-1")
CALLS = {"shopify": "inventorySetQuantities", "wechat_shop": "product/stock/update", "douyin": "sku.syncStock"}
ORDERS = {"shopify": "orders", "wechat_shop": "order/list/get", "douyin": "order.searchList"}
LOOKS = {"shopify": "inventoryItems", "wechat_shop": "product/stock/batchget", "douyin": "sku.detail"}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Shop:
    """The small shop: the platforms' world, and what they show."""

    world: World

    def shown(self, sku: str = "BED-1") -> dict[str, int | None]:
        return {channel: shelves.shown(self.world, channel, sku) for channel in CHANNELS}

    def effects(self, channel: str) -> dict[str, int]:
        return {sku: n for sku, n in self.world.effects(channel, CALLS[channel]).items() if n}

    def deliveries(self, channel: str) -> int:
        counted = {(one["platform"], one["operation"]): one["deliveries"] for one in self.world.counts()}
        return int(counted.get((channel, CALLS[channel]), 0))

    def buy(self, channel: str, quantity: int, sku: str = "BED-1", *, paid: bool = True) -> None:
        """A customer buys: the platform has the order, and so many fewer for sale."""
        with self.world.transaction():
            shop, number = SHOPS[channel], next(_numbers)
            now = utcnow().replace(microsecond=0)
            document = shop.written(basket(line(sku, quantity)), number, now, paid=paid)
            shop.save(self.world, document, now)
            shelves.sold(self.world, channel, str(number), [(sku, quantity)])


@pytest.fixture
def shop(database_server: TemporaryServer, tmp_path: Path) -> Iterator[Shop]:
    with fresh_database(database_server) as url, running_sandbox(tmp_path) as sandbox:
        sections = settings_for_sandbox(sandbox.port, "http://127.0.0.1:9", sandbox.credentials)
        place = {"DATABASE_URL": url, "STATE_DIR": str(tmp_path), "PRIVACY_KEY": new_key(), **sections}
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in place.items()}
        with living_in({f"ORDERLOOM_{name.upper()}": value for name, value in texts.items()}):
            transact(_furnish)
            yield Shop(sandbox.world)
        engine_for(url).dispose()


def _furnish(session: Session) -> None:
    session.add(Warehouse(code="WH-1", name="仓库", region="华东"))
    save_products(session, [Product(sku=sku, title=f"货品 {sku}", price_fen=8999) for sku in GOODS])
    session.flush()
    for sku in GOODS:
        receive(session, "WH-1", sku, 100, "期初", "test", utcnow())


async def publish(channel: str) -> Published:
    result: Published = await publish_shelf.fn(channel)
    return result


def rows(channel: str) -> dict[str, ChannelStock]:
    name = platforms().shelf(channel).shop
    return {row.sku: row for row in transact(lambda session: of_channel(session, channel, name))}


class Between:
    """A real shelf on which something happens between look and change."""

    def __init__(self, real: Shelf, happens: Any, times: int = 1) -> None:
        self.name, self.shop = real.name, real.shop
        self._real, self._happens, self._left = real, happens, times

    async def listed(self, skus: Sequence[str]) -> list[Listed]:
        return await self._real.listed(skus)

    async def show(self, change: ShelfChange) -> None:
        if self._left:
            self._left -= 1
            self._happens()
        await self._real.show(change)


def put_between(monkeypatch: pytest.MonkeyPatch, channel: str, happens: Any, times: int = 1) -> None:
    real = platforms().shelf(channel)
    monkeypatch.setitem(platforms().shelves, channel, Between(real, happens, times))


async def test_numbers_of_the_pool_reach_every_channel_once(shop: Shop) -> None:
    stock_shelves(shop.world, {"BED-1": 0, "BOWL-1": 90})
    for channel in CHANNELS:
        published = await publish(channel)
        assert published.sentence == f"{channel} 核对 3 个 SKU,改了 1 个"
        assert published.changes == [Change("BED-1", 0, 90)]
        again = await publish(channel)
        assert (again.changes, again.left, again.error) == ([], {}, "")
        assert (shop.effects(channel), shop.deliveries(channel)) == ({"BED-1": 1}, 1)
        remembered = rows(channel)
        assert (remembered["BED-1"].seen, remembered["BED-1"].published, remembered["BED-1"].wanted) == (90, 90, 90)
        assert (remembered["BOWL-1"].seen, remembered["BOWL-1"].published) == (90, None)
        assert (remembered["TOY-1"].seen, remembered["TOY-1"].wanted) == (None, 90)
    assert shop.shown() == dict.fromkeys(CHANNELS, 90)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_sale_between_look_and_change_survives(channel: str, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    stock_shelves(shop.world, {"BED-1": 50})
    put_between(monkeypatch, channel, lambda: shop.buy(channel, 3))

    published = await publish(channel)

    assert (published.left, published.error) == ({}, "")
    assert shop.shown() == {**dict.fromkeys(CHANNELS, 50), channel: 87}
    assert shop.effects(channel) == {"BED-1": 1}
    # Shopify said that the number was stale, so it was looked at again
    assert shop.deliveries(channel) == (2 if channel == "shopify" else 1)
    # and with the order in the book nothing is put back
    again = await publish(channel)
    assert (again.changes, shop.shown()[channel]) == ([], 87)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("paid", [True, False])
async def test_sale_that_nobody_has_read_yet_is_not_put_back(channel: str, paid: bool, shop: Shop) -> None:
    stock_shelves(shop.world, {"BED-1": 90})
    shop.buy(channel, 4, paid=paid)

    published = await publish(channel)

    assert (published.changes, published.left, published.error) == ([], {}, "")
    assert (shop.shown()[channel], shop.deliveries(channel)) == (86, 0)
    # the other channels learn of it
    other = next(name for name in CHANNELS if name != channel)
    assert (await publish(other)).changes == [Change("BED-1", 90, 86)]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_without_its_orders_a_channels_numbers_only_fall(channel: str, shop: Shop) -> None:
    stock_shelves(shop.world, {"BED-1": 80, "BOWL-1": 95})
    shop.world.set_fault(channel, ORDERS[channel], "http_429", times=99, detail={"retry_after": 60})

    published = await publish(channel)

    assert published.changes == [Change("BOWL-1", 95, 90)]
    assert list(published.left) == ["BED-1"]
    assert "订单没有读全" in rows(channel)["BED-1"].error
    assert (shop.shown("BED-1")[channel], shop.shown("BOWL-1")[channel]) == (80, 90)
    shop.world.clear_faults()
    assert (await publish(channel)).changes == [Change("BED-1", 80, 90)]
    assert rows(channel)["BED-1"].error == ""


async def test_sku_that_keeps_selling_is_left_for_the_next_round(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    stock_shelves(shop.world, {"BED-1": 50})
    put_between(monkeypatch, "shopify", lambda: shop.buy("shopify", 1), times=ATTEMPTS)

    published = await publish("shopify")

    assert (published.changes, published.left) == ([], {"BED-1": KEEPS_SELLING})
    assert (shop.shown()["shopify"], shop.effects("shopify"), shop.deliveries("shopify")) == (47, {}, ATTEMPTS)
    assert (await publish("shopify")).changes == [Change("BED-1", 47, 87)]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_of_two_at_once_one_works_and_nothing_is_changed_twice(channel: str, shop: Shop) -> None:
    stock_shelves(shop.world, dict.fromkeys(GOODS, 10))

    first, second = await asyncio.gather(publish(channel), publish(channel))

    assert sorted([first.busy, second.busy]) == [False, True]
    assert sum(len(one.changes) for one in (first, second)) == 3
    assert shop.effects(channel) == dict.fromkeys(GOODS, 1)
    assert {sku: shop.shown(sku)[channel] for sku in GOODS} == dict.fromkeys(GOODS, 90)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_change_whose_answer_was_lost_is_looked_at_again_and_not_made_twice(channel: str, shop: Shop) -> None:
    stock_shelves(shop.world, {"BED-1": 50})
    shop.world.set_fault(channel, CALLS[channel], "drop")

    published = await publish(channel)
    again = await publish(channel)

    assert (published.changes, list(published.left)) == ([], ["BED-1"])
    assert (again.changes, again.left) == ([], {})
    assert (shop.shown()[channel], shop.effects(channel)) == (90, {"BED-1": 1})
    assert rows(channel)["BED-1"].error == ""


async def test_channel_that_is_down_is_named_and_holds_no_other(shop: Shop) -> None:
    stock_shelves(shop.world, {"BED-1": 50})
    shop.world.set_fault("douyin", LOOKS["douyin"], "http_429", times=99, detail={"retry_after": 60})

    down, shopify, wechat = await asyncio.gather(*(publish(name) for name in ("douyin", "shopify", "wechat_shop")))

    assert "429" in down.error and down.sentence.startswith("douyin 核对 3 个 SKU,改了 0 个;没有做完:")
    assert (len(shopify.changes), len(wechat.changes)) == (1, 1)
    assert shop.shown() == {"shopify": 90, "wechat_shop": 90, "douyin": 50}
    shop.world.clear_faults()
    assert (await publish("douyin")).changes == [Change("BED-1", 50, 90)]


async def test_channel_that_takes_no_changes_is_not_asked_for_the_rest(shop: Shop) -> None:
    many = [f"MANY-{number:02}" for number in range(20)]
    transact(lambda session: save_products(session, [Product(sku=sku, title=sku, price_fen=1) for sku in many]))
    for sku in many:
        transact(lambda session, sku=sku: receive(session, "WH-1", sku, 10, "期初", "test", utcnow()))  # type: ignore[misc]
    stock_shelves(shop.world, dict.fromkeys(many, 0))
    shop.world.set_fault("shopify", CALLS["shopify"], "http_500", times=12)

    published = await publish("shopify")

    assert (published.changes, sorted(published.left)) == ([], many)
    assert shop.deliveries("shopify") == 0
    # the first eight were tried; four faults are left for the next round
    again = await publish("shopify")
    assert (len(again.changes), len(again.left)) == (16, 4)


async def test_sku_that_is_listed_twice_is_not_guessed_at(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice(Between):
        async def listed(self, skus: Sequence[str]) -> list[Listed]:
            found = await super().listed(skus)
            return found + [one for one in found if one.sku == "BED-1"]

    stock_shelves(shop.world, {"BED-1": 50, "BOWL-1": 50})
    twice = Twice(platforms().shelf("douyin"), lambda: None)
    monkeypatch.setitem(platforms().shelves, "douyin", twice)

    published = await publish("douyin")

    assert published.left == {"BED-1": TWICE_LISTED}
    assert published.changes == [Change("BOWL-1", 50, 90)]
    assert shop.shown()["douyin"] == 50


async def test_what_is_gone_from_the_warehouse_is_gone_from_the_shelf(shop: Shop) -> None:
    stock_shelves(shop.world, {"BED-1": 90})
    transact(lambda session: adjust(session, "WH-1", "BED-1", -100, "盘点", "test", utcnow()))

    assert (await publish("wechat_shop")).changes == [Change("BED-1", 90, 0)]
    assert shop.shown()["wechat_shop"] == 0


async def test_channel_without_a_shelf_says_what_to_do(shop: Shop) -> None:
    published = await publish("spreadsheet")
    assert "还没有接好渠道 spreadsheet" in published.error
