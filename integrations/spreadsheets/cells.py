"""Files into rows of cells: CSV as spreadsheet programs write it, and XLSX; bounded in every direction."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, time

from integrations.spreadsheets import SheetWrong

MOST_BYTES = 5 * 1024 * 1024
#: What an XLSX may come to when it is unpacked: a sheet of 20,000 rows is 2 to 5 MB.
MOST_UNPACKED = 40 * 1024 * 1024
MOST_PARTS = 200
MOST_ROWS = 20_000
MOST_COLUMNS = 60
DELIMITERS = (",", ";", "\t")

#: One row: its number in the file (the first is 1) and its cells as text.
Row = tuple[int, list[str]]


def sheets_of(data: bytes) -> list[list[Row]]:
    """The sheets of a file (a CSV is three candidates, one for each delimiter), rows without any text left out.

    Raises `SheetWrong`. Formulas are never worked out: what the file says they came to is taken.
    """
    if not data:
        raise SheetWrong("文件是空的。")
    if len(data) > MOST_BYTES:
        raise SheetWrong(f"文件超过 {MOST_BYTES // 1024 // 1024} MB:请删去不用的列,或分成几个文件。")
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise SheetWrong("这是旧版 Excel(.xls)或加了密码的文件:请另存为不加密的 .xlsx 或 CSV。")
    if data.startswith(b"PK"):
        return _xlsx(data)
    text = _decoded(data)
    return [_csv(text, delimiter) for delimiter in DELIMITERS]


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    for name in (encoding, "gb18030"):
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text
    raise SheetWrong("文件不是 CSV 也不是 XLSX:请在表格软件里另存为「CSV UTF-8」或 .xlsx。")


def _csv(text: str, delimiter: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[Row] = []
    try:
        for cells in reader:
            _bounded(len(rows))
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, [cell.strip() for cell in cells[:MOST_COLUMNS]]))
    except csv.Error as error:
        raise SheetWrong(f"第 {reader.line_num + 1} 行读不懂({error}):看看引号是不是成对。") from error
    return rows


def _bounded(rows: int) -> None:
    if rows > MOST_ROWS:
        raise SheetWrong(f"超过 {MOST_ROWS} 行:请分成几个文件。")


def _xlsx(data: bytes) -> list[list[Row]]:
    from openpyxl import load_workbook  # a third of a second that only this needs

    demand_harmless(data)
    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        with closing(book):
            return [list(_rows(sheet)) for sheet in book.worksheets if sheet.sheet_state == "visible"]
    except SheetWrong:
        raise
    except Exception as error:  # whatever a broken file makes of the parser
        raise SheetWrong("这个 .xlsx 打不开:请在表格软件里打开后重新另存,再上传。") from error


def demand_harmless(data: bytes) -> None:
    """Look at what it unpacks to before anything is unpacked, and refuse XML that defines entities."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            listed = parts.infolist()
            # a part never unpacks to more than it announces: what is announced can be relied on
            if len(listed) > MOST_PARTS or sum(part.file_size for part in listed) > MOST_UNPACKED:
                raise SheetWrong("这个 .xlsx 展开后太大:请删去不用的列和工作表再保存。")
            for part in listed:
                if part.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in parts.read(part).upper():
                    raise SheetWrong("这个 .xlsx 里有不该有的内容:请在表格软件里打开后重新另存。")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise SheetWrong("这个 .xlsx 已损坏或加了密码:请重新另存后上传。") from error


def _rows(sheet: object) -> Iterator[Row]:
    # the sheet's own word on its size is not believed: one cell far out would make a million empty rows
    cells = sheet.iter_rows(max_row=MOST_ROWS + 1, max_col=MOST_COLUMNS, values_only=True)  # type: ignore[attr-defined]
    for number, row in enumerate(cells, 1):
        texts = [_text(cell) for cell in row]
        if any(texts):
            _bounded(number)
            yield number, texts


def _text(cell: object) -> str:
    """A cell as text: whole numbers without a decimal point, as a person reads them."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "是" if cell else "否"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(cell).strip()
