"""An order sheet on disk: what it is, where its header is, and its rows one after the other."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.sheet_book import sheet_names, sheet_rows
from integrations.spreadsheets.sheet_header import Header, find_header
from integrations.spreadsheets.sheet_text import ENCODINGS, text_of

MOST_BYTES = 1024**3
MOST_ROWS = 3_000_000
MOST_COLUMNS = 300
DELIMITERS = {",": "逗号", ";": "分号", "\t": "制表符"}
#: How many rows are looked at to find header and delimiter, and shown to a person.
LOOKED_AT = 200

#: A row: its number as spreadsheet programs show it (the first of the file is 1), and its cells.
Row = tuple[int, list[str]]


@dataclass(frozen=True)
class SheetFile:
    """A file that can be read. `headers` are distinct, `titles` as written; `about_rows` is no promise.

    `said` tells a person what was taken for granted: encoding, delimiter, sheet, where the header is.
    """

    path: Path
    kind: Literal["csv", "xlsx"]
    encoding: str
    delimiter: str
    sheet: str
    sheets: tuple[str, ...]
    header_row: int
    headers: tuple[str, ...]
    titles: tuple[str, ...]
    about_rows: int | None
    said: tuple[str, ...]

    def rows(self) -> Iterator[Row]:
        """The rows below the header that are not empty. Raises `SheetWrong`, also half way through the file."""
        for number, cells in islice(enumerate(self._all_rows(), 1), self.header_row, None):
            if number > MOST_ROWS:
                raise SheetWrong(f"超过 {MOST_ROWS} 行:请分成几个文件。")
            if cells and (cells[0] > "!" or "".join(cells).strip()):  # the first is quick, and nearly always true
                yield number, cells

    def sample(self, rows: int = LOOKED_AT) -> list[list[str]]:
        """The cells of the first rows."""
        return [cells for _, cells in islice(self.rows(), rows)]

    def _all_rows(self) -> Iterator[list[str]]:
        if self.kind == "xlsx":
            return sheet_rows(self.path, self.sheet, len(self.headers))
        return _csv_rows(self.path, self.encoding, self.delimiter)


def open_sheet(
    path: Path,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
    header_row: int | None = None,
) -> SheetFile:
    """Look at a CSV or XLSX file; whatever is not said is found out and told in `said`.

    Raises `EncodingUnclear` when a person has to say the encoding, and `SheetWrong` for what cannot be used.
    """
    with path.open("rb") as file:
        head = file.read(2048)
    if not head:
        raise SheetWrong("文件是空的。")
    if path.stat().st_size > MOST_BYTES:
        raise SheetWrong(f"文件超过 {MOST_BYTES // 1024**2} MB:请分成几个文件。")
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise SheetWrong("这是旧版 Excel(.xls)或加了密码的文件:请另存为不加密的 .xlsx 或 CSV。")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise SheetWrong("这是网页(HTML)或 XML,不是表格,有些后台的「.xls」就是这样:请用表格软件打开,另存为 .xlsx。")
    if head.startswith(b"PK"):
        return _open_book(path, sheet, header_row)
    return _open_text(path, encoding, delimiter, header_row)


def _open_book(path: Path, sheet: str | None, header_row: int | None) -> SheetFile:
    names = sheet_names(path)
    if sheet is not None and sheet not in names:
        raise SheetWrong(f"没有工作表「{sheet}」:有 {'、'.join(names)}。")
    chosen = sheet or names[0]
    header = find_header(list(islice(sheet_rows(path, chosen, MOST_COLUMNS), LOOKED_AT)), header_row)
    said = (f"工作表:{chosen}(共 {len(names)} 张)", _where(header))
    return SheetFile(path, "xlsx", "", "", chosen, tuple(names), header.row, header.names, header.titles, None, said)


def _open_text(path: Path, encoding: str | None, delimiter: str | None, header_row: int | None) -> SheetFile:
    text = text_of(path, encoding)
    if delimiter is not None and delimiter not in DELIMITERS:
        raise SheetWrong("分隔符只能是逗号、分号或制表符。")
    told = delimiter or _told_delimiter(path, text.encoding)
    header, chosen = max(
        (_tried(path, text.encoding, one, header_row) for one in ([told] if told else DELIMITERS)),
        key=lambda found: (found[0].known, len(found[0].titles)) if found[0] else (-1, 0),
    )
    if header is None:
        find_header(_beginning(path, text.encoding, chosen), header_row)  # says why
        raise SheetWrong("没有找到表头。")
    if len(header.titles) < 2:
        raise SheetWrong("整行只有一列:分隔符应是逗号、分号或制表符,请检查文件或指定分隔符。")
    how = "按你的选择" if encoding else "整个文件都符合"
    said = (f"编码:{ENCODINGS[text.encoding]}({how})", f"分隔符:{DELIMITERS[chosen]}", _where(header))
    about = max(0, text.lines - header.row)
    return SheetFile(path, "csv", text.encoding, chosen, "", (), header.row, header.names, header.titles, about, said)


def _where(header: Header) -> str:
    return f"表头在第 {header.row} 行,共 {len(header.titles)} 列"


def _told_delimiter(path: Path, encoding: str) -> str | None:
    """Excel writes `sep=;` in the first line when the delimiter is not the usual one."""
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline(64).strip().strip('"').lower()
    return first[4:] if first.startswith("sep=") and first[4:] in DELIMITERS else None


def _tried(path: Path, encoding: str, delimiter: str, header_row: int | None) -> tuple[Header | None, str]:
    """The header as it is with this delimiter, None when there is none."""
    try:
        header = find_header(_beginning(path, encoding, delimiter), header_row)
    except SheetWrong:
        return None, delimiter
    if len(header.titles) > MOST_COLUMNS:
        raise SheetWrong(f"超过 {MOST_COLUMNS} 列:请删去不用的列。")
    return header, delimiter


def _beginning(path: Path, encoding: str, delimiter: str) -> list[list[str]]:
    """The first rows, up to one that cannot be read: whoever reads them all will be told which."""
    rows: list[list[str]] = []
    with suppress(SheetWrong):
        rows.extend(islice(_csv_rows(path, encoding, delimiter), LOOKED_AT))
    return rows


def _csv_rows(path: Path, encoding: str, delimiter: str) -> Iterator[list[str]]:
    with path.open(encoding=encoding, newline="") as file:
        # strict: else a quote that is not closed swallows the rows after it in silence
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        done = 0
        try:
            for cells in reader:
                yield cells
                done += 1
        except csv.Error as error:
            most = csv.field_size_limit()
            raise SheetWrong(
                f"第 {done + 1} 行读不懂:引号没有成对,或一格超过 {most} 个字:请检查这一行的引号。"
            ) from error
        except UnicodeError as error:
            raise SheetWrong("文件在读取时被改动了:请重新上传。") from error
