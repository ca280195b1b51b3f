"""Entering new orders into the book, a page at a time: contacts, orders, lines and first fulfilments, set by set.

A page takes a handful of statements however many orders it holds; one order at a time would take ten each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, delete, insert, text
from sqlalchemy.dialects import postgresql
from sqlmodel import Session, SQLModel

from models.fulfilment import Fulfilment, FulfilmentLine, Stage, WaitingOn
from models.intake import Incoming, IncomingOrder, PlatformStatus, content_of
from models.new_address import MASK, mask_of
from models.order import PREFIXES, Contact, Order, OrderLine, contact_columns
from models.product import Product
from models.rule_version import numbers_in_force
from models.timeline import EventKind, OrderEvent
from models.warehouse import home_warehouses

#: What a channel knows an order by: channel, shop, channel order id.
Name = tuple[str, str, str]

#: Under which handle an order keeps the digest of what its channel said last.
SEEN = "seen"

#: How long until an unpaid order is looked at again by itself.
UNPAID_LOOK_AGAIN = timedelta(minutes=30)


def name_of(order: Incoming) -> Name:
    """Channel, shop and the channel's order id."""
    return order.channel, order.shop, order.channel_order_id


def enter(
    session: Session, orders: Sequence[IncomingOrder], catalogue: Mapping[str, Product], now: datetime
) -> dict[Name, int]:
    """Write these orders whole, each with its lines and first fulfilment; ids by name of those that were new.

    Names must differ; every order has passed its rules. One that another transaction entered first is left out.
    Written in the order of their names, so that two pages at once never wait for each other in a circle.
    """
    orders = sorted(orders, key=name_of)
    if not orders:
        return {}
    ids = _claim_names(session, orders, numbers_in_force(session, now), now)
    new = [(order, ids[name_of(order)]) for order in orders if name_of(order) in ids]
    fulfilments = _first_fulfilments(session, new, now)
    lines = [
        (order_id, number, line)
        for order, order_id in new
        for number, line in enumerate(line_columns(order, catalogue), 1)
    ]
    written = [{"order_id": order_id, "line_no": number, **line} for order_id, number, line in lines]
    line_ids = _insert(session, OrderLine, written)
    carried = [
        {"fulfilment_id": fulfilments[row["order_id"]], "order_line_id": id, "quantity": left, "recipe": None}
        for row, id in zip(written, line_ids, strict=True)
        if (left := row["quantity"] - row["cancelled_quantity"]) > 0
    ]
    _insert(session, FulfilmentLine, carried)
    _insert(
        session,
        OrderEvent,
        [
            {
                "order_id": order_id,
                "fulfilment_id": None,
                "at": now,
                "actor": f"platform:{order.channel}",
                "kind": EventKind.RECEIVED.value,
                "detail": {"name": order.channel_order_name},
            }
            for order, order_id in new
        ],
    )
    return ids


def order_columns(incoming: IncomingOrder) -> dict[str, Any]:
    """What the channel says of the order itself, by column. Of a masked receiver, which mask it was is kept too."""
    receiver = incoming.receiver
    masked = {MASK: mask_of(receiver)} if receiver is not None and receiver.masked else {}
    return {
        "channel_order_name": incoming.channel_order_name,
        "platform_status": incoming.status.value,
        "placed_at": incoming.placed_at,
        "paid_at": incoming.paid_at,
        "platform_updated_at": incoming.updated_at,
        "currency": incoming.currency,
        "total_fen": incoming.total_fen,
        "paid_fen": incoming.paid_fen,
        "platform_refunded_fen": incoming.refunded_fen,
        "freight_fen": incoming.freight_fen,
        "discount_fen": incoming.discount_fen,
        "payment_keeper": incoming.payment_keeper,
        "payment_ref": incoming.payment_ref,
        "buyer": incoming.buyer,
        "note": incoming.note,
        "attributes": dict(incoming.attributes),
        "handles": {**incoming.handles, **masked, SEEN: content_of(incoming)},
    }


def line_columns(incoming: IncomingOrder, catalogue: Mapping[str, Product]) -> list[dict[str, Any]]:
    """The order's lines by column, in their order; the pet profile joined from order and line."""
    return [
        {
            "channel_line_id": line.channel_line_id,
            "sku": line.sku,
            "title": line.title,
            "quantity": line.quantity,
            "cancelled_quantity": line.cancelled_quantity,
            "unit_price_fen": line.unit_price_fen,
            "paid_fen": line.paid_fen,
            "made_to_order": catalogue[line.sku].made_to_order,
            "profile": {**incoming.attributes, **line.attributes},
        }
        for line in incoming.lines
    ]


def _claim_names(
    session: Session, orders: Sequence[IncomingOrder], rules: Mapping[str, int], now: datetime
) -> dict[Name, int]:
    """Insert the orders with their contacts; ids by name. Whose name is taken already is not inserted."""
    numbers = session.connection().execute(
        text("SELECT nextval('order_number_seq') FROM generate_series(1, :n)"), {"n": len(orders)}
    )
    receivers = [order.receiver for order in orders]
    contacts = _insert(session, Contact, [contact_columns(receiver) for receiver in receivers if receiver is not None])
    rows = [
        {
            **order_columns(order),
            "order_no": f"{PREFIXES.get(order.channel, 'OL')}-{number}",
            "channel": order.channel,
            "shop": order.shop,
            "channel_order_id": order.channel_order_id,
            "received_at": now,
            "cancel_reason": "",
            "refunded_fen": 0,
            "contact_id": contact,
            "rules": dict(rules),
        }
        for order, (number,), contact in zip(orders, numbers, contacts, strict=True)
    ]
    own: Table = Order.__table__  # type: ignore[attr-defined]
    claim = postgresql.insert(own).on_conflict_do_nothing(constraint="one_order_per_channel_order")
    told = claim.returning(own.c.channel, own.c.shop, own.c.channel_order_id, own.c.id, own.c.contact_id)
    ids, kept = {}, set()
    for channel, shop, channel_order_id, id, contact in session.connection().execute(told, rows):
        ids[channel, shop, channel_order_id] = id
        kept.add(contact)
    if orphans := set(contacts) - kept:
        session.connection().execute(
            delete(Contact).where(Contact.__table__.c.id.in_(orphans))  # type: ignore[attr-defined]
        )
    return ids


def _first_fulfilments(session: Session, new: Sequence[tuple[IncomingOrder, int]], now: datetime) -> dict[int, int]:
    """One fulfilment for each order, in the warehouse nearest to its receiver; its id by order id."""

    provinces = {order_id: order.receiver.province if order.receiver else "" for order, order_id in new}
    homes = home_warehouses(session, provinces.values())
    rows: list[dict[str, Any]] = []
    for order, order_id in new:
        paid = order.status is not PlatformStatus.AWAITING_PAYMENT
        rows.append(
            {
                "order_id": order_id,
                "number": 1,
                "warehouse": homes[provinces[order_id]],
                "stage": Stage.RECEIVED.value,
                "stage_since": now,
                "waiting_on": None if paid else WaitingOn.PAYMENT.value,
                "waiting_why": "" if paid else "客户还没有付款",
                "priority": 100,
                "ready_at": now if paid else now + UNPAID_LOOK_AGAIN,
                "wake_seq": 0,
                "fence": 0,
                "attempts": 0,
            }
        )
    ids = _insert(session, Fulfilment, rows)
    return {row["order_id"]: id for row, id in zip(rows, ids, strict=True)}


def _insert(session: Session, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> list[int]:
    """Insert these rows; their ids, in the order of the rows."""
    if not rows:
        return []
    own: Table = table.__table__  # type: ignore[attr-defined]
    statement = insert(own).returning(own.c.id, sort_by_parameter_order=True)
    return [id for (id,) in session.connection().execute(statement, list(rows))]
