"""What happened to a window after its first reading: tried again, failed, explained by a person. Append-only.

A window that was whole at once has no rows here: its own row says everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index
from sqlmodel import Session, SQLModel, col, select

from models.table import key, moment, reference, words


class Happened(StrEnum):
    """What happened to a window."""

    READ = "read"
    FAILED = "failed"
    EXPLAINED = "explained"


class WindowEvent(SQLModel, table=True):
    """One thing that happened. The counts are those after it; `said` is the error, or a person's reason."""

    __tablename__ = "pull_window_event"
    __table_args__ = (Index("pull_window_event_of_window", "window_id", "id"),)

    id: int | None = key()
    window_id: int = reference("pull_window.id", index=False)
    at: datetime = moment()
    kind: str
    actor: str = ""  # a person's name; empty: by itself
    told: int | None = None
    held: int = 0
    missing_count: int = 0
    fetched: int = 0  # by id, in this reading
    said: str = words()


def history_of(session: Session, window_ids: Sequence[int]) -> dict[int, list[WindowEvent]]:
    """What happened to each of these windows, oldest first."""
    statement = select(WindowEvent).where(col(WindowEvent.window_id).in_(window_ids)).order_by(col(WindowEvent.id))
    events: dict[int, list[WindowEvent]] = defaultdict(list)
    for event in session.exec(statement):
        events[event.window_id].append(event)
    return events
