"""An order whose recipe turns out to have an allergen of its pet in it waits for a person, and not for luck."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models.database import in_transaction, transact, utcnow
from models.fulfilment import fulfilments_of
from models.order import Order, lines_of
from models.recipe import contains
from models.review import Verdict, decide, latest_case
from models.review_sight import sight_of
from models.rules_in_force import recipes_of
from tests.carrying import carry, case_of, deploy_reviews, holds, placed, review_runs
from tests.e2e.told_once import work_orders
from tests.house import House
from tests.orders import Kind
from tests.prefect import RunningServer


@pytest.fixture(autouse=True)
async def _deployed(prefect_server: RunningServer) -> None:
    await deploy_reviews()


async def test_it_waits_for_another_recipe_and_goes_on_by_itself(home: House, prefect_server: RunningServer) -> None:
    # given an order under review, of whose pets it is found out that they must not eat what they are to get
    order = await placed(home, Kind.MADE_COSTLY)
    assert (await carry(order)).name == "等待审核"
    transact(lambda session: _forbid_what_is_inside(session, order))
    # when the old question is approved, then it waits, however often it is looked at
    case = await case_of(order)
    await in_transaction(lambda session: decide(session, case.id or 0, Verdict.APPROVE, "王敏", "", utcnow()))
    assert [(await carry(order)).name for _ in range(3)] == ["等待审核"] * 3
    assert await holds(order) == ["allergen_inside"]
    assert work_orders(order) == []
    again = await case_of(order)
    assert again.id != case.id and [run["state_name"] for run in review_runs(prefect_server, order)][-1] == "Suspended"
    # when another recipe is chosen, then it is made by that one
    chosen = transact(lambda session: _choose_another(session, order))
    assert (await carry(order)).name == "等待生产完成"
    assert await holds(order) == []
    assert {work.recipe for work in work_orders(order)} == chosen


def _forbid_what_is_inside(session: Session, order: Order) -> None:
    """Nobody has answered this on a form: the recipe stays as it is."""
    rows = session.connection().execute(
        text(
            "SELECT l.id, p.recipe FROM order_line l JOIN fulfilment_line p ON p.order_line_id = l.id"
            " WHERE l.order_id = :id AND l.made_to_order"
        ),
        {"id": order.id},
    )
    book = recipes_of(session, order)
    inside = {id: contains(book[code]) & {"chicken", "beef", "lamb", "duck", "salmon", "fish"} for id, code in rows}
    for line in lines_of(session, order.id or 0):
        if line.id in inside:
            line.answers = {**line.answers, "allergens": sorted(inside[line.id])[:1]}
            session.add(line)


def _choose_another(session: Session, order: Order) -> set[str]:
    """The first recipe that each pet may have; their codes."""
    (part,) = fulfilments_of(session, order.id or 0)
    case = latest_case(session, part.id or 0)
    assert case is not None
    chosen = {line.line_no: line.allowed[0].code for line in sight_of(session, case, utcnow()).lines if line.allowed}
    taken, sentence = decide(session, case.id or 0, Verdict.CHANGE_RECIPE, "王敏", "", utcnow(), chosen)
    assert taken, sentence
    return set(chosen.values())
