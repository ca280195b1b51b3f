"""Money that the platform paid back by itself: we may pay back less then, and its echo of ours is nothing new."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models.book import take_orders
from models.cancellation import request_cancellation
from models.checks import check
from models.effect import REFUND
from models.fulfilment import Fulfilment, FulfilmentLine, Stage, fulfilments_of
from models.hold import open_holds
from models.intake import IncomingOrder
from models.order import Order
from models.paid_elsewhere import paid_elsewhere
from models.platform_refund import is_settled_there
from models.refund import Refund, RefundStep, TooMuch, left_of, owe, owe_part, refunds_of, report, share_of
from models.timeline import timeline
from models.wanted import standings
from tests.models.build import NOW, cans, claimed, incoming, later, made, open_shop, taken, told, walk


def paid(session: Session, order: IncomingOrder | None = None, stage: Stage | None = Stage.RESERVED) -> Order:
    """A paid order that has come so far."""
    open_shop(session)
    found = taken(session, order or incoming("1", cans(2), made()))
    if stage is not None:
        walk(session, found.order_no, stage)
    return found


def paid_back_there(session: Session, said: IncomingOrder, fen: int, minutes: int = 5) -> IncomingOrder:
    """The platform says that so much has been paid back, by whomever."""
    now = later(said, minutes, refunded_fen=fen)
    take_orders(session, [now], NOW)
    return now


def asked_for(session: Session, order: Order, refund: Refund) -> None:
    """The keeper was told of a refund, and has paid it."""
    told(session, claimed(session, order), REFUND, f"refund-{refund.refund_no}", {"state": "paid"}, NOW)
    report(session, refund.refund_no, RefundStep.PAID, "refund", NOW)


def events(session: Session, order: Order, kind: str) -> int:
    """How often this happened to the order."""
    return [event.kind for event in timeline(session, order.id or 0)].count(kind)


def codes(session: Session, order: Order) -> list[str]:
    """The codes of the holds that stand."""
    return [hold.code for hold in open_holds(session, order.id or 0)]


def refunds(session: Session, order: Order) -> list[tuple[str, int]]:
    """State and sum of each refund of ours."""
    return [(refund.state, refund.amount_fen) for refund in refunds_of(session, order.id or 0)]


def test_a_cancellation_pays_back_what_the_platform_has_not(session: Session) -> None:
    order = paid(session)
    paid_back_there(session, incoming("1", cans(2), made()), 1_500)
    session.refresh(order)
    assert events(session, order, "partly_refunded") == 1
    request_cancellation(session, order, "不要了", "客服", NOW)
    owed = owe(session, order.id or 0, fulfilments_of(session, order.id or 0)[0].id or 0, "不要了", "wind-up", NOW)
    assert owed is not None
    assert owed.amount_fen == order.paid_fen - 1_500
    assert left_of(session, order) == 0


def test_goodwill_is_never_more_than_what_is_left(session: Session) -> None:
    order = paid(session)
    paid_back_there(session, incoming("1", cans(2), made()), order.paid_fen - 100)
    with pytest.raises(TooMuch):
        owe_part(session, order.id or 0, 101, "包装破了", "1", "客服", NOW)
    owe_part(session, order.id or 0, 100, "包装破了", "2", "客服", NOW)
    assert [violation.code for violation in check(session, NOW)] == []


def test_the_echo_of_our_own_refund_is_nothing_new(session: Session) -> None:
    # given a refund of ours that the channel has paid
    order = paid(session)
    said = incoming("1", cans(2), made())
    asked_for(session, order, owe_part(session, order.id or 0, 800, "包装破了", "1", "客服", NOW))
    # when the channel says so, and then pays more by itself
    said = paid_back_there(session, said, 800)
    assert events(session, order, "partly_refunded") == 0
    paid_back_there(session, said, 1_000)
    # then only what is above ours is its own
    assert paid_elsewhere(session, order.id or 0) == 200
    assert events(session, order, "partly_refunded") == 1


def test_what_the_channel_paid_before_it_was_told_of_ours_stays_its_own(session: Session) -> None:
    # given a channel that has paid something back, and then is told of a refund of ours, which it does not show yet
    order = paid(session)
    said = paid_back_there(session, incoming("1", cans(2), made()), 500)
    asked_for(session, order, owe_part(session, order.id or 0, 800, "包装破了", "1", "客服", NOW))
    assert paid_elsewhere(session, order.id or 0) == 500
    # when it shows both
    paid_back_there(session, said, 1_300)
    assert paid_elsewhere(session, order.id or 0) == 500
    session.refresh(order)
    assert left_of(session, order) == order.paid_fen - 1_300


def test_seen_when_it_came_in_it_is_remembered_before_ours_is_told(session: Session) -> None:
    order = paid(session, incoming("1", cans(2), made(), refunded_fen=500))
    asked_for(session, order, owe_part(session, order.id or 0, 800, "包装破了", "1", "客服", NOW))
    assert paid_elsewhere(session, order.id or 0) == 500


def test_a_refund_of_another_keeper_is_not_in_what_the_channel_says(session: Session) -> None:
    said = incoming("1", cans(2), made(), payment_keeper="alipay", payment_ref="OL1")
    order = paid(session, said)
    asked_for(session, order, owe_part(session, order.id or 0, 800, "包装破了", "1", "客服", NOW))
    paid_back_there(session, said, 300)
    assert paid_elsewhere(session, order.id or 0) == 300


def test_what_is_too_much_now_is_asked_for_no_more(session: Session) -> None:
    # given refunds of ours that nobody was told of yet
    order = paid(session, stage=Stage.SHIPPED)
    for once, fen in (("1", 1_000), ("2", 2_000)):
        owe_part(session, order.id or 0, fen, "包装破了", once, "客服", NOW)
    # when the platform pays back all but 1,500 by itself
    paid_back_there(session, incoming("1", cans(2), made()), order.paid_fen - 1_500)
    # then the newest is cut, and no more goes back than was paid
    assert refunds(session, order) == [("due", 1_000), ("due", 500)]
    session.refresh(order)
    assert order.refunded_fen == 1_500
    assert codes(session, order) == []
    assert [violation.code for violation in check(session, NOW)] == []


def test_a_stuck_refund_of_the_same_sum_is_settled_by_it(session: Session) -> None:
    order = paid(session, stage=Stage.SHIPPED)
    owed = owe_part(session, order.id or 0, 1_000, "包装破了", "1", "客服", NOW)
    report(session, owed.refund_no, RefundStep.STUCK, "refund", NOW, problem="要买家先申请")
    assert codes(session, order) == ["refund_stuck"]
    paid_back_there(session, incoming("1", cans(2), made()), 1_000)
    assert refunds(session, order) == [("dropped", 1_000)]
    assert codes(session, order) == []
    session.refresh(order)
    assert left_of(session, order) == order.paid_fen - 1_000


def test_money_that_went_back_twice_is_a_persons(session: Session) -> None:
    order = paid(session, incoming("1", payment_keeper="alipay", payment_ref="OL1"), Stage.SHIPPED)
    asked_for(session, order, owe_part(session, order.id or 0, 4_000, "没收到", "1", "客服", NOW))
    paid_back_there(session, incoming("1", payment_keeper="alipay", payment_ref="OL1"), 500)
    assert codes(session, order) == ["refunded_twice"]
    assert [violation.code for violation in check(session, NOW)] == []


def split(session: Session, order: Order, paid_back: bool, pieces: int = 3) -> tuple[Fulfilment, Fulfilment]:
    """Two parts of one line of four cans, so many and one; the second given up, and paid back through the channel."""
    (first,) = fulfilments_of(session, order.id or 0)
    second = Fulfilment(order_id=order.id or 0, number=2, warehouse=first.warehouse, stage_since=NOW, ready_at=NOW)
    session.add(second)
    session.flush()
    line = session.execute(text("SELECT id FROM order_line WHERE order_id = :id"), {"id": order.id}).scalar_one()
    session.execute(text("UPDATE fulfilment_line SET quantity = :pieces"), {"pieces": pieces})
    session.add(FulfilmentLine(fulfilment_id=second.id or 0, order_line_id=line, quantity=1))
    order.payment_verified_at = NOW
    session.add(order)
    session.flush()
    if paid_back:
        owed = owe(session, order.id or 0, second.id or 0, "查无货", "wind-up", NOW)
        assert owed is not None and owed.amount_fen == 2_000
        report(session, owed.refund_no, RefundStep.PAID, "refund", NOW)
        session.execute(text("UPDATE fulfilment SET stage = 'refunded', ready_at = NULL WHERE number = 2"))
        session.expire_all()
    return first, second


def wanted(session: Session, order: Order) -> list[int]:
    """How many pieces of each line are still wanted."""
    return [line.wanted for line in standings(session, order.id or 0).values()]


def test_what_we_gave_up_and_the_channel_repeats_is_not_taken_off_twice(session: Session) -> None:
    said = incoming("1", cans(4))
    order = paid(session, said, None)
    split(session, order, paid_back=True)
    assert wanted(session, order) == [3]
    # when the channel shows the can that we paid back, and then one that the customer does not want
    said = later(said, 5, lines=(replace(said.lines[0], cancelled_quantity=1),), refunded_fen=2_000)
    take_orders(session, [said], NOW)
    assert wanted(session, order) == [3]
    assert events(session, order, "lines_changed") == events(session, order, "partly_refunded") == 0
    said = later(said, 5, lines=(replace(said.lines[0], cancelled_quantity=2),), refunded_fen=4_000)
    take_orders(session, [said], NOW)
    assert wanted(session, order) == [2]
    assert paid_elsewhere(session, order.id or 0) == 2_000


def test_what_the_channel_does_not_repeat_yet_is_not_wanted_again(session: Session) -> None:
    # given a can that the customer does not want, and another that we then give up and tell the channel of
    said = incoming("1", cans(4))
    order = paid(session, said, None)
    said = later(said, 5, lines=(replace(said.lines[0], cancelled_quantity=1),), refunded_fen=2_000)
    take_orders(session, [said], NOW)
    split(session, order, paid_back=True, pieces=2)
    assert wanted(session, order) == [2]
    # when the channel repeats ours
    said = later(said, 5, lines=(replace(said.lines[0], cancelled_quantity=2),), refunded_fen=4_000)
    take_orders(session, [said], NOW)
    # then it is the same two that are wanted; and three, when the customer wants the first can again
    assert wanted(session, order) == [2]
    assert events(session, order, "lines_changed") == 1
    said = later(said, 5, lines=(replace(said.lines[0], cancelled_quantity=1),))
    take_orders(session, [said], NOW)
    assert wanted(session, order) == [3]


def test_a_part_is_paid_back_without_the_pieces_that_the_platform_cancelled(session: Session) -> None:
    said = incoming("1", cans(4))
    order = paid(session, said, None)
    first, _ = split(session, order, paid_back=False)
    cancelled = replace(said.lines[0], cancelled_quantity=1)
    take_orders(session, [later(said, 5, lines=(cancelled,), refunded_fen=2_000)], NOW)
    session.refresh(order)
    assert share_of(session, order, first) == 4_000


def test_all_goods_paid_back_there_without_the_freight_is_what_somebody_decided(session: Session) -> None:
    said = incoming("1", cans(2), freight_fen=800)
    order = paid(session, said)
    gone = replace(said.lines[0], cancelled_quantity=2)
    take_orders(session, [later(said, 5, lines=(gone,), refunded_fen=4_000)], NOW)
    session.refresh(order)
    assert order.cancel_requested_at == NOW
    assert is_settled_there(session, order)
