"""A sheet's rows on their way to orders: kept in a temporary SQLite file, so that a million rows need little memory.

The rows are streamed in once. Then those of one order are brought together, wherever they stand in the sheet, and
come out in the order in which the sheet first names them. The file is SQLite's own temporary one: it has no name
and is gone with the process.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.mapping import Mapping
from integrations.spreadsheets.sheet_fields import Kind, target_field
from integrations.spreadsheets.sheet_file import SheetFile, open_sheet
from integrations.spreadsheets.sheet_orders import MOST_ROWS_OF_ORDER, OrderReader, order_key
from integrations.spreadsheets.sheet_times import EITHER_ORDER
from models.intake import Incoming

#: Called with the rows done and, where the file gives an idea of it, about how many there are.
Progress = Callable[[int, int | None], None]

_AT_ONCE = 5_000
#: While rows are sorted, and while they are read one order after the other.
_CACHE_KIB, _READING_KIB = 48 * 1024, 8 * 1024
_CELL = "\x1f"
_COMMA_CENTS = re.compile(r"^[^\d\n]*\d{1,3}(?:\.?\d{3})*,\d{1,2}\D?$", re.MULTILINE)
_POINT_CENTS = re.compile(r"^[^\d\n]*\d{1,3}(?:,?\d{3})*\.\d{1,2}\D?$|\d,\d{3}\D?$", re.MULTILINE)


@dataclass
class _Seen:
    """What a column of dates or amounts shows about the order of day and month, or the decimal sign."""

    day_first: bool = False
    month_first: bool = False
    either: bool = False
    comma: bool = False
    point: bool = False


@dataclass(frozen=True)
class Staged:
    """The rows of one sheet. `questions` are sentences that a person should answer before the orders are used:
    the orders that depend on the answer come out as unreadable until the mapping says it."""

    sheet: SheetFile
    rows: int
    order_count: int
    questions: tuple[str, ...]
    _reader: OrderReader
    _base: sqlite3.Connection = field(repr=False)

    def orders(self, batch: int = 500) -> Iterator[list[Incoming]]:
        """The orders in the order of their first rows, in lists of at most `batch`; may be asked for again."""
        with closing(self._base.cursor()) as cursor:
            cursor.execute(
                "SELECT head.rowid, head.rows, row.n, row.cells FROM head CROSS JOIN row ON row.id = head.id"
                " ORDER BY head.rowid, row.n"
            )
            orders = (self._read(key[1], rows) for key, rows in groupby(cursor, key=itemgetter(0, 1)))
            while found := list(islice(orders, batch)):
                yield found

    def _read(self, count: int, rows: Iterator[tuple[int, int, int, str]]) -> Incoming:
        first = [(number, cells.split(_CELL)) for _, _, number, cells in islice(rows, MOST_ROWS_OF_ORDER)]
        return self._reader.read(first) if count == len(first) else self._reader.too_long(first, count)

    def close(self) -> None:
        """Let go of the temporary file."""
        self._base.close()

    def __enter__(self) -> Staged:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def stage(
    source: Path | SheetFile, mapping: Mapping, *, shop: str, now: datetime, progress: Progress | None = None
) -> Staged:
    """Read all rows of a sheet. `now` (aware) is when orders without an updated-at column were told to us.

    Raises `SheetWrong` (with `MappingWrong` and `EncodingUnclear`) when the file cannot be used; nothing is left
    behind then. What is wrong with single rows comes out of `orders`.
    """
    sheet = source if isinstance(source, SheetFile) else open_sheet(source)
    mapping.demand_fits(sheet.headers)
    base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", f"cache_size=-{_CACHE_KIB}"):
            base.execute(f"PRAGMA {pragma}")
        base.execute("CREATE TABLE row (n INTEGER PRIMARY KEY, id TEXT NOT NULL, cells TEXT NOT NULL)")
        seen = {at: _Seen() for at in _watched(sheet, mapping)}
        done = _pour(base, sheet, mapping, seen, progress or (lambda rows, about: None))
        if not done:
            raise SheetWrong("表头下面没有内容。")
        base.execute("CREATE INDEX row_id ON row (id)")
        base.execute(
            "CREATE TABLE head AS SELECT min(n) AS first, id, count(*) AS rows FROM row GROUP BY id ORDER BY first"
        )
        (count,) = base.execute("SELECT count(*) FROM head").fetchone()
        base.execute(f"PRAGMA cache_size=-{_READING_KIB}")
        base.execute("PRAGMA shrink_memory")
    except BaseException:
        base.close()
        raise
    day_first, decimal_comma, questions = _decided(sheet, mapping, seen)
    reader = OrderReader(sheet.headers, mapping, shop, now, day_first=day_first, decimal_comma=decimal_comma)
    return Staged(sheet, done, count, tuple(questions), reader, base)


def _places(sheet: SheetFile, mapping: Mapping, *targets: str) -> list[int]:
    return [at for at, header in enumerate(sheet.headers) if mapping.columns.get(header) in targets]


def _watched(sheet: SheetFile, mapping: Mapping) -> list[int]:
    kinds = {header: found.kind for header, one in mapping.columns.items() if (found := target_field(one))}
    return [at for at, header in enumerate(sheet.headers) if kinds.get(header) in (Kind.TIME, Kind.MONEY)]


def _pour(
    base: sqlite3.Connection, sheet: SheetFile, mapping: Mapping, seen: dict[int, _Seen], progress: Progress
) -> int:
    """Stream the rows into the table, each under the key of its order; the number of rows."""
    width, last, done, number = len(sheet.headers), "", 0, 0
    (id_at,) = _places(sheet, mapping, "order_id")
    goods_at = _places(sheet, mapping, "sku", "title")
    rows = sheet.rows()
    base.execute("BEGIN")
    while batch := list(islice(rows, _AT_ONCE)):
        poured = []
        for number, cells in batch:
            if len(cells) < width:
                cells += [""] * (width - len(cells))
            said = cells[id_at]
            if said and not said.isspace():
                last = order_key(said, number, mapping.ids_checked)
                key = last
            else:  # goods without an id belong to the order above, be it to spoil it; a row of totals stands alone
                key = last if last and any(cells[at].strip() for at in goods_at) else f"\0{number}"
            joined = _CELL.join(cells)
            if joined.count(_CELL) != len(cells) - 1:
                joined = _CELL.join(cell.replace(_CELL, "\ufffd") for cell in cells)
            poured.append((number, key, joined))
        base.executemany("INSERT INTO row VALUES (?, ?, ?)", poured)
        for at, one in seen.items():
            _look(one, "\n".join([cells[at] for _, cells in batch]))
        done += len(batch)
        progress(done, None if sheet.about_rows is None else max(sheet.about_rows, done))
    base.execute("COMMIT")
    if done:
        progress(done, done)
    return done


def _look(seen: _Seen, column: str) -> None:
    for a, b in EITHER_ORDER.findall(column):
        if int(a) > 12 >= int(b):
            seen.day_first = True
        elif int(b) > 12 >= int(a):
            seen.month_first = True
        elif a != b:
            seen.either = True
    if "," in column and not seen.comma:
        seen.comma = _COMMA_CENTS.search(column) is not None
    if not seen.point:
        seen.point = _POINT_CENTS.search(column) is not None


def _decided(
    sheet: SheetFile, mapping: Mapping, seen: dict[int, _Seen]
) -> tuple[dict[str, bool | None], dict[str, bool], list[str]]:
    """Per header: whether the day comes first (None: it cannot be told), and whether cents follow a comma."""
    days: dict[str, bool | None] = {}
    commas: dict[str, bool] = {}
    questions = []
    for at, one in seen.items():
        header = sheet.headers[at]
        if mapping.date_order:
            days[header] = mapping.date_order == "day_first"
        else:
            days[header] = one.day_first if one.day_first != one.month_first else None
            if days[header] is None and one.either:
                questions.append(
                    f"「{header}」里的日期分不清日和月(像 03/04/2026):请选「日在前」或「月在前」,否则这些订单会搁置。"
                )
        commas[header] = mapping.decimal == "comma" if mapping.decimal else one.comma and not one.point
        if not mapping.decimal and one.comma and one.point:
            questions.append(f"「{header}」里既有 1.234,50 也有 1,234.50 的写法:请统一成 1234.50,否则前一种会搁置。")
    return days, commas, questions
