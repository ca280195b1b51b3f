"""Workers die at every point around the one waybill of two orders; what comes after them makes no second one."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from models.database import transact
from models.fulfilment import Stage
from tests.buying import buy, shelve_goods
from tests.database import TemporaryServer
from tests.e2e.kill_points import points_by_effect
from tests.e2e.kill_worker import KillWorkers
from tests.e2e.passing_time import let_time_pass, set_speed
from tests.e2e.told_once import assert_nothing_twice
from tests.house import House, house
from tests.orders import entered
from tests.travelling import (
    EAST,
    MERGING,
    assert_shipped_together,
    behind,
    cancel,
    forget,
    parcel,
    part_of,
    told,
    waybills,
)

KILLED = -signal.SIGKILL
POINTS = points_by_effect()


@pytest.fixture(scope="module")
def _merging(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house"), overrides=MERGING) as furnished:
        yield furnished


@pytest.fixture
def home(_merging: House) -> Iterator[House]:
    """A house that merges orders paid within the hour."""
    shelve_goods({EAST: {"CAN-9": 1_000}})
    yield _merging
    _merging.sandbox.world.clear_faults()
    set_speed(_merging, 100)
    transact(forget)


@pytest.mark.parametrize("kind", ["waybill", "ship_notice", "sms"])
def test_kills_around_the_one_waybill_make_no_second(home: House, workers: KillWorkers, kind: str) -> None:
    ids = [buy(home, {"CAN-9": pieces}) for pieces in (1, 2)]
    for place, point in enumerate(POINTS[kind]):
        assert workers.run(home.environment, kill_at=point, pull=not place) == KILLED, point
        let_time_pass()
    for _ in range(2):
        assert workers.run(home.environment, pull=False) == 0
        let_time_pass()
    assert_shipped_together(home, *entered(ids))


def test_kills_while_a_shared_waybill_is_called_back_call_it_back_once(home: House, workers: KillWorkers) -> None:
    # given one waybill for two orders, of which no channel has heard, and one of them cancelled
    ids = [buy(home, {"CAN-9": pieces}) for pieces in (1, 2)]
    behind(home)
    assert workers.run(home.environment, pull=True) == 0
    one, other = entered(ids)
    (shared,) = waybills(home, one, other)
    cancel(one)
    # when workers die at each point of calling it back, and then one lives
    for point in POINTS["waybill_cancel"]:
        assert workers.run(home.environment, kill_at=point, pull=False) == KILLED, point
        let_time_pass()
    home.sandbox.world.clear_faults()
    set_speed(home, 100)
    for _ in range(3):
        let_time_pass()
        assert workers.run(home.environment, pull=False) == 0
    # then it was called back once, and the other order has gone by itself
    assert (part_of(one).stage, part_of(other).stage) == (Stage.CANCELLED.value, Stage.SHIPPED.value)
    assert home.effects("sf", "cancel_waybill")[shared] == 1
    assert waybills(home, one, other) == {shared: 1, f"{other.order_no}-1": 1}
    assert parcel(one) is None and told(home, other) == [1]
    assert_nothing_twice(home)
