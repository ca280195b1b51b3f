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


#: Every line of every order, with what is wanted of it and carried. Given up is what we compensated.
STANDINGS = """
SELECT id, order_id, line_no, sku, carried,
  greatest(0, quantity - given_up - (cancelled_quantity - repeated_quantity)) AS wanted
FROM (
  SELECT l.*,
    coalesce(sum(p.quantity) FILTER (WHERE f.stage IN ('cancelled', 'refunded')), 0)::int AS given_up,
    coalesce(sum(p.quantity) FILTER (WHERE f.stage NOT IN ('cancelled', 'refunded')), 0)::int AS carried
  FROM order_line l
  LEFT JOIN fulfilment_line p ON p.order_line_id = l.id LEFT JOIN fulfilment f ON f.id = p.fulfilment_id
  GROUP BY l.id) AS line
"""
#: By line: pieces of parts that we paid back, as far as the channel was told of that, or may have been.
_TOLD = text(f"""
SELECT p.order_line_id, sum(p.quantity)::int AS pieces
FROM fulfilment_line p JOIN fulfilment f ON f.id = p.fulfilment_id JOIN orders o ON o.id = f.order_id
WHERE o.id = :order AND EXISTS (SELECT 1 FROM refund r WHERE r.fulfilment_id = f.id AND {TOLD_TO_CHANNEL})
GROUP BY p.order_line_id
""")
_OF_ORDER = text(f"{STANDINGS} WHERE order_id = :order ORDER BY line_no")


def standings(session: Session, order_id: int) -> dict[int, Standing]:
    """How each line of an order stands, by line id."""
    session.flush()
    rows = session.connection().execute(_OF_ORDER, {"order": order_id})
    return {row.id: Standing(row.id, row.line_no, row.sku, row.wanted, row.carried) for row in rows}


def told_to_channel(session: Session, order_id: int) -> dict[int, int]:
    """By line id: how many pieces the channel will say are cancelled because we have paid them back through it."""
    session.flush()
    return {row.order_line_id: row.pieces for row in session.connection().execute(_TOLD, {"order": order_id})}


def taken_away_fen(lines: Iterable[OrderLine], paid_back_fen: int) -> int:
    """What was cancelled of these lines and paid back, in fen: by so much may total and payment differ from the lines.

    Some platforms take it off the total or off what was paid, some keep both as they were.
    """
    cancelled = sum(-(-line.paid_fen * line.cancelled_quantity // line.quantity) for line in lines)
    return cancelled + max(0, paid_back_fen)
