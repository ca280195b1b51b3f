"""Changes after payment: every one of them is a row, from what is heard of it to what became of it.

What the channel says now is written to the order at once; what follows from it (stock, factory, carrier) is carried
out by the lane (`models/revision.py`), which looks at open rows first of all. However many changes come meanwhile, it
goes by what the order is now.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlmodel import Field, Session, SQLModel, col, select

from models.table import big, document, key, moment, reference


class ChangeKind(StrEnum):
    """What a change is about."""

    LINES = "lines"
    ADDRESS = "address"
    REFUND = "refund"


class ChangeState(StrEnum):
    """What became of a change."""

    ASKED = "asked"  # the lane carries it out
    APPLIED = "applied"
    DECLINED = "declined"  # the order ended first
    BY_HAND = "by_hand"  # too late, or refused outside: a hold says what a person does


class OrderChange(SQLModel, table=True):
    """One change. `before` and `after` hold no personal data; `amount_fen` is what the platform paid back by itself.

    `grew`: more is to be sent or paid than before, so that a review decided until then (`cases_before` is the newest
    review's id) no longer counts.
    """

    __tablename__ = "order_change"
    __table_args__ = (
        CheckConstraint("amount_fen >= 0", name="order_change_not_negative"),
        CheckConstraint("(state = 'asked') = (applied_at IS NULL)", name="closed_change_has_a_time"),
        Index("order_change_asked", "order_id", postgresql_where=text("state = 'asked'")),
    )

    id: int | None = key()
    order_id: int = reference("orders.id")
    kind: str
    state: str = ChangeState.ASKED.value
    at: datetime = moment()
    actor: str
    before: dict[str, Any] = document()
    after: dict[str, Any] = document()
    amount_fen: int = big()
    grew: bool = False
    cases_before: int = Field(default=0, sa_type=BigInteger, nullable=False)
    applied_at: datetime | None = moment(nullable=True)


def record(
    session: Session,
    order_id: int,
    kind: ChangeKind,
    before: dict[str, Any],
    after: dict[str, Any],
    actor: str,
    now: datetime,
    *,
    applied: bool = False,
    amount_fen: int = 0,
    grew: bool = False,
) -> OrderChange:
    """Write down a change. `applied`: nothing is left to do for it. The order must be locked."""
    newest = session.connection().execute(
        text("SELECT coalesce(max(id), 0) FROM review_case WHERE order_id = :order"), {"order": order_id}
    )
    change = OrderChange(
        order_id=order_id,
        kind=kind.value,
        state=(ChangeState.APPLIED if applied else ChangeState.ASKED).value,
        at=now,
        actor=actor,
        before=before,
        after=after,
        amount_fen=amount_fen,
        grew=grew,
        cases_before=newest.scalar_one(),
        applied_at=now if applied else None,
    )
    session.add(change)
    session.flush()
    return change


def is_asked(session: Session, order_id: int) -> bool:
    """Whether a change of this order is still to be carried out: what every step of an order asks first."""
    row = session.connection().execute(
        text("SELECT EXISTS (SELECT 1 FROM order_change WHERE order_id = :order AND state = 'asked')"),
        {"order": order_id},
    )
    return bool(row.scalar_one())


def asked(session: Session, order_id: int) -> list[OrderChange]:
    """The changes that are still to be carried out, oldest first."""
    return [change for change in changes_of(session, order_id) if change.state == ChangeState.ASKED.value]


def close(session: Session, changes: Iterable[OrderChange], state: ChangeState, now: datetime) -> None:
    """Nothing more is done by itself for these changes."""
    for change in changes:
        change.state, change.applied_at = state.value, now
        session.add(change)
    session.flush()


def changes_of(session: Session, order_id: int) -> list[OrderChange]:
    """Every change of an order after it was paid, oldest first."""
    statement = select(OrderChange).where(OrderChange.order_id == order_id).order_by(col(OrderChange.id))
    return list(session.exec(statement.execution_options(populate_existing=True)))


def overtakes_review(session: Session, order_id: int, case_id: int) -> bool:
    """Whether the order has grown since this review was opened: what was said then was said of less."""
    row = session.connection().execute(
        text("SELECT EXISTS (SELECT 1 FROM order_change WHERE order_id = :order AND grew AND cases_before >= :case)"),
        {"order": order_id, "case": case_id},
    )
    return bool(row.scalar_one())
