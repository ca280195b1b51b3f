"""Alipay: signatures, refunds that pay once whatever gets lost, and nothing believed that is not signed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given, settings
from pydantic import SecretStr

from integrations import http
from integrations.errors import Forged, Later, PlatformError, Refused, Unclear
from integrations.payments import PaymentRecord, PaymentState, RefundAnswer, RefundState, RefundWish, Trade
from integrations.payments.alipay import Alipay, news_in, raw_node, signed_text
from integrations.payments.news import PaymentNews
from integrations.payments.rsa import is_signed, private_key, public_key, sign
from integrations.sandbox.alipay import TRADE, open_trade, signed_notify
from integrations.sandbox.credentials import Credentials, settings_for_sandbox
from integrations.sandbox.rsa_keys import STEPS_TO_PRIMES, key_of, numbers_of, private_text, public_text
from models.settings import AlipaySettings
from tests.integrations.hostile import bent
from tests.integrations.listening_portal import ListeningPortal, platform_calling, wait_for
from tests.sandbox import Sandbox, running_sandbox

NOON = datetime(2026, 11, 1, 4, tzinfo=UTC)
A_PERSON = 1800.0  # seconds to wait for somebody to mend it
NOTIFY = {
    "app_id": Credentials().alipay_app_id,
    "notify_id": "n-1",
    "out_trade_no": "P-1",
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "88.88",
    "subject": "鲜食 & 冻干=双拼",
    "passback_params": "",
}
ANSWER = {
    "code": "10000",
    "msg": "Success",
    "out_trade_no": "P-1",
    "trade_no": "2026110122001",
    "out_request_no": "R-1",
    "total_amount": "88.88",
    "refund_amount": "12.34",
    "refund_fee": "12.34",
    "fund_change": "Y",
    "refund_status": "REFUND_SUCCESS",
    "trade_status": "TRADE_SUCCESS",
    "send_pay_date": "2026-11-01 12:00:00",
}
PAID = RefundAnswer(RefundState.PAID, "2026110122001", 1234)


def wish(refund_no: str = "R-1", fen: int = 1234, of: int = 8888, ref: str = "P-1") -> RefundWish:
    return RefundWish(refund_no, Trade("1001", ref), fen, of, "CNY", "仓库缺货", (), {})


def settings_of(**changes: Any) -> AlipaySettings:
    told = settings_for_sandbox(9, "")["alipay"] | changes
    return AlipaySettings.model_validate(told)


def signed_answer(node: str, told: Any, signer: str = "alipay platform") -> bytes:
    raw = json.dumps(told)
    return f'{{"{node}":{raw},"sign":"{sign(key_of(signer), raw.encode())}"}}'.encode()


def answering(*bodies: bytes) -> Alipay:
    """Alipay's side played by these answers, one after the other."""
    left = list(bodies)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=left.pop(0)))
    return Alipay(settings_of(), httpx.AsyncClient(transport=transport))


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path, speed=100) as running:
        open_trade(running.world, "P-1", 8888, NOON)
        yield running


@pytest.fixture
async def alipay(sandbox: Sandbox) -> AsyncIterator[Alipay]:
    async with http.client() as client:
        yield Alipay(sandbox.settings.alipay, client, timeout=1.0)


def refunded(sandbox: Sandbox) -> dict[str, int]:
    """Fen that really went back, by refund number."""
    trade = sandbox.world.get(TRADE, "P-1")
    assert trade is not None
    return {number: refund["fen"] for number, refund in trade["refunds"].items()}


# keys and signed texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS_TO_PRIMES)
def test_sandbox_keys_are_sound_and_read_in_every_form(name: str) -> None:
    checked = numbers_of(name).private_key()  # OpenSSL checks that both are primes
    assert checked.key_size == 2048
    pem = "-----BEGIN PRIVATE KEY-----\n" + private_text(name) + "\n-----END PRIVATE KEY-----\n"
    for text in (private_text(name), pem):
        assert private_key(text).private_numbers() == checked.private_numbers()
    assert is_signed(public_key(public_text(name)), b"message", sign(checked, b"message"))
    assert not is_signed(public_key(public_text(name)), b"massage", sign(checked, b"message"))


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN PRIVATE KEY-----", "AAAA", "名"])
def test_text_that_is_no_key_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="no RSA"):
        private_key(text)
    with pytest.raises(ValueError, match="no RSA"):
        public_key(text)


def test_signed_text_is_sorted_and_not_encoded() -> None:
    assert signed_text({"b": "空 &=", "a": "1", "sign_type": "RSA2"}) == "a=1&b=空 &=&sign_type=RSA2".encode()


def test_signed_node_is_taken_as_it_stands() -> None:
    answer = '{ "x_response" : {"a":"\\/}{", "b": [1, {"c":"\\""}] } ,"sign":"S"}'
    assert raw_node(answer, "x_response") == '{"a":"\\/}{", "b": [1, {"c":"\\""}] }'
    with pytest.raises(ValueError, match="no y_response"):
        raw_node(answer, "y_response")


# building a refund ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fen", "yuan"), [(1, "0.01"), (10, "0.10"), (115, "1.15"), (12345678901, "123456789.01")])
def test_refund_is_written_in_yuan_to_the_fen(fen: int, yuan: str) -> None:
    request = answering().refund_request(wish(fen=fen, of=fen))
    assert request == answering().refund_request(wish(fen=fen, of=fen))
    assert json.loads(request) == {
        "out_trade_no": "P-1",
        "refund_amount": yuan,
        "out_request_no": "R-1",
        "refund_reason": "仓库缺货",
    }


def test_long_reason_is_cut_between_characters() -> None:
    request = answering().refund_request(replace(wish(), reason="缺" * 300))
    assert json.loads(request)["refund_reason"] == "缺" * 85


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (wish(ref=""), "payment_ref"),
        (wish(refund_no=""), "refund_no"),
        (wish(refund_no="R 1"), "refund_no"),
        (wish(refund_no="R" * 65), "refund_no"),
        (wish(fen=0), "amount"),
        (wish(fen=8889), "amount"),
        (replace(wish(), currency="USD"), "currency"),
    ],
)
def test_refund_that_cannot_be_asked_for_is_refused_at_once(wrong: RefundWish, code: str) -> None:
    with pytest.raises(Refused) as refused:
        answering().refund_request(wrong)
    assert refused.value.code == code


# what was paid ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fen", [1, 115, 435, 1990, 8888, 100_000_001])
async def test_paid_sum_is_exact(alipay: Alipay, sandbox: Sandbox, fen: int) -> None:
    open_trade(sandbox.world, "P-2", fen, NOON)
    assert await alipay.payment(Trade("1002", "P-2")) == PaymentRecord(PaymentState.PAID, fen, "CNY", NOON)


async def test_payment_follows_its_trade(alipay: Alipay, sandbox: Sandbox) -> None:
    open_trade(sandbox.world, "P-2", 8888, NOON, paid=False)
    assert await alipay.payment(Trade("1002", "P-2")) == PaymentRecord(PaymentState.PENDING, 0, "CNY", None)
    trade = sandbox.world.get(TRADE, "P-2") or {}
    sandbox.world.put(TRADE, "P-2", trade | {"status": "TRADE_CLOSED"})
    assert await alipay.payment(Trade("1002", "P-2")) == PaymentRecord(PaymentState.CLOSED, 0, "CNY", None)
    await alipay.refund(alipay.refund_request(wish(fen=8888)))
    assert await alipay.payment(Trade("1001", "P-1")) == PaymentRecord(PaymentState.REFUNDED, 8888, "CNY", NOON)


async def test_unknown_payment_is_refused(alipay: Alipay) -> None:
    with pytest.raises(Refused, match=r"ACQ\.TRADE_NOT_EXIST"):
        await alipay.payment(Trade("1001", "P-unknown"))
    with pytest.raises(Refused, match="names no payment"):
        await alipay.payment(Trade("1001"))


@pytest.mark.parametrize("amount", ["12.345", "-1.00", "1e3", "NaN", 88.88, None, "１.00"])
async def test_sum_that_is_no_amount_is_not_believed(amount: object) -> None:
    asked = answering(signed_answer("alipay_trade_query_response", ANSWER | {"total_amount": amount}))
    with pytest.raises(Unclear, match="total_amount"):
        await asked.payment(Trade("1001", "P-1"))


# refunds ----------------------------------------------------------------------------------------------------


async def test_repeated_refund_pays_once(alipay: Alipay, sandbox: Sandbox) -> None:
    request = alipay.refund_request(wish())
    answers = [await alipay.refund(request) for _ in range(3)]
    assert len(set(answers)) == 1
    assert (answers[0].state, answers[0].refunded_fen) == (RefundState.PAID, 1234)
    assert sandbox.world.effects("alipay", "refund") == {"R-1": 1}
    assert refunded(sandbox) == {"R-1": 1234}


async def test_refunds_at_the_same_moment_pay_once_each(alipay: Alipay, sandbox: Sandbox) -> None:
    requests = [alipay.refund_request(wish(number)) for number in ("R-1", "R-2", "R-1", "R-2")]
    await asyncio.gather(*(alipay.refund(request) for request in requests))
    assert refunded(sandbox) == {"R-1": 1234, "R-2": 1234}
    assert sandbox.world.effects("alipay", "refund") == {"R-1": 1, "R-2": 1}


@pytest.mark.parametrize(
    "fault", ["timeout_after", "drop", "http_500_after", "SYSTEM_ERROR_after", "bad_signature", "unsigned"]
)
async def test_refund_whose_answer_was_lost_is_found_and_not_paid_twice(
    alipay: Alipay, sandbox: Sandbox, fault: str
) -> None:
    request = alipay.refund_request(wish())
    assert await alipay.find_refund(request) is None
    sandbox.world.set_fault("alipay", "refund", fault, detail={"seconds": 30})
    with pytest.raises(Unclear):
        await alipay.refund(request)
    found = await alipay.find_refund(request)
    assert found is not None
    assert (found.state, found.refunded_fen) == (RefundState.PAID, 1234)
    assert await alipay.refund(request) == found
    assert refunded(sandbox) == {"R-1": 1234}
    assert sandbox.world.effects("alipay", "refund") == {"R-1": 1}


async def test_refund_that_never_arrived_is_not_found_and_paid_by_the_repeat(alipay: Alipay, sandbox: Sandbox) -> None:
    request = alipay.refund_request(wish())
    sandbox.world.set_fault("alipay", "refund", "timeout_before", detail={"seconds": 30})
    with pytest.raises(Unclear, match="timeout"):
        await alipay.refund(request)
    assert await alipay.find_refund(request) is None
    assert refunded(sandbox) == {}
    await alipay.refund(request)
    assert refunded(sandbox) == {"R-1": 1234}


@pytest.mark.parametrize(
    ("fault", "error", "wait"),
    [
        ("20000", Unclear, 0.0),
        ("SYSTEM_ERROR", Unclear, 0.0),
        ("http_500", Unclear, 0.0),
        ("20001", Later, A_PERSON),
        ("40006", Later, A_PERSON),
        ("NOT_ENOUGH", Later, A_PERSON),
        ("http_503", Later, 5.0),
        ("http_429", Later, 1.0),
    ],
)
async def test_refusals_of_a_refund_fall_into_their_classes_and_pay_nothing(
    alipay: Alipay, sandbox: Sandbox, fault: str, error: type[PlatformError], wait: float
) -> None:
    sandbox.world.set_fault("alipay", "refund", fault)
    with pytest.raises(error) as failed:
        await alipay.refund(alipay.refund_request(wish()))
    assert getattr(failed.value, "retry_after", 0.0) == wait
    assert refunded(sandbox) == {}
    assert sum(sandbox.world.effects("alipay", "refund").values()) == 0


@pytest.mark.parametrize("fault", ["20000", "SYSTEM_ERROR"])
async def test_question_that_failed_over_there_may_simply_be_asked_again(
    alipay: Alipay, sandbox: Sandbox, fault: str
) -> None:
    sandbox.world.set_fault("alipay", "*", fault, times=2)
    with pytest.raises(Later):
        await alipay.payment(Trade("1001", "P-1"))
    with pytest.raises(Later):
        await alipay.find_refund(alipay.refund_request(wish()))


@pytest.mark.parametrize("fault", ["bad_signature", "unsigned"])
async def test_payment_and_refund_told_without_a_good_signature_are_not_believed(
    alipay: Alipay, sandbox: Sandbox, fault: str
) -> None:
    sandbox.world.set_fault("alipay", "*", fault, times=2)
    with pytest.raises(Unclear, match="not signed by Alipay"):
        await alipay.payment(Trade("1001", "P-1"))
    with pytest.raises(Unclear, match="not signed by Alipay"):
        await alipay.find_refund(alipay.refund_request(wish()))


async def test_another_sum_under_the_same_number_is_refused(alipay: Alipay, sandbox: Sandbox) -> None:
    await alipay.refund(alipay.refund_request(wish(fen=1234)))
    with pytest.raises(Refused, match="DISCORDANT_REPEAT_REQUEST"):
        await alipay.refund(alipay.refund_request(wish(fen=1235)))
    assert refunded(sandbox) == {"R-1": 1234}


async def test_refunds_together_never_exceed_the_payment(alipay: Alipay, sandbox: Sandbox) -> None:
    await alipay.refund(alipay.refund_request(wish("R-1", 8000)))
    with pytest.raises(Refused, match="REFUND_AMT_NOT_EQUAL_TOTAL"):
        await alipay.refund(alipay.refund_request(wish("R-2", 889)))
    await alipay.refund(alipay.refund_request(wish("R-3", 888)))
    assert refunded(sandbox) == {"R-1": 8000, "R-3": 888}
    assert sandbox.world.effects("alipay", "refund") == {"R-1": 1, "R-2": 0, "R-3": 1}


@pytest.mark.parametrize(
    ("status", "code"), [("TRADE_FINISHED", "TRADE_HAS_FINISHED"), ("WAIT_BUYER_PAY", "TRADE_STATUS_ERROR")]
)
async def test_trade_that_takes_no_refund_refuses_it(alipay: Alipay, sandbox: Sandbox, status: str, code: str) -> None:
    sandbox.world.put(TRADE, "P-1", (sandbox.world.get(TRADE, "P-1") or {}) | {"status": status})
    with pytest.raises(Refused, match=code):
        await alipay.refund(alipay.refund_request(wish()))
    assert refunded(sandbox) == {}


async def test_refund_of_an_unknown_trade_is_refused_and_not_found(alipay: Alipay) -> None:
    request = alipay.refund_request(wish(ref="P-unknown"))
    with pytest.raises(Refused, match=r"ACQ\.TRADE_NOT_EXIST"):
        await alipay.refund(request)
    assert await alipay.find_refund(request) is None


async def test_unchanged_funds_are_no_failure_and_the_refund_is_found_later(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, speed=20) as running:
        open_trade(running.world, "P-1", 8888, NOON)
        running.world.set_fault("alipay", "refund", "fund_change_n")
        async with http.client() as client:
            alipay = Alipay(running.settings.alipay, client)
            request = alipay.refund_request(wish())
            taken = await alipay.refund(request)
            async with asyncio.timeout(10):
                while (found := await alipay.find_refund(request)) is None:
                    pass
        assert (taken.state, taken.refunded_fen) == (RefundState.PROCESSING, 1234)
        assert (found.state, found.refunded_fen) == (RefundState.PAID, 1234)
        assert refunded(running) == {"R-1": 1234}


async def test_repeat_is_processing_while_nobody_can_be_asked(alipay: Alipay, sandbox: Sandbox) -> None:
    request = alipay.refund_request(wish())
    await alipay.refund(request)
    sandbox.world.set_fault("alipay", "find_refund", "http_500")
    assert (await alipay.refund(request)).state is RefundState.PROCESSING
    assert (await alipay.refund(request)).state is RefundState.PAID


# answers that somebody made up ------------------------------------------------------------------------------


async def test_signed_answer_about_another_payment_or_refund_is_not_believed() -> None:
    request = answering().refund_request(wish())
    other_trade, other_refund = ANSWER | {"out_trade_no": "P-2"}, ANSWER | {"out_request_no": "R-2"}
    with pytest.raises(Unclear, match="out_trade_no"):
        await answering(signed_answer("alipay_trade_query_response", other_trade)).payment(Trade("1001", "P-1"))
    with pytest.raises(Unclear, match="out_trade_no"):
        await answering(signed_answer("alipay_trade_refund_response", other_trade)).refund(request)
    with pytest.raises(Unclear, match="out_request_no"):
        await answering(signed_answer("alipay_trade_fastpay_refund_query_response", other_refund)).find_refund(request)


async def test_refund_smaller_than_asked_is_not_believed() -> None:
    less = signed_answer("alipay_trade_refund_response", ANSWER | {"refund_fee": "12.33"})
    with pytest.raises(Unclear, match="refund_fee"):
        await answering(less).refund(answering().refund_request(wish()))


async def test_unsigned_refusal_is_believed_and_a_wrongly_signed_one_is_not() -> None:
    no = {"code": "40004", "msg": "Business Failed", "sub_code": "ACQ.TRADE_HAS_FINISHED"}
    request = answering().refund_request(wish())
    with pytest.raises(Refused, match="TRADE_HAS_FINISHED"):
        await answering(json.dumps({"alipay_trade_refund_response": no}).encode()).refund(request)
    with pytest.raises(Unclear, match="not signed"):
        await answering(signed_answer("alipay_trade_refund_response", no, "alipay merchant")).refund(request)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"sign":"x"}', b"<html>"])
async def test_unreadable_answers_are_unclear(body: bytes) -> None:
    with pytest.raises(Unclear):
        await answering(body).refund(answering().refund_request(wish()))


@given(told=bent(ANSWER))
@settings(max_examples=300, deadline=None)
def test_bent_answers_are_answers_or_platform_errors_and_never_another_refund(told: Any) -> None:
    request = answering().refund_request(wish())

    async def ask() -> None:
        try:
            found = await answering(signed_answer("alipay_trade_fastpay_refund_query_response", told)).find_refund(
                request
            )
            assert found is None or (told["out_request_no"], told["out_trade_no"]) == ("R-1", "P-1")
            assert found is None or found.state is not RefundState.PAID or told["refund_status"] == "REFUND_SUCCESS"
        except PlatformError:
            pass
        try:
            record = await answering(signed_answer("alipay_trade_query_response", told)).payment(Trade("1001", "P-1"))
            assert 0 <= record.paid_fen < 10**15
        except PlatformError:
            pass
        try:
            unanswered = signed_answer("alipay_trade_fastpay_refund_query_response", {"code": "10000"})
            answer = await answering(signed_answer("alipay_trade_refund_response", told), unanswered).refund(request)
            assert answer.refunded_fen == 1234
        except PlatformError:
            pass

    asyncio.run(ask())


# credentials ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"private_key": SecretStr(private_text("wechat_pay merchant"))}, "check alipay.private_key"),
        ({"private_key": SecretStr("")}, r"keys of \[alipay\]"),
        ({"alipay_public_key": "x"}, r"keys of \[alipay\]"),
        ({"app_id": "2021"}, "check alipay.app_id"),
    ],
)
async def test_wrong_credentials_wait_for_a_person_and_pay_nothing(
    sandbox: Sandbox, changes: dict[str, Any], hint: str
) -> None:
    async with http.client() as client:
        alipay = Alipay(sandbox.settings.alipay.model_copy(update=changes), client)
        with pytest.raises(Later, match=hint) as later:
            await alipay.refund(alipay.refund_request(wish()))
    assert later.value.retry_after == A_PERSON
    assert refunded(sandbox) == {}
    assert sandbox.world.counts() == []


async def test_wrong_public_key_of_alipays_makes_the_refund_unclear(sandbox: Sandbox) -> None:
    wrong = sandbox.settings.alipay.model_copy(update={"alipay_public_key": public_text("wechat_pay platform")})
    async with http.client() as client:
        alipay = Alipay(wrong, client)
        with pytest.raises(Unclear, match="alipay_public_key"):
            await alipay.refund(alipay.refund_request(wish()))
    assert refunded(sandbox) == {"R-1": 1234}


async def test_wrong_clock_is_told(sandbox: Sandbox) -> None:
    async with http.client() as client:
        slow = Alipay(sandbox.settings.alipay, client, clock=lambda: datetime.now(UTC) - timedelta(hours=1))
        with pytest.raises(Later, match="clock"):
            await slow.payment(Trade("1001", "P-1"))


# notifies ---------------------------------------------------------------------------------------------------


def test_signed_notify_of_a_payment_is_news() -> None:
    fields = answering().verify_notify(signed_notify(NOTIFY))
    assert fields["subject"] == "鲜食 & 冻干=双拼"
    assert news_in(fields) == PaymentNews("alipay", "n-1", "P-1", "", "paid", None, None)


def test_notify_signed_with_its_sign_type_passes_too() -> None:
    kept = NOTIFY | {"sign_type": "RSA2"}
    body = urlencode(kept | {"sign": sign(key_of("alipay platform"), signed_text(kept))}).encode()
    assert answering().verify_notify(body)["notify_id"] == "n-1"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (signed_notify(NOTIFY, "wechat_pay platform"), "signature"),
        (signed_notify(NOTIFY).replace(b"88.88", b"88.89"), "signature"),
        (signed_notify(NOTIFY) + b"&refund_fee=1.00", "signature"),
        (urlencode(NOTIFY).encode(), "signature"),
        (b"", "signature"),
        (signed_notify(NOTIFY | {"app_id": "2021"}), "app_id"),
        (b"a=%ff", "unreadable"),
        (b"\xff", "unreadable"),
        (b"a=1&" * 300, "unreadable"),
    ],
)
def test_forged_notifies_are_not_believed(body: bytes, code: str) -> None:
    with pytest.raises(Forged) as forged:
        answering().verify_notify(body)
    assert forged.value.code == code


def test_nothing_is_believed_without_alipays_key() -> None:
    with pytest.raises(Forged, match="unreadable"):
        Alipay(settings_of(alipay_public_key=""), httpx.AsyncClient()).verify_notify(signed_notify(NOTIFY))


def test_notify_that_is_about_no_money_is_no_news() -> None:
    assert news_in(NOTIFY | {"trade_status": "WAIT_BUYER_PAY"}) is None
    assert news_in(NOTIFY | {"trade_status": "TRADE_CLOSED"}) is None
    with pytest.raises(Refused, match="out_trade_no"):
        news_in({"notify_id": "n-1"})


async def test_refund_is_told_until_the_answer_is_success(tmp_path: Path) -> None:
    portal = ListeningPortal(text="ok")
    with platform_calling(tmp_path, portal, "alipay", speed=5000) as running:
        open_trade(running.world, "P-1", 8888, NOON)
        async with http.client() as client:
            alipay = Alipay(running.settings.alipay, client)
            await alipay.refund(alipay.refund_request(wish()))
            wait_for(lambda: len(portal.taken) >= 2)
            portal.text = "success"
            wait_for(lambda: sum(running.world.effects("alipay", "callback").values()) == 1)
            told = [news_in(alipay.verify_notify(body)) for _, body in portal.taken]
    assert len(set(told)) == 1
    assert told[0] is not None
    assert (told[0].payment_ref, told[0].refund_no, told[0].kind) == ("P-1", "R-1", "refund")
    assert (told[0].refunded_fen, told[0].state) == (None, RefundState.PAID)


@pytest.mark.parametrize(("fault", "posts", "forged"), [("repeated", 3, 0), ("forged", 2, 1), ("late", 1, 0)])
async def test_repeated_forged_and_late_notifies_are_told_apart(
    tmp_path: Path, fault: str, posts: int, forged: int
) -> None:
    portal = ListeningPortal()
    with platform_calling(tmp_path, portal, "alipay", speed=1000) as running:
        open_trade(running.world, "P-1", 8888, NOON)
        running.world.set_fault("alipay", "callback", fault)
        async with http.client() as client:
            alipay = Alipay(running.settings.alipay, client)
            await alipay.refund(alipay.refund_request(wish()))
            wait_for(lambda: len(portal.taken) == posts)
            good = []
            for _, body in portal.taken:
                try:
                    good.append(alipay.verify_notify(body)["notify_id"])
                except Forged:
                    forged -= 1
        assert refunded(running) == {"R-1": 1234}
    assert forged == 0
    assert len(set(good)) == 1


async def test_lost_notify_is_made_up_for_by_asking(tmp_path: Path) -> None:
    portal = ListeningPortal()
    with platform_calling(tmp_path, portal, "alipay", speed=1000) as running:
        for ref in ("P-1", "P-2"):
            open_trade(running.world, ref, 8888, NOON)
        running.world.set_fault("alipay", "callback", "lost")
        async with http.client() as client:
            alipay = Alipay(running.settings.alipay, client)
            request = alipay.refund_request(wish())
            await alipay.refund(request)
            await alipay.refund(alipay.refund_request(wish("R-2", ref="P-2")))
            wait_for(lambda: portal.taken)
            found = await alipay.find_refund(request)
            told = [alipay.verify_notify(body)["out_biz_no"] for _, body in portal.taken]
    assert told == ["R-2"]
    assert found is not None
    assert found.state is RefundState.PAID
