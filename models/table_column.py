"""The columns that a decision table may have, and the values that tell its cells apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Any

from models.table_cell import EACH, Said

#: A text that no cell names.
ANOTHER = "其他"
#: Lengths that a cell asks for (`len($) > 5`) are tried up to this one.
LONGEST_TRIED = 60


class Kind(StrEnum):
    """What a value is."""

    NUMBER = "number"
    TEXT = "text"
    YES_NO = "yes_no"
    LIST = "list"  # of texts


KIND_WORDS = {Kind.NUMBER: "数字", Kind.TEXT: "文字", Kind.YES_NO: "是或否", Kind.LIST: "列表"}

_EXAMPLES = {Kind.NUMBER: "> 500", Kind.TEXT: '"…"', Kind.YES_NO: "true"}


@dataclass(frozen=True)
class TableColumn:
    """A fact that a table may ask for, or something that it puts out.

    `choices`: code → how people call it; nothing else occurs if `closed`. `optional`: a fact that may not be answered,
    or an output that a row may leave out. Numbers go from `least` to `most`, by `step`, where these are known.
    """

    name: str
    kind: Kind
    choices: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False
    optional: bool = False
    least: float | None = None
    most: float | None = None
    step: float | None = None

    def in_words(self, value: Any) -> str:
        """A value as people say it."""
        if value is None:
            return "未填写"
        if isinstance(value, bool):
            return "是" if value else "否"
        if isinstance(value, list):
            return "、".join(self.in_words(item) for item in value) or "无"
        return self.choices.get(value, value or "空") if isinstance(value, str) else f"{value:g}"

    def why_not_asked(self, said: Said) -> str:
        """Why a cell compares this fact with what it never is; "" where it does not, or computes."""
        if said.reads:
            return ""
        values = (*said.texts, *said.numbers)
        if said.plain and values:
            if self.kind is Kind.LIST:
                return f'不能和列表比较:要写 contains($, "{said.texts[0] if said.texts else "…"}")'
            right = {Kind.NUMBER: said.numbers, Kind.TEXT: said.texts, Kind.YES_NO: ()}[self.kind]
            if len(right) < len(values):
                return f"和这一列的类型不合:「{self.name}」是{KIND_WORDS[self.kind]},例如 {_EXAMPLES[self.kind]}"
        strange = [text for text in said.texts if text not in self.choices]
        if self.closed and strange and (said.plain or said.calls <= EACH | {"contains", "len"}):
            return f"里的「{strange[0]}」不是「{self.name}」会有的值:{self._listed()}"
        return ""

    def why_not_put_out(self, value: Any, *, constant: bool) -> str:
        """Why this is no value of this output; "" if it is. What is read of facts (no `constant`) may be empty."""
        if self.closed and (not isinstance(value, str) or value not in self.choices):
            return f"得出「{shown(value)}」{self.what_to_write()}"
        if self.kind is Kind.NUMBER:
            return self._why_no_number(value)
        if not isinstance(value, str):
            return f"得出的不是文字,是「{shown(value)}」"
        return "是空的" if constant and not self.closed and not value.strip() else ""

    def _why_no_number(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"得出的不是数字,是「{shown(value)}」"
        if self.step == 1 and value != int(value):
            return f"得出 {value:g},要是整数"
        if self.least is not None and value < self.least:
            return f"得出 {value:g},最小是 {self.least:g}"
        if self.most is not None and value > self.most:
            return f"得出 {value:g},最大是 {self.most:g}"
        return ""

    def what_to_write(self) -> str:
        """What an output may be, to be said after what is wrong; "" where it may be anything."""
        return f":可以写 {self._listed()}" if self.closed else ""

    def _listed(self) -> str:
        first: dict[str, str] = {}  # of several codes for the same, one is enough
        for code, word in self.choices.items():
            first.setdefault(word, code)
        return "、".join(f'"{code}"({word})' if code != word else f'"{code}"' for word, code in first.items())

    def samples(self, cells: Iterable[Said]) -> list[Any]:
        """Values of this column by which these cells can be told apart, without repetition; null if it may be."""
        said = list(cells)
        numbers = sorted({number for cell in said for number in cell.numbers})
        texts = list(dict.fromkeys(text for cell in said for text in cell.texts))
        if self.kind is Kind.NUMBER:
            values: list[Any] = list(self._numbers(numbers))
        elif self.kind is Kind.YES_NO:
            values = [True, False]
        else:
            known = list(self.choices) if self.closed else [*texts, ANOTHER]
            computed = any(cell.calls for cell in said)
            lengths = _lengths(numbers) if computed else []
            values = _lists(known, lengths) if self.kind is Kind.LIST else self._texts(known, texts, lengths, computed)
        return [*values, None] if self.optional else values

    def _numbers(self, said: Sequence[float]) -> Iterator[float]:
        """The numbers themselves, and one on either side of each, within the limits."""
        ends = [Decimal(str(end)) for end in (self.least, self.most) if end is not None]
        points = sorted({Decimal(str(number)) for number in said})
        if self.step is not None:
            step = Decimal(str(self.step))
            below = [(point / step).to_integral_value(ROUND_FLOOR) * step for point in points]
            tried = [*below, *(at + step for at in below), *(at - step for at in below[:1])]
        else:
            between = [(low + high) / 2 for low, high in pairwise(points)]
            tried = [*points, *between, *([points[0] - 1, points[-1] + 1] if points else [])]
        for number in sorted({*tried, *ends} or {Decimal(0), Decimal(1)}):
            if (self.least is None or number >= ends[0]) and (self.most is None or number <= ends[-1]):
                yield int(number) if number == number.to_integral_value() else float(number)

    def _texts(self, known: Sequence[str], said: Sequence[str], lengths: Sequence[int], computed: bool) -> list[Any]:
        if self.closed:
            return list(known)
        within = [";".join(said), *(text + ANOTHER for text in said)] if computed else []
        return list(dict.fromkeys([*known, "", *within, *("字" * length for length in lengths)]))


@dataclass(frozen=True)
class TableColumns:
    """What the tables of one purpose may ask for, and what they may put out; both by field."""

    facts: Mapping[str, TableColumn]
    outputs: Mapping[str, TableColumn]


def shown(value: Any) -> str:
    """A value as it can stand in a sentence."""
    said = str(value)
    return said if len(said) <= 60 else said[:59] + "…"


def _lengths(numbers: Sequence[float]) -> list[int]:
    around = {int(number) + by for number in numbers if 0 <= number <= LONGEST_TRIED for by in (-1, 0, 1)}
    return sorted(length for length in around if length > 0)


def _lists(known: Sequence[str], lengths: Sequence[int]) -> list[Any]:
    lists = [[], *([text] for text in known), list(known), *([f"{ANOTHER}{n}" for n in range(end)] for end in lengths)]
    return [values for at, values in enumerate(lists) if values not in lists[:at]]
