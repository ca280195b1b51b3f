"""Step: the customer hears that the parcel is on its way."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session

from integrations.errors import Refused
from integrations.messaging import CustomerMessages
from models import hold
from models.database import in_transaction, utcnow
from models.effect import SMS
from models.fulfilment import Claim, Stage
from models.notification import Node, Notification, NotificationState, notification_of
from models.order import Contact, Order, reveal
from models.parcel import parcel_of
from models.timeline import EventKind, note
from tasks.outside import platforms
from tasks.shipping import tracking_link
from tasks.step import outward
from tasks.telling import tell_once


async def notify_customer(claim: Claim) -> None:
    """Tell the customer once that it was shipped. A number that cannot be reached goes to a person, not to a stop."""
    if not claim.stage.reached(Stage.SHIPPED) or claim.stage.reached(Stage.DELIVERED):
        return
    known = await in_transaction(lambda session: notification_of(session, claim.fulfilment_id, Node.SHIPPED))
    if known is not None:
        return
    try:
        await send_shipped_message(claim)
    except Refused as error:
        reason = str(error)
        await in_transaction(lambda session: _failed(session, claim, reason))


@outward("通知客户")
async def send_shipped_message(claim: Claim) -> None:
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
        f"sms-{claim.fulfilment_no}-{Node.SHIPPED}",
        lambda session: _message(session, claim, sms),
        call,
        lambda session, answer: _sent(session, claim, answer),
        ask=ask,
    )


def _message(session: Session, claim: Claim, sms: CustomerMessages) -> bytes:
    order = session.get_one(Order, claim.order_id)
    parcel = parcel_of(session, claim.fulfilment_id)
    assert parcel is not None
    phone = reveal(session.get_one(Contact, order.contact_id)).phone
    words = {"order_no": claim.order_no, "waybill_no": parcel.waybill_no, "link": tracking_link(parcel)}
    return sms.request(phone, Node.SHIPPED, words, f"{claim.fulfilment_no}-{Node.SHIPPED}")


def _sent(session: Session, claim: Claim, answer: dict[str, Any] | None) -> None:
    message_id = (answer or {}).get("message_id", "")
    _keep(session, claim, NotificationState.SENT, message_id, "")
    note(session, claim.order_id, EventKind.NOTIFIED, "notify-customer", utcnow(), claim.fulfilment_id, via="sms")


def _failed(session: Session, claim: Claim, reason: str) -> None:
    if notification_of(session, claim.fulfilment_id, Node.SHIPPED) is not None:
        return
    now = utcnow()
    _keep(session, claim, NotificationState.FAILED, "", reason[:500])
    note(
        session, claim.order_id, EventKind.NOTIFY_FAILED, "notify-customer", now, claim.fulfilment_id,
        reason=reason[:300],
    )  # fmt: skip
    how = "电话或平台私信告诉客户运单号,然后解除"
    hold.place(
        session, claim.order_id, "notify_failed", f"短信发不出去:{reason[:300]}", "客服", how, "notify", now,
        blocking=False,
    )  # fmt: skip


def _keep(session: Session, claim: Claim, state: NotificationState, message_id: str, reason: str) -> None:
    session.add(
        Notification(
            order_id=claim.order_id,
            fulfilment_id=claim.fulfilment_id,
            node=Node.SHIPPED.value,
            via="sms",
            state=state.value,
            message_id=message_id,
            reason=reason,
            at=utcnow(),
        )
    )
    session.flush()
