"""Reviews that nobody needs to decide any more: the order went away under them, or begins again."""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel import Session


def withdraw(session: Session, fulfilment_id: int) -> None:
    """Close the open cases of a fulfilment, of every role. Twice: nothing changes."""
    session.flush()
    session.connection().execute(
        text("UPDATE review_case SET state = 'withdrawn' WHERE fulfilment_id = :id AND state = 'open'"),
        {"id": fulfilment_id},
    )
