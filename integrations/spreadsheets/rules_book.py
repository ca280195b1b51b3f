"""Workbooks of rules: pages of rows out as XLSX, and in again cell by cell; what is no plain cell is refused by place.

Cells that begin with `=` are text here (the engine's own language), never formulas; a real formula is refused.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.cells import demand_harmless, sheets_of
from integrations.spreadsheets.safe_csv import DANGEROUS, to_csv

MOST_BYTES = 5 * 1024 * 1024
MOST_ROWS = 2_000
GUIDE = "说明"
_WIDEST, _LONGEST_SHOWN = 48, 200
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^>]*ref=\"([A-Z]+\d+:[A-Z]+\d+)\"")
#: A cell in a column of three letters.
_FAR_OUT = re.compile(rb"<(?:\w+:)?c\s[^>]*r=\"([A-Z]{3,}\d+)\"")
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Page:
    """One sheet to be written."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Value]]


@dataclass(frozen=True)
class Line:
    """One row that was read: its number in the sheet, and its cells by header, without the empty ones."""

    number: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Grid:
    """One sheet that was read. `name` is "" for a CSV."""

    name: str
    header: tuple[str, ...]
    lines: tuple[Line, ...]

    def wrong(self, why: str, number: int = 0, column: str = "") -> SheetWrong:
        """An error that names the place."""
        place = (f"表「{self.name}」" if self.name else "") + (f"第 {number} 行" if number else "")
        return SheetWrong(f"{place}{f'「{column}」' if column else ''}:{why}".removeprefix(":"))


def write_book(pages: Sequence[Page], guide: Sequence[Sequence[str]]) -> bytes:
    """An XLSX file of these pages, with a page of explanations behind them."""
    from openpyxl import Workbook  # a third of a second that only this needs

    book = Workbook()
    book.remove(book.active)
    for page in (*pages, Page(GUIDE, (), guide)):
        _write(book.create_sheet(page.name), page)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def write_csv(page: Page) -> bytes:
    """One page as CSV, in UTF-8 with the mark that Excel needs."""
    said = [["" if cell is None else str(cell) for cell in row] for row in page.rows]
    # a text that looks as if it were marked gets a mark more
    return to_csv(page.header, [[f"'{cell}" if _marked(cell) else cell for cell in row] for row in said])


def read_book(data: bytes) -> dict[str, Grid]:
    """The visible sheets of an XLSX file by name, or a CSV under "". Raises `SheetWrong`, naming the place."""
    if len(data) > MOST_BYTES:
        raise SheetWrong(f"文件超过 {MOST_BYTES // 1024 // 1024} MB:规则表不会这么大,请删去不用的内容。")
    if not data.startswith(b"PK"):
        return {"": _csv(data)}
    demand_harmless(data)
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        if any(name.lower().endswith("vbaproject.bin") for name in parts.namelist()):
            raise SheetWrong("文件带有宏:请另存为不带宏的 .xlsx。")
    return {grid.name: grid for grid in _sheets(data)}


def as_read(said: str) -> str:
    """A text as it comes back from a file: without blanks around it, and with what no file can hold replaced."""
    return _NOT_IN_XML.sub("\ufffd", said.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _write(sheet: Any, page: Page) -> None:
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    rows = [*([page.header] if page.header else []), *page.rows]
    for at, row in enumerate(rows, 1):
        for column, value in enumerate(row, 1):
            cell = sheet.cell(at, column, as_read(value) if isinstance(value, str) else value)
            if isinstance(value, str):
                cell.data_type = "s"  # text stays text, also with a leading =
                cell.number_format = "@"
                cell.quotePrefix = value.startswith(("=", "+", "-", "@"))
                cell.alignment = Alignment(vertical="top", wrap_text="\n" in value or len(value) > _WIDEST)
            if at == 1 and page.header:
                cell.font = Font(bold=True)
    for column, letters in enumerate(_widths(rows), 1):
        sheet.column_dimensions[get_column_letter(column)].width = letters
    if page.header:
        sheet.freeze_panes = "B2"


def _widths(rows: Sequence[Sequence[Value]]) -> list[float]:
    """Chinese letters are two wide."""
    widths = [0.0] * max((len(row) for row in rows), default=0)
    for row in rows:
        for column, value in enumerate(row):
            said = str("" if value is None else value)[:_LONGEST_SHOWN]
            longest = max(len(line) + sum(letter > "\u2e80" for letter in line) for line in said.split("\n"))
            widths[column] = max(widths[column], min(longest + 2.0, _WIDEST))
    return widths


def _sheets(data: bytes) -> list[Grid]:
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=False, keep_links=False)
        with closing(book):
            return [_grid(sheet.title, list(_rows(sheet, data))) for sheet in book.worksheets if _shown(sheet)]
    except SheetWrong:
        raise
    except Exception as error:  # whatever a broken file makes of the parser
        raise SheetWrong("这个 .xlsx 打不开:请在表格软件里打开后重新另存,再上传。") from error


def _shown(sheet: Any) -> bool:
    return bool(sheet.sheet_state == "visible")


def _rows(sheet: Any, data: bytes) -> Iterator[tuple[int, list[str]]]:
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        content = parts.read(sheet._worksheet_path)
    if (merged := _MERGED.search(content)) and sheet.title != GUIDE:
        raise SheetWrong(f"表「{sheet.title}」的 {merged[1].decode()} 是合并单元格:请取消合并,每行各填各的。")
    if far := _FAR_OUT.search(content):
        raise SheetWrong(f"表「{sheet.title}」的 {far[1].decode()} 太靠右,最多用到 ZZ 列:请删去多余的列。")
    # the sheet's own word on its size is not believed, and rows are as long as they are: no padding
    for number, row in enumerate(sheet.iter_rows(), 1):
        texts = [_text(sheet.title, number, column, cell) for column, cell in enumerate(row)]
        if not any(texts):
            continue
        if number > MOST_ROWS + 1:
            raise SheetWrong(f"表「{sheet.title}」超过 {MOST_ROWS} 行(第 {number} 行还有内容):请删去多余的行。")
        yield number, texts


def _text(sheet: str, number: int, column: int, cell: Any) -> str:
    """A cell as text. Raises `SheetWrong` for what is no plain cell."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str) and cell.data_type != "f" and cell.data_type != "e":
        return as_read(value)
    if isinstance(value, bool):
        return "是" if value else "否"
    if cell.data_type == "n" and isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(value)
    what = {"f": "公式", "e": "出错的值"}.get(cell.data_type) or ("日期" if isinstance(value, date | time) else "")
    how = {"公式": "请改成文字或数(以 = 开头的文字,前面加一个单引号)"}.get(what, "请改成文字")
    raise SheetWrong(f"表「{sheet}」第 {number} 行第 {_letter(column)} 列是{what or '看不懂的内容'}:{how}。")


def _letter(column: int) -> str:
    from openpyxl.utils import get_column_letter

    return str(get_column_letter(column + 1))


def _csv(data: bytes) -> Grid:
    # of the three ways to take it apart, the one with the most columns
    rows = max(sheets_of(data), key=lambda sheet: len(sheet[0][1]) if sheet else 0)
    if len(rows) > MOST_ROWS + 1:
        raise SheetWrong(f"超过 {MOST_ROWS} 行:请删去多余的行。")
    return _grid("", [(number, [_unmarked(cell) for cell in cells]) for number, cells in rows])


def _marked(cell: str) -> bool:
    """Whether this looks like a text with the mark by which a CSV says that it is no formula."""
    return cell.startswith("'") and cell.lstrip("'").lstrip(" ").startswith(DANGEROUS)


def _unmarked(cell: str) -> str:
    return as_read(cell[1:] if _marked(cell) else cell)


def _grid(name: str, rows: list[tuple[int, list[str]]]) -> Grid:
    """The first row is the header. Raises `SheetWrong` for a cell without one, or a header that is there twice."""
    if not rows:
        return Grid(name, (), ())
    header = rows[0][1]
    while header and not header[-1]:
        header = header[:-1]
    bare = Grid(name, tuple(header), ())
    if name == GUIDE:
        return Grid(name, (), tuple(Line(number, {"": " ".join(cells).strip()}) for number, cells in rows))
    for title in header:
        if title and header.count(title) > 1:
            raise bare.wrong(f"有 {header.count(title)} 列都叫「{title}」:请只留一列。", rows[0][0])
    lines = []
    for number, cells in rows[1:]:
        told = {}
        for column, cell in enumerate(cells):
            if not cell:
                continue
            if column >= len(header) or not header[column]:
                raise bare.wrong(f"第 {_letter(column)} 列有内容,表头却是空的。", number)
            told[header[column]] = cell
        lines.append(Line(number, told))
    return Grid(name, tuple(title for title in header if title), tuple(lines))
