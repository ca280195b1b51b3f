"""What a WeChat shop has for sale of each SKU, and changing it by a difference.

Reading is `product/stock/batchget` for fifty products a call; which product and SKU ids a SKU code has is only told
product by product (`product/list/get`, `product/get`), so that is remembered, by shop, as long as the process lives.
`stock/update` has no key and counts every call: after a time-out look again before deciding again. It is never
called with `diff_type` 3 (set), which the platform itself advises against where orders come in meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from integrations.channels.patience import patiently
from integrations.channels.payload import identity, integer, listing, mapping, mappings, text, understood
from integrations.channels.shelves import Listed, ShelfChange
from integrations.channels.wechat_api import NAME, WeChatApi, body_of

ADD, SUBTRACT = 1, 2
PRODUCTS_A_PAGE = 30
PRODUCTS_A_READING = 50
ASKED_AT_ONCE = 8
#: Seconds until new products are looked for, and until a known product's SKUs are read again.
NEWS_AFTER, AGAIN_AFTER = 3600.0, 86_400.0

_ON_SALE = 5
_ONLINE_DATA = 1


@dataclass
class _Goods:
    """What is remembered of a shop: per product when it was read, and its SKU ids by SKU code. Monotonic times."""

    read_at: float = -NEWS_AFTER
    products: dict[str, tuple[float, dict[str, str]]] = field(default_factory=dict)


class WeChatShelf:
    """The stock of one WeChat shop; see `integrations.channels.shelves.Shelf` for what each method promises."""

    name = NAME

    #: By shop, for all event loops of the process; replaced whole, never changed in place.
    _remembered: ClassVar[dict[tuple[str, str], _Goods]] = {}

    def __init__(self, shop: str, api: WeChatApi) -> None:
        self.shop = shop
        self._api = api

    async def listed(self, skus: Sequence[str]) -> list[Listed]:
        """What is for sale of these SKUs, of products on sale; new products are seen within an hour."""
        goods = await self._goods()
        wanted = set(skus)
        codes = {
            (product, sku_id): code
            for product, (_, ids) in goods.products.items()
            for sku_id, code in ids.items()
            if code in wanted
        }
        products = sorted({product for product, _ in codes})
        found: list[Listed] = []
        for start in range(0, len(products), PRODUCTS_A_READING):
            some = products[start : start + PRODUCTS_A_READING]
            for product, sku_id, quantity in await patiently(partial(self._stock, some)):
                if code := codes.get((product, sku_id)):
                    found.append(Listed(code, quantity, {"product_id": product, "sku_id": sku_id}))
        return found

    async def show(self, change: ShelfChange) -> None:
        """Add to or subtract from whatever is for sale by then: newer sales stay, and every call counts.

        Never `Overtaken`: the platform has no comparison. `Unclear` means: look again, then decide again.
        """
        difference = change.to - change.seen
        if difference == 0:
            return
        asked = {
            "product_id": change.handle["product_id"],
            "sku_id": change.handle["sku_id"],
            "diff_type": ADD if difference > 0 else SUBTRACT,
            "num": abs(difference),
        }
        await self._api.ask("/channels/ec/product/stock/update", body_of(asked))

    async def _stock(self, products: list[str]) -> list[tuple[str, str, int]]:
        """(product, SKU id, general stock) of these products; what is put aside for campaigns is not ours to change."""
        answered = await self._api.ask("/channels/ec/product/stock/batchget", body_of({"product_id": products}))
        with understood(NAME):
            data = mapping(answered.get("data"), "data")
            return [
                (
                    identity(product.get("product_id"), "product_id"),
                    identity(sku.get("sku_id"), "sku_id"),
                    integer(sku.get("normal_stock_num"), "normal_stock_num"),
                )
                for product in mappings(data.get("spu_stock_list"), "spu_stock_list")
                for sku in mappings(product.get("sku_stock"), "sku_stock")
            ]

    async def _goods(self) -> _Goods:
        """The shop's products on sale with their SKUs, as known, or as they are now."""
        place = (self.shop, self._api.base)
        known = self._remembered.get(place, _Goods())
        now = time.monotonic()
        if now < known.read_at + NEWS_AFTER:
            return known
        fresh = _Goods(now)
        missing = []
        for product in await self._product_ids():
            if product in known.products and now < known.products[product][0] + AGAIN_AFTER:
                fresh.products[product] = known.products[product]
            else:
                missing.append(product)
        free = asyncio.Semaphore(ASKED_AT_ONCE)

        async def read(product: str) -> None:
            async with free:
                fresh.products[product] = (now, await patiently(partial(self._sku_ids, product)))

        try:
            async with asyncio.TaskGroup() as group:  # the first one that fails ends the others
                for product in missing:
                    group.create_task(read(product))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        self._remembered[place] = fresh
        return fresh

    async def _product_ids(self) -> list[str]:
        found: list[str] = []
        next_key, more = "", True
        while more:
            ids, next_key = await patiently(partial(self._page, next_key))
            found += ids
            more = len(ids) == PRODUCTS_A_PAGE and bool(next_key)
        return list(dict.fromkeys(found))

    async def _page(self, next_key: str) -> tuple[list[str], str]:
        asked = {"status": _ON_SALE, "page_size": PRODUCTS_A_PAGE, "next_key": next_key}
        page = await self._api.ask("/channels/ec/product/list/get", body_of(asked))
        with understood(NAME):
            ids = [identity(found, "product_id") for found in listing(page.get("product_ids"), "product_ids")]
            return ids, text(page.get("next_key"), "next_key")

    async def _sku_ids(self, product: str) -> dict[str, str]:
        """SKU code by SKU id of one product."""
        asked: dict[str, Any] = {"product_id": product, "data_type": _ONLINE_DATA}
        answered = await self._api.ask("/channels/ec/product/get", body_of(asked))
        with understood(NAME):
            skus = mappings(mapping(answered.get("product"), "product").get("skus"), "skus")
            return {identity(sku.get("sku_id"), "sku_id"): text(sku.get("sku_code"), "sku_code") for sku in skus}
