"""Holds lie over the stage: several at once, each with a reason and a handle to release it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Index, text
from sqlmodel import Session, SQLModel, select

from models.fulfilment import fulfilments_of, wake
from models.order import lock_order
from models.table import key, moment, reference, words
from models.timeline import EventKind, note


class Hold(SQLModel, table=True):
    """One reason why an order needs a person. `who` can release it; `handle` says how.

    A blocking hold stops the order before it ships; another only shows up in lists.
    """

    __tablename__ = "hold"
    __table_args__ = (
        Index(
            "one_open_hold_per_reason",
            "order_id",
            "code",
            unique=True,
            postgresql_where=text("released_at IS NULL"),
        ),
    )

    id: int | None = key()
    order_id: int = reference("orders.id")
    code: str
    reason: str = words()
    blocking: bool = True
    who: str = ""
    handle: str = words()
    placed_at: datetime = moment()
    placed_by: str = ""
    released_at: datetime | None = moment(nullable=True)
    released_by: str = ""


def open_holds(session: Session, order_id: int) -> list[Hold]:
    """The holds that still stand, oldest first."""
    statement = select(Hold).where(Hold.order_id == order_id, Hold.released_at.is_(None)).order_by(Hold.id)  # type: ignore[union-attr, arg-type]
    return list(session.exec(statement))


def ever_placed(session: Session, order_id: int, code: str) -> bool:
    """Whether a hold with this code was ever placed, released or not."""
    return session.exec(select(Hold.id).where(Hold.order_id == order_id, Hold.code == code)).first() is not None


def place(
    session: Session,
    order_id: int,
    code: str,
    reason: str,
    who: str,
    handle: str,
    actor: str,
    now: datetime,
    *,
    blocking: bool = True,
) -> None:
    """Place a hold, unless one with this code stands already."""
    inserted = session.connection().execute(
        text(
            "INSERT INTO hold (order_id, code, reason, blocking, who, handle, placed_at, placed_by, released_by)"
            " VALUES (:order, :code, :reason, :blocking, :who, :handle, :now, :actor, '')"
            " ON CONFLICT (order_id, code) WHERE released_at IS NULL DO NOTHING"
        ),
        {
            "order": order_id,
            "code": code,
            "reason": reason,
            "blocking": blocking,
            "who": who,
            "handle": handle,
            "now": now,
            "actor": actor,
        },
    )
    if inserted.rowcount:
        note(session, order_id, EventKind.HELD, actor, now, code=code, reason=reason)


def lift(session: Session, order_id: int, actor: str, now: datetime, codes: Sequence[str] = ()) -> list[str]:
    """Release the open holds (all, or those with these codes) and wake the order; returns their codes."""
    lock_order(session, order_id)
    lifted = []
    for hold in open_holds(session, order_id):
        if codes and hold.code not in codes:
            continue
        hold.released_at, hold.released_by = now, actor
        session.add(hold)
        note(session, order_id, EventKind.HOLD_RELEASED, actor, now, code=hold.code)
        lifted.append(hold.code)
    if lifted:
        wake(session, [f.id for f in fulfilments_of(session, order_id) if f.id is not None], now)
    return lifted
