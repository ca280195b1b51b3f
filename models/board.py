"""The board: where every unfinished order is and what it waits for, for `orderloom status`, the artifact and staff;
and the list of orders that staff search, with masks only.

Rows and waiting reasons come from the partial index of unfinished fulfilments, counts of today from the timeline's
index on time, so that a million finished orders cost nothing. How many have finished ever is the planner's
estimate (`finished_about`), because counting them would read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from models.fulfilment import FINAL
from models.order_page import OrderPage as OrderPage
from models.order_page import order_page as order_page
from models.quality import plain
from models.timeline import EventKind
from models.wording import TZ

#: A fulfilment that is ready and that nobody has taken for this long is overdue: no lane seems to run.
OVERDUE_AFTER = timedelta(minutes=2)


@dataclass(frozen=True)
class Cell:
    """Unfinished fulfilments of one stage and one reason. `waiting_on` None: ready, or being worked on now.

    `oldest_seconds` is how long the oldest has been in its stage; `examples` are the numbers of the oldest three.
    """

    stage: str
    waiting_on: str | None
    count: int
    oldest_seconds: float
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Reason:
    """How many wait for the same thing in the same words."""

    waiting_on: str
    why: str
    count: int


@dataclass(frozen=True)
class Today:
    """What has happened since midnight in Shanghai, in rows of the timeline."""

    received: int
    shipped: int
    notified: int
    delivered: int
    cancelled: int


@dataclass(frozen=True)
class Board:
    """The state of the house at one moment. `channels` counts unfinished fulfilments by channel."""

    at: datetime
    cells: tuple[Cell, ...]
    channels: dict[str, int]
    today: Today
    waiting_reasons: tuple[Reason, ...]
    unfinished: int
    overdue: int
    reviews_open: int
    reviews_overdue: int
    holds_open: int
    quarantined: int
    finished_about: int


# the stages in the order of an order's life, and "nobody waits" before the reasons
_CELLS = text("""
WITH unfinished AS (
  SELECT f.stage, f.waiting_on, f.stage_since, f.order_id, f.id,
    row_number() OVER (PARTITION BY f.stage, f.waiting_on ORDER BY f.stage_since, f.id) AS place
  FROM fulfilment f WHERE f.ready_at IS NOT NULL)
SELECT u.stage, u.waiting_on, count(*) AS count, EXTRACT(epoch FROM :now - min(u.stage_since)) AS oldest,
  array_agg(o.order_no ORDER BY u.place) FILTER (WHERE u.place <= 3) AS examples
FROM unfinished u LEFT JOIN orders o ON o.id = u.order_id AND u.place <= 3
GROUP BY u.stage, u.waiting_on
ORDER BY array_position(ARRAY['received','reserved','approved','produced','shipped','delivered'], u.stage::text),
  u.waiting_on NULLS FIRST
""")

_CHANNELS = text("""
SELECT o.channel, count(*) AS count FROM fulfilment f JOIN orders o ON o.id = f.order_id
WHERE f.ready_at IS NOT NULL GROUP BY o.channel ORDER BY o.channel
""")

_REASONS = text("""
SELECT waiting_on, waiting_why AS why, count(*) AS count FROM fulfilment
WHERE ready_at IS NOT NULL AND waiting_on IS NOT NULL
GROUP BY waiting_on, waiting_why ORDER BY count(*) DESC, waiting_on, waiting_why LIMIT :limit
""")

_TODAY = text("SELECT kind, count(*) AS count FROM order_event WHERE at >= :since AND kind = ANY(:kinds) GROUP BY kind")

_COUNTS = text("""
SELECT
  (SELECT count(*) FROM fulfilment WHERE ready_at IS NOT NULL AND ready_at < :late
    AND (claim_until IS NULL OR claim_until < :late)) AS overdue,
  (SELECT count(*) FROM review_case WHERE state = 'open') AS reviews_open,
  (SELECT count(*) FROM review_case WHERE state = 'open' AND due_at < :now) AS reviews_overdue,
  (SELECT count(*) FROM hold WHERE released_at IS NULL) AS holds_open,
  (SELECT count(*) FROM quarantine WHERE resolved_at IS NULL) AS quarantined,
  (SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = 'fulfilment'::regclass) AS fulfilments_about
""")

_TODAY_KINDS = {
    "received": EventKind.RECEIVED,
    "shipped": EventKind.SHIPPED,
    "notified": EventKind.NOTIFIED,
    "delivered": EventKind.DELIVERED,
    "cancelled": EventKind.CANCELLED,
}


def matrix(session: Session, now: datetime, reasons: int = 10) -> Board:
    """The board at `now`, with the `reasons` most frequent waiting reasons."""
    cells = tuple(
        Cell(row.stage, row.waiting_on, row.count, float(row.oldest), tuple(row.examples))
        for row in _rows(session, _CELLS, now=now)
    )
    (counts,) = _rows(session, _COUNTS, now=now, late=now - OVERDUE_AFTER)
    unfinished = sum(cell.count for cell in cells)
    return Board(
        at=now,
        cells=cells,
        channels={row.channel: row.count for row in _rows(session, _CHANNELS)},
        today=_today(session, now),
        waiting_reasons=tuple(Reason(*row) for row in _rows(session, _REASONS, limit=reasons)),
        unfinished=unfinished,
        overdue=counts.overdue,
        reviews_open=counts.reviews_open,
        reviews_overdue=counts.reviews_overdue,
        holds_open=counts.holds_open,
        quarantined=counts.quarantined,
        finished_about=max(0, int(counts.fulfilments_about) - unfinished),
    )


def _today(session: Session, now: datetime) -> Today:
    midnight = now.astimezone(TZ).replace(hour=0, minute=0, second=0, microsecond=0)
    kinds = [kind.value for kind in _TODAY_KINDS.values()]
    counted = {row.kind: row.count for row in _rows(session, _TODAY, since=midnight, kinds=kinds)}
    return Today(**{name: counted.get(kind.value, 0) for name, kind in _TODAY_KINDS.items()})


def _rows(session: Session, statement: Any, **parameters: Any) -> list[Any]:
    session.flush()
    return list(session.connection().execute(statement, parameters))


#: The `waiting` filter for what waits for nothing: ready, or being worked on.
MOVING = "moving"


@dataclass(frozen=True)
class Listed:
    """One fulfilment in the list. Money in fen; name and phone are masks."""

    order_no: str
    number: int
    channel: str
    channel_order_name: str
    placed_at: datetime
    total_fen: int
    stage: str
    stage_since: datetime
    waiting_on: str | None
    waiting_why: str
    ready_at: datetime | None
    masked_name: str
    masked_phone: str
    city: str


_COLUMNS = """
SELECT o.order_no, f.number, o.channel, o.channel_order_name, o.placed_at, o.total_fen, f.stage, f.stage_since,
  f.waiting_on, f.waiting_why, f.ready_at, c.masked_name, c.masked_phone, c.city
FROM orders o JOIN fulfilment f ON f.order_id = o.id JOIN contact c ON c.id = o.contact_id
WHERE """

_FILTERS = {
    "stage": "f.stage = :stage",
    "waiting": "f.waiting_on = :waiting",
    "channel": "o.channel = :channel",
}

#: What a search compares with, the cheap look-ups first; the first one that finds something is the answer.
_SEARCHES = (
    "o.order_no = upper(:query)",
    "o.channel_order_id = :query",
    "o.channel_order_name = :query",
    "o.id IN (SELECT order_id FROM parcel WHERE waybill_no = :query)",
)


def recent_orders(
    session: Session,
    limit: int = 50,
    *,
    stage: str | None = None,
    waiting: str | None = None,
    channel: str | None = None,
    query: str = "",
) -> list[Listed]:
    """Up to `limit` fulfilments, newest order first. `waiting` is a `WaitingOn` value or `MOVING`.

    `query` is an order number, the channel's own id or name of an order, or a waybill number, whole.
    """
    wanted = {"stage": stage, "waiting": waiting, "channel": channel}
    filters = [_FILTERS[name] for name, value in wanted.items() if value and value != MOVING]
    if waiting or (stage and stage not in FINAL):
        filters.append("f.ready_at IS NOT NULL")  # only the unfinished wait: the small index serves
    if waiting == MOVING:
        filters.append("f.waiting_on IS NULL")
    query = query.strip()
    if not all(plain(value) for value in (query, *wanted.values()) if value):
        return []
    for search in _SEARCHES if query else ("TRUE",):
        found = _find(session, [search, *filters], {**wanted, "query": query, "limit": limit})
        if found:
            return found
    return []


def _find(session: Session, filters: list[str], parameters: dict[str, object]) -> list[Listed]:
    session.flush()
    statement = f"{_COLUMNS}{' AND '.join(filters)} ORDER BY o.placed_at DESC, o.id DESC, f.number LIMIT :limit"
    return [Listed(*row) for row in session.connection().execute(text(statement), parameters)]
