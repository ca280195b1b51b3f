"""Ends flow runs whose process no longer exists.

A run of a killed process stays `Running` on the server and keeps its slot of the pool for ever. The
in-process worker writes `host:pid:start` on its runs; a process of this host that is gone, or whose number now
belongs to a younger one, cannot finish anything. The stock process worker writes a bare pid, and its name,
which ends in `@host`, as a label. Runs of other hosts are left to the heartbeat automation.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Crashed
from psutil import AccessDenied, NoSuchProcess, Process, pid_exists

ACTIVE = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
UNCLAIMED_AFTER = timedelta(seconds=60)
CLOCK_STEP = 60.0  # seconds the clock may have been set by since a process started

PROCESS_MARK = f"{socket.gethostname()}:{os.getpid()}:{int(time.time())}"


def process_is_gone(mark: str, own: str = PROCESS_MARK) -> bool:
    """Whether the process behind `host:pid:start` was on this host and does not exist any more."""
    host, pid, started = _parts(mark)
    own_host, own_pid, _ = _parts(own)
    if mark == own or host != own_host or not pid or not started:
        return False
    if pid == own_pid:
        return True
    try:
        return Process(pid).create_time() > started + CLOCK_STEP
    except NoSuchProcess:
        return True
    except AccessDenied:
        return False


def _parts(mark: str) -> tuple[str, int, int]:
    """Host, pid and start of a mark; zeros when it was written by something else."""
    host, _, numbers = mark.partition(":")
    pid, _, started = numbers.partition(":")
    return (host, int(pid), int(started)) if pid.isdigit() and started.isdigit() else (host, 0, 0)


def _of_this_host(run: FlowRun) -> bool:
    return str(run.labels.get("prefect.worker.name", "")).endswith(f"@{socket.gethostname()}")


async def runs_in_state(
    client: PrefectClient,
    states: Sequence[StateType],
    *,
    pool: str | None = None,
    ids: Sequence[UUID] | None = None,
    parent: UUID | None = None,
) -> list[FlowRun]:
    """Flow runs in one of these states, of a pool, among these ids, or children of a run (at most 200)."""
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states))),
            id=FlowRunFilterId(any_=list(ids)) if ids is not None else None,
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent]) if parent else None,
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])) if pool else None,
    )


async def end_dead_runs(
    client: PrefectClient, pool: str, mine: Collection[UUID] = (), *, now: datetime | None = None
) -> list[FlowRun]:
    """End the runs of `pool` that no process of this host can finish; the runs that were ended.

    `mine` are runs this process is working on. A run that became Pending a minute ago and still has no
    process written on it was being handed over when its worker died.
    """
    now = now or datetime.now(UTC)
    ended = []
    for found in await runs_in_state(client, ACTIVE, pool=pool):
        if found.id in mine or found.state is None:
            continue
        if mark := found.infrastructure_pid:
            dead = process_is_gone(mark) or (mark.isdigit() and _of_this_host(found) and not pid_exists(int(mark)))
        else:
            dead = found.state.is_pending() and found.state.timestamp < now - UNCLAIMED_AFTER
        if dead:
            await end_run(client, found, "运行它的进程已不在（被终止或机器重启）。")
            ended.append(found)
    return ended


async def end_run(client: PrefectClient, run: FlowRun, message: str) -> int:
    """End a run and every unfinished child of it, children first; how many runs were ended.

    `Cancelling` becomes `Cancelled`, anything else `Crashed`.
    """
    count = 0
    for child in await runs_in_state(client, ACTIVE, parent=run.id):
        count += await end_run(client, child, message)
    cancelling = run.state is not None and run.state.is_cancelling()
    state: State[Any] = Cancelled(message=message) if cancelling else Crashed(message=message)
    await client.set_flow_run_state(run.id, state, force=True)
    return count + 1
