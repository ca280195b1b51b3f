"""The order book: taking in what channels tell, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import text, tuple_
from sqlmodel import Session, col, select

from models import quarantine
from models.fulfilment import Fulfilment, WaitingOn, announce
from models.intake import Incoming, IncomingOrder, PlatformStatus, Unreadable
from models.order import Order, keep_contact, next_order_no
from models.platform_news import OVER, copy, follow, is_news, write_lines
from models.product import Product, products
from models.quality import Fault, judge, plain
from models.timeline import EventKind, note
from models.warehouse import home_warehouse

#: What a channel knows an order by: channel, shop, channel order id.
Name = tuple[str, str, str]

#: How long until an unpaid order is looked at again by itself.
UNPAID_LOOK_AGAIN = timedelta(minutes=30)


class Taken(StrEnum):
    """What taking in one order came to."""

    NEW = "new"
    CHANGED = "changed"
    KNOWN = "known"  # the same or an older version of what we have
    OVER = "over"  # it ended before we ever saw it
    QUARANTINED = "quarantined"


def take_orders(session: Session, page: Sequence[Incoming], now: datetime) -> Counter[Taken]:
    """Take in a page of orders; counts by outcome. Any page may come again, at once or later.

    Each order stands alone: one that cannot enter the book is set aside with its reasons, and the rest go on.
    Known orders come first, by id, then new ones by name: two pages at once never wait for each other in a circle.
    """
    skus = sorted({line.sku for order in page if isinstance(order, IncomingOrder) for line in order.lines})
    names = sorted({_name(order) for order in page if plain(order.channel_order_id)})
    desk = _Desk(
        catalogue=products(session, [sku for sku in skus if plain(sku)]),
        known=_known(session, names),
        aside=quarantine.among(session, names),
        now=now,
    )
    ids = {name: order.id or 0 for name, order in desk.known.items()}
    counts: Counter[Taken] = Counter()
    for order in sorted(page, key=lambda o: (_name(o) not in ids, ids.get(_name(o), 0), _name(o))):
        counts[_take_one(session, order, desk)] += 1
    session.flush()
    announce(session)
    return counts


@dataclass
class _Desk:
    """What is known while a page is taken in: products by SKU, orders and quarantined names among those of the page."""

    catalogue: dict[str, Product]
    known: dict[Name, Order]
    aside: set[Name]
    now: datetime


def _name(order: Incoming) -> Name:
    return order.channel, order.shop, order.channel_order_id


def _known(session: Session, names: Sequence[Name]) -> dict[Name, Order]:
    name = tuple_(col(Order.channel), col(Order.shop), col(Order.channel_order_id))
    statement = select(Order).where(name.in_(names)).execution_options(populate_existing=True)
    return {(order.channel, order.shop, order.channel_order_id): order for order in session.exec(statement)}


def _take_one(session: Session, order: Incoming, desk: _Desk) -> Taken:
    if isinstance(order, Unreadable):
        return _set_aside(session, order, [Fault("unreadable", f"读不懂平台给的数据:{order.reason[:300]}")], desk)
    name, ours = _name(order), desk.known.get(_name(order))
    if ours is not None and not is_news(order, ours):
        return Taken.KNOWN
    # platforms blank the address and the amounts of orders that are over: the end must reach us all the same
    faults = [] if order.status in OVER else judge(order, desk.catalogue, desk.now)
    if faults:
        return _set_aside(session, order, faults, desk)
    if name in desk.aside:
        quarantine.resolve(session, *name, desk.now)
        desk.aside.remove(name)
    if ours is None and order.status in OVER:
        return Taken.OVER
    if ours is None:
        ours = _enter(session, order, desk.catalogue, desk.now)
        if ours is not None:
            desk.known[name] = ours
            return Taken.NEW
        desk.known |= _known(session, [name])  # another transaction was quicker
        ours = desk.known[name]
    return Taken.CHANGED if follow(session, ours, order, desk.catalogue, desk.now) else Taken.KNOWN


def _set_aside(session: Session, order: Incoming, faults: Sequence[Fault], desk: _Desk) -> Taken:
    quarantine.set_aside(session, *_name(order), faults, order.raw, desk.now)
    desk.aside.add(_name(order))
    return Taken.QUARANTINED


def _enter(session: Session, incoming: IncomingOrder, catalogue: dict[str, Product], now: datetime) -> Order | None:
    """Write the order with its lines and first fulfilment; None when another transaction was quicker."""
    assert incoming.receiver is not None
    with session.begin_nested() as savepoint:
        claimed = (
            session.connection()
            .execute(
                text(
                    "INSERT INTO orders (order_no, channel, shop, channel_order_id, channel_order_name,"
                    " platform_status, placed_at, platform_updated_at, received_at, cancel_reason, currency,"
                    " total_fen, paid_fen, refunded_fen, freight_fen, discount_fen, payment_keeper, payment_ref,"
                    " buyer, contact_id, note, attributes, handles)"
                    " VALUES (:no, :channel, :shop, :id, '', '', :now, :now, :now, '', 'CNY', 0, 0, 0, 0, 0, '', '',"
                    " '', :contact, '', '{}', '{}')"
                    " ON CONFLICT ON CONSTRAINT one_order_per_channel_order DO NOTHING RETURNING id"
                ),
                {
                    "no": next_order_no(session, incoming.channel),
                    "channel": incoming.channel,
                    "shop": incoming.shop,
                    "id": incoming.channel_order_id,
                    "now": now,
                    "contact": keep_contact(session, incoming.receiver).id,
                },
            )
            .scalar()
        )
        if claimed is None:
            savepoint.rollback()
            return None
        order = session.get_one(Order, claimed)
        copy(order, incoming)
        session.add(order)
        fulfilment = _first_fulfilment(session, claimed, incoming, now)
        write_lines(session, claimed, fulfilment, incoming, catalogue)
    note(session, claimed, EventKind.RECEIVED, f"platform:{incoming.channel}", now, name=incoming.channel_order_name)
    return order


def _first_fulfilment(session: Session, order_id: int, incoming: IncomingOrder, now: datetime) -> int:
    paid = incoming.status is not PlatformStatus.AWAITING_PAYMENT
    fulfilment = Fulfilment(
        order_id=order_id,
        warehouse=home_warehouse(session, incoming.receiver.province if incoming.receiver else ""),
        stage_since=now,
        waiting_on=None if paid else WaitingOn.PAYMENT.value,
        waiting_why="" if paid else "客户还没有付款",
        ready_at=now if paid else now + UNPAID_LOOK_AGAIN,
    )
    session.add(fulfilment)
    session.flush()
    assert fulfilment.id is not None
    return fulfilment.id
