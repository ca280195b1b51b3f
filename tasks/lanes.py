"""Steps around the lanes themselves: flags, and cleaning up after a lane that died."""

from __future__ import annotations

from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed, State

from models import lane
from models.database import in_transaction, utcnow
from models.settings import settings

_FLAGS = {"pause": {"paused": True}, "resume": {"paused": False}, "drain": {"draining": True}}
_WORDS = {"pause": "已暂停", "resume": "已继续", "drain": "收尾后停止"}


async def set_lanes(action: str) -> str:
    """Set the flags on every live lane; a sentence that says how many."""
    count = await in_transaction(lambda session: lane.set_flags(session, utcnow(), **_FLAGS[action]))
    return f"{count} 条通道{_WORDS[action]}"


async def bury_dead_lanes(name: str | None = None) -> int:
    """End lanes that died: their claims are given back, their runs and children shown as crashed.

    With a `name`: that lane, known to be dead; else all that have been silent too long. Returns how many.
    """
    after = settings().lane.dead_after_seconds
    if name is None:
        dead = await in_transaction(lambda session: lane.dead_lanes(session, utcnow(), after))
    else:
        dead = [row for row in await in_transaction(lane.live_lanes) if row.name == name]
    for row in dead:
        await _crash_runs(row.name)  # before the row ends: whoever fails here finds the lane again
        await in_transaction(lambda session, row=row: lane.end(session, row.name, utcnow()))  # type: ignore[misc]
    return len(dead)


async def _crash_runs(name: str) -> None:
    """End what a dead lane has left running: its shifts, which are called by its name, and their children."""
    gone: State[None] = Crashed(message="通道进程已不在:订单由下一个通道接着处理。")
    async with get_client() as client:
        while shifts := await client.read_flow_runs(flow_run_filter=_running(name=FlowRunFilterName(any_=[name]))):
            for shift in shifts:
                below = _running(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[shift.id]))
                while children := await client.read_flow_runs(flow_run_filter=below):
                    for child in children:
                        await client.set_flow_run_state(child.id, gone, force=True)
                await client.set_flow_run_state(shift.id, gone, force=True)


def _running(**more: Any) -> FlowRunFilter:
    """Runs that nobody has ended, at most 200 at a time."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
    return FlowRunFilter(state=state, **more)
