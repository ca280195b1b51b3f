"""Workers are killed while money goes back: after them, one refund, one coupon, one message, and no goods promised.

The warehouse is asked about everything here, and the orders are those of every keeper of money.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence

import pytest
from sqlmodel import Session

from integrations.sandbox import warehouse
from integrations.sandbox.douyin_after_sales import apply_for_refund
from models.cancellation import request_cancellation
from models.compensation import compensation_of
from models.database import transact, utcnow
from models.fulfilment import Stage, WaitingOn
from models.order import Order
from models.stock_check import CheckState
from tests.database import TemporaryServer
from tests.e2e.kill_points import points_by_effect
from tests.e2e.kill_worker import KillWorkers
from tests.e2e.passing_time import let_time_pass
from tests.e2e.told_once import (
    assert_cancelled_before_it_left,
    assert_compensated_once,
    assert_nothing_twice,
    assert_shipped_once,
    balance,
    events,
)
from tests.house import House, house
from tests.orders import CHANNELS, Kind, entered, fulfilment_of, place
from tests.stock_checks import ASKED, check_of, says

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
MOST_KILLS, MOST_ROUNDS = 60, 12  # more than anything here can need
POINTS = points_by_effect()
#: Whose money: the channel, and the gateway on Shopify.
KEEPERS = {
    "alipay": ("shopify", "alipay"),
    "wechat_pay": ("shopify", "wechat_pay"),
    "shopify": ("shopify", "shopify_payments"),
    "wechat_shop": ("wechat_shop", ""),
    "douyin": ("douyin", ""),
}


@pytest.fixture(scope="module")
def home(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module, with a warehouse that is asked about everything and answers nothing by itself."""
    with house(database_server, tmp_path_factory.mktemp("house"), overrides={"policy": ASKED}) as furnished:
        warehouse.behave(furnished.sandbox.world, silent=True)
        yield furnished


def test_kills_while_asking_the_warehouse_ask_it_all_the_same(home: House, workers: KillWorkers) -> None:
    # given orders of every channel, and workers that die while they ask the warehouse about them
    ids = [id for channel in CHANNELS for id in place(home, Kind.STOCKED, channel)]
    for point in POINTS["staff_message"]:
        missing = len(entered(ids)) < len(ids)
        assert workers.run(home.environment, kill_at=point, pull=missing) == KILLED, point
        let_time_pass()
    assert workers.run(home.environment, pull=False) == 0
    # then one that was not told of stands in the list all the same, and each has one check
    orders = entered(ids)
    assert [check_of(order).state for order in orders] == [CheckState.OPEN.value] * 3
    assert [events(order)["stock_check_opened"] for order in orders] == [1] * 3
    heard = "\n".join(message["content"] for message in home.sandbox.world.window("wecom_message"))
    told = [check_of(order) for order in orders if check_of(order).announced_at is not None]
    assert told and all(check.number in heard for check in told)
    # and when the goods are there, they leave once
    for order in orders:
        says(order, there=True)
    assert workers.run(home.environment, pull=False) == 0
    assert_shipped_once(home, orders)


# only WeChat Pay takes a refund first and says by a callback that it is paid: lost, it is found by asking
@pytest.mark.parametrize(("keeper", "lost"), [*((keeper, False) for keeper in KEEPERS), ("wechat_pay", True)])
def test_kills_while_making_up_for_what_is_not_there_pay_back_once(
    home: House, workers: KillWorkers, keeper: str, lost: bool
) -> None:
    # given an order whose goods the warehouse does not find
    (order,) = _waiting_for_the_warehouse(home, workers, keeper)
    if lost:
        home.sandbox.world.set_fault("wechat_pay", "callback", "lost")
    says(order, there=False)
    _apply(home, [order])
    # when the workers that make up for it die at each of the points in turn, and then one lives; each hears from the
    # channel first, also what the channel says of the refund before we have recorded it
    kinds = ("refund", "coupon", "sms") if order.channel == "shopify" else ("refund", "sms")
    for kind in kinds:
        for point in POINTS[kind]:
            assert workers.run(home.environment, kill_at=point) == KILLED, point
            let_time_pass()
    _until_over(home, workers, [order])
    # then it was paid back once; and what the channel says of that afterwards changes nothing
    assert_compensated_once(home, order)
    assert workers.run(home.environment) == 0
    assert_compensated_once(home, order)


def test_kills_while_cancelled_orders_are_paid_back_pay_back_once(home: House, workers: KillWorkers) -> None:
    # given cancelled orders of every keeper of money
    orders = _waiting_for_the_warehouse(home, workers, *KEEPERS)
    transact(lambda session: _cancel(session, orders))
    _apply(home, orders)
    # when the workers that pay them back die at each of the points in turn, and then one lives
    for kind in ("refund", "sms"):
        for point in POINTS[kind]:
            assert workers.run(home.environment, kill_at=point, pull=False) == KILLED, point
            let_time_pass()
    _until_over(home, workers, orders)
    # then each was paid back once, with no coupon, and its goods are back on the shelf
    for order in orders:
        assert_cancelled_before_it_left(home, order)
        assert events(order)["coupon_issued"] == 0
        assert check_of(order).state == CheckState.WITHDRAWN.value


def test_killed_again_and_again_after_any_transaction_it_is_paid_back_once(home: House, workers: KillWorkers) -> None:
    # given orders of every keeper of money whose goods are not there
    orders = _waiting_for_the_warehouse(home, workers, *KEEPERS)
    for order in orders:
        says(order, there=False)
    _apply(home, orders)
    # when workers die after one of their first transactions, again and again
    kills, status, chance = 0, KILLED, random.Random(20261123)
    while status == KILLED and kills < MOST_KILLS:
        status = workers.run(home.environment, kill_at=f"committed#{chance.randint(8, 40)}", pull=False)
        kills += status == KILLED
        let_time_pass()
    _until_over(home, workers, orders)
    # then all the same each was paid back once
    assert kills >= 3
    for order in orders:
        assert_compensated_once(home, order)


@pytest.mark.parametrize(("point", "taken"), [("answering", False), ("committed", True)])
def test_a_portal_that_dies_over_an_answer_has_taken_all_of_it_or_nothing(
    home: House, workers: KillWorkers, point: str, taken: bool
) -> None:
    # given an order that the warehouse is asked about
    (order,) = _waiting_for_the_warehouse(home, workers, "alipay")
    before, check = balance(order), check_of(order)
    # when the process that enters "not there" dies right before, or right after it has committed
    assert workers.run(home.environment, kill_at=point, not_there=check.id) == KILLED
    # then all of it is in the book, or nothing
    part = fulfilment_of(order)
    known = transact(lambda session: compensation_of(session, part.id or 0))
    happened = events(order)
    assert (check_of(order).state == CheckState.NOT_THERE.value) is taken
    assert (known is not None) is taken
    assert (balance(order) != before) is taken
    assert (part.waiting_on, happened["stock_check_answered"], happened["compensation_due"]) == (
        WaitingOn.STOCK_CHECK.value, int(taken), int(taken),
    )  # fmt: skip
    assert_nothing_twice(home)
    # and entered again it is taken if it was not, and in the end it is paid back once
    assert workers.run(home.environment, not_there=check.id) == (4 if taken else 0)
    _until_over(home, workers, [order])
    assert_compensated_once(home, order)


def _waiting_for_the_warehouse(home: House, workers: KillWorkers, *keepers: str) -> list[Order]:
    """An order for each of these keepers of money, which is stopped by nothing but its stock check."""
    ids = []
    for keeper in keepers:
        channel, gateway = KEEPERS[keeper]
        ids += place(home, Kind.STOCKED, channel, gateway=gateway)
    assert workers.run(home.environment) == 0
    orders = entered(ids)
    assert [fulfilment_of(order).waiting_on for order in orders] == [WaitingOn.STOCK_CHECK.value] * len(keepers)
    return orders


def _apply(home: House, orders: Sequence[Order]) -> None:
    """On Douyin money goes back only where the buyer has applied for it."""
    for order in orders:
        if order.channel == "douyin":
            apply_for_refund(home.sandbox.world, order.channel_order_id, utcnow())


def _until_over(home: House, workers: KillWorkers, orders: Sequence[Order]) -> None:
    for _ in range(MOST_ROUNDS):
        assert workers.run(home.environment, pull=False) == 0
        if all(Stage(fulfilment_of(order).stage).final for order in orders):
            return
        let_time_pass()


def _cancel(session: Session, orders: Sequence[Order]) -> None:
    for order in orders:
        request_cancellation(session, session.get_one(Order, order.id), "客户不要了", "test", utcnow())
