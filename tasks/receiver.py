"""The receiver in clear: on masking platforms asked for only when somebody needs it, for each look is counted."""

from __future__ import annotations

from sqlmodel import Session

from models.database import in_transaction
from models.fulfilment import Claim
from models.intake import Receiver
from models.order import Contact, Order, keep_contact
from tasks.outside import platforms


async def lift_mask(claim: Claim) -> None:
    """Have the receiver in clear. Twice: it is kept, nothing is asked. Raises what the channel raises."""
    order, masked = await in_transaction(lambda session: _contact(session, claim))
    if masked:
        receiver = await platforms().channel(order.channel).receiver(order.channel_order_id)
        await in_transaction(lambda session: _keep(session, order, receiver))


def _contact(session: Session, claim: Claim) -> tuple[Order, bool]:
    order = session.get_one(Order, claim.order_id)
    return order, session.get_one(Contact, order.contact_id).only_masked


def _keep(session: Session, order: Order, receiver: Receiver) -> None:
    keep_contact(session, receiver, session.get_one(Contact, order.contact_id, with_for_update=True))
