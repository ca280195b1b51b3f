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
from models.fulfilment import Claim, Fulfilment, Stage, WaitingOn, advance, hold_on
from models.product import products
from models.production import NothingToReworkWith, WorkOrder, WorkState, rework, work_orders_of
from models.recipe import ingredients
from models.reservation import Purpose, consume
from models.settings import settings
from models.stock_check import settle_if_used_up
from models.timeline import EventKind, note
from tasks.outside import platforms
from tasks.shadow import complete_on_paper
from tasks.step import outward
from tasks.telling import tell_once
from tasks.working import PERSON_LOOK_AGAIN, MustWait

#: When the factory should be done with an order released now.
DUE_IN = timedelta(hours=4)


async def release_to_production(claim: Claim) -> None:
    """Release the made-to-order lines once, then wait for the factory. Stocked lines skip this.

    What the factory could not make goes to a person: releasing that hold has it made again.
    """
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
    minutes = 0 if settings().shadow else settings().policy.production_look_again_minutes
    expected = max((work.expected_at for work in works if work.expected_at), default=utcnow())
    until = max(expected, utcnow()) + timedelta(minutes=minutes)
    raise MustWait(WaitingOn.PRODUCTION, f"批次 {works[0].batch_no or '待定'} 生产中", until)


def _progress(session: Session, claim: Claim) -> list[WorkOrder]:
    """The work orders; the fulfilment moves on when there is nothing to make, or all of it is made."""
    now = utcnow()
    fulfilment = hold_on(session, claim)
    works = _in_hand(session, claim)
    complete_on_paper(session, works, now)
    failed = [work for work in works if work.state == WorkState.FAILED.value]
    if failed and _may_rework(session, claim, failed, now):
        works = _make_again(session, claim, fulfilment, failed, now)
    parts = [] if works else made_of(session, claim.order_id, claim.fulfilment_id)
    to_make = bool(works) or any(recipe for _, _, recipe in parts)
    # without a batch number the release was cut short: its answer is still to be fetched, whatever was made meanwhile
    made = works and all(work.state == WorkState.COMPLETED.value and work.batch_no for work in works)
    if not to_make or made:
        advance(session, claim, Stage.PRODUCED, now)
        consume(session, claim.fulfilment_id, "production", now, Purpose.INGREDIENT)
        settle_if_used_up(session, claim.fulfilment_id, now)
        actor = "platform:mes" if works else "stocked"
        note(session, claim.order_id, EventKind.PRODUCED, actor, now, claim.fulfilment_id)
    return works


def _in_hand(session: Session, claim: Claim) -> list[WorkOrder]:
    """The work orders that count: not those that another one makes again, nor those that were called back."""
    works = work_orders_of(session, claim.fulfilment_id)
    return [work for work in works if work.state not in (WorkState.REWORKED.value, WorkState.CALLED_BACK.value)]


def _may_rework(session: Session, claim: Claim, failed: list[WorkOrder], now: datetime) -> bool:
    """Whether a person has agreed for all that failed, by releasing its hold; who has not been asked is asked now."""
    still = {h.code for h in hold.open_holds(session, claim.order_id)}
    agreed = True
    for work in failed:
        code = f"production_failed_{work.id}"
        if hold.ever_placed(session, claim.order_id, code):
            agreed = agreed and code not in still
            continue
        how = "同意返工就解除,会重新下发;不做就取消订单,或用部署 compensate-order 退款补偿"
        reason = f"工厂报告 {work.work_order_no} 生产失败"
        hold.place(session, claim.order_id, code, reason, "生产主管", how, "mes", now)
        agreed = False
    return agreed


def _make_again(
    session: Session, claim: Claim, fulfilment: Fulfilment, failed: list[WorkOrder], now: datetime
) -> list[WorkOrder]:
    try:
        with session.begin_nested():
            rework(session, fulfilment, failed, "rework", now)
    except NothingToReworkWith as short:
        how = "补料入库后解除,会再试"
        hold.place(session, claim.order_id, "rework_short", str(short), "采购", how, "rework", now)
    return _in_hand(session, claim)


@outward("下发生产")
async def release_work_orders(claim: Claim) -> None:
    """Release this fulfilment's work orders as one batch. Twice: one batch (the factory holds it to our key)."""
    factory = platforms().production()
    key = await in_transaction(lambda session: _key(session, claim))

    async def call(request: bytes) -> dict[str, Any]:
        accepted = await factory.release(key, request)
        return {"batch_no": accepted.batch_no, "expected_at": accepted.expected_at.isoformat()}

    await tell_once(
        claim,
        RELEASE,
        key,
        lambda session: factory.release_request(_plan(session, claim)),
        call,
        lambda session, answer: _released(session, claim, answer),
    )


def _key(session: Session, claim: Claim) -> str:
    """One key for each round: what is made again is a new release."""
    works = work_orders_of(session, claim.fulfilment_id)
    again = sum(work.state == WorkState.REWORKED.value for work in works)
    return f"release-{claim.fulfilment_no}" + (f"-R{again}" if again else "")


def _plan(session: Session, claim: Claim) -> list[Work]:
    """The work orders to release; their rows are written with the intent, for a callback may be quicker than we."""
    if not work_orders_of(session, claim.fulfilment_id):
        _first_round(session, claim)
    due = utcnow() + DUE_IN
    return [
        Work(work.work_order_no, claim.order_no, work.recipe, work.sku, work.quantity, work.grams, due)
        for work in _in_hand(session, claim)
        if not work.batch_no
    ]


def _first_round(session: Session, claim: Claim) -> None:
    for part, line, recipe in made_of(session, claim.order_id, claim.fulfilment_id):
        if recipe is None:
            continue
        weight = products(session, [line.sku])[line.sku].weight_g
        session.add(
            WorkOrder(
                work_order_no=f"{claim.fulfilment_no}-{line.line_no}",
                fulfilment_id=claim.fulfilment_id,
                order_id=claim.order_id,
                sku=line.sku,
                quantity=part.quantity,
                recipe=recipe.code,
                grams=ingredients(recipe, weight, part.quantity),
            )
        )
    session.flush()


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
