"""The process that serves every pool of the catalogue."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Running

from deployments.catalogue import POOLS, Deployment
from deployments.pools import REPOSITORY
from deployments.workers import worker_for
from tests.prefect import RunningServer, create_run, deploy_for_test, ended, run_when

SAMPLES = "tests/deployments/sample_flows.py"
BY_HAND = Deployment("by-hand", f"{SAMPLES}:greet", "desk", "", limit=None)
LONG = Deployment("long", f"{SAMPLES}:doze", "desk", "", limit=None)
EXTRA = Deployment("extra", f"{SAMPLES}:greet", "surge", "", limit=None)


@pytest.mark.slow
async def test_one_process_serves_every_pool_and_ends_cleanly_when_told_to(prefect_server: RunningServer) -> None:
    await deploy_for_test([BY_HAND, LONG, EXTRA], POOLS)
    lost = await run_lost_by_a_process_worker()
    command = [sys.executable, "-m", "deployments.workers", "--grace", "0.5"]
    workers = await asyncio.create_subprocess_exec(*command, env=prefect_server.environment, cwd=REPOSITORY)
    try:
        in_process, in_own_process = await create_run(BY_HAND), await create_run(EXTRA)
        assert (await run_when(in_process.id, ended, 30)).state_name == "Completed"
        assert (await run_when(in_own_process.id, ended, 60)).state_name == "Completed"
        assert (await run_when(lost, ended)).state_name == "Crashed"
        long = await create_run(LONG)
        await run_when(long.id, lambda found: found.state_name == "Running")
        told = time.monotonic()
        workers.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(workers.wait(), 15) == 0
        assert time.monotonic() - told < 10
        assert (await run_when(long.id, ended)).state_name == "Crashed"
    finally:
        if workers.returncode is None:
            workers.kill()
            await workers.wait()


async def run_lost_by_a_process_worker() -> UUID:
    gone = subprocess.Popen([sys.executable, "-c", ""])  # noqa: ASYNC220 - only its number is wanted
    gone.wait()
    run = await create_run(EXTRA)
    surge = next(pool for pool in POOLS if pool.name == "surge")
    async with get_client() as client:
        await client.update_flow_run(run.id, infrastructure_pid=str(gone.pid))
        await client.update_flow_run_labels(run.id, {"prefect.worker.name": worker_for(surge).name})
        await client.set_flow_run_state(run.id, Running(), force=True)
    return run.id
