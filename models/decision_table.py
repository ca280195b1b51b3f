"""Decision tables: JSON Decision Models (JDM) as the open-source table editor writes them.

Cells are read and evaluated by `zen-engine`, so a table means here what it means in the editor; those that only compare
with values come to the same without it (`models/plain_cell.py`). Rows are walked by ourselves: the engine's own walk
takes a cell that it cannot evaluate for one that does not hold, and leaves out a row whose output it cannot evaluate,
both without a word, and an order that needs a person would pass. Here either is `TableBroken`. (It is faster, too: the
engine reads its model at every question.)

A fact that is null was not answered: a cell that can only be judged by an answer does not hold, as in the engine. A
fact that is not there at all is an error of who asks, and `TableBroken` too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zen

from models.plain_cell import NO_GLANCE, Glance, glance_of, glanced
from models.table_cell import CellRefused, read_cell
from models.table_column import shown

MOST_ROWS, MOST_COLUMNS, LONGEST_NAME = 2_000, 40, 200
#: Other nodes run programs (functions), call elsewhere, or decide outside the table.
_NODES = ("inputNode", "decisionTableNode", "outputNode")
_FIELD = re.compile(r"[A-Za-z_]\w{0,63}(\.[A-Za-z_]\w{0,63}){0,7}", re.ASCII)


class TableBroken(Exception):
    """This is no decision table that can be evaluated; the sentence says where and why."""


class CannotTell(Exception):
    """A cell cannot be evaluated on these facts; the sentence says why."""


@dataclass(frozen=True)
class Match:
    """One row that holds: its id and what it puts out, by field."""

    row: str
    output: Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column as the model has it. An input without a field has whole conditions in its cells."""

    id: str
    name: str
    field: str


@dataclass(frozen=True)
class Row:
    """A row as the model has it: what its cells say, by column id, without the empty ones. `number` counts from 1."""

    id: str
    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Content:
    """What the model's table says. `marks` are our own keys beside it, which the engine does not look at."""

    collects: bool
    inputs: Sequence[Column]
    outputs: Sequence[Column]
    rows: Sequence[Row]
    marks: Mapping[str, Any]


class Cell:
    """One cell of an input, or an output's expression, ready to be asked. Safe to use from several threads."""

    def __init__(self, said: str, field: str = "", *, condition: bool = True) -> None:
        """`field` is the fact that the column compares, "" for a whole expression. Raises `CellRefused`."""
        self.said, self.field, self.condition = said, field, condition
        self.parts = read_cell(said)
        if not field and self.parts.own:
            raise CellRefused("这里没有字段,不能用 $:请写出事实的名字")
        try:
            self._compiled = zen.compile_unary_expression(said) if field else zen.compile_expression(said)
        except Exception as error:  # the engine has no type of its own for this
            raise CellRefused(f"读不懂({_reason(error)})") from None
        self._roots = tuple({name.partition(".")[0] for name in self.parts.reads})
        self._alone = bool(field) and "." not in field and not self._roots
        self._constant: str | int | float | None = None  # what it comes to, once known, where no fact is read
        self.glance = glance_of(said) if self._alone and condition else NO_GLANCE

    @property
    def facts(self) -> frozenset[str]:
        """Every fact on which the answer depends, dotted where nested."""
        return self.parts.reads | {self.field} if self.field else self.parts.reads

    def value(self, facts: Mapping[str, Any]) -> Any:
        """What the expression comes to: whole numbers as `int`. Raises `CannotTell`."""
        if self._constant is not None:
            return self._constant
        try:
            found = self._compiled.evaluate({"$": facts[self.field]} if self._alone else self._given(facts))
        except KeyError as missing:
            raise CannotTell(f"没有给出事实 {missing.args[0]}") from None
        except Exception as error:  # RuntimeError, and others for values that it cannot take
            if self.condition and self._unanswered(facts):
                return None
            raise CannotTell(_reason(error)) from None
        found = int(found) if isinstance(found, float) and found.is_integer() else found
        if not self.facts and isinstance(found, str | int | float):
            self._constant = found
        return found

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether the condition holds; not by what was not answered. Raises `CannotTell`."""
        found = self.value(facts)
        if found is True or found is False:
            return found
        if found is None and self._unanswered(facts):
            return False
        raise CannotTell(f"得出的是 {shown(found)},不是 true 或 false")

    def _given(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        context = {root: facts[root] for root in self._roots}
        if self.field:
            context["$"] = value_of(facts, self.field)
        return context

    def _unanswered(self, facts: Mapping[str, Any]) -> bool:
        return any(value_of(facts, fact) is None for fact in self.facts)


def value_of(facts: Mapping[str, Any], path: str) -> Any:
    """The fact of this name (`pet.species`); None where something on the way has no value. Raises `KeyError`."""
    root, *steps = path.split(".")
    value = facts[root]
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True)
class _Asked:
    """A row ready to be asked: its cells and outputs, each with the name of its column."""

    id: str
    number: int
    cells: Sequence[tuple[str, Cell, Glance]]
    outputs: Sequence[tuple[str, Cell]]


class DecisionTable:
    """One table, ready to be asked. Safe to use from several threads."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        """`model` is a JDM with exactly one decision table. Raises `TableBroken`."""
        content = content_of(model)
        self.collects = content.collects
        same: dict[tuple[str, str], Cell] = {}
        self._rows = [_ready(content, row, same) for row in content.rows]
        self._glanced_at = {cell.field for cell in same.values() if cell.glance is not NO_GLANCE}

    def matches(self, facts: Mapping[str, Any]) -> list[Match]:
        """The rows that hold for these facts, in their order; of a `first` table at most one. Raises `TableBroken`."""
        found = []
        known: dict[Cell, bool] = {}  # a cell that many rows have in common is asked once
        at_a_glance = {field: glanced(facts.get(field)) for field in self._glanced_at}
        for row in self._rows:
            for name, cell, (kind, holds) in row.cells:
                fact = at_a_glance.get(cell.field)
                held = holds(fact) if type(fact) is kind else known.get(cell)
                if held is None:
                    held = known[cell] = _holds(row, name, cell, facts)
                if not held:
                    break
            else:
                found.append(Match(row.id, {field: _put_out(row, field, cell, facts) for field, cell in row.outputs}))
                if not self.collects:
                    break
        return found


def table_of(model: object) -> Mapping[str, Any]:
    """The content of the model's one decision table, as it is. Raises `TableBroken` for anything else."""
    nodes = model.get("nodes") if isinstance(model, Mapping) else None
    if not isinstance(nodes, list) or not all(isinstance(node, Mapping) for node in nodes):
        raise TableBroken("这不是决策表的 JSON(JDM):缺少 nodes")
    if any(node.get("type") not in _NODES for node in nodes):
        raise TableBroken("只能有输入、一张决策表和输出:函数等其他节点不能用")
    tables = [node for node in nodes if node["type"] == "decisionTableNode"]
    if len(tables) != 1:
        raise TableBroken(f"要有且只有一张决策表,这里有 {len(tables)} 张")
    content = tables[0].get("content")
    if not isinstance(content, Mapping):
        raise TableBroken("决策表缺少 content")
    return content


def content_of(model: object) -> Content:
    """What the model's one decision table says. Raises `TableBroken` for what cannot be evaluated."""
    content = table_of(model)
    policy = content.get("hitPolicy", "first")
    if policy not in ("first", "collect"):
        raise TableBroken("hitPolicy 只能是 first 或 collect")
    if content.get("executionMode", "single") != "single" or content.get("inputField") or content.get("outputPath"):
        raise TableBroken("决策表不能循环(executionMode)、换输入(inputField)或换输出的位置(outputPath)")
    inputs, outputs = _columns(content, "inputs"), _columns(content, "outputs")
    _tell_apart(inputs, outputs)
    marks = {name: content[name] for name in ("overlaps", "complete") if name in content}
    return Content(policy == "collect", inputs, outputs, _rows(content, (*inputs, *outputs)), marks)


def _columns(content: Mapping[str, Any], part: str) -> list[Column]:
    listed = content.get(part)
    if not isinstance(listed, list) or not all(isinstance(column, Mapping) for column in listed):
        raise TableBroken(f"决策表缺少 {part}")
    return [_column(column, part) for column in listed]


def _column(column: Mapping[str, Any], part: str) -> Column:
    told = [column.get(name) or "" for name in ("id", "name", "field")]
    if not told[0] or not all(isinstance(text, str) and len(text) <= LONGEST_NAME for text in told):
        raise TableBroken(f"{part} 里有一列没有 id,或 id、name、field 不是 {LONGEST_NAME} 字以内的文字")
    column_id, name, field = told[0], told[1], told[2].strip()
    if (field or part == "outputs") and not _FIELD.fullmatch(field):
        raise TableBroken(f"列「{name or column_id}」的字段「{field}」要用英文字母、数字和下划线(如 amount)")
    return Column(column_id, name or field or column_id, field)


def _tell_apart(inputs: Sequence[Column], outputs: Sequence[Column]) -> None:
    ids = [column.id for column in (*inputs, *outputs)]
    if len(set(ids)) < len(ids):
        raise TableBroken("有两列的 id 相同")
    if len({column.field for column in outputs}) < len(outputs):
        raise TableBroken("有两个输出列的字段相同")
    if len(ids) > MOST_COLUMNS:
        raise TableBroken(f"有 {len(ids)} 列,最多 {MOST_COLUMNS} 列")


def _rows(content: Mapping[str, Any], columns: Sequence[Column]) -> list[Row]:
    rules = content.get("rules")
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
        raise TableBroken("决策表缺少 rules")
    if len(rules) > MOST_ROWS:
        raise TableBroken(f"有 {len(rules)} 行,最多 {MOST_ROWS} 行")
    return [_row(rule, number, columns) for number, rule in enumerate(rules, 1)]


def _row(rule: Mapping[str, Any], number: int, columns: Sequence[Column]) -> Row:
    cells = {}
    for column in columns:
        said = rule.get(column.id)
        if said is None:
            continue
        if not isinstance(said, str):
            raise TableBroken(f"第 {number} 行「{column.name}」要是文字")
        if said.strip():
            cells[column.id] = said.strip()
    row_id = rule.get("_id") or str(number)
    if not isinstance(row_id, str) or len(row_id) > LONGEST_NAME:
        raise TableBroken(f"第 {number} 行的编号(_id)要是 {LONGEST_NAME} 字以内的文字")
    return Row(row_id, number, cells)


def _ready(content: Content, row: Row, same: dict[tuple[str, str], Cell]) -> _Asked:
    cells = []
    for column in content.inputs:
        if said := row.cells.get(column.id):
            cell = same.get((column.field, said)) or _cell(row, column, said)
            same[column.field, said] = cell
            cells.append((column.name, cell, cell.glance))
    outputs = [
        (column.field, _cell(row, column, said, condition=False))
        for column in content.outputs
        if (said := row.cells.get(column.id))
    ]
    return _Asked(row.id, row.number, cells, outputs)


def _cell(row: Row, column: Column, said: str, *, condition: bool = True) -> Cell:
    try:
        return Cell(said, column.field if condition else "", condition=condition)
    except CellRefused as refused:
        raise TableBroken(f"第 {row.number} 行「{column.name}」的「{shown(said)}」{refused}") from None


def _holds(row: _Asked, name: str, cell: Cell, facts: Mapping[str, Any]) -> bool:
    try:
        return cell.holds(facts)
    except CannotTell as why:
        raise TableBroken(f"第 {row.number} 行「{name}」的「{shown(cell.said)}」无法判断:{why}") from None


def _put_out(row: _Asked, field: str, cell: Cell, facts: Mapping[str, Any]) -> Any:
    try:
        return cell.value(facts)
    except CannotTell as why:
        raise TableBroken(f"第 {row.number} 行的输出「{field}」无法计算:{why}") from None


def _reason(error: Exception) -> str:
    """Why the engine could not, without its stack trace."""
    first = str(error).partition("\n")[0]
    try:
        first = str(json.loads(first)["source"])
    except (ValueError, TypeError, KeyError):
        pass
    return "值的类型不合" if "Unsupported type" in first else first[:200]
