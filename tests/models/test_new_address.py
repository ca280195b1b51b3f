"""New receivers: in clear, and on channels that tell no more than masks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlmodel import Session

from models.book import Taken, take_orders
from models.change import changes_of
from models.intake import IncomingOrder
from models.order import Contact, Order, keep_contact, reveal
from models.timeline import timeline
from tests.models.build import NOW, RECEIVER, incoming, later, open_shop, taken

MASKED = replace(RECEIVER, name="王**", phone="138****5678", detail="科***", masked=True)


def lifted(session: Session, *versions: IncomingOrder) -> Order:
    """An order that came with a mask, which was lifted for its waybill; then its channel told these versions."""
    open_shop(session)
    order = taken(session, incoming("1", receiver=MASKED))
    for version in versions:
        take_orders(session, [version], NOW)
    keep_contact(session, RECEIVER, session.get_one(Contact, order.contact_id))
    return order


def receiver(session: Session, order: Order) -> Contact:
    return session.get_one(Contact, order.contact_id, populate_existing=True)


def test_the_same_mask_again_leaves_what_is_known_in_clear(session: Session) -> None:
    order = lifted(session, later(incoming("1", receiver=MASKED), 1))
    virtual = replace(MASKED, phone="184****0001")  # platforms give out other virtual numbers
    assert take_orders(session, [later(incoming("1", receiver=virtual), 5)], NOW) == {Taken.KNOWN: 1}
    assert reveal(receiver(session, order)) == RECEIVER
    assert changes_of(session, order.id or 0) == []


@pytest.mark.parametrize("told_before", [True, False])
def test_another_mask_is_another_receiver_and_is_lifted_anew(session: Session, told_before: bool) -> None:
    # given a mask that was lifted; the channel has told it since the order came in, or not
    order = lifted(session, *([later(incoming("1", receiver=MASKED), 1)] if told_before else []))
    # when the mask is of another district
    moved = replace(MASKED, district="福田区", detail="福***")
    assert take_orders(session, [later(incoming("1", receiver=moved), 5)], NOW) == {Taken.CHANGED: 1}
    # then it is the mask that we have, until somebody needs what is under it
    contact = receiver(session, order)
    assert (contact.only_masked, contact.district) == (True, "福田区")
    assert [(change.kind, change.state) for change in changes_of(session, order.id or 0)] == [("address", "applied")]


@pytest.mark.parametrize("told_before", [True, False])
def test_another_street_under_the_mask_is_noticed_from_the_first_follow_up_on(
    session: Session, told_before: bool
) -> None:
    order = lifted(session, *([later(incoming("1", receiver=MASKED), 1)] if told_before else []))
    moved = replace(MASKED, detail="深***")
    assert take_orders(session, [later(incoming("1", receiver=moved), 5)], NOW) == {Taken.CHANGED: 1}
    assert receiver(session, order).only_masked


def test_another_virtual_number_under_a_mask_is_no_other_receiver(session: Session) -> None:
    # given a mask that nobody has lifted yet
    open_shop(session)
    order = taken(session, incoming("1", receiver=MASKED))
    # when the platform gives out another number
    virtual = replace(MASKED, phone="184****0001")
    assert take_orders(session, [later(incoming("1", receiver=virtual))], NOW) == {Taken.KNOWN: 1}
    # then it is kept, and nobody is stopped for it
    assert reveal(receiver(session, order)) == virtual
    assert changes_of(session, order.id or 0) == []


def test_the_row_and_the_timeline_of_a_new_address_name_nobody(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1"))
    moved = replace(RECEIVER, name="赵玉珍", phone="13987654321", detail="新地址 5 号")
    take_orders(session, [later(incoming("1", receiver=moved))], NOW)
    (change,) = changes_of(session, order.id or 0)
    written = f"{change.before} {change.after} {[event.detail for event in timeline(session, order.id or 0)]}"
    assert not any(secret in written for secret in ("赵玉珍", "13987654321", "新地址", "王小明", "科技园"))
    assert reveal(receiver(session, order)) == moved
