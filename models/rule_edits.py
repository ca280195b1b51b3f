"""Changes to the rows of a decision table, so that nobody edits JSON: a body goes in, a new one comes out."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from models.decision_table import TableBroken, content_of
from models.rule_cells import CellWrong, zen_of, zen_output
from models.rule_columns import Column, Table
from models.rule_version import RulesRefused
from models.table_column import Kind

Body = Mapping[str, Any]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def with_row(body: Body, table: Table, cells: Mapping[str, str], name: str = "", note: str = "") -> dict[str, Any]:
    """The rules with one more row, or with the row of this `name` (its id) replaced.

    `cells`: fact or output, by field, Chinese name or the table's own header → what people write in it; what is not
    named is any value. A row without a name is named after its cells, so that adding it twice adds it once. Raises
    `RulesRefused`, also for a column that is named twice.
    """
    changed, content = _copied(body, table)
    if name and _NAME.fullmatch(name) is None:
        raise RulesRefused(f"行的编号「{name[:70]}」不行:用字母、数字、点和横线,最多 64 个。没有任何改变。")
    said: dict[str, str] = {}
    for heading, cell in cells.items():
        column = column_meant(table, content, heading.strip())
        if column.field in said:
            raise RulesRefused(said_twice(column))
        said[column.field] = zen_cell(table, column, cell)
    lacking = [table.outputs[field].name for field in table.needed if not said.get(field)]
    if lacking:
        raise RulesRefused(f"这一行还缺:{'、'.join(lacking)}。没有任何改变。")
    row = {"_id": name or named_after(said), "_description": note}
    row |= {column_id(content, table, field): cell for field, cell in said.items() if cell}
    put_row(content, row)
    return changed


def without_row(body: Body, table: Table, name: str) -> dict[str, Any]:
    """The rules without the row of this id. Raises `RulesRefused`."""
    changed, content = _copied(body, table)
    kept = [row for row in content["rules"] if row.get("_id") != name]
    if len(kept) == len(content["rules"]):
        there = "、".join(str(row.get("_id")) for row in kept[:50])
        raise RulesRefused(f"{table.name}没有编号为「{name}」的行:有 {there}。没有任何改变。")
    content["rules"] = kept
    return changed


def zen_cell(table: Table, column: Column, said: str) -> str:
    """What somebody wrote in a column, as zen reads it. Raises `RulesRefused` that names the column."""
    try:
        if column.field in table.outputs:
            return zen_output(column, said, table.inputs)
        return zen_of(column, said)
    except CellWrong as wrong:
        raise RulesRefused(f"「{column.name}」:{wrong}。没有任何改变。") from None


def column_id(content: dict[str, Any], table: Table, field: str) -> str:
    """The id of the table's column for a fact or an output; a fact that it does not ask yet becomes a column."""
    for column in [*content["inputs"], *content["outputs"]]:
        if column.get("field") == field:
            return str(column["id"])
    kind, known = ("inputs", table.inputs) if field in table.inputs else ("outputs", table.outputs)
    taken = {column["id"] for column in [*content["inputs"], *content["outputs"]]}
    new = field if field not in taken else f"{field}-column"
    content[kind].append({"id": new, "name": known[field].name, "field": field})
    for row in content["rules"]:
        row.setdefault(new, "")
    return new


def raw_content(model: Any) -> dict[str, Any]:
    """The content of a model's one decision table, to be changed in place. Raises `TableBroken`."""
    content_of(model)
    content: dict[str, Any] = next(n for n in model["nodes"] if n["type"] == "decisionTableNode")["content"]
    return content


def put_row(content: dict[str, Any], row: Mapping[str, str]) -> None:
    """Put a row where the one of the same id is, or at the end; every column has a cell."""
    ids = [column["id"] for column in [*content["inputs"], *content["outputs"]]]
    whole = {**dict.fromkeys(ids, ""), **row}
    at = next((at for at, old in enumerate(content["rules"]) if old.get("_id") == row["_id"]), None)
    if at is None:
        content["rules"].append(whole)
    else:
        content["rules"][at] = whole


def _copied(body: Body, table: Table) -> tuple[dict[str, Any], dict[str, Any]]:
    """A copy of the body, and in it the content of the table. Raises `RulesRefused`."""
    changed = copy.deepcopy(dict(body))
    try:
        return changed, raw_content(changed[table.key])
    except (TableBroken, KeyError) as broken:
        raise RulesRefused(f"{table.name}不是一张完整的决策表({broken}):请先导入一份好的。没有任何改变。") from None


def named_after(said: Mapping[str, str]) -> str:
    """The id of a row that nobody named: equal cells, equal ids."""
    whole = json.dumps({field: cell for field, cell in said.items() if cell}, sort_keys=True)
    return f"row-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


#: How several conditions on one column are written, by what it is.
_TOGETHER = {
    Kind.NUMBER: "> 300 且 <= 800",
    Kind.TEXT: "甲、乙",
    Kind.LIST: "含 甲、乙",
    Kind.YES_NO: "是",
}


def said_twice(column: Column) -> str:
    """The sentence for a column that somebody names twice: only one of the cells could be kept."""
    return f"「{column.name}」写了两次:都写在一格里,如「{_TOGETHER[column.kind]}」。没有任何改变。"


def column_meant(table: Table, content: Mapping[str, Any], heading: str) -> Column:
    """The column that is called so, by us or by a header in the table (`raw_content`). Raises `RulesRefused`."""
    known = {**table.inputs, **table.outputs}
    fields = {one.get("field") for one in [*content["inputs"], *content["outputs"]] if one.get("name") == heading}
    here = [known[field] for field in sorted(map(str, fields)) if field in known]
    ours = table.column(heading)
    found = {column.field: column for column in ([ours] if ours else []) + here}
    if len(found) > 1:
        ways = "、".join(found)
        raise RulesRefused(f"「{heading}」在这张表里指不止一列:写字段名 {ways} 中的一个。没有任何改变。")
    if not found:
        names = [str(one.get("name")) for one in content["inputs"] if one.get("field") in known]
        there = "、".join(dict.fromkeys([*(column.name for column in known.values()), *names]))
        raise RulesRefused(f"没有「{heading}」这一列:可以写 {there}。没有任何改变。")
    return next(iter(found.values()))
