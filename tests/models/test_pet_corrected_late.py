"""A pet that is corrected after a recipe was promised: every part begins again with it, whoever's lane looks first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import Session

from models import compensation
from models.book import take_orders
from models.change import is_asked
from models.compensation import Cause, Limits
from models.form_desk import save_answers
from models.fulfilment import Claim, Stage, WaitingOn, carried_by, claim_order, fulfilments_of, park
from models.intake import IncomingOrder
from models.order import Order, find_order, lines_of
from models.revision import revise
from models.settings import settings
from models.splitting import split_off
from tests.models.build import NOW, PET, cans, claimed, incoming, later, made, open_shop, taken, walk

#: Nothing may be paid back without somebody's word.
ASK_FIRST = replace(Limits.of(settings().policy), an_hour=0, fen_a_day=0)


def brought_up_to_date(session: Session, claim: Claim) -> None:
    while revise(session, claim, NOW) is not None:
        pass


def allergic(told: IncomingOrder, *before: object) -> IncomingOrder:
    """The same order, its pet allergic to chicken after all."""
    return later(told, 30, lines=(*before, made(1, pet={**PET, "allergens": "鸡肉"})))


def recipes_of_part(session: Session, order: Order, number: int) -> tuple[str, list[str | None]]:
    """The stage of a part, and the recipes by which it makes what it carries."""
    part = next(part for part in fulfilments_of(session, order.id or 0) if part.number == number)
    return part.stage, [carried.recipe for carried in carried_by(session, part.id or 0)]


@pytest.mark.parametrize("by_channel", [False, True], ids=["by staff", "by the channel"])
@pytest.mark.parametrize("first", [1, 2])
def test_the_part_that_is_made_begins_again_whichever_part_is_looked_at_first(
    session: Session, first: int, by_channel: bool
) -> None:
    # given an order in two parts, one of them made for a pet, with its recipe promised
    open_shop(session)
    told = incoming("1", cans(2), made(1))
    order = taken(session, told)
    walk(session, order.order_no, Stage.RESERVED)
    order = find_order(session, order.order_no)
    can, food = lines_of(session, order.id or 0)
    split_off(session, order, {can.id or 0: 2}, "主管", NOW)
    # when the pet turns out to be allergic, and the lane of either part is the first to look
    if by_channel:
        take_orders(session, [allergic(told, cans(2))], NOW + timedelta(minutes=31))
    else:
        save_answers(session, order, food.line_no, {"allergens": ["chicken"]}, "客服小张", NOW)
    session.expire_all()
    lanes = {c.number: c for c in claim_order(session, order.id or 0, "lane", 120, NOW + timedelta(hours=1))}
    for number in (first, 3 - first):
        brought_up_to_date(session, lanes[number])
    # then the part that is made has no promise left and is to choose a recipe again
    assert recipes_of_part(session, order, 1) == ("received", [None])
    assert not is_asked(session, order.id or 0)


def test_a_part_that_is_not_paid_back_after_all_begins_again_too(session: Session) -> None:
    # given a part that somebody has to decide about: is it paid back?
    open_shop(session)
    told = incoming("1", made(1))
    order = taken(session, told)
    walk(session, order.order_no, Stage.RESERVED)
    (part,) = fulfilments_of(session, order.id or 0)
    compensation.request(session, part, Cause.OUT_OF_STOCK, "没有货", "warehouse", NOW, ASK_FIRST)
    # when its pet turns out to be allergic meanwhile
    take_orders(session, [allergic(told)], NOW + timedelta(minutes=31))
    session.expire_all()
    claim = claimed(session, order, NOW + timedelta(hours=1))
    brought_up_to_date(session, claim)
    park(session, claim, WaitingOn.PERSON, "", NOW, now=NOW)
    # and it is not paid back
    compensation.decide(session, order.id or 0, False, "主管", NOW)
    brought_up_to_date(session, claimed(session, order, NOW + timedelta(hours=2)))
    # then it chooses a recipe again
    assert recipes_of_part(session, order, 1) == ("received", [None])
