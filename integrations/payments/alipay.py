"""Alipay's open platform: RSA2 in key mode, trade and refund queries, refunds, notifies (PROTOCOLS.md §5).

`out_request_no` is our refund number: asked again with it, Alipay pays nothing more. The stored request is the
`biz_content`; time and signature are added at every sending.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from integrations.channels.payload import Unparsable, fen_of_decimal, identity, mapping, text, understood
from integrations.errors import Forged, Later, PlatformError, Refused, Unclear
from integrations.http import TOTAL_TIMEOUT, call
from integrations.payments import PaymentRecord, PaymentState, RefundAnswer, RefundState, RefundWish, Trade
from integrations.payments.answers import same
from integrations.payments.news import PaymentNews
from integrations.payments.rsa import is_signed, private_key, public_key, sign
from integrations.payments.wishes import check, payment_ref, shortened
from models.settings import AlipaySettings

PLATFORM = "alipay"
BEIJING = timezone(timedelta(hours=8))
REASON_BYTES = 256
CREDENTIALS_WAIT = 1800.0  # seconds: a person has to act first
THROTTLED_FOR = 5.0  # seconds

STATES = {
    "WAIT_BUYER_PAY": PaymentState.PENDING,
    "TRADE_SUCCESS": PaymentState.PAID,
    "TRADE_FINISHED": PaymentState.PAID,
    "TRADE_CLOSED": PaymentState.CLOSED,
}
WITHOUT_RIGHT = {"20001", "40003", "40006"}
UNTIL_MENDED = {
    "isv.invalid-signature": "check alipay.private_key against the key in Alipay's console",
    "isv.missing-signature": "check alipay.private_key",
    "isv.invalid-app-id": "check alipay.app_id",
    "isv.missing-app-id": "fill in alipay.app_id",
    "isv.invalid-timestamp": "check this machine's clock",
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": "top up the Alipay account",
}


def signed_text(fields: Mapping[str, str]) -> bytes:
    """What a signature is made over: `name=value` sorted by name, joined by `&`, not encoded."""
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields)).encode()


def raw_node(answer: str, name: str) -> str:
    """The exact text of a node in an answer, which is what Alipay signs. `ValueError` when it is not there."""
    found = re.search(rf'"{re.escape(name)}"\s*:\s*', answer)
    if found is None:
        raise ValueError(f"no {name}")
    _, end = json.JSONDecoder().raw_decode(answer, found.end())
    return answer[found.end() : end]


class Alipay:
    """One Alipay application (`Payments`). The HTTP client belongs to the caller."""

    name = PLATFORM

    def __init__(
        self,
        settings: AlipaySettings,
        client: httpx.AsyncClient,
        *,
        timeout: float = TOTAL_TIMEOUT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._client = client
        self._timeout = timeout
        self._clock = clock

    async def payment(self, trade: Trade) -> PaymentRecord:
        """What was paid, as of now. A partial refund does not show here: Alipay leaves the trade as it was."""
        asked = {"out_trade_no": payment_ref(PLATFORM, trade)}
        answer = await self._ask("alipay.trade.query", _json(asked), changes=False, timeout=self._timeout)
        with understood(PLATFORM):
            same(answer, asked)
            status = text(answer.get("trade_status"), "trade_status")
            if status not in STATES:
                raise Unparsable("trade_status", status)
            state, paid_at = STATES[status], _moment(answer.get("send_pay_date"), "send_pay_date")
            if state is PaymentState.CLOSED and paid_at:
                state = PaymentState.REFUNDED  # a trade that was paid closes when all of it has been refunded
            paid = _fen(answer, "total_amount") if state in (PaymentState.PAID, PaymentState.REFUNDED) else 0
            return PaymentRecord(state, paid, "CNY", paid_at)

    def refund_request(self, wish: RefundWish) -> bytes:
        """The `biz_content` of one refund. Pure. `Refused` without a payment number, or for a wrong sum."""
        check(PLATFORM, wish)
        return _json(
            {
                "out_trade_no": wish.trade.payment_ref,
                "refund_amount": f"{wish.amount_fen // 100}.{wish.amount_fen % 100:02d}",
                "out_request_no": wish.refund_no,
                "refund_reason": shortened(wish.reason, REASON_BYTES),
            }
        )

    async def refund(self, request: bytes) -> RefundAnswer:
        """Ask for the refund; held to once by `out_request_no`. `refund_id` is the trade's number: it has no other.

        `fund_change` N says only that this call moved no money (a repeat, a bank that takes its time): it is
        confirmed by asking, and PROCESSING while that says nothing yet.
        """
        asked, began = json.loads(request), time.monotonic()
        answer = await self._ask("alipay.trade.refund", request, changes=True, timeout=self._timeout)
        with understood(PLATFORM):
            same(answer, {"out_trade_no": asked["out_trade_no"]})
            amount, number = _fen(asked, "refund_amount"), text(answer.get("trade_no"), "trade_no")
            if answer.get("fund_change") == "Y":
                if _fen(answer, "refund_fee") < amount:  # all refunds of the trade together
                    raise Unparsable("refund_fee", answer["refund_fee"])
                return RefundAnswer(RefundState.PAID, number, amount)
        try:
            found = await self._find(asked, max(self._timeout - (time.monotonic() - began), 0.1))
        except PlatformError:
            found = None  # it was taken all the same
        return found or RefundAnswer(RefundState.PROCESSING, number, amount)

    async def find_refund(self, request: bytes) -> RefundAnswer | None:
        """What became of this refund; None when Alipay has not paid it (asked too soon, it may still be about to)."""
        return await self._find(json.loads(request), self._timeout)

    def verify_notify(self, form_body: bytes) -> dict[str, str]:
        """The fields of an async notify. `Forged` when it is unsigned, wrongly signed, or for another application.

        Most products sign without `sign_type`, a few with it.
        """
        try:
            fields = dict(parse_qsl(form_body.decode(), keep_blank_values=True, errors="strict", max_num_fields=200))
            key = public_key(self._settings.alipay_public_key)
        except ValueError as error:  # not a form, or there is no key here to verify it with
            raise Forged(PLATFORM, "unreadable", f"cannot be verified: {error}"[:300]) from error
        signature = fields.get("sign", "")
        kept = {name: value for name, value in fields.items() if name != "sign"}
        plain = {name: value for name, value in kept.items() if name != "sign_type"}
        if not any(is_signed(key, signed_text(each), signature) for each in (plain, kept)):
            raise Forged(PLATFORM, "signature", "the signature does not match: check alipay.alipay_public_key")
        if fields.get("app_id") != self._settings.app_id:
            raise Forged(PLATFORM, "app_id", "signed for another application")
        return fields

    async def _find(self, asked: Mapping[str, Any], timeout: float) -> RefundAnswer | None:
        named = {name: str(asked[name]) for name in ("out_trade_no", "out_request_no")}
        try:
            answer = await self._ask("alipay.trade.fastpay.refund.query", _json(named), changes=False, timeout=timeout)
        except Refused as error:
            if error.code == "ACQ.TRADE_NOT_EXIST":
                return None
            raise
        with understood(PLATFORM):
            status = text(answer.get("refund_status"), "refund_status")
            if not status:
                return None
            same(answer, named)
            amount, number = _fen(answer, "refund_amount"), text(answer.get("trade_no"), "trade_no")
        if status == "REFUND_SUCCESS":
            return RefundAnswer(RefundState.PAID, number, amount)
        return RefundAnswer(RefundState.PROCESSING, number, amount, status)

    async def _ask(self, method: str, biz_content: bytes, *, changes: bool, timeout: float) -> dict[str, Any]:
        """One signed call; its answer when that is a success and signed. `changes`: it may move money."""
        try:
            ours = private_key(self._settings.private_key.get_secret_value())
            theirs = public_key(self._settings.alipay_public_key)
        except ValueError as error:
            raise Later(PLATFORM, "keys", f"check the keys of [alipay]: {error}", CREDENTIALS_WAIT) from error
        fields = {
            "app_id": self._settings.app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": f"{self._clock().astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
            "version": "1.0",
            "biz_content": biz_content.decode(),
        }
        response = await call(
            self._client,
            PLATFORM,
            "POST",
            f"{self._settings.base_url}/gateway.do",
            content=urlencode(fields | {"sign": sign(ours, signed_text(fields))}).encode(),
            headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
            timeout=timeout,
            reads=not changes,
        )
        return _believed(response.content, method.replace(".", "_") + "_response", theirs, changes)


def news_in(notify: Mapping[str, str]) -> PaymentNews | None:
    """What a verified notify reports; None when it is about neither money that came nor money that went.

    Alipay tells only the sum of all refunds of a trade: what this one paid has to be asked (`refunded_fen` None).
    `Refused` when it cannot be read.
    """
    try:
        event_id = identity(notify.get("notify_id"), "notify_id")
        ref = identity(notify.get("out_trade_no"), "out_trade_no")
    except Unparsable as error:
        raise Refused(PLATFORM, "unreadable", f"a signed notify about no trade: {error}") from error
    if notify.get("gmt_refund") and notify.get("out_biz_no"):
        return PaymentNews(PLATFORM, event_id, ref, notify["out_biz_no"], "refund", None, RefundState.PAID)
    if notify.get("trade_status") in ("TRADE_SUCCESS", "TRADE_FINISHED") and not notify.get("gmt_refund"):
        return PaymentNews(PLATFORM, event_id, ref, "", "paid", None, None)
    return None


def _believed(content: bytes, node: str, key: RSAPublicKey, changes: bool) -> dict[str, Any]:
    """The node of an answer. A success must be signed; an error may come without any signature."""
    try:
        answer = content.decode()
        whole = mapping(json.loads(answer), "the answer")
        name = node if node in whole else "error_response"
        raw = raw_node(answer, name)
        found = mapping(json.loads(raw), name)
        code, signature = text(found.get("code"), "code"), text(whole.get("sign"), "sign")
    except (ValueError, RecursionError) as error:
        raise Unclear(PLATFORM, "unreadable", f"the answer cannot be read: {error}"[:300]) from error
    if (code == "10000" or signature) and not is_signed(key, raw.encode(), signature):
        raise Unclear(PLATFORM, "signature", "the answer is not signed by Alipay: check alipay.alipay_public_key")
    if code != "10000":
        raise _failure(found, code, changes)
    return found


def _failure(found: Mapping[str, Any], code: str, changes: bool) -> PlatformError:
    """Alipay's code and sub code as one of the three classes."""
    with understood(PLATFORM):
        sub = text(found.get("sub_code"), "sub_code").removeprefix("aop.")
        said = f"{text(found.get('msg'), 'msg')} {text(found.get('sub_msg'), 'sub_msg')}"[:300]
    named = sub or code
    if code in WITHOUT_RIGHT or sub in UNTIL_MENDED:
        what = UNTIL_MENDED.get(sub, "check the application's permissions in Alipay's console")
        return Later(PLATFORM, named, f"{said}; {what}", CREDENTIALS_WAIT)
    if code == "40005":
        return Later(PLATFORM, named, said, THROTTLED_FOR)
    if code == "20000" or sub.startswith("isp.") or sub == "ACQ.SYSTEM_ERROR":
        return Unclear(PLATFORM, named, said) if changes else Later(PLATFORM, named, said, THROTTLED_FOR)
    if code in ("40001", "40002", "40004"):
        return Refused(PLATFORM, named, said)
    return Unclear(PLATFORM, named or "unreadable", said)


def _json(value: Mapping[str, str]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _fen(found: Mapping[str, Any], name: str) -> int:
    """Fen of a decimal text in yuan; a JSON number is none."""
    fen = fen_of_decimal(text(found.get(name), name), name)
    if fen < 0:
        raise Unparsable(name, found[name])
    return fen


def _moment(value: object, name: str) -> datetime | None:
    """UTC of a Beijing time without offset; None where it is not told."""
    if not value:
        return None
    try:
        at = datetime.strptime(text(value, name), "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unparsable(name, value) from error
