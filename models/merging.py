"""Merging: fulfilments of one customer to one address, paid close to each other, travel in one parcel.

They are found when the first of them comes to its waybill, and it waits for the others a while. Who left a shared
parcel once is merged again only by a person (`models/merge_desk.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from models.company import ACTOR, Terms, fits, has_left_once, is_ready, may_by_itself, near, why_not_along
from models.fulfilment import Claim, hold_on
from models.parting import drop
from models.shared_parcel import (
    SharedParcel,
    SharedParcelMember,
    SharedState,
    Traveller,
    company_of,
    lock_shared,
    lock_with_company,
    travellers,
    travellers_of,
)
from models.timeline import EventKind, note

#: How soon one who waits looks again by itself: while the warehouse of another is not known, and else.
SOON, LATER = timedelta(minutes=1), timedelta(minutes=30)


@dataclass(frozen=True)
class Company:
    """The shared parcel that a fulfilment is in. `waits_for`: numbers of those not ready yet; look again at `until`."""

    id: int
    waits_for: tuple[str, ...] = ()
    until: datetime | None = None


def find_company(session: Session, claim: Claim, terms: Terms, now: datetime) -> Company | None:
    """With whom a fulfilment that is ready for its waybill travels; None when it goes alone. Twice: the same.

    Who has waited long enough goes with those that are ready. Raises `ClaimLost`, `CompanyBusy`.
    """
    own = company_of(session, claim.fulfilment_id)
    known: list[Traveller] = []
    if terms.window and not has_left_once(session, claim.fulfilment_id):
        (me,) = travellers(session, [claim.fulfilment_id])
        known = near(session, me, terms.window)
    if own is None and not known:
        return None
    lock_with_company(session, [claim.order_id, *(one.fulfilment.order_id for one in known)])
    hold_on(session, claim)
    own = company_of(session, claim.fulfilment_id)
    if own is None or own.state == SharedState.OPEN.value:
        _gather(session, claim.fulfilment_id, [one.id for one in known], terms, now)
        own = _sort_out(session, claim.fulfilment_id, now)
    if own is None or own.id is None:
        return None
    if own.state != SharedState.OPEN.value:
        return Company(own.id)
    return _wait_or_go(session, own, claim.fulfilment_id, terms, now)


def _gather(session: Session, fulfilment_id: int, known: Sequence[int], terms: Terms, now: datetime) -> None:
    """Let us join those who are there, and those who fit everybody join us. All are locked."""
    others = [one for one in travellers(session, known) if may_by_itself(session, one, terms, now)]
    (me,) = travellers(session, [fulfilment_id])
    if me.member is None:
        if not may_by_itself(session, me, terms, now):
            return
        for id in sorted({one.member.shared_parcel_id for one in others if one.member is not None}):
            shared = lock_shared(session, id)
            if shared.state == SharedState.OPEN.value and fits(me, travellers_of(session, id), terms):
                join(session, shared, [me], ACTOR, now)
                break
    own = company_of(session, fulfilment_id)
    there = travellers_of(session, own.id) if own is not None and own.id is not None else [me]
    joining: list[Traveller] = []
    for one in others:
        if one.member is None and fits(one, [*there, *joining], terms):
            joining.append(one)
    if joining:
        newcomers = joining if own is not None else [me, *joining]
        join(session, own or found(session, me, ACTOR, now), newcomers, ACTOR, now)


def _sort_out(session: Session, fulfilment_id: int, now: datetime) -> SharedParcel | None:
    """Who cannot come along any more leaves, we too; the shared parcel that we are still in. All are locked."""
    while (shared := company_of(session, fulfilment_id)) is not None and shared.id is not None:
        everybody = travellers_of(session, shared.id)
        reasons = ((one, why_not_along(session, shared, one)) for one in everybody)
        gone, reason = next(((one, why) for one, why in reasons if why), (None, ""))
        if gone is None:
            return shared
        drop(session, shared, gone, everybody, reason, ACTOR, now)
    return None


def _wait_or_go(
    session: Session, shared: SharedParcel, fulfilment_id: int, terms: Terms, now: datetime
) -> Company | None:
    assert shared.id is not None
    me = next(one for one in travellers_of(session, shared.id) if one.id == fulfilment_id)
    assert me.member is not None
    if me.member.ready_at is None:
        me.member.ready_at = now
        session.add(me.member)
        session.flush()
    until = me.member.ready_at + terms.wait
    late = [one for one in travellers_of(session, shared.id) if not is_ready(one) and one.id != fulfilment_id]
    if late and now < until:
        again = now + (LATER if all(one.fulfilment.warehouse for one in late) else SOON)
        return Company(shared.id, tuple(one.number for one in late), min(until, again))
    for one in late:
        drop(session, shared, one, travellers_of(session, shared.id), "没有等到它备好货", ACTOR, now)
    return Company(shared.id) if shared.state == SharedState.OPEN.value else None


def seal(session: Session, claim: Claim, shared_parcel_id: int, now: datetime, *, masks_will_do: bool = False) -> bool:
    """Nobody joins any more, the waybill is to be asked for; False when the company has changed: look again.

    All receivers are known in clear by now (unless, on paper, `masks_will_do`), and who goes to another address after
    all leaves. Twice: it is sealed.
    """
    lock_with_company(session, [claim.order_id])
    hold_on(session, claim)
    shared = company_of(session, claim.fulfilment_id)
    if shared is None or shared.id != shared_parcel_id or shared.state != SharedState.OPEN.value:
        return shared is not None and shared.id == shared_parcel_id and shared.state == SharedState.SEALED.value
    everybody = travellers_of(session, shared_parcel_id)
    if any((one.contact.only_masked and not masks_will_do) or not is_ready(one) for one in everybody):
        return False
    shared.fingerprint = Counter(one.contact.fingerprint for one in everybody).most_common(1)[0][0]
    shared.only_masked = all(one.contact.only_masked for one in everybody)
    session.add(shared)
    session.flush()
    remaining = _sort_out(session, claim.fulfilment_id, now)
    if remaining is None:
        return False
    remaining.state, remaining.sealed_at = SharedState.SEALED.value, now
    session.add(remaining)
    session.flush()
    return True


def found(session: Session, founder: Traveller, actor: str, now: datetime) -> SharedParcel:
    """A new shared parcel, with nobody in it yet, from this one's warehouse to its address."""
    shared = SharedParcel(
        founder=founder.number,
        fingerprint=founder.contact.fingerprint,
        only_masked=founder.contact.only_masked,
        buyer=founder.order.buyer,
        warehouse=founder.fulfilment.warehouse,
        made_by=actor,
        created_at=now,
    )
    session.add(shared)
    session.flush()
    return shared


def join(session: Session, shared: SharedParcel, newcomers: Sequence[Traveller], actor: str, now: datetime) -> None:
    """Put these into an open shared parcel; each timeline says who has come together. All must be locked."""
    assert shared.id is not None
    for one in newcomers:
        session.add(SharedParcelMember(shared_parcel_id=shared.id, fulfilment_id=one.id, joined_at=now))
    session.flush()
    new = {one.id for one in newcomers}
    everybody = travellers_of(session, shared.id)
    for one in everybody:
        met = [other.number for other in everybody if other.id != one.id and (one.id in new or other.id in new)]
        note(session, one.fulfilment.order_id, EventKind.MERGED, actor, now, one.id, company=met)
    session.flush()
