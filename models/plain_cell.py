"""Cells that only compare a fact with values (`> 500`, `"广东省"`, `[1..5)`): judged without the engine.

To ask the engine costs many times the comparison, and large tables are made of such cells. What says more than this, or
whose fact is of another type, is the engine's to judge; what is judged here comes to the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

#: The engine counts in decimals. Numbers of no more digits before and after the point are told apart as well by ours.
_DIGITS, _PLACES = 9, 6
_LARGEST = 10**_DIGITS
_NUMBER = rf"-?\d{{1,{_DIGITS}}}(?:\.\d{{1,{_PLACES}}})?"
_COMPARED = re.compile(rf"(>=|<=|==|!=|>|<|)\s*({_NUMBER})", re.ASCII)
_INTERVAL = re.compile(rf"([\[(])\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*([\])])", re.ASCII)
_TEXT = r'"[^"\\]*"'
_TEXTS = re.compile(rf"{_TEXT}(?:\s*,\s*{_TEXT})*")


class Glance(NamedTuple):
    """Whether a cell holds for a fact as `glanced` gives it, if that is of type `kind`; for others ask the engine."""

    kind: type
    holds: Callable[[Any], Any]


#: Of a cell that says more: there is no fact of this type.
NO_GLANCE = Glance(object, bool)


def glanced(fact: Any) -> float | str | bool | None:
    """A fact as it can be judged at a glance: numbers as float; None for what only the engine can judge."""
    if isinstance(fact, str | bool):
        return fact
    if isinstance(fact, int | float) and -_LARGEST < fact < _LARGEST and round(fact, _PLACES) == fact:
        return float(fact)
    return None


def glance_of(said: str) -> Glance:
    """How the cell of a column can be judged at a glance."""
    if found := _COMPARED.fullmatch(said):
        return Glance(float, _comparing(found[1], float(found[2])))
    if found := _INTERVAL.fullmatch(said):
        above = _comparing(">=" if found[1] == "[" else ">", float(found[2]))
        below = _comparing("<=" if found[4] == "]" else "<", float(found[3]))
        return Glance(float, lambda fact: above(fact) and below(fact))
    if _TEXTS.fullmatch(said):
        return Glance(str, frozenset(text[1:-1] for text in re.findall(_TEXT, said)).__contains__)
    if said in ("true", "false"):
        return Glance(bool, (said == "true").__eq__)
    return NO_GLANCE


def _comparing(sign: str, edge: float) -> Callable[[float], bool]:
    # what Python itself has compiled, seen from the edge: a fact is above it when the edge is below the fact
    return {
        "": edge.__eq__, "==": edge.__eq__, "!=": edge.__ne__,
        ">": edge.__lt__, ">=": edge.__le__, "<": edge.__gt__, "<=": edge.__ge__,
    }[sign]  # fmt: skip
