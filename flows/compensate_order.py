"""Pays an order back because it cannot be filled, or decides on one that the limits have stopped."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from flows.fulfil_order import fulfil_by_hand
from tasks.compensating import Action, ask_for_compensation
from tasks.rerunning import HeldElsewhere


@flow(name="compensate-order", flow_run_name="{order_no}", persist_result=False)
async def compensate_order(order_no: str, reason: str, who: str, action: Action = Action.COMPENSATE) -> State:
    """Refund `order_no` in full with a coupon (`compensate`), or `approve` / `decline` what waits for a person.

    `reason` and `who` go into its timeline. Run again, nothing is paid again: the state says that nothing changed.
    """
    changed, sentence = await ask_for_compensation(order_no, action, reason, who)
    if not changed:
        return Completed(name="没有变化", message=sentence)
    try:
        state = await fulfil_by_hand(order_no, f"补偿:{reason}")
    except HeldElsewhere:
        return Completed(name="正在补偿", message=sentence)
    return Completed(name=state.name or "已补偿", message=sentence)
