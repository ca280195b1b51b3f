"""The number by which the carrier knows a fulfilment's parcel: a new one after each waybill that was called back.

It follows from what was told: `SH-1001-1`, and after its waybill was cancelled `SH-1001-1-W2`. A waybill that it
shares with other orders has a number of its own, and is called back by `tasks/merging.py` before anything else; one
that is still there then stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session, col, select

from models.effect import PARCEL_KINDS, SHIP_NOTICE, WAYBILL_CANCEL, Effect, EffectState

NOT_TOLD = (EffectState.INTENDED.value, EffectState.REFUSED.value)
_SHARED = text("SELECT shipment_no FROM parcel WHERE fulfilment_id = :id AND shared_parcel_id IS NOT NULL")
_HAPPENED = (EffectState.DONE.value, EffectState.SHADOW.value)


@dataclass(frozen=True)
class Shipment:
    """What carrier and channel know. `asked_for`: the carrier has a waybill of this number, or may have.

    `kept`: it would not give the waybill back; `announced`: the channel was told that it is on its way, or may have
    been; `cancelled`: the numbers before this one.
    """

    number: str
    asked_for: bool
    kept: bool
    announced: bool
    cancelled: frozenset[str]


def shipment_of(session: Session, fulfilment_id: int, fulfilment_no: str) -> Shipment:
    """The shipment that a fulfilment has now, or will have: its number, and what is known of it outside."""
    statement = select(Effect).where(Effect.fulfilment_id == fulfilment_id, col(Effect.kind).in_(PARCEL_KINDS))
    told = list(session.exec(statement.execution_options(populate_existing=True)))
    answers = {
        effect.key.removeprefix("waybill-cancel-"): bool(effect.response.get("cancelled"))
        for effect in told
        if effect.kind == WAYBILL_CANCEL.name and effect.state in _HAPPENED
    }
    cancelled = frozenset(number for number, gone in answers.items() if gone)
    own = fulfilment_no if not cancelled else f"{fulfilment_no}-W{len(cancelled) + 1}"
    shared = session.connection().execute(_SHARED, {"id": fulfilment_id}).scalar()
    number = own if shared is None else str(shared)
    outside = {effect.key for effect in told if effect.state not in NOT_TOLD}
    return Shipment(
        number=number,
        asked_for=shared is not None or f"waybill-{number}" in outside,
        kept=shared is not None or answers.get(number) is False,
        announced=any(e.kind == SHIP_NOTICE.name and e.key in outside for e in told),
        cancelled=cancelled,
    )
