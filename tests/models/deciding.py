"""What the step `reserve_stock` decides for one fulfilment, without its lane and its messages."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlmodel import Session

from models import compensation
from models.allocation import Terms, allocate, feed, skus_of
from models.backorder import BackorderState, expected_date, is_anyone_before, leave_queue, wait_for
from models.compensation import Cause, Limits
from models.fulfilment import Fulfilment, Stage
from models.order import Order, lock_order
from models.pool import when_short
from models.stock import StockShort, free_everywhere
from models.stock_check import open_check

Outcome = Literal["promised", "waiting", "compensated"]


def feed_who_was_before(session: Session, id: int, now: datetime, terms: Terms) -> None:
    """Whoever paid earlier and waits for the same is served first; in a transaction of its own."""
    fulfilment = session.get_one(Fulfilment, id)
    order = session.get_one(Order, fulfilment.order_id)
    skus = skus_of(session, fulfilment.order_id, id)
    if is_anyone_before(session, skus, order.paid_at or order.placed_at, id):
        feed(session, skus, now, terms)


def decide(session: Session, id: int, now: datetime, terms: Terms, limits: Limits) -> Outcome:
    """Promise what it takes, or have it wait, or have it paid back."""
    order = lock_order(session, session.get_one(Fulfilment, id).order_id)
    fulfilment = session.get_one(Fulfilment, id, populate_existing=True)
    try:
        allocate(session, fulfilment, "test", now, terms)
    except StockShort:
        # all that it takes, not only what is missing: the second look reserves the rest too, in the same order
        free_everywhere(session, skus_of(session, fulfilment.order_id, id), lock=True)
        try:
            allocate(session, fulfilment, "test", now, terms)
        except StockShort as short:
            return _short(session, fulfilment, order, short, now, limits)
    leave_queue(session, id, BackorderState.FED, now)
    fulfilment.stage, fulfilment.stage_since = Stage.RESERVED.value, now
    session.add(fulfilment)
    session.flush()
    open_check(session, fulfilment, skus_of(session, fulfilment.order_id, id), 5, now)
    return "promised"


def _short(
    session: Session, fulfilment: Fulfilment, order: Order, short: StockShort, now: datetime, limits: Limits
) -> Outcome:
    assert fulfilment.id is not None
    missing = sorted(short.missing)
    if when_short(session, missing, limits.when_short) == "compensate":
        compensation.request(session, fulfilment, Cause.OUT_OF_STOCK, str(short), "test", now, limits)
        return "compensated"
    lacking = {sku: want - have for sku, (want, have) in short.missing.items()}
    day = expected_date(session, lacking, now, limits.backorder_days)
    wait_for(session, fulfilment.id, fulfilment.order_id, missing, order.paid_at or order.placed_at, day, now)
    return "waiting"
