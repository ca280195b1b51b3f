"""WeChat Pay: signatures both ways, refunds that pay once whatever gets lost, callbacks that are not forged."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from pydantic import SecretStr

from integrations import http
from integrations.errors import Forged, Later, PlatformError, Refused, Unclear
from integrations.payments import PaymentRecord, PaymentState, RefundAnswer, RefundState, RefundWish, Trade
from integrations.payments.news import PaymentNews
from integrations.payments.wechat_pay import WeChatPay, answer_message, decrypted, request_message
from integrations.sandbox.credentials import Credentials, settings_for_sandbox
from integrations.sandbox.rsa_keys import private_text, public_text
from integrations.sandbox.wechat_pay import REFUND, TRADE, open_trade
from integrations.sandbox.wechat_pay_messages import ANOTHER, callback_body, signed_headers
from models.settings import WeChatPaySettings
from tests.integrations.hostile import bent
from tests.integrations.listening_portal import ListeningPortal, platform_calling, wait_for
from tests.sandbox import Sandbox, running_sandbox

NOON = datetime(2026, 11, 1, 4, tzinfo=UTC)
NOON_THERE = "2026-11-01T12:00:00+08:00"
A_PERSON = 1800.0  # seconds to wait for somebody to mend it
KNOWN = Credentials()
REFUND_TOLD = {
    "mchid": KNOWN.wechat_pay_mchid,
    "out_trade_no": "P-1",
    "transaction_id": "42000",
    "out_refund_no": "R-1",
    "refund_id": "50300",
    "refund_status": "SUCCESS",
    "status": "SUCCESS",
    "user_received_account": "支付用户零钱",
    "trade_state": "SUCCESS",
    "success_time": NOON_THERE,
    "amount": {"total": 8888, "refund": 1234, "payer_total": 8888, "payer_refund": 1234, "currency": "CNY"},
}


def wish(refund_no: str = "R-1", fen: int = 1234, of: int = 8888, ref: str = "P-1") -> RefundWish:
    return RefundWish(refund_no, Trade("1001", ref), fen, of, "CNY", "仓库缺货", (), {})


def settings_of(**changes: Any) -> WeChatPaySettings:
    told = settings_for_sandbox(9, "")["wechat_pay"] | changes
    return WeChatPaySettings.model_validate(told)


def answering(*told: Any, status: int = 200) -> WeChatPay:
    """WeChat's side played by these answers, signed now, one after the other."""
    left = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in told]

    def answer(request: httpx.Request) -> httpx.Response:
        body = left.pop(0)
        headers = signed_headers(KNOWN, body, int(datetime.now(UTC).timestamp()))
        return httpx.Response(status, content=body, headers=headers)

    return WeChatPay(settings_of(), httpx.AsyncClient(transport=httpx.MockTransport(answer)))


def callback(
    event_type: str = "REFUND.SUCCESS", told: Any = REFUND_TOLD, at: datetime = NOON
) -> tuple[dict[str, str], bytes]:
    body = callback_body(KNOWN, "e-1", event_type, NOON_THERE, told)
    return signed_headers(KNOWN, body, int(at.timestamp())), body


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path, speed=100) as running:
        open_trade(running.world, "P-1", 8888, NOON)
        yield running


@pytest.fixture
async def wechat(sandbox: Sandbox) -> AsyncIterator[WeChatPay]:
    async with http.client() as client:
        yield WeChatPay(sandbox.settings.wechat_pay, client, timeout=1.0)


async def ended(wechat: WeChatPay, request: bytes) -> RefundAnswer:
    """The refund once it is no longer being processed."""
    async with asyncio.timeout(10):
        while (found := await wechat.find_refund(request)) is None or found.state is RefundState.PROCESSING:
            pass
    return found


def refunded(sandbox: Sandbox) -> dict[str, int]:
    """Fen of the refunds that were really taken, by refund number."""
    return {refund["asked"]["out_refund_no"]: refund["asked"]["amount"]["refund"] for refund in taken(sandbox)}


def taken(sandbox: Sandbox) -> list[dict[str, Any]]:
    return sandbox.world.window(REFUND)


# published vectors ------------------------------------------------------------------------------------------


def test_signed_messages_equal_the_published_ones() -> None:
    message = request_message("GET", "/v3/certificates", "1624523846", "A1B2C3D4E5F6G7", b"")
    assert message == b"GET\n/v3/certificates\n1624523846\nA1B2C3D4E5F6G7\n\n"
    assert answer_message("1624523846", "A1B2C3D4E5F6G7", b"{}") == b"1624523846\nA1B2C3D4E5F6G7\n{}\n"


def test_published_text_is_decrypted() -> None:
    encrypted = base64.b64decode("FsdXzxryWfKwvLJKf8LG/ToRPTRh8RN9wROC")
    associated = "Dl56FrqWQJF1t9LtC3vEUsniZKvbqdR8"
    assert decrypted(b"testAPIv3Key0000", "wCq51qZv4Yfg", associated, encrypted) == b"Hello World"
    for key, nonce, data in [
        (b"testAPIv3Key0001", "wCq51qZv4Yfg", encrypted),
        (b"testAPIv3Key0000", "wCq51qZv4Yfh", encrypted),
        (b"testAPIv3Key0000", "wCq51qZv4Yfg", encrypted[:-1]),
        (b"testAPIv3Key0000", "wCq51qZv4Yfg", b""),
        (b"short", "wCq51qZv4Yfg", encrypted),
        (b"testAPIv3Key0000", "", encrypted),
    ]:
        with pytest.raises(ValueError, match=r"encrypted|AESGCM|Nonce|nonce"):
            decrypted(key, nonce, associated, data)


# building a refund ------------------------------------------------------------------------------------------


def test_refund_is_written_in_fen_and_always_the_same() -> None:
    client = httpx.AsyncClient()
    wechat = WeChatPay(settings_of(), client, notify_url="https://hub.test/webhooks/wechat-pay")
    request = wechat.refund_request(replace(wish(), reason="缺" * 30))
    assert request == wechat.refund_request(replace(wish(), reason="缺" * 30))
    assert json.loads(request) == {
        "out_trade_no": "P-1",
        "out_refund_no": "R-1",
        "reason": "缺" * 26,
        "notify_url": "https://hub.test/webhooks/wechat-pay",
        "amount": {"refund": 1234, "total": 8888, "currency": "CNY"},
    }
    assert "notify_url" not in json.loads(answering().refund_request(wish()))


@pytest.mark.parametrize("wrong", [wish(ref=""), wish(refund_no="R/1"), wish(fen=0), wish(fen=8889)])
def test_refund_that_cannot_be_asked_for_is_refused_at_once(wrong: RefundWish) -> None:
    with pytest.raises(Refused):
        answering().refund_request(wrong)


# what was paid ----------------------------------------------------------------------------------------------


async def test_payment_follows_its_trade(wechat: WeChatPay, sandbox: Sandbox) -> None:
    assert await wechat.payment(Trade("1001", "P-1")) == PaymentRecord(PaymentState.PAID, 8888, "CNY", NOON)
    await wechat.refund(wechat.refund_request(wish()))
    assert (await wechat.payment(Trade("1001", "P-1"))).state is PaymentState.REFUNDED
    open_trade(sandbox.world, "P-2 &?", 8888, NOON, paid=False)
    assert await wechat.payment(Trade("1002", "P-2 &?")) == PaymentRecord(PaymentState.PENDING, 0, "CNY", None)


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("SUCCESS", PaymentState.PAID),
        ("REFUND", PaymentState.REFUNDED),
        ("NOTPAY", PaymentState.PENDING),
        ("USERPAYING", PaymentState.PENDING),
        ("PAYERROR", PaymentState.PENDING),
        ("CLOSED", PaymentState.CLOSED),
        ("REVOKED", PaymentState.CLOSED),
    ],
)
async def test_trade_states_are_the_hubs(told: str, state: PaymentState) -> None:
    record = await answering(REFUND_TOLD | {"trade_state": told}).payment(Trade("1001", "P-1"))
    assert record.state is state
    assert record.paid_fen == (8888 if state in (PaymentState.PAID, PaymentState.REFUNDED) else 0)


async def test_unknown_payment_is_refused(wechat: WeChatPay) -> None:
    with pytest.raises(Refused, match="RESOURCE_NOT_EXISTS"):
        await wechat.payment(Trade("1001", "P-unknown"))
    with pytest.raises(Refused, match="names no payment"):
        await wechat.payment(Trade("1001"))


# refunds ----------------------------------------------------------------------------------------------------


async def test_refund_is_processing_and_then_paid(wechat: WeChatPay, sandbox: Sandbox) -> None:
    request = wechat.refund_request(wish())
    assert await wechat.find_refund(request) is None
    first = await wechat.refund(request)
    assert (first.state, first.refunded_fen) == (RefundState.PROCESSING, 1234)
    assert await ended(wechat, request) == replace(first, state=RefundState.PAID)
    assert sandbox.world.effects("wechat_pay", "refund") == {"R-1": 1}


async def test_repeated_refund_pays_once(wechat: WeChatPay, sandbox: Sandbox) -> None:
    request = wechat.refund_request(wish())
    answers = await asyncio.gather(*(wechat.refund(request) for _ in range(4)))
    assert len({answer.refund_id for answer in answers}) == 1
    assert refunded(sandbox) == {"R-1": 1234}
    assert sandbox.world.effects("wechat_pay", "refund") == {"R-1": 1}
    assert (await ended(wechat, request)).refunded_fen == 1234


@pytest.mark.parametrize(("fault", "state"), [("abnormal", RefundState.ABNORMAL), ("closed", RefundState.CLOSED)])
async def test_refund_that_cannot_be_paid_says_so(
    wechat: WeChatPay, sandbox: Sandbox, fault: str, state: RefundState
) -> None:
    sandbox.world.set_fault("wechat_pay", "refund", fault)
    request = wechat.refund_request(wish())
    assert (await wechat.refund(request)).state is RefundState.PROCESSING
    assert (await ended(wechat, request)).state is state
    still_there = (sandbox.world.get(TRADE, "P-1") or {})["refunded"]
    assert still_there == (1234 if state is RefundState.ABNORMAL else 0)


@pytest.mark.parametrize(
    "fault", ["timeout_after", "drop", "http_500_after", "SYSTEM_ERROR_after", "bad_signature", "unsigned", "skewed"]
)
async def test_refund_whose_answer_was_lost_is_found_and_not_paid_twice(
    wechat: WeChatPay, sandbox: Sandbox, fault: str
) -> None:
    request = wechat.refund_request(wish())
    sandbox.world.set_fault("wechat_pay", "refund", fault, detail={"seconds": 30})
    with pytest.raises(Unclear):
        await wechat.refund(request)
    found = await ended(wechat, request)
    assert (found.state, found.refunded_fen) == (RefundState.PAID, 1234)
    assert await wechat.refund(request) == found
    assert refunded(sandbox) == {"R-1": 1234}
    assert sandbox.world.effects("wechat_pay", "refund") == {"R-1": 1}


async def test_refund_that_never_arrived_is_not_found_and_paid_by_the_repeat(
    wechat: WeChatPay, sandbox: Sandbox
) -> None:
    request = wechat.refund_request(wish())
    sandbox.world.set_fault("wechat_pay", "refund", "timeout_before", detail={"seconds": 30})
    with pytest.raises(Unclear, match="timeout"):
        await wechat.refund(request)
    assert await wechat.find_refund(request) is None
    assert taken(sandbox) == []
    await wechat.refund(request)
    assert refunded(sandbox) == {"R-1": 1234}


@pytest.mark.parametrize(
    ("fault", "error", "wait"),
    [
        ("SYSTEM_ERROR", Unclear, 0.0),
        ("http_500", Unclear, 0.0),
        ("SIGN_ERROR", Later, A_PERSON),
        ("NO_AUTH", Later, A_PERSON),
        ("NOT_ENOUGH", Later, A_PERSON),
        ("FREQUENCY_LIMITED", Later, 5.0),
        ("http_503", Later, 5.0),
        ("http_429", Later, 1.0),
        ("INVALID_REQUEST", Refused, 0.0),
        ("PARAM_ERROR", Refused, 0.0),
        ("USER_ACCOUNT_ABNORMAL", Refused, 0.0),
        ("RESOURCE_NOT_EXISTS", Refused, 0.0),
    ],
)
async def test_refusals_of_a_refund_fall_into_their_classes_and_pay_nothing(
    wechat: WeChatPay, sandbox: Sandbox, fault: str, error: type[PlatformError], wait: float
) -> None:
    sandbox.world.set_fault("wechat_pay", "refund", fault)
    with pytest.raises(error) as failed:
        await wechat.refund(wechat.refund_request(wish()))
    assert getattr(failed.value, "retry_after", 0.0) == wait
    assert fault.startswith("http_") or failed.value.code == fault
    assert taken(sandbox) == []
    assert sum(sandbox.world.effects("wechat_pay", "refund").values()) == 0


async def test_question_that_failed_over_there_may_simply_be_asked_again(wechat: WeChatPay, sandbox: Sandbox) -> None:
    sandbox.world.set_fault("wechat_pay", "*", "SYSTEM_ERROR", times=2)
    with pytest.raises(Later):
        await wechat.payment(Trade("1001", "P-1"))
    with pytest.raises(Later):
        await wechat.find_refund(wechat.refund_request(wish()))


@pytest.mark.parametrize("fault", ["bad_signature", "unsigned", "skewed"])
async def test_payment_and_refund_told_without_a_good_signature_are_not_believed(
    wechat: WeChatPay, sandbox: Sandbox, fault: str
) -> None:
    request = wechat.refund_request(wish())
    await wechat.refund(request)
    sandbox.world.set_fault("wechat_pay", "*", fault, times=2)
    with pytest.raises(Unclear, match="not believed"):
        await wechat.payment(Trade("1001", "P-1"))
    with pytest.raises(Unclear, match="not believed"):
        await wechat.find_refund(request)


@pytest.mark.parametrize("other", [wish(fen=1235), wish(of=9000), replace(wish(), reason="别的原因")])
async def test_other_parameters_under_the_same_number_are_refused(
    wechat: WeChatPay, sandbox: Sandbox, other: RefundWish
) -> None:
    await wechat.refund(wechat.refund_request(wish()))
    with pytest.raises(Refused, match="INVALID_REQUEST"):
        await wechat.refund(wechat.refund_request(other))
    assert refunded(sandbox) == {"R-1": 1234}
    assert sandbox.world.effects("wechat_pay", "refund") == {"R-1": 1}


async def test_refunds_together_never_exceed_the_payment(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, speed=1e6) as running:
        open_trade(running.world, "P-1", 8888, NOON)
        async with http.client() as client:
            wechat = WeChatPay(running.settings.wechat_pay, client)
            await wechat.refund(wechat.refund_request(wish("R-1", 8000)))
            with pytest.raises(Refused, match="INVALID_REQUEST"):
                await wechat.refund(wechat.refund_request(wish("R-2", 889)))
            await wechat.refund(wechat.refund_request(wish("R-3", 888)))
        assert refunded(running) == {"R-1": 8000, "R-3": 888}
        assert running.world.effects("wechat_pay", "refund") == {"R-1": 1, "R-2": 0, "R-3": 1}


async def test_second_refund_of_a_payment_waits_its_minute(wechat: WeChatPay, sandbox: Sandbox) -> None:
    sandbox.world.put(TRADE, "P-1", (sandbox.world.get(TRADE, "P-1") or {}) | {"refunded_at": 4e9})
    with pytest.raises(Later, match="FREQUENCY_LIMITED"):
        await wechat.refund(wechat.refund_request(wish()))
    assert taken(sandbox) == []


async def test_unpaid_trade_takes_no_refund(wechat: WeChatPay, sandbox: Sandbox) -> None:
    open_trade(sandbox.world, "P-2", 8888, NOON, paid=False)
    with pytest.raises(Refused, match="INVALID_REQUEST"):
        await wechat.refund(wechat.refund_request(wish(ref="P-2")))
    with pytest.raises(Refused, match="RESOURCE_NOT_EXISTS"):
        await wechat.refund(wechat.refund_request(wish(ref="P-unknown")))
    assert taken(sandbox) == []


# answers that somebody made up ------------------------------------------------------------------------------


async def test_signed_answer_about_another_payment_or_refund_is_not_believed() -> None:
    request = answering().refund_request(wish())
    with pytest.raises(Unclear, match="out_trade_no"):
        await answering(REFUND_TOLD | {"out_trade_no": "P-2"}).payment(Trade("1001", "P-1"))
    with pytest.raises(Unclear, match="mchid"):
        await answering(REFUND_TOLD | {"mchid": "1"}).payment(Trade("1001", "P-1"))
    with pytest.raises(Unclear, match="out_refund_no"):
        await answering(REFUND_TOLD | {"out_refund_no": "R-2"}).refund(request)
    with pytest.raises(Unclear, match="out_refund_no"):
        await answering(REFUND_TOLD | {"out_refund_no": "R-2"}).find_refund(request)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"<html>"])
async def test_unreadable_answers_are_unclear_though_signed(body: bytes) -> None:
    with pytest.raises(Unclear, match="unreadable"):
        await answering(body).refund(answering().refund_request(wish()))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (302, b"", Unclear),
        (401, b"", Later),
        (404, b"<html>", Refused),
        (500, b'{"code":7}', Unclear),
        (429, b"", Later),
    ],
)
async def test_errors_without_a_code_go_by_their_status(status: int, body: bytes, error: type[PlatformError]) -> None:
    with pytest.raises(error):
        await answering(body, status=status).find_refund(answering().refund_request(wish()))


@given(told=bent(REFUND_TOLD))
@settings(max_examples=300, deadline=None)
def test_bent_answers_are_answers_or_platform_errors_and_never_another_refund(told: Any) -> None:
    request = answering().refund_request(wish())

    async def ask() -> None:
        try:
            found = await answering(told).find_refund(request)
            assert found is not None
            assert told["out_refund_no"] == "R-1"
            assert 0 <= found.refunded_fen < 10**15
            assert found.state is not RefundState.PAID or told["status"] == "SUCCESS"
        except PlatformError:
            pass
        try:
            assert 0 <= (await answering(told).payment(Trade("1001", "P-1"))).paid_fen < 10**15
        except PlatformError:
            pass

    asyncio.run(ask())
    for event_type in ("REFUND.SUCCESS", "TRANSACTION.SUCCESS"):
        try:
            headers, body = callback(event_type, told)
        except UnicodeEncodeError:
            continue  # half a character cannot be sent
        try:
            assert answering().verify_callback(headers, body, NOON).payment_ref
        except (Refused, Forged):
            pass


# credentials ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"private_key": SecretStr(private_text("alipay merchant"))},
        {"private_key": SecretStr("")},
        {"serial_no": "7"},
        {"mchid": "1"},
        {"platform_keys": {}},
    ],
)
async def test_wrong_credentials_wait_for_a_person_and_pay_nothing(sandbox: Sandbox, changes: dict[str, Any]) -> None:
    async with http.client() as client:
        wechat = WeChatPay(sandbox.settings.wechat_pay.model_copy(update=changes), client)
        with pytest.raises(Later, match=r"wechat_pay\.") as later:
            await wechat.refund(wechat.refund_request(wish()))
    assert later.value.retry_after == A_PERSON
    assert taken(sandbox) == []


@pytest.mark.parametrize(
    "keys",
    [
        {"PUB_KEY_ID_other": public_text("wechat_pay platform")},
        {KNOWN.wechat_pay_platform_serial: public_text("alipay platform")},
        {KNOWN.wechat_pay_platform_serial: "no key"},
    ],
)
async def test_wrong_platform_key_makes_the_refund_unclear(sandbox: Sandbox, keys: dict[str, str]) -> None:
    async with http.client() as client:
        wechat = WeChatPay(sandbox.settings.wechat_pay.model_copy(update={"platform_keys": keys}), client)
        with pytest.raises(Unclear, match="not believed"):
            await wechat.refund(wechat.refund_request(wish()))
    assert refunded(sandbox) == {"R-1": 1234}


async def test_wrong_clock_is_told(sandbox: Sandbox) -> None:
    async with http.client() as client:
        slow = WeChatPay(sandbox.settings.wechat_pay, client, clock=lambda: datetime.now(UTC) - timedelta(minutes=6))
        with pytest.raises(Later, match="clock"):
            await slow.refund(slow.refund_request(wish()))
    assert taken(sandbox) == []


# callbacks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event_type", "state"),
    [
        ("REFUND.SUCCESS", RefundState.PAID),
        ("REFUND.ABNORMAL", RefundState.ABNORMAL),
        ("REFUND.CLOSED", RefundState.CLOSED),
    ],
)
def test_signed_callback_about_a_refund_is_news(event_type: str, state: RefundState) -> None:
    headers, body = callback(event_type)
    news = answering().verify_callback({name.title(): value for name, value in headers.items()}, body, NOON)
    assert news == PaymentNews("wechat_pay", "e-1", "P-1", "R-1", "refund", 1234, state)


def test_signed_callback_about_a_payment_is_news() -> None:
    news = answering().verify_callback(*callback("TRANSACTION.SUCCESS"), NOON)
    assert news == PaymentNews("wechat_pay", "e-1", "P-1", "", "paid", None, None)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_callback_more_than_five_minutes_off_is_forged(seconds: int) -> None:
    headers, body = callback(at=NOON + timedelta(seconds=seconds))
    with pytest.raises(Forged, match="stale"):
        answering().verify_callback(headers, body, NOON)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"wechatpay-signature": "WECHATPAY/SIGNTEST/" + "A" * 325}, "signature"),
        ({"wechatpay-signature": "签名"}, "signature"),
        ({"wechatpay-signature": ""}, "unsigned"),
        ({"wechatpay-nonce": "other"}, "signature"),
        ({"wechatpay-timestamp": str(int(NOON.timestamp()) + 1)}, "signature"),
        ({"wechatpay-timestamp": "9" * 400}, "unsigned"),
        ({"wechatpay-timestamp": "soon"}, "unsigned"),
        ({"wechatpay-serial": "7"}, "serial"),
    ],
)
def test_callback_with_another_signature_is_forged(changes: dict[str, str], code: str) -> None:
    headers, body = callback()
    with pytest.raises(Forged) as forged:
        answering().verify_callback(headers | changes, body, NOON)
    assert forged.value.code == code


def test_changed_unsigned_and_wrongly_signed_callbacks_are_forged() -> None:
    headers, body = callback()
    for received, content in [
        (headers, body.replace(b"REFUND.SUCCESS", b"REFUND.CLOSED!")),
        (headers, body + b" "),
        ({}, body),
        (signed_headers(KNOWN, body, int(NOON.timestamp()), ANOTHER), body),
    ]:
        with pytest.raises(Forged):
            answering().verify_callback(received, content, NOON)


def test_callback_about_another_merchant_is_forged() -> None:
    with pytest.raises(Forged, match="another merchant"):
        answering().verify_callback(*callback(told=REFUND_TOLD | {"mchid": "1"}), NOON)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b'{"resource":{"algorithm":"none"}}', b"\xff"])
def test_signed_but_unreadable_callback_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="unreadable"):
        answering().verify_callback(signed_headers(KNOWN, body, int(NOON.timestamp())), body, NOON)


@pytest.mark.parametrize("event_type", ["REFUND.LOST", "COUPON.USE", ""])
def test_signed_callback_about_something_else_is_refused(event_type: str) -> None:
    with pytest.raises(Refused, match="event_type"):
        answering().verify_callback(*callback(event_type), NOON)


@pytest.mark.parametrize("key", ["", "short", "x" * 32])
def test_callback_encrypted_with_another_key_is_refused(key: str) -> None:
    wechat = WeChatPay(settings_of(api_v3_key=key), httpx.AsyncClient())
    with pytest.raises(Refused, match=r"32 bytes|not encrypted with this key"):
        wechat.verify_callback(*callback(), NOON)


async def test_refund_is_told_until_the_callback_is_taken(tmp_path: Path) -> None:
    portal = ListeningPortal(status=500)
    with platform_calling(tmp_path, portal, "wechat-pay", speed=300) as running:
        open_trade(running.world, "P-1", 8888, NOON)
        async with http.client() as client:
            wechat = WeChatPay(running.settings.wechat_pay, client)
            await wechat.refund(wechat.refund_request(wish()))
            wait_for(lambda: len(portal.taken) >= 2)
            portal.status = 204
            wait_for(lambda: sum(running.world.effects("wechat_pay", "callback").values()) == 1)
            told = {wechat.verify_callback(*each, datetime.now(UTC)) for each in portal.taken}
    (news,) = told
    assert (news.refund_no, news.refunded_fen, news.state) == ("R-1", 1234, RefundState.PAID)


@pytest.mark.parametrize(("fault", "posts", "forged"), [("repeated", 3, 0), ("forged", 2, 1), ("late", 1, 0)])
async def test_repeated_forged_and_late_callbacks_are_told_apart(
    tmp_path: Path, fault: str, posts: int, forged: int
) -> None:
    portal = ListeningPortal()
    with platform_calling(tmp_path, portal, "wechat-pay", speed=1000) as running:
        open_trade(running.world, "P-1", 8888, NOON)
        running.world.set_fault("wechat_pay", "callback", fault)
        async with http.client() as client:
            wechat = WeChatPay(running.settings.wechat_pay, client)
            await wechat.refund(wechat.refund_request(wish()))
            wait_for(lambda: len(portal.taken) == posts)
            good = []
            for each in portal.taken:
                try:
                    good.append(wechat.verify_callback(*each, datetime.now(UTC)))
                except Forged:
                    forged -= 1
        assert refunded(running) == {"R-1": 1234}
    assert forged == 0
    assert len(set(good)) == 1


async def test_lost_callback_is_made_up_for_by_asking(tmp_path: Path) -> None:
    portal = ListeningPortal()
    with platform_calling(tmp_path, portal, "wechat-pay", speed=1000) as running:
        for ref in ("P-1", "P-2"):
            open_trade(running.world, ref, 8888, NOON)
        running.world.set_fault("wechat_pay", "callback", "lost")
        async with http.client() as client:
            wechat = WeChatPay(running.settings.wechat_pay, client)
            lost = wechat.refund_request(wish())
            await wechat.refund(lost)
            assert (await ended(wechat, lost)).state is RefundState.PAID
            told = wechat.refund_request(wish("R-2", ref="P-2"))
            await wechat.refund(told)
            wait_for(lambda: portal.taken)
            news = [wechat.verify_callback(*each, datetime.now(UTC)) for each in portal.taken]
    assert [each.refund_no for each in news] == ["R-2"]
