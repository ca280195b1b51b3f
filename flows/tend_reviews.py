"""Keeps what reviewers see in step with the cases: each open case has exactly one suspended run."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from tasks.review_runs import close_shown_elsewhere, show_missing_cases


@flow(name="tend-reviews", persist_result=False)
async def tend_reviews() -> State:
    """Close runs whose case was decided or withdrawn elsewhere; show cases that have no run, or no more."""
    closed = await close_shown_elsewhere()
    shown = await show_missing_cases()
    return Completed(name=f"补 {shown} 关 {closed}" if shown or closed else "一致")
