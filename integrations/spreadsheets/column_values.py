"""Looking at a column's values: do they look like what the header says, and what are they if it says nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from integrations.spreadsheets.sheet_places import PROVINCES, split_address
from integrations.spreadsheets.sheet_statuses import status_of
from integrations.spreadsheets.sheet_times import moment
from integrations.spreadsheets.sheet_values import BLANKS, CellWrong, fen, quantity

#: Enough of the values to speak of the column.
MOST = 0.8
_PHONE = re.compile(r"'?(?:\+?86[- ]?)?1[3-9*][\d*]{9}(?:\.0)?(?:[-转]\d+)?|'?0\d{2,3}-?\d{7,8}|1(?:\.\d+)?E\+10", re.I)
_PERSONAL = re.compile(r"[^@\s]+@[^@\s]+\.\w+|\d{17}[\dXx]")
_MONEY_MARK = re.compile(r"[¥¥元]|\d\.\d{1,2}$")


def _reads(read: Callable[[str], object]) -> Callable[[str], bool]:
    def fits(cell: str) -> bool:
        try:
            read(cell)
        except CellWrong:
            return False
        return True

    return fits


_TESTS: dict[str, Callable[[str], bool]] = {
    "order_id": lambda cell: (cell.isascii() or any(map(str.isdigit, cell))) and " " not in cell,
    "status": _reads(lambda cell: status_of(cell, {})),
    "quantity": _reads(quantity),
    "phone": lambda cell: _PHONE.fullmatch(cell) is not None,
    "province": lambda cell: cell in PROVINCES,
    "address": _reads(split_address),
    "name": lambda cell: len(cell) <= 30 and not any(map(str.isdigit, cell)) and not cell.startswith("#"),
    "sku": lambda cell: len(cell) <= 64,
}
_TIME = _reads(lambda cell: moment(cell, day_first=True))
_MONEY = _reads(fen)


def share_that_fits(target: str, cells: Sequence[str]) -> float | None:
    """The share of the values that can be read as this field; None when there are no values or any will do."""
    said = [cell.strip() for cell in cells if cell.strip() not in BLANKS]
    if target.endswith("_at"):
        test: Callable[[str], bool] | None = _TIME
    elif target in ("order_total", "freight", "discount", "unit_price", "line_paid", "line_discount"):
        test = _MONEY
    else:
        test = _TESTS.get(target)
    if test is None or not said:
        return None
    return sum(map(test, said)) / len(said)


def looks_like(cells: Sequence[str]) -> tuple[str, str] | None:
    """The field that the values alone suggest, and how to say so; None when they say nothing."""
    said = [cell.strip() for cell in cells if cell.strip() not in BLANKS]
    if len(said) < 2:
        return None
    tests: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
        ("phone", "手机号", _TESTS["phone"]),
        ("status", "订单状态", lambda cell: not cell.isascii() and _TESTS["status"](cell)),
        ("province", "省份", _TESTS["province"]),
        ("address", "带省市的地址", lambda cell: len(cell) > 8 and _TESTS["address"](cell)),
        ("placed_at", "日期时间", lambda cell: not cell.isdigit() and _TIME(cell)),
        ("order_total", "金额", lambda cell: _MONEY_MARK.search(cell) is not None and _MONEY(cell)),
    )
    for target, words, test in tests:
        if sum(map(test, said)) >= MOST * len(said):
            return target, words
    return None


def is_personal(cells: Sequence[str]) -> bool:
    """Whether the values are phone numbers, mail addresses or identity numbers, which attributes must not keep."""
    said = [cell.strip() for cell in cells if cell.strip()]
    if not said:
        return False
    personal = sum(1 for cell in said if _PERSONAL.fullmatch(cell) or _PHONE.fullmatch(cell))
    return personal * 2 >= len(said)
