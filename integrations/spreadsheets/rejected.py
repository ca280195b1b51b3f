"""The rows that did not become orders, as a file to be corrected and sent in again: the same columns and 原因."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integrations.spreadsheets.mapping import REASON
from integrations.spreadsheets.safe_csv import DANGEROUS

#: Longer numbers lose their last digits when a spreadsheet program opens the file, unless they are marked as text.
_DIGITS_KEPT = 15


@dataclass(frozen=True)
class Rejected:
    """One row of the sheet: its number there, its cells as they were, and what is wrong."""

    row_number: int
    cells: tuple[str, ...]
    reasons: tuple[str, ...]


def rejected_rows(headers: Sequence[str], raw: dict[str, Any], reasons: Sequence[str]) -> Iterator[Rejected]:
    """The rows behind an order of the spreadsheet channel, from its `raw`, each with the order's reasons."""
    for number, row in zip(raw["row_numbers"], raw["rows"], strict=True):
        extra = [cell for header, cell in row.items() if header not in headers]
        yield Rejected(number, tuple([row.get(header, "") for header in headers] + extra), tuple(reasons))


def write_rejected(path: Path, titles: Sequence[str], rows: Iterable[Rejected]) -> int:
    """Write the report (CSV, UTF-8 with mark, formulas disarmed), rows in the sheet's order as far as they come so.

    `titles` are the original ones (`SheetFile.titles`), so that the corrected file has the same layout. Read again,
    the marks fall away. Returns the number of rows.
    """
    kept = [at for at, title in enumerate(titles) if title.strip() != REASON]
    written = 0
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(_safe(titles[at]) for at in kept), REASON])
        for row in rows:
            cells = [row.cells[at] if at < len(row.cells) else "" for at in kept]
            beyond = row.cells[len(titles) :]
            extra = [f"这一行多出的内容:{' | '.join(beyond)}"] if any(beyond) else []
            writer.writerow([_safe(cell) for cell in (*cells, ";".join([*row.reasons, *extra]))])
            written += 1
    return written


def _safe(cell: str) -> str:
    """Dangerous text and long numbers marked as text; NUL, which no program reads, shown."""
    cell = cell.replace("\0", "\\0")
    if cell.lstrip(" ").startswith(DANGEROUS) or (len(cell) > _DIGITS_KEPT and cell.isdigit()):
        return f"'{cell}"
    return cell
