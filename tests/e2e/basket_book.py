"""An order book as its baskets: what each order comes to by whatever channel, and what a channel cannot carry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session, col, select

from integrations.sandbox.baskets import Basket
from models.database import transact
from models.order import Contact, Order, OrderLine, reveal


@dataclass(frozen=True)
class BookLine:
    """A line; money in fen. `paid_fen` is None where nobody knows; `pet` the answers about the pet that it is for."""

    sku: str
    title: str
    quantity: int
    unit_price_fen: int
    paid_fen: int | None
    pet: Mapping[str, str]


@dataclass(frozen=True)
class BookOrder:
    """An order; money in fen. `receiver` is name, phone, province, city, district and street."""

    total_fen: int
    paid_fen: int
    freight_fen: int
    discount_fen: int
    receiver: tuple[str, ...]
    lines: tuple[BookLine, ...]


def of_basket(basket: Basket) -> BookOrder:
    """What the customer bought."""
    return BookOrder(
        total_fen=basket.total_fen,
        paid_fen=basket.total_fen,
        freight_fen=0,
        discount_fen=basket.discount_fen,
        receiver=(basket.name, basket.phone, basket.province, basket.city, basket.district, basket.street),
        lines=tuple(
            BookLine(line.sku, line.title, line.quantity, line.unit_price_fen, line.paid_fen, line.pet)
            for line in basket.lines
        ),
    )


def book_of(channel: str, shop: str = "") -> dict[str, BookOrder]:
    """Our book of a channel (and shop), by the channel's order id."""

    def work(session: Session) -> dict[str, BookOrder]:
        wanted = select(Order, Contact).join(Contact, col(Contact.id) == col(Order.contact_id))
        wanted = wanted.where(Order.channel == channel, (Order.shop == shop) | (shop == ""))
        rows = session.exec(wanted).all()
        lines: dict[int, list[OrderLine]] = defaultdict(list)
        every = select(OrderLine).join(Order, col(Order.id) == col(OrderLine.order_id)).where(Order.channel == channel)
        for line in session.exec(every.order_by(col(OrderLine.line_no))):
            lines[line.order_id].append(line)
        return {order.channel_order_id: _entry(order, contact, lines[order.id or 0]) for order, contact in rows}

    return transact(work)


def _entry(order: Order, contact: Contact, lines: Sequence[OrderLine]) -> BookOrder:
    to = reveal(contact)
    return BookOrder(
        total_fen=order.total_fen,
        paid_fen=order.paid_fen,
        freight_fen=order.freight_fen,
        discount_fen=order.discount_fen,
        receiver=(to.name, to.phone, to.province, to.city, to.district, to.detail),
        lines=tuple(
            BookLine(line.sku, line.title, line.quantity, line.unit_price_fen, line.paid_fen, line.profile)
            for line in lines
        ),
    )


# what a channel cannot carry --------------------------------------------------------------------------------------

#: Takes out of an order what a channel cannot carry.
Loss = Callable[[BookOrder], BookOrder]


def masked_receiver(order: BookOrder) -> BookOrder:
    """Name, phone and street are told masked; province, city and district in clear."""
    return replace(order, receiver=order.receiver[2:5])


def no_pets(order: BookOrder) -> BookOrder:
    """There is no place for a pet profile: it is asked for on the order page."""
    return _with_lines(order, pet={})


def no_order_of_lines(order: BookOrder) -> BookOrder:
    """Rows may stand in any order: lines come in one of their own."""

    def by(line: BookLine) -> tuple[str, int, int, list[tuple[str, str]]]:
        return line.sku, line.quantity, line.unit_price_fen, sorted(line.pet.items())

    return replace(order, lines=tuple(sorted(order.lines, key=by)))


def no_sum_per_line(order: BookOrder) -> BookOrder:
    """What was paid is told for the order only: it is spread over the lines, and only its sum is the same."""
    return _with_lines(order, paid_fen=None)


def pets_in_the_note(order: BookOrder) -> BookOrder:
    """The customer's note carries profiles by SKU: all lines of a SKU get the last one, and where all are the same,
    every line has it, also those that are for no pet. A semicolon in an answer becomes a comma."""
    told = {line.sku: {key: said.replace(";", "，") for key, said in line.pet.items()} for line in _for_pets(order)}
    if len({tuple(line.pet.items()) for line in _for_pets(order)}) == 1:
        return _with_lines(order, pet=next(iter(told.values())))
    return replace(order, lines=tuple(replace(line, pet=told.get(line.sku, {})) for line in order.lines))


def _for_pets(order: BookOrder) -> list[BookLine]:
    return [line for line in order.lines if line.pet]


def _with_lines(order: BookOrder, **changes: Any) -> BookOrder:
    return replace(order, lines=tuple(replace(line, **changes) for line in order.lines))
