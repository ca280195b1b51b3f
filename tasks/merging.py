"""Steps: fulfilments of several orders get one waybill between them, and go apart again where one has to leave."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, select

from integrations.carriers import NotDeliverable, Shipment
from integrations.errors import Refused
from models import merging, parting
from models.allocation import made_of
from models.change import is_asked
from models.company import Terms
from models.compensation import CompensationState, compensation_of
from models.database import in_transaction, utcnow
from models.effect import WAYBILL, WAYBILL_CANCEL, Effect
from models.fulfilment import Claim, Stage, WaitingOn, hold_on, wake
from models.hold import open_holds
from models.parcel import keep_parcel, parcel_of
from models.product import products
from models.settings import settings
from models.shared_parcel import (
    CompanyBusy,
    SharedParcel,
    SharedState,
    Traveller,
    company_of,
    lock_shared,
    lock_with_company,
    travellers,
    travellers_of,
)
from models.timeline import EventKind, note
from tasks.outside import platforms
from tasks.receiver import lift_mask_of, receiver_of
from tasks.step import outward
from tasks.telling import tell_once
from tasks.working import MustWait

#: How often a step looks again at once when the company has changed under it.
TRIES = 3
#: Letters of a line of cargo.
CARGO_LETTERS = 60


async def travel_with_others(claim: Claim) -> bool:
    """Where others travel along: wait for them, then have one waybill for all. False: it goes alone. Twice: the same.

    Who gets here last asks for the waybill; each has its own row of it then.
    """
    for _ in range(TRIES):
        company = await in_transaction(lambda session: _find(session, claim))
        if company is None:
            return False
        if company.waits_for:
            numbers = "、".join(company.waits_for)
            raise MustWait(WaitingOn.MERGE, f"等同一客户的订单 {numbers} 一起发货", company.until or utcnow())
        for order_id in await in_transaction(lambda session, id=company.id: _orders_of(session, id)):  # type: ignore[misc]
            await lift_mask_of(order_id)
        if await in_transaction(lambda session, id=company.id: _seal(session, claim, id)):  # type: ignore[misc]
            await ask_for_shared_waybill(claim, company.id)
            return True
    raise _look_again("一起发货的订单有变化,马上再看")


def _find(session: Session, claim: Claim) -> merging.Company | None:
    try:
        return merging.find_company(session, claim, Terms.of(settings().policy), utcnow())
    except CompanyBusy as busy:
        raise _look_again(str(busy)) from busy


def _seal(session: Session, claim: Claim, shared_parcel_id: int) -> bool:
    return merging.seal(session, claim, shared_parcel_id, utcnow(), masks_will_do=settings().shadow)


def _orders_of(session: Session, shared_parcel_id: int) -> list[int]:
    return [one.fulfilment.order_id for one in travellers_of(session, shared_parcel_id)]


def _look_again(why: str) -> MustWait:
    return MustWait(WaitingOn.MERGE, why, utcnow() + timedelta(seconds=2))


@outward("生成合并运单")
async def ask_for_shared_waybill(claim: Claim, shared_parcel_id: int) -> None:
    """Ask the carrier once for all who travel together. Twice, and by several lanes at once: the same waybill."""
    carrier = platforms().carrier()
    shared = await in_transaction(lambda session: session.get_one(SharedParcel, shared_parcel_id))

    async def call(request: bytes) -> dict[str, Any]:
        try:
            waybill = await carrier.create_waybill(request)
        except NotDeliverable as error:
            raise Refused(carrier.name, "not_deliverable", f"快递不派送这个地址:{error}") from error
        return {"waybill_no": waybill.waybill_no, "carrier": carrier.name}

    await tell_once(
        None,
        WAYBILL,
        shared.waybill_key,
        lambda session: carrier.waybill_request(_shipment(session, claim, shared_parcel_id)),
        call,
        lambda session, answer: _has_waybill(session, claim, shared_parcel_id, answer),
        lock=lambda session: lock_with_company(session, [claim.order_id], shared_parcel_id),
    )
    if await in_transaction(lambda session: parcel_of(session, claim.fulfilment_id)) is None:
        raise _look_again("合并发货正在取消,马上再看")


def _shipment(session: Session, claim: Claim, shared_parcel_id: int) -> Shipment:
    """All that travels together as one shipment. Who has left meanwhile, or is undone, looks again."""
    hold_on(session, claim)
    shared = lock_shared(session, shared_parcel_id)
    everybody = travellers_of(session, shared_parcel_id)
    if shared.state != SharedState.SEALED.value or claim.fulfilment_id not in [one.id for one in everybody]:
        raise _look_again("一起发货的订单有变化,马上再看")
    weight, cargo = 0, []
    for one in everybody:
        parts = made_of(session, one.fulfilment.order_id, one.id)
        goods = products(session, [line.sku for _, line, _ in parts])
        weight += sum(goods[line.sku].weight_g * part.quantity for part, line, _ in parts)
        cargo += [(line.title[:CARGO_LETTERS] or line.sku, part.quantity) for part, line, _ in parts]
    receiver = receiver_of(session, everybody[0].order)
    return Shipment(shared.shipment_no, receiver, tuple(cargo), max(weight, 100))


def _has_waybill(session: Session, claim: Claim, shared_parcel_id: int, answer: dict[str, Any] | None) -> None:
    """Each has its own row of the one waybill, whoever asked for it; the others are woken to go on."""
    assert answer is not None, "a keyed effect is never given up"
    shared = lock_shared(session, shared_parcel_id)
    everybody = travellers_of(session, shared_parcel_id)
    now = utcnow()
    for one in everybody if shared.state == SharedState.SEALED.value else []:
        if parcel_of(session, one.id) is not None:
            continue
        order_id = one.fulfilment.order_id
        carrier, number = answer["carrier"], answer["waybill_no"]
        keep_parcel(session, order_id, one.id, carrier, shared.shipment_no, number, now, shared)
        note(session, order_id, EventKind.WAYBILL_CREATED, "create-waybill", now, one.id, **answer)
    wake(session, [one.id for one in everybody if one.id != claim.fulfilment_id], now)


async def part_company(claim: Claim) -> None:
    """Before anything else: who ends, or can no longer go along, leaves its shared parcel. Twice: it has left.

    A waybill that is undone is called back by whoever of them gets here first; then all go alone.
    """
    if claim.stage.reached(Stage.SHIPPED):
        return
    state = await in_transaction(lambda session: _company_now(session, claim))
    if state is not None and state[1] is SharedState.UNDOING:
        await call_back_shared_waybill(claim, state[0])


def _company_now(session: Session, claim: Claim) -> tuple[int, SharedState] | None:
    """The shared parcel it is in and its state, after leaving it if there is a reason to."""
    shared = company_of(session, claim.fulfilment_id)
    if shared is None or shared.id is None:
        return None
    hold_on(session, claim)
    shared = lock_shared(session, shared.id)
    (me,) = travellers(session, [claim.fulfilment_id])
    reason = _why_leave(session, shared, me)
    if not reason:
        return shared.id or 0, SharedState(shared.state)
    state = parting.leave(session, claim.fulfilment_id, reason, utcnow())
    return None if state is None else (shared.id or 0, state)


def _why_leave(session: Session, shared: SharedParcel, me: Traveller) -> str:
    if me.order.cancel_requested_at is not None:
        return "订单取消"
    made_up = compensation_of(session, me.id)
    if made_up is not None and made_up.state == CompensationState.DUE.value:
        return "改为退款补偿"
    if shared.state != SharedState.OPEN.value:
        if me.fulfilment.stage != Stage.PRODUCED.value:
            return "要重新备货"
        if is_asked(session, me.fulfilment.order_id):
            return "客户改了订单"
        return "" if me.contact.fingerprint == shared.fingerprint else "收货地址变了"
    held = [hold.reason for hold in open_holds(session, me.fulfilment.order_id) if hold.blocking]
    return f"订单被暂停({held[0][:60]})" if held else ""


@outward("撤回合并运单")
async def call_back_shared_waybill(claim: Claim, shared_parcel_id: int) -> None:
    """Cancel the one waybill of all. Twice, and by several lanes at once: it is cancelled once."""
    carrier = platforms().carrier()
    shared = await in_transaction(lambda session: session.get_one(SharedParcel, shared_parcel_id))
    until = await in_transaction(lambda session: _busy_until(session, shared.waybill_key))
    if until is not None:  # a call of another lane may still arrive: let it arrive, then call it back
        raise MustWait(WaitingOn.RETRY, "等上一个调用有结果后再撤回", until)

    async def call(request: bytes) -> dict[str, Any]:
        return {"cancelled": await carrier.cancel_waybill(request.decode())}

    def prepare(session: Session) -> bytes:
        hold_on(session, claim)
        return shared.shipment_no.encode()

    def settle(session: Session, answer: dict[str, Any] | None) -> None:
        parting.called_back(session, shared_parcel_id, bool(answer and answer["cancelled"]), utcnow())

    await tell_once(
        None,
        WAYBILL_CANCEL,
        f"waybill-cancel-{shared.shipment_no}",
        prepare,
        call,
        settle,
        lock=lambda session: lock_with_company(session, [claim.order_id], shared_parcel_id),
    )


def _busy_until(session: Session, effect_key: str) -> datetime | None:
    """Until when somebody may be telling this; None when nobody is."""
    effect = session.exec(select(Effect).where(Effect.key == effect_key)).first()
    running = effect is not None and effect.lease_until is not None and effect.lease_until > utcnow()
    return effect.lease_until if effect is not None and running else None
