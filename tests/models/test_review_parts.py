"""Reviews of an order in several parts: whose answer one part waits for, and what becomes of it when that part goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlmodel import Session

from models import compensation
from models.cancellation import request_cancellation
from models.compensation import Cause, Limits
from models.fulfilment import Fulfilment, Stage, WaitingOn, claim_order, fulfilments_of, park
from models.order import Order, lines_of
from models.parts import parts_of, rewind
from models.review import CaseState, cases_of
from models.review_route import stand
from models.review_withdrawal import withdraw
from models.settings import settings
from models.splitting import split_off
from tests.models.build import NOW, incoming, made, open_shop, taken, walk

#: When a part that waits for a review looks again by itself.
AFTERWARDS = NOW + timedelta(minutes=82)


def under_review(session: Session) -> tuple[Order, Fulfilment, Fulfilment]:
    """An order of two parts that sleep until one nutritionist has answered for both."""
    open_shop(session)
    order = taken(session, incoming("1", made(8)))
    walk(session, order.order_no, Stage.RESERVED)
    order.payment_verified_at = NOW
    (line,) = lines_of(session, order.id or 0)
    split_off(session, order, {line.id or 0: 1}, "王敏", NOW)
    for claim in claim_order(session, order.id or 0, "lane", 120, NOW):
        stand(session, order, claim.fulfilment_id, NOW)
        park(session, claim, WaitingOn.REVIEW, "审核", AFTERWARDS, now=NOW)
    first, second = fulfilments_of(session, order.id or 0)
    (case,) = cases_of(session, order.id or 0)
    assert (case.fulfilment_id, case.state) == (first.id, CaseState.OPEN.value)
    return order, first, second


def paid_back(session: Session, order: Order, part: Fulfilment) -> None:
    compensation.request(session, part, Cause.OUT_OF_STOCK, "没有货", "仓管", NOW, Limits.of(settings().policy))


def begun_again(session: Session, order: Order, part: Fulfilment) -> None:
    rewind(session, next(known for known in parts_of(session, order) if known.id == part.id), NOW)


def cancelled(session: Session, order: Order, part: Fulfilment) -> None:
    request_cancellation(session, order, "不要了", "客服小张", NOW)


def woken_at(session: Session, part: Fulfilment) -> datetime | None:
    session.refresh(part)
    return part.ready_at


@pytest.mark.parametrize("goes", [paid_back, begun_again, cancelled])
def test_a_part_is_woken_when_the_review_it_waits_for_goes_with_another(
    session: Session, goes: Callable[[Session, Order, Fulfilment], None]
) -> None:
    order, first, second = under_review(session)
    goes(session, order, first)
    assert [case.state for case in cases_of(session, order.id or 0)] == [CaseState.WITHDRAWN.value]
    assert woken_at(session, second) == NOW


def test_nobody_is_woken_where_no_review_was_open(session: Session) -> None:
    _, first, second = under_review(session)
    withdraw(session, second.id or 0, NOW)
    assert (woken_at(session, first), woken_at(session, second)) == (AFTERWARDS, AFTERWARDS)
