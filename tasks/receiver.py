"""The receiver in clear: on masking platforms asked for only when somebody needs it, for each look is counted."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import Session

from models.database import in_transaction
from models.fulfilment import Claim
from models.intake import Receiver
from models.order import Contact, Order, keep_contact, reveal
from models.settings import settings
from tasks.outside import platforms


async def lift_mask(claim: Claim) -> None:
    """Have the receiver in clear. Twice: it is kept, nothing is asked. Raises what the channel raises.

    In shadow mode nothing is asked: a look counts, and on paper the mask will do.
    """
    await lift_mask_of(claim.order_id)


async def lift_mask_of(order_id: int) -> None:
    """The same for any order, as for one that travels in one parcel with the claimed one."""
    if settings().shadow:
        return
    order, contact = await in_transaction(lambda session: _contact(session, order_id))
    if contact.only_masked:
        receiver = await platforms().channel(order.channel).receiver(order.channel_order_id)
        await in_transaction(lambda session: _keep(session, contact, receiver))


def receiver_of(session: Session, order: Order) -> Receiver:
    """Who gets the order's parcels; in shadow mode a mask counts as clear."""
    receiver = reveal(session.get_one(Contact, order.contact_id))
    return replace(receiver, masked=False) if settings().shadow else receiver


def _contact(session: Session, order_id: int) -> tuple[Order, Contact]:
    order = session.get_one(Order, order_id)
    return order, session.get_one(Contact, order.contact_id)


def _keep(session: Session, asked_for: Contact, receiver: Receiver) -> None:
    """Keep what was under the mask, unless the customer has moved while we asked: then that mask is to be lifted."""
    contact = session.get_one(Contact, asked_for.id, with_for_update=True)
    if contact.secret == asked_for.secret:
        keep_contact(session, receiver, contact)
