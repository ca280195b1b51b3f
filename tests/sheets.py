"""Spreadsheets of orders for tests: files with baskets of the history, brought to the import as a command brings them.

path = sheet_file(tmp_path / "a.csv", 20)
sheet = await imported(path)                        # confirmed as proposed, and worked through
outcomes(sheet) == {"new": 20}
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from integrations.sandbox.order_sheets import SheetOrder, history_orders, write_orders
from integrations.spreadsheets.arriving import digest_of, remember, see
from models import order_sheet
from models.database import transact, utcnow
from models.order import Order
from models.order_sheet import OrderSheet, Place
from tasks.importing import import_sheet

FIRST = datetime(2024, 11, 1, 4, 0, tzinfo=UTC)
#: Tables that say what happened to sheets, not what is in the book.
OF_SHEETS = ("order_sheet", "sheet_mapping", "sheet_reject")


async def quiet(_: OrderSheet) -> None:
    """Hear how far a sheet is and say nothing."""


def baskets(count: int, skip: int = 0, prefix: str = "") -> list[SheetOrder]:
    """Orders of the history, each with a number of its own."""
    found = history_orders(skip + count, FIRST)[skip:]
    return [SheetOrder(prefix + one.order_id, one.placed_at, one.basket, one.status) for one in found]


def sheet_file(path: Path, orders: int | list[SheetOrder], **how: Any) -> Path:
    """A file with these orders, or with so many of the history."""
    write_orders(path, baskets(orders) if isinstance(orders, int) else orders, **how)
    return path


def brought(path: Path, shop: str = "pdd-main", by: str = "王敏", **opening: Any) -> int:
    """The number of a new sheet: the file as a command is given it, with the columns that are proposed."""
    seen, (digest, size) = see(path, opening), digest_of(path)

    def work(session: Session) -> int:
        row = OrderSheet(
            shop=shop, file_name=path.name, digest=digest, size_bytes=size, place=Place.COMMAND.value, by=by,
            at=utcnow(),
        )  # fmt: skip
        remember(session, row, seen, opening, by)
        session.flush()
        assert row.id is not None
        return row.id

    return transact(work)


def confirmed(path: Path, shop: str = "pdd-main", *, dry_run: bool = False, **changes: Any) -> int:
    """The number of a new sheet whose columns are confirmed; `changes` are settings of the mapping."""
    number = brought(path, shop)

    def work(session: Session) -> None:
        mapping = order_sheet.find(session, number).mapping
        columns = {**mapping["columns"], **changes.pop("columns", {})}
        order_sheet.confirm(session, number, {**mapping, **changes, "columns": columns}, dry_run, "王敏", utcnow())

    transact(work)
    return number


async def imported(path: Path, shop: str = "pdd-main", *, dry_run: bool = False, **changes: Any) -> OrderSheet:
    """The file worked through; the sheet as it is then."""
    return await import_sheet(confirmed(path, shop, dry_run=dry_run, **changes), quiet, path=path)


def outcomes(sheet: OrderSheet) -> dict[str, int]:
    """How many orders came to what."""
    return dict(sheet.counts.get("outcomes", {}))


def whole_book() -> dict[str, str]:
    """A digest of every row of every table but those of sheets: equal books are equal to the last byte."""

    def work(session: Session) -> dict[str, str]:
        connection = session.connection()
        tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"))
        said = "SELECT md5(coalesce(string_agg(md5(t::text), '' ORDER BY md5(t::text)), '')) FROM {} t"
        names = [name for (name,) in tables if name not in OF_SHEETS]
        return {name: connection.execute(text(said.format(f'"{name}"'))).scalar_one() for name in names}

    return transact(work)


def counted(statement: str, **parameters: Any) -> int:
    """The number that a query gives."""
    return transact(lambda session: int(session.connection().execute(text(statement), parameters).scalar_one()))


def by_id(shop: str) -> dict[str, Order]:
    """The orders of a shop by their own number."""
    return transact(
        lambda s: {one.channel_order_id: one for one in s.exec(select(Order).where(col(Order.shop).startswith(shop)))}
    )


def rejected_rows(sheet: OrderSheet) -> list[tuple[int, str, str]]:
    """What the report of a sheet says was set aside."""
    found = transact(lambda s: order_sheet.rejects(s, sheet.id or 0, 1000))
    return [(row.row_no, row.channel_order_id, row.why) for row in found]


def rewrite(path: Path, change: Callable[[dict[str, str]], dict[str, str]], encoding: str = "utf-8-sig") -> None:
    """Change every row of a CSV file."""
    with path.open(encoding=encoding, newline="") as file:
        rows = [change(row) for row in csv.DictReader(file)]
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def spoil(path: Path, cells: dict[int, tuple[str, str]]) -> None:
    """Put other text into cells of a CSV file, by the place of their order (0 is the first)."""
    places: dict[str, int] = {}

    def change(row: dict[str, str]) -> dict[str, str]:
        place = places.setdefault(row["订单编号"], len(places))
        if place in cells:
            column, said = cells[place]
            return row | {column: said}
        return row

    rewrite(path, change)


def add_column(path: Path, name: str, said: str) -> None:
    """A further column with the same text everywhere."""
    rewrite(path, lambda row: row | {name: said})
