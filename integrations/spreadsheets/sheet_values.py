"""The text of a cell as a value: money, quantity, phone, id. What cannot be read for certain is refused.

Nothing is judged here: a negative quantity is a number. `CellWrong` says why a cell cannot be read and what to do.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from integrations.spreadsheets.safe_csv import DANGEROUS

#: How exports write that a number or time is not there.
BLANKS = frozenset(("", "-", "--", "—", "——", "/", "\\", "null", "NULL", "None", "none", "nan", "NaN", "N/A", "n/a"))

_ERRORS = frozenset(("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"))
_PLAIN_MONEY = re.compile(r"-?[0-9]{1,13}(\.[0-9]{1,2})?")
_POINT = re.compile(r"([0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.([0-9]+))?")
_COMMA = re.compile(r"([0-9]{1,15}|[0-9]{1,3}(?:\.[0-9]{3})+)(?:,([0-9]+))?")
_CURRENCY = re.compile(r"cn¥|¥|cny|rmb|人民币|圆|元", re.IGNORECASE)
_OTHER_CURRENCY = re.compile(r"[$€£₩₽]|usd|hkd|eur|jpy|美元|港币|港元|日元", re.IGNORECASE)
_QUANTITY = re.compile(
    r"[x×*]?\s*(-?[0-9]{1,9})(?:\.0+)?\s*(?:件|个|份|套|包|袋|盒|罐|瓶|支|条|只|pcs|pc)?", re.IGNORECASE
)
_SCIENTIFIC = re.compile(r"[0-9](?:\.([0-9]+))?E\+?([0-9]{1,2})", re.IGNORECASE)
_FORMULA_TEXT = re.compile(r'="?([^"=]*)"?')
_INVISIBLE = "\ufeff\u200b\u200e\u200f\u00a0 \t\r\n\u3000"
_MARKS = ("'", "#")
#: What a database column of fen can hold with room to spare (as for the other channels).
_LARGEST = 10**15
_HALF_FEN_NOISE = Decimal("0.0001")
_LONG_ID = 16


class CellWrong(ValueError):
    """A cell that cannot be read; the words say why and what to do."""


def text(cell: str) -> str:
    """The cell without blanks around it and without the mark that our own reports put before dangerous text."""
    found = cell.strip(_INVISIBLE)
    if found[:1] not in _MARKS:
        return found
    if found.startswith("'") and (found[1:].lstrip(" ").startswith(DANGEROUS) or found[1:].isdigit()):
        found = found[1:]
    if found.startswith("#") and (found in _ERRORS or (len(found) > 2 and not found.strip("#"))):
        raise CellWrong("表格软件没有算出或没有显示这一格的内容:请改成实际的值")
    return found


def fen(cell: str, decimal_comma: bool = False) -> int:
    """Fen of an amount in yuan; `decimal_comma` when the column writes 1.234,50. Raises `CellWrong`."""
    if not decimal_comma and _PLAIN_MONEY.fullmatch(cell):
        whole, _, cents = cell.partition(".")
        amount = int(whole.lstrip("-")) * 100 + int(cents.ljust(2, "0"))
        return -amount if cell.startswith("-") else amount
    said = unicodedata.normalize("NFKC", cell).strip().replace("\u2212", "-")
    if _OTHER_CURRENCY.search(said):
        raise CellWrong("不是人民币金额:请换算成元")
    said = _CURRENCY.sub("", said).replace(" ", "")
    negative = said.startswith("-") or (said.startswith("(") and said.endswith(")"))
    said = said.removeprefix("-").removeprefix("+").removeprefix("(").removesuffix(")")
    found = (_COMMA if decimal_comma else _POINT).fullmatch(said)
    if found is None:
        raise CellWrong(_why_no_money(said, decimal_comma))
    whole, cents = re.sub("[.,]", "", found[1]), found[2] or ""
    if len(cents) == 3 and len(whole) <= 3:
        raise CellWrong("三位小数分不清是千分位还是小数:请写成两位小数的元")
    exact = Decimal(f"{whole}.{cents or 0}") * 100
    amount = int(exact.to_integral_value())
    if abs(exact - amount) > _HALF_FEN_NOISE or amount >= _LARGEST:
        raise CellWrong("金额有不到一分的零头或大得不合理:请写成两位小数的元")
    return -amount if negative else amount


def _why_no_money(said: str, decimal_comma: bool) -> str:
    other = (_POINT if decimal_comma else _COMMA).fullmatch(said)
    if other is not None and ("," in said or "." in said):
        return "小数点和千分位的写法和这一列其它值不一致:请统一写成 1234.50"
    return "不是金额:请写成像 1234.50 这样的数字"


def quantity(cell: str) -> int:
    """A whole number of pieces: 2, 2.0, 2件. Raises `CellWrong`."""
    if cell.isascii() and cell.isdigit() and len(cell) < 10:
        return int(cell)
    found = _QUANTITY.fullmatch(unicodedata.normalize("NFKC", cell).replace(",", "").strip())
    if found is None:
        raise CellWrong("数量应是整数,例如 2")
    return int(found[1])


def phone(cell: str) -> str:
    """A phone number; what a spreadsheet program made a number of is repaired where nothing is lost."""
    said = text(cell)
    if len(said) == 11 and said.isascii() and said.isdigit():
        return said
    said = _unwrapped(unicodedata.normalize("NFKC", said))
    if damaged := _SCIENTIFIC.fullmatch(said):
        said = _whole_number(said, damaged, "电话")
    said = re.sub(r"\.0+$", "", said)
    digits = re.sub(r"[\s-]", "", said)
    mobile = re.fullmatch(r"(?:\+86|0086|86)?(1[0-9]{10})", digits)
    return mobile[1] if mobile else said


def identity(cell: str, ids_checked: bool = True) -> str:
    """An id as text. Raises `CellWrong` when a spreadsheet program has rounded it.

    Excel keeps 15 digits, browsers 16 or 17: with `ids_checked` False an id of 16 or more digits ending in 000
    is taken for rounded.
    """
    said = text(cell)
    if said.isalnum() and said.isascii() and not (len(said) >= _LONG_ID and said.endswith("000")):
        return said
    said = _unwrapped(said)
    if damaged := _SCIENTIFIC.fullmatch(said):
        return _whole_number(said, damaged, "编号")
    if re.fullmatch(r"[0-9]+\.0+", said):
        said = said.partition(".")[0]
        if len(said) >= _LONG_ID:
            raise CellWrong("编号被表格软件当作数字,后几位已丢失:请重新导出,并把这一列设为文本格式")
    if not ids_checked and len(said) >= _LONG_ID and said.isdigit() and said.endswith("000"):
        raise CellWrong(
            "编号末尾是 000,像是被表格软件四舍五入过:请重新导出并把这一列设为文本格式;确认无误可勾选「订单号已核对」"
        )
    return said


def _unwrapped(said: str) -> str:
    """`="123"` and `'123`, with which exports keep spreadsheet programs from rounding, without the wrapping."""
    found = _FORMULA_TEXT.fullmatch(said)
    return found[1].strip() if found else said.removeprefix("'")


def _whole_number(said: str, found: re.Match[str], what: str) -> str:
    """1.3800138001E+10 says every digit; 1.38E+10 does not."""
    kept, exponent = len(found[1] or ""), int(found[2])
    if kept < exponent:
        raise CellWrong(f"{what}被表格软件变成了科学计数,后几位已丢失:请重新导出,并把这一列设为文本格式")
    return str(int(Decimal(said)))
