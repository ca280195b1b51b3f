"""JD 京东 POP as a sales channel, through the older gateway routerjson (PROTOCOLS.md §4).

Methods and error codes as in JD's own SDK and documentation (open.jd.com, listId 2643; apiId 15660, 15661, 1948).
The access token is the shop's authorisation: its owner renews it.

Unverified:
- the timestamp may carry milliseconds and its offset, as in the signed example; pages name `yyyy-MM-dd HH:mm:ss`
- business parameters stand flat in `360buy_param_json`, as in the signed example; newer pages put them under
  `paramOrderJSFQuery`
- `source_id` JOS is asked for by newer pages only, and is sent
- both ends of `start_date`/`end_date` are part of the window; windows that touch are read as if they were
- how deep the listing can be paged: 100 pages, so a window of more than 10,000 orders is read in halves
- orders that are not paid are not listed
- the id of SF Express is 467 for this shop (its own list of carriers decides)
- an order is shipped as a whole: how part of one is told is not known
- codes 65, 66 and 67 are failures of the service behind the gateway; 2 is a limit of calls; 19 an invalid token
- which clear-text call a shop may use: JD decrypts by a key service of its own (TDE), which is not connected
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from integrations.channels import Census, Parcel, jd_orders
from integrations.channels.beijing_time import BEIJING, beijing_text_of
from integrations.channels.jd_orders import FIELDS, LISTED, NAME, read_order, waybills_in
from integrations.channels.last_page_first import Listing, Page
from integrations.channels.md5_signing import CONTENT_TYPE, signed_form
from integrations.channels.parcels import company_of, packed_lines
from integrations.channels.payload import answer, incoming, integer, listing, mapping, text, understood
from integrations.channels.unverified import unverified
from integrations.errors import Later, Refused, Unclear
from integrations.http import TOTAL_TIMEOUT, call
from models.intake import Incoming, IncomingOrder, Receiver, Unreadable
from models.settings import JdSettings

UNVERIFIED = jd_orders.UNVERIFIED + unverified(__doc__)

#: Our carriers by the platform's id of the logistics company.
CARRIERS = {"sf_express": "467"}

PAGE_SIZE, CENSUS_PAGE_SIZE = 100, 60
LONGEST_WINDOW = 86_400  # seconds; the platform takes a month and asks for few pages

#: Methods that change nothing and cost nothing.
READS = frozenset({"jingdong.pop.order.search", "jingdong.pop.order.get"})

_DESCENDING, _ASCENDING = 1, 0
_BY_UPDATE = 0
_LIMITED = {"2"}
_FAILED_THERE = {"65", "66", "67"}  # whether before or after acting is not said
_NO_TOKEN = {"19"}


class Jd:
    """One JD POP shop; see `integrations.channels.Channel` for what each method promises."""

    name = NAME

    def __init__(self, settings: JdSettings, client: httpx.AsyncClient, *, timeout: float = TOTAL_TIMEOUT) -> None:
        """`timeout` is the total one of each call, in seconds."""
        self.shop = settings.shop
        self._settings = settings
        self._client = client
        self._timeout = timeout
        self._newest_first = Listing(self._newest_first_page, LONGEST_WINDOW, "orderId", platform=NAME)
        self._oldest_first = Listing(self._oldest_first_page, LONGEST_WINDOW, "orderId", platform=NAME)

    async def orders_updated(self, since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        """Pages of the orders updated in [since, until), by windows of a day, oldest first; masked receivers.

        The platform shows three months of updates back.
        """
        async for rows in self._newest_first.pages(since, until, PAGE_SIZE):
            yield [incoming(read_order, row, NAME, self.shop, "orderId") for row in reversed(rows)]

    async def census(self, since: datetime, until: datetime) -> Census:
        """The platform's count and ids of the same window, sorted the other way and in pages of another size."""
        return await self._oldest_first.census(since, until, CENSUS_PAGE_SIZE)

    async def order(self, channel_order_id: str) -> IncomingOrder:
        """The order as it is now; masked receiver."""
        found = incoming(read_order, await self._get(channel_order_id), NAME, self.shop, "orderId")
        if isinstance(found, Unreadable):
            raise Refused(NAME, "unreadable", f"order {channel_order_id} cannot be read: {found.reason}")
        return found

    async def receiver(self, channel_order_id: str) -> Receiver:
        """Always `Refused` `no_permission`: JD decrypts by a key service of its own, which is not connected."""
        said = f"京东订单 {channel_order_id} 的收件人是密文,本系统没有接京东的解密服务:请在京麦打单发货"
        raise Refused(NAME, "no_permission", said)

    def shipping_notice(self, channel_order_id: str, handles: dict[str, Any], parcel: Parcel) -> bytes:
        """The parameters of `jingdong.pop.order.shipment`, for the whole order.

        Raises `Refused` for unknown lines or carriers, and for part of an order.
        """
        company = company_of(NAME, CARRIERS, parcel)
        ordered, packed = packed_lines(NAME, channel_order_id, handles, parcel)
        if packed != ordered:
            said = f"京东订单 {channel_order_id} 只发一部分,接口不支持:请整单发货,或在京麦分批出库"
            raise Refused(NAME, "part_of_order", said)
        params = {"orderId": channel_order_id, "logiCoprId": company, "logiNo": parcel.waybill_no}
        return _json(params).encode()

    async def tell_shipped(self, notice: bytes) -> dict[str, Any]:
        """The platform's `sopjosshipment_result`. There is no key, but an order that was shipped is refused."""
        told = json.loads(notice)
        return await self._ask("jingdong.pop.order.shipment", _numbered(told, "orderId"), "sopjosshipment_result")

    async def was_told_shipped(self, notice: bytes) -> dict[str, Any] | None:
        """The waybills of the order when this one is among them, or None."""
        told = json.loads(notice)
        order = await self._get(told["orderId"])
        with understood(NAME):
            waybills = waybills_in(order)
        return {"orderId": told["orderId"], "waybills": waybills} if told["logiNo"] in waybills else None

    async def _get(self, order_id: str) -> dict[str, Any]:
        params = _numbered({"order_id": order_id, "optional_fields": FIELDS, "source_id": "JOS"}, "order_id")
        detail = await self._ask("jingdong.pop.order.get", params, "orderDetailInfo")
        with understood(NAME):
            return mapping(detail.get("orderInfo"), "orderInfo")

    async def _newest_first_page(self, start: int, end: int, page: int, size: int) -> Page:
        return await self._page(start, end, page, size, _DESCENDING, FIELDS)

    async def _oldest_first_page(self, start: int, end: int, page: int, size: int) -> Page:
        return await self._page(start, end, page, size, _ASCENDING, "orderId,modified")

    async def _page(self, start: int, end: int, page: int, size: int, order: int, fields: str) -> Page:
        params = {
            "start_date": beijing_text_of(start),
            "end_date": beijing_text_of(end),
            "order_state": ",".join(LISTED),
            "optional_fields": fields,
            "source_id": "JOS",
            "page": str(page),
            "page_size": str(size),
            "dateType": _BY_UPDATE,
            "sortType": order,
        }
        found = await self._ask("jingdong.pop.order.search", params, "searchorderinfo_result")
        with understood(NAME):
            return Page(
                listing(found.get("orderInfoList"), "orderInfoList"), integer(found.get("orderTotal"), "orderTotal")
            )

    async def _ask(self, method: str, params: Mapping[str, Any], result: str) -> dict[str, Any]:
        """`result` of the answer, when the platform says that it succeeded."""
        system = {
            "method": method,
            "app_key": self._settings.app_key,
            "access_token": self._settings.access_token.get_secret_value(),
            "timestamp": datetime.now(UTC).astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S.000%z"),
            "v": "2.0",
            "360buy_param_json": _json(params),
        }
        response = await call(
            self._client,
            NAME,
            "POST",
            self._settings.base_url,
            content=signed_form(system, self._settings.app_secret.get_secret_value()),
            headers={"content-type": CONTENT_TYPE},
            timeout=self._timeout,
            reads=method in READS,
        )
        found = answer(response, NAME)
        with understood(NAME):
            if "error_response" in found:
                raise _error(mapping(found["error_response"], "error_response"))
            told = mapping(found.get(method.replace(".", "_") + "_responce"), "the responce")  # spelt like this
            if text(told.get("code"), "code") not in ("", "0"):
                raise _error(told)
            data = mapping(told.get(result), result)
            verdict = mapping(data.get("apiResult") or data, "apiResult")
            if verdict.get("success") not in (True, "true"):
                said = text(verdict.get("chineseErrCode"), "chineseErrCode")
                why = text(verdict.get("numberCode"), "numberCode") or text(verdict.get("errorCode"), "errorCode")
                raise Refused(NAME, why or "not_successful", said or text(verdict.get("englishErrCode"), "english"))
            return data


def _error(told: dict[str, Any]) -> Later | Refused | Unclear:
    """JD's gateway error in its class."""
    code, said = text(told.get("code"), "code"), text(told.get("zh_desc"), "zh_desc")[:300]
    if code in _LIMITED:
        return Later(NAME, code, said, retry_after=60.0)
    if code in _FAILED_THERE:
        return Unclear(NAME, code, said)
    if code in _NO_TOKEN:
        said = f"店铺授权(access_token)无效或已过期:请重新授权,把新的 access_token 写进 settings.toml 的 [jd]({said})"
    return Refused(NAME, code or "unknown", said)


def _numbered(params: dict[str, Any], name: str) -> dict[str, Any]:
    """The same with the order's number as a number, as the platform types it."""
    if not params[name].isdecimal():
        raise Refused(NAME, "bad_order_id", f"{params[name]!r} 不是京东订单号")
    return params | {name: int(params[name])}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
