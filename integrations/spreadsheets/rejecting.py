"""What was set aside of a sheet: as rows for the report, as a file to be mended, and in words without personal data."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.order_sheet import Rejected, rejected_rows, write_rejected
from models.database import transact
from models.intake import Incoming, Unreadable
from models.order_sheet import OrderSheet, SheetReject, rejects_after
from models.privacy import seal, unseal
from models.quality import Fault
from models.quarantine import printable

#: What an XLSX sheet can hold; more is downloaded as CSV.
MOST_XLSX_ROWS = 100_000
_AT_ONCE = 500
_SHOWN = 60
_QUOTED = re.compile(r"(['\"]).*?\1")
_NAMED = re.compile(r"「(.{1,80}?)」")
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def rejected(
    sheet_id: int, order: Incoming, faults: Sequence[Fault], headers: Sequence[str]
) -> tuple[SheetReject, int]:
    """An order that was set aside as a row of the report, and the number of its rows in the sheet."""
    rows = [(row.row_number, row.cells) for row in rejected_rows(headers, order.raw, ())]
    reasons = _reasons(order, faults)
    why = ";".join(reasons)
    if isinstance(order, Unreadable):
        why = without_cells(why, [cell for _, cells in rows for cell in cells])
    row = SheetReject(
        sheet_id=sheet_id,
        row_no=rows[0][0] if rows else 0,
        channel_order_id=printable(order.channel_order_id)[:128],
        codes=sorted({fault.code for fault in faults}),
        why=printable(why)[:600],
        secret=seal(json.dumps([reasons, rows])),
    )
    return row, len(rows)


def without_cells(reason: str, cells: Iterable[str]) -> str:
    """The reason without anything that it quotes from the sheet: a cell may be somebody's phone number."""
    said = {cell.strip() for cell in cells}
    for cell in sorted(said - {""}, key=len, reverse=True):
        reason = reason.replace(repr(cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…"), "…")
    return _QUOTED.sub("…", reason)


def reason_keys(order: Incoming, faults: Sequence[Fault], headers: Sequence[str]) -> list[str]:
    """What to count a reason under: the codes of its faults, and of what cannot be read the columns concerned."""
    if not isinstance(order, Unreadable):
        return sorted({fault.code for fault in faults})
    columns = {name for name in _NAMED.findall(order.reason) if name in headers}
    return [f"unreadable:{name}" for name in sorted(columns)] or ["unreadable"]


def write_report(path: Path, sheet: OrderSheet) -> int:
    """Everything that was set aside of a sheet as a CSV file to be mended and sent again; the number of rows."""
    return write_rejected(path, sheet.proposal.get("titles", []), _all(sheet.id or 0))


def write_book(path: Path, table: Path) -> None:
    """The same as XLSX, from the CSV file. Raises `SheetWrong` where there are too many rows."""
    from openpyxl import Workbook  # a third of a second that only this needs

    book = Workbook(write_only=True)
    page = book.create_sheet("搁置的行")
    with table.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file)):
            if number > MOST_XLSX_ROWS:
                raise SheetWrong(f"超过 {MOST_XLSX_ROWS} 行:请下载 CSV。")
            page.append([_NOT_IN_XML.sub("\ufffd", cell) for cell in row])
    book.save(path)


def _all(sheet_id: int) -> Iterator[Rejected]:
    last = 0
    while found := transact(lambda session, after=last: rejects_after(session, sheet_id, after, _AT_ONCE)):  # type: ignore[misc]
        for row in found:
            reasons, rows = json.loads(unseal(row.secret))
            yield from (Rejected(number, tuple(cells), tuple(reasons)) for number, cells in rows)
        last = found[-1].id or 0


def _reasons(order: Incoming, faults: Sequence[Fault]) -> list[str]:
    return [order.reason] if isinstance(order, Unreadable) else [fault.message for fault in faults]
