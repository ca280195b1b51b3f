"""Schedules fire: the server that the lock file gives makes the runs that the catalogue promises."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

from deployments.catalogue import Deployment, Interval
from tests.prefect import RunningServer, deploy_for_test

# the server looks for new schedules every few seconds; far more than that means that it never will
PATIENCE = 45.0


async def test_deployed_schedule_gets_its_runs(prefect_server: RunningServer) -> None:
    # given a deployment that is to run every hour
    entry = Deployment("hourly", "flows/show_orders.py:show_orders", "desk", "", schedule=Interval(timedelta(hours=1)))
    await deploy_for_test([entry])
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("show-orders/hourly")
        mine = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
        # when the server has had time to look
        deadline = time.monotonic() + PATIENCE
        runs = []
        while not runs and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
            runs = await client.read_flow_runs(deployment_filter=mine)
    # then its next runs are planned
    assert runs
    assert all(run.state is not None and run.state.is_scheduled() and run.auto_scheduled for run in runs)
