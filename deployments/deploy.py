"""Carries the catalogue to the Prefect server: what is new is created, what changed is updated in place.

Written so that it can run at every start. A second run writes nothing. A schedule or a deployment that
somebody paused stays paused, unless the schedule itself was changed in the catalogue. What left the
catalogue is removed; while it still has unfinished runs it is only paused, and removed by a later run.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import (
    DeploymentCreate,
    DeploymentScheduleCreate,
    DeploymentUpdate,
)
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.schemas.automations import Automation as StoredAutomation
from prefect.events.schemas.automations import AutomationCore
from prefect.utilities.callables import parameter_schema

from deployments.catalogue import AUTOMATIONS, DEPLOYMENTS, POOLS, Automation, Deployment, Pool, digest
from deployments.pools import REPOSITORY, CatalogueError, ensure_pool

OURS = "orderloom"  # the label of our deployments, the tag of our automations, the slug of our schedules
RETIRED = "retired"  # the version of what left the catalogue with runs unfinished
PAGE = 200


@dataclass(frozen=True)
class DeployReport:
    """What a deploy did, by name (`flow/deployment`, `pool …`, `automation …`), each once and sorted.

    `retired` left the catalogue but still has unfinished runs: paused now, removed once they ended.
    """

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()

    @property
    def writes(self) -> int:
        """How many entries were created, changed or removed."""
        return len(self.created) + len(self.changed) + len(self.removed)


class _Tally:
    """Collects what happened to each entry."""

    def __init__(self) -> None:
        self.outcome: dict[str, str] = {}

    def report(self) -> DeployReport:
        def named(wanted: str) -> tuple[str, ...]:
            return tuple(sorted(name for name, outcome in self.outcome.items() if outcome == wanted))

        return DeployReport(*(named(w) for w in ("created", "changed", "unchanged", "removed", "retired")))


async def deploy(
    pools: Sequence[Pool] = POOLS,
    deployments: Sequence[Deployment] = DEPLOYMENTS,
    automations: Sequence[Automation] = AUTOMATIONS,
    *,
    root: Path = REPOSITORY,
) -> DeployReport:
    """Bring the server of `PREFECT_API_URL` in line with the catalogue. Safe to repeat.

    `root` is the directory the flows are imported from. Raises `CatalogueError` when an entry is wrong,
    before anything is written.
    """
    flows = _checked(pools, deployments)
    tally = _Tally()
    async with get_client() as client:
        await _deploy_pools(client, pools, root, tally)
        await _deploy_deployments(client, flows, root, tally)
        await _deploy_automations(client, automations, tally)
    return tally.report()


def load_flow(entry: Deployment) -> Flow[..., Any]:
    """The flow an entry names, imported as a module. Raises `CatalogueError`."""
    module, _, attribute = entry.module_path.rpartition(".")
    try:
        flow = getattr(importlib.import_module(module), attribute, None)
    except ImportError as problem:
        raise CatalogueError(f"Deployment {entry.name!r}: cannot import {module}: {problem}") from problem
    if not isinstance(flow, Flow):
        raise CatalogueError(f"Deployment {entry.name!r}: {entry.entrypoint} is not a flow")
    return flow


def _checked(pools: Sequence[Pool], deployments: Sequence[Deployment]) -> list[tuple[Deployment, Flow[..., Any]]]:
    known = {pool.name for pool in pools}
    seen: set[str] = set()
    loaded = []
    for entry in deployments:
        if entry.pool not in known:
            raise CatalogueError(f"Deployment {entry.name!r}: there is no pool {entry.pool!r}")
        flow = load_flow(entry)
        if (name := f"{flow.name}/{entry.name}") in seen:
            raise CatalogueError(f"Deployment {name!r} is in the catalogue twice")
        seen.add(name)
        loaded.append((entry, flow))
    return loaded


async def _deploy_pools(client: PrefectClient, pools: Iterable[Pool], root: Path, tally: _Tally) -> None:
    for pool in pools:
        tally.outcome[f"pool {pool.name}"] = await ensure_pool(client, pool, root)


async def _deploy_deployments(
    client: PrefectClient, entries: Sequence[tuple[Deployment, Flow[..., Any]]], root: Path, tally: _Tally
) -> None:
    flow_names = {flow.id: flow.name for flow in await _all(client.read_flows)}
    stored = {f"{flow_names.get(found.flow_id)}/{found.name}": found for found in await _all(client.read_deployments)}
    for entry, flow in entries:
        name = f"{flow.name}/{entry.name}"
        fields = _fields(entry, flow, root)
        if (found := stored.pop(name, None)) is None:
            await _create(client, entry, flow, fields)
            tally.outcome[name] = "created"
            continue
        changed = found.version != fields["version"]
        if changed:
            back = {"paused": False} if found.version == RETIRED else {}
            await client.update_deployment(found.id, DeploymentUpdate(**fields, **back))
        rescheduled = await _reschedule(client, entry, found)
        tally.outcome[name] = "changed" if changed or rescheduled else "unchanged"
    for name, found in stored.items():
        if OURS in found.labels:
            tally.outcome[name] = await _remove(client, found)


def _fields(entry: Deployment, flow: Flow[..., Any], root: Path) -> dict[str, Any]:
    """Everything of a deployment but its schedule, with the digest of all that as part of its version."""
    options = ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy(entry.collision))
    fields: dict[str, Any] = {
        "entrypoint": entry.module_path,
        "path": str(root),
        "work_pool_name": entry.pool,
        "description": entry.description,
        "parameters": dict(entry.parameters),
        "parameter_openapi_schema": parameter_schema(flow).model_dump(),
        "enforce_parameter_schema": True,
        "tags": list(entry.tags),
        "concurrency_limit": entry.limit,
        "concurrency_options": options if entry.limit else None,
    }
    described = digest(fields | {"concurrency_options": entry.collision, "version": entry.version})
    return fields | {"version": f"{entry.version}+{described}"}


async def _create(client: PrefectClient, entry: Deployment, flow: Flow[..., Any], fields: dict[str, Any]) -> None:
    wanted = DeploymentCreate(
        name=entry.name,
        flow_id=await client.create_flow_from_name(flow.name),
        labels={OURS: "catalogue"},
        schedules=[_schedule(entry)] if entry.schedule else [],
        **fields,
    )
    # the client's own create_deployment() cannot pass labels
    await client.request(
        "POST", "/deployments/", json=wanted.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    )


def _schedule(entry: Deployment) -> DeploymentScheduleCreate:
    assert entry.schedule is not None
    return DeploymentScheduleCreate(schedule=entry.schedule.for_prefect(), active=entry.active, slug=OURS)


async def _reschedule(client: PrefectClient, entry: Deployment, found: DeploymentResponse) -> bool:
    """Give the deployment the catalogue's schedule under its old id; schedules others added stay."""
    mine = next((schedule for schedule in found.schedules if schedule.slug == OURS), None)
    if entry.schedule is None:
        if mine is None:
            return False
        await client.delete_deployment_schedule(found.id, mine.id)
    elif mine is None:
        await client.create_deployment_schedules(found.id, [_schedule(entry)])
    elif mine.schedule == entry.schedule.for_prefect():
        return False
    else:
        await client.update_deployment_schedule(
            found.id, mine.id, schedule=entry.schedule.for_prefect(), active=entry.active
        )
    return True


async def _remove(client: PrefectClient, found: DeploymentResponse) -> str:
    unfinished = [StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
    waiting = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=unfinished))),
        limit=1,
    )
    if not waiting:
        await client.delete_deployment(found.id)
        return "removed"
    # a suspended review could not be resumed without its deployment
    if found.version != RETIRED:
        await client.update_deployment(found.id, DeploymentUpdate(paused=True, version=RETIRED))
    return "retired"


async def _deploy_automations(client: PrefectClient, automations: Sequence[Automation], tally: _Tally) -> None:
    stored: dict[str, StoredAutomation] = {}
    for found in await _all(client.read_automations):
        if OURS in found.tags:
            stored[found.name] = found
    for automation in automations:
        name = f"automation {automation.name}"
        existing = stored.pop(automation.name, None)
        wanted = AutomationCore(
            name=automation.name,
            description=automation.description,
            tags=[OURS],
            trigger=automation.trigger,
            actions=list(automation.actions),
            enabled=existing.enabled if existing else True,  # an operator's off switch stays off
        )
        if existing is None:
            await client.create_automation(wanted)
            tally.outcome[name] = "created"
        elif _same(existing, wanted):
            tally.outcome[name] = "unchanged"
        else:
            await client.update_automation(existing.id, wanted)
            tally.outcome[name] = "changed"
    for automation_name, left in stored.items():
        await client.delete_automation(left.id)
        tally.outcome[f"automation {automation_name}"] = "removed"


def _same(existing: StoredAutomation, wanted: AutomationCore) -> bool:
    compared = {"description", "trigger", "actions"}
    return existing.model_dump(include=compared) == wanted.model_dump(include=compared)


async def _all(read: Any) -> list[Any]:
    """Every object of a kind, however many pages the server makes of it."""
    found: list[Any] = []
    while True:
        page = await read(limit=PAGE, offset=len(found))
        found.extend(page)
        if len(page) < PAGE:
            return found
