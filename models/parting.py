"""Leaving a shared parcel: freely until its waybill is asked for; after that the waybill is called back first.

Once a channel has heard of the waybill, the parcel goes. Who has to leave it then, is taken out by the warehouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from models import hold
from models.company import ACTOR
from models.database import afterwards
from models.fulfilment import wake
from models.parcel import parcel_of
from models.shared_parcel import (
    SharedParcel,
    SharedState,
    Traveller,
    company_of,
    lock_shared,
    may_be_outside,
    travellers_of,
)
from models.timeline import EventKind, note


def leave(session: Session, fulfilment_id: int, reason: str, now: datetime, actor: str = ACTOR) -> SharedState | None:
    """Have a fulfilment leave its shared parcel, for a reason in Chinese; what became of the parcel, None without one.

    The order must be locked (`lock_order`), and nothing that hangs on it yet. `UNDOING`: the waybill has to be called
    back (`tasks/merging.part_company`), and until then the fulfilment stays. Twice: the first reason stands.
    """
    found = company_of(session, fulfilment_id)
    if found is None or found.id is None:
        return None
    shared = lock_shared(session, found.id)
    everybody = travellers_of(session, found.id)
    me = next((one for one in everybody if one.id == fulfilment_id), None)
    if me is None:
        return None
    if shared.state == SharedState.UNDOING.value or (
        shared.state == SharedState.SEALED.value and may_be_outside(session, shared.waybill_key)
    ):
        if shared.state == SharedState.SEALED.value and any(channel_knows(session, one) for one in everybody):
            _take_out(session, shared, me, everybody, reason, actor, now)
        else:
            _undo(session, shared, me, everybody, reason, actor)
    else:
        drop(session, shared, me, everybody, reason, actor, now)
    return SharedState(shared.state)


def drop(
    session: Session,
    shared: SharedParcel,
    gone: Traveller,
    everybody: Sequence[Traveller],
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """Nothing is outside yet: it leaves, and where only one is left there is no company any more. All are woken."""
    rest = [one for one in everybody if one.id != gone.id]
    _end(session, gone, rest, reason, actor, now)
    if len(rest) == 1:
        _end(session, rest[0], [gone], f"{gone.number} {reason}", actor, now)
        shared.state, shared.undone_by, shared.undone_why = SharedState.UNDONE.value, actor, reason
        session.add(shared)
    session.flush()
    _wake_later(session, shared, rest)


def called_back(session: Session, shared_parcel_id: int, cancelled: bool, now: datetime) -> None:
    """The carrier's answer on a waybill that is being undone: everybody goes alone, or the parcel goes as it is.

    All members must be locked (`lock_with_company`). Twice: nothing changes.
    """
    shared = lock_shared(session, shared_parcel_id)
    if shared.state != SharedState.UNDOING.value:
        return
    everybody = travellers_of(session, shared_parcel_id)
    for one in everybody:
        others = [other for other in everybody if other.id != one.id]
        note(
            session, one.fulfilment.order_id, EventKind.CALLED_BACK, shared.undone_by, now, one.id,
            what=shared.shipment_no, stopped=cancelled,
        )  # fmt: skip
        if cancelled:
            _without_parcel(session, one)
            _end(session, one, others, shared.undone_why, shared.undone_by, now)
        elif one.member is not None and one.member.leaving:
            reason = f"合并包裹的运单撤不回:{one.member.leaving}"
            how = "联系快递拦截或改派,处理后解除"
            id = one.fulfilment.order_id
            hold.place(session, id, "parcel_gone", reason, "仓库主管", how, shared.undone_by, now)
            _end(session, one, others, one.member.leaving, shared.undone_by, now)
    shared.state = (SharedState.UNDONE if cancelled else SharedState.SEALED).value
    session.add(shared)
    session.flush()
    wake(session, [one.id for one in everybody], now)


def _undo(
    session: Session, shared: SharedParcel, me: Traveller, everybody: Sequence[Traveller], reason: str, actor: str
) -> None:
    assert me.member is not None
    if shared.state == SharedState.SEALED.value:
        shared.state = SharedState.UNDOING.value
        shared.undone_by, shared.undone_why = actor, f"{me.number} {reason}"
        session.add(shared)
    if not me.member.leaving:
        me.member.leaving = reason
        session.add(me.member)
    session.flush()
    _wake_later(session, shared, everybody)


def _take_out(
    session: Session,
    shared: SharedParcel,
    me: Traveller,
    everybody: Sequence[Traveller],
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """A customer waits for this very waybill: the others' goods go, and ours come out of the parcel."""
    parcel = parcel_of(session, me.id)
    rest = [one for one in everybody if one.id != me.id]
    numbers = "、".join(one.number for one in rest)
    waybill = parcel.waybill_no if parcel is not None else ""
    told = "、".join(one.number for one in everybody if channel_knows(session, one))
    why = f"合并包裹 {waybill} 的运单已告诉 {told} 的平台,包裹仍为 {numbers} 发出;{me.number} {reason}"
    how = "把本单的货从包裹里拿出来,然后解除"
    hold.place(session, me.fulfilment.order_id, "in_shared_parcel", why, "仓库主管", how, actor, now)
    _without_parcel(session, me)
    _end(session, me, rest, reason, actor, now)
    session.flush()


def _end(session: Session, one: Traveller, others: Sequence[Traveller], reason: str, actor: str, now: datetime) -> None:
    assert one.member is not None
    one.member.left_at, one.member.left_why, one.member.leaving = now, reason, ""
    session.add(one.member)
    note(
        session, one.fulfilment.order_id, EventKind.UNMERGED, actor, now, one.id,
        company=[other.number for other in others], reason=reason,
    )  # fmt: skip


def _without_parcel(session: Session, one: Traveller) -> None:
    parcel = parcel_of(session, one.id)
    if parcel is not None:
        session.delete(parcel)
        session.flush()


def channel_knows(session: Session, one: Traveller) -> bool:
    """Whether its channel was told of the parcel, or may have been."""
    return may_be_outside(session, f"ship-{one.number}")


def _wake_later(session: Session, shared: SharedParcel, those: Sequence[Traveller]) -> None:
    """Wake them once this transaction is over: only its own order is locked, and theirs may come before it."""
    ids = [one.id for one in those]
    afterwards(session, f"wake who shared parcel {shared.id}", lambda later: wake(later, ids))
