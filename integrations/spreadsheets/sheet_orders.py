"""The rows of one order as one incoming order, or as what is wrong with them, cell by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from integrations.spreadsheets.mapping import Mapping
from integrations.spreadsheets.sheet_amounts import LineSaid, settle
from integrations.spreadsheets.sheet_digest import content_digest
from integrations.spreadsheets.sheet_file import Row
from integrations.spreadsheets.sheet_layout import Column, lay_out
from integrations.spreadsheets.sheet_places import MUNICIPALITIES, Place, full_province, split_address, without_places
from integrations.spreadsheets.sheet_statuses import weightiest
from integrations.spreadsheets.sheet_values import CellWrong, identity
from models.intake import Incoming, IncomingLine, IncomingOrder, PlatformStatus, Receiver, Unreadable

#: The channel's name.
NAME = "spreadsheet"
#: More than any order has: then the wrong column was taken for the order id.
MOST_ROWS_OF_ORDER = 1_000
_LONGEST_SHOWN = 60
_MOST_REASONS = 20
_UNPAID = (PlatformStatus.AWAITING_PAYMENT, PlatformStatus.HELD, PlatformStatus.CANCELLED)
_OVER = (PlatformStatus.CANCELLED, PlatformStatus.REFUNDED)
_CITY_LEVEL = ("", "市辖区", "县", "城区")

#: A line before its money is settled: what it is sorted by comes first, so that rows may stand in any order.
_Draft = tuple[str, str, str, LineSaid, tuple[tuple[str, str], ...]]


def order_key(cell: str, row: int, ids_checked: bool) -> str:
    """What brings the rows of one order together; a damaged id brings together nothing."""
    try:
        return identity(cell, ids_checked) or f"\0{row}"
    except CellWrong:
        return f"\0{row}"


class OrderReader:
    """Reads orders of one file for one shop. `now` is when an order without an updated-at column was told to us."""

    def __init__(
        self,
        headers: Sequence[str],
        mapping: Mapping,
        shop: str,
        now: datetime,
        *,
        day_first: AnyMapping[str, bool | None],
        decimal_comma: AnyMapping[str, bool],
    ) -> None:
        self.headers, self.mapping, self.shop, self.now = tuple(headers), mapping, shop, now
        self.layout = lay_out(headers, mapping, day_first, decimal_comma)

    def read(self, rows: Sequence[Row]) -> Incoming:
        """One order from all its rows; `Unreadable` with every reason that was found."""
        return self._read(rows, [])

    def too_long(self, rows: Sequence[Row], count: int) -> Incoming:
        """What becomes of an order id that stands on more rows than any order has; `rows` are the first of them."""
        return self._read(rows, [f"这个订单号出现在 {count} 行,超过 {MOST_ROWS_OF_ORDER} 行:请核对哪一列是订单号"])

    def _read(self, rows: Sequence[Row], problems: list[str]) -> Incoming:
        raw = {
            "rows": [self._by_header(cells) for _, cells in rows],
            "row_numbers": [number for number, _ in rows],
        }
        reading = _Reading(self, rows, problems)
        order = reading.order(raw)
        if order is None or reading.problems:
            (at,) = (column.at for column in self.layout.fields["order_id"])
            known = next((cells[at].strip() for _, cells in rows if cells[at].strip()), "")
            return Unreadable(NAME, self.shop, known, ";".join(reading.problems[:_MOST_REASONS]), raw)
        return order

    def _by_header(self, cells: Sequence[str]) -> dict[str, str]:
        named = dict(zip(self.headers, cells, strict=False))
        for place, cell in enumerate(cells[len(self.headers) :], 1):
            named[f"(多出的第 {place} 格)"] = cell
        return named


class _Reading:
    """One order being read: its rows, and what was found wrong so far."""

    def __init__(self, reader: OrderReader, rows: Sequence[Row], problems: list[str]) -> None:
        self.reader, self.rows, self.fields = reader, rows, reader.layout.fields
        self.problems = problems

    def order(self, raw: dict[str, Any]) -> IncomingOrder | None:
        """The order; what is wrong is in `problems`. None when it cannot even be put together."""
        self._look_at_rows()
        order_id = self.one("order_id") or ""
        paid_at, updated_at = self.one("paid_at"), self.one("updated_at") or self.reader.now
        status = self._status(paid_at is not None)
        before = len(self.problems)
        placed_at = self.one("placed_at") or (updated_at if status in _OVER else None)
        if placed_at is None and len(self.problems) == before:
            self._lacks("placed_at")
        receiver = self._receiver()
        lines, total, freight, discount = self._lines()
        if self.problems or status is None or placed_at is None:
            return None
        if status is PlatformStatus.AWAITING_PAYMENT:
            paid_at = None
        elif paid_at is None and status not in _UNPAID:
            paid_at = placed_at
        sub_shop = self.one("shop")
        paid = total if paid_at is not None else 0
        order = IncomingOrder(
            channel=NAME,
            shop=f"{self.reader.shop}/{sub_shop}" if sub_shop else self.reader.shop,
            channel_order_id=order_id,
            channel_order_name=order_id,
            status=status,
            placed_at=placed_at,
            updated_at=updated_at,
            paid_at=paid_at,
            currency="CNY",
            total_fen=total,
            paid_fen=paid,
            freight_fen=freight,
            discount_fen=discount,
            buyer=self.one("buyer") or "",
            receiver=receiver,
            lines=lines,
            note=self.one("note") or "",
            attributes=self._order_attributes(),
            raw=raw,
            refunded_fen=paid if status is PlatformStatus.REFUNDED else 0,
        )
        order.handles["content"] = content_digest(order)
        return order

    def one(self, code: str) -> Any:
        """The one value of a field of the order; None when no row says it."""
        columns = self.fields.get(code)
        return self._agreed(columns[0]) if columns else None

    def _agreed(self, column: Column) -> Any:
        """What the rows agree on in this column: blank cells say nothing, and two values are a contradiction."""
        if len(self.rows) == 1:
            ((number, cells),) = self.rows
            said = cells[column.at].strip()
            return None if said in column.blanks else self._cell(column, number, said)
        told: dict[str, int] = {}
        for number, cells in self.rows:
            said = cells[column.at].strip()
            if said not in column.blanks and said not in told:
                told[said] = number
        if not told:
            return None
        values = [self._cell(column, number, said) for said, number in told.items()]
        if len(values) > 1 and any(value != values[0] for value in values):
            places = ",".join(f"第 {number} 行是 {_shown(said)}" for said, number in told.items())
            self.problems.append(f"同一订单的「{column.header}」不一样:{places}")
        return values[0]

    def _cell(self, column: Column, number: int, said: str) -> Any:
        try:
            if "\0" in said:
                raise CellWrong("有空字符(NUL):请删掉重新填写")
            return column.read(said)
        except CellWrong as wrong:
            self.problems.append(f"第 {number} 行「{column.header}」是 {_shown(said)}:{wrong}")
            return None

    def _lacks(self, code: str, number: int | None = None) -> None:
        (column, *_) = self.fields[code]
        self.problems.append(f"第 {number or self.rows[0][0]} 行没有填「{column.header}」")

    def _look_at_rows(self) -> None:
        width = len(self.reader.headers)
        (column,) = self.fields["order_id"]
        for place, (number, cells) in enumerate(self.rows):
            if len(cells) > width and any(map(str.strip, cells[width:])):
                self.problems.append(f"第 {number} 行比表头多出 {len(cells) - width} 格:多半有没加引号的分隔符")
            if cells[column.at].strip():
                continue
            if place == 0:
                self.problems.append(f"第 {number} 行没有填「{column.header}」:合计行请删掉,商品行请补上订单号")
            elif not self.reader.mapping.fill_down:
                self.problems.append(
                    f"第 {number} 行没有填「{column.header}」却有商品:请补上,或勾选「空白订单号接上一行」"
                )

    def _status(self, paid: bool) -> PlatformStatus | None:
        columns, mapping = self.fields.get("status", ()), self.reader.mapping
        found = [status for column in columns if (status := self._agreed(column)) is not None]
        if self.one("cancelled_at") is not None:
            found.append(PlatformStatus.CANCELLED)
        if found:
            return weightiest(found)
        if mapping.default_status:
            return PlatformStatus(mapping.default_status)
        if columns and not any(cells[column.at].strip() for column in columns for _, cells in self.rows):
            self._lacks("status")
            return None
        if "paid_at" in self.fields and not paid:
            return PlatformStatus.AWAITING_PAYMENT
        return PlatformStatus.TO_SHIP

    def _receiver(self) -> Receiver | None:
        name, number = self.one("name") or "", self.one("phone") or ""
        place = self._place()
        if not any((name, number, *place)):
            return None
        masked = any("*" in part for part in (name, number, place.detail))
        return Receiver(name, number, *place, masked=masked)

    def _place(self) -> Place:
        province, city = full_province(self.one("province") or ""), self.one("city") or ""
        district, street = self.one("district") or "", ""
        for column in self.fields.get("street", ()):
            street += self._agreed(column) or ""
        if not street and (whole := self.one("address")):
            try:
                return split_address(whole)
            except CellWrong as wrong:
                (column,) = self.fields["address"]
                self.problems.append(f"第 {self.rows[0][0]} 行「{column.header}」是 {_shown(whole)}:{wrong}")
        if province in MUNICIPALITIES and (city in _CITY_LEVEL or province.startswith(city)):
            city = province
        return Place(province, city, district, without_places(street, province, city, district))

    def _lines(self) -> tuple[tuple[IncomingLine, ...], int, int, int]:
        """The lines with their money, and the order's total, freight and discount, all in fen."""
        total, freight, discount = self.one("order_total"), self.one("freight") or 0, self.one("discount")
        drafts = sorted(
            (draft for row in self.rows if (draft := self._draft(row)) is not None),
            key=lambda draft: (*draft[:3], _sortable(draft[3]), draft[4]),
        )
        given = Counter(draft[0] for draft in drafts if draft[0])
        self.problems += [f"子订单号 {_shown(one)} 出现了 {times} 次" for one, times in given.items() if times > 1]
        if self.problems:
            return (), 0, 0, 0
        try:
            settled = settle([draft[3] for draft in drafts], total, freight, discount)
        except CellWrong as wrong:
            self.problems.append(f"第 {'、'.join(str(number) for number, _ in self.rows)} 行:{wrong}")
            return (), 0, 0, 0
        seen: Counter[str] = Counter()
        lines = []
        for (line_id, sku, title, said, attributes), unit, paid in zip(
            drafts, settled.units, settled.paid, strict=True
        ):
            seen[sku] += 1
            named = line_id or (sku if seen[sku] == 1 else f"{sku}#{seen[sku]}")
            lines.append(IncomingLine(named, sku, title, said.quantity, unit, paid, dict(attributes)))
        return tuple(lines), settled.total, freight, settled.discount

    def _draft(self, row: Row) -> _Draft | None:
        """The line in a row; None when the row has no goods: it only says more about the order."""
        number, cells = row
        has_sku, has_pieces = self._says("sku", row), self._says("quantity", row)
        if not has_sku and not has_pieces:
            return None
        before = len(self.problems)
        if not (has_sku and has_pieces):
            self._lacks("quantity" if has_sku else "sku", number)
        line_id, sku, title = (self._at(code, row) or "" for code in ("line_id", "sku", "title"))
        pieces, *money = (self._at(code, row) for code in ("quantity", "unit_price", "line_paid", "line_discount"))
        attributes = []
        for name, column in self.reader.layout.attributes.line:
            if cell := cells[column.at].strip():
                attributes.append((name, self._cell(column, number, cell)))
        if len(self.problems) > before:
            return None
        return line_id, sku, title, LineSaid(pieces, *money), tuple(sorted(attributes))

    def _says(self, code: str, row: Row) -> bool:
        column = self.fields[code][0]
        return row[1][column.at].strip() not in column.blanks

    def _at(self, code: str, row: Row) -> Any:
        """The value of a line's field in this row, None when it is blank or cannot be read."""
        columns = self.fields.get(code)
        if not columns:
            return None
        said = row[1][columns[0].at].strip()
        return None if said in columns[0].blanks else self._cell(columns[0], row[0], said)

    def _order_attributes(self) -> dict[str, str]:
        told = ((name, self._agreed(column)) for name, column in self.reader.layout.attributes.order)
        return {name: value for name, value in told if value is not None}


def _sortable(said: LineSaid) -> tuple[int, ...]:
    return tuple(-1 if value is None else value for value in vars(said).values())


def _shown(said: str) -> str:
    return repr(said if len(said) <= _LONGEST_SHOWN else f"{said[:_LONGEST_SHOWN]}…")
