"""One of many processes that take orders and decide on them, as lanes do.

`python -m tests.models.order_taker URL NAME` prints what it decided, by outcome, as JSON; an error ends it with a
traceback.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import timedelta

from sqlalchemy import Engine, create_engine, text
from sqlmodel import Session

from models.compensation import CompensationState, compensation_of
from models.fulfilment import Claim, Stage, WaitingOn, advance, claim_ready, hold_on, park
from tests.models.build import NOW
from tests.models.concurrently import transaction
from tests.models.deciding import decide, feed_who_was_before
from tests.models.stockroom import TERMS, limits

LIMITS = limits(most_compensations_an_hour=10**6, most_compensation_fen_a_day=10**12)
#: Time stands still: what is parked is never looked at again by itself, and no claim runs out.
TOMORROW = NOW + timedelta(days=1)
AT_ONCE = 20


def take_orders(engine: Engine, name: str) -> Counter[str]:
    """Claim and decide until nothing is ready and nobody else is at work."""
    said: Counter[str] = Counter()
    while True:
        with transaction(engine) as session:
            claims = claim_ready(session, name, AT_ONCE, 3600, NOW)
        for claim in claims:
            with transaction(engine) as session:
                feed_who_was_before(session, claim.fulfilment_id, NOW, TERMS)
            with transaction(engine) as session:
                said[_work_on(session, claim)] += 1
        if not claims and _all_done(engine):
            return said


def _work_on(session: Session, claim: Claim) -> str:
    hold_on(session, claim)
    made_up = compensation_of(session, claim.fulfilment_id)
    if made_up is not None:  # it comes back once, to be wound up
        advance(session, claim, Stage.REFUNDED, NOW)
        made_up.state = CompensationState.DONE.value
        session.add(made_up)
        return "refunded"
    outcome = decide(session, claim.fulfilment_id, NOW, TERMS, LIMITS)
    if outcome != "compensated":  # there the claim has ended with the request
        on = {"promised": WaitingOn.STOCK_CHECK, "waiting": WaitingOn.BACKORDER}[outcome]
        park(session, claim, on, "测试", TOMORROW, now=NOW)
    return outcome


def _all_done(engine: Engine) -> bool:
    with Session(engine) as session:
        left = session.connection().execute(
            text("SELECT 1 FROM fulfilment WHERE ready_at <= :now LIMIT 1"), {"now": NOW}
        )
        return left.first() is None


if __name__ == "__main__":
    pool = create_engine(sys.argv[1], pool_size=1)
    print(json.dumps(take_orders(pool, sys.argv[2])))
