"""Cancels an order: stopped before it leaves, called back where it has left."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from flows.fulfil_order import fulfil_by_hand
from tasks.cancelling import ask_for_cancellation
from tasks.rerunning import HeldElsewhere


@flow(name="cancel-order", flow_run_name="{order_no}", persist_result=False)
async def cancel_order(order_no: str, reason: str, who: str) -> State:
    """Cancel `order_no`, whatever stage it is in; `reason` and `who` go into its timeline.

    What is at the factory or has a waybill is called back, stock and money are given back.
    An order that has left is not cancelled but marked for interception.
    """
    sentence = await ask_for_cancellation(order_no, reason, who)
    try:
        state = await fulfil_by_hand(order_no, f"取消:{reason}")
    except HeldElsewhere:
        return Completed(name="正在取消", message=sentence)
    return Completed(name=state.name or "已取消", message=sentence)
