"""What a cell of a decision table may say, and what it reads.

Cells are written by business people and evaluated in the process that carries orders, so they may use no more of the
engine's language than a rule needs: values, comparisons, intervals, and functions that give the same answer for the
same facts, at once. What the engine could be kept busy with for hours (lists made of intervals, loops in loops), what
depends on chance or on the clock, and nesting that overruns a stack are refused when the cell is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

LONGEST = 2_000
DEEPEST = 30

#: Functions that look at each item of a list, which `#` stands for.
EACH = frozenset(("all", "count", "filter", "map", "none", "one", "some"))
FUNCTIONS = EACH | {
    *("abs", "avg", "ceil", "contains", "endsWith", "floor", "len", "lower", "max", "min", "number", "round"),
    *("startsWith", "string", "sum", "trim", "upper"),
}
_VALUES = frozenset(("true", "false", "null"))
_WORDS = _VALUES | {"and", "or", "not", "in"}
_COMPARING = frozenset(("==", "!=", "<", ">", "<=", ">=", "..", "(", ")", "[", "]", ",", "-"))

_TOKEN = re.compile(
    r"""\s+
    | (?P<text>"[^"]*"|'[^']*')
    | (?P<number>\d+(?:\.(?!\.)\d*)?(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|\$(?!\w))
    | (?P<sign>==|!=|<=|>=|\?\?|\.\.|[()\[\]<>+\-*/%^?:,\#])
    """,
    re.VERBOSE | re.ASCII,
)
_WIDE = str.maketrans("＞＜＝！“”‘’，（）［］＋－：？", "><=!\"\"'',()[]+-:?")
_OPENED = {")": "([", "]": "(["}  # an interval may open with one kind and close with the other


#: A part of a cell: its kind and how it is written.
Token = tuple[str, str]


class CellRefused(Exception):
    """This may not stand in a cell; the sentence says why."""


@dataclass(frozen=True)
class Said:
    """What a cell says.

    `reads`: the facts that it names, dotted where nested. `own`: whether it names the value of its column (`$`).
    `numbers` and `texts` are the values in it, `calls` its functions. `plain`: it compares with values, and computes
    nothing.
    """

    reads: frozenset[str]
    own: bool
    numbers: tuple[float, ...]
    texts: tuple[str, ...]
    calls: frozenset[str]
    plain: bool


def read_cell(said: str) -> Said:
    """What this cell says. Raises `CellRefused`.

    Whether the engine can read it is not known yet: this only tells its parts apart.
    """
    if len(said) > LONGEST:
        raise CellRefused(f"有 {len(said)} 个字,最多 {LONGEST} 个")
    tokens = list(_tokens(said))
    _shallow(tokens)
    names = [token for kind, token in tokens if kind == "name"]
    calls = frozenset(token for kind, token in tokens if kind == "call")
    if strange := sorted(calls - FUNCTIONS):
        raise CellRefused(f"不能用函数 {'、'.join(strange)},能用的有 {'、'.join(sorted(FUNCTIONS))}")
    return Said(
        reads=frozenset(name for name in names if name not in _WORDS and name != "$"),
        own="$" in names,
        numbers=tuple(_numbers(tokens)),
        texts=tuple(token[1:-1] for kind, token in tokens if kind == "text"),
        calls=calls,
        plain=not any(_computes(before, token) for before, token in _pairs(tokens)),
    )


def _tokens(said: str) -> Iterator[Token]:
    """(kind, token) in their order. A template's text is left out, what it puts in is read like the rest."""
    at, inside = 0, 0  # `inside`: 0 outside a template, else the position after its opening ${
    while at < len(said):
        if said[at] == "`" and not inside:
            yield "template", ""
            at, inside = _template(said, at + 1)
        elif said[at] == "}" and inside:
            at, inside = _template(said, at + 1)
        elif (token := _TOKEN.match(said, at)) is not None:
            at = token.end()
            if token.lastgroup == "name":
                yield _named(token.group(), said[at:].lstrip().startswith("(")), token.group()
            elif token.lastgroup is not None:
                yield token.lastgroup, token.group()
        else:
            raise CellRefused(_unknown(said[at]))
    if inside:
        raise CellRefused("`…${…}…` 没有写完")


def _template(said: str, at: int) -> tuple[int, int]:
    """Where reading goes on after a stretch of a template's text: (position, the same if that is inside ${…})."""
    end, opening = said.find("`", at), said.find("${", at)
    if opening >= 0 and (end < 0 or opening < end):
        return opening + 2, opening + 2
    if end < 0:
        raise CellRefused("` 没有成对")
    return end + 1, 0


def _named(name: str, called: bool) -> str:
    if name == "as":
        raise CellRefused("不能用 as:用 # 表示列表里的每一项")
    if name in _WORDS or not called:
        return "name"
    return "call"


def _unknown(letter: str) -> str:
    usual = letter.translate(_WIDE)
    if usual != letter:
        return f"请把「{letter}」改成半角的「{usual}」"
    if letter in "\"'":
        return "引号没有成对"
    if letter == "=":
        return "相等要写 ==,或者只写那个值"
    if ord(letter) > 127:
        return f"「{letter}」等文字要放在半角引号里"
    return f"不能用「{letter}」"


def _shallow(tokens: list[Token]) -> None:
    """Raises `CellRefused` for brackets that do not match or go too deep, and for loops that could take forever."""
    brackets: list[tuple[str, bool]] = []  # the bracket, and whether it is that of a function over each item
    each = signs = 0
    before = ("", "")
    for kind, token in tokens:
        signs = signs + 1 if token in ("-", "+", "not") else 0
        if token in ("(", "[") and kind == "sign":
            loops = token == "(" and before[0] == "call" and before[1] in EACH
            each += loops
            brackets.append((token, loops))
        elif token in _OPENED and kind == "sign":
            if not brackets:
                raise CellRefused("括号没有成对")
            each -= brackets.pop()[1]
        if len(brackets) > DEEPEST or signs > DEEPEST:
            raise CellRefused(f"嵌套太深,最多 {DEEPEST} 层")
        if each > 1:
            raise CellRefused("逐项看列表的函数(some、all 等)不能嵌套")
        if each and (kind, token) == ("sign", ".."):
            raise CellRefused("逐项看列表的函数(some、all 等)里不能写区间")
        before = (kind, token)
    if brackets:
        raise CellRefused("括号没有成对")


def _pairs(tokens: list[Token]) -> Iterator[tuple[Token, Token]]:
    """Each token with the one before it."""
    return zip([("", ""), *tokens], tokens, strict=False)


def _ends_a_value(token: Token) -> bool:
    kind, said = token
    return kind in ("number", "text") or (kind == "name" and said not in _WORDS - _VALUES) or said in _OPENED


def _computes(before: Token, token: Token) -> bool:
    kind, said = token
    if kind == "sign":
        return said not in _COMPARING or (said in ("-", "[") and _ends_a_value(before))
    return kind in ("call", "template")


def _numbers(tokens: list[Token]) -> Iterator[float]:
    minus = False
    for before, (kind, said) in _pairs(tokens):
        if kind == "number" and isfinite(float(said)):
            yield -float(said) if minus else float(said)
        minus = (kind, said) == ("sign", "-") and not _ends_a_value(before)
