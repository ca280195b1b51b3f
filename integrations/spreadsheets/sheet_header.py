"""Where the header of a sheet is: below titles, in one row or in two with merged cells above."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.column_names import folded, is_known

#: How far down the header may be: people put a title and a date above it.
HEADER_WITHIN = 10
LONGEST_TITLE = 80
_INVISIBLE = "\ufeff\u200b\u00a0 \t\r\n\u3000"
_VALUE = re.compile(r"[\s¥\-+(]*\d[\d\s.,:/\-+E]*[%)元]?|\d{4}年.*", re.IGNORECASE)


@dataclass(frozen=True)
class Header:
    """The header's last row (the file's first is 1), the titles as written, and names that differ from each other."""

    row: int
    titles: tuple[str, ...]
    names: tuple[str, ...]
    known: int


def find_header(raw: Sequence[Sequence[str]], at: int | None = None) -> Header:
    """The header among the first rows of a file; `at` is the row that a person says it is. Raises `SheetWrong`."""
    rows = [[cell.strip(_INVISIBLE) for cell in row] for row in raw]
    if at is not None:
        if not 1 <= at <= len(rows) or not any(rows[at - 1]):
            raise SheetWrong(f"第 {at} 行没有内容,不能当表头。")
        return _header(rows, at - 1)
    top = rows[:HEADER_WITHIN]
    known = [_known(row) for row in top]
    if not any(any(row) for row in top):
        raise SheetWrong("文件里没有内容。" if not any(any(row) for row in rows) else "前十行都是空的:请删去空行。")
    best = max(range(len(top)), key=lambda number: (known[number], -number))
    if known[best] < 2:
        likely = [number for number, row in enumerate(top) if _all_names(row)]
        if not likely:
            raise SheetWrong("没有找到表头:请在数据上面加一行列名,例如 订单号、商品编码、数量、收件人、电话、地址。")
        best = likely[0]
    return _header(rows, best)


def _header(rows: Sequence[list[str]], at: int) -> Header:
    titles, last = list(rows[at]), at
    if at + 1 < len(rows) and _is_second_row(rows[at], rows[at + 1]):
        titles, last = _merged(rows[at], rows[at + 1]), at + 1
    elif at > 0 and _is_first_row(rows[at - 1], rows[at]):
        titles = _merged(rows[at - 1], rows[at])
    while titles and not titles[-1]:
        titles.pop()
    if any(len(title) > LONGEST_TITLE * 10 or "\0" in title for title in titles):
        raise SheetWrong(f"第 {last + 1} 行的列名过长或含有空字符(NUL):请检查文件,或指定表头在哪一行。")
    titles = [title[:LONGEST_TITLE] for title in titles]
    return Header(last + 1, tuple(titles), tuple(_distinct(titles)), _known(titles))


def _known(row: Sequence[str]) -> int:
    return len({folded(cell) for cell in row if cell and is_known(cell)})


def _all_names(row: Sequence[str]) -> bool:
    cells = [cell for cell in row if cell]
    return len(cells) >= 2 and len(set(cells)) == len(cells) and all(map(_is_name, cells))


def _is_name(cell: str) -> bool:
    return len(cell) <= LONGEST_TITLE and _VALUE.fullmatch(cell) is None


def _is_second_row(above: Sequence[str], below: Sequence[str]) -> bool:
    """Whether the row below the header names what stands under its merged cells: 姓名, 电话 under 收货信息."""
    under = [cell for number, cell in enumerate(below) if cell]
    blank_below = any(title and not cell for title, cell in zip(above, below, strict=False))
    blank_above = any(cell and not title for title, cell in zip(above, below, strict=False))
    return blank_above and blank_below and _known(below) >= 2 and all(map(_is_name, under))


def _is_first_row(above: Sequence[str], below: Sequence[str]) -> bool:
    """Whether the row above holds what the header lacks: names merged downwards, or groups of equal names."""
    named, titles = [cell for cell in above if cell], [cell for cell in below if cell]
    if len(named) < 2 or not all(map(_is_name, named)):
        return False
    fills = [cell for cell, title in zip(above, below, strict=False) if cell and not title]
    return _known(fills) >= 1 or (len(set(titles)) < len(titles) and len(named) < len(titles))


def _merged(above: Sequence[str], below: Sequence[str]) -> list[str]:
    """One title per column; where several below are the same, with the group's name before: 收货人姓名."""
    width = max(len(above), len(below))
    above, below = [*above, *[""] * (width - len(above))], [*below, *[""] * (width - len(below))]
    times, group, titles = Counter(filter(None, below)), "", []
    for upper, lower in zip(above, below, strict=True):
        group = upper or group
        titles.append(f"{group}{lower}" if lower and times[lower] > 1 else lower or upper)
    return titles


def _distinct(titles: Sequence[str]) -> list[str]:
    """Names that differ: an empty title is called by its column, the second 备注 is 备注#2."""
    seen: Counter[str] = Counter()
    names = []
    for number, title in enumerate(titles):
        name = " ".join(title.split()) or f"(第 {_letter(number)} 列)"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


def _letter(number: int) -> str:
    """0 → A, 26 → AA, as spreadsheet programs call columns."""
    letters = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return letters
