"""Orders and fulfilments for tests, written straight to the tables: only what the rules need, the rest by default."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Session

from models.fulfilment import Fulfilment
from models.order import Contact, Order


def an_order(session: Session, now: datetime, order_no: str = "SH-1001", **changes: Any) -> Order:
    """A paid order with an empty contact, flushed. `changes` are columns of `Order`."""
    contact = Contact()
    session.add(contact)
    session.flush()
    columns = {
        "channel": "shopify",
        "shop": "shop",
        "channel_order_id": order_no,
        "platform_status": "paid",
        "placed_at": now,
        "platform_updated_at": now,
        "received_at": now,
        "contact_id": contact.id,
        **changes,
    }
    order = Order(order_no=order_no, **columns)
    session.add(order)
    session.flush()
    return order


def a_fulfilment(session: Session, order: Order, now: datetime, **changes: Any) -> Fulfilment:
    """A fulfilment of `order`, received and ready since `now`, flushed. `changes` are columns of `Fulfilment`."""
    columns = {"order_id": order.id, "stage_since": now, "ready_at": now, **changes}
    fulfilment = Fulfilment(**columns)
    session.add(fulfilment)
    session.flush()
    return fulfilment


def fulfilments(session: Session, now: datetime, count: int, **changes: Any) -> list[int]:
    """`count` ready fulfilments, each of an order of its own (`T-1`, `T-2`, …); their ids."""
    ids = []
    for number in range(1, count + 1):
        row = a_fulfilment(session, an_order(session, now, f"T-{number}"), now, **changes)
        assert row.id is not None
        ids.append(row.id)
    return ids
