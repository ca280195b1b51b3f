"""A reviewer decides on an order: the run lies suspended, showing the case, until somebody presses Resume."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from tasks.reviewing import ask_reviewer, is_open, last_answer, take_decision


@flow(name="review-order", persist_result=False)
async def review_order(case_id: int) -> State:
    """Take the reviewer's decision and wake the order. A second or late decision changes nothing, and says so.

    What cannot be taken, such as a recipe with an allergen of the pet, is asked again in this run, with the reason.
    """
    answer = await last_answer()
    if answer.decision is None:
        if await is_open(case_id):
            await ask_reviewer(case_id, round=1)
        return Completed(name="没有改变", message=f"审核 {case_id} 不在等人决定:已决定、已撤回,或没有这个编号。")
    taken, sentence = await take_decision(case_id, answer.decision)
    if not taken and await is_open(case_id):
        await ask_reviewer(case_id, answer.round + 1, sentence)
    name = f"{answer.decision.verdict.value}({answer.decision.reviewer})" if taken else "没有改变"
    return Completed(name=name, message=sentence)
