"""What of each line is still to be delivered, and what of it is carried by fulfilments that go on.

The platform cancels pieces; so do we, when we compensate a part, and then the platform repeats it to us as far as it
was told. Nothing is taken off twice for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session

from models.order import OrderLine
from models.paid_elsewhere import TOLD_TO_CHANNEL


@dataclass(frozen=True)
class Standing:
    """One line: how many pieces are to be delivered (by fulfilments that have not ended), and how many are carried."""

    line_id: int
    line_no: int
    sku: str
    wanted: int
    carried: int

    @property
    def surplus(self) -> int:
        """How many more are carried than wanted; negative when some are carried by nobody."""
        return self.carried - self.wanted


#: Every line of every order, with what is wanted of it and carried. Given up is what we compensated; what of that the
#: channel was told comes back as cancelled by it, and must not be taken off once more.
STANDINGS = f"""
SELECT id, order_id, line_no, sku, carried,
  greatest(0, quantity - given_up - greatest(0, cancelled_quantity - repeated)) AS wanted
FROM (
  SELECT l.*,
    coalesce(sum(p.quantity) FILTER (WHERE f.stage IN ('cancelled', 'refunded')), 0)::int AS given_up,
    coalesce(sum(p.quantity) FILTER (WHERE f.stage NOT IN ('cancelled', 'refunded')), 0)::int AS carried,
    coalesce(sum(p.quantity) FILTER (WHERE EXISTS (
      SELECT 1 FROM refund r WHERE r.fulfilment_id = f.id AND {TOLD_TO_CHANNEL})), 0)::int AS repeated
  FROM order_line l JOIN orders o ON o.id = l.order_id
  LEFT JOIN fulfilment_line p ON p.order_line_id = l.id LEFT JOIN fulfilment f ON f.id = p.fulfilment_id
  GROUP BY l.id) AS line
"""
_OF_ORDER = text(f"{STANDINGS} WHERE order_id = :order ORDER BY line_no")


def standings(session: Session, order_id: int) -> dict[int, Standing]:
    """How each line of an order stands, by line id."""
    session.flush()
    rows = session.connection().execute(_OF_ORDER, {"order": order_id})
    return {row.id: Standing(row.id, row.line_no, row.sku, row.wanted, row.carried) for row in rows}


def taken_away_fen(lines: Iterable[OrderLine], paid_back_fen: int) -> int:
    """What was cancelled of these lines and paid back, in fen: by so much may total and payment differ from the lines.

    Some platforms take it off the total or off what was paid, some keep both as they were.
    """
    cancelled = sum(-(-line.paid_fen * line.cancelled_quantity // line.quantity) for line in lines)
    return cancelled + max(0, paid_back_fen)
