"""The rows of an XLSX file, read as a stream: bounded, formulas by the values they had, cells as people read them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from integrations.spreadsheets import SheetWrong

#: A sheet of a million rows unpacks to about 1 GB; shared texts are held in memory.
MOST_UNPACKED = 2 * 1024**3
MOST_SHARED_TEXTS = 96 * 1024**2
MOST_PARTS = 500
#: What Excel itself can hold.
MOST_ROWS = 1_048_576
_DECLARATIONS = 64 * 1024
_EXACT = 10**15
_REOPEN = "请在表格软件里打开后重新另存,再上传。"


def sheet_names(path: Path) -> list[str]:
    """The visible sheets of a workbook. Raises `SheetWrong` for what is broken, locked or a bomb."""
    _demand_harmless(path)
    with _opened(path) as book:
        names = [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"]
    if not names:
        raise SheetWrong("这个 .xlsx 里没有可见的工作表。")
    return names


def sheet_rows(path: Path, sheet: str, width: int) -> Iterator[list[str]]:
    """The rows of one sheet, `width` cells each, empty rows too. Raises `SheetWrong`, also half way."""
    with _opened(path) as book:
        # the sheet's own word on its size is not believed
        cells = book[sheet].iter_rows(max_row=MOST_ROWS, max_col=width, values_only=True)
        while True:
            try:
                row = next(cells, None)
            except Exception as error:  # whatever a broken part makes of the parser
                raise SheetWrong(f"这个 .xlsx 读到一半读不下去了:{_REOPEN}") from error
            if row is None:
                return
            yield [cell if type(cell) is str else _text(cell) for cell in row]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from integrations.spreadsheets.streamed_book import opened  # a third of a second that only this needs

    with ExitStack() as stack:
        try:
            book = stack.enter_context(opened(path))
        except Exception as error:  # whatever a broken file makes of the parser
            raise SheetWrong(f"这个 .xlsx 打不开:{_REOPEN}") from error
        yield book


def _demand_harmless(path: Path) -> None:
    """Look at what it unpacks to before anything is unpacked, and refuse XML that declares entities."""
    try:
        with zipfile.ZipFile(path) as parts:
            listed = parts.infolist()
            # a part never unpacks to more than it announces: what is announced can be relied on
            unpacked = sum(part.file_size for part in listed)
            shared = sum(part.file_size for part in listed if part.filename.lower().endswith("sharedstrings.xml"))
            if len(listed) > MOST_PARTS or unpacked > MOST_UNPACKED or shared > MOST_SHARED_TEXTS:
                raise SheetWrong("这个 .xlsx 展开后太大:请删去不用的列和工作表,分成几个文件,或另存为 CSV。")
            for part in listed:
                if part.filename.endswith((".xml", ".rels")):
                    with parts.open(part) as content:
                        if b"<!DOCTYPE" in content.read(_DECLARATIONS).upper():
                            raise SheetWrong(f"这个 .xlsx 里有不该有的内容:{_REOPEN}")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise SheetWrong("这个 .xlsx 已损坏或加了密码:请重新另存后上传。") from error


def _text(cell: object) -> str:
    """A cell as text; a number that the program cannot have kept exactly shows it: 4.78e+18."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "是" if cell else "否"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < _EXACT else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "seconds") if cell.time() != time() else cell.date().isoformat()
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)
