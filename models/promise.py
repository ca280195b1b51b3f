"""When an order will be made, by the factory's newest word: what its customer may be told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models.order import Order

_EXPECTED = text("""
SELECT max(w.expected_at) FROM work_order w JOIN fulfilment f ON f.id = w.fulfilment_id
WHERE w.order_id = :order AND f.stage = 'approved' AND w.batch_no <> '' AND w.state IN ('released', 'in_progress')
""")


def expected_by(session: Session, order: Order) -> datetime | None:
    """When all that is being made for an order should be made; None when nothing of it is being made now."""
    expected: datetime | None = session.connection().execute(_EXPECTED, {"order": order.id}).scalar()
    return expected
