"""Workers are killed at every fault point that the sources name; what comes after them tells nobody anything twice.

The points with `review_` lie in Prefect's hands too and are tried by `test_killed_lanes.py`.
"""

from __future__ import annotations

import ast
import random
import signal
import time
from collections.abc import Iterator, Sequence
from functools import cache
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
MOST_KILLS = 60  # more than the walk can need


def _calls(name: str) -> list[ast.Call]:
    """Every call of a function with this name in the product's own sources."""
    return [call for call in _all_calls() if ast.unparse(call.func).rpartition(".")[2] == name]


@cache
def _all_calls() -> list[ast.Call]:
    folders = ("models", "integrations", "tasks", "flows", "deployments")
    files = [file for folder in folders for file in sorted((REPOSITORY / folder).rglob("*.py"))]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _points() -> list[str]:
    """The fault points in the order of the sources; those around an effect once for each kind that is told."""
    kinds = sorted({getattr(effect, ast.unparse(call.args[1])).name for call in _calls("tell_once")})
    points = []
    for call in _calls("point"):
        template = ast.unparse(call.args[0]).strip("f'\"")
        points += [template.replace("{kind.name}", kind) for kind in kinds] if "{" in template else [template]
    return points


def _by_effect() -> dict[str, list[str]]:
    """The points around each kind of effect; under "" those that every order passes."""
    groups: dict[str, list[str]] = {}
    for point in _points():
        if not point.startswith("review_"):
            groups.setdefault(point.partition(":")[2], []).append(point)
    return groups


POINTS = _by_effect()
LIFE = sorted(kind for kind in POINTS if not kind.endswith("_cancel"))
CANCELLING = sorted(kind for kind in POINTS if kind.endswith("_cancel"))


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


def test_every_kind_of_effect_has_four_places_to_die_at() -> None:
    around = {kind: [point.partition(":")[0] for point in points] for kind, points in POINTS.items() if kind}
    assert around == {
        kind: ["before_intent", "intended", "called", "recorded"]
        for kind in ("production_cancel", "production_release", "ship_notice", "sms", "waybill", "waybill_cancel")
    }


@pytest.mark.parametrize("kind", LIFE)
def test_kills_on_the_way_to_the_customer_tell_nothing_twice(home: House, workers: KillWorkers, kind: str) -> None:
    # given orders of every channel, one of them made to order, and workers that die at each of the points in turn
    ids = _one_on_each_channel(home)
    for point in POINTS[kind]:
        missing = len(entered(ids)) < len(ids)
        assert workers.run(home.environment, kill_at=point, pull=missing) == KILLED, point
        _let_time_pass()
    # when a worker lives
    assert workers.run(home.environment, pull=False) == 0
    # then each order has left once, and everybody was told once
    orders = entered(ids)
    assert len(orders) == 3
    assert_shipped_once(home, orders)


@pytest.mark.parametrize("kind", CANCELLING)
def test_kills_while_calling_back_call_back_once(home: House, workers: KillWorkers, kind: str) -> None:
    # given one order at the factory and one with a waybill that its channel has not heard of, both to be cancelled
    ids = [*place(home, Kind.MADE), *place(home, Kind.STOCKED, "douyin")]
    home.sandbox.world.set_fault("douyin", "order.logisticsAdd", "http_429", detail={"retry_after": 600})
    _set_speed(home, 0.1)
    assert workers.run(home.environment, factory=False) == 0
    made, parcelled = entered(ids)
    assert fulfilment_of(made).waiting_on == WaitingOn.PRODUCTION.value
    assert fulfilment_of(parcelled).waiting_on == WaitingOn.RETRY.value
    transact(lambda session: _cancel(session, [made, parcelled]))
    # when the workers that call them back die at each of the points in turn, and then one lives
    for point in POINTS[kind]:
        assert workers.run(home.environment, kill_at=point, pull=False) == KILLED, point
        _let_time_pass()
    assert workers.run(home.environment, pull=False) == 0
    _set_speed(home, home.sandbox.world.speed)
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
    # (a life of fewer than eight is all looking and no doing: it would never end)
    kills, status, chance = 0, KILLED, random.Random(20261122)
    while status == KILLED and kills < MOST_KILLS:
        missing = len(entered(ids)) < len(ids)
        status = workers.run(home.environment, kill_at=f"committed#{chance.randint(8, 24)}", pull=missing)
        kills += status == KILLED
        _let_time_pass()
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
