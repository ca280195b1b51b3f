"""What the warehouse's system says to stock checks, over real HTTP: taken once, forged never, unreadable told."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from integrations.standard_webhooks import headers
from models.settings import settings
from models.timeline import EventKind
from tests.integrations.portal_money import a_check
from tests.integrations.portal_server import SECRET, WAREHOUSE_SECRET, Portal, now, one, running_portal


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


def message(check: str, there: Any = False, kind: str = "stock_check.answered", **data: Any) -> bytes:
    told = {"check": check, "there": there, "who": "老李", "remark": "货架空了", **data}
    return json.dumps({"type": kind, "timestamp": now().isoformat(), "data": told}, ensure_ascii=False).encode()


def post(
    portal: Portal, body: bytes, message_id: str | None = None, secret: str = WAREHOUSE_SECRET, age: float = 0.0
) -> httpx.Response:
    signed = headers(secret, message_id or f"msg_{uuid.uuid4().hex}", int(time.time() - age), body)
    return httpx.post(f"{portal.public}/webhooks/warehouse", content=body, headers=signed, trust_env=False)


def state_of(check_id: int | None) -> str:
    return str(one("SELECT state FROM stock_check WHERE id = :id", id=check_id))


def compensations() -> int:
    return int(one("SELECT count(*) FROM compensation"))


def test_not_there_takes_the_goods_off_and_compensates(portal: Portal) -> None:
    order, check = a_check()
    answer = post(portal, message(check.number))
    assert (answer.status_code, answer.json()["taken"]) == (200, True)
    assert "已记下「没有货」" in answer.json()["sentence"]
    assert state_of(check.id) == "not_there"
    assert one("SELECT on_hand || '/' || reserved FROM stock_item") == "18/0"
    assert one("SELECT state || ' ' || refund_fen FROM compensation") == "due 52000"
    assert [event.actor for event in order.events(EventKind.STOCK_CHECK_ANSWERED)] == ["warehouse:老李"]
    assert one("SELECT remark FROM stock_check") == "货架空了"


def test_there_lets_the_order_go_on(portal: Portal) -> None:
    _, check = a_check(waiting_on="stock_check")
    answer = post(portal, message(check.number, there=True))
    assert (answer.status_code, answer.json()["taken"]) == (200, True)
    assert state_of(check.id) == "there"
    assert compensations() == 0
    assert one("SELECT wake_seq = 1 AND ready_at <= now() FROM fulfilment")


def test_repeated_answer_is_answered_200_and_counts_once(portal: Portal) -> None:
    order, check = a_check()
    body = message(check.number)
    answers = [post(portal, body, "msg_1"), post(portal, body, "msg_1"), post(portal, body, "msg_2")]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json()["taken"] for answer in answers] == [True, False, False]
    assert "这次没有改变任何内容" in answers[1].json()["sentence"]
    assert one("SELECT on_hand FROM stock_item") == 18
    assert compensations() == 1
    assert len(order.events(EventKind.STOCK_CHECK_ANSWERED)) == 1


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_answers_that_contradict_each_other_end_the_same_in_any_order(portal: Portal, order: tuple[bool, bool]) -> None:
    _, check = a_check()
    for there in order:
        assert post(portal, message(check.number, there=there)).status_code == 200
    assert state_of(check.id) == "not_there"
    assert compensations() == 1


def test_only_the_named_skus_come_off_the_ledger(portal: Portal) -> None:
    _, check = a_check(held={"FRESH-500": 2, "CAN-400": 3})
    assert post(portal, message(check.number, skus=["CAN-400"])).status_code == 200
    assert one("SELECT on_hand FROM stock_item WHERE sku = 'CAN-400'") == 27
    assert one("SELECT on_hand || '/' || reserved FROM stock_item WHERE sku = 'FRESH-500'") == "20/0"


def test_sku_that_is_none_of_the_checks_changes_nothing(portal: Portal) -> None:
    _, check = a_check()
    answer = post(portal, message(check.number, skus=["FRESH-500", "TYPO"]))
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_sku")
    assert state_of(check.id) == "open"
    assert one("SELECT on_hand || '/' || reserved FROM stock_item") == "20/2"
    assert compensations() == 0


def test_answer_after_shipping_changes_nothing(portal: Portal) -> None:
    _, check = a_check(stage="shipped")
    answer = post(portal, message(check.number))
    assert (answer.status_code, answer.json()["taken"]) == (200, False)
    assert "已经发货" in answer.json()["sentence"]
    assert one("SELECT on_hand FROM stock_item") == 20
    assert compensations() == 0


@pytest.mark.parametrize("change", ["body", "id", "secret", "mes", "none", "stale", "ahead", "huge"])
def test_forged_or_stale_answer_is_refused_and_nothing_changes(portal: Portal, change: str) -> None:
    order, check = a_check()
    body = message(check.number)
    secret = {"secret": "whsec_" + "QUJD" * 10, "mes": SECRET}.get(change, WAREHOUSE_SECRET)
    skew = {"stale": -310, "ahead": 310}.get(change, 0)
    signed = headers(secret, "msg_1", int(time.time()) + skew, body)
    if change == "id":
        signed["webhook-id"] = "msg_2"
    if change == "huge":
        signed["webhook-timestamp"] = "9" * 400
    if change == "none":
        signed = {}
    sent = body.replace(b"SC-", b"SC-1") if change == "body" else body
    answer = httpx.post(f"{portal.public}/webhooks/warehouse", content=sent, headers=signed, trust_env=False)
    assert (answer.status_code, answer.json()["ok"]) == (401, False)
    assert state_of(check.id) == "open"
    assert one("SELECT on_hand || '/' || reserved FROM stock_item") == "20/2"
    assert order.events(EventKind.STOCK_CHECK_ANSWERED) == []


@pytest.mark.parametrize("number", ["SC-999", "SC-999999999999999999", "sc-77"])
def test_unknown_check_is_answered_404(portal: Portal, number: str) -> None:
    answer = post(portal, message(number))
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_check")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{" * 5000,
        b"[" * 60_000,
        message("SC-1", kind="stock_check.lost"),
        message("SC-1", there="no"),
        message("SC-1", there=None),
        message("SC-1", there=0),
        message("1"),
        message("SC-0"),
        message("SC-1; DROP TABLE orders"),
        message("SC-" + "9" * 30),
        message("SC-1", skus="A"),
        message("SC-1", skus=[1]),
        message("SC-1", skus=["A"] * 301),
        message("SC-1", who=["x"]),
        message("SC-1", who="名" * 61),
        message("SC-1", who="\x00"),
        message("SC-1", remark="HALF").replace(b"HALF", b"\\ud800"),
        message("SC-1", remark="长" * 1001),
    ],
)  # fmt: skip
def test_signed_but_unreadable_answer_is_answered_400_and_nothing_changes(portal: Portal, body: bytes) -> None:
    _, check = a_check()
    assert check.number == "SC-1"
    answer = post(portal, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "unreadable")
    assert state_of(check.id) == "open"
    assert compensations() == 0


def test_answer_above_its_limit_is_refused(portal: Portal) -> None:
    assert post(portal, message("SC-1", remark="x" * 70_000)).status_code == 413


def test_portal_without_the_warehouses_secret_says_so(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    _, check = a_check()
    body = message(check.number)
    monkeypatch.setenv("ORDERLOOM_WAREHOUSE__CALLBACK_SECRET", "")
    settings.cache_clear()
    answer = post(portal, body)
    assert (answer.status_code, answer.json()["code"]) == (503, "not_connected")
    assert state_of(check.id) == "open"
