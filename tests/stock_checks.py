"""The warehouse's side of stock checks, for tests: what it was asked, what it says, and when its time is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from models import stock_check
from models.compensation import Limits
from models.database import transact, utcnow
from models.fulfilment import Fulfilment
from models.order import Order
from models.settings import settings
from models.stock_check import StockCheck
from tests.orders import fulfilment_of

#: A house in which the warehouse is asked about everything, for longer than a test lasts, and pays back without limit.
ASKED: dict[str, Any] = {
    "stock_check_minutes": 60,
    "most_compensations_an_hour": 10_000,
    "most_compensation_fen_a_day": 1_000_000_000,
}


def check_of(order: Order, part: Fulfilment | None = None) -> StockCheck:
    """The newest check of the order's only part, or of this one."""
    asked = part or fulfilment_of(order)
    found = transact(lambda session: stock_check.latest_check(session, asked.id or 0))
    assert found is not None
    return found


def says(order: Order, there: bool, part: Fulfilment | None = None, missing: Sequence[str] = ()) -> tuple[bool, str]:
    """What comes of the warehouse's answer: (taken, a sentence)."""
    check, limits = check_of(order, part), Limits.of(settings().policy)
    return transact(
        lambda session: stock_check.answer(
            session, check.id or 0, there, "warehouse:老周", utcnow(), limits, missing=missing
        )
    )


def time_is_over(order: Order) -> None:
    """Nobody has answered in time; whoever waits for that looks again."""

    def work(session: Session) -> None:
        for statement in (
            "UPDATE stock_check SET due_at = now() WHERE order_id = :id AND state = 'open'",
            "UPDATE fulfilment SET ready_at = now() WHERE order_id = :id AND waiting_on = 'stock_check'",
        ):
            session.connection().execute(text(statement), {"id": order.id})

    transact(work)
