"""Compensation and cancelling at once: the customer is made up for once, and nobody is asked for nothing."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import Session

from models import compensation
from models.cancellation import request_cancellation
from models.compensation import Cause, CompensationState, Limits
from models.fulfilment import Stage, fulfilments_of
from models.hold import open_holds
from models.order import Order
from models.settings import PolicySettings
from tests.models.build import NOW, incoming, open_shop, taken, walk

LIMITS = Limits.of(PolicySettings())


def reserved(session: Session) -> tuple[Order, int]:
    """A paid order that is promised its goods, and its id."""
    open_shop(session)
    order = taken(session, incoming("1"))
    walk(session, order.order_no, Stage.RESERVED)
    assert order.id is not None
    return order, order.id


def test_a_compensation_that_waits_for_a_person_is_over_with_its_cancelled_order(session: Session) -> None:
    # given one that was stopped at the limit, and a customer who cancels meanwhile
    order, order_id = reserved(session)
    (part,) = fulfilments_of(session, order_id)
    compensation.request(session, part, Cause.NOT_THERE, "查无货", "warehouse", NOW, replace(LIMITS, an_hour=0))
    request_cancellation(session, order, "不要了", "customer", NOW)
    # then nobody is asked any more, and approving pays nothing and does not say that it does
    assert open_holds(session, order_id) == []
    taken_, sentence = compensation.decide(session, order_id, True, "主管", NOW)
    assert (taken_, "正在退款" in sentence) == (False, False)
    (row,) = compensation.compensations_of(session, order_id)
    assert row.state == CompensationState.DECLINED.value


def test_an_order_that_is_being_cancelled_is_not_compensated_as_well(session: Session) -> None:
    order, order_id = reserved(session)
    request_cancellation(session, order, "不要了", "customer", NOW)
    (part,) = fulfilments_of(session, order_id)
    taken_, sentence = compensation.request(session, part, Cause.NOT_THERE, "查无货", "warehouse", NOW, LIMITS)
    assert (taken_, "取消" in sentence) == (False, True)
    assert compensation.compensations_of(session, order_id) == []


def test_the_day_s_limit_counts_the_coupon_of_this_one_too(session: Session) -> None:
    # given a limit of just what was paid: the refund fits, its coupon does not
    order, order_id = reserved(session)
    (part,) = fulfilments_of(session, order_id)
    limits = replace(LIMITS, fen_a_day=order.paid_fen)
    compensation.request(session, part, Cause.NOT_THERE, "查无货", "warehouse", NOW, limits)
    (row,) = compensation.compensations_of(session, order_id)
    assert (row.refund_fen, row.coupon_fen > 0) == (order.paid_fen, True)
    assert row.state == CompensationState.STOPPED.value
