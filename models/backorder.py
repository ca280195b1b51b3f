"""Backorders: who waits for goods, in the order in which they paid, and until when they were told to wait.

Goods that arrive are given out by `models/allocation.feed`, first paid first served; here is the queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlalchemy import Date, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, Session, SQLModel, col, select

from models.database import afterwards
from models.fulfilment import wake
from models.table import big, key, moment, reference, words
from models.wording import TZ

#: From goods in the warehouse to goods at the customer's door: what is added to a date of arrival.
PACKING = timedelta(days=2)


class BackorderState(StrEnum):
    """What became of somebody who waits."""

    WAITING = "waiting"
    FED = "fed"
    ENDED = "ended"  # cancelled or compensated meanwhile


class Backorder(SQLModel, table=True):
    """One fulfilment that waits for these SKUs; `expected_on` is the date its customer is told."""

    __tablename__ = "backorder"
    __table_args__ = (
        Index("one_backorder_waiting", "fulfilment_id", unique=True, postgresql_where=text("state = 'waiting'")),
        Index("backorder_queue", "skus", postgresql_using="gin", postgresql_where=text("state = 'waiting'")),
    )

    id: int | None = key()
    fulfilment_id: int = reference("fulfilment.id")
    order_id: int = reference("orders.id")
    skus: list[str] = Field(default_factory=list, sa_type=ARRAY(Text), nullable=False)
    paid_at: datetime = moment()
    since: datetime = moment()
    expected_on: date = Field(sa_type=Date)
    state: str = BackorderState.WAITING.value
    ended_at: datetime | None = moment(nullable=True)


class ExpectedReceipt(SQLModel, table=True):
    """Goods on their way to a warehouse: what a date told to customers rests on."""

    __tablename__ = "expected_receipt"

    id: int | None = key()
    warehouse: str = Field(foreign_key="warehouse.code")
    sku: str = Field(foreign_key="product.sku", index=True)
    quantity: int = big()
    expected_on: date = Field(sa_type=Date)
    note: str = words()
    arrived_at: datetime | None = moment(nullable=True)


def wait_for(
    session: Session,
    fulfilment_id: int,
    order_id: int,
    skus: Sequence[str],
    paid_at: datetime,
    expected_on: date,
    now: datetime,
) -> bool:
    """Queue this fulfilment for these SKUs, at its place by payment; False when it waits already.

    The date stays what the customer was told first; the SKUs become the ones that are missing now.
    """
    row = session.connection().execute(
        text(
            "INSERT INTO backorder (fulfilment_id, order_id, skus, paid_at, since, expected_on, state)"
            " VALUES (:fulfilment, :order, :skus, :paid, :now, :expected, 'waiting')"
            " ON CONFLICT (fulfilment_id) WHERE state = 'waiting' DO UPDATE SET skus = EXCLUDED.skus"
            " RETURNING (xmax = 0) AS is_new"
        ),
        {
            "fulfilment": fulfilment_id,
            "order": order_id,
            "skus": sorted(skus),
            "paid": paid_at,
            "now": now,
            "expected": expected_on,
        },
    )
    return bool(row.scalar_one())


def backorder_of(session: Session, fulfilment_id: int) -> Backorder | None:
    """The fulfilment's place in the queue, if it waits."""
    statement = select(Backorder).where(
        Backorder.fulfilment_id == fulfilment_id, Backorder.state == BackorderState.WAITING.value
    )
    return session.exec(statement.execution_options(populate_existing=True)).first()


def leave_queue(session: Session, fulfilment_id: int, state: BackorderState, now: datetime) -> bool:
    """It waits no more: fed, or ended. False when it did not wait."""
    row = session.connection().execute(
        text("UPDATE backorder SET state = :state, ended_at = :now WHERE fulfilment_id = :id AND state = 'waiting'"),
        {"state": state.value, "now": now, "id": fulfilment_id},
    )
    return bool(row.rowcount)


def queue(session: Session, skus: Sequence[str], limit: int = 500) -> list[Backorder]:
    """Who waits for any of these SKUs, first paid first."""
    statement = (
        select(Backorder)
        .where(Backorder.state == BackorderState.WAITING.value, col(Backorder.skus).overlap(list(skus)))  # type: ignore[attr-defined]
        .order_by(col(Backorder.paid_at), col(Backorder.id))
        .limit(limit)
    )
    return list(session.exec(statement.execution_options(populate_existing=True)))


def waiting_skus(session: Session) -> list[str]:
    """All SKUs that somebody waits for."""
    rows = session.connection().execute(
        text("SELECT DISTINCT unnest(skus) AS sku FROM backorder WHERE state = 'waiting' ORDER BY 1")
    )
    return [sku for (sku,) in rows]


def does_anyone_wait(session: Session) -> bool:
    """Whether the queue is not empty: what every order asks first, and hardly ever more."""
    return bool(
        session.connection().execute(text("SELECT EXISTS (SELECT 1 FROM backorder WHERE state = 'waiting')")).scalar()
    )


def is_anyone_before(session: Session, skus: Sequence[str], paid_at: datetime, fulfilment_id: int) -> bool:
    """Whether somebody who paid earlier waits for any of these SKUs."""
    row = session.connection().execute(
        text(
            "SELECT 1 FROM backorder WHERE state = 'waiting' AND skus && CAST(:skus AS text[])"
            " AND paid_at < :paid AND fulfilment_id <> :id LIMIT 1"
        ),
        {"skus": list(skus), "paid": paid_at, "id": fulfilment_id},
    )
    return row.first() is not None


def expected_date(session: Session, missing: dict[str, int], now: datetime, default_days: int) -> date:
    """The day on which goods for so many missing pieces (by SKU) should be with the customer.

    From the receipts that are expected, the last of the missing SKUs deciding; `default_days` from today where
    nothing is known, and never before tomorrow.
    """
    today = now.astimezone(TZ).date()
    latest = today + timedelta(days=1)
    for sku, quantity in missing.items():
        statement = select(ExpectedReceipt).where(
            ExpectedReceipt.sku == sku, col(ExpectedReceipt.arrived_at).is_(None), ExpectedReceipt.expected_on >= today
        )
        left, day = quantity, today + timedelta(days=default_days)
        for receipt in session.exec(statement.order_by(col(ExpectedReceipt.expected_on))):
            left -= receipt.quantity
            if left <= 0:
                day = receipt.expected_on + PACKING
                break
        latest = max(latest, day)
    return latest


def wake_waiting(session: Session, sku: str) -> None:
    """Some of this SKU came free: once this transaction is over, the first who waits for it looks again.

    Not before: fulfilments are locked before stock everywhere, and this transaction has its stock locked already.
    """
    afterwards(session, f"wake who waits for {sku}", lambda after: wake_first(after, [sku]))


_FIRST = text("""
SELECT DISTINCT ON (wanted.sku) b.fulfilment_id
FROM unnest(CAST(:skus AS text[])) AS wanted(sku) JOIN backorder b ON b.skus @> ARRAY[wanted.sku]
WHERE b.state = 'waiting' ORDER BY wanted.sku, b.paid_at, b.id
""")


def wake_first(session: Session, skus: Sequence[str]) -> int:
    """Wake the first who waits for each of these SKUs; whoever looks first feeds all before it. Returns how many."""
    first = sorted({id for (id,) in session.connection().execute(_FIRST, {"skus": list(skus)})})
    return wake(session, first) if first else 0
