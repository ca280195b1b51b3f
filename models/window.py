"""Pull windows: up to when a channel has been read, and the proof that nothing of it was missed.

A window is half-open, [since, until). It is read page by page, then the platform is asked how many
orders it counts there and which (a census): what it lists and we did not read is a gap, named, fetched by id, and
pulled again until nothing is missing. The mark of a shop moves only after what was read is committed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, func, text
from sqlmodel import Field, Session, SQLModel, col, select

from models.table import document, key, moment, words
from models.window_history import Happened, WindowEvent

#: How long after a try that left a gap the window is pulled again, at most.
LONGEST_GAP_WAIT = timedelta(hours=1)
#: How far back a second look goes at most.
LOOK_BACK = timedelta(days=2)
#: After so many tries a gap is a person's to explain.
MOST_TRIES = 24


class PullMark(SQLModel, table=True):
    """How far one shop has been read. `until` is the end of the last window that was read whole."""

    __tablename__ = "pull_mark"

    channel: str = Field(primary_key=True)
    shop: str = Field(primary_key=True)
    until: datetime = moment()
    tried_at: datetime = moment()
    error: str = words()
    counts: dict[str, int] = document()


class Why(StrEnum):
    """What a window is read for."""

    PULL = "pull"
    SECOND_LOOK = "second_look"  # the same stretch some time later, for orders that were indexed late
    BACKFILL = "backfill"


class WindowState(StrEnum):
    """What is known of a window."""

    READING = "reading"
    WHOLE = "whole"  # the platform's count and ours are equal, order by order
    GAP = "gap"  # something is missing; pulled again at `look_again_at`
    UNEXPLAINED = "unexplained"  # still missing after many tries: a person has to look
    EXPLAINED = "explained"  # something is missing, and a person has said why
    FAILED = "failed"  # not read to its end; the mark has not moved


#: What is missing here is still to be found or explained.
OPEN = (WindowState.GAP.value, WindowState.UNEXPLAINED.value)


class PullWindow(SQLModel, table=True):
    """One reading of [since, until) of a shop. `told` is the platform's count, `held` how many of those we have.

    `missing` names what is to be fetched by id, what was not tried yet first; `error` may also say, of a window that
    was read, what of it cannot be seen.
    """

    __tablename__ = "pull_window"
    __table_args__ = (
        Index("pull_window_latest", "channel", "shop", "until"),
        Index("pull_window_gaps", "look_again_at", postgresql_where=text("state = 'gap'")),
        Index("pull_window_open", "since", postgresql_where=text("state IN ('gap', 'unexplained')")),
    )

    id: int | None = key()
    channel: str
    shop: str
    since: datetime = moment()
    until: datetime = moment()
    why: str = Why.PULL.value
    state: str = WindowState.READING.value
    begun_at: datetime = moment()
    ended_at: datetime | None = moment(nullable=True)
    told: int | None = None
    held: int = 0
    missing: list[Any] = Field(default_factory=list, sa_type=document().sa_type, nullable=False)
    missing_count: int = 0
    fetched: int = 0  # of the missing ones, fetched by id in this window
    tries: int = 0
    look_again_at: datetime | None = moment(nullable=True)
    looked_again_at: datetime | None = moment(nullable=True)
    counts: dict[str, int] = document()
    error: str = words()


def next_window(
    session: Session, channel: str, shop: str, now: datetime, overlap: timedelta, first: timedelta
) -> tuple[datetime, datetime]:
    """The half-open window [since, until) to read next: from the mark less an overlap, to now.

    A shop that was never read starts `first` ago; so does one whose mark lies ahead, because a clock was wrong when
    it was set: nobody knows what was read.
    """
    mark = session.get(PullMark, (channel, shop))
    since = now - first if mark is None or mark.until - overlap > now else mark.until - overlap
    return since, now


def begin(
    session: Session, channel: str, shop: str, since: datetime, until: datetime, why: Why, now: datetime
) -> PullWindow:
    """A row for a reading that starts now."""
    window = PullWindow(channel=channel, shop=shop, since=since, until=until, why=why.value, begun_at=now)
    session.add(window)
    session.flush()
    return window


def end(
    session: Session,
    window_id: int,
    told: int,
    held: int,
    missing: Sequence[str],
    fetched: int,
    counts: Mapping[str, int],
    now: datetime,
    unseen: str = "",
) -> PullWindow:
    """A reading came to its end. Whole, or a gap that is named and pulled again, later each time.

    `unseen` says which orders of the window the platform does not show us at all.
    """
    window = session.get_one(PullWindow, window_id, with_for_update=True)
    window.told, window.held, window.fetched = told, held, window.fetched + fetched
    window.missing, window.missing_count = list(missing), max(len(missing), told - held)
    window.counts, window.ended_at, window.error = dict(counts), now, unseen[:1000]
    window.tries += 1
    if told <= held and not missing:
        window.state, window.look_again_at = WindowState.WHOLE.value, None
    elif window.state == WindowState.EXPLAINED.value:  # while it was read
        window.look_again_at = None
    elif window.tries >= MOST_TRIES:
        window.state, window.look_again_at = WindowState.UNEXPLAINED.value, None
    else:
        window.state = WindowState.GAP.value
        window.look_again_at = now + min(timedelta(minutes=2 * window.tries), LONGEST_GAP_WAIT)
    session.add(window)
    if window.tries > 1 or window.state != WindowState.WHOLE.value:
        _happened(session, window, Happened.READ, now, fetched=fetched)
    return window


def fail(session: Session, window_id: int, error: str, now: datetime) -> None:
    """A reading broke off. A window that had a gap keeps it, and is pulled again; after many tries a person looks."""
    window = session.get_one(PullWindow, window_id, with_for_update=True)
    window.ended_at, window.error = now, error[:1000]
    if window.told is None:
        window.state = WindowState.FAILED.value
    elif window.state == WindowState.GAP.value:
        window.tries += 1
        window.look_again_at = now + min(timedelta(minutes=2 * window.tries), LONGEST_GAP_WAIT)
        if window.tries >= MOST_TRIES:  # the platform may not list that far back any more
            window.state, window.look_again_at = WindowState.UNEXPLAINED.value, None
    session.add(window)
    _happened(session, window, Happened.FAILED, now, said=window.error)


def due_gaps(session: Session, channel: str, shop: str, now: datetime, limit: int = 20) -> list[PullWindow]:
    """Windows of a shop with something missing whose time to be pulled again has come, oldest first."""
    statement = (
        select(PullWindow)
        .where(PullWindow.channel == channel, PullWindow.shop == shop)
        .where(PullWindow.state == WindowState.GAP.value, col(PullWindow.look_again_at) <= now)
        .order_by(col(PullWindow.since))
        .limit(limit)
    )
    return list(session.exec(statement))


def second_look(
    session: Session, channel: str, shop: str, now: datetime, after: timedelta
) -> tuple[datetime, datetime] | None:
    """The stretch of pulled windows that ended `after` ago or earlier and was not looked at again; None without any."""
    statement = select(func.min(PullWindow.since), func.max(PullWindow.until)).where(
        PullWindow.channel == channel,
        PullWindow.shop == shop,
        PullWindow.why == Why.PULL.value,
        col(PullWindow.looked_again_at).is_(None),
        col(PullWindow.told).is_not(None),
        col(PullWindow.until) <= now - after,
        col(PullWindow.until) > now - after - LOOK_BACK,
    )
    since, until = session.exec(statement).one()
    return None if since is None else (since, until)


def looked_again(session: Session, channel: str, shop: str, until: datetime, now: datetime) -> None:
    """The stretch up to `until` was looked at again, whole."""
    session.connection().execute(
        text(
            "UPDATE pull_window SET looked_again_at = :now WHERE channel = :channel AND shop = :shop"
            " AND why = 'pull' AND looked_again_at IS NULL AND until <= :until"
        ),
        {"now": now, "channel": channel, "shop": shop, "until": until},
    )


def forget(session: Session, before: datetime) -> int:
    """Delete readings begun before a moment that nobody has to look into or has looked into; how many."""
    events = text(
        "DELETE FROM pull_window_event USING pull_window w WHERE window_id = w.id AND w.begun_at < :before"
        " AND w.state IN ('whole', 'failed', 'reading')"
    )
    windows = text("DELETE FROM pull_window WHERE begun_at < :before AND state IN ('whole', 'failed', 'reading')")
    session.connection().execute(events, {"before": before})
    return session.connection().execute(windows, {"before": before}).rowcount


def latest_windows(session: Session, limit: int = 50) -> list[PullWindow]:
    """The newest readings of all shops, newest first."""
    return list(session.exec(select(PullWindow).order_by(col(PullWindow.id).desc()).limit(limit)))


def open_windows(session: Session, limit: int = 200) -> list[PullWindow]:
    """Windows with something missing that nobody has explained, oldest first."""
    statement = select(PullWindow).where(col(PullWindow.state).in_(OPEN)).order_by(col(PullWindow.since)).limit(limit)
    return list(session.exec(statement))


def explain_gap(session: Session, window_id: int, who: str, reason: str, now: datetime) -> bool:
    """A person has looked and says why. The gap is not pulled again. False when there is none (any more)."""
    window = session.get(PullWindow, window_id, with_for_update=True, populate_existing=True)
    if window is None or window.state not in OPEN:
        return False
    window.state, window.look_again_at = WindowState.EXPLAINED.value, None
    session.add(window)
    _happened(session, window, Happened.EXPLAINED, now, actor=who, said=reason)
    return True


def _happened(
    session: Session,
    window: PullWindow,
    kind: Happened,
    now: datetime,
    *,
    actor: str = "",
    said: str = "",
    fetched: int = 0,
) -> None:
    session.add(
        WindowEvent(
            window_id=window.id or 0,
            at=now,
            kind=kind.value,
            actor=actor,
            told=window.told,
            held=window.held,
            missing_count=window.missing_count,
            fetched=fetched,
            said=said,
        )
    )


def mark_read(
    session: Session, channel: str, shop: str, until: datetime, counts: Mapping[str, int], now: datetime
) -> None:
    """The window up to `until` was read whole. Never moves backwards, whatever order runs end in; but a mark that
    lies ahead of `now` was set by a wrong clock, and is brought back."""
    session.connection().execute(
        text(
            "INSERT INTO pull_mark (channel, shop, until, tried_at, error, counts)"
            " VALUES (:channel, :shop, :until, :now, '', CAST(:counts AS jsonb))"
            " ON CONFLICT (channel, shop) DO UPDATE SET until ="
            " CASE WHEN pull_mark.until > :now THEN EXCLUDED.until"
            " ELSE GREATEST(pull_mark.until, EXCLUDED.until) END,"
            " tried_at = EXCLUDED.tried_at, error = '', counts = EXCLUDED.counts"
        ),
        {"channel": channel, "shop": shop, "until": until, "now": now, "counts": json.dumps(dict(counts))},
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
