"""News of an order in the book that cannot be taken in: it is never ignored, and never holds an order for good."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import Session

from models.book import Taken, take_orders
from models.checks import check
from models.fulfilment import Stage
from models.hold import lift, open_holds
from models.intake import IncomingOrder, Unreadable
from models.unread_news import HOLD
from tests.models.build import NOW, later
from tests.models.order_story import BOUGHT, MOVED, Story, at_the_end, story


def unknown_goods(order: IncomingOrder) -> IncomingOrder:
    """Edited to goods that we have never heard of."""
    return later(order, lines=(replace(order.lines[0], sku="NEVER-HEARD-OF"), *order.lines[1:]))


def holds(told: Story) -> list[str]:
    return [hold.code for hold in open_holds(told.session, told.order.id or 0)]


def take(told: Story, *news: IncomingOrder | Unreadable) -> list[Taken]:
    taken = sorted(take_orders(told.session, news, NOW).elements())
    told.session.commit()
    return taken


def test_an_edit_that_cannot_be_taken_in_stops_the_order_until_it_can(session: Session) -> None:
    # given an order on its way through the lane
    told = story(session, "in production")
    wrong = unknown_goods(BOUGHT)
    # when an edit comes that names goods which nobody knows, again and again
    assert [take(told, wrong) for _ in range(3)] == [[Taken.QUARANTINED]] * 3
    # then the order waits for a person, who is told what is wrong, once
    assert [code.startswith(HOLD) for code in holds(told)] == [True]
    assert "NEVER-HEARD-OF" in open_holds(session, told.order.id or 0)[0].reason
    assert told.kinds()["held"] == 1
    # and when it is put right, it goes on by itself with what is right
    assert take(told, later(wrong, lines=BOUGHT.lines, receiver=MOVED)) == [Taken.CHANGED]
    assert holds(told) == []
    assert [violation.code for violation in check(session, NOW)] == []


def test_what_a_person_let_go_on_is_stopped_by_the_next_news_and_not_again_by_the_same(session: Session) -> None:
    told = story(session, "in production")
    wrong = replace(unknown_goods(BOUGHT), raw={"version": 1})
    take(told, wrong)
    (first,) = holds(told)
    assert lift(session, told.order.id or 0, "客服", NOW, [first]) == [first]
    take(told, wrong)
    assert holds(told) == []
    # when the customer edits once more, and that cannot be taken in either
    take(told, replace(later(wrong), raw={"version": 2}))
    (second,) = holds(told)
    assert second != first
    # and both versions come again, out of order
    take(told, wrong)
    assert holds(told) == [second]


def test_an_order_that_has_ended_is_not_held(session: Session) -> None:
    told = story(session)
    at_the_end(told.lane, Stage.CLOSED)
    assert take(told, unknown_goods(BOUGHT)) == [Taken.QUARANTINED]
    assert holds(told) == []


def test_news_that_nobody_can_read_stop_it_too(session: Session) -> None:
    told = story(session, "in production")
    garbled = Unreadable(BOUGHT.channel, BOUGHT.shop, BOUGHT.channel_order_id, "no total", {"id": "?"})
    assert [take(told, garbled) for _ in range(2)] == [[Taken.QUARANTINED]] * 2
    assert [code.startswith(HOLD) for code in holds(told)] == [True]
