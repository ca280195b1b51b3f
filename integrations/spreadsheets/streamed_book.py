"""openpyxl's read-only workbook without its look at each sheet's size.

Where a sheet does not state its size, openpyxl reads the whole of it when the workbook is opened; we never ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openpyxl.reader.excel import ExcelReader
from openpyxl.worksheet._read_only import ReadOnlyWorksheet


class _UnsizedSheet(ReadOnlyWorksheet):
    def _get_size(self) -> None:
        """The sheet's size is neither known nor asked for."""


class _Reader(ExcelReader):
    def read_worksheets(self) -> None:
        """Sheets that hold cells; charts are passed over."""
        for sheet, part in self.parser.find_sheets():
            if part.target in self.valid_files and "chartsheet" not in part.Type:
                found = _UnsizedSheet(self.wb, sheet.name, part.target, self.shared_strings)
                found.sheet_state = sheet.state
                self.wb._sheets.append(found)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The workbook in this file, whatever the file is called; cells have the values that formulas last had."""
    with path.open("rb") as file:
        reader = _Reader(file, read_only=True, data_only=True, keep_links=False)
        reader.read()
        try:
            yield reader.wb
        finally:
            reader.wb.close()
