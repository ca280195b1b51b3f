"""Step: what is made to order goes to the factory, and the order waits until it is made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from integrations.production import WorkOrder as Work
from models import hold
from models.allocation import made_of
from models.database import in_transaction, utcnow
from models.effect import RELEASE
from models.fulfilment import Claim, Stage, WaitingOn, advance, hold_on
from models.product import products
from models.production import WorkOrder, WorkState, work_orders_of
from models.recipe import ingredients
from models.reservation import Purpose, consume
from models.settings import settings
from models.timeline import EventKind, note
from tasks.outside import platforms
from tasks.step import outward
from tasks.telling import tell_once
from tasks.working import PERSON_LOOK_AGAIN, MustWait

#: When the factory should be done with an order released now.
DUE_IN = timedelta(hours=4)


async def release_to_production(claim: Claim) -> None:
    """Release the made-to-order lines once, then wait for the factory. Stocked lines skip this."""
    if claim.stage.reached(Stage.PRODUCED):
        return
    works = await in_transaction(lambda session: _progress(session, claim))
    if claim.stage.reached(Stage.PRODUCED):
        return
    if not works or not all(work.batch_no for work in works):
        await release_work_orders(claim)
        works = await in_transaction(lambda session: _progress(session, claim))
        if claim.stage.reached(Stage.PRODUCED):
            return
    if any(work.state == WorkState.FAILED.value for work in works):
        raise MustWait(WaitingOn.PERSON, "工厂报告生产失败,需要决定返工或退款", utcnow() + PERSON_LOOK_AGAIN)
    minutes = settings().policy.production_look_again_minutes
    expected = max((work.expected_at for work in works if work.expected_at), default=utcnow())
    until = max(expected, utcnow()) + timedelta(minutes=minutes)
    raise MustWait(WaitingOn.PRODUCTION, f"批次 {works[0].batch_no or '待定'} 生产中", until)


def _progress(session: Session, claim: Claim) -> list[WorkOrder]:
    """The work orders; the fulfilment moves on when there is nothing to make, or all of it is made."""
    now = utcnow()
    hold_on(session, claim)
    works = work_orders_of(session, claim.fulfilment_id)
    to_make = (
        any(recipe for _, _, recipe in made_of(session, claim.order_id, claim.fulfilment_id)) if not works else True
    )
    # without a batch number the release was cut short: its answer is still to be fetched, whatever was made meanwhile
    made = works and all(work.state == WorkState.COMPLETED.value and work.batch_no for work in works)
    if not to_make or made:
        advance(session, claim, Stage.PRODUCED, now)
        consume(session, claim.fulfilment_id, "production", now, Purpose.INGREDIENT)
        actor = "platform:mes" if works else "stocked"
        note(session, claim.order_id, EventKind.PRODUCED, actor, now, claim.fulfilment_id)
    elif any(work.state == WorkState.FAILED.value for work in works):
        how = "安排返工(重新下发)或取消订单退款"
        hold.place(session, claim.order_id, "production_failed", "工厂报告生产失败", "生产主管", how, "mes", now)
    return works


@outward("下发生产")
async def release_work_orders(claim: Claim) -> None:
    """Release this fulfilment's work orders as one batch. Twice: one batch (the factory holds it to our key)."""
    factory = platforms().production()

    async def call(request: bytes) -> dict[str, Any]:
        accepted = await factory.release(f"release-{claim.fulfilment_no}", request)
        return {"batch_no": accepted.batch_no, "expected_at": accepted.expected_at.isoformat()}

    await tell_once(
        claim,
        RELEASE,
        f"release-{claim.fulfilment_no}",
        lambda session: factory.release_request(_plan(session, claim)),
        call,
        lambda session, answer: _released(session, claim, answer),
    )


def _plan(session: Session, claim: Claim) -> list[Work]:
    """The work orders to release; their rows are written with the intent, for a callback may be quicker than we."""
    rows = {row.work_order_no: row for row in work_orders_of(session, claim.fulfilment_id)}
    plan = []
    for part, line, recipe in made_of(session, claim.order_id, claim.fulfilment_id):
        if recipe is None:
            continue
        number = f"{claim.fulfilment_no}-{line.line_no}"
        weight = products(session, [line.sku])[line.sku].weight_g
        grams = ingredients(recipe, weight, part.quantity)
        if number not in rows:
            session.add(
                WorkOrder(
                    work_order_no=number,
                    fulfilment_id=claim.fulfilment_id,
                    order_id=claim.order_id,
                    sku=line.sku,
                    quantity=part.quantity,
                    recipe=recipe.code,
                    grams=grams,
                )
            )
        due = utcnow() + DUE_IN
        plan.append(Work(number, claim.order_no, recipe.code, line.sku, part.quantity, grams, due))
    return plan


def _released(session: Session, claim: Claim, answer: dict[str, Any] | None) -> None:
    assert answer is not None, "a keyed effect is never given up"
    now = utcnow()
    for work in work_orders_of(session, claim.fulfilment_id):
        work.batch_no = work.batch_no or answer["batch_no"]
        work.expected_at = work.expected_at or datetime.fromisoformat(answer["expected_at"])
        if work.state == WorkState.REQUESTED.value:
            work.state = WorkState.RELEASED.value
        session.add(work)
    note(session, claim.order_id, EventKind.RELEASED, "release", now, claim.fulfilment_id, **answer)
