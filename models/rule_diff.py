"""What one version of the rules says otherwise than another, in people's words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from models.decision_table import Content, Row, TableBroken, content_of
from models.form_edits import FIELD_KINDS
from models.form_field import field_of
from models.recipe_check import NUTRIENTS
from models.rule_cells import said_of, said_output
from models.rule_columns import APPROVAL, CHOICE, Column, Table
from models.rule_version import RuleKind

Body = Mapping[str, Any]
#: Values in a sentence are cut here; the whole of them is in the version.
LONGEST = 120

_RECIPE_WORDS = {
    "title": "名称",
    "species": "物种",
    "staple": "主食",
    "special": "特殊配方",
    "allergens": "过敏原",
    "kcal_per_kg": "每千克千卡",
    "flags": "标记",
    "price_fen_per_kg": "每千克价格(元)",
}
#: Mappings of numbers, told one by one: how each of them is called.
_PARTS = {"grams_per_kg": "{}(克/kg)", "nutrients": "{}(%)"}
#: What is told of a new entry besides its name, even where nothing was said.
_ALWAYS = {"食材": ("过敏原", "每千克价格(元)"), "配方": ("过敏原", "特殊配方")}
_UNSAID = "没有写"
_FORM_WORDS = {
    "title": "标题",
    "description": "说明",
    "x-order": "次序",
    "x-unit": "单位",
    "x-names": "选项",
    "minimum": "最小",
    "maximum": "最大",
    "type": "类型",
}


def differences(kind: RuleKind, before: Body, after: Body) -> list[str]:
    """What was added, removed and changed from `before` to `after`, one sentence each; empty for equal rules.

    Works on drafts with problems too: what cannot be taken apart is told as a whole.
    """
    try:
        match kind:
            case RuleKind.MATRIX:
                return _tables(APPROVAL, before, after)
            case RuleKind.RECIPES:
                names = {str(one["sku"]): str(one["title"]) for one in (*before["ingredients"], *after["ingredients"])}
                return [
                    *_entries("食材", "sku", before["ingredients"], after["ingredients"], names),
                    *_entries("配方", "code", before["recipes"], after["recipes"], names),
                    *_tables(CHOICE, before, after),
                ]
            case RuleKind.FORM:
                return _forms(before["schema"], after["schema"])
    except (TableBroken, KeyError, TypeError, AttributeError, ValueError):
        return [] if before == after else ["内容不同,但这一版有问题,没法逐行比较"]


def headings(content: Content) -> dict[str, str]:
    """Column id → its name; where several are called the same, with the id: `金额(元) #amount-2`."""
    columns = [*content.inputs, *content.outputs]
    names = {column.id: column.name or column.field for column in columns}
    times = Counter(names.values())
    return {each: name if times[name] == 1 else f"{name} #{each}" for each, name in names.items()}


def row_words(table: Table, content: Content, row: Row) -> dict[str, str]:
    """Column (`headings`) → what its cell says in people's words, without the empty ones."""
    told, called = {}, headings(content)
    for column in (*content.inputs, *content.outputs):
        if said := row.cells.get(column.id):
            is_input = column in content.inputs
            told[called[column.id]] = cell_words(table, column.field, said, is_input=is_input)
    return told


def cell_words(table: Table, field: str, said: str, *, is_input: bool) -> str:
    """One cell in people's words; of a column that we do not know, as zen has it."""
    known: Column | None = (table.inputs if is_input else table.outputs).get(field)
    if known is None:
        return f"={said}"
    return said_of(known, said) if is_input else said_output(known, said, table.inputs)


def _tables(table: Table, before: Body, after: Body) -> list[str]:
    old, new = content_of(before[table.key]), content_of(after[table.key])
    rows = [{row.id: row_words(table, content, row) for row in content.rows} for content in (old, new)]
    said = _changed(f"{table.name}的行", rows[0], rows[1], _row_sentence)
    asked = [_asked(content) for content in (old, new)]
    said += [f"新列「{name}」" for each, name in asked[1].items() if each not in asked[0]]
    said += [f"去掉列「{name}」" for each, name in asked[0].items() if each not in asked[1]]
    if old.collects != new.collects:
        said.append(f"{table.name}改为" + ("所有成立的行都算" if new.collects else "只算第一个成立的行"))
    both = [[row for row in part if row in rows[1 - at]] for at, part in enumerate(rows)]
    if both[0] != both[1]:
        said.append(f"{table.name}的行换了次序")
    return said or ([] if before[table.key] == after[table.key] else [f"{table.name}只有编排(列名、说明、位置)不同"])


def _asked(content: Content) -> dict[tuple[str, int], str]:
    """What the columns ask for → their names; a fact that is asked for again is another column."""
    fields = [column.field for column in content.inputs]
    called = headings(content)
    return {(c.field, fields[:at].count(c.field)): called[c.id] for at, c in enumerate(content.inputs)}


def _row_sentence(row: Mapping[str, str]) -> str:
    return _short(",".join(f"{name} {said}" for name, said in row.items()) or "空行")


def _entries(what: str, key: str, before: Sequence[Body], after: Sequence[Body], names: Mapping[str, str]) -> list[str]:
    old, new = ({str(one[key]): _entry_words(one, names) for one in part} for part in (before, after))

    def sentence(one: Mapping[str, str]) -> str:
        told = {**dict.fromkeys(_ALWAYS[what], _UNSAID), **one}
        return ",".join([told.pop("名称", ""), *(f"{name} {_short(said)}" for name, said in told.items())])

    return _changed(what, old, new, sentence, lambda one: _short(one.get("名称", "")))


def _entry_words(entry: Body, names: Mapping[str, str]) -> dict[str, str]:
    """What an ingredient or a recipe says, in people's words, without its key."""
    told: dict[str, str] = {}
    for key, said in entry.items():
        if key in _PARTS and isinstance(said, Mapping):
            called = {**names, **NUTRIENTS}
            told |= {_PARTS[key].format(called.get(part, part)): _value(each) for part, each in said.items()}
        elif key == "allergens" and isinstance(said, list):
            told[_RECIPE_WORDS[key]] = "、".join(CHOICE.inputs[key].word_of(str(each)) for each in said) or "无"
        elif key in ("species", "staple") and isinstance(said, str):
            told[_RECIPE_WORDS[key]] = CHOICE.inputs[key].word_of(said)
        elif key == "price_fen_per_kg" and isinstance(said, int):
            told[_RECIPE_WORDS[key]] = f"{Decimal(said) / 100:f}"
        elif key not in ("sku", "code") and not (key == "flags" and said == []):
            told[_RECIPE_WORDS.get(key, key)] = _value(said)
    return told


def _forms(before: Body, after: Body) -> list[str]:
    parts = [
        {
            name: {
                **{_FORM_WORDS.get(key, key): _value(said) for key, said in question.items()},
                "必填": "是" if name in schema.get("required", ()) else "否",
            }
            for name, question in schema["properties"].items()
        }
        for schema in (before, after)
    ]
    said = _changed("字段", parts[0], parts[1], lambda one: _short(one.get("标题", "")))
    for number, line in enumerate(said):
        name = line.removeprefix("新增字段 ").partition(":")[0]
        if line.startswith("新增字段 ") and name in after["properties"]:
            field = field_of(name, after["properties"][name], name in after.get("required", ()))
            said[number] = f"{line}({FIELD_KINDS[field.kind]}{',必填' if field.required else ''})"
    rest = [{key: said for key, said in s.items() if key not in ("properties", "required")} for s in (before, after)]
    changed = [key for key in {**rest[0], **rest[1]} if rest[0].get(key) != rest[1].get(key)]
    said += [
        {"allOf": "字段之间的条件有改动", "title": "表单的标题有改动"}.get(key, f"表单的 {key} 有改动")
        for key in changed
    ]
    return said


def _changed(
    what: str,
    before: Mapping[str, Mapping[str, str]],
    after: Mapping[str, Mapping[str, str]],
    sentence: Callable[[Mapping[str, str]], str],
    gone: Callable[[Mapping[str, str]], str] | None = None,
) -> list[str]:
    said = [f"新增{what} {name}:{sentence(one)}" for name, one in after.items() if name not in before]
    said += [f"去掉{what} {name}:{(gone or sentence)(one)}" for name, one in before.items() if name not in after]
    for name, one in after.items():
        if name not in before or before[name] == one:
            continue
        was = before[name]
        parts = [
            f"{key} {_short(was.get(key, '')) or '(空)'} → {_short(one.get(key, '')) or '(空)'}"
            for key in dict.fromkeys((*was, *one))
            if was.get(key) != one.get(key)
        ]
        said.append(f"改动{what} {name}:{';'.join(parts)}")
    return said


def _value(said: Any) -> str:
    if isinstance(said, bool):
        return "是" if said else "否"
    if isinstance(said, list):
        return "、".join(map(_value, said))
    if isinstance(said, Mapping):
        return "、".join(f"{key} {_value(one)}" for key, one in said.items())
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)


def _short(said: str) -> str:
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
