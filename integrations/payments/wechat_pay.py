"""WeChat Pay v3: signed both ways, callbacks encrypted, refunds held to once by `out_refund_no` (PROTOCOLS.md §6)."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from integrations.channels.payload import (
    Unparsable,
    answer,
    identity,
    integer,
    mapping,
    moment_or_none,
    text,
    understood,
)
from integrations.errors import Forged, Later, PlatformError, Refused, Unclear
from integrations.http import TOTAL_TIMEOUT, call
from integrations.payments import PaymentRecord, PaymentState, RefundAnswer, RefundState, RefundWish, Trade
from integrations.payments.answers import same
from integrations.payments.news import PaymentNews
from integrations.payments.rsa import is_signed, private_key, public_key, sign
from integrations.payments.wishes import check, payment_ref, shortened
from models.settings import WeChatPaySettings

PLATFORM = "wechat_pay"
SCHEME = "WECHATPAY2-SHA256-RSA2048"
SKEW = 300.0  # seconds that a message may be old, or ahead of us
REASON_BYTES = 80
CREDENTIALS_WAIT = 1800.0  # seconds: a person has to act first
THROTTLED_FOR = 5.0  # seconds
REFUNDS = "/v3/refund/domestic/refunds"

STATES = {
    "SUCCESS": PaymentState.PAID,
    "REFUND": PaymentState.REFUNDED,  # wholly or in part: WeChat does not say how much
    "NOTPAY": PaymentState.PENDING,
    "USERPAYING": PaymentState.PENDING,
    "PAYERROR": PaymentState.PENDING,
    "CLOSED": PaymentState.CLOSED,
    "REVOKED": PaymentState.CLOSED,
}
REFUND_STATES = {
    "SUCCESS": RefundState.PAID,
    "PROCESSING": RefundState.PROCESSING,
    "ABNORMAL": RefundState.ABNORMAL,
    "CLOSED": RefundState.CLOSED,
}
THROTTLED = {"FREQUENCY_LIMITED", "FREQUENCY_LIMIT_EXCEED", "RATELIMIT_EXCEEDED"}
UNTIL_MENDED = {
    "SIGN_ERROR": "check wechat_pay.private_key, serial_no and this machine's clock",
    "NO_AUTH": "this merchant may not do that: see the product permissions in the merchant console",
    "NOT_ENOUGH": "top up the merchant's account",
}


def request_message(method: str, target: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """What a request's signature is over. `target` is the path with its query, as sent; five lines, each ended."""
    return f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"


def answer_message(timestamp: str, nonce: str, body: bytes) -> bytes:
    """What the signature of an answer or a callback is over."""
    return f"{timestamp}\n{nonce}\n".encode() + body + b"\n"


def decrypted(key: bytes, nonce: str, associated_data: str, ciphertext: bytes) -> bytes:
    """AES-GCM, the tag being the last 16 bytes. `ValueError` when key or text are not what was encrypted."""
    try:
        return AESGCM(key).decrypt(nonce.encode(), ciphertext, associated_data.encode())
    except InvalidTag as error:
        raise ValueError("not encrypted with this key") from error


class WeChatPay:
    """One WeChat Pay merchant (`Payments`). The HTTP client belongs to the caller.

    `notify_url` is where WeChat is to report the end of a refund; `clock` gives aware times.
    """

    name = PLATFORM

    def __init__(
        self,
        settings: WeChatPaySettings,
        client: httpx.AsyncClient,
        *,
        timeout: float = TOTAL_TIMEOUT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        notify_url: str = "",
    ) -> None:
        self._settings = settings
        self._client = client
        self._timeout = timeout
        self._clock = clock
        self._notify_url = notify_url

    async def payment(self, trade: Trade) -> PaymentRecord:
        """What was paid, as of now. REFUNDED once any of it went back."""
        ref = payment_ref(PLATFORM, trade)
        path = f"/v3/pay/transactions/out-trade-no/{quote(ref, safe='')}?mchid={self._settings.mchid}"
        found = await self._ask("GET", path, changes=False)
        with understood(PLATFORM):
            same(found, {"out_trade_no": ref, "mchid": self._settings.mchid})
            state = STATES[_known(STATES, found, "trade_state")]
            if state not in (PaymentState.PAID, PaymentState.REFUNDED):
                return PaymentRecord(state, 0, "CNY", None)
            amount = mapping(found.get("amount"), "amount")
            currency = identity(amount.get("currency"), "currency")
            return PaymentRecord(
                state, _fen(amount, "total"), currency, moment_or_none(found.get("success_time"), "success_time")
            )

    def refund_request(self, wish: RefundWish) -> bytes:
        """The body of one refund. Pure. `Refused` without a payment number, or for a wrong sum."""
        check(PLATFORM, wish)
        body = {
            "out_trade_no": wish.trade.payment_ref,
            "out_refund_no": wish.refund_no,
            "reason": shortened(wish.reason, REASON_BYTES),
            "notify_url": self._notify_url,
            "amount": {"refund": wish.amount_fen, "total": wish.paid_fen, "currency": wish.currency},
        }
        told = {name: value for name, value in body.items() if value}
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()

    async def refund(self, request: bytes) -> RefundAnswer:
        """Ask for the refund; held to once by `out_refund_no`. Usually PROCESSING: the end comes by callback."""
        found = await self._ask("POST", REFUNDS, request, changes=True)
        return _refund_in(found, json.loads(request)["out_refund_no"])

    async def find_refund(self, request: bytes) -> RefundAnswer | None:
        """What became of this refund; None when WeChat knows nothing of it."""
        number = json.loads(request)["out_refund_no"]
        try:
            found = await self._ask("GET", f"{REFUNDS}/{quote(number, safe='')}", changes=False)
        except Refused as error:
            if error.code == "RESOURCE_NOT_EXISTS":
                return None
            raise
        return _refund_in(found, number)

    def verify_callback(self, headers: Mapping[str, str], body: bytes, now: datetime) -> PaymentNews:
        """What a callback reports.

        `Forged` without a good signature of the last 5 minutes, or about another merchant; `Refused` when a signed
        one cannot be decrypted or read.
        """
        self._verify(headers, body, now)
        try:
            message = mapping(json.loads(body), "the callback")
            resource = mapping(message.get("resource"), "resource")
            if resource.get("algorithm") != "AEAD_AES_256_GCM":
                raise Unparsable("algorithm", resource.get("algorithm"))
            event_id, kind = identity(message.get("id"), "id"), text(message.get("event_type"), "event_type")
            told = mapping(json.loads(self._opened(resource)), "the resource")
            merchant = text(told.get("mchid"), "mchid")
            news = _news(event_id, kind, told)
        except (ValueError, RecursionError) as error:
            raise Refused(PLATFORM, "unreadable", f"a signed callback that cannot be read: {error}"[:300]) from error
        if merchant != self._settings.mchid:
            raise Forged(PLATFORM, "mchid", "signed for another merchant")
        return news

    def _opened(self, resource: Mapping[str, Any]) -> bytes:
        key = self._settings.api_v3_key.get_secret_value().encode()
        if len(key) != 32:
            raise ValueError("wechat_pay.api_v3_key has not its 32 bytes")
        nonce, associated = text(resource.get("nonce"), "nonce"), text(resource.get("associated_data"), "aad")
        return decrypted(key, nonce, associated, _base64(text(resource.get("ciphertext"), "ciphertext")))

    def _verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """`Forged` unless signed by a key of WeChat Pay's that we know, at most 5 minutes off `now`."""
        given = {name.lower(): value for name, value in headers.items()}
        names = ("timestamp", "nonce", "signature", "serial")
        timestamp, nonce, signature, serial = (given.get(f"wechatpay-{name}", "") for name in names)
        if not (nonce and signature and re.fullmatch("[0-9]{1,12}", timestamp)):
            raise Forged(PLATFORM, "unsigned", "Wechatpay-Timestamp, -Nonce or -Signature is missing")
        if abs(now.timestamp() - int(timestamp)) > SKEW:
            raise Forged(PLATFORM, "stale", f"signed {now.timestamp() - int(timestamp):.0f} s ago; check the clocks")
        if serial not in self._settings.platform_keys:
            raise Forged(PLATFORM, "serial", f"no key {serial[:80]!r} in wechat_pay.platform_keys: add it if it is new")
        try:
            key = public_key(self._settings.platform_keys[serial])
        except ValueError as error:
            raise Forged(PLATFORM, "keys", f"wechat_pay.platform_keys.{serial}: {error}") from error
        if not is_signed(key, answer_message(timestamp, nonce, body), signature):
            raise Forged(PLATFORM, "signature", "the signature does not match the key that it names")

    async def _ask(self, method: str, path: str, body: bytes = b"", *, changes: bool) -> dict[str, Any]:
        """One signed call; its answer when that is a success and signed. `changes`: it may move money."""
        if not self._settings.platform_keys:
            raise Later(
                PLATFORM, "keys", "wechat_pay.platform_keys is empty: no answer could be believed", CREDENTIALS_WAIT
            )
        url = httpx.URL(self._settings.base_url + path)
        headers = {
            "authorization": self._authorization(method, url.raw_path.decode(), body),
            "accept": "application/json",
            "content-type": "application/json",
            "user-agent": "orderloom",
        }
        content = body or None
        try:
            response = await call(
                self._client,
                PLATFORM,
                method,
                str(url),
                content=content,
                headers=headers,
                timeout=self._timeout,
                reads=not changes,
            )
        except PlatformError as error:
            raise _failure(error, changes) from error
        try:
            self._verify(response.headers, response.content, self._clock())
        except Forged as error:
            raise Unclear(PLATFORM, error.code, f"the answer is not believed: {error.message}") from error
        return answer(response, PLATFORM)

    def _authorization(self, method: str, target: str, body: bytes) -> str:
        try:
            key = private_key(self._settings.private_key.get_secret_value())
        except ValueError as error:
            raise Later(PLATFORM, "keys", f"check wechat_pay.private_key: {error}", CREDENTIALS_WAIT) from error
        timestamp, nonce = str(int(self._clock().timestamp())), uuid.uuid4().hex
        told = {
            "mchid": self._settings.mchid,
            "nonce_str": nonce,
            "signature": sign(key, request_message(method, target, timestamp, nonce, body)),
            "timestamp": timestamp,
            "serial_no": self._settings.serial_no,
        }
        return f"{SCHEME} " + ",".join(f'{name}="{value}"' for name, value in told.items())


def _refund_in(found: Mapping[str, Any], number: str) -> RefundAnswer:
    """A refund as WeChat tells it. `Unclear` when it is another one, or cannot be read."""
    with understood(PLATFORM):
        same(found, {"out_refund_no": number})
        amount = mapping(found.get("amount"), "amount")
        state = REFUND_STATES[_known(REFUND_STATES, found, "status")]
        account = text(found.get("user_received_account"), "user_received_account")
        why = account if state in (RefundState.ABNORMAL, RefundState.CLOSED) else ""
        return RefundAnswer(state, identity(found.get("refund_id"), "refund_id"), _fen(amount, "refund"), why)


def _news(event_id: str, kind: str, told: Mapping[str, Any]) -> PaymentNews:
    ref = identity(told.get("out_trade_no"), "out_trade_no")
    if kind == "TRANSACTION.SUCCESS":
        return PaymentNews(PLATFORM, event_id, ref, "", "paid", None, None)
    family, _, outcome = kind.partition(".")
    if family != "REFUND" or outcome not in REFUND_STATES:
        raise Unparsable("event_type", kind)
    number, amount = identity(told.get("out_refund_no"), "out_refund_no"), mapping(told.get("amount"), "amount")
    return PaymentNews(PLATFORM, event_id, ref, number, "refund", _fen(amount, "refund"), REFUND_STATES[outcome])


def _failure(error: PlatformError, changes: bool) -> PlatformError:
    """What `call` raised, in the class that WeChat's own code asks for. Errors need not be signed."""
    found = re.search(r'"code"\s*:\s*"([A-Z_]{1,64})"', error.message)
    code, said = (found[1] if found else error.code), error.message
    if code in THROTTLED:
        return Later(PLATFORM, code, said, error.retry_after if isinstance(error, Later) else THROTTLED_FOR)
    if code in UNTIL_MENDED or error.code == "401":
        return Later(PLATFORM, code, f"{said}; {UNTIL_MENDED.get(code, UNTIL_MENDED['SIGN_ERROR'])}", CREDENTIALS_WAIT)
    if code == "SYSTEM_ERROR":
        return Unclear(PLATFORM, code, said) if changes else Later(PLATFORM, code, said, THROTTLED_FOR)
    return Refused(PLATFORM, code, said) if isinstance(error, Refused) else error


def _known(states: Mapping[str, object], found: Mapping[str, Any], name: str) -> str:
    said = text(found.get(name), name)
    if said not in states:
        raise Unparsable(name, said)
    return said


def _fen(amount: Mapping[str, Any], name: str) -> int:
    fen = integer(amount.get(name), name)
    if fen < 0:
        raise Unparsable(name, fen)
    return fen


def _base64(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise Unparsable("ciphertext", value) from error
