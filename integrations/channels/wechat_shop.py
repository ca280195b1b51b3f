"""WeChat shop 微信小店 as a sales channel."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any

import httpx

from integrations.channels import Census, Parcel
from integrations.channels.last_page_first import Onward
from integrations.channels.patience import patiently
from integrations.channels.payload import (
    Unparsable,
    identity,
    incoming,
    listing,
    mapping,
    mappings,
    text,
    understood,
)
from integrations.channels.wechat_api import NAME, WeChatApi, body_of
from integrations.channels.wechat_orders import read_address, read_order
from integrations.channels.wechat_refunds import AfterSale, finished_after_sales, read_after_sale
from integrations.errors import Refused
from integrations.http import TOTAL_TIMEOUT
from models.intake import Incoming, IncomingOrder, Receiver, Unreadable
from models.settings import WeChatShopSettings

#: Our carriers by the platform's delivery id (`/channels/ec/order/deliverycompanylist/get`).
CARRIERS = {"sf_express": "SF"}

PAGE_SIZE = 100
LONGEST_WINDOW = 7 * 86_400  # seconds that one update_time_range may span
GETS_AT_ONCE = 8
_KEY_OF_ANOTHER_FILTER = "606006"
_OWN_COURIER = 1


class WeChatShop:
    """One WeChat shop; see `integrations.channels.Channel` for what each method promises."""

    name = NAME

    def __init__(
        self, settings: WeChatShopSettings, client: httpx.AsyncClient, *, timeout: float = TOTAL_TIMEOUT
    ) -> None:
        """`timeout` is the total one of each call, in seconds."""
        self.shop = settings.shop
        self.api = WeChatApi(settings, client, timeout)  # also for the shop's money and stock: one token
        self._gets = asyncio.Semaphore(GETS_AT_ONCE)

    async def orders_updated(self, since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        """Pages of the orders updated in [since, until), by windows of a week; masked receivers."""
        start, end = math.floor(since.timestamp()), math.ceil(until.timestamp())
        while start < end:
            stop = min(start + LONGEST_WINDOW, end)
            async for ids in self._pages(start, stop):
                yield await self._orders(ids)
            start = stop

    async def census(self, since: datetime, until: datetime) -> Census:
        """The ids updated in [since, until), listed anew, by windows of a week.

        The platform counts nothing itself, so that `count` is how many it lists: an order that its listing has not
        heard of yet is missed here too, and only a later look finds it.
        """
        start, end = math.floor(since.timestamp()), math.ceil(until.timestamp())
        ids: set[str] = set()
        while start < end:  # both ends are part of a window
            stop = min(start + LONGEST_WINDOW, end - 1)
            async for page in self._pages(start, stop):
                ids.update(page)
            start = stop + 1
        return Census(len(ids), frozenset(ids))

    async def order(self, channel_order_id: str) -> IncomingOrder:
        """The order as it is now; masked receiver."""
        found = await self._read(channel_order_id)
        if isinstance(found, Unreadable):
            raise Refused(NAME, "unreadable", f"order {channel_order_id} cannot be read: {found.reason}")
        return found

    async def receiver(self, channel_order_id: str) -> Receiver:
        """The receiver in clear, by the decode call: for paid orders only, with a quota of orders a day."""
        path = "/channels/ec/order/sensitiveinfo/decode"
        decoded = await self.api.ask(path, body_of({"order_id": channel_order_id}))
        if not decoded.get("address_info"):
            raise Refused(NAME, "no_address", f"order {channel_order_id} has no address: ask the customer")
        with understood(NAME):
            return read_address(decoded["address_info"], masked=False)

    def shipping_notice(self, channel_order_id: str, handles: dict[str, Any], parcel: Parcel) -> bytes:
        """The body of an `order/delivery/send` with one parcel. Raises `Refused` for unknown lines or carriers."""
        company = CARRIERS.get(parcel.carrier)
        if company is None:
            raise Refused(NAME, "unknown_carrier", f"no WeChat delivery id for carrier {parcel.carrier}")
        products = handles.get("products", {})
        packed = []
        for line, quantity in parcel.lines:
            if line not in products:
                raise Refused(NAME, "unknown_line", f"order {channel_order_id} has no line {line}")
            packed.append({**products[line], "product_cnt": quantity})
        delivery = {
            "delivery_id": company,
            "waybill_id": parcel.waybill_no,
            "deliver_type": _OWN_COURIER,
            "product_infos": packed,
        }
        return body_of({"order_id": channel_order_id, "delivery_list": [delivery]})

    async def tell_shipped(self, notice: bytes) -> dict[str, Any]:
        """The platform's answer. There is no key: what is left of the order can be shipped a second time."""
        return await self.api.ask("/channels/ec/order/delivery/send", notice)

    async def was_told_shipped(self, notice: bytes) -> dict[str, Any] | None:
        """The order's `delivery_product_info` of this waybill, or None."""
        told = json.loads(notice)
        waybill = told["delivery_list"][0]["waybill_id"]
        with understood(NAME):
            order = mapping(await self._get(told["order_id"]), "order")
            detail = mapping(order.get("order_detail"), "order_detail")
            delivery = mapping(detail.get("delivery_info") or {}, "delivery_info")
            for known in mappings(delivery.get("delivery_product_info"), "delivery_product_info"):
                if known.get("waybill_id") == waybill:
                    return known
        return None

    async def _pages(self, start: int, stop: int) -> AsyncIterator[list[str]]:
        """Pages of the ids in one window of at most a week."""
        next_key, restarts, more, onward = "", 0, True, Onward(NAME)
        while more:
            before = next_key
            try:
                ids, next_key, more = await patiently(partial(self._ids, start, stop, before))
            except Refused as refused:
                if refused.code != _KEY_OF_ANOTHER_FILTER or restarts == 3:
                    raise
                next_key, restarts = "", restarts + 1
                continue
            if ids:
                yield ids
            if more:
                onward.check(next_key)

    async def _ids(self, start: int, stop: int, next_key: str) -> tuple[list[str], str, bool]:
        """Ids of one page, the key of the next, and whether there is one."""
        asked = {
            "update_time_range": {"start_time": start, "end_time": stop},
            "page_size": PAGE_SIZE,
            "next_key": next_key,
        }
        page = await self.api.ask("/channels/ec/order/list/get", body_of(asked))
        with understood(NAME):
            ids = [identity(found, "order_id") for found in listing(page.get("order_id_list"), "order_id_list")]
            return ids, text(page.get("next_key"), "next_key"), page.get("has_more") is True

    async def _orders(self, ids: list[str]) -> list[Incoming]:
        """The orders of one page, a few fetched at a time."""
        found = await asyncio.gather(*(self._incoming(order_id) for order_id in ids), return_exceptions=True)
        if failed := [result for result in found if isinstance(result, BaseException)]:
            raise failed[0]
        return [result for result in found if not isinstance(result, BaseException)]

    async def _incoming(self, order_id: str) -> Incoming:
        try:
            async with self._gets:
                return await patiently(partial(self._read, order_id))
        except Refused as refused:
            return Unreadable(NAME, self.shop, order_id, str(refused), {"order_id": order_id})

    async def _read(self, order_id: str) -> Incoming:
        """The order with what its after-sales say, asked for only where some are over."""
        order = await self._get(order_id)
        after_sales = await self._after_sales(order)
        found = incoming(partial(read_order, after_sales=after_sales), order, NAME, self.shop, "order_id")
        if isinstance(found, Unreadable) and not found.channel_order_id:
            return Unreadable(NAME, self.shop, order_id, found.reason, found.raw)
        return found

    async def _after_sales(self, order: Any) -> list[AfterSale]:
        """What the order's after-sales say; those that are refused to us or cannot be read are left out."""
        found = []
        try:
            ids = finished_after_sales(mapping(order, "order"))
        except Unparsable:
            return []  # whoever reads the order says what is wrong with it
        for after_sale_id in ids:
            try:
                asked = body_of({"after_sale_order_id": after_sale_id})
                answered = await self.api.ask("/channels/ec/aftersale/getaftersaleorder", asked)
                found.append(read_after_sale(answered.get("after_sale_order")))
            except (Refused, Unparsable):
                continue
        return found

    async def _get(self, order_id: str) -> Any:
        answered = await self.api.ask("/channels/ec/order/get", body_of({"order_id": order_id}))
        return answered.get("order")
