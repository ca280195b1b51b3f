"""Pinduoduo 拼多多 as a sales channel (PROTOCOLS.md §4).

Methods, fields and error codes as in the platform's own SDK and documentation. Listings have to be read from the last
page to the first, over windows of at most 30 minutes. The access token is the shop's authorisation: its owner renews
it.

Unverified:
- both ends of `start_updated_at`/`end_updated_at` are part of the window; windows that touch are read as if they were
- the order of the rows of a page; orders may be indexed up to 3 minutes late
- the rows of the increment listing are whole orders (so in the SDK), masks included
- the id of SF Express is 44 (`pdd.logistics.companies.get`)
- an order is shipped as a whole: how part of one is told is not known
- 50001 with a sub code refuses, without one the service failed; the sub codes of each method
- how `data_list` is written into the signature: its JSON text is signed as it is sent
- decryption outside the platform's cloud is limited to once in 10 s and 100 times a day
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import httpx

from integrations.channels import Census, Parcel, pinduoduo_orders
from integrations.channels.last_page_first import Listing, Page
from integrations.channels.md5_signing import CONTENT_TYPE, signed_form
from integrations.channels.parcels import company_of, packed_lines
from integrations.channels.payload import answer, incoming, integer, listing, mapping, mappings, text, understood
from integrations.channels.pinduoduo_orders import NAME, read_order
from integrations.channels.unverified import unverified
from integrations.errors import Later, Refused, Unclear
from integrations.http import TOTAL_TIMEOUT, call
from models.intake import Incoming, IncomingOrder, Receiver, Unreadable
from models.settings import PinduoduoSettings

UNVERIFIED = pinduoduo_orders.UNVERIFIED + unverified(__doc__)

#: Our carriers by the platform's id of the logistics company.
CARRIERS = {"sf_express": "44"}

PAGE_SIZE, CENSUS_PAGE_SIZE = 100, 60
LONGEST_WINDOW = 1_800  # seconds

#: Methods that change nothing and cost nothing; decryption counts against a quota, and is none of them.
READS = frozenset({"pdd.order.number.list.increment.get", "pdd.order.information.get"})

_ALL = 5  # order_status, refund_status: whatever it is
_LIMITED = {52101: 2.0, 70031: 2.0, 52102: 60.0, 52103: 60.0, 70033: 60.0}  # seconds: too many calls; switched off
_FAILED_THERE = {50000, 50001, 50002, 52001, 52002}  # whether before or after acting is not said
_OPERATION_FAILED = 50001  # with a sub code it is the operation that refuses
_NO_PERMISSION = {20031}
_NO_TOKEN = {10019}
_ANSWERS = {
    "pdd.order.number.list.increment.get": "order_sn_increment_get_response",
    "pdd.order.information.get": "order_info_get_response",
    "pdd.open.decrypt.batch": "open_decrypt_batch_response",
    "pdd.logistics.online.send": "logistics_online_send_response",
}


class Pinduoduo:
    """One Pinduoduo shop; see `integrations.channels.Channel` for what each method promises."""

    name = NAME

    def __init__(
        self, settings: PinduoduoSettings, client: httpx.AsyncClient, *, timeout: float = TOTAL_TIMEOUT
    ) -> None:
        """`timeout` is the total one of each call, in seconds."""
        self.shop = settings.shop
        self._settings = settings
        self._client = client
        self._timeout = timeout
        self._read = partial(read_order, amounts_in=settings.amounts_in)
        self._listing = Listing(self._page, LONGEST_WINDOW, "order_sn", platform=NAME)

    async def orders_updated(self, since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        """Pages of the orders updated in [since, until), by windows of half an hour; masked receivers.

        The platform shows three months back.
        """
        async for rows in self._listing.pages(since, until, PAGE_SIZE):
            yield [incoming(self._read, row, NAME, self.shop, "order_sn") for row in rows]

    async def census(self, since: datetime, until: datetime) -> Census:
        """The platform's count and ids of the same window, in pages of another size."""
        return await self._listing.census(since, until, CENSUS_PAGE_SIZE)

    async def order(self, channel_order_id: str) -> IncomingOrder:
        """The order as it is now; masked receiver."""
        found = incoming(self._read, await self._get(channel_order_id), NAME, self.shop, "order_sn")
        if isinstance(found, Unreadable):
            raise Refused(NAME, "unreadable", f"order {channel_order_id} cannot be read: {found.reason}")
        return found

    async def receiver(self, channel_order_id: str) -> Receiver:
        """The receiver in clear by `pdd.open.decrypt.batch`: permitted separately, with a quota.

        Raises `Refused`: `no_permission` where the shop's app may not, `no_address` where there is nothing to decrypt
        (shipped, refunded or under review).
        """
        order = await self._get(channel_order_id)
        names = ("receiver_name", "receiver_phone", "receiver_address")
        with understood(NAME):
            ciphers = [text(order.get(name), name) for name in names]
            province, city, town = (text(order.get(name), name) for name in ("province", "city", "town"))
        if not all(ciphers):
            said = f"拼多多订单 {channel_order_id} 没有收件人密文(已发货、退款或审核中):请在拼多多商家后台核对"
            raise Refused(NAME, "no_address", said)
        asked = [{"data_tag": channel_order_id, "encrypted_data": cipher} for cipher in ciphers]
        data = await self._ask("pdd.open.decrypt.batch", {"data_list": _json(asked)})
        with understood(NAME):
            clear = {}
            for found in mappings(data.get("data_decrypt_list"), "data_decrypt_list"):
                if number := integer(found.get("error_code"), "error_code", 0):
                    raise Refused(NAME, str(number), text(found.get("error_msg"), "error_msg"))
                extension = text(found.get("virtual_identify_number"), "virtual_identify_number")
                shown = text(found.get("decrypted_data"), "decrypted_data") + (f"-{extension}" if extension else "")
                clear[text(found.get("encrypted_data"), "encrypted_data")] = shown
        if missing := [cipher for cipher in ciphers if not clear.get(cipher)]:
            raise Refused(NAME, "not_decrypted", f"{len(missing)} of {len(ciphers)} texts came back encrypted")
        name, phone, detail = (clear[cipher] for cipher in ciphers)
        return Receiver(name, phone, province, city or province, town, detail)

    def shipping_notice(self, channel_order_id: str, handles: dict[str, Any], parcel: Parcel) -> bytes:
        """The parameters of `pdd.logistics.online.send`, for the whole order.

        Raises `Refused` for unknown lines or carriers, and for part of an order.
        """
        company = company_of(NAME, CARRIERS, parcel)
        ordered, packed = packed_lines(NAME, channel_order_id, handles, parcel)
        if packed != ordered:
            said = f"拼多多订单 {channel_order_id} 只发一部分,接口不支持:请整单发货,或在拼多多商家后台处理"
            raise Refused(NAME, "part_of_order", said)
        params = {"order_sn": channel_order_id, "logistics_id": company, "tracking_number": parcel.waybill_no}
        return _json(params).encode()

    async def tell_shipped(self, notice: bytes) -> dict[str, Any]:
        """The platform's answer. There is no key, but an order that was shipped is refused."""
        data = await self._ask("pdd.logistics.online.send", json.loads(notice))
        if data.get("is_success") is not True:
            raise Refused(NAME, "not_shipped", "拼多多没有接受这次发货:请在拼多多商家后台核对订单状态")
        return data

    async def was_told_shipped(self, notice: bytes) -> dict[str, Any] | None:
        """The order's carrier and waybill when it is this one, or None."""
        told = json.loads(notice)
        order = await self._get(told["order_sn"])
        if order.get("tracking_number") != told["tracking_number"]:
            return None
        return {name: order.get(name) for name in ("order_sn", "logistics_id", "tracking_number", "shipping_time")}

    async def _get(self, order_sn: str) -> dict[str, Any]:
        data = await self._ask("pdd.order.information.get", {"order_sn": order_sn})
        with understood(NAME):
            return mapping(data.get("order_info"), "order_info")

    async def _page(self, start: int, end: int, page: int, size: int) -> Page:
        params = {
            "start_updated_at": str(start),
            "end_updated_at": str(end),
            "order_status": str(_ALL),
            "refund_status": str(_ALL),
            "is_lucky_flag": "0",
            "page": str(page),
            "page_size": str(size),
        }
        data = await self._ask("pdd.order.number.list.increment.get", params)
        with understood(NAME):
            return Page(
                listing(data.get("order_sn_list"), "order_sn_list"), integer(data.get("total_count"), "total_count")
            )

    async def _ask(self, method: str, params: Mapping[str, str]) -> dict[str, Any]:
        """What stands in the answer's `…_response`. Raises the classes of `integrations.errors`."""
        system = {
            "type": method,
            "client_id": self._settings.client_id,
            "access_token": self._settings.access_token.get_secret_value(),
            "timestamp": str(int(time.time())),
            "data_type": "JSON",
        }
        response = await call(
            self._client,
            NAME,
            "POST",
            self._settings.base_url,
            content=signed_form({**params, **system}, self._settings.client_secret.get_secret_value()),
            headers={"content-type": CONTENT_TYPE},
            timeout=self._timeout,
            reads=method in READS,
        )
        result = answer(response, NAME)
        with understood(NAME):
            if "error_response" in result:
                raise _error(mapping(result["error_response"], "error_response"))
            return mapping(result.get(_ANSWERS[method]), _ANSWERS[method])


def _error(told: dict[str, Any]) -> Later | Refused | Unclear:
    """The platform's error in its class."""
    code, why = integer(told.get("error_code"), "error_code", 0), text(told.get("sub_code"), "sub_code")
    said = f"{text(told.get('error_msg'), 'error_msg')} {text(told.get('sub_msg'), 'sub_msg')}".strip()[:300]
    if code in _LIMITED:
        return Later(NAME, str(code), said, retry_after=_LIMITED[code])
    if code in _FAILED_THERE and not (code == _OPERATION_FAILED and why):
        return Unclear(NAME, why or str(code), said)
    if code in _NO_TOKEN:
        said = f"店铺授权(access_token)已过期:请重新授权,把新的 access_token 写进 settings.toml 的 [pinduoduo]({said})"
    if code in _NO_PERMISSION:
        why, said = "no_permission", f"应用没有这个接口的权限:请在拼多多开放平台申请,或在商家后台手工处理({said})"
    return Refused(NAME, why or str(code), said)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
