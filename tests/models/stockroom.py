"""Three warehouses and a few SKUs for tests of stock, and the account that must always be true of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from models.allocation import Terms
from models.checks import check
from models.compensation import Limits
from models.fulfilment import Fulfilment, fulfilments_of
from models.intake import IncomingLine
from models.order import Order
from models.product import Product, save_products
from models.reservation import Reservation, Wanted, held_for
from models.settings import PolicySettings
from models.stock import receive, shelve
from models.warehouse import Warehouse
from tests.models.build import NOW, RECEIVER, cans, incoming, taken

SZ, SH, BJ = "WH-SZ", "WH-SH", "WH-BJ"  # by distance from the receiver in Guangdong
PROVINCES = {SZ: "广东", SH: "上海", BJ: "北京"}
TERMS = Terms(default_buffer_percent=10, reservation_lasts=timedelta(hours=72))
Shelves = Mapping[str, Mapping[str, int]]


def limits(**changes: Any) -> Limits:
    """The settings' limits; `changes` are fields of `PolicySettings`."""
    return Limits.of(PolicySettings(**changes))


def open_stockroom(session: Session, shelves: Shelves) -> None:
    """Warehouses with so many pieces of each SKU (warehouse → SKU → pieces)."""
    for code in shelves:
        session.add(Warehouse(code=code, name=code, province=PROVINCES[code]))
    skus = sorted({sku for there in shelves.values() for sku in there})
    save_products(session, [Product(sku=sku, title=sku, price_fen=2_000) for sku in skus])
    session.flush()
    for code, there in shelves.items():
        for sku, pieces in there.items():
            shelve(session, code, sku)
            if pieces:
                receive(session, code, sku, pieces, "期初", "test", NOW)


def line(sku: str, quantity: int, number: int = 1) -> IncomingLine:
    """An order line of so many pieces."""
    return cans(quantity, sku=sku, channel_line_id=f"line-{number}-{sku}")


def order_for(session: Session, name: str, wanted: Wanted, paid: int = -9, province: str = "广东省") -> Order:
    """A verified order of these pieces by SKU, or by line, paid so many minutes after `NOW`."""
    asked = wanted.items() if isinstance(wanted, Mapping) else wanted
    lines = [line(sku, quantity, number) for number, (sku, quantity) in enumerate(asked)]
    at = NOW + timedelta(minutes=paid)
    receiver = RECEIVER.__class__("王小明", "13812345678", province, "市", "区", "路 1 号")
    order = taken(session, incoming(name, *lines, paid_at=at, receiver=receiver))
    order.payment_verified_at = NOW
    session.add(order)
    session.flush()
    return order


def parts_of(session: Session, order: Order) -> list[Fulfilment]:
    """The order's fulfilments by number."""
    assert order.id is not None
    return fulfilments_of(session, order.id)


def part_of(
    session: Session, name: str, wanted: Mapping[str, int], paid: int = -9, province: str = "广东省"
) -> Fulfilment:
    """The only fulfilment of a new order."""
    (part,) = parts_of(session, order_for(session, name, wanted, paid, province))
    return part


def id_of(fulfilment: Fulfilment) -> int:
    """Its id, which it has since it was written."""
    assert fulfilment.id is not None
    return fulfilment.id


def promised(session: Session, fulfilment: Fulfilment) -> dict[tuple[str, str], int]:
    """What a fulfilment is promised now, by (warehouse, SKU)."""
    held: list[Reservation] = held_for(session, id_of(fulfilment))
    return {(r.warehouse, r.sku): r.quantity for r in held}


def shelf(session: Session, warehouse: str, sku: str) -> tuple[int, int]:
    """(on hand, reserved) of one SKU in one warehouse, after making sure that all accounts agree."""
    assert_accounts_agree(session)
    row = session.connection().execute(
        text("SELECT on_hand, reserved FROM stock_item WHERE warehouse = :warehouse AND sku = :sku"),
        {"warehouse": warehouse, "sku": sku},
    )
    on_hand, reserved = row.one()
    return on_hand, reserved


def assert_accounts_agree(session: Session, now: datetime = NOW) -> None:
    """Counters are the sums of the ledger and of the promises that stand, and nothing is below zero."""
    accounts = {"stock_differs_from_ledger", "stock_out_of_bounds", "reservations_differ_from_reserved"}
    assert not [broken for broken in check(session, now) if broken.code in accounts]


def events(session: Session, kind: str) -> int:
    """How many rows of this kind all timelines have."""
    session.flush()
    row = session.connection().execute(text("SELECT count(*) FROM order_event WHERE kind = :kind"), {"kind": kind})
    return int(row.scalar_one())
