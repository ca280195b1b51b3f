"""Workers are killed while they carry out what was changed about an order: it is called back, and sent, once."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator

import pytest

from models.database import transact, utcnow
from models.fulfilment import Stage, WaitingOn
from models.order import Order
from tests.buying import PRICE, bought, parts_of, shelve_goods
from tests.changing import EARLIER, bought_to_order, changed, moves_to, states, takes_away
from tests.database import TemporaryServer
from tests.e2e.kill_points import points_by_effect
from tests.e2e.kill_worker import KillWorkers
from tests.e2e.passing_time import let_time_pass, set_speed
from tests.e2e.told_once import assert_nothing_twice, events
from tests.house import House, house
from tests.models.change_lane import shipped
from tests.orders import fulfilment_of

KILLED = -signal.SIGKILL
MOST_KILLS = 40
POINTS = points_by_effect()
BOWL = "BOWL-5"


@pytest.fixture(scope="module")
def home(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module: every test places orders of its own."""
    with house(database_server, tmp_path_factory.mktemp("house")) as furnished:
        shelve_goods({"WH-EAST": {BOWL: 100}})
        yield furnished


def test_kills_while_the_factory_is_called_back_for_an_edit_make_the_rest_once(
    home: House, workers: KillWorkers
) -> None:
    # given three bags in production, of which two are taken away
    order = _in_production(home, workers)
    asyncio.run(changed(home, order, takes_away({0: 2}, paid_back=2 * PRICE)))
    # when the workers die around calling back, one after the other, and then one lives
    for point in POINTS["production_cancel"]:
        assert workers.run(home.environment, kill_at=point, pull=False, factory=False) == KILLED, point
        let_time_pass()
    set_speed(home, home.sandbox.world.speed)
    assert workers.run(home.environment, pull=False) == 0
    # then one bag and the bowl have been sent
    _assert_sent(home, order, bags=1)


def test_killed_again_and_again_after_any_transaction_the_edit_is_carried_out_once(
    home: House, workers: KillWorkers
) -> None:
    order = _in_production(home, workers)
    asyncio.run(changed(home, order, takes_away({0: 1}), moves_to("新地址 5 号")))
    set_speed(home, home.sandbox.world.speed)
    kills, status, chance = 0, KILLED, random.Random(20261122)
    while status == KILLED and kills < MOST_KILLS:
        status = workers.run(home.environment, kill_at=f"committed#{chance.randint(5, 12)}", pull=False)
        kills += status == KILLED
        let_time_pass()
    assert status == 0
    assert kills >= 3
    _assert_sent(home, order, bags=2)


def test_kills_while_a_waybill_is_renewed_send_one_parcel(home: House, workers: KillWorkers) -> None:
    # given a bowl with a waybill that its channel has not heard of, whose customer moves
    order = asyncio.run(bought(home, {BOWL: 1}, at=utcnow() - EARLIER))
    home.sandbox.world.set_fault("shopify", "fulfillmentCreate", "http_429", detail={"retry_after": 600})
    set_speed(home, 0.1)
    assert workers.run(home.environment, pull=False, factory=False) == 0
    assert events(order)["waybill_created"] == 1
    home.sandbox.world.clear_faults()
    asyncio.run(changed(home, order, moves_to("新地址 5 号")))
    for point in [*POINTS["waybill_cancel"], *POINTS["waybill"]]:
        assert workers.run(home.environment, kill_at=point, pull=False, factory=False) == KILLED, point
        let_time_pass()
    set_speed(home, home.sandbox.world.speed)
    assert workers.run(home.environment, pull=False) == 0
    # then one waybill was called back, and one parcel sent
    number = f"{order.order_no}-1"
    assert home.effects("sf", "cancel_waybill")[number] == 1
    assert home.effects("sf", "create_waybill")[f"{number}-W2"] == 1
    _assert_sent(home, order, bags=0)


def _in_production(home: House, workers: KillWorkers) -> Order:
    """Three bags that are being made, and a bowl."""
    order = asyncio.run(bought_to_order(home, 3, {BOWL: 1}))
    set_speed(home, 0.1)
    assert workers.run(home.environment, pull=False, factory=False) == 0
    assert fulfilment_of(order).waiting_on == WaitingOn.PRODUCTION.value
    return order


def _assert_sent(home: House, order: Order, bags: int) -> None:
    sent = transact(lambda session: shipped(session, order))
    assert sent.pop(BOWL) == 1
    assert sent.total() == bags
    assert {part.stage for part in parts_of(order)} <= {Stage.SHIPPED.value, Stage.CANCELLED.value}
    assert {state for _, state in states(order)} == {"applied"}
    assert_nothing_twice(home)
