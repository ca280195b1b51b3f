"""Reviews that nobody needs to decide any more: the order went away under them, or begins again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models.fulfilment import wake

_CLOSE = text("""
UPDATE review_case SET state = 'withdrawn' WHERE fulfilment_id = :id AND state = 'open' RETURNING order_id
""")
_OTHERS = text("SELECT id FROM fulfilment WHERE order_id = :order AND id <> :id AND ready_at IS NOT NULL ORDER BY id")


def withdraw(session: Session, fulfilment_id: int, now: datetime | None = None) -> None:
    """Close the open cases of a fulfilment, of every role. Twice: nothing changes.

    The other parts of its order may have waited for the same answers: they are woken, and ask by themselves. The
    fulfilments of the order must be locked.
    """
    session.flush()
    closed = list(session.connection().execute(_CLOSE, {"id": fulfilment_id}).scalars())
    if closed:
        others = session.connection().execute(_OTHERS, {"order": closed[0], "id": fulfilment_id}).scalars()
        wake(session, list(others), now)
