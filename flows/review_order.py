"""A reviewer decides on an order: the run lies suspended, showing the case, until somebody presses Resume."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from tasks.review_runs import ask_reviewer, stored_decision, take_decision


@flow(name="review-order", persist_result=False)
async def review_order(case_id: int) -> State:
    """Take the reviewer's decision and wake the order. A second or late decision changes nothing, and says so."""
    decision = await stored_decision()
    if decision is None:
        decision = await ask_reviewer()
    taken, sentence = await take_decision(case_id, decision)
    return Completed(name=f"{decision.verdict.value}({decision.reviewer})" if taken else "没有改变", message=sentence)
