"""Changes that come late or again: after a part has left or is being paid back, of what was made, and after the end."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import Session

from models.book import Taken, take_orders
from models.change import changes_of
from models.checks import check
from models.compensation import Cause, Limits, decide, request
from models.explain_facts import happened, teller
from models.fulfilment import Stage
from models.hold import open_holds
from models.intake import IncomingOrder, PlatformStatus
from models.production import take_report, work_orders_of
from models.reservation import Purpose, held_for
from models.timeline import timeline
from tests.models.build import CAN, DRY, NOW, RECEIVER, incoming, later, made, open_shop, taken
from tests.models.change_lane import ChangeLane, Outside, shipped
from tests.models.order_story import MOVED, Story, at_the_end, fewer_cans, more_cans, story

NO_ROOM = Limits(0, 0, 0, 0, 0, "compensate", 14)


def bags(order: IncomingOrder, cancelled: int) -> IncomingOrder:
    """So many of the three bags are cancelled."""
    return later(order, lines=(order.lines[0], replace(order.lines[1], cancelled_quantity=cancelled)))


def reasons(told: Story) -> list[str]:
    """What the holds that stand say."""
    return [hold.reason for hold in open_holds(told.session, told.order.id or 0)]


def sound(session: Session) -> bool:
    """Whether no rule of the whole database is broken."""
    return [violation.code for violation in check(session, NOW)] == []


def test_every_change_after_shipping_asks_a_person_about_its_own_goods(session: Session) -> None:
    told = story(session, "shipped")
    for cancelled in (1, 3):
        told.says(lambda order, cancelled=cancelled: bags(order, cancelled))  # type: ignore[misc]
        told.lane.carry()
    assert told.codes() == ["changed_after_shipping"] * 2
    assert [reason.partition("其中的 ")[2] for reason in reasons(told)] == [f"{DRY} × 1", f"{DRY} × 2"]
    assert told.kinds()["held"] == 2
    assert sound(session)


def test_every_time_that_fewer_are_wanted_of_what_was_made_somebody_shelves_the_rest(session: Session) -> None:
    told = story(session, "in production", Outside(stops=False))
    for cancelled in (1, 2):
        told.says(lambda order, cancelled=cancelled: bags(order, cancelled))  # type: ignore[misc]
        told.lane.follow()
    assert [reason.partition(",")[2] for reason in reasons(told)] == [f"多做了 1 件 {DRY}"] * 2
    assert sound(session)


def test_what_one_work_order_used_up_is_not_taken_from_another_of_the_same_part(session: Session) -> None:
    # given two lines of bags in production, the first of which has been made
    open_shop(session)
    first, second = made(3, channel_line_id="a"), made(2, channel_line_id="b")
    order = taken(session, incoming("1", first, second))
    lane = ChangeLane(session, order, NOW)
    lane.carry(Stage.PRODUCED, factory_works=False)
    told = Story(session, order, lane, incoming("1", first, second))
    part = told.parts[0].id or 0
    done, other = work_orders_of(session, part)
    take_report(session, "r-1", done.work_order_no, "work_order.completed", NOW, {}, NOW)
    # when it is lessened twice
    for cancelled in (1, 2):
        lines = (replace(first, cancelled_quantity=cancelled), second)
        told.says(lambda said, lines=lines: later(said, lines=lines))  # type: ignore[misc]
        lane.follow()
    # then what the second is made of is still promised, all of it
    held = {row.sku: row.quantity for row in held_for(session, part) if row.purpose == Purpose.INGREDIENT.value}
    assert held == other.grams
    assert sound(session)


def test_what_is_wanted_no_more_is_not_sent_when_a_compensation_is_declined(session: Session) -> None:
    # given an order whose compensation waits for a person's word
    told = story(session, "reserved")
    taken_up, _ = request(session, told.parts[0], Cause.OUT_OF_STOCK, "没有货", "test", NOW, NO_ROOM)
    assert taken_up and told.codes() == ["compensation_limit"]
    # when a can is cancelled there, and then the compensation is declined
    told.says(fewer_cans)
    told.lane.carry()
    assert told.states() == [("lines", "asked")]
    decide(session, told.order.id or 0, False, "王敏", NOW)
    told.lane.carry()
    # then the can is not sent
    assert shipped(session, told.order) == {CAN: 1, DRY: 3}
    assert told.states() == [("lines", "applied")]
    assert sound(session)


def test_the_end_on_the_channel_of_an_order_that_is_over_is_in_the_timeline(session: Session) -> None:
    told = story(session)
    at_the_end(told.lane, Stage.CLOSED)
    assert told.says(lambda order: later(order, status=PlatformStatus.REFUNDED)) == {Taken.CHANGED: 1}
    assert (told.kinds()["changed_on_channel"], told.kinds()["cancel_requested"]) == (1, 0)
    # and said once more it is nothing new
    assert take_orders(session, [told.said], NOW) == {Taken.KNOWN: 1}
    assert told.kinds()["changed_on_channel"] == 1


def test_a_new_address_of_an_order_that_its_channel_calls_shipped_reaches_a_person(session: Session) -> None:
    told = story(session, "shipped")
    told.says(lambda order: later(order, status=PlatformStatus.SHIPPED))
    told.says(lambda order: later(order, receiver=MOVED))
    told.lane.carry()
    assert told.codes() == ["address_changed"]
    assert told.kinds()["address_changed"] == 1
    assert told.states() == [("address", "by_hand")]


def test_an_address_that_is_blanked_after_shipping_is_no_new_one(session: Session) -> None:
    told = story(session, "shipped")
    for receiver in (None, replace(RECEIVER, name="", phone="", detail=""), replace(MOVED, detail="***", masked=True)):
        told.says(lambda order, to=receiver: later(order, status=PlatformStatus.SHIPPED, receiver=to))  # type: ignore[misc]
    assert changes_of(session, told.order.id or 0) == []


def test_a_balance_that_another_edit_raises_is_said_anew(session: Session) -> None:
    told = story(session, "reserved")
    paid = told.said.paid_fen
    for _ in range(2):
        told.says(lambda order: replace(more_cans(order), status=PlatformStatus.AWAITING_PAYMENT, paid_fen=paid))
    told.lane.carry()
    assert reasons(told) == ["改单以后还差 120.00 元 没有付"]
    assert told.kinds()["held"] == 2


def test_the_timeline_says_statuses_and_answers_in_words(session: Session) -> None:
    told = story(session)
    told.says(lambda order: later(order, status=PlatformStatus.HELD))
    (event,) = [e for e in timeline(session, told.order.id or 0) if e.kind == "changed_on_channel"]
    assert happened(event, teller("zh")) == "渠道上有变更:待发货 → 平台冻结"
    assert happened(event, teller("en")) == "changed on the channel: to ship → held by the platform"
    event.kind, event.detail = "called_back", {"what": "SH-1001-1", "stopped": False}
    assert happened(event, teller("zh")) == "撤回 SH-1001-1:撤不回"
    session.expunge(event)
