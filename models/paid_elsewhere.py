"""Money that the platform paid back by itself: what it says was paid back, less what it was told to pay by us.

What was once seen is kept as a row of `order_change`: told of a refund of ours later, the platform may show the sum
of both only after a while, and its own part must not be taken for ours meanwhile.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models import change
from models.change import ChangeKind
from models.order import Order
from models.timeline import EventKind, note
from models.wording import yuan

#: Whether the channel was told of refund `r` of order `o`, or may have been: then it shows in what it says.
TOLD_TO_CHANNEL = """
r.keeper = o.channel AND (r.state IN ('processing', 'paid') OR r.state IN ('due', 'stuck') AND EXISTS (
  SELECT 1 FROM effect e WHERE e.key = 'refund-' || r.refund_no AND (e.state IN ('calling', 'unclear')
    OR r.state = 'due' AND e.state IN ('done', 'shadow'))))
"""
_KNOWN = "(SELECT coalesce(sum(c.amount_fen), 0)::bigint FROM order_change c WHERE c.order_id = o.id)"
_SHOWN = f"""(o.platform_refunded_fen - (
  SELECT coalesce(sum(r.amount_fen), 0)::bigint FROM refund r WHERE r.order_id = o.id AND {TOLD_TO_CHANNEL}))"""
#: What the platform has paid back by itself of order `o`.
ELSEWHERE = f"greatest({_KNOWN}, {_SHOWN})"
_PAID = text(f"SELECT {_KNOWN} AS known, {_SHOWN} AS shown FROM orders o WHERE o.id = :order")


def paid_elsewhere(session: Session, order_id: int) -> int:
    """How many fen the platform has paid back by itself, as far as we know."""
    session.flush()
    row = session.connection().execute(_PAID, {"order": order_id}).one()
    return max(int(row.known), int(row.shown))


def keep_in_mind(session: Session, order: Order, actor: str, now: datetime) -> int:
    """Write down what the platform has paid back by itself since the last look, in fen; 0 when nothing.

    To be called with the order locked, when the platform tells of money and before we tell it of a refund of ours.
    """
    assert order.id is not None
    session.flush()
    row = session.connection().execute(_PAID, {"order": order.id}).one()
    more = max(0, int(row.shown) - int(row.known))
    if more:
        before, after = {"refunded_fen": int(row.known)}, {"refunded_fen": int(row.shown)}
        change.record(session, order.id, ChangeKind.REFUND, before, after, actor, now, applied=True, amount_fen=more)
        note(
            session, order.id, EventKind.PARTLY_REFUNDED, actor, now,
            amount=yuan(more), sum=yuan(int(row.shown)),
        )  # fmt: skip
    return more
