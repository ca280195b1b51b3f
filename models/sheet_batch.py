"""A batch of orders from a spreadsheet: what in it is new to the book, what becomes of that, and what would.

A sheet has no moment of its own for each order, so the same file tells everything again as news. What an order said
last (its `content` handle) is therefore compared first: what is equal to it is known, and not a row is touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import text, tuple_
from sqlmodel import Session, col, select

from models import correction
from models.book import Taken, faults_in, is_over, take_orders
from models.entry import Name, name_of
from models.intake import Incoming, IncomingOrder, PlatformStatus
from models.order import Order
from models.platform_news import OVER, is_news
from models.privacy import unseal
from models.product import Product, products
from models.quality import Fault, plain
from models.quarantine import Quarantined, kept_id, payload_of, told

#: The handle in which an order keeps what its sheet said last.
CONTENT = "content"
_ENDED = (PlatformStatus.CANCELLED.value, PlatformStatus.REFUNDED.value)


class Outcome(StrEnum):
    """What became of an order of a sheet."""

    NEW = "new"
    CHANGED = "changed"
    CANCELLED = "cancelled"  # a known order that the sheet says is cancelled or paid back
    KNOWN = "known"
    STALE = "stale"  # it says something else than we have, and is not newer
    OVER = "over"
    QUARANTINED = "quarantined"


@dataclass
class Heard:
    """What a batch came to: outcomes by number, and what was set aside with every reason."""

    counts: Counter[str] = field(default_factory=Counter)
    aside: list[tuple[Incoming, tuple[Fault, ...]]] = field(default_factory=list)


@dataclass
class Sorted:
    """A batch held against the book: what is settled without a change, and what is to be taken in."""

    settled: Heard
    to_take: list[Incoming]
    catalogue: dict[str, Product]
    known: dict[Name, Order]


def one_at_a_time(session: Session, shop: str) -> None:
    """Wait until no other transaction takes in a batch for this shop: what is compared stays so until it is written."""
    session.connection().execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"order-sheet {shop}"}
    )


def sort_out(session: Session, batch: Sequence[Incoming], now: datetime) -> Sorted:
    """Hold a batch against the book and the quarantine. Reads only."""
    orders = correction.applied(session, batch)
    skus = {line.sku for order in orders if isinstance(order, IncomingOrder) for line in order.lines}
    catalogue = products(session, [sku for sku in sorted(skus) if plain(sku)])
    known, aside = _known(session, batch), _aside(session, batch)
    found = Sorted(Heard(), [], catalogue, known)
    for order, mended in zip(batch, orders, strict=True):
        row = aside.get(_kept_name(order))
        outcome = _settled(order, mended, known.get(name_of(order)), row, catalogue, now)
        if outcome is None:
            found.to_take.append(order)
            continue
        found.settled.counts[outcome.value] += 1
        if outcome is Outcome.QUARANTINED:
            found.settled.aside.append((order, tuple(faults_in(mended, catalogue, now))))
    return found


def _settled(
    order: Incoming,
    mended: Incoming,
    ours: Order | None,
    aside: Quarantined | None,
    catalogue: dict[str, Product],
    now: datetime,
) -> Outcome | None:
    """What an order comes to that changes nothing; None when it is to be taken in."""
    if aside is not None:
        faults = faults_in(mended, catalogue, now)
        same = aside.faults == told(faults) and unseal(aside.raw) == payload_of(order.raw)
        return Outcome.QUARANTINED if faults and same else None
    if not isinstance(order, IncomingOrder):
        return None
    if ours is None:
        return Outcome.OVER if order.status in OVER else None
    if ours.handles.get(CONTENT) == order.handles[CONTENT]:
        return Outcome.KNOWN
    return None if is_news(order, ours) else Outcome.STALE


def take(session: Session, found: Sorted, now: datetime) -> Heard:
    """Take in what is to be taken; with what was settled already. Remembers what each known order says now."""
    heard = Heard(Counter(found.settled.counts), list(found.settled.aside))
    if not found.to_take:
        return heard
    statuses = {name: order.platform_status for name, order in found.known.items()}
    counts = take_orders(session, found.to_take, now)
    aside, known = _aside(session, found.to_take), _known(session, found.to_take)
    for order in found.to_take:
        row, ours = aside.get(_kept_name(order)), known.get(name_of(order))
        if row is not None:
            heard.aside.append((order, tuple(Fault(one["code"], one["message"]) for one in row.faults)))
        elif isinstance(order, IncomingOrder) and ours is not None and ours.platform_updated_at == order.updated_at:
            ours.handles = {**ours.handles, CONTENT: order.handles[CONTENT]}
            session.add(ours)
    ended = sum(
        known[name].platform_status != status and known[name].platform_status in _ENDED
        for name, status in statuses.items()
        if name in known
    )
    for taken, outcome in _OUTCOMES.items():
        heard.counts[outcome.value] += counts[taken] - (ended if taken is Taken.CHANGED else 0)
    heard.counts[Outcome.CANCELLED.value] += ended
    heard.counts = +heard.counts
    return heard


_OUTCOMES = {
    Taken.NEW: Outcome.NEW,
    Taken.CHANGED: Outcome.CHANGED,
    Taken.KNOWN: Outcome.KNOWN,
    Taken.OVER: Outcome.OVER,
    Taken.QUARANTINED: Outcome.QUARANTINED,
}


def foresee(session: Session, found: Sorted, now: datetime) -> Heard:
    """What taking it in would come to. In a transaction that is taken back (`models.database.rehearse`).

    New orders are judged and not written, so that no order number is used up; known ones are really followed.
    """
    heard = Heard(Counter(found.settled.counts), list(found.settled.aside))
    followed: list[Incoming] = []
    for order, mended in zip(found.to_take, correction.applied(session, found.to_take), strict=True):
        faults = faults_in(mended, found.catalogue, now)
        if faults:
            heard.counts[Outcome.QUARANTINED.value] += 1
            heard.aside.append((order, tuple(faults)))
        elif name_of(order) in found.known:
            followed.append(order)
        else:
            over = isinstance(order, IncomingOrder) and is_over(order)
            heard.counts[(Outcome.OVER if over else Outcome.NEW).value] += 1
    told_of = take(session, Sorted(Heard(), followed, found.catalogue, found.known), now)
    heard.counts += told_of.counts
    heard.aside += told_of.aside
    return heard


def _kept_name(order: Incoming) -> Name:
    return order.channel, order.shop, kept_id(order.channel_order_id, order.raw)


def _known(session: Session, orders: Sequence[Incoming]) -> dict[Name, Order]:
    names = [name_of(order) for order in orders if plain(order.channel_order_id) and order.channel_order_id]
    name = tuple_(col(Order.channel), col(Order.shop), col(Order.channel_order_id))
    statement = select(Order).where(name.in_(names)).execution_options(populate_existing=True)
    return {(order.channel, order.shop, order.channel_order_id): order for order in session.exec(statement)}


def _aside(session: Session, orders: Sequence[Incoming]) -> dict[Name, Quarantined]:
    name = tuple_(col(Quarantined.channel), col(Quarantined.shop), col(Quarantined.channel_order_id))
    statement = select(Quarantined).where(
        name.in_([_kept_name(order) for order in orders]), col(Quarantined.resolved_at).is_(None)
    )
    rows = session.exec(statement.execution_options(populate_existing=True))
    return {(row.channel, row.shop, row.channel_order_id): row for row in rows}
