"""Steps: what is out already is called back from the factory and the carrier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session

from models import hold
from models.database import in_transaction, utcnow
from models.effect import RELEASE_CANCEL, WAYBILL_CANCEL, effects_of
from models.fulfilment import Claim, WaitingOn, hold_on
from models.lessening import use_up
from models.production import FINAL, WorkOrder, WorkState, work_orders_of
from models.production_batch import Leaving, leave
from models.shipment import shipment_of
from models.timeline import EventKind, note, timeline
from tasks.outside import platforms
from tasks.production import release_or_part
from tasks.step import outward
from tasks.telling import tell_once
from tasks.working import MustWait


async def call_back(claim: Claim, reason: str) -> None:
    """Call back whatever left the house for this fulfilment. Twice: it is called back, nothing is asked."""
    await nothing_is_under_way(claim)
    works = await in_transaction(lambda session: work_orders_of(session, claim.fulfilment_id))
    await call_back_work_orders(claim, [work for work in works if WorkState(work.state) not in FINAL], reason)
    shipment = await in_transaction(lambda session: shipment_of(session, claim.fulfilment_id, claim.fulfilment_no))
    if shipment.asked_for:
        await call_back_waybill(claim, shipment.number)


async def nothing_is_under_way(claim: Claim) -> None:
    """A call of an interrupted worker may still arrive: let it arrive, before it is called back."""
    told = await in_transaction(lambda session: effects_of(session, claim.order_id))
    under_way = [e.lease_until for e in told if e.lease_until is not None and e.lease_until > utcnow()]
    if under_way:
        raise MustWait(WaitingOn.RETRY, "等上一个调用有结果后再撤回", max(under_way))


async def call_back_work_orders(claim: Claim, works: Sequence[WorkOrder], reason: str, *, ends: bool = True) -> None:
    """Call these work orders back; the others of their batches go on. Twice: the same answer."""
    leaving = await in_transaction(lambda session: _leave(session, claim, works))
    for work, how in zip(works, leaving, strict=True):
        if how is Leaving.UNCLEAR:
            # whoever calls back what the factory may not have yet would have it refuse the whole batch
            await release_or_part(claim, work.batch_id or 0)
            (how,) = await in_transaction(lambda session, work=work: _leave(session, claim, [work]))  # type: ignore[misc]
        if how is not Leaving.LEFT:
            await stop_at_the_factory(claim, work, reason, ends=ends)


def _leave(session: Session, claim: Claim, works: Sequence[WorkOrder]) -> list[Leaving]:
    hold_on(session, claim)
    together = [work.id for work in works]
    return [leave(session, session.get_one(WorkOrder, work.id), utcnow(), together) for work in works]


@outward("撤回生产")
async def stop_at_the_factory(claim: Claim, work: WorkOrder, reason: str, *, ends: bool) -> None:
    """Have the factory not make a work order. Twice: the same answer.

    Made already, its ingredients are used up; where its order `ends`, a person takes care of the goods.
    """
    factory = platforms().production()
    key = f"release-cancel-{work.work_order_no}"

    async def call(request: bytes) -> dict[str, Any]:
        return {"stopped": await factory.cancel(key, request)}

    def settle(session: Session, answer: dict[str, Any] | None) -> None:
        hold_on(session, claim)
        if _known_as_called_back(session, claim, work.work_order_no):
            return
        row = session.get_one(WorkOrder, work.id, with_for_update=True)
        stopped = bool(answer and answer["stopped"])
        if stopped:
            row.state = WorkState.CALLED_BACK.value
            session.add(row)
        else:
            use_up(session, row, "cancel", utcnow())
        if not stopped and ends:
            how = "成品入库或报损后解除"
            reason = f"{work.work_order_no} 已经生产,撤不回"
            hold.place(session, claim.order_id, "made_already", reason, "生产主管", how, "cancel", utcnow())
        note(
            session, claim.order_id, EventKind.CALLED_BACK, "cancel", utcnow(), claim.fulfilment_id,
            what=work.work_order_no, stopped=stopped,
        )  # fmt: skip

    await tell_once(
        claim, RELEASE_CANCEL, key, lambda _: factory.cancel_request(work.work_order_no, reason), call, settle
    )


@outward("取消运单")
async def call_back_waybill(claim: Claim, shipment_no: str, *, ends: bool = True) -> None:
    """Cancel the waybill of this shipment. Twice: it is cancelled. Refused, and its order `ends`: a person stops it."""
    carrier = platforms().carrier()

    async def call(request: bytes) -> dict[str, Any]:
        return {"cancelled": await carrier.cancel_waybill(request.decode())}

    def settle(session: Session, answer: dict[str, Any] | None) -> None:
        if _known_as_called_back(session, claim, shipment_no):
            return
        cancelled = bool(answer and answer["cancelled"])
        if not cancelled and ends:
            how = "联系快递拦截"
            hold.place(session, claim.order_id, "parcel_gone", "运单取消不了", "仓库主管", how, "cancel", utcnow())
        note(
            session, claim.order_id, EventKind.CALLED_BACK, "cancel", utcnow(), claim.fulfilment_id,
            what=shipment_no, stopped=cancelled,
        )  # fmt: skip

    await tell_once(
        claim,
        WAYBILL_CANCEL,
        f"waybill-cancel-{shipment_no}",
        lambda _: shipment_no.encode(),
        call,
        settle,
    )


def _known_as_called_back(session: Session, claim: Claim, what: str) -> bool:
    """Whether the answer to calling this back is in the timeline: a repeat after a crash settles it again."""
    happened = timeline(session, claim.order_id)
    return any(e.kind == EventKind.CALLED_BACK.value and e.detail.get("what") == what for e in happened)
