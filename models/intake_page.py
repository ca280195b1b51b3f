"""How far every shop has been read and whether anything is missing: for the staff page, the command line and the demo.

All of it comes from the rows of readings and pushes (models/window.py, models/hint.py); no order is counted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlmodel import Session, col, select

from models.window import OPEN, PullMark, PullWindow, Why
from models.wording import TZ

#: A shop that was not read for longer than this is late: the promise of intake is 20 minutes.
LATE_AFTER = timedelta(minutes=20)
#: Hours that the chart shows.
HOURS = 24

ShopName = tuple[str, str]


class Health(StrEnum):
    """What is to be said first of a shop."""

    NEVER = "never"  # connected, and not read yet
    BROKEN = "broken"  # the last try failed
    GAP = "gap"  # something is missing that nobody has explained
    LATE = "late"
    FINE = "fine"


HEALTH_WORDS = {
    Health.NEVER: ("还没有读过", "not read yet"),
    Health.BROKEN: ("最近一次没有拉成", "the last try failed"),
    Health.GAP: ("有缺口", "a gap"),
    Health.LATE: ("超过 20 分钟没有读", "not read for over 20 minutes"),
    Health.FINE: ("正常", "fine"),
}


@dataclass(frozen=True)
class Pushes:
    """What a platform pushed since midnight in Shanghai. `seconds`: median from a push until its order was read."""

    today: int = 0
    waiting: int = 0
    given_up: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class Hour:
    """What the platform counted in the windows that ended in this hour, and how many of it we have."""

    begins: datetime
    told: int = 0
    held: int = 0


@dataclass(frozen=True)
class Standing:
    """One shop. `last` is its newest window that was read to its end; `gap` how many orders open windows lack."""

    channel: str
    shop: str
    mark: PullMark | None
    last: PullWindow | None
    gap: int
    pushes: Pushes
    hours: tuple[Hour, ...]
    now: datetime = field(repr=False)

    @property
    def age(self) -> timedelta | None:
        """How long ago the moment is up to which the shop is read; None: never read."""
        return None if self.mark is None else self.now - self.mark.until

    @property
    def health(self) -> Health:
        """The worst that there is to say."""
        if self.mark is None or self.age is None:
            return Health.NEVER
        if self.mark.error:
            return Health.BROKEN
        if self.gap:
            return Health.GAP
        return Health.LATE if self.age > LATE_AFTER else Health.FINE


_PUSHES = text("""
SELECT channel, shop,
  count(*) FILTER (WHERE received_at >= :today) AS today,
  count(*) FILTER (WHERE state = 'kept') AS waiting,
  count(*) FILTER (WHERE state = 'given_up') AS given_up,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY EXTRACT(epoch FROM heard_at - received_at))
    FILTER (WHERE outcome = 'fetched') AS seconds
FROM hint WHERE received_at >= :today OR state = 'kept' GROUP BY channel, shop
""")

_HOURS = text("""
SELECT channel, shop, date_trunc('hour', until, 'UTC') AS hour, sum(told) AS told, sum(held) AS held
FROM pull_window WHERE why = 'pull' AND told IS NOT NULL AND until >= :since GROUP BY 1, 2, 3
""")

_GAPS = text("SELECT channel, shop, sum(missing_count) FROM pull_window WHERE state = ANY(:open) GROUP BY 1, 2")


def standings(session: Session, connected: Sequence[ShopName], now: datetime) -> list[Standing]:
    """Every shop that is connected or was ever read, by channel and shop."""
    marks = {(mark.channel, mark.shop): mark for mark in session.exec(select(PullMark))}
    pushes = _pushes(session, now)
    hours = _hours(session, now)
    gaps = {(channel, shop): int(lacking) for channel, shop, lacking in _rows(session, _GAPS, open=list(OPEN))}
    return [
        Standing(
            channel=name[0],
            shop=name[1],
            mark=marks.get(name),
            last=_last(session, *name),
            gap=gaps.get(name, 0),
            pushes=pushes.get(name, Pushes()),
            hours=tuple(hours.get((*name, hour), Hour(hour)) for hour in _the_hours(now)),
            now=now,
        )
        for name in sorted({*marks, *connected, *gaps})
    ]


@dataclass(frozen=True)
class Backfilled:
    """What reading a stretch of a channel again came to, over all its slices."""

    channel: str
    slices: int
    told: int
    held: int
    missing: int
    failed: int


_BACKFILLED = text("""
SELECT channel, count(*) AS slices, COALESCE(sum(told), 0) AS told, COALESCE(sum(held), 0) AS held,
  COALESCE(sum(missing_count), 0) AS missing, count(*) FILTER (WHERE state = 'failed') AS failed
FROM pull_window WHERE why = 'backfill' AND begun_at >= :begun AND since >= :since GROUP BY channel ORDER BY channel
""")


def backfilled(session: Session, since: datetime, begun: datetime) -> list[Backfilled]:
    """What backfills begun at or after `begun` have read of the time from `since` on, channel by channel."""
    return [Backfilled(*row) for row in _rows(session, _BACKFILLED, since=since, begun=begun)]


def _last(session: Session, channel: str, shop: str) -> PullWindow | None:
    statement = (
        select(PullWindow)
        .where(PullWindow.channel == channel, PullWindow.shop == shop, PullWindow.why == Why.PULL.value)
        .where(col(PullWindow.told).is_not(None))
        .order_by(col(PullWindow.until).desc())
        .limit(1)
    )
    return session.exec(statement).first()


def _pushes(session: Session, now: datetime) -> dict[ShopName, Pushes]:
    today = now.astimezone(TZ).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = _rows(session, _PUSHES, today=today)
    return {
        (row.channel, row.shop): Pushes(
            row.today, row.waiting, row.given_up, None if row.seconds is None else float(row.seconds)
        )
        for row in rows
    }


def _the_hours(now: datetime) -> list[datetime]:
    """The hours of the chart, the running one last."""
    running = now.replace(minute=0, second=0, microsecond=0)
    return [running - timedelta(hours=HOURS - 1 - back) for back in range(HOURS)]


def _hours(session: Session, now: datetime) -> dict[tuple[str, str, datetime], Hour]:
    rows = _rows(session, _HOURS, since=_the_hours(now)[0])
    return {(row.channel, row.shop, row.hour): Hour(row.hour, int(row.told), int(row.held)) for row in rows}


def _rows(session: Session, statement: TextClause, **parameters: object) -> Sequence[Row[Any]]:
    session.flush()
    return session.connection().execute(statement, parameters).all()
