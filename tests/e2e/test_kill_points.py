"""Workers are killed at every fault point that the sources name; what comes after them tells nobody anything twice.

Here: the way to the customer, and calling back. `test_kill_points_paid_back.py` has what goes wrong with the goods;
the points with `review_` lie in Prefect's hands too and are tried by `test_killed_lanes.py`. The table of all of them
is in `README.md`.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence

import pytest
from sqlmodel import Session

from integrations.sandbox.douyin_after_sales import apply_for_refund
from models.cancellation import request_cancellation
from models.database import transact, utcnow
from models.effect import KINDS
from models.fulfilment import WaitingOn
from models.order import Order
from tests.database import TemporaryServer
from tests.e2e.kill_points import AROUND, EFFECTS_KILLED_IN, OTHERS_KILLED_IN, README, points_by_effect, table
from tests.e2e.kill_worker import KillWorkers
from tests.e2e.passing_time import let_time_pass, set_speed
from tests.e2e.told_once import NOTICES, assert_cancelled_before_it_left, assert_shipped_once, events, work_orders
from tests.house import House, house
from tests.orders import Kind, entered, fulfilment_of, place

KILLED = -signal.SIGKILL
MOST_KILLS = 60  # more than the walk can need
POINTS = points_by_effect()
#: What an order passes that nothing goes wrong with; "" are the points of every worker.
LIFE = ["", *sorted(kind for kind, (_, test) in EFFECTS_KILLED_IN.items() if "to_the_customer" in test)]
CANCELLING = sorted(kind for kind, (_, test) in EFFECTS_KILLED_IN.items() if "calling_back" in test)


@pytest.fixture(scope="module")
def home(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module: every test places orders of its own."""
    with house(database_server, tmp_path_factory.mktemp("house")) as furnished:
        yield furnished


def test_every_kind_of_effect_has_four_places_to_die_at() -> None:
    around = {kind: [point.partition(":")[0] for point in points] for kind, points in POINTS.items() if kind}
    assert around == {kind: list(AROUND) for kind in KINDS}


def test_every_place_to_die_at_is_tried_by_a_test_that_the_table_names() -> None:
    named = [*EFFECTS_KILLED_IN.values(), *OTHERS_KILLED_IN.values()]
    assert set(EFFECTS_KILLED_IN) == {kind for kind in POINTS if kind}
    assert set(OTHERS_KILLED_IN) == set(POINTS[""])
    for file, test in named:
        assert f"def {test}(" in README.with_name(file).read_text(encoding="utf-8"), f"{file} has no {test}"
    assert table() in README.read_text(encoding="utf-8"), "run `python -m tests.e2e.kill_points` and paste its table"


@pytest.mark.parametrize("kind", LIFE)
def test_kills_on_the_way_to_the_customer_tell_nothing_twice(home: House, workers: KillWorkers, kind: str) -> None:
    # given orders of every channel, one of them made to order, and workers that die at each of the points in turn
    ids = _one_on_each_channel(home)
    for point in [point for point in POINTS[kind] if not point.startswith("review_")]:
        missing = len(entered(ids)) < len(ids)
        assert workers.run(home.environment, kill_at=point, pull=missing) == KILLED, point
        let_time_pass()
    # when a worker lives
    assert workers.run(home.environment, pull=False) == 0
    # then each order has left once, and everybody was told once
    orders = entered(ids)
    assert len(orders) == 3
    assert_shipped_once(home, orders)


@pytest.mark.parametrize("kind", CANCELLING)
def test_kills_while_calling_back_call_back_once(home: House, workers: KillWorkers, kind: str) -> None:
    # given one order at the factory and one with a waybill that its channel has not heard of, both to be cancelled
    ids = [*place(home, Kind.MADE, gateway="alipay"), *place(home, Kind.STOCKED, "douyin")]
    home.sandbox.world.set_fault("douyin", "order.logisticsAdd", "http_429", detail={"retry_after": 600})
    set_speed(home, 0.1)
    assert workers.run(home.environment, factory=False) == 0
    made, parcelled = entered(ids)
    assert fulfilment_of(made).waiting_on == WaitingOn.PRODUCTION.value
    assert fulfilment_of(parcelled).waiting_on == WaitingOn.RETRY.value
    transact(lambda session: _cancel(session, [made, parcelled]))
    # when the workers that call them back die at each of the points in turn, and then one lives
    for point in POINTS[kind]:
        assert workers.run(home.environment, kill_at=point, pull=False) == KILLED, point
        let_time_pass()
    assert workers.run(home.environment, pull=False, factory=False) == 0
    set_speed(home, home.sandbox.world.speed)
    apply_for_refund(home.sandbox.world, parcelled.channel_order_id, utcnow())  # the only way to money back there
    for _ in range(3):
        assert workers.run(home.environment, pull=False) == 0
        let_time_pass(people_looked=True)
    # then both have ended without a parcel on its way, and each was called back once
    for order in (made, parcelled):
        assert_cancelled_before_it_left(home, order)
    works = [work.work_order_no for work in work_orders(made)]
    called_back = home.effects("mes", "cancel")
    assert [called_back[number] for number in works] == [1] * len(works)
    assert events(made)["called_back"] == len(works)
    assert events(parcelled)["called_back"] == 1


def test_killed_again_and_again_after_any_transaction_it_still_arrives(home: House, workers: KillWorkers) -> None:
    # given three orders, and workers that each die after one of their first transactions
    ids = _one_on_each_channel(home)
    # (a life of fewer than a dozen is all looking and no doing: it would never end)
    kills, status, chance = 0, KILLED, random.Random(20261122)
    while status == KILLED and kills < MOST_KILLS:
        missing = len(entered(ids)) < len(ids)
        status = workers.run(home.environment, kill_at=f"committed#{chance.randint(12, 32)}", pull=missing)
        kills += status == KILLED
        let_time_pass()
    # then the orders got through all the same, and everybody was told once
    assert status == 0
    assert kills >= 3
    assert_shipped_once(home, entered(ids))


@pytest.mark.parametrize("fault", ["timeout_after", "drop"])
def test_an_answer_that_never_comes_back_is_not_told_again(home: House, workers: KillWorkers, fault: str) -> None:
    # given platforms that do as they are told once, and then never answer
    ids = _one_on_each_channel(home)
    world = home.sandbox.world
    world.set_fault("mes", "release", fault)
    world.set_fault("sf", "create_waybill", fault, times=3)
    world.set_fault("aliyun", "SendSms", fault, times=3)
    for platform, operation in NOTICES.values():
        world.set_fault(platform, operation, fault)
    # when workers come back as often as it takes
    for again in range(8):
        assert workers.run(home.environment, pull=not again) == 0
        orders = entered(ids)
        if all(fulfilment_of(order).waiting_on == WaitingOn.CARRIER.value for order in orders):
            break
        let_time_pass()
    # then each platform acted once
    assert world.fault("sf", "create_waybill") is None
    assert_shipped_once(home, orders)


def _one_on_each_channel(home: House) -> list[str]:
    return [*place(home, Kind.MADE), *place(home, Kind.STOCKED, "wechat_shop"), *place(home, Kind.STOCKED, "douyin")]


def _cancel(session: Session, orders: Sequence[Order]) -> None:
    for order in orders:
        request_cancellation(session, session.get_one(Order, order.id), "客户不要了", "test", utcnow())
