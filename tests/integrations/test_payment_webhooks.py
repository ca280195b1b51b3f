"""What Alipay and WeChat Pay report of their own accord, over real HTTP: believed when signed, counted once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from integrations import http
from integrations.payments import RefundWish, Trade
from integrations.payments.wechat_pay import WeChatPay
from integrations.sandbox.alipay import signed_notify
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.wechat_pay import open_trade
from integrations.sandbox.wechat_pay_messages import ANOTHER, callback_body, signed_headers
from models import hold
from models.refund import RefundStep
from models.settings import settings
from models.timeline import EventKind
from tests.integrations.listening_portal import wait_for
from tests.integrations.portal_money import a_refund, being_asked_for, paid
from tests.integrations.portal_server import Portal, Seeded, an_order_of, committed, now, one, running_portal
from tests.sandbox import running_sandbox

KNOWN = Credentials()
REF, NUMBER = "P-1001", "SH-1001-1-R"


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


def an_order(keeper: str = "wechat_pay", **stage: Any) -> Seeded:
    resting = {"ready_at": now() + timedelta(hours=1), "waiting_on": "refund", **stage}
    return paid(an_order_of(**resting), keeper, REF)


def wechat(
    portal: Portal,
    event: str = "REFUND.SUCCESS",
    fen: int = 52_000,
    event_id: str = "e-1",
    age: float = 0.0,
    credentials: Credentials = KNOWN,
    **told: Any,
) -> httpx.Response:
    """A callback of WeChat Pay about the order's refund (or its payment)."""
    resource = {
        "mchid": KNOWN.wechat_pay_mchid, "out_trade_no": REF, "out_refund_no": NUMBER,
        "amount": {"total": 52_000, "refund": fen}, **told,
    }  # fmt: skip
    body = callback_body(credentials, event_id, event, now().isoformat(), resource)
    signed = signed_headers(KNOWN, body, int(now().timestamp() - age))
    return post_wechat(portal, body, signed)


def post_wechat(portal: Portal, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(f"{portal.public}/webhooks/wechat-pay", content=body, headers=headers, trust_env=False)


def notify(**changes: str) -> dict[str, str]:
    """The fields of an Alipay notify of the order's refund."""
    return {
        "app_id": KNOWN.alipay_app_id,
        "notify_id": "n-1",
        "out_trade_no": REF,
        "trade_status": "TRADE_SUCCESS",
        "gmt_refund": "2026-11-01 12:00:00",
        "out_biz_no": NUMBER,
        "refund_fee": "520.00",
        **changes,
    }


def alipay(portal: Portal, body: bytes) -> httpx.Response:
    form = {"content-type": "application/x-www-form-urlencoded"}
    return httpx.post(f"{portal.public}/webhooks/alipay", content=body, headers=form, trust_env=False)


def refund_now() -> str:
    return str(one("SELECT state FROM refund"))


def wakes() -> int:
    return int(one("SELECT sum(wake_seq) FROM fulfilment"))


def reports(order: Seeded) -> list[str]:
    return [event.detail["state"] for event in order.events(EventKind.REFUND_REPORTED)]


# WeChat Pay -------------------------------------------------------------------------------------------------


def test_refund_that_arrived_is_paid_and_wakes_the_order(portal: Portal) -> None:
    order = an_order()
    a_refund(order)
    before = wakes()
    answer = wechat(portal)
    assert (answer.status_code, answer.content) == (204, b"")
    assert refund_now() == "paid"
    assert one("SELECT settled_by FROM refund") == "platform:wechat_pay"
    assert wakes() == before + 1
    assert reports(order) == ["processing", "paid"]


def test_same_and_later_news_of_a_paid_refund_change_nothing(portal: Portal) -> None:
    order = an_order()
    a_refund(order)
    wechat(portal)
    before = wakes()
    again = [
        wechat(portal),
        wechat(portal, event_id="e-2"),
        wechat(portal, "REFUND.ABNORMAL", event_id="e-3"),
        wechat(portal, "REFUND.CLOSED", event_id="e-4"),
        wechat(portal, fen=1, event_id="e-5"),
    ]
    assert {answer.status_code for answer in again} == {204}
    assert refund_now() == "paid"
    assert reports(order) == ["processing", "paid"]
    assert wakes() == before
    assert one("SELECT count(*) FROM hold") == 0


@pytest.mark.parametrize("event", ["REFUND.ABNORMAL", "REFUND.CLOSED"])
def test_refund_that_cannot_be_paid_reaches_a_person_once_and_may_still_be_paid(portal: Portal, event: str) -> None:
    order = an_order()
    a_refund(order)
    assert [wechat(portal, event, event_id=f"e-{n}").status_code for n in range(2)] == [204, 204]
    assert refund_now() == "stuck"
    assert [h.code for h in committed(lambda s: hold.open_holds(s, order.order_id))] == ["refund_stuck"]
    assert reports(order) == ["processing", "stuck"]
    wechat(portal, event_id="e-9")
    assert refund_now() == "paid"
    assert committed(lambda s: hold.open_holds(s, order.order_id)) == []


@pytest.mark.parametrize("fen", [51_999, 52_001, 0])
def test_another_sum_than_ours_reaches_a_person(portal: Portal, fen: int) -> None:
    order = an_order()
    a_refund(order)
    assert wechat(portal, fen=fen).status_code == 204
    assert refund_now() == "stuck"
    (placed,) = committed(lambda s: hold.open_holds(s, order.order_id))
    assert "应退 520.00 元" in placed.reason
    assert f"退了 {fen / 100:.2f} 元" in placed.reason
    assert one("SELECT refunded_fen FROM orders") == 52_000


def test_news_during_the_asking_only_makes_it_look_again(portal: Portal) -> None:
    order = an_order()
    being_asked_for(a_refund(order, RefundStep.DUE))
    assert wechat(portal).status_code == 204
    assert refund_now() == "due"
    assert one("SELECT wake_seq = 1 AND ready_at <= now() FROM fulfilment")
    assert one("SELECT look_again_at <= now() FROM refund")
    assert reports(order) == []


@pytest.mark.parametrize(
    "told",
    [
        {"out_refund_no": "SH-1001-1-X"},
        {"out_refund_no": "x" * 5000},
        {"out_refund_no": "' OR 1=1 --"},
        {"out_trade_no": "P-OTHER"},
    ],
)
def test_refund_that_is_not_ours_is_answered_and_changes_nothing(portal: Portal, told: dict[str, str]) -> None:
    order = an_order()
    a_refund(order)
    before = wakes()
    assert wechat(portal, **told).status_code == 204
    assert refund_now() == "processing"
    assert wakes() == before
    assert reports(order) == ["processing"]


def test_one_keepers_word_does_not_count_for_the_others_refund(portal: Portal) -> None:
    order = an_order("alipay")
    a_refund(order)
    assert wechat(portal).status_code == 204
    assert refund_now() == "processing"
    assert reports(order) == ["processing"]


def test_news_of_a_payment_wakes_the_order_and_believes_nothing_yet(portal: Portal) -> None:
    order = an_order_of(waiting_on="payment", ready_at=now() + timedelta(hours=1))
    other = an_order_of("SH-1002", waiting_on="payment", ready_at=now() + timedelta(hours=1))
    paid(order)
    paid(other, ref="P-1002")
    before = one("SELECT array_agg((payment_verified_at, paid_fen)::text ORDER BY id) FROM orders")
    assert wechat(portal, "TRANSACTION.SUCCESS").status_code == 204
    assert one("SELECT ready_at <= now() AND wake_seq = 1 FROM fulfilment WHERE id = :id", id=order.fulfilment_id)
    assert one("SELECT wake_seq FROM fulfilment WHERE id = :id", id=other.fulfilment_id) == 0
    assert one("SELECT array_agg((payment_verified_at, paid_fen)::text ORDER BY id) FROM orders") == before
    assert order.events(EventKind.PAYMENT_VERIFIED) == []


@pytest.mark.parametrize("change", ["body", "signer", "serial", "none", "stale", "ahead", "merchant"])
def test_forged_or_stale_callback_is_refused_and_nothing_changes(portal: Portal, change: str) -> None:
    order = an_order()
    a_refund(order)
    before = wakes()
    mchid = "1900000000" if change == "merchant" else KNOWN.wechat_pay_mchid
    told = {"mchid": mchid, "out_trade_no": REF, "out_refund_no": NUMBER, "amount": {"refund": 52_000}}
    body = callback_body(KNOWN, "e-1", "REFUND.SUCCESS", now().isoformat(), told)
    at = int(now().timestamp()) + {"stale": -310, "ahead": 310}.get(change, 0)
    signed = signed_headers(KNOWN, body, at, ANOTHER) if change == "signer" else signed_headers(KNOWN, body, at)
    if change == "serial":
        signed["wechatpay-serial"] = "SOMEBODY"
    if change == "none":
        signed = {}
    answer = post_wechat(portal, body.replace(b"e-1", b"e-2") if change == "body" else body, signed)
    assert (answer.status_code, answer.json()["code"]) == (401, "FAIL")
    assert answer.json()["message"]
    assert refund_now() == "processing"
    assert wakes() == before
    assert reports(order) == ["processing"]


def test_signed_callback_that_cannot_be_read_is_answered_400(portal: Portal) -> None:
    order = an_order()
    a_refund(order)
    other = replace(KNOWN, wechat_pay_api_v3_key="another" * 4 + "keys")
    answers = [wechat(portal, credentials=other), wechat(portal, "REFUND.LOST"), wechat(portal, amount=None)]
    for body in (b"", b"[]", b"[" * 200_000, b"\xff"):
        answers.append(post_wechat(portal, body, signed_headers(KNOWN, body, int(now().timestamp()))))
    assert [answer.status_code for answer in answers] == [400] * 7
    assert {answer.json()["code"] for answer in answers} == {"FAIL"}
    assert reports(order) == ["processing"]


def test_callback_without_wechat_pays_keys_comes_again(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERLOOM_WECHAT_PAY", "{}")
    monkeypatch.setenv("ORDERLOOM_ALIPAY", "{}")
    settings.cache_clear()
    answer = wechat(portal)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "FAIL", "30")
    assert (alipay(portal, signed_notify(notify())).status_code) == 503


def test_callback_without_a_database_comes_again(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERLOOM_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    settings.cache_clear()
    assert wechat(portal).status_code == 503
    answer = alipay(portal, signed_notify(notify()))
    assert answer.status_code == 503
    assert answer.text != "success"


@pytest.mark.parametrize("fault", ["", "repeated", "forged"])
async def test_refund_of_the_platform_ends_here_once_whatever_its_callbacks_do(
    portal: Portal, tmp_path: Path, fault: str
) -> None:
    order = an_order()
    owed = a_refund(order)
    with running_sandbox(tmp_path, portal_url=portal.public, speed=1000) as running:
        open_trade(running.world, REF, 52_000, now())
        if fault:
            running.world.set_fault("wechat_pay", "callback", fault)
        async with http.client() as client:
            keeper = WeChatPay(running.settings.wechat_pay, client)
            wish = RefundWish(owed.refund_no, Trade("1", REF), 52_000, 52_000, "CNY", "缺货", (), {})
            await keeper.refund(keeper.refund_request(wish))
            await asyncio.to_thread(wait_for, lambda: sum(running.world.effects("wechat_pay", "callback").values()))
    assert refund_now() == "paid"
    assert reports(order) == ["processing", "paid"]


# Alipay -----------------------------------------------------------------------------------------------------


def test_notify_of_a_refund_is_answered_success_and_asked_about(portal: Portal) -> None:
    order = an_order("alipay")
    a_refund(order)
    before = wakes()
    answer = alipay(portal, signed_notify(notify()))
    assert (answer.status_code, answer.content) == (200, b"success")
    assert refund_now() == "processing"  # it says only what all refunds of the trade add up to
    assert one("SELECT look_again_at <= now() FROM refund")
    assert wakes() == before + 1
    assert reports(order) == ["processing"]


def test_notify_of_a_settled_refund_changes_nothing(portal: Portal) -> None:
    order = an_order("alipay")
    a_refund(order, RefundStep.PAID)
    before = wakes()
    for number in range(3):
        assert alipay(portal, signed_notify(notify(notify_id=f"n-{number}"))).content == b"success"
    assert refund_now() == "paid"
    assert wakes() == before


def test_notify_of_a_payment_wakes_the_order(portal: Portal) -> None:
    order = paid(an_order_of(waiting_on="payment", ready_at=now() + timedelta(hours=1)), "alipay", REF)
    told = {name: value for name, value in notify().items() if name not in ("gmt_refund", "out_biz_no", "refund_fee")}
    assert alipay(portal, signed_notify(told)).content == b"success"
    assert one("SELECT ready_at <= now() AND wake_seq = 1 FROM fulfilment")
    assert order.events(EventKind.PAYMENT_VERIFIED) == []


@pytest.mark.parametrize(
    "changes",
    [{"out_biz_no": "SH-9-R"}, {"out_trade_no": "P-OTHER"}, {"out_biz_no": "\x00"}, {"out_biz_no": "x" * 9000}],
)
def test_notify_about_what_is_not_ours_is_answered_success_and_changes_nothing(
    portal: Portal, changes: dict[str, str]
) -> None:
    order = an_order("alipay")
    a_refund(order)
    before = wakes()
    assert alipay(portal, signed_notify(notify(**changes))).content == b"success"
    assert wakes() == before
    assert reports(order) == ["processing"]


@pytest.mark.parametrize("change", ["body", "signer", "unsigned", "application", "empty", "binary"])
def test_forged_notify_is_refused_and_nothing_changes(portal: Portal, change: str) -> None:
    an_order("alipay")
    good = signed_notify(notify())
    body = {
        "body": good.replace(b"520.00", b"519.00"),
        "signer": signed_notify(notify(), "wechat_pay platform"),
        "unsigned": good.partition(b"&sign=")[0],
        "application": signed_notify(notify(app_id="2021")),
        "empty": b"",
        "binary": b"\xff\x00",
    }[change]
    before = wakes()
    answer = alipay(portal, body)
    assert (answer.status_code, answer.text) == (401, "fail")
    assert wakes() == before


def test_signed_notify_about_no_trade_is_answered_400(portal: Portal) -> None:
    assert alipay(portal, signed_notify({"app_id": KNOWN.alipay_app_id, "notify_id": "n-1"})).status_code == 400
