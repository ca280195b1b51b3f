"""What a shadow would have done in a stretch of time, beside what people really did. Nothing in it is personal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from models.fulfilment import Stage, WaitingOn
from models.intake import PlatformStatus
from models.shadow import ShadowBook

#: Who ships this much before the other is earlier; less is the same time (orders are read every 15 minutes).
SAME_TIME = timedelta(minutes=15)
#: What time alone settles: such an order has no outcome yet, and is no disagreement.
SETTLES_ITSELF = (
    None,
    WaitingOn.STOCK_CHECK.value,
    WaitingOn.PRODUCTION.value,
    WaitingOn.CARRIER.value,
    WaitingOn.RETRY.value,
    "merge",
)


class Verdict(StrEnum):
    """How what we would have done compares with what people did."""

    SAME = "same"  # both shipped, within `SAME_TIME`
    EARLIER = "earlier"  # both shipped, we before people
    LATER = "later"  # both shipped, people before us
    BOTH_ENDED = "both_ended"  # both cancelled or paid back
    AHEAD = "ahead"  # we would have shipped, people have not yet
    PENDING = "pending"  # nothing to compare yet
    WE_WAIT = "we_wait"  # people shipped; we would still wait for somebody
    WE_ENDED = "we_ended"  # we would have cancelled or paid back; people went on
    WE_SHIPPED = "we_shipped"  # we would have shipped what people cancelled


AGREED = (Verdict.SAME, Verdict.EARLIER, Verdict.LATER, Verdict.BOTH_ENDED)
DISAGREED = (Verdict.WE_WAIT, Verdict.WE_ENDED, Verdict.WE_SHIPPED)


@dataclass(frozen=True)
class Compared:
    """One order, both sides. `stage` and `waiting_on` are ours; `status` is the channel's; times are aware."""

    order_no: str
    channel: str
    stage: str
    waiting_on: str | None
    shipped_at: datetime | None
    status: str
    people_shipped_at: datetime | None
    verdict: Verdict

    @property
    def hours(self) -> float | None:
        """By how many hours we would have been earlier (negative: later); None unless both shipped."""
        if self.shipped_at is None or self.people_shipped_at is None:
            return None
        return (self.people_shipped_at - self.shipped_at).total_seconds() / 3600


@dataclass
class ShadowReport:
    """Counts of [since, until). Money in fen; keys are codes, to be worded by whoever shows them."""

    since: datetime
    until: datetime
    kept_since: datetime | None
    received: dict[str, int] = field(default_factory=dict)  # by channel
    quarantined: int = 0
    told: dict[str, int] = field(default_factory=dict)  # by kind of effect
    waybills: dict[tuple[str, str], int] = field(default_factory=dict)  # by (carrier, warehouse)
    messages: dict[str, int] = field(default_factory=dict)  # by node
    reviews: dict[str, tuple[int, int]] = field(default_factory=dict)  # by reason: (asked for, still open)
    batches: int = 0
    work_orders: int = 0
    pushes: dict[str, tuple[int, int]] = field(default_factory=dict)  # by channel: (changes, SKUs)
    refunds: int = 0
    refunded_fen: int = 0
    for_people: dict[str, int] = field(default_factory=dict)  # holds by who would have been asked
    orders: list[Compared] = field(default_factory=list)

    def count(self, *verdicts: Verdict) -> int:
        """How many orders compare so."""
        return sum(order.verdict in verdicts for order in self.orders)

    def median_hours(self, verdict: Verdict) -> float | None:
        """The median lead of those orders, in hours without sign; None without any."""
        hours = [abs(one.hours) for one in self.orders if one.verdict is verdict and one.hours is not None]
        return median(hours) if hours else None

    @property
    def agreement(self) -> float | None:
        """Orders on which both did the same ÷ orders that can be compared; None without any."""
        agreed, disagreed = self.count(*AGREED), self.count(*DISAGREED)
        return agreed / (agreed + disagreed) if agreed + disagreed else None

    @property
    def disagreements(self) -> list[Compared]:
        """The orders on which people did something else."""
        return [order for order in self.orders if order.verdict in DISAGREED]


def gather(session: Session, since: datetime, until: datetime) -> ShadowReport:
    """What would have been done, and how it compares, for orders received in [since, until)."""
    book = session.get(ShadowBook, 1)
    report = ShadowReport(since, until, book.since if book else None)
    period = {"since": since, "until": until}

    def rows(statement: str, **more: Any) -> Sequence[Any]:
        return session.connection().execute(text(statement), {**period, **more}).all()

    within = "{0} >= :since AND {0} < :until".format
    report.received = {
        row.channel: row.many
        for row in rows(f"SELECT channel, count(*) AS many FROM orders WHERE {within('received_at')} GROUP BY 1")
    }
    ((report.quarantined,),) = rows(f"SELECT count(*) FROM quarantine WHERE {within('first_at')}")
    on_paper = f"e.state = 'shadow' AND {within('e.settled_at')}"
    report.told = {
        row.kind: row.many for row in rows(f"SELECT kind, count(*) AS many FROM effect e WHERE {on_paper} GROUP BY 1")
    }
    report.waybills = {
        (row.carrier, row.warehouse): row.many
        for row in rows(
            "SELECT e.response ->> 'carrier' AS carrier, coalesce(f.warehouse, '') AS warehouse, count(*) AS many"
            f" FROM effect e LEFT JOIN fulfilment f ON f.id = e.fulfilment_id"
            f" WHERE e.kind = 'waybill' AND {on_paper} GROUP BY 1, 2"
        )
    }
    report.messages = {
        row.node: row.many
        for row in rows(
            "SELECT node, count(*) AS many FROM notification"
            f" WHERE state IN ('sent', 'delivered') AND {within('at')} GROUP BY 1"
        )
    }
    report.reviews = _reviews(
        rows(f"SELECT reasons, state = 'open' AS open FROM review_case WHERE {within('opened_at')}")
    )
    ((report.batches, report.work_orders),) = rows(
        "SELECT count(DISTINCT b.id), count(*) FROM work_order w JOIN production_batch b ON b.id = w.batch_id"
        f" JOIN effect e ON e.key = b.release_key WHERE {on_paper}"
    )
    report.pushes = {
        row.channel: (row.many, row.skus)
        for row in rows(
            "SELECT channel, count(*) AS many, count(DISTINCT sku) AS skus FROM shadow_push"
            f" WHERE {within('at')} GROUP BY 1"
        )
    }
    ((report.refunds, report.refunded_fen),) = rows(
        "SELECT count(*), coalesce(sum(r.amount_fen), 0)::bigint FROM refund r"
        f" JOIN effect e ON e.key = 'refund-' || r.refund_no WHERE {on_paper}"
    )
    report.for_people = {
        row.who or "-": row.many
        for row in rows(f"SELECT who, count(*) AS many FROM hold WHERE {within('placed_at')} GROUP BY 1")
    }
    report.orders = [compare(row) for row in rows(_BOTH_SIDES, stages=[stage.value for stage in Stage])]
    return report


def _reviews(cases: Sequence[Any]) -> dict[str, tuple[int, int]]:
    """Cases by reason, the sum of the single order left out: (asked for, still open)."""
    asked: Counter[str] = Counter()
    still: Counter[str] = Counter()
    for case in cases:
        for reason in {re.sub(r"^金额 [\d.]+ 元,", "金额", str(one)) for one in case.reasons}:
            asked[reason] += 1
            still[reason] += bool(case.open)
    return {reason: (count, still[reason]) for reason, count in asked.most_common()}


# a part that ended does not keep the order from having been shipped; of the others the slowest speaks for the order
_BOTH_SIDES = """
SELECT o.order_no, o.channel, o.platform_status AS status, f.shipped, f.ended, f.stage, f.waiting_on,
  CASE WHEN f.shipped THEN ours.at END AS shipped_at, people.at AS people_shipped_at
FROM orders o
JOIN LATERAL (
  SELECT bool_and(stage IN ('shipped', 'delivered', 'closed', 'cancelled', 'refunded'))
      AND bool_or(stage IN ('shipped', 'delivered', 'closed')) AS shipped,
    bool_and(stage IN ('cancelled', 'refunded')) AS ended,
    (array_agg(stage ORDER BY array_position(CAST(:stages AS text[]), CAST(stage AS text)), id))[1] AS stage,
    (array_agg(waiting_on ORDER BY array_position(CAST(:stages AS text[]), CAST(stage AS text)), id))[1] AS waiting_on
  FROM fulfilment WHERE order_id = o.id) f ON true
LEFT JOIN LATERAL (
  SELECT max(at) AS at FROM order_event WHERE order_id = o.id AND kind = 'shipped') ours ON true
LEFT JOIN LATERAL (
  SELECT min(CAST(detail ->> 'shipped_at' AS timestamptz)) AS at FROM order_event
  WHERE order_id = o.id AND kind = 'shipped_by_people') people ON true
WHERE o.received_at >= :since AND o.received_at < :until ORDER BY o.id
"""


def compare(row: Any) -> Compared:
    """Both sides of one order (a row of `_BOTH_SIDES`) and the verdict."""
    return Compared(
        order_no=row.order_no,
        channel=row.channel,
        stage=row.stage,
        waiting_on=row.waiting_on,
        shipped_at=row.shipped_at,
        status=row.status,
        people_shipped_at=row.people_shipped_at,
        verdict=_verdict(row),
    )


def _verdict(row: Any) -> Verdict:
    if row.status in (PlatformStatus.CANCELLED.value, PlatformStatus.REFUNDED.value):
        if row.ended:
            return Verdict.BOTH_ENDED
        return Verdict.WE_SHIPPED if row.shipped and row.people_shipped_at is None else Verdict.PENDING
    if row.people_shipped_at is not None:
        if row.ended:
            return Verdict.WE_ENDED
        if not row.shipped:
            return Verdict.PENDING if row.waiting_on in SETTLES_ITSELF else Verdict.WE_WAIT
        lead = row.people_shipped_at - row.shipped_at
        if abs(lead) <= SAME_TIME:
            return Verdict.SAME
        return Verdict.EARLIER if lead > timedelta(0) else Verdict.LATER
    if row.ended:
        return Verdict.WE_ENDED
    return Verdict.AHEAD if row.shipped else Verdict.PENDING
