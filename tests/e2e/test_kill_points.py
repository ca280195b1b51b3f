"""Workers are killed at every fault point that the sources name; what comes after them tells nobody anything twice.

The points with `review_` lie in Prefect's hands too and are tried by `test_killed_lanes.py`.
"""

from __future__ import annotations

import ast
import random
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlmodel import Session

from models import effect
from models.cancellation import request_cancellation
from models.database import transact, utcnow
from models.fulfilment import WaitingOn
from models.order import Order
from tests.database import TemporaryServer
from tests.e2e.kill_worker import KillWorkers, kill_workers
from tests.e2e.told_once import NOTICES, assert_cancelled_before_it_left, assert_shipped_once, events, work_orders
from tests.house import House, house
from tests.orders import Kind, entered, fulfilment_of, place

REPOSITORY = Path(__file__).parents[2]
KILLED = -signal.SIGKILL
ROUNDS = 80  # more kills than the walk can need


def _calls(name: str) -> Iterator[ast.Call]:
    """Every call of a function with this name in the product's own sources."""
    for folder in ("models", "integrations", "tasks", "flows", "deployments"):
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name:
                    yield node


def _points() -> list[str]:
    """The fault points as the sources name them; those around an effect once for each kind that is told."""
    kinds = sorted({getattr(effect, ast.unparse(call.args[1])).name for call in _calls("tell_once")})
    points = []
    for call in _calls("point"):
        (name,) = call.args
        template = ast.unparse(name).strip("f'\"")
        points += [template.replace("{kind.name}", kind) for kind in kinds] if "{" in template else [template]
    return sorted(points)


def _of_cancelling(point: str) -> bool:
    return point.endswith("_cancel")


def _of_prefect(point: str) -> bool:
    return point.startswith("review_")


LIFE = [point for point in _points() if not _of_cancelling(point) and not _of_prefect(point)]
CANCELLING = [point for point in _points() if _of_cancelling(point)]


@pytest.fixture(scope="module")
def home(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module: every test places orders of its own."""
    with house(database_server, tmp_path_factory.mktemp("house")) as furnished:
        yield furnished


@pytest.fixture(scope="module")
def workers() -> Iterator[KillWorkers]:
    """Workers that may be killed."""
    with kill_workers() as forking:
        yield forking


def test_the_sources_name_the_fault_points_that_are_tried_here() -> None:
    assert len(LIFE) >= 20
    assert len(CANCELLING) == 8
    assert not [point for point in _points() if "{" in point]


@pytest.mark.parametrize("point", LIFE)
def test_a_kill_on_the_way_to_the_customer_tells_nothing_twice(home: House, workers: KillWorkers, point: str) -> None:
    # given orders of every channel, one of them made to order, and a worker that dies at the point
    ids = _one_on_each_channel(home)
    assert workers.run(home.environment, kill_at=point) == KILLED
    # when leases and claims are over and another worker goes on
    _let_time_pass()
    assert workers.run(home.environment) == 0
    # then each order has left once, and everybody was told once
    orders = entered(ids)
    assert len(orders) == 3
    assert_shipped_once(home, orders)


@pytest.mark.parametrize("point", CANCELLING)
def test_a_kill_while_calling_back_calls_back_once(home: House, workers: KillWorkers, point: str) -> None:
    # given one order at the factory and one with a waybill that its channel has not heard of, both to be cancelled
    ids = [*place(home, Kind.MADE), *place(home, Kind.STOCKED, "douyin")]
    home.sandbox.world.set_fault("douyin", "order.logisticsAdd", "http_429", detail={"retry_after": 600})
    _set_speed(home, 0.1)
    assert workers.run(home.environment, factory=False) == 0
    made, parcelled = entered(ids)
    assert fulfilment_of(made).waiting_on == WaitingOn.PRODUCTION.value
    assert fulfilment_of(parcelled).waiting_on == WaitingOn.RETRY.value
    transact(lambda session: _cancel(session, [made, parcelled]))
    # when the worker that calls them back dies at the point
    assert workers.run(home.environment, kill_at=point) == KILLED
    _let_time_pass()
    assert workers.run(home.environment) == 0
    _set_speed(home, home.sandbox.world.speed)
    # then both have ended without a parcel on its way, and each was called back once
    for order in (made, parcelled):
        assert_cancelled_before_it_left(home, order)
    works = [work.work_order_no for work in work_orders(made)]
    called_back = home.effects("mes", "cancel")
    assert [called_back[number] for number in works] == [1] * len(works)
    assert events(made)["called_back"] == len(works)
    assert events(parcelled)["called_back"] == 1
    assert home.effects("sf", "cancel_waybill")[f"{parcelled.order_no}-1"] == 1


def test_killed_again_and_again_after_any_transaction_it_still_arrives(home: House, workers: KillWorkers) -> None:
    # given three orders, and workers that each die after one of their first transactions
    ids = _one_on_each_channel(home)
    kills, chance = 0, random.Random(20261122)
    for _ in range(ROUNDS):
        status = workers.run(
            home.environment, kill_at=f"committed#{chance.randint(4, 16)}", pull=not entered(ids) or kills == 0
        )
        _let_time_pass()
        if status == 0:
            break
        assert status == KILLED
        kills += 1
    # then the orders got through all the same, and everybody was told once
    assert kills >= 5
    assert workers.run(home.environment) == 0
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
    for _ in range(8):
        assert workers.run(home.environment) == 0
        orders = entered(ids)
        if all(fulfilment_of(order).waiting_on == WaitingOn.CARRIER.value for order in orders):
            break
        _let_time_pass()
    # then each platform acted once
    assert world.fault("sf", "create_waybill") is None
    assert_shipped_once(home, orders)


def _one_on_each_channel(home: House) -> list[str]:
    return [*place(home, Kind.MADE), *place(home, Kind.STOCKED, "wechat_shop"), *place(home, Kind.STOCKED, "douyin")]


def _cancel(session: Session, orders: Sequence[Order]) -> None:
    for order in orders:
        request_cancellation(session, session.get_one(Order, order.id), "客户不要了", "test", utcnow())


def _set_speed(home: House, speed: float) -> None:
    """The platforms' own time: slow, so that nothing is made and no parcel is picked up meanwhile."""
    httpx.post(f"{home.sandbox.url}/control/speed", json={"speed": speed}, trust_env=False).raise_for_status()


def _let_time_pass() -> None:
    """What is under way at the platforms comes to its end; then leases, claims and retries are due."""
    time.sleep(0.1)

    def work(session: Session) -> None:
        for statement in (
            "UPDATE effect SET lease_until = now() WHERE lease_until IS NOT NULL",
            "UPDATE fulfilment SET claim_until = now() WHERE claimed_by IS NOT NULL",
            "UPDATE fulfilment SET ready_at = now() WHERE ready_at IS NOT NULL AND waiting_on = 'retry'",
        ):
            session.connection().execute(text(statement))

    transact(work)
