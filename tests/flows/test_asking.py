"""The customer of an order in several parts is asked to complete its form once a round, whichever part is there."""

from __future__ import annotations

from typing import Any

from prefect.states import State
from sqlmodel import Session, col, select

from flows.fulfil_order import fulfil_order
from models import compensation
from models.compensation import Cause, Limits
from models.database import transact, utcnow
from models.form_desk import CUSTOMER, save_answers
from models.fulfilment import Stage, claim_order, fulfilments_of
from models.order import Order, OrderLine, lines_of
from models.settings import settings
from models.splitting import split_off
from models.timeline import EventKind, timeline
from tests.carrying import holds, take_in
from tests.house import House
from tests.orders import Kind, entered, place
from tests.prefect import RunningServer


async def test_a_part_asks_when_the_one_before_it_is_on_its_way(home: House, prefect_server: RunningServer) -> None:
    order = await in_two_parts(home)
    # given a first part that has left
    assert (await carried(order, 1)).name == "已发货"
    # when the second is looked at, and looked at again
    assert [(await carried(order, 2)).name for _ in range(2)] == ["等待客户补充资料"] * 2
    # then the customer has one message
    assert asked(home, order) == {f"{order.order_no}-2-profile-1": 1}


async def test_what_one_part_has_asked_is_not_asked_again_by_the_next(
    home: House, prefect_server: RunningServer
) -> None:
    order = await in_two_parts(home)
    # given a second part whose pet is not described, for which the first one asks
    assert [(await carried(order, number)).name for number in (2, 1)] == ["等待客户补充资料"] * 2
    assert asked(home, order) == {f"{order.order_no}-1-profile-1": 1}
    # when the first one is paid back
    transact(lambda session: pay_back(session, order, 1))
    while stage(order, 1) is not Stage.REFUNDED:
        await carried(order, 1)
    # then the second one waits for the answer, and asks nothing
    assert (await carried(order, 2)).name == "等待客户补充资料"
    assert asked(home, order) == {f"{order.order_no}-1-profile-1": 1}
    assert await holds(order) == ["profile_incomplete"]


async def test_what_is_matched_before_the_customer_is_asked_stands_in_the_timeline(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order for two pets, of which only the first is described
    ids = place(home, Kind.MADE, "shopify", 60)
    await take_in()
    order, last = transact(lambda session: for_two_pets(session, ids))
    profile = last.profile
    transact(lambda session: describe(session, last, {}))
    assert (await carried(order, 1)).name == "等待客户补充资料"
    # when the customer tells of the other
    answers = {name: said for name, said in profile.items() if said}
    assert transact(lambda session: save_answers(session, order, last.line_no, answers, CUSTOMER, utcnow())).complete
    await carried(order, 1)
    # then the recipe of each has been written down when it was chosen
    written = [row.kind for row in transact(lambda session: timeline(session, order.id or 0))]
    assert written.count(EventKind.RECIPE_MATCHED.value) == 2
    assert written.index(EventKind.RECIPE_MATCHED.value) < written.index(EventKind.HELD.value)


def for_two_pets(session: Session, ids: list[str]) -> tuple[Order, OrderLine]:
    """One of these orders with several lines that are made, and the last of these."""
    for order in session.exec(select(Order).where(col(Order.channel_order_id).in_(ids)).order_by(col(Order.id))):
        made = [line for line in lines_of(session, order.id or 0) if line.made_to_order]
        if len(made) > 1:
            return order, made[-1]
    raise AssertionError("no order for two pets")


def describe(session: Session, line: OrderLine, pet: dict[str, Any]) -> None:
    line.profile = pet
    session.add(line)


async def in_two_parts(home: House) -> Order:
    """A new order: goods from the shelf in its first part, and what is made for a pet not described in its second."""
    ids = place(home, Kind.MADE, "shopify", 20)
    await take_in()

    def work(session: Session) -> Order:
        for order in session.exec(select(Order).where(col(Order.channel_order_id).in_(ids)).order_by(col(Order.id))):
            lines = lines_of(session, order.id or 0)
            made = {line.id or 0: line.quantity for line in lines if line.made_to_order}
            if len(made) < len(lines):
                for line in session.exec(select(OrderLine).where(col(OrderLine.id).in_(made))):
                    line.profile = {}
                    session.add(line)
                order.payment_verified_at = utcnow()  # nothing is split before that
                split_off(session, order, made, "王敏", utcnow())
                return order
        raise AssertionError("no order of both kinds")

    order = transact(work)
    return entered([order.channel_order_id])[0]


async def carried(order: Order, number: int) -> State:
    """Carry one part as far as it goes now; the other one is left to others."""
    claims = transact(lambda session: claim_order(session, order.id or 0, "test", 120.0))
    mine = next(claim for claim in claims if claim.number == number)
    state = await fulfil_order(order.order_no, "lane", mine, return_state=True)
    transact(lambda session: let_go(session, order))
    return state


def let_go(session: Session, order: Order) -> None:
    for part in fulfilments_of(session, order.id or 0):
        part.claimed_by = part.claim_until = None
        session.add(part)


def pay_back(session: Session, order: Order, number: int) -> None:
    part = next(part for part in fulfilments_of(session, order.id or 0) if part.number == number)
    limits = Limits.of(settings().policy)
    compensation.request(session, part, Cause.BY_HAND, "不发了", "王敏", utcnow(), limits, by_person=True)


def stage(order: Order, number: int) -> Stage:
    parts = transact(lambda session: fulfilments_of(session, order.id or 0))
    return next(Stage(part.stage) for part in parts if part.number == number)


def asked(home: House, order: Order) -> dict[str, int]:
    """The messages by which the customer was asked, by their keys."""
    sent = home.effects("aliyun", "SendSms")
    return {key: count for key, count in sent.items() if key.startswith(f"{order.order_no}-") and "-profile-" in key}
