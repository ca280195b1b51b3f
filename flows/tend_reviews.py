"""Keeps what reviewers see in step with the cases, and sees to it that somebody decides in time."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from tasks.chasing import chase
from tasks.review_runs import show_missing_cases, tend_runs


@flow(name="tend-reviews", persist_result=False)
async def tend_reviews() -> State:
    """Each open case has exactly one suspended run; its role is told of it, reminded, and after its time another is."""
    closed = await tend_runs()
    shown = await show_missing_cases()
    told, reminded, escalated = (await chase()).values()
    done = {"补": shown, "关": closed, "通知": told, "提醒": reminded, "升级": escalated}
    words = " ".join(f"{what} {count}" for what, count in done.items() if count)
    return Completed(name=words or "一致")
