"""Pays back a part of an order, at any stage and after its end."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, State
from pydantic import Field

from tasks.compensating import refund_part


@flow(name="refund-order", flow_run_name="{order_no}", persist_result=False)
async def refund_order(
    order_no: str,
    amount: Annotated[str, Field(description="退多少元,例如 12.50", json_schema_extra={"position": 1})],
    reason: str,
    who: str,
) -> State:
    """Refund `amount` yuan of `order_no` through whoever collected the money; the goods still come.

    One run pays once, however often it is retried; a new run is a new refund. More than is left is refused.
    """
    owed, sentence = await refund_part(order_no, amount, reason, who, str(flow_run.id)[:13])
    return Completed(name=owed.state, message=sentence)
