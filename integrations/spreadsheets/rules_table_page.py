"""A decision table as a page of a workbook: one row per rule, cells as business people write them.

What a cell says is compared with what the table that the page was made of would show there: what is unchanged stays
to the letter, so that a page that goes out and comes back makes the very same table.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from integrations.spreadsheets.rules_book import Grid, Line, Page, as_read
from models.decision_table import content_of
from models.rule_columns import Column, Table
from models.rule_diff import cell_words
from models.rule_edits import named_after, raw_content, zen_cell
from models.rule_version import RulesRefused

NAME, NOTE = "编号", "备注"


@dataclass(frozen=True)
class _Shown:
    """A column of the table as the page shows it; `known` is what we know of it, None for one of the seller's own."""

    header: str
    id: str
    name: str
    field: str
    is_input: bool
    known: Column | None

    def words(self, table: Table, rule: Mapping[str, Any]) -> str:
        """The cell of a rule in people's words."""
        said = rule.get(self.id)
        if not isinstance(said, str) or not said.strip():
            return ""
        return as_read(cell_words(table, self.field, said, is_input=self.is_input))


def table_page(table: Table, model: Mapping[str, Any]) -> Page:
    """The page of this table. Raises `TableBroken`."""
    columns = _columns(table, model)
    rows = [
        [str(rule.get("_id") or ""), *(column.words(table, rule) for column in columns), _note(rule)]
        for rule in raw_content(model)["rules"]
    ]
    return Page(table.name, [NAME, *(column.header for column in columns), NOTE], rows)


def read_table_page(table: Table, grid: Grid, base: Mapping[str, Any]) -> dict[str, Any]:
    """The table that a page says, where `base` is the one that it was made of. Raises `SheetWrong`, `TableBroken`."""
    model = copy.deepcopy(dict(base))
    content = raw_content(model)
    columns = _asked(table, grid, _columns(table, base))
    for part, is_input in (("inputs", True), ("outputs", False)):
        there = {column["id"]: column for column in content[part]}
        content[part] = [
            there.get(column.id) or {"id": column.id, "name": column.name, "field": column.field}
            for column in columns
            if column.is_input is is_input
        ]
    old = {_key(table, columns, rule): rule for rule in content["rules"]}
    content["rules"] = [_rule(table, grid, line, columns, old) for line in grid.lines]
    names = [rule.get("_id") for rule in content["rules"]]
    for line, name in zip(grid.lines, names, strict=True):
        if name and names.count(name) > 1:
            raise grid.wrong(f"编号「{name}」用了不止一次:每行一个编号,新行留空。", line.number, NAME)
    if not names:
        raise grid.wrong("没有一行内容。")
    return model


def _columns(table: Table, model: Mapping[str, Any]) -> list[_Shown]:
    """The columns as they are headed; of several of one name each has its id behind it."""
    content = content_of(model)
    names = [as_read(column.name) for column in (*content.inputs, *content.outputs)] + [NAME, NOTE]
    shown = []
    for is_input, part in ((True, content.inputs), (False, content.outputs)):
        known = table.inputs if is_input else table.outputs
        for column in part:
            name = as_read(column.name)
            header = name if names.count(name) == 1 else f"{name} #{column.id}"
            shown.append(_Shown(header, column.id, name, column.field, is_input, known.get(column.field)))
    return shown


def _asked(table: Table, grid: Grid, base: list[_Shown]) -> list[_Shown]:
    """The columns of the page: those of the base by their headers, and new ones by what facts are called."""
    found: list[_Shown] = []
    for header in grid.header:
        if header in (NAME, NOTE):
            continue
        column = next((one for one in base if header == one.header), None)
        known = table.column(header)
        if column is None and known is None:
            can = "、".join(one.name for one in (*table.inputs.values(), *table.outputs.values()))
            raise grid.wrong(f"不认识列「{header}」:可以用 {NAME}、{can}、{NOTE}。", 1)
        if column is None and known is not None:
            column = next((one for one in base if one.known == known), None) or _new(table, known, base)
            column = replace(column, header=header)
        assert column is not None
        if any(one.id == column.id for one in found):
            raise grid.wrong(f"列「{header}」和另一列是同一项:请只留一列。", 1)
        found.append(column)
    for needed in table.needed:
        if not any(one.field == needed and not one.is_input for one in found):
            raise grid.wrong(f"缺少列「{table.outputs[needed].name}」:表头要在第一行。")
    return found


def _new(table: Table, known: Column, base: list[_Shown]) -> _Shown:
    taken = any(one.id == known.field for one in base)
    new = f"{known.field}-column" if taken else known.field
    return _Shown(known.name, new, known.name, known.field, known == table.inputs.get(known.field), known)


def _rule(
    table: Table, grid: Grid, line: Line, columns: list[_Shown], old: Mapping[tuple[str, ...], Mapping[str, Any]]
) -> dict[str, Any]:
    """The rule that a line says: what is not changed stays as it was, what is new is read."""
    name = line.cells.get(NAME, "")
    unnamed = ("", *(line.cells.get(column.header, "") for column in columns))
    before = old.get((name,) if name else unnamed)
    rule: dict[str, Any] = {key: said for key, said in (before or {}).items() if key.startswith("_")}
    read: dict[str, str] = {}
    for column in columns:
        said = line.cells.get(column.header, "")
        if before is not None and said == column.words(table, before):
            if column.id in before:
                rule[column.id] = before[column.id]
        else:
            rule[column.id] = read[column.field or column.id] = _zen(table, grid, line, column, said)
    if before is None:
        rule["_id"] = name or named_after(read)
    if before is None or line.cells.get(NOTE, "") != _note(before):
        rule["_description"] = line.cells.get(NOTE, "")
    return rule


def _key(table: Table, columns: list[_Shown], rule: Mapping[str, Any]) -> tuple[str, ...]:
    """A rule is known by its id, or by what it says."""
    name = as_read(str(rule.get("_id") or ""))
    return (name,) if name else ("", *(column.words(table, rule) for column in columns))


def _zen(table: Table, grid: Grid, line: Line, column: _Shown, said: str) -> str:
    if column.known is None:
        return said.removeprefix("=").strip()
    try:
        return zen_cell(table, column.known, said)
    except RulesRefused as refused:
        why = str(refused).removesuffix("没有任何改变。").removeprefix(f"「{column.known.name}」:")
        raise grid.wrong(why, line.number, column.header) from None


def _note(rule: Mapping[str, Any]) -> str:
    said = rule.get("_description")
    return as_read(said) if isinstance(said, str) else ""
