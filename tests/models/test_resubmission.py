"""Correcting and re-submitting what was set aside: the same rules, remembered, and never over newer news."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlmodel import Session, select

from models.book import Taken, take_orders
from models.correction import NotCorrectable
from models.intake import IncomingOrder, Receiver, Unreadable
from models.order import Contact, Order, find_order, lines_of, reveal
from models.quarantine import Quarantined, waiting_list
from models.resubmission import resubmit, waiting_with
from models.timeline import timeline
from tests.models.build import NOW, cans, incoming, later, open_shop

BAD_NAME = "receiver.name"


def test_a_corrected_order_enters_with_what_the_person_wrote(session: Session) -> None:
    # given an order whose SKU nobody knows
    open_shop(session)
    order = replace(incoming(), lines=(replace(cans(), sku="TYPO", channel_line_id="7"),))
    id = set_aside(session, order)
    # when a person corrects the SKU
    told = resubmit(session, id, {"lines.7.sku": cans().sku}, "小林", NOW)
    # then it is in the book, says who changed what, and nothing is set aside any more
    assert told is not None
    assert told.taken is Taken.NEW
    entered = find_order(session, told.order_no)
    assert [line.sku for line in lines_of(session, entered.id or 0)] == [cans().sku]
    corrected = [event for event in timeline(session, entered.id or 0) if event.kind == "corrected"]
    assert [(event.actor, event.detail["fields"]) for event in corrected] == [("小林", ["lines.7.sku"])]
    assert waiting_list(session) == []


def test_what_is_still_wrong_stays_aside_and_says_why(session: Session) -> None:
    open_shop(session)
    id = set_aside(session, with_receiver(name="🐶", phone=""))
    told = resubmit(session, id, {BAD_NAME: "王小明"}, "小林", NOW)
    assert told is not None
    assert told.taken is Taken.QUARANTINED
    assert told.faults == tuple(fault["message"] for fault in waiting_list(session)[0].faults)
    assert len(told.faults) == 1 and "电话" in told.faults[0]
    # and the second correction finds the first one made
    again = resubmit(session, id, {"receiver.phone": "13800138000"}, "小林", NOW)
    assert again is not None
    assert again.taken is Taken.NEW
    assert receiver_of(session, again.order_no).name == "王小明"


def test_a_line_whose_number_is_not_its_own_is_not_guessed(session: Session) -> None:
    # given two lines that a platform gave one number
    open_shop(session)
    bought = incoming()
    twice = tuple(replace(cans(), sku=sku, channel_line_id="7") for sku in ("TYPO", cans().sku))
    id = set_aside(session, replace(bought, lines=twice))
    # then nobody knows which of them a correction is about
    with pytest.raises(NotCorrectable, match="分不清要改哪一行"):
        resubmit(session, id, {"lines.7.sku": "OTHER"}, "小林", NOW)


def test_later_news_with_the_same_flaw_is_corrected_by_itself(session: Session) -> None:
    # given an order that entered with a corrected name
    open_shop(session)
    bad = with_receiver(name="🐶")
    told = resubmit(session, set_aside(session, bad), {BAD_NAME: "王小明"}, "小林", NOW)
    assert told is not None
    # when the platform tells it again, with a new street and the same emoji for a name
    moved = with_receiver(name="🐶", detail="新路 9 号")
    counts = take_orders(session, [later(moved)], NOW)
    # then it is followed, not set aside, and the correction holds
    assert counts == {Taken.CHANGED: 1}
    assert (receiver_of(session, told.order_no).name, receiver_of(session, told.order_no).detail) == (
        "王小明",
        "新路 9 号",
    )


def test_where_the_platform_says_something_new_it_wins(session: Session) -> None:
    open_shop(session)
    told = resubmit(session, set_aside(session, with_receiver(name="🐶")), {BAD_NAME: "王小明"}, "小林", NOW)
    assert told is not None
    take_orders(session, [later(with_receiver(name="李雷"))], NOW)
    assert receiver_of(session, told.order_no).name == "李雷"


def test_correcting_twice_before_it_enters_remembers_what_the_platform_said(session: Session) -> None:
    open_shop(session)
    bad = with_receiver(name="🐶", phone="")
    id = set_aside(session, bad)
    resubmit(session, id, {BAD_NAME: "王小"}, "小林", NOW)
    told = resubmit(session, id, {BAD_NAME: "王小明", "receiver.phone": "13800138000"}, "小林", NOW)
    assert told is not None
    take_orders(session, [later(bad)], NOW)
    assert receiver_of(session, told.order_no).name == "王小明"


def test_pressed_twice_the_second_finds_nothing_to_do(session: Session) -> None:
    open_shop(session)
    id = set_aside(session, with_receiver(name="🐶"))
    resubmit(session, id, {BAD_NAME: "王小明"}, "小林", NOW)
    assert resubmit(session, id, {BAD_NAME: "王小明"}, "小林", NOW) is None
    assert len(session.exec(select(Order)).all()) == 1


def test_what_could_not_be_read_cannot_be_corrected_here(session: Session) -> None:
    open_shop(session)
    take_orders(session, [Unreadable("shopify", "pets", "9", "no id", {"odd": 1})], NOW)
    told = resubmit(session, waiting_list(session)[0].id or 0, {}, "小林", NOW)
    assert told is not None
    assert told.taken is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "shipped"),
        ("buyer", "somebody"),
        ("receiver.masked", True),
        ("lines.none.sku", "A"),
        ("lines.1.attributes", {}),
        ("total_fen", "12"),
        ("total_fen", True),
        ("__class__", "x"),
        ("receiver.__dict__", "x"),
        ("", ""),
    ],
)
def test_only_what_may_be_changed_can_be(session: Session, path: str, value: object) -> None:
    open_shop(session)
    id = set_aside(session, with_receiver(name="🐶"))
    with pytest.raises(NotCorrectable):
        resubmit(session, id, {path: value}, "小林", NOW)


def test_once_the_product_is_there_all_orders_with_that_fault_can_be_found(session: Session) -> None:
    open_shop(session)
    unknown = replace(incoming("1"), lines=(replace(cans(), sku="NEW-SKU"),))
    set_aside(session, unknown)
    take_orders(session, [replace(with_receiver(name="🐶"), channel_order_id="2")], NOW)
    assert len(waiting_with(session)) == 2
    assert len(waiting_with(session, ["unknown_sku"])) == 1
    assert waiting_with(session, ["unknown_sku"], ["douyin"]) == []


def with_receiver(**changes: str) -> IncomingOrder:
    """A paid order with some of its receiver's fields changed."""
    order = incoming()
    assert order.receiver is not None
    return replace(order, receiver=replace(order.receiver, **changes))  # type: ignore[arg-type]


def set_aside(session: Session, order: IncomingOrder) -> int:
    """Take in an order that cannot enter; the id of its row."""
    assert take_orders(session, [order], NOW) == {Taken.QUARANTINED: 1}
    return session.exec(select(Quarantined.id).where(Quarantined.channel_order_id == order.channel_order_id)).one() or 0


def receiver_of(session: Session, order_no: str) -> Receiver:
    """The receiver that the book has."""
    return reveal(session.get_one(Contact, find_order(session, order_no).contact_id))
