"""发货回单 as a file: CSV or XLSX, as platforms take it in their upload forms."""

from __future__ import annotations

import io
from collections.abc import Sequence

from integrations.spreadsheets.safe_csv import DANGEROUS, to_csv
from models.waybill_return import HEADER, Returned

#: How the file's kind is called in its name, and what browsers are told.
KINDS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def waybill_sheet(rows: Sequence[Returned], kind: str) -> bytes:
    """The list as a file of this kind (a key of `KINDS`). Order ids stay text: no digit is lost."""
    if kind == "csv":
        return to_csv(HEADER, (row.cells for row in rows))
    from openpyxl import Workbook  # a third of a second that only this needs

    book = Workbook(write_only=True)
    page = book.create_sheet("发货回单")
    page.append(list(HEADER))
    for row in rows:
        page.append([f"'{cell}" if cell.startswith(DANGEROUS) else cell for cell in row.cells])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()
