"""Whom the rules ask about an order: what the matrix says, and what holds where it says nothing, or cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.decision_table import TableBroken
from models.matrix import USUAL_MINUTES, Asked, Matrix

#: Who is asked about what no table answers.
AT_LAST = "nutritionist"


@dataclass(frozen=True)
class Asking:
    """Who looks at an order, and which of them have to choose a recipe. `broken`: why the table could not say."""

    asked: tuple[Asked, ...]
    choosers: frozenset[str] = frozenset()
    broken: str = ""


def whom_to_ask(matrix: Matrix, facts: Mapping[str, Any]) -> Asking:
    """Who looks at an order with these facts (`models.matrix.FACTS`).

    Nothing passes unseen: somebody chooses where there is no recipe, a nutritionist if no row says who, and a table
    that cannot be evaluated on the order sends it to a nutritionist.
    """
    asked, broken = _ask(matrix, facts)
    if not facts["no_recipe"]:
        return Asking(asked, broken=broken)
    otherwise, _ = _ask(matrix, {**facts, "no_recipe": False, "why_no_recipe": ""})
    rows = {row for each in otherwise for row in each.rows}
    choosers = frozenset(each.role for each in asked if set(each.rows) - rows)
    if choosers:
        return Asking(asked, choosers, broken)
    last = Asked(AT_LAST, (str(facts["why_no_recipe"]),), USUAL_MINUTES)
    return Asking(also_ask(asked, last), frozenset((AT_LAST,)), broken)


def why_no_recipe(lines: Sequence[tuple[int, str]]) -> str:
    """Why an order lacks recipes, from (line number, why) of each line that lacks one; "" for none."""
    if len(lines) == 1:
        return lines[0][1]
    return ";".join(f"第 {number} 行 {why}" for number, why in lines)


def _ask(matrix: Matrix, facts: Mapping[str, Any]) -> tuple[tuple[Asked, ...], str]:
    """Whom the table asks, and why it could not say."""
    try:
        return matrix.route(facts), ""
    except TableBroken as broken:
        return (Asked(AT_LAST, (f"审批矩阵无法判断这个订单:{broken}",), USUAL_MINUTES),), str(broken)


def also_ask(route: tuple[Asked, ...], more: Asked) -> tuple[Asked, ...]:
    """The route with one more question, to a role that may be asked something already."""
    if all(each.role != more.role for each in route):
        return (*route, more)
    return tuple(
        replace(each, reasons=(*each.reasons, *more.reasons), sla_minutes=min(each.sla_minutes, more.sla_minutes))
        if each.role == more.role
        else each
        for each in route
    )
