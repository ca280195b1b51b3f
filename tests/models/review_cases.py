"""Reviews for tests of the models: cases of orders that nothing else is known of."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from models.review import ReviewCase
from tests.models.build import NOW
from tests.models.factories import a_fulfilment, an_order

MINUTE = timedelta(minutes=1)
#: Costly, as the starter matrix says it.
COSTLY = "金额 792 元,超过 500 元"
_numbers = itertools.count(1)


def a_case(session: Session, opened_at: datetime = NOW, total_fen: int = 79_200, **changes: Any) -> ReviewCase:
    """A case with a run, due 22 minutes after it was opened, of an order of its own; `changes` by column."""
    order = an_order(session, NOW, f"SH-{5000 + next(_numbers)}", total_fen=total_fen)
    fulfilment = a_fulfilment(session, order, NOW)
    assert order.id is not None and fulfilment.id is not None
    values: dict[str, Any] = {
        "reasons": [COSTLY],
        "due_at": opened_at + 22 * MINUTE,
        "run_id": "00000000-0000-4000-8000-000000000000",
        **changes,
    }
    case = ReviewCase(order_id=order.id, fulfilment_id=fulfilment.id, opened_at=opened_at, **values)
    session.add(case)
    session.flush()
    return case


def decided(case: ReviewCase, minutes: float, reviewer: str = "王敏", verdict: str = "approve") -> ReviewCase:
    """The case, decided so many minutes after it was opened."""
    case.state, case.verdict, case.reviewer = "decided", verdict, reviewer
    case.decided_at = case.opened_at + timedelta(minutes=minutes)
    return case
