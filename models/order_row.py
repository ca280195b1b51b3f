"""An order as flat rows: one of the order and one of every line, in plain columns that rules can name.

Columns hold texts, whole numbers and truths, and None where there is nothing to judge: an amount that is no whole
number (a NaN, a text, a number beyond any column) is None, and the column that says whether all are whole is False.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from models.intake import IncomingOrder, PlatformStatus
from models.product import Product

#: Plain columns by name.
Row = dict[str, Any]

_MINUTE = timedelta(minutes=1)
_BEYOND = 10**18  # no column of the book holds more
_PAID = (PlatformStatus.TO_SHIP, PlatformStatus.PART_SHIPPED)


def order_row(order: IncomingOrder, now: datetime) -> Row:
    """The order as plain columns; money in fen, `minutes_ahead` the begun minutes from now until it was placed."""
    receiver, texts = order.receiver, _texts(order)
    amounts = (order.total_fen, order.paid_fen, order.freight_fen, order.discount_fen, order.refunded_fen)
    whole = _whole(amounts)
    total, paid, freight, discount, refunded = amounts if whole else map(_number, amounts)
    lines, fitting_total, fitting_paid = _fitting(order) if whole else (None, None, None)
    return {
        "channel_order_id": order.channel_order_id,
        "line_count": len(order.lines),
        "currency": order.currency or "",
        "minutes_ahead": -((now - order.placed_at) // _MINUTE),  # begun minutes count
        "amounts_whole": whole,
        "total_fen": total,
        "paid_fen": paid,
        "freight_fen": freight,
        "discount_fen": discount,
        "refunded_fen": refunded,
        "received_fen": None if paid is None else max(0, paid),
        "lines_fen": lines,
        "fitting_total_fen": fitting_total,
        "fitting_paid_fen": fitting_paid,
        "has_receiver": receiver is not None,
        "receiver_name": receiver and (receiver.name or ""),
        "receiver_phone": receiver and (receiver.phone or ""),
        "receiver_province": receiver and (receiver.province or ""),
        "receiver_city": receiver and (receiver.city or ""),
        "receiver_district": receiver and (receiver.district or ""),
        "receiver_detail": receiver and (receiver.detail or ""),
        "note": order.note,
        "texts": " ".join(texts),
        "longest_text": max(map(len, texts)),
    }


def line_rows(order: IncomingOrder, catalogue: Mapping[str, Product]) -> Iterator[Row]:
    """Every line as plain columns, with its number from 1."""
    for number, line in enumerate(order.lines, 1):
        quantities, amounts = (line.quantity, line.cancelled_quantity), (line.unit_price_fen, line.paid_fen)
        quantities_whole, amounts_whole = _whole(quantities), _whole(amounts)
        quantity, cancelled = quantities if quantities_whole else map(_number, quantities)
        unit_price, paid = amounts if amounts_whole else map(_number, amounts)
        yield {
            "line_no": number,
            "sku": line.sku,
            "sku_known": line.sku in catalogue,
            "quantities_whole": quantities_whole,
            "quantity": quantity,
            "bought_quantity": None if quantity is None else max(0, quantity),
            "cancelled_quantity": cancelled,
            "amounts_whole": amounts_whole,
            "unit_price_fen": unit_price,
            "paid_fen": paid,
            "title": line.title,
        }


def _fitting(order: IncomingOrder) -> tuple[int | None, int | None, int | None]:
    """What the lines come to, the total that fits them, and the payment that fits the total, in fen.

    They fit exactly, until something is cancelled or paid back: some platforms take that off the total or off what
    was paid, some keep both as they were. Anything between fits, and the nearest to what the order says is given.
    None where an amount is too odd to say, and for the payment of an order that need not be paid yet.
    """
    lines = taken_away = 0
    for line in order.lines:
        if not _whole((line.paid_fen, line.quantity, line.cancelled_quantity)):
            return None, None, None
        lines += line.paid_fen
        if 0 < line.cancelled_quantity <= line.quantity:
            taken_away += -(-line.paid_fen * line.cancelled_quantity // line.quantity)
    total, paid, bought = order.total_fen, order.paid_fen, lines + order.freight_fen
    taken_away = max(0, taken_away) + max(0, order.refunded_fen)
    fitting_total = min(max(total, bought - taken_away), bought)
    fitting_paid = min(max(paid, total - taken_away), total + taken_away)
    return lines, fitting_total, fitting_paid if order.status in _PAID else None


def _whole(values: tuple[Any, ...]) -> bool:
    for value in values:  # noqa: SIM110  the hot path: a loop takes half as long as `all` with a generator
        if type(value) is not int or not -_BEYOND < value < _BEYOND:
            return False
    return True


def _number(value: Any) -> int | None:
    """The value if it is a whole number that a column could hold."""
    return value if _whole((value,)) else None


def _texts(order: IncomingOrder) -> list[str]:
    """Every text of the order but its address: ids, titles, the note, answers and handles with their names."""
    texts = [order.channel_order_id, order.channel_order_name, order.buyer, order.note]
    _collect(order.attributes, texts)
    _collect(order.handles, texts)
    for line in order.lines:
        texts += (line.sku, line.title, line.channel_line_id)
        _collect(line.attributes, texts)
    return texts


def _collect(value: Any, texts: list[str]) -> None:
    """Add every text in a JSON value, names of an object included."""
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            texts.append(name)
            if isinstance(item, str):
                texts.append(item)
            else:
                _collect(item, texts)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, texts)
