"""Everything that staff see of one order on one page: no personal data but masks, and no bytes of any request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from models.change import OrderChange, changes_of
from models.effect import effects_of
from models.feeding_page import feeding_lines
from models.fulfilment import FulfilmentLine, fulfilments_of
from models.hold import Hold
from models.notification import Notification
from models.order import Contact, find_order, lines_of
from models.parcel import Parcel
from models.production import WorkOrder
from models.reservation import Reservation
from models.review import ReviewCase
from models.rule_version import KIND_WORDS
from models.rules_in_force import form_of, number_of
from models.shared_parcel import effects_shared_with
from models.timeline import timeline


@dataclass(frozen=True)
class LineView:
    """One line. Money in fen; `pet` is what the order form's questions were answered, by their titles and in words,
    and nothing else that a customer wrote beside them; `recipes` those matched to it."""

    line_no: int
    sku: str
    title: str
    quantity: int
    unit_price_fen: int
    paid_fen: int
    made_to_order: bool
    pet: dict[str, str]
    recipes: tuple[str, ...]
    feeding: tuple[str, ...]  # how much a day, and for how long, in a sentence for each recipe


@dataclass(frozen=True)
class FulfilmentView:
    """One fulfilment: where it is, what it waits for, who works on it, what it was promised (SKU, quantity, state)."""

    number: int
    warehouse: str
    stage: str
    stage_since: datetime
    waiting_on: str | None
    waiting_why: str
    ready_at: datetime | None
    claimed_by: str | None
    claim_until: datetime | None
    attempts: int
    reservations: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class EffectView:
    """One thing told to the outside."""

    kind: str
    key: str
    state: str
    attempts: int
    intended_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True)
class EventView:
    """One row of the timeline."""

    at: datetime
    actor: str
    kind: str
    detail: dict[str, Any]
    fulfilment: int | None  # its number


@dataclass(frozen=True)
class OrderPage:
    """One order as staff see it. Money in fen; name and phone are masks."""

    order_no: str
    channel: str
    shop: str
    channel_order_id: str
    channel_order_name: str
    platform_status: str
    placed_at: datetime
    received_at: datetime
    paid_at: datetime | None
    payment_verified_at: datetime | None
    cancel_requested_at: datetime | None
    cancel_reason: str
    currency: str
    total_fen: int
    paid_fen: int
    freight_fen: int
    discount_fen: int
    masked_name: str
    masked_phone: str
    province: str
    city: str
    district: str
    rules: tuple[tuple[str, int], ...]  # what the order is decided by: the kind in words, the version
    lines: tuple[LineView, ...]
    fulfilments: tuple[FulfilmentView, ...]
    holds: tuple[Hold, ...]
    reviews: tuple[ReviewCase, ...]
    work_orders: tuple[WorkOrder, ...]
    parcels: tuple[Parcel, ...]
    notifications: tuple[Notification, ...]
    effects: tuple[EffectView, ...]
    events: tuple[EventView, ...]
    changes: tuple[OrderChange, ...]


def order_page(session: Session, order_no: str) -> OrderPage:
    """The page of one order. Raises `OrderUnknown`."""
    order = find_order(session, order_no)
    assert order.id is not None
    contact = session.get_one(Contact, order.contact_id)
    parts = fulfilments_of(session, order.id)
    ids = [part.id for part in parts if part.id is not None]
    numbers = {part.id: part.number for part in parts}
    carried = list(session.exec(select(FulfilmentLine).where(col(FulfilmentLine.fulfilment_id).in_(ids))))
    kept = list(session.exec(select(Reservation).where(col(Reservation.fulfilment_id).in_(ids))))
    fed_by = feeding_lines(session, order)
    return OrderPage(
        order_no=order.order_no,
        channel=order.channel,
        shop=order.shop,
        channel_order_id=order.channel_order_id,
        channel_order_name=order.channel_order_name,
        platform_status=order.platform_status,
        placed_at=order.placed_at,
        received_at=order.received_at,
        paid_at=order.paid_at,
        payment_verified_at=order.payment_verified_at,
        cancel_requested_at=order.cancel_requested_at,
        cancel_reason=order.cancel_reason,
        currency=order.currency,
        total_fen=order.total_fen,
        paid_fen=order.paid_fen,
        freight_fen=order.freight_fen,
        discount_fen=order.discount_fen,
        masked_name=contact.masked_name,
        masked_phone=contact.masked_phone,
        province=contact.province,
        city=contact.city,
        district=contact.district,
        rules=tuple((words[0], number_of(session, order, kind)) for kind, words in KIND_WORDS.items()),
        lines=tuple(
            LineView(
                line_no=line.line_no,
                sku=line.sku,
                title=line.title,
                quantity=line.quantity,
                unit_price_fen=line.unit_price_fen,
                paid_fen=line.paid_fen,
                made_to_order=line.made_to_order,
                pet=form_of(session, order).told(line.pet) if line.made_to_order else {},
                recipes=tuple(part.recipe for part in carried if part.order_line_id == line.id and part.recipe),
                feeding=tuple(fed.said() for fed in fed_by if fed.line_no == line.line_no),
            )
            for line in lines_of(session, order.id)
        ),
        fulfilments=tuple(
            FulfilmentView(
                number=part.number,
                warehouse=part.warehouse,
                stage=part.stage,
                stage_since=part.stage_since,
                waiting_on=part.waiting_on,
                waiting_why=part.waiting_why,
                ready_at=part.ready_at,
                claimed_by=part.claimed_by,
                claim_until=part.claim_until,
                attempts=part.attempts,
                reservations=tuple(
                    (row.sku, row.quantity, row.state)
                    for row in sorted(kept, key=lambda r: r.sku)
                    if row.fulfilment_id == part.id
                ),
            )
            for part in parts
        ),
        holds=_of_order(session, Hold, order.id),
        reviews=_of_order(session, ReviewCase, order.id),
        work_orders=_of_order(session, WorkOrder, order.id),
        parcels=_of_order(session, Parcel, order.id),
        notifications=_of_order(session, Notification, order.id),
        effects=tuple(
            EffectView(e.kind, e.key, e.state, e.attempts, e.intended_at, e.settled_at)
            for e in sorted(
                [*effects_of(session, order.id), *effects_shared_with(session, order.id)], key=lambda e: e.id or 0
            )
        ),
        events=tuple(
            EventView(e.at, e.actor, e.kind, e.detail, numbers.get(e.fulfilment_id))
            for e in timeline(session, order.id)
        ),
        changes=tuple(changes_of(session, order.id)),
    )


def _of_order(session: Session, table: Any, order_id: int) -> tuple[Any, ...]:
    return tuple(session.exec(select(table).where(table.order_id == order_id).order_by(table.id)))
