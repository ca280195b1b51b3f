"""Steps: a hold stops an order before it ships; and a person asks for an order to be cancelled."""

from __future__ import annotations

from sqlmodel import Session

from models import hold
from models.cancellation import request_cancellation
from models.database import in_transaction, utcnow
from models.form_desk import INCOMPLETE
from models.fulfilment import Claim, Stage, WaitingOn
from models.intake import PlatformStatus
from models.order import Order, find_order
from models.review import REVIEWER_ASKS
from models.review_route import ALLERGEN_INSIDE
from tasks.asking import ask_customer
from tasks.working import PERSON_LOOK_AGAIN, MustWait

_ON = {INCOMPLETE: WaitingOn.CUSTOMER, REVIEWER_ASKS: WaitingOn.CUSTOMER}


async def stop_if_held(claim: Claim) -> None:
    """Before shipping, a blocking hold stops the fulfilment, and so does its channel; releasing it wakes it."""
    if claim.stage.reached(Stage.SHIPPED):
        return
    status, holds = await in_transaction(lambda session: _stops(session, claim.order_id))
    if not claim.stage.reached(Stage.APPROVED):  # its review asks for another recipe, and sees when there is one
        holds = [held for held in holds if held.code != ALLERGEN_INSIDE]
    if status == PlatformStatus.HELD.value:
        why = "平台冻结了订单,现在不能发货;平台解冻后自动继续"
        raise MustWait(WaitingOn.RETRY, why, utcnow() + PERSON_LOOK_AGAIN)
    if holds:
        if any(held.code.startswith((INCOMPLETE, REVIEWER_ASKS)) for held in holds):
            await ask_customer(claim)  # told already, unless whoever placed the hold did not come that far
        on = _ON.get(holds[0].code.rstrip("_0123456789"), WaitingOn.PERSON)
        raise MustWait(on, ";".join(h.reason for h in holds), utcnow() + PERSON_LOOK_AGAIN)


def _stops(session: Session, order_id: int) -> tuple[str, list[hold.Hold]]:
    """What its channel says of the order, and the holds that block it."""
    blocking = [one for one in hold.open_holds(session, order_id) if one.blocking]
    return session.get_one(Order, order_id).platform_status, blocking


async def ask_for_cancellation(order_no: str, reason: str, who: str) -> str:
    """Record that an order is to be cancelled; a sentence that says what happens now. Raises `OrderUnknown`."""

    def work(session: Session) -> str:
        return request_cancellation(session, find_order(session, order_no), reason, who, utcnow())

    return await in_transaction(work)
