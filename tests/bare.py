"""The steps of an order without Prefect: for kill tests, and as the fair rival of the lane.

Imported first in a process, it takes the task wrapper away; the same step functions then run as plain coroutines.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")  # no server, no run shown to reviewers

import tasks.step


def _plain(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: function


tasks.step.outward = _plain

from models.database import in_transaction  # noqa: E402
from models.fulfilment import Claim, claim_ready  # noqa: E402
from models.settings import settings  # noqa: E402
from tasks import review_runs  # noqa: E402

review_runs.get_run_logger = lambda: logging.getLogger("bare")  # type: ignore[assignment,misc]

from flows.fulfil_order import fulfil_order  # noqa: E402
from tasks import intake  # noqa: E402

assert not hasattr(intake.pull_channel, "fn"), "tests.bare must be imported before any task"


async def pull_all() -> dict[str, dict[str, int]]:
    """Pull every channel once; counts by channel."""
    pulled = [await intake.pull_channel(name) for name in intake.connected_channels()]
    broken = [result.error for result in pulled if result.error]
    if broken:
        raise RuntimeError("; ".join(broken))
    return {result.channel: result.counts for result in pulled}


async def carry(claim: Claim) -> str:
    """Carry one claim as far as it goes; the name of the state it ends in."""
    state = await fulfil_order.fn(claim.order_no, "bare", claim)
    return str(state.name)


async def sweep(lane: str = "bare", concurrency: int = 12) -> int:
    """Claim and carry until nothing is ready; how many claims were carried."""
    carried = 0
    running: set[asyncio.Task[str]] = set()
    while True:
        places = concurrency - len(running)
        claims = await in_transaction(
            lambda session, n=places: claim_ready(session, lane, n, settings().lane.claim_seconds)  # type: ignore[misc]
        )
        running |= {asyncio.create_task(carry(claim)) for claim in claims}
        if not running:
            return carried
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        carried += len(done)
