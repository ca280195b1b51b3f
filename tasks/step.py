"""How a step that leaves the house is declared: a Prefect task, visible to operators, told what to do twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE


def outward(name: str) -> Callable[[Callable[..., Any]], Any]:
    """A Prefect task for one outward step.

    No Prefect retries and no cached results: the effect ledger knows whether a step happened, and parking decides
    when it is tried again, which survives the process; a retry inside the task would not.
    """
    return task(name=name, cache_policy=NO_CACHE, persist_result=False, log_prints=False)
