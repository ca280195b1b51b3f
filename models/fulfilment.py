"""A fulfilment is what moves: one warehouse's part of an order, with its stage, its claim and what it waits for.

Everything here is one conditional statement, rows locked in the order of their ids, so every rule is safe to run
twice and at once, and no two of them wait for each other in a circle:

- **claim**: take ready fulfilments for a while; the `fence` rises, and only its holder may change the row;
- **hold_on**: the row, locked, if the claim still holds; every transition goes through it;
- **park**: stop working on it and say what it waits for and when it is looked at again, unless an event came;
- **wake**: an event happened; `wake_seq` rises and the fulfilment is ready now;
- **interrupt**: an event that the worker in the middle of it must not survive; the fence rises too.

Times may be given as `now`; without one the database's clock is used, which all machines share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Session, SQLModel, select

from models.table import big, key, moment, reference

#: The channel that lanes listen on.
NOTIFY_CHANNEL = "fulfilment_ready"


class Stage(StrEnum):
    """How far a fulfilment has come."""

    RECEIVED = "received"
    RESERVED = "reserved"
    APPROVED = "approved"
    PRODUCED = "produced"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"

    def reached(self, other: Stage) -> bool:
        """Whether this stage is `other` or later on the way."""
        return _PLACE[self] >= _PLACE[other]

    @property
    def final(self) -> bool:
        """Whether nothing will happen any more."""
        return self in FINAL


_PLACE = {stage: place for place, stage in enumerate(Stage)}
FINAL = (Stage.CLOSED, Stage.CANCELLED, Stage.REFUNDED)


class WaitingOn(StrEnum):
    """Why a fulfilment is not moving."""

    PAYMENT = "payment"
    STOCK_CHECK = "stock_check"
    REVIEW = "review"
    PRODUCTION = "production"
    CARRIER = "carrier"
    CUSTOMER = "customer"
    BACKORDER = "backorder"
    MERGE = "merge"
    REFUND = "refund"
    RETRY = "retry"
    PERSON = "person"


class ClaimLost(Exception):
    """Somebody else holds this fulfilment now, or an event interrupted us: nothing of ours is committed."""


class Fulfilment(SQLModel, table=True):
    """One warehouse's part of an order. `ready_at` is null only in a final stage."""

    __tablename__ = "fulfilment"
    __table_args__ = (
        UniqueConstraint("order_id", "number", name="fulfilment_numbers_of_order"),
        CheckConstraint(
            "(stage IN ('closed', 'cancelled', 'refunded')) = (ready_at IS NULL)", name="unfinished_has_ready_at"
        ),
        CheckConstraint("(claimed_by IS NULL) = (claim_until IS NULL)", name="claim_has_an_end"),
        Index("fulfilment_ready", "priority", "ready_at", postgresql_where=text("ready_at IS NOT NULL")),
        Index("fulfilment_due", "ready_at", postgresql_where=text("ready_at IS NOT NULL")),
        Index("fulfilment_claimed", "claimed_by", postgresql_where=text("claimed_by IS NOT NULL")),
        Index("fulfilment_unfinished", "stage", "waiting_on", postgresql_where=text("ready_at IS NOT NULL")),
    )

    id: int | None = key()
    order_id: int = reference("orders.id")
    number: int = 1
    warehouse: str = ""
    stage: str = Stage.RECEIVED.value
    stage_since: datetime = moment()
    waiting_on: str | None = None
    waiting_why: str = ""
    priority: int = 100
    ready_at: datetime | None = moment(nullable=True)
    wake_seq: int = big()
    fence: int = big()
    claimed_by: str | None = None
    claim_until: datetime | None = moment(nullable=True)
    attempts: int = 0


class FulfilmentLine(SQLModel, table=True):
    """Which lines, and how many of each, this fulfilment carries; with the recipe once it is matched."""

    __tablename__ = "fulfilment_line"
    __table_args__ = (CheckConstraint("quantity > 0", name="fulfilment_quantity_positive"),)

    id: int | None = key()
    fulfilment_id: int = reference("fulfilment.id")
    order_line_id: int = reference("order_line.id")
    quantity: int
    recipe: str | None = None


@dataclass
class Claim:
    """The right to work on one fulfilment. `stage` follows the row as its holder moves it on."""

    fulfilment_id: int
    order_id: int
    order_no: str
    number: int
    channel: str
    lane: str
    fence: int
    wake_seq: int
    stage: Stage
    attempts: int = 0
    ended_because: str = ""  # why it ended before it shipped, for whoever reads how the work went

    @property
    def fulfilment_no(self) -> str:
        """The fulfilment's own number, e.g. `SH-1001-1`: the root of every key told to the outside."""
        return f"{self.order_no}-{self.number}"


_CLAIM = text("""
WITH picked AS MATERIALIZED (
  SELECT id FROM fulfilment
  WHERE ready_at <= COALESCE(:now, clock_timestamp())
    AND (claim_until IS NULL OR claim_until <= COALESCE(:now, clock_timestamp()))
  ORDER BY priority, ready_at LIMIT :limit FOR UPDATE SKIP LOCKED)
UPDATE fulfilment f SET claimed_by = :lane, fence = fence + 1,
  claim_until = COALESCE(:now, clock_timestamp()) + make_interval(secs => :seconds)
FROM picked, orders o WHERE f.id = picked.id AND o.id = f.order_id
RETURNING f.id, f.order_id, o.order_no, f.number, o.channel, f.fence, f.wake_seq, f.stage, f.attempts
""")

# ready_at falls too: if this holder dies, the fulfilment is ready when its claim ends, not when the old wait does
_CLAIM_ORDER = text("""
WITH picked AS MATERIALIZED (
  SELECT id FROM fulfilment WHERE order_id = :order AND ready_at IS NOT NULL
    AND (claim_until IS NULL OR claim_until <= COALESCE(:now, clock_timestamp()))
  ORDER BY id FOR UPDATE)
UPDATE fulfilment f SET claimed_by = :lane, fence = fence + 1,
  ready_at = LEAST(ready_at, COALESCE(:now, clock_timestamp())),
  claim_until = COALESCE(:now, clock_timestamp()) + make_interval(secs => :seconds)
FROM picked, orders o WHERE f.id = picked.id AND o.id = f.order_id
RETURNING f.id, f.order_id, o.order_no, f.number, o.channel, f.fence, f.wake_seq, f.stage, f.attempts
""")


def claim_ready(session: Session, lane: str, limit: int, seconds: float, now: datetime | None = None) -> list[Claim]:
    """Claim up to `limit` ready fulfilments for `seconds`, most urgent first. Never waits for another lane."""
    rows = session.connection().execute(_CLAIM, {"now": now, "lane": lane, "limit": limit, "seconds": seconds})
    return [_claim(lane, row) for row in rows]


def claim_order(session: Session, order_id: int, lane: str, seconds: float, now: datetime | None = None) -> list[Claim]:
    """Claim every unfinished fulfilment of one order that nobody holds, ready or not (a person asked for it)."""
    rows = session.connection().execute(_CLAIM_ORDER, {"now": now, "lane": lane, "order": order_id, "seconds": seconds})
    return [_claim(lane, row) for row in rows]


def _claim(lane: str, row: Sequence) -> Claim:
    id, order_id, order_no, number, channel, fence, wake_seq, stage, attempts = row
    return Claim(id, order_id, order_no, number, channel, lane, fence, wake_seq, Stage(stage), attempts)


def hold_on(session: Session, claim: Claim) -> Fulfilment:
    """The claimed row, locked until the transaction ends, with the other parts of its order (`order.lock_order`).

    Raises `ClaimLost` when the fence has risen.
    """
    statement = (
        select(Fulfilment)
        .where(Fulfilment.order_id == claim.order_id)
        .order_by(Fulfilment.id)  # type: ignore[arg-type]
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = next((part for part in session.exec(statement).all() if part.id == claim.fulfilment_id), None)
    if row is None or row.fence != claim.fence or row.claimed_by != claim.lane:
        raise ClaimLost(f"{claim.fulfilment_no}: fence {claim.fence} is no longer ours")
    return row


def advance(session: Session, claim: Claim, to: Stage, now: datetime) -> Fulfilment:
    """Move on to a stage, under the claim's fence; a final stage ends the claim. Raises `ClaimLost`."""
    row = hold_on(session, claim)
    row.stage, row.stage_since = to.value, now
    row.waiting_on, row.waiting_why, row.attempts = None, "", 0
    if to.final:
        row.ready_at, row.claimed_by, row.claim_until = None, None, None
    session.add(row)
    session.flush()
    claim.stage, claim.attempts = to, 0
    return row


_PARK = text("""
UPDATE fulfilment SET waiting_on = :on, waiting_why = :why, attempts = :attempts,
  claimed_by = NULL, claim_until = NULL,
  ready_at = CASE WHEN wake_seq = :seen THEN CAST(:look_again AS timestamptz)
                  ELSE COALESCE(:now, clock_timestamp()) END
WHERE id = :id AND fence = :fence AND claimed_by = :lane
RETURNING wake_seq
""")


def park(
    session: Session,
    claim: Claim,
    on: WaitingOn,
    why: str,
    look_again: datetime,
    *,
    attempts: int = 0,
    now: datetime | None = None,
) -> bool:
    """Let go of the fulfilment until `look_again` or the next event; False when an event came in between.

    An event since the claim (`wake_seq` has risen) makes it ready at once. Raises `ClaimLost`.
    """
    row = (
        session.connection()
        .execute(
            _PARK,
            {
                "on": on.value,
                "why": why[:500],
                "attempts": attempts,
                "seen": claim.wake_seq,
                "look_again": look_again,
                "now": now,
                "id": claim.fulfilment_id,
                "fence": claim.fence,
                "lane": claim.lane,
            },
        )
        .first()
    )
    if row is None:
        raise ClaimLost(f"{claim.fulfilment_no}: fence {claim.fence} is no longer ours")
    if row.wake_seq != claim.wake_seq:
        announce(session)
        return False
    return True


def announce(session: Session) -> None:
    """Tell the lanes that something is ready, when this transaction commits (PostgreSQL folds repeats)."""
    session.connection().execute(text("SELECT pg_notify(:channel, '')"), {"channel": NOTIFY_CHANNEL})


_WAKE = text("""
WITH these AS MATERIALIZED (
  SELECT id FROM fulfilment WHERE id = ANY(:ids) AND ready_at IS NOT NULL ORDER BY id FOR UPDATE)
UPDATE fulfilment f SET wake_seq = wake_seq + 1,
  ready_at = LEAST(ready_at, COALESCE(:now, clock_timestamp())),
  fence = fence + :rise,
  claimed_by = CASE WHEN :rise = 1 THEN NULL ELSE claimed_by END,
  claim_until = CASE WHEN :rise = 1 THEN NULL ELSE claim_until END
FROM these WHERE f.id = these.id
""")


def wake(session: Session, fulfilment_ids: Sequence[int], now: datetime | None = None) -> int:
    """An event happened for these fulfilments: they are ready now. Returns how many were not finished."""
    return _raise(session, fulfilment_ids, 0, now)


def interrupt(session: Session, fulfilment_ids: Sequence[int], now: datetime | None = None) -> int:
    """Like `wake`, and whoever works on them loses the claim (cancellation, refund, new address)."""
    return _raise(session, fulfilment_ids, 1, now)


def _raise(session: Session, ids: Sequence[int], rise: int, now: datetime | None) -> int:
    session.flush()
    count = session.connection().execute(_WAKE, {"ids": list(ids), "rise": rise, "now": now}).rowcount
    if count:
        announce(session)
    return count


_RENEW = text("""
WITH mine AS MATERIALIZED (
  SELECT f.id FROM fulfilment f JOIN unnest(CAST(:ids AS bigint[]), CAST(:fences AS bigint[])) AS m(id, fence)
    ON f.id = m.id AND f.fence = m.fence
  WHERE f.claimed_by IS NOT NULL ORDER BY f.id FOR UPDATE OF f)
UPDATE fulfilment f SET claim_until = COALESCE(:now, clock_timestamp()) + make_interval(secs => :seconds)
FROM mine WHERE f.id = mine.id
""")


def renew(session: Session, claims: Sequence[Claim], seconds: float, now: datetime | None = None) -> int:
    """Prolong claims that are still ours; returns how many were."""
    mine = {
        "now": now,
        "seconds": seconds,
        "ids": [c.fulfilment_id for c in claims],
        "fences": [c.fence for c in claims],
    }
    return session.connection().execute(_RENEW, mine).rowcount


_RELEASE = text("""
WITH held AS MATERIALIZED (SELECT id FROM fulfilment WHERE claimed_by = :lane ORDER BY id FOR UPDATE)
UPDATE fulfilment f SET fence = fence + 1, claimed_by = NULL, claim_until = NULL FROM held WHERE f.id = held.id
""")


def release_claims(session: Session, lane: str) -> int:
    """Give back everything that a lane held, once that lane is known to be dead."""
    count = session.connection().execute(_RELEASE, {"lane": lane}).rowcount
    if count:
        announce(session)
    return count


_NEXT_READY = text("""
SELECT EXTRACT(epoch FROM LEAST(
  (SELECT min(ready_at) FROM fulfilment WHERE ready_at IS NOT NULL AND claimed_by IS NULL),
  (SELECT min(GREATEST(ready_at, claim_until)) FROM fulfilment WHERE claimed_by IS NOT NULL))
  - COALESCE(:now, clock_timestamp())) AS seconds
""")


def next_ready_in(session: Session, now: datetime | None = None) -> float | None:
    """Seconds until the next fulfilment becomes ready or its claim expires; 0 if one is; None without any."""
    row = session.connection().execute(_NEXT_READY, {"now": now}).one()
    return None if row.seconds is None else max(0.0, float(row.seconds))


def fulfilments_of(session: Session, order_id: int) -> list[Fulfilment]:
    """The order's fulfilments by number."""
    statement = select(Fulfilment).where(Fulfilment.order_id == order_id).order_by(Fulfilment.number)  # type: ignore[arg-type]
    return list(session.exec(statement.execution_options(populate_existing=True)))


def carried_by(session: Session, fulfilment_id: int) -> list[FulfilmentLine]:
    """The fulfilment's lines."""
    return list(session.exec(select(FulfilmentLine).where(FulfilmentLine.fulfilment_id == fulfilment_id)))
