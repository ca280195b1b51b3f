"""How reviews go: how many orders pass straight through, how long reviewers take, and who is asked for what.

Set-based: each table is one query. What is counted: cases by the time they were opened, orders by their ruling.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session


@dataclass(frozen=True)
class Times:
    """The cases of one group. Times in minutes from opened to decided, None while none is decided.

    `in_time`: of the decided ones, how many before they were due; `late`: decided late, or open and overdue.
    """

    name: str
    opened: int
    decided: int
    median: float | None
    p95: float | None
    in_time: int
    late: int
    reminded: int
    escalated: int


@dataclass(frozen=True)
class ReviewBoard:
    """The reviews of some days. `ruled` orders were decided by the matrix, `straight` of them without a person.

    `verdicts`: verdict → cases. `withdrawn` cases were overtaken by a cancellation or a change.
    """

    since: datetime
    until: datetime
    ruled: int
    straight: int
    all: Times
    open: int
    overdue: int
    withdrawn: int
    verdicts: dict[str, int]
    by_role: tuple[Times, ...]
    by_reason: tuple[Times, ...]
    by_reviewer: tuple[Times, ...]
    by_day: tuple[Times, ...]

    @property
    def straight_share(self) -> float | None:
        """How many of the orders passed straight through, 0 to 1; None without any."""
        return self.straight / self.ruled if self.ruled else None

    @property
    def in_time_share(self) -> float | None:
        """How many of the decided cases were decided in time, 0 to 1; None without any."""
        return self.all.in_time / self.all.decided if self.all.decided else None


_RULED = text("""
SELECT count(*) AS ruled, count(*) FILTER (WHERE jsonb_array_length(route) = 0) AS straight
FROM ruling WHERE at >= :since AND at < :until
""")

_STATES = text("""
SELECT count(*) FILTER (WHERE state = 'open') AS open,
  count(*) FILTER (WHERE state = 'open' AND due_at < :until) AS overdue,
  count(*) FILTER (WHERE state = 'withdrawn') AS withdrawn
FROM review_case WHERE opened_at >= :since AND opened_at < :until
""")

_VERDICTS = text("""
SELECT verdict, count(*) AS cases FROM review_case
WHERE opened_at >= :since AND opened_at < :until AND verdict IS NOT NULL
GROUP BY verdict ORDER BY cases DESC, verdict
""")

#: Reasons that differ in their first number are one: `金额 792 元,超过 500 元` is `金额 … 元,超过 500 元`. What could
#: be somebody's number is not shown wherever it is.
_REASON = (
    "regexp_replace(regexp_replace(reason.words, '[0-9]([ -]?[0-9]){6,}[0-9,.]*', '…', 'g'), '[0-9][0-9,.]*', '…')"
)

_TIMES = """
SELECT {name} AS name, count(*) AS opened, count(c.decided_at) AS decided,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM c.decided_at - c.opened_at) / 60)
    FILTER (WHERE c.decided_at IS NOT NULL) AS median,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM c.decided_at - c.opened_at) / 60)
    FILTER (WHERE c.decided_at IS NOT NULL) AS p95,
  count(*) FILTER (WHERE c.decided_at <= c.due_at) AS in_time,
  count(*) FILTER (WHERE coalesce(c.decided_at, :until) > c.due_at) AS late,
  count(c.reminded_at) AS reminded, count(c.escalated_at) AS escalated
FROM review_case c {joined}
WHERE c.opened_at >= :since AND c.opened_at < :until AND c.state <> 'withdrawn' {only}
{grouped}
"""
_MOST = "GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 20"
_ALL = text(_TIMES.format(name="''", joined="", only="", grouped=""))
_BY_ROLE = text(_TIMES.format(name="c.role", joined="", only="", grouped=_MOST))
_BY_REVIEWER = text(_TIMES.format(name="c.reviewer", joined="", only="AND c.decided_at IS NOT NULL", grouped=_MOST))
_BY_DAY = text(
    _TIMES.format(
        name="to_char(c.opened_at AT TIME ZONE 'Asia/Shanghai', 'MM-DD')", joined="", only="",
        grouped="GROUP BY 1 ORDER BY min(c.opened_at)",
    )
)  # fmt: skip
_BY_REASON = text(
    _TIMES.format(
        name=_REASON, joined="CROSS JOIN LATERAL jsonb_array_elements_text(c.reasons) AS reason(words)", only="",
        grouped=_MOST,
    )
)  # fmt: skip


def review_board(session: Session, since: datetime, until: datetime) -> ReviewBoard:
    """The reviews that were opened, and the orders that were decided, from `since` to `until` (not included)."""
    session.flush()
    values = {"since": since, "until": until}
    connection = session.connection()

    def times(statement: object) -> tuple[Times, ...]:
        return tuple(Times(*row) for row in connection.execute(statement, values))  # type: ignore[call-overload]

    ruled = connection.execute(_RULED, values).one()
    states = connection.execute(_STATES, values).one()
    (all_,) = times(_ALL)
    return ReviewBoard(
        since=since,
        until=until,
        ruled=ruled.ruled,
        straight=ruled.straight,
        all=all_,
        open=states.open,
        overdue=states.overdue,
        withdrawn=states.withdrawn,
        verdicts={row.verdict: row.cases for row in connection.execute(_VERDICTS, values)},
        by_role=times(_BY_ROLE),
        by_reason=times(_BY_REASON),
        by_reviewer=times(_BY_REVIEWER),
        by_day=times(_BY_DAY),
    )
