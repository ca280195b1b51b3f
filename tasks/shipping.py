"""Steps: the waybill, and telling the channel that the parcel is on its way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlmodel import Session

from integrations.carriers import NotDeliverable, Shipment
from integrations.channels import Channel
from integrations.channels import Parcel as ParcelNotice
from integrations.errors import Refused
from models.allocation import made_of
from models.database import in_transaction, utcnow
from models.effect import SHIP_NOTICE, WAYBILL
from models.fulfilment import Claim, Stage, WaitingOn, advance, hold_on
from models.order import Order
from models.parcel import is_to_go, keep_parcel, parcel_of
from models.product import products
from models.reservation import consume
from models.settings import settings
from models.shared_parcel import company_of
from models.shipment import shipment_of
from models.timeline import EventKind, note
from tasks.merging import travel_with_others
from tasks.notifying import tracking_link
from tasks.outside import platforms
from tasks.receiver import lift_mask, receiver_of
from tasks.step import outward
from tasks.telling import tell_once
from tasks.working import MustWait


async def create_waybill(claim: Claim) -> None:
    """Get a waybill once everything is there: its own, or one with others that go along. Twice: the same waybill."""
    if claim.stage.reached(Stage.SHIPPED):
        return
    number, may_have_company = await in_transaction(lambda session: _standing(session, claim))
    if number and not (may_have_company and await travel_with_others(claim)):
        await ask_for_waybill(claim, number)


def _standing(session: Session, claim: Claim) -> tuple[str, bool]:
    """The number for its own waybill ("": it has one), and whether others may go along."""
    if parcel_of(session, claim.fulfilment_id) is not None:
        return "", False
    looked_for = settings().policy.merge_within_minutes > 0
    is_merged = company_of(session, claim.fulfilment_id) is not None
    return shipment_of(session, claim.fulfilment_id, claim.fulfilment_no).number, looked_for or is_merged


@outward("生成运单")
async def ask_for_waybill(claim: Claim, number: str) -> None:
    """Ask the carrier. Twice: it recognises our shipment number, and we adopt what it has."""
    carrier = platforms().carrier()
    await lift_mask(claim)

    async def call(request: bytes) -> dict[str, Any]:
        try:
            waybill = await carrier.create_waybill(request)
        except NotDeliverable as error:
            raise Refused(carrier.name, "not_deliverable", f"快递不派送这个地址:{error}") from error
        return {"waybill_no": waybill.waybill_no, "carrier": carrier.name}

    await tell_once(
        claim,
        WAYBILL,
        f"waybill-{number}",
        lambda session: carrier.waybill_request(_shipment(session, claim, number)),
        call,
        lambda session, answer: _has_waybill(session, claim, number, answer),
    )


def _shipment(session: Session, claim: Claim, number: str) -> Shipment:
    if company_of(session, claim.fulfilment_id) is not None:  # merged by hand a moment ago
        raise MustWait(WaitingOn.MERGE, "要和别的订单合并发货,马上再看", utcnow())
    order = session.get_one(Order, claim.order_id)
    parts = made_of(session, claim.order_id, claim.fulfilment_id)
    goods = products(session, [line.sku for _, line, _ in parts])
    weight = sum(goods[line.sku].weight_g * part.quantity for part, line, _ in parts)
    cargo = tuple((line.title[:60] or line.sku, part.quantity) for part, line, _ in parts)
    return Shipment(number, receiver_of(session, order), cargo, max(weight, 100))


def _has_waybill(session: Session, claim: Claim, number: str, answer: dict[str, Any] | None) -> None:
    assert answer is not None, "a keyed effect is never given up"
    now = utcnow()
    carrier, waybill_no = answer["carrier"], answer["waybill_no"]
    keep_parcel(session, claim.order_id, claim.fulfilment_id, carrier, number, waybill_no, now)
    note(session, claim.order_id, EventKind.WAYBILL_CREATED, "create-waybill", now, claim.fulfilment_id, **answer)


async def tell_channel(claim: Claim) -> None:
    """Tell the channel, and with its answer the fulfilment is shipped. Twice: asked first, told once."""
    if claim.stage.reached(Stage.SHIPPED):
        return
    await mark_shipped_on_channel(claim)


@outward("回传平台发货")
async def mark_shipped_on_channel(claim: Claim) -> None:
    """Send the shipping notice. Twice: the channel is asked whether it knows this parcel before it is told again."""
    channel = platforms().channel(claim.channel)
    await tell_once(
        claim,
        SHIP_NOTICE,
        f"ship-{claim.fulfilment_no}",
        lambda session: _notice(session, claim, channel),
        channel.tell_shipped,
        lambda session, answer: _shipped(session, claim),
        ask=channel.was_told_shipped,
    )


def _notice(session: Session, claim: Claim, channel: Channel) -> bytes:
    order = session.get_one(Order, claim.order_id)
    parcel = parcel_of(session, claim.fulfilment_id)
    if parcel is None or not is_to_go(session, parcel):
        raise MustWait(WaitingOn.MERGE, "合并发货正在取消,马上再看", utcnow() + timedelta(seconds=2))
    lines = tuple(
        (line.channel_line_id, part.quantity) for part, line, _ in made_of(session, claim.order_id, claim.fulfilment_id)
    )
    told = ParcelNotice(parcel.waybill_no, parcel.carrier, tracking_link(parcel), lines)
    return channel.shipping_notice(order.channel_order_id, order.handles, told)


def _shipped(session: Session, claim: Claim) -> None:
    now = utcnow()
    hold_on(session, claim)
    parcel = parcel_of(session, claim.fulfilment_id)
    assert parcel is not None
    parcel.told_channel_at = now
    session.add(parcel)
    consume(session, claim.fulfilment_id, "ship", now)
    advance(session, claim, Stage.SHIPPED, now)
    note(
        session, claim.order_id, EventKind.SHIPPED, "tell-channel", now, claim.fulfilment_id, waybill=parcel.waybill_no
    )
