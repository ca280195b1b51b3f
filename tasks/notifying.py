"""Steps: the customer hears what happened to the order, once per moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlmodel import Session

from integrations.errors import Refused
from integrations.messaging import CustomerMessages
from models import hold
from models.customer_link import token_for
from models.database import in_transaction, utcnow
from models.effect import SMS
from models.fulfilment import Claim, Stage
from models.notification import Node, Notification, NotificationState, notification_of
from models.order import Contact, Order, reveal
from models.parcel import Parcel, parcel_of
from models.settings import settings
from models.timeline import EventKind, note
from tasks.outside import platforms
from tasks.receiver import lift_mask
from tasks.step import outward
from tasks.telling import tell_once

#: What a message says: the parameters of its template, read in the transaction of the intent.
Words = Callable[[Session], dict[str, str]]


async def notify_customer(claim: Claim) -> None:
    """Tell the customer once that it was shipped."""
    if not claim.stage.reached(Stage.SHIPPED) or claim.stage.reached(Stage.DELIVERED):
        return
    await tell_customer(claim, Node.SHIPPED, lambda session: _shipped_words(session, claim))


async def tell_customer(claim: Claim, node: Node, words: Words, round: int = 0) -> None:
    """Tell the customer of one moment, once a round. A number that cannot be reached goes to a person."""
    known = await in_transaction(lambda session: notification_of(session, claim.fulfilment_id, node, round))
    if known is not None:
        return
    try:
        await lift_mask(claim)
        await send_message(claim, node, words, round)
    except Refused as error:
        reason = str(error)
        await in_transaction(lambda session: _failed(session, claim, node, round, reason))


@outward("通知客户")
async def send_message(claim: Claim, node: Node, words: Words, round: int = 0) -> None:
    """Send the message. Twice: the provider is asked for it by its number before it is sent again."""
    sms = platforms().sms()

    async def call(request: bytes) -> dict[str, Any]:
        return {"message_id": (await sms.send(request)).message_id}

    async def ask(request: bytes) -> dict[str, Any] | None:
        receipt = await sms.find(request, utcnow())
        return None if receipt is None else {"message_id": receipt.message_id}

    await tell_once(
        claim,
        SMS,
        f"sms-{_number(claim, node, round)}",
        lambda session: _message(session, claim, node, round, words, sms),
        call,
        lambda session, answer: _sent(session, claim, node, round, answer),
        ask=ask,
    )


def _number(claim: Claim, node: Node, round: int) -> str:
    return f"{claim.fulfilment_no}-{node}{f'-{round}' if round else ''}"


def _message(session: Session, claim: Claim, node: Node, round: int, words: Words, sms: CustomerMessages) -> bytes:
    order = session.get_one(Order, claim.order_id)
    phone = reveal(session.get_one(Contact, order.contact_id)).phone
    return sms.request(phone, node, words(session), _number(claim, node, round))


def _shipped_words(session: Session, claim: Claim) -> dict[str, str]:
    parcel = parcel_of(session, claim.fulfilment_id)
    assert parcel is not None
    return {"order_no": claim.order_no, "waybill_no": parcel.waybill_no, "link": tracking_link(parcel)}


def tracking_link(parcel: Parcel) -> str:
    """The customer's link to the tracking page."""
    return f"{settings().portal_url()}/t/{parcel.token}"


def customer_link(session: Session, claim: Claim) -> str:
    """The customer's link to the order's own page, where it may still be cancelled."""
    return f"{settings().portal_url()}/o/{token_for(session, claim.order_id, utcnow())}"


def _sent(session: Session, claim: Claim, node: Node, round: int, answer: dict[str, Any] | None) -> None:
    if notification_of(session, claim.fulfilment_id, node, round) is not None:
        return
    message_id = (answer or {}).get("message_id", "")
    _keep(session, claim, node, round, NotificationState.SENT, message_id, "")
    note(
        session, claim.order_id, EventKind.NOTIFIED, "notify-customer", utcnow(), claim.fulfilment_id,
        via="sms", node=node.value,
    )  # fmt: skip


def _failed(session: Session, claim: Claim, node: Node, round: int, reason: str) -> None:
    if notification_of(session, claim.fulfilment_id, node, round) is not None:
        return
    now = utcnow()
    _keep(session, claim, node, round, NotificationState.FAILED, "", reason[:500])
    note(
        session, claim.order_id, EventKind.NOTIFY_FAILED, "notify-customer", now, claim.fulfilment_id,
        reason=reason[:300], node=node.value,
    )  # fmt: skip
    how = "电话或平台私信告诉客户,然后解除"
    hold.place(
        session, claim.order_id, "notify_failed", f"短信发不出去:{reason[:300]}", "客服", how, "notify", now,
        blocking=False,
    )  # fmt: skip


def _keep(
    session: Session, claim: Claim, node: Node, round: int, state: NotificationState, message_id: str, reason: str
) -> None:
    session.add(
        Notification(
            order_id=claim.order_id,
            fulfilment_id=claim.fulfilment_id,
            node=node.value,
            round=round,
            via="sms",
            state=state.value,
            message_id=message_id,
            reason=reason,
            at=utcnow(),
        )
    )
    session.flush()
