"""The order book: taking in what channels tell, once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import tuple_
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from models import correction, quarantine, unread_news
from models.entry import Name, enter, name_of
from models.fulfilment import announce
from models.intake import Incoming, IncomingOrder, Unreadable
from models.order import Order
from models.platform_news import OVER, follow, is_news
from models.product import Product, products
from models.quality import Fault, judge, plain
from models.unforeseen import in_short

log = logging.getLogger(__name__)


class Taken(StrEnum):
    """What taking in one order came to."""

    NEW = "new"
    CHANGED = "changed"
    KNOWN = "known"  # the same or an older version of what we have
    OVER = "over"  # it ended before we ever saw it
    QUARANTINED = "quarantined"


class NothingEntered(Exception):
    """Not one order of a page can be written: not they are at fault, we are. Nothing moves until that is mended."""

    def __init__(self, orders: int, why: str) -> None:
        super().__init__(
            f"这一批 {orders} 个新订单一个也写不进去:{why}。请把这句话交给技术支持;"
            "读到的位置没有前移,修好后从原处再读。"
        )


def take_orders(session: Session, page: Sequence[Incoming], now: datetime) -> Counter[Taken]:
    """Take in a page of orders; counts by outcome. Any page may come again, at once or later.

    Each order stands alone: one that cannot enter the book is set aside with its reasons, and the rest go on.
    Known orders are followed by id, then new ones entered by name: two pages at once never wait in a circle.
    """
    names = sorted({name_of(order) for order in page if plain(order.channel_order_id)})
    page = correction.applied(session, page)
    skus = sorted({line.sku for order in page if isinstance(order, IncomingOrder) for line in order.lines})
    desk = _Desk(
        catalogue=products(session, [sku for sku in skus if plain(sku)]),
        known=_known(session, names),
        aside=quarantine.among(session, names),
        now=now,
    )
    ids = {name: order.id or 0 for name, order in desk.known.items()}
    counts: Counter[Taken] = Counter()
    for order in sorted(page, key=lambda o: (name_of(o) not in ids, ids.get(name_of(o), 0), name_of(o))):
        if (taken := _sort(session, order, desk)) is not None:
            counts[taken] += 1
    entered = _enter(session, desk)
    counts[Taken.NEW] += len(entered)
    counts[Taken.QUARANTINED] += len(desk.entering.keys() & desk.aside)
    # the rest: entered by another transaction meanwhile, or newer versions of what this page has just entered
    left = [order for name, order in desk.entering.items() if name not in entered and name not in desk.aside]
    left += [order for order in desk.later if name_of(order) not in desk.aside]
    desk.known |= _known(session, [name_of(order) for order in left])
    for order in left:
        counts[_follow(session, order, desk)] += 1
    session.flush()
    announce(session)
    return +counts


def faults_in(order: Incoming, catalogue: Mapping[str, Product], now: datetime) -> list[Fault]:
    """Why this order (with its corrections) may not enter the book; empty when it may."""
    if isinstance(order, Unreadable):
        return [Fault("unreadable", f"读不懂平台给的数据:{order.reason[:300]}")]
    # platforms blank the address and the amounts of orders that are over: the end must reach us all the same
    return [] if order.status in OVER else judge(order, catalogue, now)


def is_over(order: IncomingOrder) -> bool:
    """Whether an order that we never saw ended before: then it is not ours to ship."""
    return order.status in OVER or all(line.cancelled_quantity >= line.quantity for line in order.lines)


@dataclass
class _Desk:
    """What is known while a page is taken in: products by SKU, orders and quarantined names among those of the page.

    `entering` are the new orders by name; `later` further versions of them on the same page.
    """

    catalogue: dict[str, Product]
    known: dict[Name, Order]
    aside: set[Name]
    now: datetime
    entering: dict[Name, IncomingOrder] = field(default_factory=dict)
    later: list[IncomingOrder] = field(default_factory=list)


def _known(session: Session, names: Sequence[Name]) -> dict[Name, Order]:
    name = tuple_(col(Order.channel), col(Order.shop), col(Order.channel_order_id))
    statement = select(Order).where(name.in_(names)).execution_options(populate_existing=True)
    return {(order.channel, order.shop, order.channel_order_id): order for order in session.exec(statement)}


def _sort(session: Session, order: Incoming, desk: _Desk) -> Taken | None:
    """What becomes of one order of the page; None when it is to be entered."""
    name, ours = name_of(order), desk.known.get(name_of(order))
    if isinstance(order, IncomingOrder) and ours is not None and not is_news(order, ours):
        return Taken.KNOWN
    faults = faults_in(order, desk.catalogue, desk.now)
    if faults or isinstance(order, Unreadable):
        return _set_aside(session, order, faults, desk)
    if name in desk.aside:
        quarantine.resolve(session, *name, desk.now)
        desk.aside.remove(name)
        if ours is not None and ours.id is not None:
            unread_news.go_on(session, ours.id, f"platform:{order.channel}", desk.now)
    if ours is not None:
        return _follow(session, order, desk)
    if name in desk.entering:
        desk.later.append(order)
        return None
    if is_over(order):
        return Taken.OVER
    desk.entering[name] = order
    return None


def _enter(session: Session, desk: _Desk) -> set[Name]:
    """Enter what is new; the names that were. If the page cannot be written as one, each order is tried by itself."""
    orders = list(desk.entering.values())
    try:
        with session.begin_nested():
            return set(enter(session, orders, desk.catalogue, desk.now))
    except OperationalError:
        raise  # the database is gone, or two of us waited for each other: the page comes again
    except Exception as error:
        why = in_short(error)
        log.warning("a page of %d new orders cannot be written as one; each is tried by itself: %s", len(orders), why)
    entered: set[Name] = set()
    for order in orders:
        with _alone(session, order, desk):
            entered.update(enter(session, [order], desk.catalogue, desk.now))
    if not entered and len(orders) > 1 and desk.entering.keys() <= desk.aside:
        raise NothingEntered(len(orders), why)
    return entered


def _follow(session: Session, order: IncomingOrder, desk: _Desk) -> Taken:
    ours, changed = desk.known[name_of(order)], False
    with _alone(session, order, desk):
        changed = follow(session, ours, order, desk.catalogue, desk.now)
    if name_of(order) in desk.aside:
        return Taken.QUARANTINED
    return Taken.CHANGED if changed else Taken.KNOWN


@contextmanager
def _alone(session: Session, order: IncomingOrder, desk: _Desk) -> Iterator[None]:
    """Around the writing of one order: an error that nobody foresaw sets it aside and stops no other."""
    try:
        with session.begin_nested():
            yield
    except OperationalError:
        raise
    except Exception as error:
        log.warning("order %s %s cannot be written: %s", order.channel, order.channel_order_id, in_short(error))
        said = f"写入订单时出错({type(error).__name__}):请把这一条连同日志交给技术支持，改正后重新提交。"
        _set_aside(session, order, [Fault("cannot_be_written", said)], desk)


def _set_aside(session: Session, order: Incoming, faults: Sequence[Fault], desk: _Desk) -> Taken:
    reading = correction.freeze(order) if isinstance(order, IncomingOrder) else b""
    name, ours = name_of(order), desk.known.get(name_of(order))
    if ours is not None and ours.id is not None:
        unread_news.stop(session, ours.id, order.raw, faults, f"platform:{order.channel}", desk.now)
    quarantine.set_aside(session, *name, faults, order.raw, desk.now, reading)
    desk.aside.add(name)
    return Taken.QUARANTINED
