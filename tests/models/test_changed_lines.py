"""Edits, in whatever order they come: the newest counts, nothing is made twice, nobody is asked the same again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from sqlmodel import Session

from models.book import Taken, take_orders
from models.cancellation import request_cancellation
from models.change import changes_of, overtakes_review
from models.checks import check
from models.fulfilment import ClaimLost, Stage, hold_on
from models.intake import IncomingOrder, PlatformStatus
from models.order import Order, find_order, lines_of
from models.production import WorkState, work_orders_of
from models.review import latest_case, open_case
from tests.models.build import CAN, DRY, NOW, claimed, engine_of, incoming, later, made, open_shop, taken
from tests.models.change_lane import Outside, shipped
from tests.models.order_story import (
    BOUGHT,
    fewer_bags,
    fewer_cans,
    money_back,
    more_cans,
    new_address,
    no_bags,
    story,
)
from tests.models.test_stock_at_once import at_once


def bags(order: IncomingOrder, cancelled: int) -> IncomingOrder:
    """So many of the three bags are cancelled."""
    return later(order, lines=(order.lines[0], replace(order.lines[1], cancelled_quantity=cancelled)))


def sound(session: Session) -> bool:
    """Whether no rule of the whole database is broken."""
    return [violation.code for violation in check(session, NOW)] == []


def test_a_second_change_while_the_first_is_called_back_is_the_one_that_counts(session: Session) -> None:
    # given bags of which two are taken away, and a lane that has called the factory back and then died
    told = story(session, "in production")
    told.says(fewer_bags)
    claim = told.lane.claim()
    told.lane.call_back_once(claim)
    # when one of the two is wanted again after all, and another lane takes over
    told.says(lambda order: bags(order, 1))
    with pytest.raises(ClaimLost):
        hold_on(session, claim)
    told.lane.carry()
    # then two are made anew, once, and sent
    works = [(w.quantity, w.state) for part in told.parts for w in work_orders_of(session, part.id or 0)]
    assert works == [(3, "called_back"), (2, "completed")]
    assert shipped(session, told.order) == {CAN: 2, DRY: 2}
    assert told.states() == [("refund", "applied"), ("lines", "applied"), ("lines", "applied")]
    assert set(told.lane.outside.told.values()) == {1}
    assert sound(session)


def test_taken_away_and_given_back_before_anybody_looked_changes_nothing(session: Session) -> None:
    told = story(session, "in production")
    told.says(lambda order: bags(order, 2))
    told.says(lambda order: bags(order, 0))
    told.lane.carry()
    assert len(told.parts) == 1
    assert shipped(session, told.order) == {CAN: 2, DRY: 3}
    assert not any(key.startswith("release-cancel") for key in told.lane.outside.told)
    assert sound(session)


@pytest.mark.parametrize("reached", ["in production", "produced"])
def test_what_the_factory_will_not_stop_is_sent_as_far_as_it_is_wanted(session: Session, reached: str) -> None:
    # given a factory that has made what it is asked to stop
    told = story(session, reached, Outside(stops=False))
    # when two of three bags are taken away
    told.says(fewer_bags)
    told.lane.carry()
    # then one of the three is sent; the flour of all three is used up, and two bags are somebody's to shelve
    assert shipped(session, told.order) == {CAN: 2, DRY: 1}
    assert [part.stage for part in told.parts] == ["shipped"]
    assert told.codes() == ["overmade"]
    assert sound(session)


def test_all_bags_gone_and_the_factory_refuses_the_rest_is_sent_all_the_same(session: Session) -> None:
    told = story(session, "in production", Outside(stops=False))
    told.says(no_bags)
    told.lane.carry()
    (work,) = work_orders_of(session, told.parts[0].id or 0)
    assert work.state == WorkState.COMPLETED.value
    assert shipped(session, told.order) == {CAN: 2}
    assert told.codes() == ["overmade"]
    assert sound(session)


def test_a_batch_that_failed_is_not_made_again_for_what_is_wanted_no_more(session: Session) -> None:
    # given a batch that failed, and a person who is asked about it
    told = story(session, "in production")
    (work,) = work_orders_of(session, told.parts[0].id or 0)
    work.state = WorkState.FAILED.value
    session.add(work)
    # when only one of the three bags is wanted
    told.says(fewer_bags)
    told.lane.carry()
    # then one is made anew, and the ingredients of three are gone
    assert shipped(session, told.order) == {CAN: 2, DRY: 1}
    assert sound(session)


def test_a_waybill_that_the_carrier_keeps_leaves_the_parcel_as_it_is(session: Session) -> None:
    told = story(session, "with a waybill", Outside(cancels=False))
    told.says(fewer_cans)
    told.lane.carry()
    assert shipped(session, told.order) == {CAN: 2, DRY: 3}
    assert told.codes() == ["changed_after_shipping"]
    assert told.states() == [("lines", "by_hand")]
    # and the same once more is no second question
    told.says(money_back)
    told.lane.carry()
    assert told.kinds()["held"] == 1
    assert sound(session)


def test_an_address_that_the_carrier_does_not_take_back_holds_the_order(session: Session) -> None:
    told = story(session, "with a waybill", Outside(cancels=False))
    told.says(new_address)
    told.lane.carry()
    assert told.codes() == ["address_changed"]
    assert [part.stage for part in told.parts] == ["produced"]
    assert told.states() == [("address", "by_hand")]


def test_all_lines_gone_is_a_cancellation(session: Session) -> None:
    told = story(session, "reserved")
    told.says(
        lambda order: later(order, lines=tuple(replace(line, cancelled_quantity=line.quantity) for line in order.lines))
    )
    session.refresh(told.order)
    assert (told.order.cancel_requested_at, told.order.cancel_reason) == (NOW, "平台上已取消全部商品")
    assert told.states() == [("lines", "applied")]


def test_cancelled_while_something_is_called_back_the_change_is_over(session: Session) -> None:
    told = story(session, "in production")
    told.says(fewer_bags)
    request_cancellation(session, told.order, "不要了", "客服", NOW)
    assert told.states() == [("refund", "applied"), ("lines", "declined")]
    # and edits of a cancelled order ask for nothing
    told.says(lambda order: bags(order, 1))
    assert told.states() == [("refund", "applied"), ("lines", "declined")]


def test_old_news_of_lines_changes_nothing(session: Session) -> None:
    told = story(session)
    told.says(fewer_bags)
    assert take_orders(session, [replace(BOUGHT, lines=BOUGHT.lines[:1])], NOW) == {Taken.KNOWN: 1}
    assert told.kinds()["lines_changed"] == 1


def test_within_one_second_the_larger_sum_paid_back_is_news(session: Session) -> None:
    told = story(session)
    told.says(lambda order: later(order, refunded_fen=100))
    more = replace(told.said, refunded_fen=300)
    assert take_orders(session, [more], NOW) == {Taken.CHANGED: 1}
    assert take_orders(session, [more, told.said], NOW) == {Taken.KNOWN: 2}
    assert told.kinds()["partly_refunded"] == 2


def test_eight_lanes_hear_the_same_change_at_once_and_it_is_one(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_shop(session)
            taken(session, BOUGHT)
            session.commit()
        change = fewer_bags(BOUGHT)
        told = at_once(engine, [lambda session: take_orders(session, [change], NOW)] * 8)
        assert [str(counts) for counts in told].count(str(Counter({Taken.CHANGED: 1}))) == 1
        with Session(engine) as session:
            changes = changes_of(session, find_order(session, "SH-1001").id or 0)
            assert [(row.kind, row.state) for row in changes] == [("refund", "applied"), ("lines", "asked")]


def test_a_paid_line_is_never_deleted_and_comes_back_to_life(session: Session) -> None:
    told = story(session)
    told.says(no_bags)
    told.lane.follow()
    assert lines(session, told.order) == [
        (CAN, 2, 0),
        (DRY, 3, 3),
    ]
    told.says(lambda order: later(order, lines=BOUGHT.lines, total_fen=BOUGHT.total_fen))
    told.lane.carry()
    assert lines(session, told.order) == [
        (CAN, 2, 0),
        (DRY, 3, 0),
    ]
    assert shipped(session, told.order) == {CAN: 2, DRY: 3}
    assert sound(session)


def lines(session: Session, order: Order) -> list[tuple[str, int, int]]:
    """SKU, quantity and cancelled quantity of each line."""
    return [(line.sku, line.quantity, line.cancelled_quantity) for line in lines_of(session, order.id or 0)]


@pytest.mark.parametrize("reached", ["received", "reserved", "in production"])
def test_a_pet_that_is_described_otherwise_gets_its_own_recipe(session: Session, reached: str) -> None:
    # given a dog that does not stand chicken after all
    told = story(session, reached)
    before = told.recipes()
    allergic = replace(BOUGHT.lines[1], attributes={**BOUGHT.lines[1].attributes, "allergens": "chicken"})
    told.says(lambda order: later(order, lines=(order.lines[0], allergic)))
    told.lane.carry()
    # then what it gets is made by another recipe, once
    assert shipped(session, told.order) == {CAN: 2, DRY: 3}
    assert told.recipes() != before
    assert told.kinds()["lines_changed"] == 1
    assert sound(session)


def test_an_order_that_grew_is_reviewed_anew_and_one_that_shrank_is_not(session: Session) -> None:
    told = story(session, "reserved")
    case = open_case(session, told.order.id or 0, told.parts[0].id or 0, ["金额"], 22, NOW)
    told.says(fewer_bags)
    assert not overtakes_review(session, told.order.id or 0, case.id or 0)
    told.says(more_cans)
    assert overtakes_review(session, told.order.id or 0, case.id or 0)
    told.lane.follow()
    case_now = latest_case(session, told.parts[0].id or 0)
    assert case_now is not None
    session.refresh(case_now)
    assert case_now.state == "withdrawn"
    assert [part.stage for part in told.parts] == [Stage.RECEIVED.value]


def test_a_balance_that_is_due_holds_the_order_until_it_is_paid(session: Session) -> None:
    # given a paid order that is edited to be dearer
    told = story(session, "reserved")
    paid = more_cans(told.said)
    told.says(lambda order: replace(paid, status=PlatformStatus.AWAITING_PAYMENT, paid_fen=order.paid_fen))
    told.lane.carry()
    # then it waits, and keeps what it was promised
    assert told.codes() == ["balance_due"]
    assert told.states() == [("lines", "asked")]
    assert told.on_hand(CAN) == (100, 2)
    assert sound(session)
    # when the rest is paid
    told.says(lambda order: later(paid, 10))
    told.lane.carry()
    # then all of it is sent
    assert told.codes() == []
    assert shipped(session, told.order) == {CAN: 5, DRY: 3}
    assert sound(session)


def test_a_balance_whose_line_is_taken_away_again_is_due_no_more(session: Session) -> None:
    told = story(session, "reserved")
    dearer = more_cans(told.said)
    told.says(lambda order: replace(dearer, status=PlatformStatus.AWAITING_PAYMENT, paid_fen=order.paid_fen))
    told.says(lambda order: later(BOUGHT, 20))
    told.lane.carry()
    assert told.codes() == []
    assert shipped(session, told.order) == {CAN: 2, DRY: 3}
    assert sound(session)


def test_whoever_works_on_the_order_loses_it_to_a_change(session: Session) -> None:
    told = story(session, "reserved")
    claim = told.lane.claim()
    told.says(fewer_cans)
    with pytest.raises(ClaimLost):
        hold_on(session, claim)


def test_an_unpaid_order_is_rewritten_with_what_was_cancelled_of_it(session: Session) -> None:
    open_shop(session)
    unpaid = incoming("9", made(3), status=PlatformStatus.AWAITING_PAYMENT, paid_fen=0, paid_at=None)
    order = taken(session, unpaid)
    paid = replace(made(3), cancelled_quantity=1)
    take_orders(session, [later(incoming("9", paid))], NOW)
    assert claimed(session, order).stage is Stage.RECEIVED
    assert [(line.quantity, line.cancelled_quantity) for line in lines_of(session, order.id or 0)] == [(3, 1)]
    assert changes_of(session, order.id or 0) == []
    assert sound(session)


def test_an_unpaid_order_of_which_nothing_is_left_is_cancelled(session: Session) -> None:
    open_shop(session)
    unpaid = incoming("9", made(3), status=PlatformStatus.AWAITING_PAYMENT, paid_fen=0, paid_at=None)
    order = taken(session, unpaid)
    take_orders(session, [later(unpaid, lines=(replace(made(3), cancelled_quantity=3),))], NOW)
    session.refresh(order)
    assert (order.cancel_requested_at, order.cancel_reason) == (NOW, "平台上已取消全部商品")


def test_what_is_told_of_an_order_that_was_sent_only_takes_away(session: Session) -> None:
    # given an order that has left, and a channel that blanks what it says of such
    told = story(session, "shipped")
    bare = replace(told.said.lines[1], cancelled_quantity=1, paid_fen=0)
    told.says(lambda order: later(order, status=PlatformStatus.SHIPPED, lines=(bare,), total_fen=0, receiver=None))
    told.lane.carry()
    # then the bag that was paid back is a person's, and nothing else is believed
    assert told.codes() == ["changed_after_shipping"]
    assert lines(session, told.order) == [(CAN, 2, 0), (DRY, 3, 1)]
    session.refresh(told.order)
    assert told.order.total_fen == BOUGHT.total_fen
    assert sound(session)
