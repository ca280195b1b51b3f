"""A sheet of counted goods: which SKU, and how many were really there. Bad rows are set aside, each with its reason."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.cells import Row, sheets_of
from models.quality import plain
from models.stock_count import BadRow, CountedRow

#: Header names, the more telling first: beside 实盘数量, a column 数量 is what the book says.
SKU_NAMES = ("sku", "sku编码", "商品编码", "货号", "商品货号", "编码", "itemcode", "productcode")
COUNTED_NAMES = (
    "实盘数量", "实盘数", "实盘", "盘点数量", "盘点数", "实际数量", "counted", "countedquantity", "actual",
    "actualquantity", "数量", "quantity", "qty",
)  # fmt: skip
#: How far down the header may be: people put a title and a date above it.
HEADER_WITHIN = 10
LONGEST_SKU = 64
LONGEST_NUMBER = 20
_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(?:\.0+)?")


@dataclass(frozen=True)
class CountSheet:
    """What a sheet says. `sha256` is of the file's bytes."""

    rows: list[CountedRow]
    bad: list[BadRow]
    sha256: str


def read_count_sheet(data: bytes) -> CountSheet:
    """The counted rows of a CSV (UTF-8, GB18030; comma, semicolon, tab) or XLSX file. Raises `SheetWrong`.

    A SKU on several rows is none of them: which one counts is the person's decision.
    """
    found = [(sheet, header) for sheet in sheets_of(data) if (header := _header(sheet)) is not None]
    if not found:
        raise SheetWrong("没有找到表头:要有一列「SKU」(或商品编码、货号)和一列「实盘数量」(或数量、counted)。")
    if len(found) > 1:
        raise SheetWrong("有几张表都像盘点表:请只留一张,其余删除或隐藏。")
    ((sheet, (start, sku_at, counted_at)),) = found
    rows, bad = [], []
    for number, cells in sheet[start + 1 :]:
        sku, counted = _cell(cells, sku_at), _cell(cells, counted_at)
        if not sku and not counted:
            continue
        why = _wrong_sku(sku) or _wrong_number(counted)
        if why:
            bad.append(BadRow(number, sku[:LONGEST_SKU] if plain(sku) else "", why))
        else:
            rows.append(CountedRow(number, sku, _whole(counted)))
    rows, repeated = _apart(rows)
    if not rows and not bad and not repeated:
        raise SheetWrong("表头下面没有内容。")
    return CountSheet(rows, sorted(bad + repeated, key=lambda one: one.row), hashlib.sha256(data).hexdigest())


def _header(sheet: list[Row]) -> tuple[int, int, int] | None:
    """Where the header is, and its two columns; None where there is none."""
    for at, (_, cells) in enumerate(sheet[:HEADER_WITHIN]):
        names = [_name(cell) for cell in cells]
        sku_at, counted_at = _column(names, SKU_NAMES), _column(names, COUNTED_NAMES)
        if sku_at is not None and counted_at is not None:
            return at, sku_at, counted_at
    return None


def _name(cell: str) -> str:
    """A header without case, blanks, marks and what stands in brackets: 「实盘数量(件)*」 is 实盘数量."""
    folded = re.sub(r"\(.*?\)|\[.*?\]", "", unicodedata.normalize("NFKC", cell[:100]).casefold())
    return re.sub(r"[\s_\-*::#.]+", "", folded)


def _column(names: list[str], known: tuple[str, ...]) -> int | None:
    for wanted in known:
        places = [at for at, name in enumerate(names) if name == wanted]
        if len(places) > 1:
            raise SheetWrong(f"有 {len(places)} 列都叫「{wanted}」:请只留一列。")
        if places:
            return places[0]
    return None


def _cell(cells: list[str], at: int) -> str:
    return cells[at] if at < len(cells) else ""


def _wrong_sku(sku: str) -> str:
    if not sku:
        return "没有填商品编码"
    if len(sku) > LONGEST_SKU or not plain(sku) or "\n" in sku:
        return f"商品编码过长(最多 {LONGEST_SKU} 个字)或含有控制字符"
    return ""


def _wrong_number(counted: str) -> str:
    if not counted:
        return "没有填数量,按没有盘点处理"
    if len(counted) > LONGEST_NUMBER or not _NUMBER.fullmatch(unicodedata.normalize("NFKC", counted)):
        return f"数量应为不小于 0 的整数,而不是 {counted[:LONGEST_NUMBER]!r}"
    return ""


def _whole(counted: str) -> int:
    return int(unicodedata.normalize("NFKC", counted).replace(",", "").partition(".")[0])


def _apart(rows: list[CountedRow]) -> tuple[list[CountedRow], list[BadRow]]:
    """Rows whose SKU is there once, and those whose SKU is there again."""
    by_sku: dict[str, list[CountedRow]] = defaultdict(list)
    for row in rows:
        by_sku[row.sku].append(row)
    once = [row for row in rows if len(by_sku[row.sku]) == 1]
    again = []
    for row in rows:
        if len(by_sku[row.sku]) > 1:
            places = "、".join(str(one.row) for one in by_sku[row.sku])
            again.append(BadRow(row.row, row.sku, f"SKU 重复(第 {places} 行):只留算数的那一行"))
    return once, again
