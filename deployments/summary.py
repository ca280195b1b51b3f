"""How far the orders of a demo have come, and the summary that it ends with.

Only orders taken in after the demo began count (`Baseline`), so that a demo on old data tells its own story.
`orders_per_second` is shipped orders over the time from the first order taken in to the last one shipped; the
customers' rhythm and the factory's time are in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from deployments.completeness import ShopProof, as_document
from models.explain import wait_of
from models.fulfilment import Stage, WaitingOn

#: Of what the sandbox counts, only messages to staff may arrive twice (nobody can hold WeCom to once).
AT_LEAST_ONCE = {("wecom", "send")}
#: What an order may wait for that time alone will not settle.
FOR_SOMEBODY = (WaitingOn.REVIEW, WaitingOn.CUSTOMER, WaitingOn.PERSON, WaitingOn.BACKORDER, WaitingOn.REFUND)
#: Orders that may wait at the end of a demo.
MAY_WAIT = 5


@dataclass(frozen=True)
class Baseline:
    """Where a demo began: the newest order before it, what was placed and what had taken effect twice."""

    last_order_id: int
    placed: int
    twice: int


@dataclass(frozen=True)
class Progress:
    """The demo's orders now. An order counts under the stage of its last part, and as shipped when all of it is."""

    ingested: int
    by_channel: dict[str, int]
    by_stage: dict[str, int]
    waiting: dict[str, int]  # not shipped, by what for; `moving` for nothing
    shipped: int
    notified: int
    ended: int  # cancelled or compensated, and paid back
    first: str | None  # the first order's number
    link: str | None  # the token of its tracking page

    @property
    def for_somebody(self) -> int:
        """How many wait for a person or goods."""
        return sum(self.waiting.get(reason.value, 0) for reason in FOR_SOMEBODY)

    @property
    def settled(self) -> bool:
        """Whether everything has been shipped and told, but for what waits for somebody."""
        return self.shipped == self.notified and self.ingested == self.shipped + self.ended + self.for_somebody


_EACH = """
WITH each AS (
  SELECT o.id, o.order_no, o.channel,
    bool_and(f.stage IN ('shipped', 'delivered', 'closed')) AS shipped,
    bool_and(n.id IS NOT NULL) AS notified,
    bool_and(f.stage IN ('cancelled', 'refunded')) AS ended,
    min(array_position(CAST(:stages AS text[]), CAST(f.stage AS text))) AS place,
    min(f.waiting_on) FILTER (WHERE f.stage NOT IN ('shipped', 'delivered', 'closed')) AS waiting_on,
    min(f.waiting_why) FILTER (WHERE f.stage NOT IN ('shipped', 'delivered', 'closed')) AS why
  FROM orders o JOIN fulfilment f ON f.order_id = o.id
  LEFT JOIN notification n ON n.fulfilment_id = f.id AND n.node = 'shipped' AND n.state IN ('sent', 'delivered')
  WHERE o.id > :last GROUP BY o.id)
"""
_COUNTS = text(
    _EACH
    + "SELECT channel, place, shipped, notified, ended, waiting_on, count(*) AS many FROM each"
    + " GROUP BY 1, 2, 3, 4, 5, 6"
)
_WAITING = text(
    _EACH + "SELECT order_no, place, shipped, waiting_on, why FROM each"
    " WHERE NOT (shipped AND notified) AND NOT ended ORDER BY id"
)
_FIRST = text("""
SELECT o.order_no, p.token FROM orders o LEFT JOIN parcel p ON p.order_id = o.id
WHERE o.id > :last ORDER BY p.id NULLS LAST, o.id LIMIT 1
""")
_SPAN = text("""
SELECT min(o.received_at) AS first, max(e.at) AS last FROM orders o
LEFT JOIN order_event e ON e.order_id = o.id AND e.kind = 'shipped' WHERE o.id > :last
""")
_TWICE = text("""
SELECT count(*) FROM (SELECT 1 FROM orders WHERE id > :last GROUP BY channel, shop, channel_order_id
HAVING count(*) > 1) AS twice
""")
_STAGES = [stage.value for stage in Stage]


def last_order_id(session: Session) -> int:
    """The newest order's id; 0 in an empty book."""
    return int(session.connection().execute(text("SELECT COALESCE(max(id), 0) FROM orders")).scalar_one())


def keys_twice(counts: Sequence[Mapping[str, Any]]) -> int:
    """Of the sandbox's counts: keys that took effect more than once where once is promised."""
    return sum(row["keys_twice"] for row in counts if (row["platform"], row["operation"]) not in AT_LEAST_ONCE)


def read_progress(session: Session, since: Baseline) -> Progress:
    """How far the orders after `since` have come."""
    of_demo = {"last": since.last_order_id, "stages": _STAGES}
    rows = session.connection().execute(_COUNTS, of_demo).all()
    first = session.connection().execute(_FIRST, {"last": since.last_order_id}).first()
    by_channel: dict[str, int] = {}
    by_stage: dict[str, int] = {}
    waiting: dict[str, int] = {}
    for row in rows:
        _add(by_channel, row.channel, row.many)
        _add(by_stage, _STAGES[row.place - 1], row.many)
        if not row.shipped and not row.ended:
            _add(waiting, row.waiting_on or "moving", row.many)
    return Progress(
        ingested=sum(row.many for row in rows),
        by_channel=by_channel,
        by_stage={stage: by_stage[stage] for stage in _STAGES if stage in by_stage},
        waiting=waiting,
        shipped=sum(row.many for row in rows if row.shipped),
        notified=sum(row.many for row in rows if row.notified),
        ended=sum(row.many for row in rows if row.ended),
        first=first.order_no if first else None,
        link=first.token if first else None,
    )


def _add(counts: dict[str, int], name: str, more: int) -> None:
    counts[name] = counts.get(name, 0) + more


def summarise(
    session: Session,
    since: Baseline,
    placed: int,
    twice: int,
    seconds: float,
    shops: Sequence[ShopProof],
    language: str = "zh",
) -> dict[str, Any]:
    """The summary as JSON. `twice` is what the sandbox counts now; `seconds` since the demo began."""
    progress = read_progress(session, since)
    of_demo = {"last": since.last_order_id, "stages": _STAGES}
    waiting = [_waiting(row, language) for row in session.connection().execute(_WAITING, of_demo)]
    span = session.connection().execute(_SPAN, {"last": since.last_order_id}).one()
    doubled = session.connection().execute(_TWICE, {"last": since.last_order_id}).scalar_one()
    reasons: dict[str, int] = {}
    for order in waiting:
        _add(reasons, order["reason"], 1)
    return {
        "orders": placed - since.placed,
        "ingested": progress.ingested,
        "by_channel": progress.by_channel,
        "by_stage": progress.by_stage,
        "waiting": reasons,
        "waiting_orders": waiting,
        "shipped": progress.shipped,
        "notified": progress.notified,
        "paid_back": progress.ended,
        "duplicates": twice - since.twice + int(doubled),
        "completeness": as_document(shops),
        "seconds": round(seconds, 1),
        "orders_per_second": _rate(progress.shipped, span.first, span.last),
    }


def _waiting(row: Any, language: str) -> dict[str, str]:
    """One order that is not done: why, and what a newcomer can do about it."""
    place = 0 if language == "zh" else 1
    if row.shipped:
        reason, move = (
            "notification",
            ("短信发不出去:见订单页,电话告知后解除", "the text message failed: see its page")[place],
        )
    elif row.waiting_on is None:
        reason, move = "moving", ("正在处理,稍候", "being worked on")[place]
    else:
        reason = row.waiting_on
        move = wait_of(Stage(_STAGES[row.place - 1]), WaitingOn(row.waiting_on)).move[place]
    return {
        "order_no": row.order_no,
        "reason": reason,
        "why": row.why or "",
        "what_to_do": move.format(order_no=row.order_no),
    }


def _rate(shipped: int, first: datetime | None, last: datetime | None) -> float:
    seconds = (last - first).total_seconds() if first and last else 0.0
    return round(shipped / seconds, 2) if seconds > 0 else 0.0


def is_good(summary: Mapping[str, Any], orders: int) -> bool:
    """Whether a demo of so many orders did what it promises.

    All are in and the platforms' own lists prove it, nothing happened twice, few wait and each for a reason.
    """
    wait = summary["waiting_orders"]
    proven = all(shop["proven"] for shop in summary["completeness"].values())
    named = all(order["reason"] in {reason.value for reason in FOR_SOMEBODY} for order in wait)
    done = min(summary["shipped"], summary["notified"])
    return (
        summary["ingested"] >= orders
        and proven
        and summary["duplicates"] == 0
        and len(wait) <= MAY_WAIT
        and named
        and done + summary["paid_back"] + len(wait) >= summary["ingested"]
    )
