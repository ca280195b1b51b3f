"""Decision tables: JSON Decision Models (JDM) as the open-source table editor writes them.

Cells are read and evaluated by `zen-engine`, so a table means here what it means in the editor. Rows are walked by
ourselves, with the engine's compiled cells: the engine's own walk takes a cell that it cannot evaluate for one that
does not hold, and leaves out a row whose output it cannot evaluate, both without a word, and an order that needs a
person would pass. Here either is `TableBroken`. (It is faster, too: the engine reads its model at every question.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zen


class TableBroken(Exception):
    """This is no decision table that can be evaluated; the sentence says where and why."""


@dataclass(frozen=True)
class Match:
    """One row that holds: its id and what it puts out, by field."""

    row: str
    output: Mapping[str, Any]


@dataclass(frozen=True)
class _Row:
    id: str
    number: int  # as people count them
    cells: Sequence[tuple[str, str, Any]]  # input's name, its field, the compiled cell
    outputs: Sequence[tuple[str, Any]]  # field, compiled expression


class DecisionTable:
    """One table, ready to be asked. Safe to use from several threads."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        """`model` is a JDM with exactly one decision table. Raises `TableBroken`."""
        content = table_of(model)
        self.collects = content.get("hitPolicy", "first") == "collect"
        self.rows = [_row(content, rule, number) for number, rule in enumerate(content["rules"], 1)]

    def matches(self, facts: Mapping[str, Any]) -> list[Match]:
        """The rows that hold for these facts, in their order; of a `first` table at most one. Raises `TableBroken`."""
        found = []
        for row in self.rows:
            if all(_holds(row, name, field, cell, facts) for name, field, cell in row.cells):
                found.append(Match(row.id, {field: _put_out(row, field, cell, facts) for field, cell in row.outputs}))
                if not self.collects:
                    break
        return found


def table_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the model's one decision table. Raises `TableBroken`."""
    nodes = model.get("nodes")
    tables = [n for n in nodes if n.get("type") == "decisionTableNode"] if isinstance(nodes, list) else []
    if len(tables) != 1:
        raise TableBroken(f"要有且只有一张决策表,这里有 {len(tables)} 张")
    content = tables[0].get("content")
    parts = ("inputs", "outputs", "rules")
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in parts):
        raise TableBroken("决策表缺少 inputs、outputs 或 rules")
    return content


def _row(content: Mapping[str, Any], rule: Mapping[str, Any], number: int) -> _Row:
    cells = [
        (
            str(i.get("name") or i["id"]),
            str(i.get("field") or ""),
            _compiled(said, number, i, unary=bool(i.get("field"))),
        )
        for i in content["inputs"]
        if (said := str(rule.get(i["id"]) or "").strip())
    ]
    outputs = [
        (str(o["field"]), _compiled(said, number, o, unary=False))
        for o in content["outputs"]
        if (said := str(rule.get(o["id"]) or "").strip())
    ]
    return _Row(str(rule.get("_id") or number), number, cells, outputs)


def _compiled(said: str, number: int, column: Mapping[str, Any], *, unary: bool) -> Any:
    try:
        return zen.compile_unary_expression(said) if unary else zen.compile_expression(said)
    except RuntimeError as error:
        name = column.get("name") or column["id"]
        raise TableBroken(f"第 {number} 行「{name}」的「{said}」读不懂:{_first_line(error)}") from None


def _holds(row: _Row, name: str, field: str, cell: Any, facts: Mapping[str, Any]) -> bool:
    value = facts.get(field) if field else None
    try:
        return bool(cell.evaluate({**facts, "$": value}))
    except RuntimeError as error:
        raise TableBroken(f"第 {row.number} 行「{name}」对 {value!r} 无法判断:{_first_line(error)}") from None


def _put_out(row: _Row, field: str, cell: Any, facts: Mapping[str, Any]) -> Any:
    try:
        return cell.evaluate(dict(facts))
    except RuntimeError as error:
        raise TableBroken(f"第 {row.number} 行的输出「{field}」无法计算:{_first_line(error)}") from None


def _first_line(error: RuntimeError) -> str:
    return str(error).splitlines()[0][:200]
