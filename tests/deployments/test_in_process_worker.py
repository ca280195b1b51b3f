"""The in-process worker against a real Prefect server."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import FlowRun, State
from prefect.input.run_input import keyset_from_paused_state
from prefect.states import Cancelling, Suspended

from deployments.catalogue import Deployment, Pool
from deployments.dead_runs import PROCESS_MARK, process_is_gone
from deployments.in_process_worker import InProcessWorker
from deployments.pools import REPOSITORY
from tests.database import TemporaryServer
from tests.deployments import sample_flows
from tests.deployments.sample_flows import Verdict
from tests.prefect import (
    DESK,
    RunningServer,
    create_run,
    deploy_for_test,
    ended,
    new_server,
    read_run,
    run_here,
    run_when,
    served,
    talking_to,
)

SAMPLES = "tests/deployments/sample_flows.py"
GREET = Deployment("greet", f"{SAMPLES}:greet", "desk", "", limit=None)
DOZE = Deployment("doze", f"{SAMPLES}:doze", "desk", "", limit=None)
FAIL = Deployment("fail", f"{SAMPLES}:fail", "desk", "", limit=None)
REVIEW = Deployment("review", f"{SAMPLES}:review", "desk", "", limit=None)
ALL = (GREET, DOZE, FAIL, REVIEW)


async def test_a_deployed_run_is_picked_up_and_completes(prefect_server: RunningServer) -> None:
    await deploy_for_test(ALL)
    async with served():
        run = await create_run(GREET, parameters={"name": "王敏"})
        run = await run_when(run.id, ended)
    assert run.state_name == "Completed"
    assert run.infrastructure_pid == PROCESS_MARK


async def test_a_failing_flow_ends_failed_and_the_worker_goes_on(prefect_server: RunningServer) -> None:
    await deploy_for_test(ALL)
    async with served():
        failing = await run_when((await create_run(FAIL)).id, ended)
        next_one = await run_when((await create_run(GREET)).id, ended)
    assert failing.state is not None and "no stock" in (failing.state.message or "")
    assert (failing.state_name, next_one.state_name) == ("Failed", "Completed")


async def test_a_flow_that_cannot_be_imported_ends_crashed_and_says_why(
    prefect_server: RunningServer,
) -> None:
    await deploy_for_test(ALL)
    run = await create_run(GREET)
    assert run.deployment_id is not None
    async with get_client() as client:
        gone = DeploymentUpdate(entrypoint="tests.deployments.sample_flows.gone")
        await client.update_deployment(run.deployment_id, gone)
        async with served():
            run = await run_when(run.id, ended)
        await client.delete_deployment(run.deployment_id or run.id)
    assert run.state_name == "Crashed"
    assert run.state is not None and "has no flow 'gone'" in (run.state.message or "")


async def until_idle(worker: InProcessWorker) -> None:
    async with asyncio.timeout(15):
        while worker.active_runs:  # noqa: ASYNC110 - the worker is what is tested
            await asyncio.sleep(0.05)


async def suspended_run() -> FlowRun:
    state: State[None] = Suspended(timeout_seconds=600, pause_key="review")
    keyset = keyset_from_paused_state(state)
    state.state_details.run_input_keyset = {str(part): key for part, key in keyset.items()}
    run = await create_run(REVIEW, name="SH-1001", state=state)
    await Verdict.with_initial_data(description="**SH-1001**").asave(keyset, flow_run_id=run.id)
    return run


async def test_a_run_created_suspended_is_resumed_over_http_within_three_seconds(
    prefect_server: RunningServer,
) -> None:
    await deploy_for_test(ALL)
    run = await suspended_run()
    with prefect_server.http() as browser:
        async with served():
            first = browser.post(f"flow_runs/{run.id}/resume", json={"run_input": {"approved": True}})
            pressed = time.time()
            finished = await run_when(run.id, ended)
            second = browser.post(f"flow_runs/{run.id}/resume", json={"run_input": {"approved": False}})
    assert first.json()["status"] == "ACCEPT"
    assert finished.state_name == "Completed"
    assert finished.start_time is not None and finished.start_time.timestamp() - pressed < 3.0
    assert second.json()["status"] == "ABORT"
    assert "not paused" in second.json()["details"]["reason"]
    assert (await read_run(run.id)).state_name == "Completed"


async def test_a_flow_that_suspends_itself_gives_its_slot_back_and_runs_again(
    prefect_server: RunningServer,
) -> None:
    await deploy_for_test(ALL)
    async with served() as worker:
        run = await create_run(REVIEW)
        waiting = await run_when(run.id, lambda found: found.state_name == "Suspended")
        await until_idle(worker)
        assert (await read_run(run.id)).state_name == "Suspended"
        with prefect_server.http() as browser:
            browser.post(f"flow_runs/{run.id}/resume", json={"run_input": {"approved": True}})
        finished = await run_when(run.id, ended)
    assert (waiting.run_count, finished.state_name) == (1, "Completed")


async def test_a_run_can_be_taken_through_its_review_without_a_worker(prefect_server: RunningServer) -> None:
    await deploy_for_test(ALL)
    waiting = await run_here(REVIEW)
    with prefect_server.http() as browser:
        browser.post(f"flow_runs/{waiting.id}/resume", json={"run_input": {"approved": True}})
    finished = await run_here(REVIEW, await read_run(waiting.id))
    assert (waiting.state_name, finished.state_name) == ("Suspended", "Completed")


async def test_no_more_runs_at_once_than_the_pool_allows(prefect_server: RunningServer) -> None:
    await deploy_for_test(ALL, [DESK])
    sample_flows.most_at_once = 0
    async with served():
        runs = [await create_run(DOZE, parameters={"seconds": 0.8}) for _ in range(4)]
        for run in runs:
            assert (await run_when(run.id, ended, 30)).state_name == "Completed"
    assert sample_flows.most_at_once == DESK.limit == 2


async def test_cancelling_a_run_interrupts_it_and_ends_it_cancelled(prefect_server: RunningServer) -> None:
    await deploy_for_test(ALL)
    async with served() as worker:
        run = await create_run(DOZE)
        await run_when(run.id, lambda found: found.state_name == "Running")
        async with get_client() as client:
            await client.set_flow_run_state(run.id, Cancelling())
        finished = await run_when(run.id, ended)
        await until_idle(worker)
        assert (await read_run(run.id)).state_name == finished.state_name == "Cancelled"


async def test_a_worker_that_stops_crashes_what_does_not_finish_in_time(prefect_server: RunningServer) -> None:
    await deploy_for_test(ALL)
    async with served() as worker:
        worker.grace_seconds = 0.2
        run = await create_run(DOZE)
        await run_when(run.id, lambda found: found.state_name == "Running")
    assert (await read_run(run.id)).state_name == "Crashed"


async def test_the_run_of_a_killed_worker_is_ended_by_the_next_one_and_frees_its_slots(
    prefect_server: RunningServer,
) -> None:
    # given a pool and a deployment of one slot each, and a worker killed in the middle of a run
    single = Pool("single", "orderloom", 1, "")
    doze = Deployment("doze-alone", f"{SAMPLES}:doze", "single", "", limit=1)
    await deploy_for_test([*ALL, doze], [DESK, single])
    run = await create_run(doze, parameters={"seconds": 600})
    code = (
        "import asyncio; from deployments.in_process_worker import InProcessWorker; "
        "asyncio.run(InProcessWorker(work_pool_name='single', name='single@test').start())"
    )
    command = [sys.executable, "-c", code]
    process = await asyncio.create_subprocess_exec(*command, env=prefect_server.environment, cwd=REPOSITORY)
    try:
        await run_when(run.id, lambda found: found.state_name == "Running" and bool(found.infrastructure_pid))
    finally:
        process.kill()
        await process.wait()
    next_one = await create_run(doze, parameters={"seconds": 0})
    # when a worker starts again
    async with served(single):
        killed = await run_when(run.id, ended)
        finished = await run_when(next_one.id, ended, 45)
    # then nothing is locked
    assert (killed.state_name, finished.state_name) == ("Crashed", "Completed")


@pytest.mark.slow
async def test_the_worker_outlives_a_restart_of_the_server(database_server: TemporaryServer, tmp_path: Path) -> None:
    with new_server(database_server, tmp_path) as server, talking_to(server):
        await deploy_for_test(ALL)
        async with served() as worker:
            during = await create_run(DOZE, parameters={"seconds": 2})
            await run_when(during.id, lambda found: found.state_name == "Running")
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            after = await create_run(GREET)
            assert (await run_when(after.id, ended, 60)).state_name == "Completed"
            assert (await run_when(during.id, ended, 60)).state_name == "Completed"
            await until_idle(worker)


def test_a_process_is_gone_only_when_it_surely_cannot_finish_the_run() -> None:
    host, pid, start = PROCESS_MARK.split(":")
    assert not process_is_gone(PROCESS_MARK)
    assert process_is_gone(f"{host}:{pid}:{int(start) - 10}")
    assert process_is_gone(f"{host}:999999999:{start}")
    assert not process_is_gone(f"elsewhere:999999999:{start}")
    assert not process_is_gone("12345")
