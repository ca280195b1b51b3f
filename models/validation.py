"""What judging whole batches of orders came to: passed, bad data, an empty batch, or a judge that is itself broken.

These are four different outcomes and stay so: only `passed` says that orders were looked at and all were sound.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field, Session, SQLModel, col, select

from models.quality import Fault
from models.table import document, key, link, moment, words

#: The longest error that a row keeps.
ERROR_LIMIT = 1_000


class Outcome(StrEnum):
    """What judging a batch came to."""

    PASSED = "passed"
    BAD_DATA = "bad_data"  # some orders break rules; the others are sound
    EMPTY = "empty"  # nothing to judge, which proves nothing
    BROKEN = "broken"  # the rules could not be read, or their two readings differ: nobody knows


class Source(StrEnum):
    """How a batch came in."""

    PULL = "pull"
    BACKFILL = "backfill"
    SPREADSHEET = "spreadsheet"
    WEBHOOK = "webhook"


@dataclass(frozen=True)
class RuleResult:
    """How one rule fared: rows that had a value to judge, and those of them that broke it."""

    code: str
    about: str  # "order" or "line"
    column: str
    evaluated: int
    unexpected: int


@dataclass(frozen=True)
class Verdict:
    """What judging a batch came to. `failed` holds the faults by place in the batch, unreadable orders included.

    `error` says why the judge is broken, by rule and place, without a value of anybody's order.
    """

    outcome: Outcome
    checked_orders: int = 0
    checked_lines: int = 0
    failed: dict[int, list[Fault]] = field(default_factory=dict)
    results: list[RuleResult] = field(default_factory=list)
    error: str = ""


class ValidationRun(SQLModel, table=True):
    """One batch that was judged. `failed` counts orders; `results` is a list of `RuleResult`s."""

    __tablename__ = "validation_run"
    __table_args__ = (Index("validation_run_latest", "channel", "shop", "id"), Index("validation_run_at", "at"))

    id: int | None = key()
    at: datetime = moment()
    channel: str
    shop: str
    window_id: int | None = link()
    source: str
    outcome: str
    orders: int
    lines: int
    failed: int
    results: list[Any] = Field(default_factory=list, sa_type=document().sa_type, nullable=False)
    error: str = words()


@dataclass(frozen=True)
class RuleCount:
    """How many rows broke a rule, in how many batches."""

    channel: str
    code: str
    column: str
    rows: int
    batches: int


def record(
    session: Session,
    verdict: Verdict,
    channel: str,
    shop: str,
    source: Source,
    now: datetime,
    window_id: int | None = None,
) -> ValidationRun:
    """Keep what judging a batch of this shop came to."""
    run = ValidationRun(
        at=now,
        channel=channel,
        shop=shop,
        window_id=window_id,
        source=source.value,
        outcome=verdict.outcome.value,
        orders=verdict.checked_orders,
        lines=verdict.checked_lines,
        failed=len(verdict.failed),
        results=[asdict(result) for result in verdict.results],
        error=verdict.error[:ERROR_LIMIT],
    )
    session.add(run)
    session.flush()
    return run


def forget(session: Session, before: datetime) -> int:
    """Delete what judging batches before a moment came to; how many."""
    statement = text("DELETE FROM validation_run WHERE at < :before")
    return session.connection().execute(statement, {"before": before}).rowcount


def recent(session: Session, limit: int = 50) -> list[ValidationRun]:
    """The latest batches, newest first."""
    return list(session.exec(select(ValidationRun).order_by(col(ValidationRun.id).desc()).limit(limit)))


def latest(session: Session, since: datetime, of_each: int) -> list[ValidationRun]:
    """The latest `of_each` batches of every shop since a moment, newest first within a shop."""
    statement = text(
        "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY channel, shop ORDER BY id DESC) AS place"
        " FROM validation_run WHERE at >= :since) AS placed WHERE place <= :of_each"
    )
    session.flush()
    ids = session.connection().execute(statement, {"since": since, "of_each": of_each}).scalars().all()
    order = (ValidationRun.channel, ValidationRun.shop, col(ValidationRun.id).desc())
    return list(session.exec(select(ValidationRun).where(col(ValidationRun.id).in_(ids)).order_by(*order)))


def rule_counts(session: Session, since: datetime) -> list[RuleCount]:
    """Which rules were broken since a moment and how often, the most often broken first."""
    statement = text(
        "SELECT run.channel, rule->>'code' AS code, rule->>'column' AS column, sum((rule->>'unexpected')::bigint)"
        " AS rows, count(*) AS batches FROM validation_run AS run CROSS JOIN jsonb_array_elements(run.results) AS rule"
        " WHERE run.at >= :since AND (rule->>'unexpected')::bigint > 0"
        " GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3"
    )
    session.flush()
    return [RuleCount(*row) for row in session.connection().execute(statement, {"since": since})]
