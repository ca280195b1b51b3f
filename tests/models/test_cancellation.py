"""Cancelling: asked for once, interrupts whoever works on it, and gives back the stock exactly once."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models.cancellation import finish, request_cancellation
from models.checks import check
from models.fulfilment import ClaimLost, Stage, WaitingOn, fulfilments_of, hold_on
from models.hold import open_holds
from models.order import Order, find_order
from models.review import latest_case
from models.timeline import timeline
from tests.models.build import CAN, NOW, claimed, engine_of, incoming, open_shop, taken, waiting, walk
from tests.models.test_stock import counters
from tests.models.test_stock_at_once import at_once


def an_order(session: Session, stage: Stage | None = None) -> Order:
    """SH-1001, two cans out of ten, at this stage."""
    open_shop(session, cans=10)
    order = taken(session, incoming("1"))
    if stage is not None:
        walk(session, order.order_no, stage)
    return order


def events(session: Session, order: Order, kind: str) -> int:
    """How often this happened to the order."""
    assert order.id is not None
    return [event.kind for event in timeline(session, order.id)].count(kind)


def codes(session: Session, order: Order) -> list[str]:
    """The codes of its open holds."""
    assert order.id is not None
    return [held.code for held in open_holds(session, order.id)]


@pytest.mark.parametrize("stage", [None, Stage.RESERVED, Stage.APPROVED, Stage.PRODUCED])
def test_before_shipping_it_ends_and_the_stock_is_back(session: Session, stage: Stage | None) -> None:
    order = an_order(session, stage)
    reserved = 0 if stage is None else 2
    assert counters(session) == (10, reserved)

    sentence = request_cancellation(session, order, "不想要了", "客服 王敏", NOW)
    assert sentence == "订单 SH-1001 正在取消:不想要了"
    assert counters(session) == (10, reserved)  # only once everything is called back
    finish(session, claimed(session, order), False, "不要了", NOW)

    assert counters(session) == (10, 0)
    assert order.id is not None
    (part,) = fulfilments_of(session, order.id)
    assert (part.stage, part.ready_at, part.claimed_by) == ("cancelled", None, None)
    assert (events(session, order, "cancel_requested"), events(session, order, "cancelled")) == (1, 1)
    assert codes(session, order) == []
    assert [violation.code for violation in check(session, NOW)] == []


def test_a_second_request_changes_nothing(session: Session) -> None:
    order = an_order(session, Stage.RESERVED)
    request_cancellation(session, order, "不想要了", "客服", NOW)
    assert order.id is not None
    fence = fulfilments_of(session, order.id)[0].fence

    assert request_cancellation(session, order, "又点了一次", "客服", NOW) == "订单 SH-1001 已经在取消(不想要了)。"

    assert fulfilments_of(session, order.id)[0].fence == fence
    assert events(session, order, "cancel_requested") == 1


def test_eight_requests_at_once_are_one(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            an_order(session, Stage.RESERVED)
            session.commit()

        def ask(session: Session) -> str:
            return request_cancellation(session, find_order(session, "SH-1001"), "取消", "客服", NOW)

        results = at_once(engine, [ask] * 8)

        assert sorted(map(str, results)) == ["订单 SH-1001 已经在取消(取消)。"] * 7 + ["订单 SH-1001 正在取消:取消"]
        with Session(engine) as session:
            assert events(session, find_order(session, "SH-1001"), "cancel_requested") == 1


def test_whoever_works_on_it_loses_the_claim(session: Session) -> None:
    order = an_order(session)
    claim = claimed(session, order)

    request_cancellation(session, order, "取消", "客服", NOW)

    with pytest.raises(ClaimLost):
        hold_on(session, claim)
    with pytest.raises(ClaimLost):
        finish(session, claim, False, "不要了", NOW)
    assert counters(session) == (10, 0)


def test_an_open_review_is_withdrawn(session: Session) -> None:
    order = an_order(session, Stage.RESERVED)
    claim = waiting(session, order, WaitingOn.REVIEW, "金额")

    request_cancellation(session, order, "取消", "客服", NOW)

    case = latest_case(session, claim.fulfilment_id)
    assert case is not None
    session.refresh(case)
    assert case.state == "withdrawn"


@pytest.mark.parametrize("stage", [Stage.SHIPPED, Stage.DELIVERED])
def test_what_has_left_is_for_a_person_and_stays_consumed(session: Session, stage: Stage) -> None:
    order = an_order(session, stage)

    sentence = request_cancellation(session, order, "不想要了", "客服", NOW)

    assert sentence == "订单 SH-1001 已经发货,取消请求已记录,需要人工拦截。"
    assert codes(session, order) == ["cancel_after_shipping"]
    assert counters(session) == (8, 0)
    assert order.id is not None
    assert fulfilments_of(session, order.id)[0].stage == stage


@pytest.mark.parametrize("how", ["closed", "cancelled"])
def test_what_has_ended_has_nothing_to_cancel(session: Session, how: str) -> None:
    order = an_order(session, Stage.CLOSED if how == "closed" else None)
    if how == "cancelled":
        request_cancellation(session, order, "取消", "客服", NOW)
        finish(session, claimed(session, order), False, "不要了", NOW)
        session.execute(text("UPDATE orders SET cancel_requested_at = NULL"))
    before = events(session, order, "cancel_requested")

    assert request_cancellation(session, order, "再取消", "客服", NOW) == "订单 SH-1001 已经结束,没有可取消的部分。"

    assert events(session, order, "cancel_requested") == before


def test_the_end_of_an_order_gives_back_its_stock_and_leaves_no_hold(session: Session) -> None:
    order = an_order(session)
    request_cancellation(session, order, "取消", "客服", NOW)

    finish(session, claimed(session, order), False, "取消", NOW)

    assert codes(session, order) == []
    assert counters(session, CAN) == (10, 0)
