"""The stock side of the three shops against the played platforms, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from integrations.channels.douyin import Douyin
from integrations.channels.douyin_stock import DouyinShelf
from integrations.channels.shelves import Listed, Overtaken, Shelf, ShelfChange
from integrations.channels.shopify import Shopify
from integrations.channels.shopify_graphql import request_body
from integrations.channels.shopify_stock import INVENTORY_SET_QUANTITIES, ShopifyShelf
from integrations.channels.wechat_api import body_of
from integrations.channels.wechat_shop import WeChatShop
from integrations.channels.wechat_stock import WeChatShelf
from integrations.errors import Later, Refused, Unclear
from integrations.sandbox import shelves
from integrations.sandbox.shelves import CHANNELS, stock_shelves
from integrations.sandbox.shopify_stock import LOCATION
from tests.integrations.sandbox_server import Running, sandbox

CHANGE_OPERATION = {
    "shopify": "inventorySetQuantities",
    "wechat_shop": "product/stock/update",
    "douyin": "sku.syncStock",
}
LOOK_OPERATION = {"shopify": "inventoryItems", "wechat_shop": "product/stock/batchget", "douyin": "sku.detail"}


def shelf(running: Running, channel: str, timeout: float = 5.0) -> Shelf:
    settings, client = running.settings, running.client
    if channel == "shopify":
        shopify = Shopify(settings.shopify, client, timeout=timeout)
        return ShopifyShelf(shopify.shop, shopify.graphql, settings.shopify.location_id)
    if channel == "wechat_shop":
        wechat = WeChatShop(settings.wechat_shop, client, timeout=timeout)
        return WeChatShelf(wechat.shop, wechat.api)
    douyin = Douyin(settings.douyin, client, timeout=timeout)
    return DouyinShelf(douyin.shop, douyin.api)


async def seen(shop: Shelf, sku: str) -> Listed:
    [found] = await shop.listed([sku])
    return found


def change(found: Listed, to: int, key: str = "key-1") -> ShelfChange:
    return ShelfChange(found.sku, found.quantity, to, found.handle, key)


def effects(running: Running, channel: str) -> dict[str, int]:
    return running.world.effects(channel, CHANGE_OPERATION[channel])


def deliveries(running: Running, channel: str) -> int:
    counted = {(one["platform"], one["operation"]): one["deliveries"] for one in running.world.counts()}
    return int(counted.get((channel, CHANGE_OPERATION[channel]), 0))


def sell(running: Running, channel: str, sku: str, quantity: int, order: str = "order-1") -> None:
    with running.world.transaction():
        shelves.sold(running.world, channel, order, [(sku, quantity)])


@pytest.mark.parametrize("channel", CHANNELS)
async def test_what_is_listed_is_seen_and_what_is_not_is_left_out(channel: str, tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        odd = 'CAT "大" \\ 1'
        stock_shelves(running.world, {"DOG-1": 7, odd: 0, "OTHER": 3})

        found = await shelf(running, channel).listed(["DOG-1", odd, "NOT-LISTED"])

        assert {one.sku: one.quantity for one in found} == {"DOG-1": 7, odd: 0}
        assert await shelf(running, channel).listed([]) == []


@pytest.mark.parametrize("channel", CHANNELS)
async def test_more_than_a_page_is_read_whole(channel: str, tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        goods = {f"SKU-{number}": number for number in range(130)}
        stock_shelves(running.world, goods, [channel])

        found = await shelf(running, channel).listed(list(goods))

        assert {one.sku: one.quantity for one in found} == goods


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("to", [0, 4, 25])
async def test_shown_number_is_changed_once(channel: str, to: int, tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        shop = shelf(running, channel)

        await shop.show(change(await seen(shop, "DOG-1"), to))

        assert (await seen(shop, "DOG-1")).quantity == to
        assert effects(running, channel) == {"DOG-1": 1}
        assert [shelves.shown(running.world, other, "DOG-1") for other in CHANNELS if other != channel] == [9, 9]


async def test_stale_comparison_on_shopify_changes_nothing(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        shop = shelf(running, "shopify")
        found = await seen(shop, "DOG-1")
        sell(running, "shopify", "DOG-1", 2)

        with pytest.raises(Overtaken) as caught:
            await shop.show(change(found, 20))

        assert caught.value.sku == "DOG-1"
        assert shelves.shown(running.world, "shopify", "DOG-1") == 7
        assert effects(running, "shopify") == {"DOG-1": 0}
        # and the same key is not burnt by the refusal: a fresh look with a fresh key goes through
        await shop.show(change(await seen(shop, "DOG-1"), 18, "key-2"))
        assert shelves.shown(running.world, "shopify", "DOG-1") == 18


@pytest.mark.parametrize("channel", ["wechat_shop", "douyin"])
@pytest.mark.parametrize(("to", "left"), [(20, 18), (5, 3)])
async def test_sale_between_look_and_change_survives_where_differences_are_added(
    channel: str, to: int, left: int, tmp_path: Path
) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        shop = shelf(running, channel)
        found = await seen(shop, "DOG-1")
        sell(running, channel, "DOG-1", 2)

        await shop.show(change(found, to))

        assert shelves.shown(running.world, channel, "DOG-1") == left


@pytest.mark.parametrize("channel", ["wechat_shop", "douyin"])
async def test_taking_away_more_than_is_left_is_refused(channel: str, tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        shop = shelf(running, channel)
        found = await seen(shop, "DOG-1")
        sell(running, channel, "DOG-1", 8)

        with pytest.raises(Refused):
            await shop.show(change(found, 2))

        assert shelves.shown(running.world, channel, "DOG-1") == 1


@pytest.mark.parametrize("channel", ["shopify", "douyin"])
async def test_repeat_of_a_key_counts_once(channel: str, tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        shop = shelf(running, channel, timeout=0.5)
        wanted = change(await seen(shop, "DOG-1"), 12)
        running.world.set_fault(channel, CHANGE_OPERATION[channel], "timeout_after")

        with pytest.raises(Unclear):
            await shop.show(wanted)
        sell(running, channel, "DOG-1", 1)
        await shop.show(wanted)

        assert shelves.shown(running.world, channel, "DOG-1") == 11
        assert (effects(running, channel), deliveries(running, channel)) == ({"DOG-1": 1}, 2)


async def test_every_call_counts_at_wechat_so_a_time_out_is_answered_by_looking_again(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        shop = shelf(running, "wechat_shop", timeout=0.5)
        wanted = change(await seen(shop, "DOG-1"), 12)
        running.world.set_fault("wechat_shop", "product/stock/update", "timeout_after")

        with pytest.raises(Unclear):
            await shop.show(wanted)

        assert (await seen(shop, "DOG-1")).quantity == 12
        await shop.show(wanted)  # who repeats without looking doubles it
        assert (await seen(shop, "DOG-1")).quantity == 15
        assert effects(running, "wechat_shop") == {"DOG-1": 2}


async def test_same_difference_sends_wechat_nothing(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        shop = shelf(running, "wechat_shop")

        await shop.show(change(await seen(shop, "DOG-1"), 9))

        assert deliveries(running, "wechat_shop") == 0


async def test_shopify_refuses_without_the_directive_or_with_another_request_under_the_key(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        shop = shelf(running, "shopify")
        found = await seen(shop, "DOG-1")
        await shop.show(change(found, 8))

        with pytest.raises(Refused, match="IDEMPOTENCY_KEY_PARAMETER_MISMATCH"):
            await shop.show(change(await seen(shop, "DOG-1"), 7))
        bare = INVENTORY_SET_QUANTITIES.replace(" @idempotent(key: $key)", "")
        quantity = {"inventoryItemId": found.handle["item"], "locationId": LOCATION, "quantity": 1}
        wanted = {"name": "available", "reason": "correction", "quantities": [{**quantity, "changeFromQuantity": 8}]}
        body = request_body(bare, "inventorySetQuantities", {"input": wanted, "key": "key-9"})
        with pytest.raises(Refused, match="@idempotent directive is required"):
            await Shopify(running.settings.shopify, running.client).graphql.send(body)

        assert shelves.shown(running.world, "shopify", "DOG-1") == 8
        assert effects(running, "shopify") == {"DOG-1": 1}


async def test_shopify_key_that_is_under_way_is_for_later(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        shop = shelf(running, "shopify")
        found = await seen(shop, "DOG-1")
        for operation, fault in (("inventorySetQuantities.key", "concurrent"), ("inventorySetQuantities", "throttled")):
            running.world.set_fault("shopify", operation, fault)
            with pytest.raises(Later):
                await shop.show(change(found, 8))

        assert shelves.shown(running.world, "shopify", "DOG-1") == 9


async def test_shopify_shows_the_location_that_was_set(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        graphql = Shopify(running.settings.shopify, running.client).graphql

        here = await ShopifyShelf("s", graphql, LOCATION.rpartition("/")[2]).listed(["DOG-1"])
        elsewhere = await ShopifyShelf("s", graphql, "1").listed(["DOG-1"])

        assert [one.quantity for one in here] == [9]
        assert elsewhere == []


@pytest.mark.parametrize("by", ["params", "nothing"])
async def test_douyin_difference_without_a_key_is_refused(by: str, tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        api = Douyin(running.settings.douyin, running.client).api
        found = await seen(DouyinShelf("s", api), "DOG-1")
        params: dict[str, Any] = {key: int(value) for key, value in found.handle.items()}
        params |= {"stock_num": 3, "incremental": True} | ({"idempotent_id": ""} if by == "params" else {})

        with pytest.raises(Refused, match="idempotent_id"):
            await api.ask("sku.syncStock", params)

        assert shelves.shown(running.world, "douyin", "DOG-1") == 9


@pytest.mark.parametrize("channel", CHANNELS)
async def test_look_is_repeated_after_a_hiccup_and_given_up_when_told_to_wait_long(
    channel: str, tmp_path: Path
) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {f"SKU-{number}": 1 for number in range(20)})
        shop = shelf(running, channel)
        running.world.set_fault(channel, LOOK_OPERATION[channel], "http_429", detail={"retry_after": 0.1})
        running.world.set_fault(channel, LOOK_OPERATION[channel], "http_500")

        assert len(await shop.listed([f"SKU-{number}" for number in range(20)])) == 20

        running.world.set_fault(channel, LOOK_OPERATION[channel], "http_429", times=99, detail={"retry_after": 60})
        with pytest.raises(Later):
            await shop.listed([f"SKU-{number}" for number in range(20)])


async def test_unknown_answer_at_douyin_is_no_missing_sku(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        wrong = running.settings.douyin.model_copy(update={"app_key": "1"})
        with pytest.raises(Refused, match="signature"):
            await DouyinShelf("s", Douyin(wrong, running.client).api).listed(["DOG-1"])


async def test_wechat_sets_nothing_by_an_unknown_kind(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        stock_shelves(running.world, {"DOG-1": 9})
        api = WeChatShop(running.settings.wechat_shop, running.client).api
        found = await seen(WeChatShelf("kinds", api), "DOG-1")
        with pytest.raises(Refused):
            await api.ask("/channels/ec/product/stock/update", body_of({**found.handle, "diff_type": 7, "num": 1}))
        assert shelves.shown(running.world, "wechat_shop", "DOG-1") == 9
