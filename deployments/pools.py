"""Brings one work pool of the catalogue to the Prefect server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker

from deployments.catalogue import Pool
from deployments.in_process_worker import InProcessWorker

REPOSITORY = Path(__file__).resolve().parents[1]


class CatalogueError(ValueError):
    """The catalogue contradicts itself or the server; the message names the entry to correct."""


async def ensure_pool(
    client: PrefectClient, pool: Pool, root: Path = REPOSITORY
) -> Literal["created", "changed", "unchanged"]:
    """Create the pool, or correct its limit, note and template. Safe to repeat.

    `root` is where processes of a `process` pool start. Raises `CatalogueError` when the server's pool of
    that name is of another type, which Prefect cannot change.
    """
    template = _job_template(pool, root)
    try:
        stored = await client.read_work_pool(pool.name)
    except ObjectNotFound:
        wanted_new = WorkPoolCreate(
            name=pool.name,
            type=pool.type,
            description=pool.note,
            concurrency_limit=pool.limit,
            base_job_template=template,
        )
        try:
            await client.create_work_pool(wanted_new)
        except ObjectAlreadyExists:  # deploy and workers start at the same time
            return await ensure_pool(client, pool, root)
        return "created"
    if stored.type != pool.type:
        raise CatalogueError(
            f"Pool {pool.name!r} is of type {stored.type!r} on the server and {pool.type!r} in the catalogue; "
            "a pool cannot change its type: delete it in the UI and deploy again"
        )
    if (pool.note, pool.limit, template) == (stored.description, stored.concurrency_limit, stored.base_job_template):
        return "unchanged"
    wanted = WorkPoolUpdate(description=pool.note, concurrency_limit=pool.limit, base_job_template=template)
    await client.update_work_pool(pool.name, wanted)
    return "changed"


def _job_template(pool: Pool, root: Path) -> dict[str, Any]:
    if pool.type == InProcessWorker.type:
        return InProcessWorker.get_default_base_job_template()
    template = ProcessWorker.get_default_base_job_template()
    variables = template["variables"]["properties"]
    # one interpreter per run instead of two, and no copy of the source tree
    variables["command"]["default"] = f"{sys.executable} -m prefect.engine"
    variables["working_dir"]["default"] = str(root)
    return template
