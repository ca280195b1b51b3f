"""Douyin shop 抖店 as a sales channel."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any

import httpx

from integrations.channels import Census, Parcel
from integrations.channels.douyin_api import NAME, OpenApi, param_json
from integrations.channels.douyin_orders import read_area, read_order
from integrations.channels.last_page_first import ids_in, steps_for, unsettled
from integrations.channels.patience import patiently
from integrations.channels.payload import (
    incoming,
    integer,
    listing,
    mapping,
    mappings,
    text,
    understood,
)
from integrations.errors import Refused
from integrations.http import TOTAL_TIMEOUT
from models.intake import Incoming, IncomingOrder, Receiver, Unreadable
from models.settings import DouyinSettings

#: Our carriers by the platform's company code (`order.logisticsCompanyList`).
CARRIERS = {"sf_express": "shunfeng"}

PAGE_SIZE = 100


class Douyin:
    """One Douyin shop; see `integrations.channels.Channel` for what each method promises."""

    name = NAME

    #: Page times size must not go beyond this many orders; a window that holds more is read in halves.
    ceiling = 50_000

    def __init__(self, settings: DouyinSettings, client: httpx.AsyncClient, *, timeout: float = TOTAL_TIMEOUT) -> None:
        """`timeout` is the total one of each call, in seconds."""
        self.shop = settings.shop
        self.api = OpenApi(settings, client, timeout)  # also for the shop's money and stock: one token

    async def orders_updated(self, since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        """Pages of the orders updated in [since, until), oldest first; masked receivers."""
        start, end = math.floor(since.timestamp()), math.ceil(until.timestamp())
        async for found, _ in self._pages(start, end, ascending=True):
            if found:
                yield [incoming(read_order, order, NAME, self.shop, "order_id") for order in found]

    async def census(self, since: datetime, until: datetime) -> Census:
        """`total` of the listing of [since, until), and the ids listed anew, newest first.

        Windows are cut like the reading's, but share no second, so that nobody is counted twice. An order whose id
        cannot be read is counted, not listed.
        """
        first, last = math.floor(since.timestamp()), math.ceil(until.timestamp()) - 1
        count = 0
        ids: set[str] = set()
        async for found, counted in self._pages(first, last, ascending=False):
            count += counted
            ids.update(ids_in(found, "order_id"))
        return Census(count, frozenset(ids))

    async def order(self, channel_order_id: str) -> IncomingOrder:
        """The order as it is now; masked receiver."""
        found = incoming(read_order, await self._detail(channel_order_id), NAME, self.shop, "order_id")
        if isinstance(found, Unreadable):
            raise Refused(NAME, "unreadable", f"order {channel_order_id} cannot be read: {found.reason}")
        return found

    async def receiver(self, channel_order_id: str) -> Receiver:
        """The receiver in clear: name, phone and street decrypted in one audited call that counts."""
        order = await self._detail(channel_order_id)
        with understood(NAME):
            address = mapping(order.get("post_addr") or {}, "post_addr")
            ciphers = [
                text(order.get("encrypt_post_receiver"), "encrypt_post_receiver"),
                text(order.get("encrypt_post_tel"), "encrypt_post_tel"),
                text(address.get("encrypt_detail"), "encrypt_detail"),
            ]
            if not all(ciphers):
                raise Refused(NAME, "no_address", f"order {channel_order_id} has no receiver: ask the customer")
            province, city, district, street = read_area(address, "post_addr")
        asked = [{"auth_id": channel_order_id, "cipher_text": cipher} for cipher in ciphers]
        data = await self.api.ask("order.batchDecrypt", {"cipher_infos": asked})
        with understood(NAME):
            clear = {}
            for info in mappings(data.get("decrypt_infos"), "decrypt_infos"):
                if number := integer(info.get("err_no"), "err_no", 0):
                    raise Refused(NAME, str(number), text(info.get("err_msg"), "err_msg"))
                clear[text(info.get("cipher_text"), "cipher_text")] = text(info.get("decrypt_text"), "decrypt_text")
            if missing := [cipher for cipher in ciphers if cipher not in clear]:
                raise Refused(NAME, "not_decrypted", f"{len(missing)} of {len(ciphers)} texts came back encrypted")
        name, phone, detail = (clear[cipher] for cipher in ciphers)
        return Receiver(name, phone, province, city, district, street + detail)

    def shipping_notice(self, channel_order_id: str, handles: dict[str, Any], parcel: Parcel) -> bytes:
        """Method and parameters: `order.logisticsAdd` for all that is left of an order in one parcel, else one pack.

        Lines that were paid back meanwhile are left out: nobody waits for them, and the platform would refuse the
        whole notice. Only packs have a key (`request_id`, from order and waybill). Raises `Refused` for unknown lines
        or carriers, and when everything in the parcel was paid back.
        """
        company = CARRIERS.get(parcel.carrier)
        if company is None:
            raise Refused(NAME, "unknown_carrier", f"no Douyin company code for carrier {parcel.carrier}")
        left = {str(line): int(quantity) for line, quantity in handles.get("lines", {}).items()}
        packed: dict[str, int] = {}
        for line, quantity in parcel.lines:
            packed[line] = packed.get(line, 0) + quantity
        if unknown := packed.keys() - left.keys():
            raise Refused(NAME, "unknown_line", f"order {channel_order_id} has no line {min(unknown)}")
        packed = {line: quantity for line, quantity in packed.items() if left[line]}
        if not packed:
            said = f"all of parcel {parcel.waybill_no} was paid back: stop the parcel, there is nothing to tell"
            raise Refused(NAME, "paid_back", said)
        waybill = {"company_code": company, "logistics_code": parcel.waybill_no}
        param: dict[str, Any] = {"order_id": channel_order_id}
        expected = {line: quantity for line, quantity in left.items() if quantity}
        if packed == expected and not handles.get("part_shipped"):
            method = "order.logisticsAdd"
            param |= waybill
        else:
            shipped = [{"shipped_order_id": line, "shipped_num": packed[line]} for line in sorted(packed)]
            key = uuid.uuid5(uuid.NAMESPACE_URL, f"{NAME}/{channel_order_id}/{parcel.waybill_no}")
            method = "order.logisticsAddMultiPack"
            param |= {"request_id": str(key), "pack_list": [{**waybill, "shipped_order_info": shipped}]}
        return param_json({"method": method, "param": param}).encode()

    async def tell_shipped(self, notice: bytes) -> dict[str, Any]:
        """The platform's `data`. Only packs are held to once by their key; a whole order is refused when shipped."""
        told = json.loads(notice)
        return await self.api.ask(told["method"], told["param"])

    async def was_told_shipped(self, notice: bytes) -> dict[str, Any] | None:
        """The order's `logistics_info` of this waybill, or None."""
        param = json.loads(notice)["param"]
        waybill = param.get("logistics_code") or param["pack_list"][0]["logistics_code"]
        order = await self._detail(param["order_id"])
        with understood(NAME):
            for info in mappings(order.get("logistics_info"), "logistics_info"):
                if info.get("tracking_no") == waybill:
                    return info
        return None

    async def _detail(self, order_id: str) -> dict[str, Any]:
        data = await self.api.ask("order.orderDetail", {"shop_order_id": order_id})
        with understood(NAME):
            return mapping(data.get("shop_order_detail"), "shop_order_detail")

    async def _pages(self, start: int, end: int, *, ascending: bool) -> AsyncIterator[tuple[list[Any], int]]:
        """Pages of what was updated from start to end, both included, and with the last page of a window its total.

        A window above the ceiling is cut in halves. Ascending ones share their second in the middle (should the
        platform not count a window's end to it, nothing is lost); descending ones share none.
        """
        windows = [(start, end)]
        while windows:
            first, last = windows.pop()
            page, before, steps = 0, 0, 0
            while True:
                found, total = await patiently(partial(self._page, first, last, page, ascending))
                if total > self.ceiling and last - first > ascending:
                    middle = (first + last) // 2
                    halves = [(first, middle), (middle if ascending else middle + 1, last)]
                    windows += reversed(halves) if ascending else halves
                    break
                # orders that have left the window since the last page moved those behind them one place forward
                gone, before = max(0, before - total), total
                is_last = not gone and (not found or (page + 1) * PAGE_SIZE >= total)
                yield found, total if is_last else 0
                if is_last:
                    break
                if (steps := steps + 1) > steps_for(min(max(total, 0), self.ceiling) // PAGE_SIZE + 1):
                    raise unsettled(NAME)
                page = max(0, page - math.ceil(gone / PAGE_SIZE)) if gone else page + 1

    async def _page(self, start: int, end: int, page: int, ascending: bool) -> tuple[list[Any], int]:
        """Orders of one page (the first is 0), and how many the window holds."""
        params = {
            "update_time_start": start,
            "update_time_end": end,
            "order_by": "update_time",
            "order_asc": ascending,
            "page": page,
            "size": PAGE_SIZE,
        }
        data = await self.api.ask("order.searchList", params)
        with understood(NAME):
            return listing(data.get("shop_order_list"), "shop_order_list"), integer(data.get("total"), "total")
