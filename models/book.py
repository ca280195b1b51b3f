"""The order book: taking in what channels tell, once, and what a change on a channel does to an order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import text
from sqlmodel import Session, select

from models import hold, quarantine
from models.cancellation import request_cancellation
from models.fulfilment import Fulfilment, FulfilmentLine, Stage, WaitingOn, announce, fulfilments_of, wake
from models.intake import Incoming, IncomingLine, IncomingOrder, PlatformStatus, Unreadable
from models.order import Contact, Order, OrderLine, keep_contact, lines_of, lock_order, next_order_no
from models.product import Product, products
from models.quality import Fault, judge, plain
from models.stock import home_warehouse
from models.timeline import EventKind, note

#: Orders that will never be ours to ship when they come in like this for the first time.
OVER = (PlatformStatus.CANCELLED, PlatformStatus.REFUNDED, PlatformStatus.SHIPPED, PlatformStatus.COMPLETE)
#: Orders that are, or may become, ours to ship.
CARRIED = tuple(status for status in PlatformStatus if status not in OVER)
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
    """
    skus = sorted({line.sku for order in page if isinstance(order, IncomingOrder) for line in order.lines})
    catalogue = products(session, [sku for sku in skus if plain(sku)])
    counts: Counter[Taken] = Counter()
    for order in sorted(page, key=lambda o: (o.channel, o.shop, o.channel_order_id)):
        counts[_take_one(session, order, catalogue, now)] += 1
    announce(session)
    return counts


def _take_one(session: Session, order: Incoming, catalogue: dict[str, Product], now: datetime) -> Taken:
    if isinstance(order, Unreadable):
        fault = Fault("unreadable", f"读不懂平台给的数据:{order.reason[:300]}")
        _set_aside(session, order, [fault], now)
        return Taken.QUARANTINED
    known = _find(session, order) if plain(order.channel_order_id) else None
    if known is not None and not _is_news(order, known):
        return Taken.KNOWN
    faults = judge(order, catalogue, now)
    if faults:
        _set_aside(session, order, faults, now)
        return Taken.QUARANTINED
    quarantine.resolve(session, order.channel, order.shop, order.channel_order_id, now)
    if known is None and order.status in OVER:
        return Taken.OVER
    if known is None and _enter(session, order, catalogue, now):
        return Taken.NEW
    known = known or _find(session, order)
    assert known is not None
    return _update(session, known, order, catalogue, now)


def _set_aside(session: Session, order: Incoming, faults: Sequence[Fault], now: datetime) -> None:
    quarantine.set_aside(session, order.channel, order.shop, order.channel_order_id, faults, order.raw, now)


def _find(session: Session, order: IncomingOrder) -> Order | None:
    statement = (
        select(Order)
        .where(
            Order.channel == order.channel,
            Order.shop == order.shop,
            Order.channel_order_id == order.channel_order_id,
        )
        .execution_options(populate_existing=True)
    )
    return session.exec(statement).first()


def _is_news(incoming: IncomingOrder, order: Order) -> bool:
    """Whether a channel tells something newer. Platforms count in seconds: within one, the further status wins."""
    told = (incoming.updated_at, _FURTHER[incoming.status])
    return told > (order.platform_updated_at, _FURTHER[PlatformStatus(order.platform_status)])


_FURTHER = {status: -1 if status is PlatformStatus.UNKNOWN else place for place, status in enumerate(PlatformStatus)}


def _enter(session: Session, incoming: IncomingOrder, catalogue: dict[str, Product], now: datetime) -> bool:
    """Write the order with its lines and first fulfilment; False when another transaction was quicker."""
    assert incoming.receiver is not None
    with session.begin_nested() as savepoint:
        claimed = (
            session.connection()
            .execute(
                text(
                    "INSERT INTO orders (order_no, channel, shop, channel_order_id, channel_order_name,"
                    " platform_status, placed_at, platform_updated_at, received_at, cancel_reason, currency,"
                    " total_fen, paid_fen, freight_fen, discount_fen, buyer, contact_id, note, attributes, handles)"
                    " VALUES (:no, :channel, :shop, :id, '', '', :now, :now, :now, '', 'CNY', 0, 0, 0, 0, '', :contact,"
                    " '', '{}', '{}') ON CONFLICT ON CONSTRAINT one_order_per_channel_order DO NOTHING RETURNING id"
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
            return False
        order = session.get_one(Order, claimed)
        _copy(order, incoming)
        session.add(order)
        _write_lines(session, order, incoming, catalogue, now)
    note(session, claimed, EventKind.RECEIVED, f"platform:{incoming.channel}", now, name=incoming.channel_order_name)
    return True


def _copy(order: Order, incoming: IncomingOrder) -> None:
    order.channel_order_name = incoming.channel_order_name
    order.platform_status = incoming.status.value
    order.placed_at, order.paid_at = incoming.placed_at, incoming.paid_at
    order.platform_updated_at = incoming.updated_at
    order.currency, order.total_fen, order.paid_fen = incoming.currency, incoming.total_fen, incoming.paid_fen
    order.freight_fen, order.discount_fen = incoming.freight_fen, incoming.discount_fen
    order.buyer, order.note = incoming.buyer, incoming.note
    order.attributes, order.handles = dict(incoming.attributes), dict(incoming.handles)


def _write_lines(
    session: Session, order: Order, incoming: IncomingOrder, catalogue: dict[str, Product], now: datetime
) -> None:
    """The order's lines and the fulfilment that carries them all; of an unpaid order they replace what it had."""
    assert order.id is not None
    session.connection().execute(_NO_LINES, {"id": order.id})
    session.connection().execute(text("DELETE FROM order_line WHERE order_id = :id"), {"id": order.id})
    fulfilment = next(iter(fulfilments_of(session, order.id)), None)
    if fulfilment is None:
        paid = incoming.status is not PlatformStatus.AWAITING_PAYMENT
        fulfilment = Fulfilment(
            order_id=order.id,
            warehouse=home_warehouse(session),
            stage_since=now,
            waiting_on=None if paid else WaitingOn.PAYMENT.value,
            waiting_why="" if paid else "客户还没有付款",
            ready_at=now if paid else now + UNPAID_LOOK_AGAIN,
        )
        session.add(fulfilment)
    lines = [
        OrderLine(
            order_id=order.id,
            line_no=number,
            channel_line_id=line.channel_line_id,
            sku=line.sku,
            title=line.title,
            quantity=line.quantity,
            unit_price_fen=line.unit_price_fen,
            paid_fen=line.paid_fen,
            made_to_order=catalogue[line.sku].made_to_order,
            profile={**incoming.attributes, **line.attributes},
        )
        for number, line in enumerate(incoming.lines, 1)
    ]
    session.add_all(lines)
    session.flush()
    for line in lines:
        assert fulfilment.id is not None and line.id is not None
        session.add(FulfilmentLine(fulfilment_id=fulfilment.id, order_line_id=line.id, quantity=line.quantity))
    session.flush()


_NO_LINES = text("DELETE FROM fulfilment_line USING order_line l WHERE order_line_id = l.id AND l.order_id = :id")


def _update(
    session: Session, known: Order, incoming: IncomingOrder, catalogue: dict[str, Product], now: datetime
) -> Taken:
    """Bring a known order up to what the channel says now; older news changes nothing."""
    assert known.id is not None
    order = lock_order(session, known.id)
    if not _is_news(incoming, order):
        return Taken.KNOWN
    before, actor = order.platform_status, f"platform:{order.channel}"
    if before == PlatformStatus.AWAITING_PAYMENT.value and incoming.status in CARRIED:
        changed = _rewrite_unpaid(session, order, incoming, catalogue, now)
    else:
        order.platform_updated_at = incoming.updated_at
        order.platform_status = incoming.status.value
        order.handles = {**order.handles, **incoming.handles}
        changed = False
    session.add(order)
    if before == incoming.status.value and not changed:
        return Taken.KNOWN
    if incoming.status in (PlatformStatus.CANCELLED, PlatformStatus.REFUNDED):
        request_cancellation(session, order, f"平台上已{_ENDED[incoming.status]}", actor, now)
        if incoming.status is PlatformStatus.REFUNDED:
            hold.lift(session, known.id, actor, now, ["refund_due"])
        return Taken.CHANGED
    note(session, known.id, EventKind.CHANGED_ON_CHANNEL, actor, now, before=before, after=incoming.status.value)
    unfinished = [f for f in fulfilments_of(session, known.id) if not Stage(f.stage).final]
    wake(session, [f.id for f in unfinished if f.id is not None], now)
    return Taken.CHANGED


def _rewrite_unpaid(
    session: Session, order: Order, incoming: IncomingOrder, catalogue: dict[str, Product], now: datetime
) -> bool:
    """Until it is paid, prices, lines and address are the channel's to change. True when money or lines did."""
    assert order.id is not None and incoming.receiver is not None
    before = (order.total_fen, [_told(line) for line in lines_of(session, order.id)])
    _copy(order, incoming)
    keep_contact(session, incoming.receiver, session.get_one(Contact, order.contact_id))
    after = (order.total_fen, [_told(line) for line in incoming.lines])
    if before[1] != after[1]:
        _write_lines(session, order, incoming, catalogue, now)
    return before != after


def _told(line: OrderLine | IncomingLine) -> tuple[str, str, int, int, int]:
    return line.channel_line_id, line.sku, line.quantity, line.unit_price_fen, line.paid_fen


_ENDED = {PlatformStatus.CANCELLED: "取消", PlatformStatus.REFUNDED: "全额退款"}
