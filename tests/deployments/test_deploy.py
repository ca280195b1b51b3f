"""Carrying the catalogue to a real Prefect server."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.schemas.automations import Automation as StoredAutomation
from prefect.states import Suspended

from deployments.catalogue import AUTOMATIONS, POOLS, Cron, Deployment, Interval, Pool
from deployments.deploy import DeployReport, deploy
from deployments.pools import CatalogueError
from tests.prefect import DESK, RunningServer, create_run

SAMPLES = "tests/deployments/sample_flows.py"
MORNING = Deployment(
    "morning",
    f"{SAMPLES}:greet",
    "desk",
    "每天早上",
    schedule=Cron("0 8 * * *"),
    parameters={"name": "早"},
    tags=("daily",),
)
OFTEN = Deployment("often", f"{SAMPLES}:doze", "desk", "每五分钟", schedule=Interval(timedelta(minutes=5)))
BY_HAND = Deployment("by-hand", f"{SAMPLES}:fail", "desk", "手动")
ALL = (MORNING, OFTEN, BY_HAND)


async def put(*entries: Deployment) -> DeployReport:
    return await deploy([DESK], entries, [])


async def stored(name: str) -> DeploymentResponse:
    async with get_client() as client:
        return await client.read_deployment_by_name(name)


async def stored_automations(name: str) -> list[StoredAutomation]:
    async with get_client() as client:
        return [found for found in await client.read_automations() if found.name == name]


@pytest.fixture
async def clean(prefect_server: RunningServer) -> None:
    """A server on which nothing is deployed: not even what a review of another test still waits for."""
    async with get_client() as api:
        for deployed in await api.read_deployments():
            await api.delete_deployment(deployed.id)
    await put()


async def test_a_first_deploy_creates_and_a_second_one_writes_nothing(clean: None) -> None:
    first, second = await put(*ALL), await put(*ALL)
    names = ("sample-doze/often", "sample-fail/by-hand", "sample-greet/morning")
    assert first.created == names
    assert (second.writes, second.unchanged) == (0, ("pool desk", *names))


async def test_a_deployment_has_what_the_catalogue_says(clean: None) -> None:
    await put(*ALL)
    found = await stored("sample-greet/morning")
    assert found.entrypoint == "tests.deployments.sample_flows.greet"
    assert (found.description, found.parameters, found.tags) == ("每天早上", {"name": "早"}, ["daily"])
    assert found.parameter_openapi_schema is not None
    assert found.parameter_openapi_schema["properties"]["name"]["description"] == "whom to greet"
    assert found.global_concurrency_limit is not None and found.global_concurrency_limit.limit == 1
    assert found.concurrency_options is not None and found.concurrency_options.collision_strategy == "CANCEL_NEW"
    assert [schedule.schedule for schedule in found.schedules] == [Cron("0 8 * * *").for_prefect()]
    assert (await stored("sample-doze/often")).schedules[0].schedule == Interval(timedelta(minutes=5)).for_prefect()


async def test_a_paused_schedule_and_a_paused_deployment_stay_paused_when_something_else_changes(clean: None) -> None:
    await put(*ALL)
    before = await stored("sample-greet/morning")
    async with get_client() as client:
        await client.update_deployment_schedule(before.id, before.schedules[0].id, active=False)
        await client.pause_deployment(before.id)
    report = await put(replace(MORNING, description="改了说明"), OFTEN, BY_HAND)
    after = await stored("sample-greet/morning")
    assert report.changed == ("sample-greet/morning",)
    assert (after.id, after.description, after.paused) == (before.id, "改了说明", True)
    assert (after.schedules[0].id, after.schedules[0].active) == (before.schedules[0].id, False)


async def test_a_changed_schedule_keeps_its_id_and_starts_again(clean: None) -> None:
    await put(*ALL)
    before = await stored("sample-greet/morning")
    async with get_client() as client:
        await client.update_deployment_schedule(before.id, before.schedules[0].id, active=False)
    await put(replace(MORNING, schedule=Cron("30 8 * * *")), OFTEN, BY_HAND)
    (after,) = (await stored("sample-greet/morning")).schedules
    assert (after.id, after.active) == (before.schedules[0].id, True)
    assert after.schedule == Cron("30 8 * * *").for_prefect()


async def test_a_schedule_can_be_taken_away_and_given_back(clean: None) -> None:
    await put(MORNING)
    await put(replace(MORNING, schedule=None))
    assert (await stored("sample-greet/morning")).schedules == []
    await put(MORNING)
    assert len((await stored("sample-greet/morning")).schedules) == 1


async def test_what_left_the_catalogue_is_removed_and_what_is_not_ours_stays(clean: None) -> None:
    await put(*ALL)
    async with get_client() as client:
        flow_id = (await stored("sample-fail/by-hand")).flow_id
        foreign = await client.create_deployment(flow_id, "somebody-else")
        report = await put(MORNING)
        assert report.removed == ("sample-doze/often", "sample-fail/by-hand")
        assert (await client.read_deployment(foreign)).name == "somebody-else"
        await client.delete_deployment(foreign)


async def test_a_deployment_with_a_waiting_review_is_only_paused_until_it_is_decided(clean: None) -> None:
    await put(*ALL)
    run = await create_run(BY_HAND, state=Suspended(timeout_seconds=600, pause_key="x"))
    first = await put(MORNING, OFTEN)
    assert (first.retired, first.removed) == (("sample-fail/by-hand",), ())
    assert (await stored("sample-fail/by-hand")).paused
    async with get_client() as client:
        await client.delete_flow_run(run.id)
    assert (await put(MORNING, OFTEN)).removed == ("sample-fail/by-hand",)


async def test_what_comes_back_while_it_is_retired_runs_again(clean: None) -> None:
    await put(*ALL)
    run = await create_run(BY_HAND, state=Suspended(timeout_seconds=600, pause_key="x"))
    await put(MORNING, OFTEN)
    report = await put(*ALL)
    assert report.changed == ("sample-fail/by-hand",)
    assert not (await stored("sample-fail/by-hand")).paused
    async with get_client() as client:
        await client.delete_flow_run(run.id)


async def test_pools_get_their_limits_and_keep_their_type(prefect_server: RunningServer) -> None:
    await deploy(POOLS, [], [])
    again = await deploy([replace(POOLS[0], limit=5), *POOLS[1:]], [], [])
    assert again.changed == ("pool desk",)
    async with get_client() as client:
        assert (await client.read_work_pool("desk")).concurrency_limit == 5
    with pytest.raises(CatalogueError, match="cannot change its type"):
        await deploy([Pool("desk", "process", 2, "")], [], [])


async def test_an_automation_is_there_once_and_an_operators_off_switch_stays_off(
    prefect_server: RunningServer,
) -> None:
    (zombie,) = [automation for automation in AUTOMATIONS if "失联" in automation.name]
    await deploy([DESK], [], [zombie])
    (first,) = await stored_automations(zombie.name)
    assert (await deploy([DESK], [], [zombie])).writes == 0
    async with get_client() as client:
        await client.pause_automation(first.id)
    await deploy([DESK], [], [replace(zombie, description="改了")])
    (second,) = await stored_automations(zombie.name)
    assert (second.id, second.description, second.enabled) == (first.id, "改了", False)
    assert (await deploy([DESK], [], [])).removed == (f"automation {zombie.name}",)
    assert await stored_automations(zombie.name) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (replace(BY_HAND, pool="nowhere"), "no pool 'nowhere'"),
        (replace(BY_HAND, entrypoint="flows/missing.py:flow"), "cannot import flows.missing"),
        (replace(BY_HAND, entrypoint=f"{SAMPLES}:Verdict"), "is not a flow"),
        (MORNING, "twice"),
    ],
)
async def test_a_wrong_entry_is_named_and_nothing_is_written(clean: None, wrong: Deployment, message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        await put(*ALL, wrong)
    async with get_client() as client:
        assert await client.read_deployments() == []
