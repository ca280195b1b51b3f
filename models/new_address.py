"""A new receiver: taken over at once; where the carrier has a waybill with the old one, it is to be called back.

Some channels tell no more than masks. Once a mask was lifted, it is compared with the mask that was told last: a new
one is kept, so that it is lifted anew before the next waybill.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Session

from models import change
from models.change import ChangeKind
from models.fulfilment import Stage, fulfilments_of, interrupt
from models.intake import Receiver
from models.order import Contact, Order, keep_contact, reveal
from models.privacy import fingerprint
from models.shipment import shipment_of
from models.timeline import EventKind, note

#: Where an order keeps which mask its channel told last: a fingerprint, among what later calls need.
MASK = "masked_receiver"


def follow_receiver(session: Session, order: Order, receiver: Receiver, actor: str, now: datetime) -> bool:
    """Take over a new receiver; True when it is one. The order must be locked.

    Parts without a waybill use it when they come to theirs; of the others it is asked that they get a new one.
    """
    assert order.id is not None
    contact = session.get_one(Contact, order.contact_id)
    is_new = _is_another(order, contact, receiver)
    if receiver.masked:
        order.handles = {**order.handles, MASK: mask_of(receiver)}
        session.add(order)
    if not is_new:
        if contact.only_masked and receiver.masked:
            keep_contact(session, receiver, contact)  # under another virtual number
        return False
    before, unmasks = _region(contact), contact.only_masked and not receiver.masked
    keep_contact(session, receiver, contact)
    if unmasks:
        return False
    unfinished = [part for part in fulfilments_of(session, order.id) if not Stage(part.stage).final]
    numbers = _numbers_at_the_carrier(session, order)
    after = {"region": _region(contact), "shipments": numbers}
    applied = not numbers
    change.record(
        session, order.id, ChangeKind.ADDRESS, {"region": before}, after, actor, now, applied=applied
    )  # fmt: skip
    note(
        session, order.id, EventKind.ADDRESS_CHANGED, actor, now,
        region=_region(contact), waybills=numbers,
    )  # fmt: skip
    interrupt(session, [part.id for part in unfinished if part.id is not None], now)
    return True


def _numbers_at_the_carrier(session: Session, order: Order) -> list[str]:
    """The shipments of unfinished parts that the carrier has with the old address, or may have."""
    assert order.id is not None
    numbers = []
    for part in fulfilments_of(session, order.id):
        if part.id is not None and not Stage(part.stage).final:
            shipment = shipment_of(session, part.id, f"{order.order_no}-{part.number}")
            numbers += [shipment.number] if shipment.asked_for else []
    return numbers


def _is_another(order: Order, contact: Contact, receiver: Receiver) -> bool:
    """Whether this is another receiver than ours. A mask is compared with the last; without one, by its district."""
    known: Any = order.handles.get(MASK)
    if not receiver.masked:
        return reveal(contact) != receiver
    if contact.only_masked:
        return mask_of(reveal(contact)) != mask_of(receiver)
    if known is not None:
        return bool(known != mask_of(receiver))
    region = (receiver.province, receiver.city, receiver.district)
    return all(region[:2]) and region != (contact.province, contact.city, contact.district)


def mask_of(receiver: Receiver) -> str:
    """A fingerprint of what a mask shows. Without the phone: platforms give out a new virtual number now and then."""
    return fingerprint(receiver.name, receiver.province, receiver.city, receiver.district + receiver.detail)


def _region(contact: Contact) -> str:
    return f"{contact.province}{contact.city}{contact.district}"
