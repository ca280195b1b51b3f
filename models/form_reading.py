"""Answers as people and channels give them (`12公斤`, `已绝育`, `鸡肉、牛肉`, `3岁`), read into what a form keeps.

Whatever comes is read or not read, never an error: answers are written by strangers.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import date
from itertools import takewhile
from typing import Any

from models.form_field import Field, FieldKind, plainly

#: No answer is longer than this (characters); the rest of it is nobody's answer.
LONGEST_SAID = 4000
#: How many of an amount are one of the form's unit.
_UNITS = {
    "kg": {"kg": 1.0, "公斤": 1.0, "千克": 1.0, "kgs": 1.0, "斤": 0.5, "市斤": 0.5, "g": 0.001, "克": 0.001,
           "lb": 0.45359237, "lbs": 0.45359237, "磅": 0.45359237},
    "g": {"g": 1.0, "克": 1.0, "kg": 1000.0, "公斤": 1000.0, "千克": 1000.0, "斤": 500.0},
    "cm": {"cm": 1.0, "厘米": 1.0, "公分": 1.0, "m": 100.0, "米": 100.0},
}  # fmt: skip
_AMOUNT = re.compile(r"([+-]?[0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([^0-9\s.]{0,12})")
_ROUGHLY = re.compile(r"^(大约|大概|约|差不多|about|ca\.?)\s*|\s*(左右|上下|多一点|出头)$")
_BETWEEN = re.compile(r"[,\uff0c\u3001;\uff1b/|\n\t+]+")
_AND = re.compile(r"\s+and\s+|\s+|和|与|及|跟|还有|以及", re.IGNORECASE)
_DATE = re.compile(
    r"([0-9]{4})\s*[-/.\u5e74]\s*([0-9]{1,2})(?:\s*[-/.\u6708]\s*([0-9]{1,2})\s*[\u65e5\u53f7]?|\s*\u6708?)"
)
_DIGITS = re.compile(r"([12][0-9]{3})([01][0-9])([0-3][0-9])")
_AGE = re.compile(
    r"(?:([0-9]{1,2}(?:\.[0-9])?)\s*(?:周?岁|年|years?|yrs?|y)(?:\s*old)?)?\s*(半)?"
    r"\s*(?:([0-9]{1,3})\s*(?:个?半?月(?:大)?|months?|m))?\s*(?:([0-9]{1,4})\s*(?:天|日龄|days?))?大?",
)
_NUMERAL = re.compile("[一二两三四五六七八九]?十?[一二两三四五六七八九]|[一二两三四五六七八九]?十")
_NUMERALS = {word: number for number, word in enumerate("零一二三四五六七八九十")} | {"两": 2}
_HALF_A_YEAR = re.compile("^半[岁年]")


class Unreadable(Exception):
    """What was said cannot be read as an answer to this question."""


def read(field: Field, said: Any, today: date) -> Any:
    """The answer in what was said; None for none. Texts come without control characters. Raises `Unreadable`.

    Choice: a code, or the words of somebody who means another. Number: float in the form's unit. Date: ISO 8601.
    """
    if said is None:
        return None
    if field.kind is FieldKind.MANY:
        return _many(field, said)
    if isinstance(said, list | tuple) and len(said) == 1:
        said = said[0]
    if field.kind is FieldKind.NUMBER and _is_number(said):
        return _number(field, float(said))
    if field.kind is FieldKind.YES_NO and isinstance(said, bool | int) and said in (0, 1):
        return bool(said)
    words = _text(said)
    if field.kind is FieldKind.TEXT and field.none and (not plainly(words) or field.says_none(words)):
        return ""
    if not words:
        return None
    match field.kind:
        case FieldKind.CHOICE:
            return field.code_of(words) or field.other or words
        case FieldKind.YES_NO:
            return _yes_no(field, words)
        case FieldKind.NUMBER:
            return _quantity(field, words)
        case FieldKind.DATE:
            return _date(field, words, today)
    return words


def _text(said: Any) -> str:
    """What was said in one text: without control characters and what cannot be stored, lines kept. May be empty."""
    if _is_number(said):
        said = f"{said:.6f}".rstrip("0").rstrip(".") if isinstance(said, float) else str(said)
    if isinstance(said, bool):
        said = str(said).lower()
    if not isinstance(said, str):
        raise Unreadable
    if len(said) > LONGEST_SAID:
        said = said[: LONGEST_SAID + 1]  # still too long, and cheap to look at
    if said.isprintable():  # nearly always, and told at once
        return said.strip()
    said = said.replace("\r\n", "\n")
    return "".join(sign if sign == "\n" or _is_printable(sign) else " " for sign in said).strip()


def _is_printable(sign: str) -> bool:
    return unicodedata.category(sign) not in ("Cc", "Cs", "Cn", "Co")


def _is_number(said: Any) -> bool:
    return isinstance(said, int | float) and not isinstance(said, bool) and -1e15 < said < 1e15


def _number(field: Field, value: float) -> float | int:
    if not math.isfinite(value):
        raise Unreadable
    if field.whole:
        if value != int(value):
            raise Unreadable
        return int(value)
    return round(value, 3)


def _quantity(field: Field, words: str) -> float | int:
    words = _ROUGHLY.sub("", unicodedata.normalize("NFKC", words[:60]).strip().lower()).strip()
    found = _AMOUNT.fullmatch(words)
    if found is None:
        raise Unreadable
    unit = found[2].strip()
    factors = _UNITS.get(field.unit.lower(), {})
    if unit and unit != field.unit.lower() and unit not in factors:
        raise Unreadable
    return _number(field, float(found[1]) * factors.get(unit, 1.0))


def _yes_no(field: Field, words: str) -> bool:
    code = field.code_of(words) or {
        "yes": "true", "y": "true", "1": "true", "是": "true", "有": "true", "对": "true", "√": "true",
        "no": "false", "n": "false", "0": "false", "否": "false", "没有": "false", "无": "false", "不是": "false",
    }.get(words.strip().lower())  # fmt: skip
    if code not in ("true", "false"):
        raise Unreadable
    return code == "true"


def _many(field: Field, said: Any) -> list[str] | None:
    """Codes where we know what is meant, else the words; each once, in the order said; None for nothing but blanks.

    Of more than the form takes, one more is read than it does, so that it is refused and not cut.
    """
    parts = [_text(each) for each in (said[:LONGEST_SAID] if isinstance(said, list | tuple) else [said])]
    found: dict[str, None] = {}
    answered = not parts
    for part in parts:
        if field.says_none(part):  # before it is taken apart: n/a has a separator
            answered = True
            continue
        for piece in _BETWEEN.split(part):
            if len(found) > field.most:
                return list(found)
            if plainly(piece):
                answered = True
                found |= dict.fromkeys(_codes(field, piece.strip()))
    return list(found) if answered else None


def _codes(field: Field, part: str) -> list[str]:
    """`鸡肉和牛肉` is two where both are known; `对鸡肉过敏` is 鸡肉; what we do not know stays one, as it was said."""
    bare = part
    # nothing longer than an item may be is the name of one
    while len(bare) <= field.longest and not field.says_none(bare) and field.code_of(bare) is None:
        less = bare.removeprefix("对").removesuffix("过敏").strip() or bare
        if less == bare:
            break
        bare = less
    if field.says_none(bare):
        return []
    if (code := field.code_of(bare)) is not None:
        return [code]
    pieces = list(dict.fromkeys(piece for piece in _AND.split(bare) if piece))
    known = list(takewhile(bool, map(field.code_of, pieces)))
    if pieces and len(known) == len(pieces):
        return [code for code in known if code is not None]
    return [field.other] if field.other else [bare.lower()[: field.longest + 1]]


def _date(field: Field, words: str, today: date) -> str:
    words = unicodedata.normalize("NFKC", words[:60]).strip().lower()
    found = _DATE.match(words) or _DIGITS.fullmatch(words)
    try:
        if found is not None and _ends_a_date(words[found.end() :]):
            return date(int(found[1]), int(found[2]), int(found[3] or 1)).isoformat()
        if field.past_years is None:  # no birthday, so no age either
            raise Unreadable
        return _born(words, today).isoformat()
    except (ValueError, OverflowError) as error:
        raise Unreadable from error


def _ends_a_date(rest: str) -> bool:
    """Whether nothing, or no more than a time, follows a date."""
    return re.fullmatch(r"[t\s]*([0-9:.+z-]*)", rest) is not None


def _born(words: str, today: date) -> date:
    """The day on which somebody of this age was born, to the day as far as it is told. Raises `ValueError`."""
    words = _HALF_A_YEAR.sub("6个月", words)
    found = _AGE.fullmatch(_NUMERAL.sub(lambda said: str(_numeral(said[0])), words))
    if found is None or not any(found.groups()):
        raise ValueError(words)
    months = round(float(found[1] or 0) * 12) + (6 if found[2] else 0) + int(found[3] or 0)
    place = today.year * 12 + today.month - 1 - months
    born = date(place // 12, place % 12 + 1, min(today.day, 28))
    return date.fromordinal(born.toordinal() - int(found[4] or 0))


def _numeral(said: str) -> int:
    """`三` is 3, `十二` is 12, `二十` is 20."""
    tens, ten, ones = said.rpartition("十")
    return (_NUMERALS.get(tens, 1) * 10 if ten else 0) + _NUMERALS.get(ones, 0)
