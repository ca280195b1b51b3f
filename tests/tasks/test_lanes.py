"""Cleaning up after a lane that died."""

from __future__ import annotations

import os

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Running

from models import lane as lanes
from models.database import in_transaction, utcnow
from tasks.lanes import bury_dead_lanes, set_lanes
from tests.carrying import claim, placed
from tests.house import House
from tests.orders import fulfilment_of
from tests.prefect import RunningServer, read_run


@flow
def something() -> None:
    """A flow to make runs of."""


async def test_of_a_dead_lane_every_shift_and_every_child_is_ended_and_its_claims_are_free(
    home: House, prefect_server: RunningServer
) -> None:
    # given a lane that died between two shifts, with an order in its hands and before its row knew its runs
    name = f"lane-dead-{os.urandom(2).hex()}"
    await in_transaction(lambda session: lanes.register(session, name, 1, "elsewhere", utcnow()))
    order = await placed(home)
    await claim(order, name)
    async with get_client() as client:
        shifts = [await _running(client, name), await _running(client, name)]
        children = [await _running(client, order.order_no, below=shift) for shift in shifts]
        other = await _running(client, "lane-alive")
    # when it is buried
    assert await bury_dead_lanes(name) == 1
    # then its runs are over and its order is free; who lives goes on
    for run in (*shifts, *children):
        assert (await read_run(run.id)).state_name == "Crashed"
    assert (await read_run(other.id)).state_name == "Running"
    assert fulfilment_of(order).claimed_by is None
    assert await bury_dead_lanes(name) == 0


async def test_a_lane_that_cannot_be_buried_whole_is_found_again(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a dead lane, and a server that breaks off
    name = f"lane-dead-{os.urandom(2).hex()}"
    await in_transaction(lambda session: lanes.register(session, name, 1, "elsewhere", utcnow()))
    async with get_client() as client:
        shift = await _running(client, name)

    async def broken(*_: object, **__: object) -> None:
        raise ConnectionError("server gone")

    with monkeypatch.context() as breaking:
        breaking.setattr(PrefectClient, "set_flow_run_state", broken)
        with pytest.raises(ConnectionError):
            await bury_dead_lanes(name)
    # when the next lane starts
    assert await bury_dead_lanes(name) == 1
    assert (await read_run(shift.id)).state_name == "Crashed"


async def test_flags_are_set_on_living_lanes_only(home: House) -> None:
    alive, ended = (f"lane-{kind}-{os.urandom(2).hex()}" for kind in ("alive", "ended"))
    for name in (alive, ended):
        await in_transaction(lambda session, name=name: lanes.register(session, name, 1, "elsewhere", utcnow()))  # type: ignore[misc]
    await in_transaction(lambda session: lanes.end(session, ended, utcnow()))
    assert await set_lanes("drain") == "1 条通道收尾后停止"
    (row,) = await in_transaction(lanes.live_lanes)
    assert (row.name, row.draining) == (alive, True)
    await in_transaction(lambda session: lanes.end(session, alive, utcnow()))


async def _running(client: PrefectClient, name: str, below: FlowRun | None = None) -> FlowRun:
    """A run in state Running, as a process that was killed leaves it; a child of another run if given."""
    parent = None
    if below is not None:
        response = await client.request(
            "POST",
            "/task_runs/",
            json={"name": name, "flow_run_id": str(below.id), "task_key": "child", "dynamic_key": name},
        )
        parent = response.json()["id"]
    return await client.create_flow_run(something, name=name, state=Running(), parent_task_run_id=parent)
