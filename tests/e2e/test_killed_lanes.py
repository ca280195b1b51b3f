"""The real lane process on a real Prefect server: killed, frozen, and what the next lane makes of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from integrations.sandbox.channel_pushes import OFF
from models import lane as lanes
from models.database import transact
from models.fulfilment import WaitingOn
from tasks.lanes import bury_dead_lanes
from tests.carrying import (
    carry,
    case_of,
    deploy_reviews,
    placed,
    review_runs,
    runs,
    stored_input,
)
from tests.database import TemporaryServer
from tests.e2e.lane_process import PATIENCE, lane_process, wait_until
from tests.e2e.told_once import assert_nothing_twice, assert_shipped_once
from tests.house import House, house
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
#: Where lanes die here, one after the other. The last two lie between Prefect's answer and our own commit.
POINTS = ("called:waybill", "review_run_made", "review_form_stored")


@pytest.fixture(scope="module")
def home(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module."""
    with house(database_server, tmp_path_factory.mktemp("house")) as furnished:
        yield furnished


async def test_three_lanes_die_and_the_fourth_finishes(
    home: House, prefect_server: RunningServer, tmp_path: Path
) -> None:
    # given an order that goes straight through
    await deploy_reviews()
    straight, costly = await placed(home), None
    # when three lanes die, each at its point
    dead = []
    for point in POINTS:
        if point == "review_run_made":  # not before: the first lane might carry it past the later points
            costly = await placed(home, Kind.COSTLY)
        with lane_process(home, prefect_server, tmp_path / "lane.log", kill_at=point) as lane:
            assert lane.wait(PATIENCE) == KILLED, point
        dead.append(_newest_lane())
        _leases_are_over()
    assert costly is not None, "an order that a nutritionist has to see came"
    with lane_process(home, prefect_server, tmp_path / "lane.log") as lane:
        wait_until(lambda: fulfilment_of(straight).waiting_on == "carrier", "the straight order is shipped")
        wait_until(lambda: fulfilment_of(costly).waiting_on == "review", "the costly order waits for its review")
        lane.terminate()
        assert lane.wait(PATIENCE) == 0
    # then nothing was told twice, and the reviewer sees one run with its form
    assert_shipped_once(home, [straight])
    (shown,) = review_runs(prefect_server, costly)
    assert shown["state_name"] == "Suspended"
    assert shown["id"] == (await case_of(costly)).run_id
    form = stored_input(prefect_server, shown["id"], "suspended-review-schema")
    assert form["title"] == "ReviewDecision"
    assert costly.order_no in form["properties"]["order"]["description"]
    # and the runs of the dead are over
    for row in dead:
        (shift,) = runs(prefect_server, name={"any_": [row.name]})
        assert shift["state_name"] == "Crashed"
    ours = [straight.order_no, costly.order_no, *(row.name for row in dead)]
    assert runs(prefect_server, name={"any_": ours}, state={"type": {"any_": ["RUNNING", "PENDING"]}}) == []
    assert [row.name for row in transact(lanes.live_lanes)] == []


async def test_a_frozen_lane_that_lost_its_claim_changes_nothing_and_stops(
    home: House, prefect_server: RunningServer, tmp_path: Path
) -> None:
    # given a lane that freezes while it tells a channel, which pushes nothing that would wake the order
    home.sandbox.world.put(OFF, "", {"off": True})
    order = await placed(home, channel="douyin")
    home.sandbox.world.set_fault("douyin", "order.logisticsAdd", "timeout_after", detail={"seconds": 1.5})
    with lane_process(home, prefect_server, tmp_path / "lane.log") as lane:
        wait_until(lambda: _notices(home, order.channel_order_id), "the channel has been told")
        os.kill(lane.pid, signal.SIGSTOP)
        frozen = _newest_lane()  # it is declared dead
        await bury_dead_lanes(frozen.name)
        _leases_are_over()
        # when another carries the order on, and the frozen one wakes up
        await carry(order)
        assert fulfilment_of(order).waiting_on == WaitingOn.CARRIER.value
        before = fulfilment_of(order)
        os.kill(lane.pid, signal.SIGCONT)
        # then it stops by itself, and has changed nothing
        assert lane.wait(PATIENCE) == 1
    assert "曾被判为失联" in (tmp_path / "lane.log").read_text(encoding="utf-8")
    assert fulfilment_of(order) == before
    assert_shipped_once(home, [order])
    assert_nothing_twice(home)


def _newest_lane() -> lanes.Lane:
    return transact(lanes.live_lanes)[-1]


def _leases_are_over() -> None:
    statement = text("UPDATE effect SET lease_until = now() WHERE lease_until IS NOT NULL")
    transact(lambda session: session.connection().execute(statement))


def _notices(home: House, channel_order_id: str) -> list[str]:
    told = home.effects("douyin", "order.logisticsAdd")
    return [key for key in told if key.startswith(f"{channel_order_id}:")]
