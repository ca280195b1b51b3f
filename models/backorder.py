"""Backorders: who waits for goods looks again when goods arrive."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models.fulfilment import wake

_WAITING = text("""
SELECT id FROM fulfilment WHERE warehouse = :warehouse AND ready_at IS NOT NULL AND stage = 'received'
  AND (waiting_on = 'backorder' OR claimed_by IS NOT NULL)
ORDER BY id FOR UPDATE SKIP LOCKED
""")


def wake_backordered(session: Session, warehouse: str, now: datetime) -> int:
    """More is in this warehouse: who waits for it, or is just being told that there is none, is ready now.

    Returns how many. A row that a lane has locked at this moment is left out, for it may want the very stock that
    this transaction holds; it looks again by itself.
    """
    waiting = [id for (id,) in session.connection().execute(_WAITING, {"warehouse": warehouse})]
    return wake(session, waiting, now) if waiting else 0
