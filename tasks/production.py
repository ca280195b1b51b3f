"""Step: what is made to order goes to the factory, and the order waits until it is made.

One member of a batch tells the factory of all of it, in its own lane: no flow and no schedule of its own is needed, and
a lane that dies is stood in for by the next member that looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from integrations.errors import Refused
from integrations.production import Batch
from integrations.production import WorkOrder as Work
from models import compensation, hold
from models.allocation import made_of
from models.compensation import Cause, Limits, compensation_of
from models.database import in_transaction, utcnow
from models.effect import RELEASE
from models.factory_silence import ask_if_silent
from models.fulfilment import Claim, ClaimLost, Fulfilment, Stage, WaitingOn, advance, hold_on
from models.notification import Node
from models.order import Order
from models.product import products
from models.production import NothingToReworkWith, WorkOrder, WorkState, rework, work_orders_of
from models.production_batch import (
    Batching,
    ProductionBatch,
    fall_apart,
    join,
    lock_batch,
    lock_with_members,
    members_of,
    released,
    seal,
)
from models.recipe import ingredients
from models.reservation import Purpose, consume
from models.rule_version import RuleKind
from models.rules_in_force import number_of
from models.settings import settings
from models.stock_check import settle_if_used_up
from models.timeline import EventKind, note
from models.wording import local
from tasks.notifying import customer_link, tell_customer
from tasks.outside import platforms
from tasks.recipe_guard import stopped_without_recipe
from tasks.shadow import complete_on_paper
from tasks.step import outward
from tasks.telling import tell_once
from tasks.working import PERSON_LOOK_AGAIN, MustWait

#: How much later the others of a batch look than the first, who tells the factory for all of them.
OTHERS_LATER = timedelta(seconds=30)
#: What a factory answers that has understood and will not make it; other refusals are about us.
WILL_NOT_MAKE = ("400", "409", "422")


async def release_to_production(claim: Claim) -> None:
    """Release the made-to-order lines once, then wait for the factory. Stocked lines skip this.

    What the factory could not make is decided by a person, or as the seller's policy has it. What has no recipe is
    not made, and nothing of its order leaves.
    """
    if claim.stage.reached(Stage.PRODUCED):
        return
    works = await _works_so_far(claim)
    if not claim.stage.reached(Stage.PRODUCED) and not (works and all(work.batch_no for work in works)):
        await _release_all(claim)
        works = await _works_so_far(claim)
    if claim.stage.reached(Stage.PRODUCED):
        return
    if any(work.state == WorkState.FAILED.value for work in works):
        raise MustWait(WaitingOn.PERSON, "工厂报告生产失败,需要决定返工或退款", utcnow() + PERSON_LOOK_AGAIN)
    expected = max((work.expected_at for work in works if work.expected_at), default=utcnow())
    await tell_customer(claim, Node.IN_PRODUCTION, lambda session: _being_made_words(session, claim, expected))
    numbers = "、".join(dict.fromkeys(work.batch_no for work in works))
    raise MustWait(WaitingOn.PRODUCTION, f"批次 {numbers} 生产中", _look_again_at(works, expected, utcnow()))


def _look_again_at(works: Sequence[WorkOrder], expected: datetime, now: datetime) -> datetime:
    """When it is looked at again should nothing be reported: when a person is to be asked about it, at the latest."""
    minutes = 0 if settings().shadow else settings().policy.production_look_again_minutes
    making = [work for work in works if work.completed_at is None]
    silent_at = [work.expected_at + _patience() for work in making if work.expected_at is not None]
    return min([max(expected, now) + timedelta(minutes=minutes), *(at for at in silent_at if at > now)])


def _patience() -> timedelta:
    """For how long the factory may say nothing of what should be done."""
    return timedelta(hours=settings().policy.production_silence_hours)


def _being_made_words(session: Session, claim: Claim, expected: datetime) -> dict[str, str]:
    return {"order_no": claim.order_no, "expected": local(expected), "link": customer_link(session, claim)}


async def _release_all(claim: Claim) -> None:
    """Release every batch of this fulfilment whose time has come; wait for the others."""
    own = await in_transaction(lambda session: _gather(session, claim))
    while due := [batch.id or 0 for batch in own if batch.is_due(utcnow())]:
        for batch_id in due:
            await release_or_part(claim, batch_id)
        own = await in_transaction(lambda session: _gather(session, claim))
    if own:
        seal_at = min(batch.seal_at for batch in own)
        later = await in_transaction(lambda session: _later(session, claim, own))
        numbers = "、".join(batch.batch_no for batch in own)
        why = f"批次 {numbers} 等同一配方的订单,最晚 {local(seal_at)} 下发"
        raise MustWait(WaitingOn.PRODUCTION, why, seal_at + later)


def _gather(session: Session, claim: Claim) -> list[ProductionBatch]:
    """The batches of this fulfilment that are not released yet; its work orders join some here.

    They are written before the factory hears of them: a callback may be quicker than we.
    """
    fulfilment = hold_on(session, claim)
    if not work_orders_of(session, claim.fulfilment_id):
        _first_round(session, claim)
    works = [work for work in _in_hand(session, claim) if not work.batch_no]
    loose = [work for work in works if work.batch_id is None]
    version = number_of(session, session.get_one(Order, claim.order_id), RuleKind.RECIPES)
    join(session, loose, fulfilment.warehouse, version, Batching.of(settings().policy), utcnow())
    return [session.get_one(ProductionBatch, id) for id in sorted({work.batch_id for work in works if work.batch_id})]


def _later(session: Session, claim: Claim, own: Sequence[ProductionBatch]) -> timedelta:
    """Nothing for the first of a batch, for it releases all."""
    first = [members_of(session, batch.id or 0)[0] for batch in own]
    return timedelta() if any(work.fulfilment_id == claim.fulfilment_id for work in first) else OTHERS_LATER


async def release_or_part(claim: Claim, batch_id: int) -> None:
    """Release the batch; one that the factory will not make falls apart, so that one order stops no other."""
    try:
        await release_batch(claim, batch_id)
    except Refused as error:
        if error.code not in WILL_NOT_MAKE:
            raise
        if not await in_transaction(lambda session: _fall_apart(session, claim, batch_id)):
            raise


def _fall_apart(session: Session, claim: Claim, batch_id: int) -> bool:
    lock_with_members(session, claim.order_id, batch_id)
    hold_on(session, claim)
    return fall_apart(session, batch_id, utcnow())


@outward("下发生产")
async def release_batch(claim: Claim, batch_id: int) -> None:
    """Release a batch to the factory. Twice, and by several lanes at once: one batch (it is held to our key)."""
    factory = platforms().production()
    batch = await in_transaction(lambda session: session.get(ProductionBatch, batch_id))
    if batch is None:  # the last one has left it
        return
    key = batch.release_key

    async def call(request: bytes) -> dict[str, Any]:
        accepted = await factory.release(key, request)
        return {"batch_no": accepted.batch_no, "expected_at": accepted.expected_at.isoformat()}

    def settle(session: Session, answer: dict[str, Any] | None) -> None:
        assert answer is not None, "a keyed effect is never given up"
        released(session, batch_id, answer, utcnow(), by=claim.fulfilment_id)

    await tell_once(
        None,
        RELEASE,
        key,
        lambda session: factory.release_request(_sealed(session, claim, batch_id)),
        call,
        settle,
        lock=lambda session: lock_with_members(session, claim.order_id, batch_id),
    )


def _sealed(session: Session, claim: Claim, batch_id: int) -> Batch:
    """The batch as the factory is told of it: nobody joins or leaves any more."""
    hold_on(session, claim)
    batch = lock_batch(session, batch_id)
    if batch is None:
        raise ClaimLost(f"{claim.fulfilment_no}: its batch is gone, look again")
    works = seal(session, batch, utcnow())
    orders = {id: session.get_one(Order, id).order_no for id in {work.order_id for work in works}}
    return Batch(
        batch.batch_no,
        batch.recipe_version,
        tuple(
            Work(w.work_order_no, orders[w.order_id], w.recipe, w.sku, w.quantity, w.grams, batch.due_at) for w in works
        ),
    )


async def _works_so_far(claim: Claim) -> list[WorkOrder]:
    found = await in_transaction(lambda session: _progress(session, claim))
    if isinstance(found, MustWait):
        raise found
    return found


def _progress(session: Session, claim: Claim) -> list[WorkOrder] | MustWait:
    """The work orders; the fulfilment moves on when there is nothing to make, or all of it is made."""
    now = utcnow()
    fulfilment = hold_on(session, claim)
    if stop := stopped_without_recipe(session, claim, now, ask_first=True):
        return stop
    works = _in_hand(session, claim)
    complete_on_paper(session, works, now)
    failed = [work for work in works if work.state == WorkState.FAILED.value]
    if failed and not _paid_back(session, fulfilment, failed, now) and _may_rework(session, claim, failed, now):
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
    else:
        ask_if_silent(session, works, _patience(), now)
    return works


def _in_hand(session: Session, claim: Claim) -> list[WorkOrder]:
    """The work orders that count: not those that another one makes again, nor those that were called back."""
    works = work_orders_of(session, claim.fulfilment_id)
    return [work for work in works if work.state not in (WorkState.REWORKED.value, WorkState.CALLED_BACK.value)]


def _paid_back(session: Session, fulfilment: Fulfilment, failed: list[WorkOrder], now: datetime) -> bool:
    """Whether the seller's policy has what failed paid back; asked for once, and its lane begins again with that."""
    if settings().policy.production_failure != "refund" or compensation_of(session, fulfilment.id or 0) is not None:
        return False
    reason = f"工厂报告 {failed[0].work_order_no} 生产失败"
    limits = Limits.of(settings().policy)
    taken, _ = compensation.request(session, fulfilment, Cause.NOT_MADE, reason, "mes", now, limits)
    return taken


def _may_rework(session: Session, claim: Claim, failed: list[WorkOrder], now: datetime) -> bool:
    """Whether a person has agreed for all that failed, by releasing its hold; who has not been asked is asked now.

    By policy the first time needs nobody's word.
    """
    if settings().policy.production_failure == "rework":
        failed = [work for work in failed if work.is_rework]
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


def _first_round(session: Session, claim: Claim) -> None:
    for part, line, recipe in made_of(session, claim.order_id, claim.fulfilment_id):
        if not line.made_to_order:
            continue
        assert recipe is not None, f"{claim.fulfilment_no}: made to order, without a recipe"
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
