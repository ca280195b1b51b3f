"""SF Express 丰桥: waybills, labels and routes over the standard service (PROTOCOLS.md §7).

The order id is ours and holds a waybill to once: a second order with it is answered 8016, and then the first one
is looked up and adopted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx
from cryptography.hazmat.primitives import hashes

from integrations.carriers import NotDeliverable, RouteEvent, Shipment, Waybill
from integrations.carriers.sf_routes import route_event
from integrations.errors import Later, PlatformError, Refused, Unclear
from integrations.http import TOTAL_TIMEOUT, call
from models.settings import SfExpressSettings

PLATFORM = "sf_express"
MOST_NUMBERS = 10  # waybills per route question

#: Services that change nothing.
READS = frozenset({"EXP_RECE_SEARCH_ORDER_RESP", "EXP_RECE_SEARCH_ROUTES"})

OK, ORDER_EXISTS = "S0000", "8016"
NO_SUCH_ORDER = {"6150", "8018", "8024"}
CANCELLED_BEFORE = {"8037", "8253"}
IN_THEIR_HANDS = {"8044", "8252"}  # confirmed or being handled: too late to call it back
NOT_DELIVERABLE = 3  # filterResult

#: What the gateway says before any service was reached: seconds to wait, or what a person has to do.
NOT_NOW = {"A1005": 2.0, "A1007": 60.0}
MAY_HAVE_HAPPENED = {"A1009", "A1099"}
WHAT_TO_DO = {
    "A1002": "check this machine's clock",
    "A1003": "add this machine's address to the IP list of the 丰桥 console",
    "A1004": "ask SF to open this service for the account",
    "A1006": "check the check word and the digest mode of the 丰桥 console",
}


def digest(mode: str, msg_data: str, timestamp: str, check_word: str) -> str:
    """`msgDigest` in one of the three modes of the console (SF developSupport/976720).

    `standard`: Base64(MD5(URL-encoded text)), encoded as Java's URLEncoder does it; `simple`: the same without the
    encoding; `sm3`: lower hex SM3. The text is msgData as posted, then timestamp, then the check word.
    """
    text = msg_data + timestamp + check_word
    if mode == "sm3":
        sm3 = hashes.Hash(hashes.SM3())
        sm3.update(text.encode())
        return sm3.finalize().hex()
    if mode == "standard":
        text = quote_plus(text, safe="*").replace("~", "%7E")
    return base64.b64encode(hashlib.md5(text.encode(), usedforsecurity=False).digest()).decode()


class SfExpress:
    """One SF account (a `Carrier`). The HTTP client belongs to the caller; `clock` gives epoch seconds."""

    name = PLATFORM

    def __init__(
        self,
        settings: SfExpressSettings,
        client: httpx.AsyncClient,
        clock: Callable[[], float] = time.time,
        timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._timeout = timeout

    def waybill_request(self, shipment: Shipment) -> bytes:
        """msgData of EXP_RECE_CREATE_ORDER. Pure. `Refused` without a receiver in clear or with too long a key."""
        to, own = shipment.receiver, self._settings
        if to.masked:
            raise Refused(PLATFORM, "masked", "the receiver is masked: decrypt it before asking for a waybill")
        if not 0 < len(shipment.shipment_no) <= 64:
            raise Refused(PLATFORM, "order_id", "a shipment number has 1 to 64 characters")
        order = {
            "language": "zh-CN",
            "orderId": shipment.shipment_no,
            "monthlyCard": own.monthly_card,
            "payMethod": 1,  # the sender pays
            "expressTypeId": 1,
            "parcelQty": shipment.parcels,
            "totalWeight": round(shipment.weight_g / 1000, 3),  # kg
            "isReturnRoutelabel": 1,
            "cargoDetails": [{"name": name, "count": count} for name, count in shipment.cargo],
            "contactInfoList": [
                {
                    "contactType": 1,
                    "contact": own.sender_name,
                    "mobile": own.sender_phone,
                    "province": own.sender_province,
                    "city": own.sender_city,
                    "county": own.sender_district,
                    "address": own.sender_address,
                },
                {
                    "contactType": 2,
                    "contact": to.name,
                    "mobile": to.phone,
                    "province": to.province,
                    "city": to.city,
                    "county": to.district,
                    "address": to.detail,
                },
            ],
        }
        return _compact(order)

    async def create_waybill(self, request: bytes) -> Waybill:
        """Ask for a waybill; a shipment SF already has is adopted. Raises `NotDeliverable` for filterResult 3."""
        try:
            return _waybill(await self._ask("EXP_RECE_CREATE_ORDER", request))
        except Refused as error:
            if error.code != ORDER_EXISTS:
                raise
        order_id = json.loads(request)["orderId"]
        try:
            return _waybill(await self._search(order_id))
        except Refused as error:
            if error.code in CANCELLED_BEFORE:
                hint = f"shipment {order_id} was cancelled at SF: ask again under a new shipment number"
                raise Refused(PLATFORM, error.code, hint) from error
            if error.code in NO_SUCH_ORDER:  # says it exists, cannot show it: too early
                raise Unclear(PLATFORM, ORDER_EXISTS, f"SF has shipment {order_id} but does not show it yet") from error
            raise

    async def find_waybill(self, shipment_no: str) -> Waybill | None:
        """The waybill of this shipment; None if SF does not know it or it was cancelled."""
        try:
            return _waybill(await self._search(shipment_no))
        except Refused as error:
            if error.code in NO_SUCH_ORDER | CANCELLED_BEFORE:
                return None
            raise

    async def label(self, waybill_no: str) -> bytes:
        """The label as PDF bytes: cloud print, then the file behind the address and token it gives."""
        answer = await self._service(
            "COM_RECE_CLOUD_PRINT_WAYBILLS",
            _compact(
                {
                    "templateCode": f"fm_76130_standard_{self._settings.partner_id}",
                    "version": "2.0",
                    "fileType": "pdf",
                    "sync": True,
                    "documents": [{"masterWaybillNo": waybill_no}],
                }
            ),
        )
        files = (answer.get("obj") or {}).get("files") or []
        if not answer.get("success") or not files:
            raise Refused(PLATFORM, str(answer.get("errorCode", "label")), str(answer.get("errorMessage", answer)))
        headers = {"X-Auth-token": files[0]["token"]}
        file = await call(self._client, PLATFORM, "GET", files[0]["url"], headers=headers, timeout=self._timeout)
        if not file.content.startswith(b"%PDF"):
            raise Later(PLATFORM, "label", "the label is no PDF yet")
        return file.content

    async def routes(self, waybill_nos: list[str]) -> dict[str, list[RouteEvent]]:
        """Route events of at most 10 waybills, oldest first; an unknown number has an empty list."""
        if len(waybill_nos) > MOST_NUMBERS:
            raise ValueError(f"SF answers for at most {MOST_NUMBERS} waybills at once")
        asked = {"language": "0", "trackingType": 1, "trackingNumber": waybill_nos, "methodType": 1}
        found = await self._ask("EXP_RECE_SEARCH_ROUTES", _compact(asked))
        told: dict[str, list[RouteEvent]] = {number: [] for number in waybill_nos}
        for answer in found.get("routeResps") or []:
            number = answer["mailNo"]
            told[number] = [route_event(number, route) for route in answer.get("routes") or []]
            told[number].sort(key=lambda event: event.at)
        return told

    async def cancel_waybill(self, shipment_no: str) -> bool:
        """Cancel; True when it is cancelled now or before, or SF never had it; False when SF is handling it."""
        wanted = _compact({"language": "zh-CN", "orderId": shipment_no, "dealType": 2})
        try:
            answer = await self._ask("EXP_RECE_UPDATE_ORDER", wanted)
        except Refused as error:
            if error.code in CANCELLED_BEFORE | NO_SUCH_ORDER:
                return True
            if error.code in IN_THEIR_HANDS:
                return False
            raise
        return answer.get("resStatus") == 2

    async def _search(self, shipment_no: str) -> dict[str, Any]:
        wanted = {"searchType": "1", "orderId": shipment_no, "language": "zh-CN"}
        return await self._ask("EXP_RECE_SEARCH_ORDER_RESP", _compact(wanted))

    async def _ask(self, service: str, msg_data: bytes) -> dict[str, Any]:
        """The inner `msgData` of a service that succeeded; else `Refused` with the service's own code."""
        answer = await self._service(service, msg_data)
        if answer.get("success") and answer.get("errorCode", OK) == OK:
            return answer.get("msgData") or {}
        raise Refused(PLATFORM, str(answer.get("errorCode", "")), str(answer.get("errorMsg", "")))

    async def _service(self, service: str, msg_data: bytes) -> dict[str, Any]:
        """Post one signed form; the service's own answer, once the gateway let it through."""
        text, timestamp = msg_data.decode(), str(int(self._clock() * 1000))
        check_word = self._settings.check_word.get_secret_value()
        form = {
            "partnerID": self._settings.partner_id,
            "requestID": str(uuid.uuid4()),
            "serviceCode": service,
            "timestamp": timestamp,
            "msgDigest": digest(self._settings.digest, text, timestamp, check_word),
            "msgData": text,
        }
        response = await call(
            self._client,
            PLATFORM,
            "POST",
            f"{self._settings.base_url}/std/service",
            content=urlencode(form).encode(),
            headers={"content-type": "application/x-www-form-urlencoded;charset=UTF-8"},
            timeout=self._timeout,
            reads=service in READS,
        )
        try:
            outer = response.json()
            code = outer["apiResultCode"]
            if code == "A1000":
                inner: dict[str, Any] = json.loads(outer["apiResultData"])
                return inner
        except (ValueError, KeyError, TypeError) as error:
            raise Unclear(PLATFORM, "unreadable", response.text[:300]) from error
        raise _gateway_error(code, str(outer.get("apiErrorMsg", "")))


def _gateway_error(code: str, message: str) -> PlatformError:
    """The gateway's code as one of the three classes."""
    if code in NOT_NOW:
        return Later(PLATFORM, code, message, NOT_NOW[code])
    if code in MAY_HAVE_HAPPENED:
        return Unclear(PLATFORM, code, message)
    return Refused(PLATFORM, code, f"{message}; {WHAT_TO_DO[code]}" if code in WHAT_TO_DO else message)


def _waybill(order: dict[str, Any]) -> Waybill:
    """The waybill in an order's answer. `NotDeliverable` for filterResult 3, `Unclear` while SF is deciding."""
    shipment_no = str(order.get("orderId", ""))
    if str(order.get("filterResult")) == str(NOT_DELIVERABLE):
        raise NotDeliverable(f"SF does not deliver to the address of {shipment_no}")
    numbers = [
        each["waybillNo"]
        for each in order.get("waybillNoInfoList") or []
        if each.get("waybillNo") and str(each.get("waybillType", 1)) == "1"  # 1: the parcel, 2: its further pieces
    ]
    if not numbers:
        raise Unclear(PLATFORM, "filter", f"SF is checking the address of {shipment_no} by hand: ask later")
    return Waybill(
        waybill_no=numbers[0],
        shipment_no=shipment_no,
        origin_code=str(order.get("originCode") or order.get("origincode") or ""),
        destination_code=str(order.get("destCode") or order.get("destcode") or ""),
    )


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
