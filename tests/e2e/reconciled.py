"""Whether our book says what a played platform says: order by order, line by line, both ways; and what proves it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from typing import Any

from sqlmodel import Session, col, select

from integrations.sandbox.history import catalogue
from models.database import transact
from models.hint import Hint
from models.order import Contact, Order, OrderLine, reveal
from models.quarantine import Quarantined
from models.timeline import EventKind, OrderEvent
from models.window import PullWindow, WindowState
from tests.e2e.platform_books import Told, ToldLine, told_orders
from tests.house import House

ENDED = ("cancelled", "refunded")
OVER = (*ENDED, "shipped", "complete")


def differences(home: House, channel: str, *, but: Collection[str] = ()) -> list[str]:
    """What our book and the platform say differently of the orders of a channel, a sentence each; empty: nothing.

    Only these may be missing from the book: what was over before we saw it, what the platform lists nowhere (unpaid, on
    some), and what is set aside for a flaw that it does have. Of an order that is over only its end, what was paid
    back and its cancelled pieces count: platforms blank the rest. Orders in `but` are left out.
    """
    told = {id: order for id, order in told_orders(home.sandbox.world, channel).items() if id not in but}

    def work(session: Session) -> list[str]:
        book = _book(session, channel)
        aside = _aside(session, channel)
        found = [f"{id}: we have it, the platform does not" for id in sorted(book.keys() - told.keys() - set(but))]
        for id, order in sorted(told.items()):
            if id in aside:
                if not aside[id] & flaws(order):
                    found.append(f"{id}: set aside for {sorted(aside[id])}, and has {sorted(flaws(order))}")
            elif id not in book:
                if not _may_be_missing(order):
                    found.append(f"{id}: missing ({order.status})")
            else:
                found += [f"{id}: {said}" for said in _different(session, order, *book[id])]
        return found

    return transact(work)


def unproved(channel: str, *, after: int = 0) -> list[str]:
    """Windows of a channel that are not whole, and that no whole window read later covers; a sentence each.

    Only those with an id above `after` count.
    """
    statement = select(PullWindow).where(PullWindow.channel == channel, col(PullWindow.id) > after)
    statement = statement.order_by(col(PullWindow.id))
    rows = transact(lambda session: list(session.exec(statement)))
    found = []
    for row in rows:
        whole = [w for w in rows if w.state == WindowState.WHOLE.value and (w.id or 0) > (row.id or 0)]
        is_covered = any(w.since <= row.since and row.until <= w.until for w in whole)
        if row.state == WindowState.WHOLE.value:
            if row.told != row.held or row.missing:
                found.append(f"window {row.id} is whole, and {row.told} were told, {row.held} held")
        elif row.state != WindowState.FAILED.value or not is_covered:
            found.append(f"window {row.id} is {row.state}: {row.error or row.missing}")
    return found


def open_hints(channel: str) -> int:
    """How many pushes of a channel were not heard yet."""
    statement = select(Hint).where(Hint.channel == channel, Hint.state == "kept")
    return len(transact(lambda session: session.exec(statement).all()))


def received_otherwise_than_once(channel: str) -> list[str]:
    """Orders of a channel whose timeline does not say exactly once that they were received."""

    def work(session: Session) -> list[str]:
        rows = session.exec(select(OrderEvent.order_id).where(OrderEvent.kind == EventKind.RECEIVED.value))
        times = Counter(rows)
        orders = session.exec(select(Order).where(Order.channel == channel))
        return [f"{o.channel_order_id}: received {times[o.id or 0]} times" for o in orders if times[o.id or 0] != 1]

    return transact(work)


def flaws(order: Told) -> set[str]:
    """Why an order may not enter our book as it stands on the platform: the codes that fit."""
    found = set()
    texts = "".join(order.receiver or ())
    if order.receiver is None:
        found.add("address_missing")
    if any(line.sku not in catalogue() for line in order.lines):
        found.add("unknown_sku")
    if any(line.quantity < 1 for line in order.lines):
        found |= {"bad_quantity", "negative_money", "money_mismatch"}
    if None not in (paid := [line.paid_fen for line in order.lines]):
        if sum(fen or 0 for fen in paid) + order.freight_fen != order.total_fen:
            found.add("money_mismatch")
    elif sum(line.quantity * line.unit_price_fen for line in order.lines) < order.total_fen - order.freight_fen:
        found.add("money_mismatch")
    if any(len(text) > 500 for text in (order.receiver or ())):
        found.add("text_too_long")
    if not texts.isprintable():
        found.add("control_characters")
    if any(ord(letter) >= 0x1F000 for letter in texts):
        found.add("emoji")
    return found


Row = tuple[Order, Contact, list[OrderLine]]


def _book(session: Session, channel: str) -> dict[str, Row]:
    statement = (
        select(Order, Contact)
        .join(Contact, col(Contact.id) == col(Order.contact_id))
        .where(Order.channel == channel)
        .execution_options(populate_existing=True)
    )
    rows = session.exec(statement).all()
    lines: dict[int, list[OrderLine]] = defaultdict(list)
    wanted = col(OrderLine.order_id).in_([order.id for order, _ in rows])
    for line in session.exec(select(OrderLine).where(wanted).order_by(col(OrderLine.line_no))):
        lines[line.order_id].append(line)
    book = {order.channel_order_id: (order, contact, lines[order.id or 0]) for order, contact in rows}
    assert len(book) == len(rows), f"{channel} has an order twice"
    return book


def _aside(session: Session, channel: str) -> dict[str, set[str]]:
    statement = select(Quarantined).where(Quarantined.channel == channel, col(Quarantined.resolved_at).is_(None))
    return {row.channel_order_id: {fault["code"] for fault in row.faults} for row in session.exec(statement)}


def _may_be_missing(order: Told) -> bool:
    all_gone = all(line.cancelled >= line.quantity for line in order.lines)
    return order.status in OVER or all_gone or not order.is_listed


def _different(session: Session, told: Told, order: Order, contact: Contact, lines: list[OrderLine]) -> list[str]:
    pairs: dict[str, tuple[Any, Any]] = {
        "status": (order.platform_status, told.status),
        "updated": (int(order.platform_updated_at.timestamp()), told.updated_at),
        "refunded": (order.platform_refunded_fen, told.refunded_fen),
    }
    if told.status in ENDED:
        pairs["cancelled"] = (order.cancel_requested_at is not None, True)
    else:
        pairs["paid"] = (order.paid_fen, told.paid_fen)
    if told.status not in OVER:
        pairs |= {
            "total": (order.total_fen, told.total_fen),
            "freight": (order.freight_fen, told.freight_fen),
            "receiver": (_receiver(contact), told.receiver),
            "masked": (contact.only_masked, told.is_masked),
            "line count": (len(lines), len(told.lines)),
        }
        if any(line.paid_fen is None for line in told.lines):
            goods = told.total_fen - told.freight_fen
            pairs["paid for lines"] = (sum(line.paid_fen for line in lines), goods)
    found = [f"{name} is {ours} here, {theirs} there" for name, (ours, theirs) in pairs.items() if ours != theirs]
    if told.status not in ENDED:
        ours_by_id = {(line.channel_line_id, line.sku): line for line in lines}
        for line in told.lines:
            ours = ours_by_id.get((line.id, line.sku))
            if ours is not None:
                found += _line_different(line, ours, is_over=told.status in OVER)
            elif told.status not in OVER:
                found.append(f"line {line.id} {line.sku} is missing")
    return found


def _line_different(told: ToldLine, ours: OrderLine, *, is_over: bool) -> list[str]:
    pairs: dict[str, tuple[Any, Any]] = {"cancelled": (ours.cancelled_quantity, told.cancelled)}
    if not is_over:
        pairs["quantity"] = (ours.quantity, told.quantity)
        pairs["unit price"] = (ours.unit_price_fen, told.unit_price_fen)
        pairs["paid"] = (ours.paid_fen, ours.paid_fen if told.paid_fen is None else told.paid_fen)
    return [f"line {told.id}: {name} is {a} here, {b} there" for name, (a, b) in pairs.items() if a != b]


def _receiver(contact: Contact) -> tuple[str, str, str, str, str]:
    clear = reveal(contact)
    return clear.name, clear.phone, clear.province, clear.city, clear.district + clear.detail
