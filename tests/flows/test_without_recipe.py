"""What is made to order and has lost its recipe is neither approved nor made: it gets one first, or a person looks."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from models.database import in_transaction, transact, utcnow
from models.fulfilment import FulfilmentLine, Stage
from models.hold import lift, open_holds
from models.order import Order
from models.production import WorkState
from models.reservation import held_for
from models.review import Verdict, decide
from models.timeline import timeline
from tests.carrying import carry, case_of, deploy_reviews, holds, placed, reported
from tests.e2e.told_once import work_orders
from tests.house import House
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer


@pytest.fixture(autouse=True)
async def _deployed(prefect_server: RunningServer) -> None:
    await deploy_reviews()


async def forget_recipes(order: Order, stage: Stage) -> list[str]:
    """Something has taken the recipes away, and the part stands at this stage all the same; what they were."""

    def work(session: Session) -> list[str]:
        part = fulfilment_of(order)
        carried = select(FulfilmentLine).where(
            FulfilmentLine.fulfilment_id == part.id, col(FulfilmentLine.recipe).is_not(None)
        )
        lines = list(session.exec(carried))
        known = [line.recipe or "" for line in lines]
        for line in lines:
            line.recipe = None
            session.add(line)
        session.flush()
        session.execute(text("UPDATE fulfilment SET stage = :to WHERE id = :id"), {"to": stage.value, "id": part.id})
        return known

    return await in_transaction(work)


def recipes_of(order: Order) -> list[str]:
    """The recipes by which the order is made now."""
    part = fulfilment_of(order)
    statement = select(FulfilmentLine.recipe).where(FulfilmentLine.fulfilment_id == part.id)
    return transact(lambda session: [recipe for recipe in session.exec(statement) if recipe])


def count_of(order: Order, kind: str) -> int:
    """How often this is in the order's timeline."""
    return transact(lambda session: [event.kind for event in timeline(session, order.id or 0)].count(kind))


def assert_made_and_shipped_once(home: House, order: Order) -> None:
    """The factory took each work order once, and the order has left once."""
    taken = home.effects("mes", "release")
    assert [taken[work.work_order_no] for work in work_orders(order)] == [1] * len(work_orders(order))
    assert (fulfilment_of(order).stage, count_of(order, "produced"), count_of(order, "shipped")) == ("shipped", 1, 1)


async def test_a_part_without_its_recipe_is_not_approved_but_matched_again(
    home: House, prefect_server: RunningServer
) -> None:
    # given an approved review of a part whose recipe is gone
    order = await placed(home, Kind.MADE_COSTLY)
    assert (await carry(order)).name == "等待审核"
    before = await forget_recipes(order, Stage.RESERVED)
    case = await case_of(order)
    transact(lambda session: decide(session, case.id or 0, Verdict.APPROVE, "王敏", "", utcnow()))
    # when it is carried
    first = await carry(order)
    # then it begins again, without a promise, and nobody is told of anything
    assert first.name == "稍后自动重试" and "从匹配配方重新开始" in (first.message or "")
    part = fulfilment_of(order)
    assert (part.stage, (part.ready_at or utcnow()) <= utcnow()) == ("received", True)
    assert transact(lambda session: held_for(session, part.id or 0)) == []
    assert work_orders(order) == [] and count_of(order, "approved") == 0
    # and then it is made by its recipe and shipped
    await carry(order)
    assert recipes_of(order) == before and len(work_orders(order)) == len(before) > 0
    await reported(order, WorkState.COMPLETED)
    await carry(order)
    assert count_of(order, "approved") == 1 and await holds(order) == []
    assert_made_and_shipped_once(home, order)


async def test_an_approved_part_without_its_recipe_waits_for_a_nutritionist_and_is_made_in_the_end(
    home: House, prefect_server: RunningServer
) -> None:
    # given a part that is approved, and has no recipe
    order = await placed(home, Kind.MADE_COSTLY)
    await carry(order)
    before = await forget_recipes(order, Stage.APPROVED)
    case = await case_of(order)
    transact(lambda session: decide(session, case.id or 0, Verdict.APPROVE, "王敏", "", utcnow()))
    # when it is carried, twice
    names = [(await carry(order)).name for _ in range(2)]
    # then nothing is made, nothing leaves, and one person is asked once
    assert names == ["需要人工处理"] * 2
    (held,) = transact(lambda session: open_holds(session, order.id or 0))
    assert (held.blocking, held.who) == (True, "营养师")
    assert "却没有配方" in held.reason and "解除" in held.handle
    assert fulfilment_of(order).stage == "approved" and work_orders(order) == []
    assert count_of(order, "produced") == 0
    # and when the nutritionist has looked, it is matched and made
    transact(lambda session: lift(session, order.id or 0, "营养师", utcnow()))
    assert (await carry(order)).name == "稍后自动重试"
    await carry(order)
    assert recipes_of(order) == before
    await reported(order, WorkState.COMPLETED)
    await carry(order)
    assert_made_and_shipped_once(home, order)


async def test_a_part_that_the_factory_knows_stays_held_and_the_hold_says_what_can_be_done(
    home: House, prefect_server: RunningServer
) -> None:
    # given a part that is at the factory, and whose recipe is gone
    order = await placed(home, Kind.MADE)
    home.sandbox.world.set_fault("mes", "release", "late", times=9, detail={"hours": 48})
    await carry(order)
    await forget_recipes(order, Stage.APPROVED)
    # when it is carried, and again after somebody has released the hold
    for _ in range(2):
        assert (await carry(order)).name == "需要人工处理"
        (held,) = transact(lambda session: open_holds(session, order.id or 0))
        assert "取消订单" in held.handle and "compensate-order" in held.handle
        transact(lambda session: lift(session, order.id or 0, "营养师", utcnow()))
    # then it is never taken for made
    assert fulfilment_of(order).stage == "approved" and count_of(order, "produced") == 0
