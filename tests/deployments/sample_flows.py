"""Small flows the tests of `deployments/` deploy."""

from __future__ import annotations

import asyncio

from prefect import flow
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput
from prefect.input.run_input import keyset_from_base_key

running_now = 0
most_at_once = 0


class Verdict(RunInput):
    """What a reviewer answers."""

    approved: bool


@flow(name="sample-greet")
async def greet(name: str = "world") -> str:
    """Answers with a greeting.

    Args:
        name: whom to greet
    """
    return f"hello {name}"


@flow(name="sample-doze")
async def doze(seconds: float = 30.0) -> None:
    """Takes its time, and counts how many do so at once."""
    global running_now, most_at_once
    running_now += 1
    most_at_once = max(most_at_once, running_now)
    try:
        await asyncio.sleep(seconds)
    finally:
        running_now -= 1


@flow(name="sample-fail")
async def fail() -> None:
    """Fails."""
    raise ValueError("no stock")


@flow(name="sample-review", persist_result=False)
async def review() -> bool:
    """Waits for a verdict, unless one is stored already; whether it was approved."""
    try:
        verdict = await Verdict.aload(keyset_from_base_key("suspended-review"))
    except (ObjectNotFound, ValueError):
        verdict = await asuspend_flow_run(wait_for_input=Verdict, key="review", timeout=600)
    if not verdict.approved:
        raise ValueError("rejected")
    return verdict.approved
