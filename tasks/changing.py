"""Step: the order was changed on its channel: what is no longer right is called back, and the rest goes on."""

from __future__ import annotations

from models.change import is_asked
from models.database import in_transaction, utcnow
from models.fulfilment import Claim
from models.revision import Due, revise
from tasks.calling_back import call_back_waybill, call_back_work_orders, nothing_is_under_way


async def carry_out_changes(claim: Claim) -> None:
    """Bring the fulfilment to what its order is now, calling back what was told of it. Twice: nothing changes.

    What is called back stays called back if this is interrupted, and is not asked for again.
    """
    if claim.stage.final or not await in_transaction(lambda session: is_asked(session, claim.order_id)):
        return
    while (due := await in_transaction(lambda session: revise(session, claim, utcnow()))) is not None:
        await _call_back(claim, due)


async def _call_back(claim: Claim, due: Due) -> None:
    await nothing_is_under_way(claim)
    if due.shipment_no:
        await call_back_waybill(claim, due.shipment_no, ends=False)
    await call_back_work_orders(claim, due.works, due.reason, ends=False)
