"""Processes die over a production batch: the factory is told of it once, and each of its reports counts once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from models.database import transact
from models.effect import effects_of
from models.fulfilment import Stage, WaitingOn
from models.order import Order
from models.production import WorkState
from models.production_batch import BatchState
from tests.batches import batches_of, make_alike, place_alike, the_wait_is_over
from tests.database import TemporaryServer
from tests.e2e.kill_points import points_by_effect
from tests.e2e.kill_worker import KillWorkers
from tests.e2e.passing_time import let_time_pass, set_speed
from tests.e2e.told_once import assert_nothing_twice, assert_shipped_once, events, work_orders
from tests.house import House, house
from tests.orders import entered, fulfilment_of

KILLED = -signal.SIGKILL
TOGETHER = 3
#: Long enough that orders wait for each other until the test lets them go.
WAIT = {"policy": {"production_batch_minutes": 60}}


@pytest.fixture(scope="module")
def _waiting(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house"), overrides=WAIT) as furnished:
        yield furnished


@pytest.fixture
def home(_waiting: House) -> Iterator[House]:
    """A house whose factory reports nothing by itself while the test kills."""
    set_speed(_waiting, 0.1)
    yield _waiting
    set_speed(_waiting, _waiting.sandbox.world.speed)


def test_kills_around_the_release_of_a_batch_release_all_of_it_once(home: House, workers: KillWorkers) -> None:
    # given orders that wait for each other in one batch whose time has come
    orders = _waiting_together(home, workers)
    # when workers die at each of the points around the release in turn
    for point in points_by_effect()["production_release"]:
        the_wait_is_over()
        assert workers.run(home.environment, kill_at=point, pull=False, factory=False) == KILLED, point
        let_time_pass()
    # and then one lives, and the factory works
    assert workers.run(home.environment, pull=False, factory=False) == 0
    # then one message has told the factory of all of them, under one number
    (batch,) = batches_of(orders)
    assert batch.state == BatchState.RELEASED.value
    released = home.effects("mes", "release")
    works = [work for order in orders for work in work_orders(order)]
    assert [released.get(work.work_order_no) for work in works] == [1] * len(works)
    assert {work.batch_no for work in works} == {batch.batch_no}
    assert [events(order)["released_to_production"] for order in orders] == [1] * TOGETHER
    # and each goes on to its customer by itself
    set_speed(home, home.sandbox.world.speed)
    assert workers.run(home.environment, pull=False) == 0
    assert_shipped_once(home, orders)


def test_kills_again_and_again_after_any_transaction_still_make_one_batch(home: House, workers: KillWorkers) -> None:
    # given orders that wait for each other
    orders = _waiting_together(home, workers)
    # when each worker dies after one of its first transactions, sooner and later
    status, kills = KILLED, 0
    for transactions in (14, 17, 20, 23, 26, 29, 32, 35, 38, 60, 90):
        the_wait_is_over()
        status = workers.run(home.environment, kill_at=f"committed#{transactions}", pull=False, factory=False)
        kills += status == KILLED
        let_time_pass()
    set_speed(home, home.sandbox.world.speed)
    assert workers.run(home.environment, pull=False) == 0
    # then it was one batch, told once, and everything has left
    assert kills >= 3
    assert len(batches_of(orders)) == 1
    assert_shipped_once(home, orders)


@pytest.mark.parametrize(("point", "taken"), [("answering", False), ("committed", True)])
def test_a_portal_that_dies_over_a_report_has_taken_all_of_it_or_nothing(
    home: House, workers: KillWorkers, point: str, taken: bool
) -> None:
    # given a batch at the factory
    orders = _waiting_together(home, workers)
    the_wait_is_over()
    assert workers.run(home.environment, pull=False, factory=False) == 0
    works = [work_orders(order) for order in orders]
    first, *more = works[0]
    # when the process that takes the report "completed" dies right before, or right after it has committed
    assert workers.run(home.environment, kill_at=point, made=first.work_order_no) == KILLED
    # then all of it is in the book, or nothing
    order = orders[0]
    assert (work_orders(order)[0].state == WorkState.COMPLETED.value) is taken
    assert events(order)["production_reported"] == int(taken)
    # and the factory, which got no answer, reports again: it counts once, and only what is made goes on
    assert workers.run(home.environment, made=first.work_order_no) == (4 if taken else 0)
    assert workers.run(home.environment, made=first.work_order_no) == 4
    for other in more:
        assert workers.run(home.environment, made=other.work_order_no) == 0
    assert workers.run(home.environment, pull=False, factory=False) == 0
    assert [fulfilment_of(each).stage for each in orders] == [Stage.SHIPPED, Stage.APPROVED, Stage.APPROVED]
    for other in [*works[1], *works[2]]:
        assert workers.run(home.environment, made=other.work_order_no) == 0
    assert workers.run(home.environment, pull=False, factory=False) == 0
    assert [events(each)["production_reported"] for each in orders] == [len(own) for own in works]
    assert_shipped_once(home, orders)
    assert_nothing_twice(home)


def _waiting_together(home: House, workers: KillWorkers) -> list[Order]:
    ids = place_alike(home, TOGETHER)
    _take_in(home, workers)
    orders = entered(ids)
    make_alike(orders)
    assert workers.run(home.environment, pull=False, factory=False) == 0
    assert [fulfilment_of(order).waiting_on for order in orders] == [WaitingOn.PRODUCTION.value] * TOGETHER
    assert [transact(lambda s, id=order.id: effects_of(s, id or 0)) for order in orders] == [[]] * TOGETHER  # type: ignore[misc]
    assert len(batches_of(orders)) == 1
    return orders


def _take_in(home: House, workers: KillWorkers) -> None:
    """Read the orders in and carry none of them: they are made alike first."""
    assert workers.run(home.environment, kill_at="claimed") == KILLED
    let_time_pass()
