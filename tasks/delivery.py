"""Step: follow the parcel until it is signed for, and close the order afterwards."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import Session

from integrations.carriers import ParcelState, RouteEvent
from models.database import afterwards, in_transaction, utcnow
from models.fulfilment import Claim, Stage, WaitingOn, advance, hold_on, wake
from models.parcel import Parcel, parcel_of, rows_of_waybill
from models.settings import settings
from models.timeline import EventKind, note
from tasks.outside import platforms
from tasks.shadow import close_if_people_shipped, route_on_paper
from tasks.step import outward
from tasks.working import MustWait

#: After signing, an order stays open this long for what the customer may still say.
AFTER_SALES = timedelta(days=7)


async def follow_delivery(claim: Claim) -> None:
    """Look where the parcel is, a few times a day; after signing wait out the after-sales time, then close."""
    await close_if_people_shipped(claim)
    if not claim.stage.reached(Stage.SHIPPED) or claim.stage.final:
        return
    every = timedelta(hours=settings().policy.delivery_look_again_hours)
    parcel = await in_transaction(lambda session: parcel_of(session, claim.fulfilment_id))
    assert parcel is not None
    if claim.stage is Stage.SHIPPED:
        if parcel.state == "created" and utcnow() - parcel.created_at < every / 2:
            raise MustWait(WaitingOn.CARRIER, f"运单 {parcel.waybill_no} 在途", utcnow() + every)
        events = await ask_route(parcel)
        await in_transaction(lambda session: _follow(session, claim, events))
    if claim.stage is Stage.SHIPPED:
        raise MustWait(WaitingOn.CARRIER, f"运单 {parcel.waybill_no} 在途", utcnow() + every)
    await in_transaction(lambda session: _close(session, claim))
    if claim.stage is Stage.DELIVERED:
        raise MustWait(WaitingOn.CUSTOMER, "已签收,售后期内", utcnow() + every)


@outward("查询物流")
async def ask_route(parcel: Parcel) -> list[RouteEvent]:
    """The parcel's route so far. Reading only."""
    if settings().shadow:
        return route_on_paper(parcel, utcnow())
    return (await platforms().carrier().routes([parcel.waybill_no])).get(parcel.waybill_no, [])


def _follow(session: Session, claim: Claim, events: list[RouteEvent]) -> None:
    """Take over where the parcel is, for all whose goods are in it; the others are woken when it is signed for."""
    hold_on(session, claim)
    own = parcel_of(session, claim.fulfilment_id)
    assert own is not None
    known = [event for event in events if event.state is not ParcelState.UNKNOWN]
    if not known:
        return
    last = known[-1]
    rows = rows_of_waybill(session, own)
    for parcel in [row for row in rows if row.state != last.state.value]:
        parcel.state, parcel.state_at = last.state.value, last.at
        session.add(parcel)
        note(
            session, parcel.order_id, EventKind.ROUTE_REPORTED, "platform:carrier", utcnow(), parcel.fulfilment_id,
            state=last.state.value, code=last.code,
        )  # fmt: skip
    if any(event.state is ParcelState.SIGNED for event in known):
        others = [row.fulfilment_id for row in rows if row.fulfilment_id != claim.fulfilment_id]
        if others:  # their locks may come before ours
            afterwards(session, f"wake who shared {own.waybill_no}", lambda later: wake(later, others))
        advance(session, claim, Stage.DELIVERED, utcnow())
        note(session, claim.order_id, EventKind.DELIVERED, "platform:carrier", utcnow(), claim.fulfilment_id)


def _close(session: Session, claim: Claim) -> None:
    now = utcnow()
    fulfilment = hold_on(session, claim)
    if now - fulfilment.stage_since >= AFTER_SALES:
        advance(session, claim, Stage.CLOSED, now)
        note(session, claim.order_id, EventKind.CLOSED, "after-sales", now, claim.fulfilment_id)
