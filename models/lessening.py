"""Lessening a promise: a part of it goes back on the shelf, or was used up, and the rest stands.

What a work order was made of is used up once, whoever learns of it first: the factory that refuses to stop it, an
edit that comes after it, or the end of the order. The ledger of stock says whether it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session, select

from models.production import WorkOrder
from models.reservation import Purpose, ReservationState, held_for
from models.stock import LedgerBroken, Movement, StockMovement, free_everywhere, move


def lessen(
    session: Session,
    fulfilment_id: int,
    purpose: Purpose,
    quantities: Mapping[str, int],
    actor: str,
    now: datetime,
    reason: str,
    *,
    used_up: bool = False,
) -> None:
    """Take these quantities (by SKU) off what is still promised for this purpose, as far as it is.

    `used_up`: they have left the shelf, and on hand falls too. Other than `release` it is not repeatable: whoever calls
    it changes in the same transaction what it follows from. The fulfilment must be locked.
    """
    held = held_for(session, fulfilment_id)
    concerned = [r for r in held if r.purpose == purpose.value and quantities.get(r.sku, 0) > 0]
    if not concerned:
        return
    # all that this fulfilment holds, in the order in which everybody locks: the rest may follow in this transaction
    free_everywhere(session, sorted({r.sku for r in held}), lock=True)
    kind, falls = (Movement.CONSUME, True) if used_up else (Movement.RELEASE, False)
    for promised in concerned:
        taken = min(promised.quantity, quantities[promised.sku])
        done = move(
            session, promised.warehouse, promised.sku, kind, -taken if falls else 0, -taken, actor, now,
            fulfilment_id=fulfilment_id, reason=reason,
        )  # fmt: skip
        if not done:
            raise LedgerBroken(promised.warehouse, promised.sku)
        if taken < promised.quantity:
            promised.quantity -= taken
        else:
            ended = ReservationState.CONSUMED if used_up else ReservationState.RELEASED
            promised.state, promised.expires_at = ended.value, None
        session.add(promised)
    session.flush()


def use_up(session: Session, work: WorkOrder, actor: str, now: datetime) -> None:
    """The ingredients that were promised for this work order are off the shelf. Twice, whoever says so: once.

    Of what its fulfilment holds for other work orders nothing is taken. The fulfilment must be locked.
    """
    reason = f"{work.work_order_no} 已投入生产"
    known = select(StockMovement.id).where(
        StockMovement.fulfilment_id == work.fulfilment_id, StockMovement.reason == reason
    )
    if session.exec(known).first() is None:
        lessen(session, work.fulfilment_id, Purpose.INGREDIENT, work.grams, actor, now, reason, used_up=True)
