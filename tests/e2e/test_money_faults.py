"""Payment platforms that fail in every way, through the lane: nothing is paid twice, nothing unsigned is believed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlmodel import Session

from integrations.sandbox import douyin_after_sales, shopify_refunds, warehouse, wechat_after_sales, wechat_pay
from integrations.sandbox.alipay import signed_notify
from integrations.sandbox.wechat_pay_messages import ANOTHER, OURS, callback_body, signed_headers
from integrations.sandbox.world import World
from models import hold, refund
from models.cancellation import request_cancellation
from models.database import transact, utcnow
from models.fulfilment import Stage, WaitingOn
from models.order import Order
from models.refund import Refund, RefundStep, refunds_of
from tests.buying import buy, shelve_goods
from tests.database import TemporaryServer
from tests.e2e.kill_worker import KillWorkers
from tests.e2e.money_back import given_back
from tests.e2e.passing_time import let_time_pass, set_speed
from tests.e2e.told_once import assert_cancelled_before_it_left, assert_nothing_twice, events
from tests.house import House, house
from tests.orders import entered, fulfilment_of
from tests.stock_checks import ASKED

SKU = "MONEY-1"
PRICE = 12_345  # fen
MOST_ROUNDS = 14
#: Of whom a refund is asked: the channel, the gateway on Shopify, and the operation that moves the money.
KEEPERS = {
    "alipay": ("shopify", "alipay", "refund"),
    "wechat_pay": ("shopify", "wechat_pay", "refund"),
    "shopify": ("shopify", "shopify_payments", "refundCreate"),
    "wechat_shop": ("wechat_shop", "", "aftersale/genaftersaleorder"),
    "douyin": ("douyin", "", "afterSale.operate"),
}
#: Faults after which nothing has happened, and faults after which it has and nobody said so.
NOTHING_HAPPENED = ("http_429", "http_500", "http_503", "timeout_before")
IT_HAPPENED = ("timeout_after", "http_500_after", "drop")
#: What only the payment platforms know: each row is played one after the other, and its last moves the money.
OWN_FAULTS = {
    "alipay": (
        ("20000", "SYSTEM_ERROR", "SYSTEM_ERROR_after"),
        ("NOT_ENOUGH", "20001", "unsigned"),
        ("bad_signature",),
        ("fund_change_n",),
    ),
    "wechat_pay": (
        ("FREQUENCY_LIMITED", "SYSTEM_ERROR", "SYSTEM_ERROR_after"),
        ("NOT_ENOUGH", "SIGN_ERROR", "unsigned"),
        ("bad_signature",),
        ("skewed",),
    ),
}


@pytest.fixture(scope="module")
def _furnished(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house"), overrides={"policy": ASKED}) as furnished:
        warehouse.behave(furnished.sandbox.world, silent=True)
        shelve_goods({"WH-EAST": {SKU: 1_000}})
        yield furnished


@pytest.fixture
def home(_furnished: House) -> Iterator[House]:
    """A house whose orders stop before they ship, so that they can be paid back."""
    yield _furnished
    _furnished.sandbox.world.clear_faults()


@pytest.mark.parametrize("happened", IT_HAPPENED)
@pytest.mark.parametrize("keeper", KEEPERS)
def test_a_platform_that_fails_in_every_way_pays_once(
    home: House, workers: KillWorkers, keeper: str, happened: str
) -> None:
    # given an order to be paid back by a platform that fails, and fails, and then does it and never says so
    order = _to_be_paid_back(home, workers, keeper)
    for fault in (*NOTHING_HAPPENED, happened):
        home.sandbox.world.set_fault(_platform(keeper), KEEPERS[keeper][2], fault)
    # when workers come back as often as it takes
    _until_over(home, workers, order)
    # then it was asked for all of that, and paid once
    assert home.sandbox.world.fault(_platform(keeper), KEEPERS[keeper][2]) is None
    _assert_paid_once(home, order)


@pytest.mark.parametrize(
    ("keeper", "faults"), [(keeper, faults) for keeper, rows in OWN_FAULTS.items() for faults in rows]
)
def test_answers_of_the_platforms_own_kind_pay_once_and_unsigned_ones_are_not_believed(
    home: House, workers: KillWorkers, keeper: str, faults: tuple[str, ...]
) -> None:
    order = _to_be_paid_back(home, workers, keeper)
    for fault in faults:
        home.sandbox.world.set_fault(keeper, "refund", fault)
    # when it is asked for the first time
    assert workers.run(home.environment, pull=False) == 0
    if faults[0] in ("unsigned", "bad_signature", "skewed"):
        # an answer that nobody signed is not believed, whatever it says
        assert _refund(order).state == RefundStep.DUE.value
        assert f"{order.order_no}-1-cancelled" not in home.effects("aliyun", "SendSms")
    _until_over(home, workers, order)
    assert home.sandbox.world.fault(keeper, "refund") is None
    _assert_paid_once(home, order)


@pytest.mark.parametrize("fault", ["repeated", "forged", "lost", "late"])
@pytest.mark.parametrize("keeper", ["alipay", "wechat_pay"])
def test_callbacks_repeated_forged_lost_or_late_pay_once(
    home: House, workers: KillWorkers, keeper: str, fault: str
) -> None:
    order = _to_be_paid_back(home, workers, keeper)
    home.sandbox.world.set_fault(keeper, "callback", fault, detail={"seconds": 20})
    _until_over(home, workers, order)
    _assert_paid_once(home, order)
    happened = events(order)
    # and what a late or repeated one says has changed nothing
    time.sleep(0.3)
    assert workers.run(home.environment) == 0
    assert events(order) == happened
    _assert_paid_once(home, order)


def test_a_callback_that_wechat_did_not_sign_is_not_believed(home: House, workers: KillWorkers) -> None:
    # given a refund that is on its way, of which WeChat itself tells nothing
    order = _to_be_paid_back(home, workers, "wechat_pay")
    home.sandbox.world.set_fault("wechat_pay", "callback", "lost")
    home.sandbox.world.set_fault("wechat_pay", "find_refund", "http_503", 99)
    assert workers.run(home.environment, pull=False) == 0
    assert _refund(order).state == RefundStep.PROCESSING.value
    # when somebody says that it is paid: signed by another, not at all, long ago, or something else than signed
    body = _says_paid(home, order)
    known = home.sandbox.credentials
    unsigned = {name: v for name, v in signed_headers(known, body, int(time.time())).items() if "signature" not in name}
    forged = [
        (signed_headers(known, body, int(time.time()), ANOTHER), body),
        (unsigned, body),
        (signed_headers(known, body, int(time.time()) - 900, OURS), body),
        (signed_headers(known, body, int(time.time()), OURS), body.replace(b"REFUND.SUCCESS", b"REFUND.CLOSED.")),
    ]
    assert [_post(home, "wechat-pay", headers, content) for headers, content in forged] == [401] * 4
    # then nobody believes it
    assert _refund(order).state == RefundStep.PROCESSING.value
    assert not Stage(fulfilment_of(order).stage).final
    # and what WeChat signed is believed, once
    headers = signed_headers(known, body, int(time.time()))
    assert [_post(home, "wechat-pay", headers, body) for _ in range(3)] == [204] * 3
    assert _refund(order).state == RefundStep.PAID.value
    home.sandbox.world.clear_faults()
    _until_over(home, workers, order)
    assert events(order)["refund_reported"] == 2  # taken, and paid
    _assert_paid_once(home, order)


def test_a_notify_that_alipay_did_not_sign_is_not_believed(home: House, workers: KillWorkers) -> None:
    # given a refund that Alipay takes its time for
    order = _to_be_paid_back(home, workers, "alipay")
    home.sandbox.world.set_fault("alipay", "refund", "http_429")
    home.sandbox.world.set_fault("alipay", "callback", "lost")
    assert workers.run(home.environment, pull=False) == 0
    asked, number = fulfilment_of(order), _refund(order).refund_no
    fields = {
        "notify_id": uuid.uuid4().hex, "app_id": home.sandbox.credentials.alipay_app_id, "trade_status": "TRADE_CLOSED",
        "out_trade_no": order.payment_ref, "out_biz_no": number, "gmt_refund": "2026-11-11 11:11:11.000",
        "refund_fee": "123.45", "total_amount": "123.45",
    }  # fmt: skip
    headers = {"content-type": "application/x-www-form-urlencoded"}
    # when somebody else signs that it is paid, or changes what Alipay signed
    for body in (signed_notify(fields, "wechat_pay platform"), signed_notify(fields).replace(b"123.45", b"999.99")):
        assert _post(home, "alipay", headers, body) == 401
    # then nothing is known of it
    assert (_refund(order).state, fulfilment_of(order)) == (RefundStep.DUE.value, asked)
    # and even one that is signed is only a reason to ask: what is not paid there stays owed until it is paid
    assert _post(home, "alipay", headers, signed_notify(fields)) == 200
    assert (_refund(order).state, given_back(home, order)) == (RefundStep.DUE.value, 0)
    _until_over(home, workers, order)
    _assert_paid_once(home, order)


def _fails(world: World, kind: str, failed: dict[str, Any]) -> Callable[[], None]:
    """Have a channel's refunds fail until the returned function is called."""
    world.put(kind, "", failed)
    paid: dict[str, dict[str, Any]] = {
        shopify_refunds.OUTCOME: {"status": "SUCCESS"},
        wechat_after_sales.OUTCOME: {"status": wechat_after_sales.PAID},
        douyin_after_sales.OUTCOME: {"refund_status": douyin_after_sales.PAID},
    }
    return lambda: world.put(kind, "", paid[kind])


@pytest.mark.parametrize("how", ["abnormal", "closed", "shopify", "wechat_shop", "douyin"])
def test_a_refund_that_cannot_be_paid_waits_for_a_person_who_pays_by_hand(
    home: House, workers: KillWorkers, how: str
) -> None:
    # given a refund that is taken and then cannot be paid
    world, heal = home.sandbox.world, lambda: None
    order = _to_be_paid_back(home, workers, how if how in KEEPERS else "wechat_pay")
    match how:
        case "shopify":
            heal = _fails(world, shopify_refunds.OUTCOME, {"status": "FAILURE"})
        case "wechat_shop":
            heal = _fails(world, wechat_after_sales.OUTCOME, {"status": "PLATFORM_REFUND_FAIL"})
        case "douyin":
            heal = _fails(world, douyin_after_sales.OUTCOME, {"refund_status": 4})
        case _:
            world.set_fault("wechat_pay", "refund", how)
    _until(home, workers, lambda: _refund(order).state == RefundStep.STUCK.value)
    assert workers.run(home.environment, pull=False) == 0
    # then it is on a person's list, once, however often it is looked at, and it is not asked for again
    for _ in range(3):
        assert (_holds(order), fulfilment_of(order).waiting_on) == ([refund.HOLD], WaitingOn.PERSON.value)
        let_time_pass(people_looked=True)
        assert workers.run(home.environment, pull=False) == 0
    assert home.refunds(_refund(order)) == 1
    assert (given_back(home, order), fulfilment_of(order).stage) == (0, Stage.PRODUCED.value)
    assert events(order)["hold_released"] == 0
    heal()
    # when the person has paid in another way, and says so twice
    number = _refund(order).refund_no
    said = [transact(lambda s: refund.settle_by_hand(s, number, "财务老王", utcnow()))[0] for _ in range(2)]
    assert said == [True, False]
    _until_over(home, workers, order)
    # then the order ends, its money counts as given back, and the platform was asked once
    after = transact(lambda session: session.get_one(Order, order.id))
    assert (_refund(order).state, _refund(order).settled_by) == (RefundStep.BY_HAND.value, "财务老王")
    assert (after.refunded_fen, fulfilment_of(order).stage) == (after.paid_fen, Stage.CANCELLED.value)
    assert (_holds(order), home.refunds(_refund(order))) == ([], 1)
    assert_nothing_twice(home)


def test_another_sum_than_ours_is_not_called_paid(home: House, workers: KillWorkers) -> None:
    # given a refund of which WeChat says in the end that it paid one fen less
    order = _to_be_paid_back(home, workers, "wechat_pay")
    home.sandbox.world.set_fault("wechat_pay", "callback", "lost", times=9999)
    set_speed(home, 0.1)  # the money takes its time
    assert workers.run(home.environment, pull=False) == 0
    world = home.sandbox.world
    with world.transaction():
        known = world.get(wechat_pay.REFUND, _refund(order).refund_no)
        assert known is not None
        known["asked"]["amount"]["refund"] -= 1
        world.put(wechat_pay.REFUND, _refund(order).refund_no, known)
    set_speed(home, world.speed)
    let_time_pass()
    assert workers.run(home.environment, pull=False) == 0
    # then a person compares the books
    assert (_refund(order).state, _holds(order)) == (RefundStep.STUCK.value, [refund.HOLD])
    assert fulfilment_of(order).waiting_on == WaitingOn.PERSON.value
    assert home.refunds(_refund(order)) == 1


def _to_be_paid_back(home: House, workers: KillWorkers, keeper: str) -> Order:
    """A paid order, promised its goods, and then cancelled; on Douyin the buyer has applied for the money."""
    channel, gateway, _ = KEEPERS[keeper]
    order_id = buy(home, {SKU: 1}, channel, price=PRICE, gateway=gateway or "alipay")
    assert workers.run(home.environment) == 0
    (order,) = entered([order_id])
    assert fulfilment_of(order).waiting_on == WaitingOn.STOCK_CHECK.value
    transact(lambda session: _cancel(session, order))
    if channel == "douyin":
        douyin_after_sales.apply_for_refund(home.sandbox.world, order.channel_order_id, utcnow())
    return order


def _until(home: House, workers: KillWorkers, true: Callable[[], bool]) -> None:
    for _ in range(MOST_ROUNDS):
        assert workers.run(home.environment, pull=False) == 0
        if true():
            return
        let_time_pass()
    pytest.fail(f"not within {MOST_ROUNDS} rounds")


def _until_over(home: House, workers: KillWorkers, order: Order) -> None:
    _until(home, workers, lambda: Stage(fulfilment_of(order).stage).final)


def _assert_paid_once(home: House, order: Order) -> None:
    assert_cancelled_before_it_left(home, order)
    assert (given_back(home, order), home.refunds(_refund(order))) == (PRICE, 1)


def _refund(order: Order) -> Refund:
    (only,) = transact(lambda session: refunds_of(session, order.id or 0))
    return only


def _holds(order: Order) -> list[str]:
    return [found.code for found in transact(lambda session: hold.open_holds(session, order.id or 0))]


def _cancel(session: Session, order: Order) -> None:
    request_cancellation(session, session.get_one(Order, order.id), "客户不要了", "test", utcnow())


def _platform(keeper: str) -> str:
    return KEEPERS[keeper][0] if keeper == "shopify" else keeper


def _says_paid(home: House, order: Order) -> bytes:
    """A callback that says that the order's refund is paid."""
    known, at = home.sandbox.credentials, utcnow().isoformat(timespec="seconds")
    told = {
        "mchid": known.wechat_pay_mchid,
        "out_trade_no": order.payment_ref,
        "transaction_id": "4200001",
        "out_refund_no": _refund(order).refund_no,
        "refund_id": _refund(order).refund_id,
        "refund_status": "SUCCESS",
        "success_time": at,
        "user_received_account": "支付用户零钱",
        "amount": {"total": PRICE, "refund": PRICE, "payer_total": PRICE, "payer_refund": PRICE},
    }
    return callback_body(known, str(uuid.uuid4()), "REFUND.SUCCESS", at, told)


def _post(home: House, path: str, headers: dict[str, str], body: bytes) -> int:
    door = home.environment["ORDERLOOM_PUBLIC_URL"]
    return httpx.post(f"{door}/webhooks/{path}", content=body, headers=headers, trust_env=False).status_code
