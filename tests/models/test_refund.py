"""Refunds in the book: what is owed, what is stuck, and what the platform has paid back itself."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import Session

from models.book import take_orders
from models.cancellation import request_cancellation
from models.compensation import Limits
from models.effect import REFUND
from models.fulfilment import Stage, fulfilments_of
from models.hold import lift, open_holds
from models.intake import PlatformStatus
from models.order import Order
from models.payment_news import hear_of_refund
from models.refund import HOLD, Refund, RefundStep, owe, owe_part, refunds_of, report, settle_by_hand
from models.settings import PolicySettings
from tests.models.build import NOW, claimed, incoming, later, open_shop, taken, told, walk

LIMITS = Limits.of(PolicySettings())


def reserved(session: Session, to: Stage = Stage.RESERVED) -> Order:
    """A paid order that has come as far as this."""
    open_shop(session)
    order = taken(session, incoming("1"))
    walk(session, order.order_no, to)
    return order


def id_of(order: Order) -> int:
    assert order.id is not None
    return order.id


def holds(session: Session, order: Order) -> list[str]:
    return [hold.code for hold in open_holds(session, id_of(order))]


def owed_part(session: Session, order: Order, once: str, fen: int = 100) -> Refund:
    return owe_part(session, id_of(order), fen, "包装破了", once, "客服小张", NOW)


def test_of_two_stuck_refunds_the_second_stays_on_the_list_when_the_first_is_paid(session: Session) -> None:
    order = reserved(session, Stage.SHIPPED)
    first, second = owed_part(session, order, "1"), owed_part(session, order, "2")
    for owed in (first, second):
        report(session, owed.refund_no, RefundStep.STUCK, "refund", NOW, problem="退不了")
    assert holds(session, order) == [HOLD]
    report(session, first.refund_no, RefundStep.PAID, "refund", NOW)
    assert holds(session, order) == [HOLD]
    settle_by_hand(session, second.refund_no, "财务", NOW)
    assert holds(session, order) == []


def test_a_refund_refused_again_after_its_hold_was_released_is_held_again(session: Session) -> None:
    order = reserved(session, Stage.SHIPPED)
    owed = owed_part(session, order, "1")
    report(session, owed.refund_no, RefundStep.STUCK, "refund", NOW, problem="余额不足", fresh=True)
    lift(session, id_of(order), "财务", NOW, [HOLD])
    report(session, owed.refund_no, RefundStep.STUCK, "refund", NOW, problem="余额不足", fresh=True)
    assert holds(session, order) == [HOLD]


def test_a_stuck_refund_is_over_when_the_platform_says_that_all_is_refunded(session: Session) -> None:
    # given a refund of all that was paid, which the platform would not take from us
    order = reserved(session)
    request_cancellation(session, order, "不要了", "customer", NOW)
    (part,) = fulfilments_of(session, id_of(order))
    owed = owe(session, id_of(order), part.id or 0, "不要了", "wind-up", NOW)
    assert owed is not None and owed.amount_fen == order.paid_fen
    report(session, owed.refund_no, RefundStep.STUCK, "refund", NOW, problem="没有售后申请")
    # when a person does it in the platform's console
    take_orders(session, [later(incoming("1"), status=PlatformStatus.REFUNDED)], NOW + timedelta(minutes=1))
    # then it is over, and nobody pays it once more in another way
    assert [r.state for r in refunds_of(session, id_of(order))] == [RefundStep.DROPPED.value]
    assert holds(session, order) == []


def test_a_refund_that_the_platform_has_taken_is_not_over_when_it_says_that_all_is_refunded(session: Session) -> None:
    order = reserved(session)
    request_cancellation(session, order, "不要了", "customer", NOW)
    (part,) = fulfilments_of(session, id_of(order))
    owed = owe(session, id_of(order), part.id or 0, "不要了", "wind-up", NOW)
    assert owed is not None
    told(session, claimed(session, order), REFUND, f"refund-{owed.refund_no}", {"state": "processing"}, NOW)
    take_orders(session, [later(incoming("1"), status=PlatformStatus.REFUNDED)], NOW + timedelta(minutes=1))
    assert [r.state for r in refunds_of(session, id_of(order))] == [RefundStep.DUE.value]


def test_a_refund_paid_by_hand_that_arrives_all_the_same_reaches_a_person(session: Session) -> None:
    order = reserved(session, Stage.SHIPPED)
    order.payment_keeper, order.payment_ref = "wechat_pay", "P-1"
    session.add(order)
    owed = owed_part(session, order, "1")
    report(session, owed.refund_no, RefundStep.STUCK, "refund", NOW, problem="银行卡注销")
    settle_by_hand(session, owed.refund_no, "财务", NOW)
    for _ in range(2):
        hear_of_refund(session, "wechat_pay", "P-1", owed.refund_no, RefundStep.PAID, 100, "", NOW)
    assert holds(session, order) == ["refunded_twice"]
    (row,) = refunds_of(session, id_of(order))
    assert row.state == RefundStep.BY_HAND.value
