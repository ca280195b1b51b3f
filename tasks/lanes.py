"""Steps around the lanes themselves: flags, and cleaning up after a lane that died."""

from __future__ import annotations

from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
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
        await in_transaction(lambda session, row=row: lane.end(session, row.name, utcnow()))  # type: ignore[misc]
        if row.run_id:
            await _crash_runs(UUID(row.run_id))
    return len(dead)


async def _crash_runs(parent: UUID) -> None:
    """The runs of a dead lane would stay Running for ever: nothing else ends them."""
    state: State[None] = Crashed(message="通道进程已不在:订单由下一个通道接着处理。")
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
    children = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent]), state=running)
    async with get_client() as client:
        for run in await client.read_flow_runs(flow_run_filter=children):
            await client.set_flow_run_state(run.id, state, force=True)
        try:
            await client.set_flow_run_state(parent, state, force=True)
        except ObjectNotFound:
            return
