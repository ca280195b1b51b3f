"""Aliyun SMS: signed by ACS3-HMAC-SHA256, SendSms and QuerySendDetails (PROTOCOLS.md §10).

SendSms knows no key: two calls are two messages. Our `OutId` only lets us ask afterwards whether one went out.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import httpx

from integrations.errors import Later, PlatformError, Refused, Unclear
from integrations.http import TOTAL_TIMEOUT, call
from integrations.messaging import Delivery, Receipt
from models.settings import AliyunSmsSettings

PLATFORM = "aliyun_sms"
VERSION = "2017-05-25"
BEIJING = timezone(timedelta(hours=8))
PAGE = 50  # receipts per question, the most Aliyun gives
AROUND_MIDNIGHT = timedelta(minutes=15)

DELIVERIES = {1: Delivery.SENT, 2: Delivery.FAILED, 3: Delivery.DELIVERED}
MAY_HAVE_HAPPENED = {"isp.SYSTEM_ERROR", "isp.GATEWAY_ERROR", "InternalError"}
THROTTLED_FOR = 2.0  # seconds
WHAT_TO_DO = {
    "isv.BUSINESS_LIMIT_CONTROL": "this number has had its messages for the hour or the day",
    "isv.AMOUNT_NOT_ENOUGH": "top up the Aliyun account",
    "isv.OUT_OF_SERVICE": "top up the Aliyun account",
    "isv.MOBILE_NUMBER_ILLEGAL": "the phone number is wrong: ask the customer",
    "SignatureDoesNotMatch": "check the access key secret",
    "InvalidTimeStamp.Expired": "check this machine's clock",
}


def canonical_query(parameters: Mapping[str, str]) -> str:
    """Parameters sorted by name and percent-encoded as RFC 3986 has it."""
    return "&".join(f"{quote(name, safe='~')}={quote(parameters[name], safe='~')}" for name in sorted(parameters))


def authorization(method: str, query: str, headers: Mapping[str, str], key_id: str, key_secret: str) -> str:
    """The ACS3-HMAC-SHA256 `Authorization` of a request for path `/` (Aliyun "V3 request body and signature").

    `query` is the canonical one; `headers` are exactly those that are signed (host, content-type, x-acs-*), among
    them `x-acs-content-sha256`, the hex SHA-256 of the body.
    """
    named = {name.lower(): value.strip() for name, value in headers.items()}
    signed_names = ";".join(sorted(named))
    lines = "".join(f"{name}:{named[name]}\n" for name in sorted(named))
    canonical = f"{method}\n/\n{query}\n{lines}\n{signed_names}\n{named['x-acs-content-sha256']}"
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.digest(key_secret.encode(), to_sign.encode(), "sha256").hex()
    return f"ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={signed_names},Signature={signature}"


class AliyunSms:
    """One Aliyun SMS account (`CustomerMessages`). The HTTP client belongs to the caller; `clock`: epoch seconds."""

    name = PLATFORM

    def __init__(
        self,
        settings: AliyunSmsSettings,
        client: httpx.AsyncClient,
        clock: Callable[[], float] = time.time,
        timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._timeout = timeout

    def request(self, phone: str, node: str, parameters: dict[str, str], out_id: str) -> bytes:
        """The parameters of SendSms as JSON. Pure. `Refused` when the node has no template."""
        template = self._settings.templates.get(node)
        if not template:
            raise Refused(PLATFORM, "template", f"no SMS template for {node}: add it to aliyun_sms.templates")
        message = {
            "PhoneNumbers": phone,
            "SignName": self._settings.sign_name,
            "TemplateCode": template,
            "TemplateParam": json.dumps(parameters, ensure_ascii=False, separators=(",", ":")),
            "OutId": out_id,
        }
        return json.dumps(message, ensure_ascii=False).encode()

    async def send(self, request: bytes) -> Receipt:
        """Send it. `message_id` is Aliyun's BizId."""
        answer = await self._ask("SendSms", json.loads(request))
        return Receipt(str(answer.get("BizId", "")), Delivery.SENT)

    async def find(self, request: bytes, sent_on: datetime) -> Receipt | None:
        """The receipt of the message with this `OutId` (which is its `message_id` here: receipts carry no BizId).

        Aliyun asks by Beijing day; near midnight both days are looked at.
        """
        message = json.loads(request)
        local = sent_on.astimezone(BEIJING)
        for day in sorted({(local - AROUND_MIDNIGHT).date(), (local + AROUND_MIDNIGHT).date()}):
            if receipt := await self._find_on(day, message["PhoneNumbers"], message["OutId"]):
                return receipt
        return None

    async def _find_on(self, day: date, phone: str, out_id: str) -> Receipt | None:
        page, seen = 1, 0
        while True:
            asked = {"PhoneNumber": phone, "SendDate": f"{day:%Y%m%d}", "PageSize": str(PAGE), "CurrentPage": str(page)}
            answer = await self._ask("QuerySendDetails", asked)
            details = (answer.get("SmsSendDetailDTOs") or {}).get("SmsSendDetailDTO") or []
            for detail in details:
                if detail.get("OutId") == out_id:
                    delivery = DELIVERIES.get(int(detail["SendStatus"]), Delivery.SENT)
                    failed = delivery is Delivery.FAILED
                    return Receipt(out_id, delivery, str(detail.get("ErrCode", "")) if failed else "")
            page, seen = page + 1, seen + len(details)
            if not details or seen >= int(answer.get("TotalCount", 0)):
                return None

    async def _ask(self, action: str, parameters: dict[str, str]) -> dict[str, Any]:
        """One signed call; the answer when its `Code` is OK."""
        query, url = canonical_query(parameters), httpx.URL(self._settings.base_url)
        at = datetime.fromtimestamp(self._clock(), UTC)
        headers = {
            "host": url.netloc.decode(),
            "x-acs-action": action,
            "x-acs-version": VERSION,
            "x-acs-date": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "x-acs-signature-nonce": uuid.uuid4().hex,
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        }
        headers["authorization"] = authorization(
            "POST", query, headers, self._settings.access_key_id, self._settings.access_key_secret.get_secret_value()
        )
        try:
            response = await call(
                self._client,
                PLATFORM,
                "POST",
                f"{self._settings.base_url}/?{query}",
                headers=headers,
                timeout=self._timeout,
                reads=action == "QuerySendDetails",
            )
        except Refused as error:  # the gateway says its code with HTTP 4xx, throttling included
            found = re.search(r'"Code"\s*:\s*"([^"]+)"', error.message)
            raise (_failure(found[1], error.message) if found else error) from error
        try:
            answer: dict[str, Any] = response.json()
            code = answer["Code"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unclear(PLATFORM, "unreadable", response.text[:300]) from error
        if code != "OK":
            raise _failure(code, str(answer.get("Message", "")))
        return answer


def _failure(code: str, message: str) -> PlatformError:
    """Aliyun's code as one of the three classes."""
    if code.startswith(("Throttling", "ServiceUnavailable")):
        return Later(PLATFORM, code, message, THROTTLED_FOR)
    if code in MAY_HAVE_HAPPENED:
        return Unclear(PLATFORM, code, message)
    return Refused(PLATFORM, code, f"{message}; {WHAT_TO_DO[code]}" if code in WHAT_TO_DO else message)
