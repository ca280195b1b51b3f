"""What happened to an order: one append-only row per transition, decision, message and mishap."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index
from sqlmodel import Session, SQLModel, select

from models.settings import settings
from models.table import document, key, link, moment, reference


class EventKind(StrEnum):
    """Every kind of row in a timeline."""

    RECEIVED = "received"
    CORRECTED = "corrected"
    CHANGED_ON_CHANNEL = "changed_on_channel"
    LINES_CHANGED = "lines_changed"
    ADDRESS_CHANGED = "address_changed"
    PARTLY_REFUNDED = "partly_refunded"
    REPLACED = "replaced"
    PAYMENT_VERIFIED = "payment_verified"
    PROFILE_FILLED = "profile_filled"
    RECIPE_MATCHED = "recipe_matched"
    RECIPE_CHANGED = "recipe_changed"
    RESERVED = "reserved"
    BACKORDERED = "backordered"
    FED = "fed"
    SPLIT = "split"
    JOINED = "joined"
    MERGED = "merged"
    UNMERGED = "unmerged"
    BUFFER_USED = "buffer_used"
    RESERVATION_LOST = "reservation_lost"
    RESERVATION_EXPIRED = "reservation_expired"
    STOCK_CHECK_OPENED = "stock_check_opened"
    STOCK_CHECK_ANSWERED = "stock_check_answered"
    COMPENSATION_DUE = "compensation_due"
    COMPENSATION_STOPPED = "compensation_stopped"
    COMPENSATION_DECIDED = "compensation_decided"
    COUPON_ISSUED = "coupon_issued"
    COUPON_REDEEMED = "coupon_redeemed"
    REFUND_ASKED = "refund_asked"
    REFUND_REPORTED = "refund_reported"
    REFUNDED = "refunded"
    REOPENED = "reopened"
    REVIEW_OPENED = "review_opened"
    REVIEW_ESCALATED = "review_escalated"
    REVIEW_DECIDED = "review_decided"
    APPROVED = "approved"
    RELEASED = "released_to_production"
    PRODUCTION_REPORTED = "production_reported"
    REWORKED = "reworked"
    PRODUCED = "produced"
    WAYBILL_CREATED = "waybill_created"
    SHIPPED = "shipped"
    NOTIFIED = "notified"
    NOTIFY_FAILED = "notify_failed"
    ROUTE_REPORTED = "route_reported"
    DELIVERED = "delivered"
    CLOSED = "closed"
    CANCEL_REQUESTED = "cancel_requested"
    CALLED_BACK = "called_back"
    CANCELLED = "cancelled"
    HELD = "held"
    HOLD_RELEASED = "hold_released"
    WAITS = "waits"
    RERUN = "rerun"
    SHIPPED_BY_PEOPLE = "shipped_by_people"  # seen from a shadow


class OrderEvent(SQLModel, table=True):
    """One row of the timeline. `actor` is a step's name, `platform:…`, or a person's name."""

    __tablename__ = "order_event"
    __table_args__ = (Index("order_event_of_order", "order_id", "id"),)

    id: int | None = key()
    order_id: int = reference("orders.id", index=False)
    fulfilment_id: int | None = link()
    at: datetime = moment(index=True)
    actor: str
    kind: str
    detail: dict[str, Any] = document()


def note(
    session: Session,
    order_id: int,
    kind: EventKind,
    actor: str,
    now: datetime,
    fulfilment_id: int | None = None,
    **detail: Any,
) -> None:
    """Add one row to an order's timeline, in the caller's transaction. `detail` is JSON, without personal data.

    What is written in shadow mode says so: `"shadow": true`.
    """
    if settings().shadow:
        detail["shadow"] = True
    session.add(
        OrderEvent(order_id=order_id, fulfilment_id=fulfilment_id, at=now, actor=actor, kind=kind.value, detail=detail)
    )


def timeline(session: Session, order_id: int) -> list[OrderEvent]:
    """An order's timeline, oldest first."""
    return list(session.exec(select(OrderEvent).where(OrderEvent.order_id == order_id).order_by(OrderEvent.id)))  # type: ignore[arg-type]
