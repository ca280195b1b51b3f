"""Taobao and Tmall as a sales channel, through the open platform TOP (PROTOCOLS.md §4).

The increment listing gives ids (sorted by time of change, newest first, apiId 128), `taobao.trade.fullinfo.get` the
trades. The session is the shop's authorisation: nobody can renew it but its owner.

Unverified:
- both ends of `start_modified`/`end_modified` are part of the window; windows that touch are read as if they were
- how deep the listing can be paged: a window of more than 10,000 trades is read in halves
- the company code of SF Express is SF (`taobao.logistics.companies.get`)
- `taobao.logistics.offline.send` takes part of an order by `sub_tid` with `is_split=1`
- decryption scene 1001 (waybills of SF Express) is the one that the shop is permitted
- which codes besides 11 and 12 say that a permission is missing
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx

from integrations.channels import Census, Parcel, taobao_orders
from integrations.channels.beijing_time import beijing_text, beijing_text_of
from integrations.channels.last_page_first import Listing, Page, ids_in
from integrations.channels.md5_signing import CONTENT_TYPE, signed_form
from integrations.channels.parcels import company_of, packed_lines
from integrations.channels.patience import patiently
from integrations.channels.payload import (
    answer,
    incoming,
    integer,
    listing,
    mapping,
    mappings,
    text,
    understood,
)
from integrations.channels.taobao_orders import FIELDS, NAME, lines_in, read_clear, read_order
from integrations.channels.unverified import unverified
from integrations.errors import Later, Refused, Unclear
from integrations.http import TOTAL_TIMEOUT, call
from models.intake import Incoming, IncomingOrder, Receiver, Unreadable
from models.settings import TaobaoSettings

UNVERIFIED = taobao_orders.UNVERIFIED + unverified(__doc__)

#: Our carriers by the platform's company code.
CARRIERS = {"sf_express": "SF"}

PAGE_SIZE, CENSUS_PAGE_SIZE = 100, 60  # pages of another size break elsewhere
LONGEST_WINDOW = 86_400  # seconds
DETAILS_AT_ONCE = 8
_WAYBILL_BY_SF = "1001"

#: Methods that change nothing and cost nothing; decryption counts against a quota, and is none of them.
READS = frozenset({"taobao.trades.sold.increment.get", "taobao.trade.fullinfo.get"})

_LIMITED = {4, 5, 6, 7, 8}
_FAILED_THERE = {10, 15}  # whether before or after acting is not said
_NO_PERMISSION = {11, 12}
_NO_SESSION = {26, 27}
_BAN = re.compile(r"last for (\d+) more second")


class Taobao:
    """One Taobao or Tmall shop; see `integrations.channels.Channel` for what each method promises."""

    name = NAME

    def __init__(self, settings: TaobaoSettings, client: httpx.AsyncClient, *, timeout: float = TOTAL_TIMEOUT) -> None:
        """`timeout` is the total one of each call, in seconds."""
        self.shop = settings.shop
        self._settings = settings
        self._client = client
        self._timeout = timeout
        self._listing = Listing(self._page, LONGEST_WINDOW, "tid", platform=NAME)
        self._details = asyncio.Semaphore(DETAILS_AT_ONCE)

    async def orders_updated(self, since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        """Pages of the trades updated in [since, until), by windows of a day, oldest first; masked receivers.

        The platform shows three months back.
        """
        async for rows in self._listing.pages(since, until, PAGE_SIZE):
            found = await asyncio.gather(*(self._listed(row) for row in reversed(rows)), return_exceptions=True)
            if failed := [result for result in found if isinstance(result, BaseException)]:
                raise failed[0]
            yield [result for result in found if not isinstance(result, BaseException)]

    async def census(self, since: datetime, until: datetime) -> Census:
        """The platform's count and ids of the same window, in pages of another size."""
        return await self._listing.census(since, until, CENSUS_PAGE_SIZE)

    async def order(self, channel_order_id: str) -> IncomingOrder:
        """The trade as it is now; masked receiver."""
        found = incoming(read_order, await self._trade(channel_order_id), NAME, self.shop, "tid")
        if isinstance(found, Unreadable):
            raise Refused(NAME, "unreadable", f"order {channel_order_id} cannot be read: {found.reason}")
        return found

    async def receiver(self, channel_order_id: str) -> Receiver:
        """The receiver in clear by `taobao.top.oaid.decrypt`: permitted separately, with a quota.

        Raises `Refused` `no_permission` where the shop's app may not.
        """
        trade = await self._trade(channel_order_id)
        with understood(NAME):
            oaid = text(trade.get("oaid"), "oaid")
        if not oaid:
            raise Refused(NAME, "no_address", f"订单 {channel_order_id} 没有收件人标识(oaid):请在千牛后台核对地址")
        query = [{"oaid": oaid, "scene": _WAYBILL_BY_SF, "tid": channel_order_id}]
        data = await self._ask("taobao.top.oaid.decrypt", {"query_list": _json(query)})
        with understood(NAME):
            found = mappings(mapping(data.get("receiver_list") or {}, "receiver_list").get("receiver"), "receiver")
            if not found:
                raise Refused(NAME, "not_decrypted", f"订单 {channel_order_id} 的收件人没有解密出来:请在千牛后台核对")
            return read_clear(found[0])

    def shipping_notice(self, channel_order_id: str, handles: dict[str, Any], parcel: Parcel) -> bytes:
        """The parameters of `taobao.logistics.offline.send`; whole lines only, for the platform ships no part of one.

        Raises `Refused` for unknown lines or carriers, and for part of a line.
        """
        company = company_of(NAME, CARRIERS, parcel)
        ordered, packed = packed_lines(NAME, channel_order_id, handles, parcel)
        if parts := [line for line, quantity in packed.items() if quantity != ordered[line]]:
            said = f"订单 {channel_order_id} 的商品行 {min(parts)} 只发一部分,淘宝不支持:请整行发货,或在千牛后台处理"
            raise Refused(NAME, "part_of_line", said)
        params = {"tid": channel_order_id, "out_sid": parcel.waybill_no, "company_code": company}
        if packed != ordered:
            params |= {"sub_tid": ",".join(sorted(packed)), "is_split": "1"}
        return _json(params).encode()

    async def tell_shipped(self, notice: bytes) -> dict[str, Any]:
        """The platform's `shipping`. There is no key, but a line that was shipped is refused."""
        data = await self._ask("taobao.logistics.offline.send", json.loads(notice))
        with understood(NAME):
            shipping = mapping(data.get("shipping") or {}, "shipping")
        if shipping.get("is_success") is not True:
            raise Refused(NAME, "not_shipped", "淘宝没有接受这次发货:请在千牛后台核对订单状态")
        return shipping

    async def was_told_shipped(self, notice: bytes) -> dict[str, Any] | None:
        """A line of the trade that carries this waybill, or None."""
        told = json.loads(notice)
        trade = await self._trade(told["tid"])
        with understood(NAME):
            return next((line for line in lines_in(trade) if line.get("invoice_no") == told["out_sid"]), None)

    async def _listed(self, row: Any) -> Incoming:
        """The trade that a row of the listing names; the row itself, to be set aside, where it names none."""
        for tid in ids_in([row], "tid"):
            return await self._incoming(tid)
        return Unreadable(NAME, self.shop, "", "the listing names no tid", row if isinstance(row, dict) else {})

    async def _incoming(self, tid: str) -> Incoming:
        try:
            async with self._details:
                trade = await patiently(partial(self._trade, tid))
        except Refused as refused:
            if not refused.code.startswith("isv.trade"):  # not this trade alone
                raise
            return Unreadable(NAME, self.shop, tid, str(refused), {"tid": tid})
        found = incoming(read_order, trade, NAME, self.shop, "tid")
        if isinstance(found, Unreadable) and not found.channel_order_id:
            return Unreadable(NAME, self.shop, tid, found.reason, found.raw)
        return found

    async def _trade(self, tid: str) -> dict[str, Any]:
        params = {"tid": tid, "fields": FIELDS, "include_oaid": "include_oaid"}
        data = await self._ask("taobao.trade.fullinfo.get", params)
        with understood(NAME):
            return mapping(data.get("trade"), "trade")

    async def _page(self, start: int, end: int, page: int, size: int) -> Page:
        params = {
            "fields": "tid,modified",
            "start_modified": beijing_text_of(start),
            "end_modified": beijing_text_of(end),
            "page_no": str(page),
            "page_size": str(size),
        }
        data = await self._ask("taobao.trades.sold.increment.get", params)
        with understood(NAME):
            trades = mapping(data.get("trades") or {}, "trades")
            return Page(listing(trades.get("trade"), "trade"), integer(data.get("total_results"), "total_results"))

    async def _ask(self, method: str, params: dict[str, str]) -> dict[str, Any]:
        """What stands in the answer's `…_response`. Raises the classes of `integrations.errors`."""
        system = {
            "method": method,
            "app_key": self._settings.app_key,
            "session": self._settings.session.get_secret_value(),
            "timestamp": beijing_text(datetime.now(UTC)),
            "format": "json",
            "v": "2.0",
            "sign_method": self._settings.sign_method,
        }
        secret = self._settings.app_secret.get_secret_value()
        response = await call(
            self._client,
            NAME,
            "POST",
            self._settings.base_url,
            content=signed_form(params | system, secret, self._settings.sign_method),
            headers={"content-type": CONTENT_TYPE},
            timeout=self._timeout,
            reads=method in READS,
        )
        result = answer(response, NAME)
        with understood(NAME):
            if "error_response" in result:
                raise _error(mapping(result["error_response"], "error_response"))
            return mapping(result.get(method.removeprefix("taobao.").replace(".", "_") + "_response"), "the response")


def _error(told: dict[str, Any]) -> Later | Refused | Unclear:
    """TOP's error (docId 101617 and articleId 102707) in its class."""
    code, why = integer(told.get("code"), "code", 0), text(told.get("sub_code"), "sub_code")
    said = f"{text(told.get('msg'), 'msg')} {text(told.get('sub_msg'), 'sub_msg')}".strip()[:300]
    if code in _LIMITED or why.startswith("accesscontrol.limited"):
        ban = _BAN.search(said)
        return Later(NAME, why or str(code), said, retry_after=min(float(ban[1]) + 1, 600.0) if ban else 2.0)
    if code in _NO_SESSION:
        said = f"店铺授权(session)无效或已过期:请重新授权,把新的 session 写进 settings.toml 的 [taobao]({said})"
    if code in _NO_PERMISSION:
        why, said = "no_permission", f"应用没有这个接口的权限:请在淘宝开放平台申请,或在千牛后台手工处理({said})"
    elif code in _FAILED_THERE or why.startswith("isp."):
        return Unclear(NAME, why or str(code), said)
    return Refused(NAME, why or str(code), said)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
