"""Cells of a decision table as business people write them (`> 500`, `是`, `含 鸡肉、牛肉`), to and from zen's.

What cannot be said so is written as zen reads it, with `=` before it. A cell is only ever shown in people's words when
those words, read again, make the very same cell: nothing changes by being looked at in a spreadsheet.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from models.rule_columns import Column
from models.table_column import Kind

RAW = "="
LONGEST = 2000
ANY, NONE = "有", "无"
_BETWEEN = "、"
_NUMBER = r"-?\d+(?:\.\d+)?"
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_COMPARED = re.compile(rf"(>=|<=|!=|>|<)\s*({_NUMBER})")
_RANGE = re.compile(rf"({_NUMBER})\s*(?:~|到|至)\s*({_NUMBER})")
_ZEN_RANGE = re.compile(rf"\[({_NUMBER})\.\.({_NUMBER})\]")
_LITERAL = re.compile(r'"([^"]*)"|\'([^\']*)\'')
_PLACE = re.compile(r"\{([^{}]*)\}")
_ZEN_PLACE = re.compile(r"\$\{(\w+)\}")
_YES = {"是": "true", "true": "true", "yes": "true", "否": "false", "false": "false", "no": "false"}


class CellWrong(Exception):
    """What stands in a cell cannot be read; the sentence says how it is to be written."""


def zen_of(column: Column, said: str) -> str:
    """The zen cell for what a person wrote in a column that asks for a fact; "" for any value. Raises `CellWrong`."""
    said = _plain(said)
    if said.startswith(RAW) or not said:
        return said.removeprefix(RAW).strip()
    match column.kind:
        case Kind.NUMBER:
            return _numbers(said)
        case Kind.YES_NO:
            return _yes_no(said)
        case Kind.TEXT:
            return _word(column, said)
        case Kind.LIST:
            return _words(column, said)


def said_of(column: Column, zen: str) -> str:
    """A zen cell in people's words, or as it is behind `=` when there are no words that mean exactly this."""
    zen = zen.strip()
    told = {Kind.NUMBER: _tell_numbers, Kind.YES_NO: _tell_yes_no}.get(column.kind)
    words = told(zen) if told else _tell_words(column, zen)
    return _if_the_same(words, zen, lambda said: zen_of(column, said))


def zen_output(column: Column, said: str, facts: Mapping[str, Column]) -> str:
    """The zen expression for what a row puts out: `营养师`, `22`, `金额 {金额(元)} 元`. Raises `CellWrong`.

    Text may name facts in braces, by Chinese name or field; one alone is the fact itself.
    """
    said = _plain(said)
    if said.startswith(RAW) or not said:
        return said.removeprefix(RAW).strip()
    if column.kind is Kind.NUMBER:
        number = _THOUSANDS.sub("", unicodedata.normalize("NFKC", said))
        if re.fullmatch(_NUMBER, number) is None:
            raise CellWrong(f"「{said}」应为一个数,如 22")
        return number
    if column.closed:
        code = column.code_of(said)
        if code not in column.names:
            raise CellWrong(f"没有「{said}」:可以写 {_known(column)}")
        return _literal(code)
    return _template(said, facts)


def said_output(column: Column, zen: str, facts: Mapping[str, Column]) -> str:
    """What a row puts out, in people's words, or as it is behind `=`."""
    zen = zen.strip()
    words: str | None = zen
    if column.kind is not Kind.NUMBER:
        literal = _LITERAL.fullmatch(zen)
        if literal:
            words = column.word_of(_inside(literal))
        elif zen in facts:
            words = "{" + facts[zen].name + "}"
        elif len(zen) > 1 and zen[0] == zen[-1] == "`":
            words = _ZEN_PLACE.sub(
                lambda found: "{" + (facts[found[1]].name if found[1] in facts else "") + "}", zen[1:-1]
            )
        else:
            words = None
    return _if_the_same(words, zen, lambda said: zen_output(column, said, facts))


def _plain(said: str) -> str:
    if len(said) > LONGEST:
        raise CellWrong(f"一格最多 {LONGEST} 个字")
    return said.strip()


def _if_the_same(words: str | None, zen: str, read: Callable[[str], str]) -> str:
    """The words, if they are read as this cell again."""
    if not zen:
        return ""
    try:
        if words is not None and not words.startswith(RAW) and read(words) == zen:
            return words
    except CellWrong:
        pass
    return RAW + zen


# numbers


def _numbers(said: str) -> str:
    folded = _THOUSANDS.sub("", unicodedata.normalize("NFKC", said).replace("≥", ">=").replace("≤", "<="))
    return ", ".join(_number(part.strip()) for part in re.split(r"或|、", folded))


def _number(said: str) -> str:
    conditions = [condition.strip() for condition in said.split("且")]
    if len(conditions) == 1:
        if re.fullmatch(_NUMBER, said):
            return said
        if between := _RANGE.fullmatch(said):
            if float(between[1]) > float(between[2]):
                raise CellWrong(f"「{said}」的起点大于终点")
            return f"[{between[1]}..{between[2]}]"
    found = [_COMPARED.fullmatch(condition) for condition in conditions]
    if not all(found):
        raise CellWrong(f"「{said}」读不懂:写一个数、> 500、<= 20、500 ~ 1000、> 500 且 <= 1000,几种情况用「或」隔开")
    return " and ".join(f"{one[1]} {one[2]}" for one in found if one)


def _tell_numbers(zen: str) -> str:
    return " 或 ".join(_tell_number(part) for part in zen.split(", "))


def _tell_number(zen: str) -> str:
    between = _ZEN_RANGE.fullmatch(zen)
    return f"{between[1]} ~ {between[2]}" if between else zen.replace(" and ", " 且 ")


# yes and no


def _yes_no(said: str) -> str:
    if said.lower() not in _YES:
        raise CellWrong(f"「{said}」读不懂:写 是 或 否,留空表示都算")
    return _YES[said.lower()]


def _tell_yes_no(zen: str) -> str:
    return {"true": "是", "false": "否"}.get(zen, zen)


# words

#: How people begin → the cell, of a fact that is one text. `{}` are the literals.
_ONE = {
    "不是": lambda literals: f"not in [{', '.join(literals)}]",
    "含": lambda literals: " or ".join(f"contains($, {literal})" for literal in literals),
}
#: The same of a fact that is a list of texts.
_MANY = {
    "不含": lambda literals: f"none($, # in [{', '.join(literals)}])",
    "都是": lambda literals: f"len($) > 0 and all($, # in [{', '.join(literals)}])",
    "含": lambda literals: f"some($, # in [{', '.join(literals)}])",
}
_BEGINNINGS = {*_ONE, *_MANY}
_EMPTY = {
    Kind.TEXT: {ANY: '$ != null and $ != ""', NONE: '$ == null or $ == ""'},
    Kind.LIST: {ANY: "len($) > 0", NONE: "len($) == 0"},
}


def _word(column: Column, said: str) -> str:
    if said in _EMPTY[Kind.TEXT]:
        return _EMPTY[Kind.TEXT][said]
    begin, rest = _begin(said, _ONE)
    literals = _literals(column, rest, contained=begin == "含")
    return _ONE[begin](literals) if begin else ", ".join(literals)


def _words(column: Column, said: str) -> str:
    if said in _EMPTY[Kind.LIST]:
        return _EMPTY[Kind.LIST][said]
    begin, rest = _begin(said, _MANY)
    return _MANY[begin or "含"](_literals(column, rest))


def _tell_words(column: Column, zen: str) -> str:
    empty = next((word for word, cell in _EMPTY[column.kind].items() if cell == zen), None)
    if empty:
        return empty
    ways = _ONE if column.kind is Kind.TEXT else _MANY
    words = [_inside(found) for found in _LITERAL.finditer(zen)]
    literals = [_literal(word) for word in words if not ('"' in word and "'" in word)]
    begin = next((begin for begin, way in ways.items() if literals and way(literals) == zen), "")
    shown = _BETWEEN.join(words if begin == "含" and column.kind is Kind.TEXT else map(column.word_of, words))
    return f"{begin} {shown}".strip()


def _begin(said: str, ways: Mapping[str, Callable[[Sequence[str]], str]]) -> tuple[str, str]:
    """How it begins, and the words after it. A blank must follow: what begins so without one may be either."""
    for begin in ways:
        if re.match(rf"{begin}[\s:\uff1a]", said):
            return begin, said[len(begin) + 1 :]
    begin = next((begin for begin in sorted(_BEGINNINGS, key=len, reverse=True) if said.startswith(begin)), "")
    if begin:
        rest = said.removeprefix(begin).strip(" :\uff1a")
        can = f"在「{begin}」后面空一格,写「{begin} {rest}」" if begin in ways else f"这一列没有「{begin}」这种写法"
        raise CellWrong(f"「{said}」读不懂:{can};要的就是这几个字,写成 {RAW}{_literal(said)}")
    return "", said


def _literals(column: Column, said: str, *, contained: bool = False) -> list[str]:
    """The values that are named; of what is only contained in a text, the words themselves."""
    words = [word.strip() for word in re.split(r"[、,\uff0c\n]", said) if word.strip()]
    if not words:
        raise CellWrong(f"「{said}」后面要写出是哪些,用「、」隔开")
    codes = [word if contained else column.code_of(word) for word in words]
    strange = [code for code in codes if column.closed and code not in column.names]
    if strange and not contained:
        raise CellWrong(f"没有「{strange[0]}」这个{column.name}:可以写 {_known(column)}")
    return list(map(_literal, codes))


def _known(column: Column) -> str:
    """The values that a column has, each once, though several codes may be called the same."""
    return _BETWEEN.join(dict.fromkeys(names[0] for names in column.names.values()))


def _literal(word: str) -> str:
    """Zen knows no escapes: a text with one kind of quotes stands in the other."""
    if '"' not in word:
        return f'"{word}"'
    if "'" not in word:
        return f"'{word}'"
    raise CellWrong("文字里不能同时有单引号和双引号")


def _inside(found: re.Match[str]) -> str:
    return found[1] if found[1] is not None else found[2]


# text that is put out


def _template(said: str, facts: Mapping[str, Column]) -> str:
    alone = _PLACE.fullmatch(said)
    if alone:
        return _fact(alone[1], facts).field
    if not _PLACE.search(said):
        return _literal(said)
    if "`" in said or "$" in said:
        raise CellWrong("带 {…} 的文字里不能有 ` 和 $")

    def place(found: re.Match[str]) -> str:
        fact = _fact(found[1], facts)
        if fact.kind is Kind.LIST:
            raise CellWrong(f"「{fact.name}」是一份清单,不能写进一句话里")
        return f"${{{fact.field}}}"

    return f"`{_PLACE.sub(place, said)}`"


def _fact(said: str, facts: Mapping[str, Column]) -> Column:
    said = said.strip()
    found = facts.get(said) or next((fact for fact in facts.values() if fact.name == said), None)
    if found is None:
        raise CellWrong(f"没有「{{{said}}}」:可以写 {_BETWEEN.join('{' + fact.name + '}' for fact in facts.values())}")
    return found
