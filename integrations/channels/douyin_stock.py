"""What a Douyin shop has for sale of each SKU, and changing it by a difference that counts once.

`sku.detail` by `code` is the SDK's (`api/sku_detail`); [U]: what it answers for a code that two goods carry, or for
one that nobody carries (here: a business error, or another code), and that `stock_num` is what is still for sale,
without `prehold_stock_num` (orders that are not paid yet).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from integrations.channels.douyin_api import NAME, OpenApi
from integrations.channels.patience import patiently
from integrations.channels.payload import identity, integer, text, understood
from integrations.channels.shelves import Listed, ShelfChange
from integrations.errors import Refused

ASKED_AT_ONCE = 8
_BUSINESS_FAILURES = ("isv.business-failed", "50002")
_REGIONAL = 1  # sku_type: stock is kept per warehouse area, and `stock_num` says nothing


class DouyinShelf:
    """The stock of one Douyin shop; see `integrations.channels.shelves.Shelf` for what each method promises."""

    name = NAME

    def __init__(self, shop: str, api: OpenApi) -> None:
        self.shop = shop
        self._api = api

    async def listed(self, skus: Sequence[str]) -> list[Listed]:
        """What is for sale of these SKUs, one call each; SKUs with stock by area are left out."""
        free = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(sku: str) -> Listed | None:
            async with free:
                return await patiently(partial(self._one, sku))

        try:
            async with asyncio.TaskGroup() as group:  # the first one that fails ends the others
                asked = [group.create_task(ask(sku)) for sku in skus]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [found for task in asked if (found := task.result()) is not None]

    async def show(self, change: ShelfChange) -> None:
        """Add the difference to whatever is for sale by then: newer sales stay, a repeated key counts once.

        Never `Overtaken`: the platform has no comparison. More taken away than there is left is `Refused`.
        """
        params = {
            "product_id": int(change.handle["product_id"]),
            "sku_id": int(change.handle["sku_id"]),
            "stock_num": change.to - change.seen,
            "incremental": True,
            "idempotent_id": change.key,
        }
        await self._api.ask("sku.syncStock", params)

    async def _one(self, sku: str) -> Listed | None:
        try:
            detail = await self._api.ask("sku.detail", {"code": sku})
        except Refused as refused:
            if refused.code.startswith(_BUSINESS_FAILURES):
                return None
            raise
        with understood(NAME):
            if text(detail.get("code"), "code") != sku or detail.get("sku_type") == _REGIONAL:
                return None
            handle = {
                "product_id": text(detail.get("product_id_str"), "product_id_str")
                or identity(detail.get("product_id"), "product_id"),
                "sku_id": identity(detail.get("id"), "id"),
            }
            return Listed(sku, integer(detail.get("stock_num"), "stock_num"), handle)
