"""Should the pool `desk` ever have to be served by Prefect's own process worker: reviews are decided there as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest
from prefect.workers.process import ProcessWorker

from deployments.catalogue import Pool
from models.database import utcnow
from models.review import Verdict
from tasks.review_form import Choice
from tests.carrying import REVIEW, carry, case_of, deploy_reviews, placed, resume, review_runs, stored_input
from tests.house import House
from tests.orders import Kind
from tests.prefect import RunningServer, deploy_for_test, ended, run_when

FALLBACK = Pool("desk-by-process", "process", 2, "tests")


@pytest.mark.slow
async def test_a_resumed_review_runs_on_the_stock_process_worker_too(
    home: House, prefect_server: RunningServer
) -> None:
    # given the same deployment on a pool whose runs each get a process of their own
    await deploy_for_test([replace(REVIEW, pool=FALLBACK.name)], [FALLBACK])
    try:
        order = await placed(home, Kind.MADE_COSTLY)
        await carry(order)
        (run,) = review_runs(prefect_server, order)
        id = UUID(run["id"])
        async with _served_by_processes():
            # when something is filled in that cannot be taken, then it is asked again, as in process
            resume(prefect_server, id, verdict=Choice.CHANGE_RECIPE, reviewer="王敏")
            again = "suspended-review-2-schema"
            await run_when(
                id, lambda found: found.state_name == "Suspended" and bool(stored_input(prefect_server, id, again)), 90
            )
            form = stored_input(prefect_server, id, again)
            assert "换配方要写明新的配方" in form["properties"]["order"]["description"]
            # and what is filled in then is taken
            pressed = utcnow()
            resume(prefect_server, id, verdict=Choice.APPROVE, reviewer="王敏")
            done = await run_when(id, ended, 90)
    finally:
        await deploy_reviews()
    with prefect_server.http() as api:
        states = api.get("flow_run_states/", params={"flow_run_id": str(id)}).json()
    began = max(datetime.fromisoformat(state["timestamp"]) for state in states if state["type"] == "RUNNING")
    print(f"from Resume to the flow's first line, a process each: {(began - pressed).total_seconds():.1f} s")
    assert done.state is not None and done.state.name == "批准(王敏)"
    assert (await case_of(order)).verdict == Verdict.APPROVE.value


@asynccontextmanager
async def _served_by_processes() -> AsyncIterator[None]:
    """Prefect's own worker in this process; its runs inherit this process's settings."""
    worker = ProcessWorker(work_pool_name=FALLBACK.name, name=f"{FALLBACK.name}@test", create_pool_if_not_found=False)
    working = asyncio.create_task(worker.start(printer=lambda *_: None))
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
