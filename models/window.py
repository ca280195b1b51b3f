"""Pull windows: up to when a channel has been read, moved only after what was read is committed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Field, Session, SQLModel

from models.table import document, moment, words


class PullMark(SQLModel, table=True):
    """How far one shop has been read. `until` is the end of the last window that was read whole."""

    __tablename__ = "pull_mark"

    channel: str = Field(primary_key=True)
    shop: str = Field(primary_key=True)
    until: datetime = moment()
    tried_at: datetime = moment()
    error: str = words()
    counts: dict[str, int] = document()


def next_window(
    session: Session, channel: str, shop: str, now: datetime, overlap: timedelta, first: timedelta
) -> tuple[datetime, datetime]:
    """The half-open window [since, until) to read next: from the mark less an overlap, to now.

    A shop that was never read starts `first` ago.
    """
    mark = session.get(PullMark, (channel, shop))
    since = now - first if mark is None else mark.until - overlap
    return min(since, now), now


def mark_read(
    session: Session, channel: str, shop: str, until: datetime, counts: dict[str, int], now: datetime
) -> None:
    """The window up to `until` was read whole. Never moves backwards, whatever order runs end in."""
    session.connection().execute(
        text(
            "INSERT INTO pull_mark (channel, shop, until, tried_at, error, counts)"
            " VALUES (:channel, :shop, :until, :now, '', CAST(:counts AS jsonb))"
            " ON CONFLICT (channel, shop) DO UPDATE SET until = GREATEST(pull_mark.until, EXCLUDED.until),"
            " tried_at = EXCLUDED.tried_at, error = '', counts = EXCLUDED.counts"
        ),
        {"channel": channel, "shop": shop, "until": until, "now": now, "counts": json.dumps(counts)},
    )


def mark_failed(session: Session, channel: str, shop: str, error: str, since: datetime, now: datetime) -> None:
    """Reading failed: the mark stays where it was, and says why."""
    session.connection().execute(
        text(
            "INSERT INTO pull_mark (channel, shop, until, tried_at, error, counts)"
            " VALUES (:channel, :shop, :since, :now, :error, '{}')"
            " ON CONFLICT (channel, shop) DO UPDATE SET tried_at = EXCLUDED.tried_at, error = EXCLUDED.error"
        ),
        {"channel": channel, "shop": shop, "since": since, "now": now, "error": error[:1000]},
    )
