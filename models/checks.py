"""What must be true of the whole database at any moment: one list of checks, each a set-based query.

`orderloom check` runs them. A query returns the rows that break its rule, so none is good news. An `error` is
a rule that no sequence of events may break; a `warning` is something that only says that nobody is working.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import text
from sqlmodel import Session

from models.explain import wait_of
from models.fulfilment import Stage, WaitingOn
from models.invariants import INVARIANTS

#: Ready for longer than this with nobody working on it: overdue.
OVERDUE_AFTER = timedelta(minutes=10)
#: An attempt whose lease ended this long ago belongs to nobody any more.
ABANDONED_AFTER = timedelta(hours=1)
#: How many offending rows a violation carries; `count` says how many there are.
ROWS = 50


@dataclass(frozen=True)
class Violation:
    """One broken rule: its code, a sentence for the operator, and up to `ROWS` of the `count` offending rows.

    `mended`: `models.repair` knows how.
    """

    code: str
    severity: Literal["error", "warning"]
    sentence: str
    count: int
    rows: list[dict[str, Any]]
    mended: bool = False


@dataclass(frozen=True)
class Waker:
    """What wakes the unfinished fulfilments of one stage and reason, and by when the last of them at the latest."""

    stage: str
    waiting_on: str | None
    count: int
    wakes: str
    first: datetime
    last: datetime


def check(session: Session, now: datetime, overdue_after: timedelta = OVERDUE_AFTER) -> list[Violation]:
    """Every rule that the database breaks at `now`, in the order of the list; empty when all is well."""
    session.flush()
    times = {"now": now, "overdue": now - overdue_after, "abandoned": now - ABANDONED_AFTER}
    found = []
    for rule in INVARIANTS:
        statement = text(f"SELECT *, count(*) OVER () AS all_of_them FROM ({rule.query}) AS broken LIMIT {ROWS}")
        used = {name: value for name, value in times.items() if f":{name}" in rule.query}
        rows = [dict(row._mapping) for row in session.connection().execute(statement, used)]
        if rows:
            (count,) = {row.pop("all_of_them") for row in rows}
            sentence = rule.sentence.format(count=count)
            found.append(Violation(rule.code, rule.severity, sentence, count, rows, rule.mended))
    return found


def wakers(session: Session, now: datetime, language: str = "zh") -> list[Waker]:
    """For every unfinished fulfilment, grouped by stage and reason: what wakes it, and by when at the latest."""
    session.flush()
    rows = session.connection().execute(_WAKERS, {"now": now})
    place = 0 if language == "zh" else 1
    return [
        Waker(
            stage=row.stage,
            waiting_on=row.waiting_on,
            count=row.waiting,
            wakes=(
                wait_of(Stage(row.stage), WaitingOn(row.waiting_on)).wakes[place]
                if row.waiting_on
                else ("订单通道", "the lane")[place]
            ),
            first=row.first,
            last=row.last,
        )
        for row in rows
    ]


# a live claim ends by itself: whoever holds it, the fulfilment is looked at again by then
_WAKERS = text("""
SELECT stage, waiting_on, count(*) AS waiting, min(at) AS first, max(at) AS last FROM (
  SELECT stage, waiting_on, greatest(ready_at, CASE WHEN claim_until > :now THEN claim_until END) AS at
  FROM fulfilment WHERE ready_at IS NOT NULL) AS unfinished
GROUP BY stage, waiting_on ORDER BY stage, waiting_on NULLS FIRST
""")
