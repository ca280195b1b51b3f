"""Listings that never come to their end, and rows that name nothing: neither may hold up the other orders."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

import httpx
import pytest

from integrations.channels import Channel
from integrations.channels.douyin import Douyin
from integrations.channels.last_page_first import Listing, Page
from integrations.channels.shopify import Shopify
from integrations.channels.taobao import Taobao
from integrations.channels.wechat_shop import WeChatShop
from integrations.errors import Unclear
from models.intake import Unreadable
from models.settings import DouyinSettings, ShopifySettings, TaobaoSettings, WeChatShopSettings
from tests.integrations.sandbox_server import NOON

HOUR = NOON + timedelta(hours=1)
SHOPS: dict[str, Any] = {
    "shopify": lambda client: Shopify(ShopifySettings(shop="s", access_token="t"), client),
    "wechat_shop": lambda client: WeChatShop(WeChatShopSettings(shop="s", base_url="http://w", app_id="a"), client),
    "douyin": lambda client: Douyin(DouyinSettings(shop="s", base_url="http://d", app_key="k"), client),
    "taobao": lambda client: Taobao(TaobaoSettings(shop="s", base_url="http://t", app_key="k"), client),
}


def platform(pages: dict[str, Any]) -> httpx.AsyncClient:
    """A platform that answers each path, or else everything, with a JSON object or what a function makes of a call."""

    def answered(request: httpx.Request) -> httpx.Response:
        found = pages.get(request.url.path, pages.get(""))
        return httpx.Response(200, json=found(request) if callable(found) else found)

    return httpx.AsyncClient(transport=httpx.MockTransport(answered))


async def read(shop: Channel) -> list[Any]:
    return [order async for page in shop.orders_updated(NOON, HOUR) for order in page]


TOKENS = {
    "/cgi-bin/stable_token": {"access_token": "t", "expires_in": 7200},
    "/token/create": {"code": 10000, "data": {"access_token": "t", "refresh_token": "r", "expires_in": 7200}},
}
SAME_CURSOR = {"orders": {"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": "c"}}, "ordersCount": None}


def circling(_: httpx.Request, calls: count[int] = count()) -> dict[str, Any]:
    """A replica that goes on behind the other, and back."""
    page = {"hasNextPage": True, "endCursor": "ab"[next(calls) % 2]}
    return {"data": {"orders": {"nodes": [], "pageInfo": page}, "ordersCount": None}}


def swinging(_: httpx.Request, calls: count[int] = count()) -> dict[str, Any]:
    """Two replicas that do not agree how many there are."""
    return {"code": 10000, "data": {"shop_order_list": [{"order_id": "1"}] * 100, "total": 300 - next(calls) % 2}}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shopify", {"": {"data": SAME_CURSOR}}),
        ("shopify", {"": circling}),
        ("wechat_shop", {"": {"errcode": 0, "order_id_list": [], "next_key": "k", "has_more": True}}),
        ("douyin", {"": swinging}),
    ],
)
async def test_a_listing_that_says_more_for_ever_is_an_error_of_this_channel(name: str, said: dict[str, Any]) -> None:
    async with platform(TOKENS | said) as client:
        shop: Channel = SHOPS[name](client)
        with pytest.raises(Unclear, match="does not come to its end"):
            await read(shop)
        with pytest.raises(Unclear, match="does not come to its end"):
            await shop.census(NOON, HOUR)


async def test_a_count_that_swings_for_ever_ends_a_listing_read_backwards() -> None:
    calls = count()

    async def page(start: int, end: int, page: int, size: int) -> Page:
        return Page([{"id": str(page)}], 25 + next(calls) % 2)

    with pytest.raises(Unclear, match="does not come to its end"):
        [page async for page in Listing(page, 86_400, "id").pages(NOON, HOUR, 10)]
    assert next(calls) < 50


async def test_an_order_without_an_id_is_counted_and_stops_no_census() -> None:
    # given a Douyin listing in which one of two orders has no id
    listed = {"shop_order_list": [{"order_id": "1"}, {"order_id": None}], "total": 2}
    async with platform(TOKENS | {"": {"code": 10000, "data": listed}}) as client:
        census = await SHOPS["douyin"](client).census(NOON, HOUR)
    assert (census.count, census.ids) == (2, frozenset({"1"}))
    # and Shopify's likewise
    nodes = {"nodes": [{"id": "gid://1"}, {"id": None}, "nonsense"], "pageInfo": {"hasNextPage": False}}
    counted = {"count": 3, "precision": "EXACT"}
    async with platform({"": {"data": {"orders": nodes, "ordersCount": counted}}}) as client:
        census = await SHOPS["shopify"](client).census(NOON, HOUR)
    assert (census.count, census.ids) == (3, frozenset({"gid://1"}))


async def test_a_row_that_names_no_trade_is_set_aside_and_the_page_goes_on() -> None:
    answer = {"trades": {"trade": [{"tid": None, "modified": "?"}]}, "total_results": 1}
    async with platform({"": {"trades_sold_increment_get_response": answer}}) as client:
        found = await read(SHOPS["taobao"](client))
    assert found == [Unreadable("taobao", "s", "", "the listing names no tid", {"tid": None, "modified": "?"})]
