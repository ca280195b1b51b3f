"""Step: the promise of stock."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import Session

from models import compensation
from models.allocation import Terms, allocate, feed, skus_of
from models.backorder import (
    Backorder,
    BackorderState,
    backorder_of,
    does_anyone_wait,
    expected_date,
    is_anyone_before,
    leave_queue,
    wait_for,
)
from models.compensation import Cause, CompensationState, Limits
from models.database import in_transaction, utcnow
from models.fulfilment import Claim, ClaimLost, Fulfilment, Stage, WaitingOn, advance, hold_on
from models.notification import Node
from models.order import Order
from models.pool import when_short
from models.settings import settings
from models.stock import StockShort, free_everywhere
from models.stock_check import open_check
from models.timeline import EventKind, note
from tasks.notifying import customer_link, tell_customer
from tasks.working import MustWait


async def reserve_stock(claim: Claim) -> None:
    """Promise goods and ingredients to this fulfilment, all or nothing. Twice: it is promised already.

    Who paid earlier and waits for the same is served before. What all warehouses together do not have is waited for
    in the queue, and the customer hears of the new date once; or it is compensated, as the seller has it.
    """
    if claim.stage.reached(Stage.RESERVED):
        return
    if await in_transaction(lambda session: _must_queue(session, claim)):
        await in_transaction(lambda session: _feed(session, claim))
    short = await in_transaction(lambda session: _reserve(session, claim))
    if short is None:
        return
    if isinstance(short, ClaimLost):
        raise short
    await tell_customer(claim, Node.BACKORDER, lambda session: _backorder_words(session, claim))
    minutes = settings().policy.backorder_look_again_minutes
    raise MustWait(
        WaitingOn.BACKORDER,
        f"等 {'、'.join(short.skus)} 到货,预计 {short.expected_on:%m-%d} 送达",
        utcnow() + timedelta(minutes=minutes),
    )


def terms() -> Terms:
    """How stock is given out, as the settings have it."""
    policy = settings().policy
    return Terms(policy.default_buffer_percent, timedelta(hours=policy.reservation_hours))


def _must_queue(session: Session, claim: Claim) -> bool:
    if not does_anyone_wait(session):
        return False
    order = session.get_one(Order, claim.order_id)
    skus = skus_of(session, claim.order_id, claim.fulfilment_id)
    return is_anyone_before(session, skus, _paid_at(order), claim.fulfilment_id)


def _feed(session: Session, claim: Claim) -> None:
    feed(session, skus_of(session, claim.order_id, claim.fulfilment_id), utcnow(), terms())


def _paid_at(order: Order) -> datetime:
    return order.paid_at or order.placed_at


def _reserve(session: Session, claim: Claim) -> Backorder | ClaimLost | None:
    """None when it is reserved, and the warehouse has its countdown; else its place in the queue, or its end."""
    now = utcnow()
    fulfilment = hold_on(session, claim)
    try:
        used = allocate(session, fulfilment, "reserve-stock", now, terms())
    except StockShort:
        # whatever arrives from here on finds us in the queue: hold these items, and look once more
        free_everywhere(session, skus_of(session, claim.order_id, claim.fulfilment_id), lock=True)
        try:
            used = allocate(session, fulfilment, "reserve-stock", now, terms())
        except StockShort as still:
            return _is_short(session, claim, fulfilment, still, now)
    leave_queue(session, claim.fulfilment_id, BackorderState.FED, now)
    advance(session, claim, Stage.RESERVED, now)
    skus = skus_of(session, claim.order_id, claim.fulfilment_id)
    note(
        session, claim.order_id, EventKind.RESERVED, "reserve-stock", now, claim.fulfilment_id,
        warehouse=fulfilment.warehouse, skus=skus,
    )  # fmt: skip
    if used:
        note(session, claim.order_id, EventKind.BUFFER_USED, "reserve-stock", now, claim.fulfilment_id, skus=used)
    open_check(session, fulfilment, skus, settings().policy.stock_check_minutes, now)
    return None


def _is_short(
    session: Session, claim: Claim, fulfilment: Fulfilment, short: StockShort, now: datetime
) -> Backorder | ClaimLost:
    policy = settings().policy
    order = session.get_one(Order, claim.order_id)
    known = compensation.compensation_of(session, claim.fulfilment_id)
    declined = known is not None and known.state == CompensationState.DECLINED.value
    if when_short(session, sorted(short.missing), policy.when_short) == "compensate" and not declined:
        compensation.request(
            session, fulfilment, Cause.OUT_OF_STOCK, str(short), "reserve-stock", now, Limits.of(policy)
        )
        return ClaimLost(f"库存不足,转入补偿:{short}")
    lacking = {sku: want - have for sku, (want, have) in short.missing.items()}
    day = expected_date(session, lacking, now, policy.backorder_days)
    if wait_for(session, claim.fulfilment_id, claim.order_id, sorted(short.missing), _paid_at(order), day, now):
        note(
            session, claim.order_id, EventKind.BACKORDERED, "reserve-stock", now, claim.fulfilment_id,
            missing={sku: f"要 {want} 有 {have}" for sku, (want, have) in short.missing.items()}, expected=str(day),
        )  # fmt: skip
    place = backorder_of(session, claim.fulfilment_id)
    assert place is not None
    return place


def _backorder_words(session: Session, claim: Claim) -> dict[str, str]:
    place = backorder_of(session, claim.fulfilment_id)
    day = f"{place.expected_on:%m月%d日}" if place is not None else ""
    return {"order_no": claim.order_no, "date": day, "link": customer_link(session, claim)}
