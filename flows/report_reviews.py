"""Reports how reviews went: how many orders passed straight through, how long reviewers took, by whom and why."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from tasks.review_report import publish_report


@flow(name="report-reviews", persist_result=False)
async def report_reviews(days: float = 7.0) -> State:
    """Publish the artifact `reviews`; its history is on the Artifacts page.

    Args:
        days: how many days back
    """
    board = await publish_report(days)
    median = "–" if board.all.median is None else f"{board.all.median:.1f} 分钟"
    return Completed(name=f"已决定 {board.all.decided},中位 {median}")
