"""The order form as a page of a workbook: one row per question. Conditions between questions stay as they were."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

from integrations.spreadsheets.rules_book import Grid, Line, Page, as_read
from models.form_edits import FIELD_KINDS
from models.form_field import FieldKind, field_of

Schema = Mapping[str, Any]

FORM = "表单"
NAME, TITLE, KIND, REQUIRED, UNIT, HELP = "字段名", "标题", "类型", "必填", "单位", "说明"
CHOICES, LEAST, MOST, ORDER, ENGLISH, ALIASES = "选项", "最小", "最大", "次序", "英文标题", "别名"
HEADER = (NAME, TITLE, KIND, REQUIRED, UNIT, HELP, CHOICES, LEAST, MOST, ORDER, ENGLISH, ALIASES)
_TEXTS = {TITLE: "title", UNIT: "x-unit", HELP: "description", ENGLISH: "x-en"}
_LIMITS = {LEAST: "minimum", MOST: "maximum"}
_KINDS = {name: kind for kind, name in FIELD_KINDS.items()}
_BETWEEN = re.compile(r"[\n;\uff1b]")
_AND = re.compile(r"[/、]")


def form_page(body: Schema) -> Page:
    """The page of this form. Raises `KeyError`, `TypeError` for one that has problems."""
    schema = body["schema"]
    required = schema.get("required", ())
    rows = [_cells(name, question, name in required) for name, question in schema["properties"].items()]
    return Page(FORM, HEADER, [[row[title] for title in HEADER] for row in rows])


def read_form_page(grid: Grid, base: Schema) -> dict[str, Any]:
    """The form that a page says, where `base` is the one that it was made of. Raises `SheetWrong`."""
    body = copy.deepcopy(dict(base))
    schema = body["schema"]
    for header in (NAME, TITLE, KIND):
        if header not in grid.header:
            raise grid.wrong(f"缺少列「{header}」:表头要在第一行。")
    if strange := [header for header in grid.header if header not in HEADER]:
        raise grid.wrong(f"不认识列「{strange[0]}」:可以用 {'、'.join(HEADER)}。", 1)
    old, was_required = base["schema"]["properties"], list(base["schema"].get("required", ()))
    properties: dict[str, Any] = {}
    required: list[str] = []
    for line in grid.lines:
        name = line.cells.get(NAME, "")
        if not name or name in properties:
            raise grid.wrong("没有填。" if not name else f"「{name}」用了不止一次。", line.number, NAME)
        before = old.get(name)
        shown = _cells(name, before, name in was_required) if before is not None else None
        properties[name] = _question(grid, line, before, shown, len(properties) + 1)
        if _yes(grid, line, was_required.count(name) > 0):
            required.append(name)
    if not properties:
        raise grid.wrong("没有一行内容。")
    schema["properties"] = properties
    if sorted(required) != sorted(was_required):
        schema["required"] = required
    return body


def _cells(name: str, question: Schema, required: bool) -> dict[str, str]:
    field = field_of(name, question, required)
    cells = {
        NAME: name,
        TITLE: str(question.get("title", "")),
        KIND: FIELD_KINDS[field.kind],
        REQUIRED: "是" if required else "否",
        UNIT: str(question.get("x-unit", "")),
        HELP: str(question.get("description", "")),
        CHOICES: _choices(question) if field.kind in (FieldKind.CHOICE, FieldKind.MANY) else "",
        LEAST: _number(question.get("minimum")),
        MOST: _number(question.get("maximum")),
        ORDER: _number(question.get("x-order")),
        ENGLISH: str(question.get("x-en", "")),
        ALIASES: "、".join(question.get("x-aliases", ())),
    }
    return {header: as_read(said) for header, said in cells.items()}


def _choices(question: Schema) -> str:
    """`poodle=贵宾犬/贵宾/泰迪`, one a line."""
    items: Schema = question.get("items", {})
    names: Mapping[str, Any] = question.get("x-names", {})
    codes = question.get("enum") or items.get("enum") or items.get("examples") or ()
    return "\n".join(f"{code}={'/'.join(names.get(code, ()))}".removesuffix("=") for code in codes)


def _number(said: Any) -> str:
    return "" if said is None else json.dumps(said)


def _question(
    grid: Grid, line: Line, before: Schema | None, shown: Mapping[str, str] | None, place: int
) -> dict[str, Any]:
    """The question that a line says; what did not change stays to the letter."""
    cells = {header: line.cells.get(header, "") for header in grid.header}
    if shown is not None and before is not None and all(shown[header] == said for header, said in cells.items()):
        return copy.deepcopy(dict(before))
    if not cells[TITLE]:
        raise grid.wrong("没有填:客户看到的就是它。", line.number, TITLE)
    changed = {header: said for header, said in cells.items() if shown is None or shown[header] != said}
    question = copy.deepcopy(dict(before)) if before is not None else {"x-order": place}
    for header, key in _TEXTS.items():
        if header in changed:
            _put(question, key, changed[header] or None)
    for header, key in {**_LIMITS, ORDER: "x-order"}.items():
        if header in changed:
            _put(question, key, _read_number(grid, line, header, changed[header]))
    if ALIASES in changed:
        _put(question, "x-aliases", [one.strip() for one in changed[ALIASES].split("、") if one.strip()] or None)
    if KIND in changed or CHOICES in changed:
        _answers(grid, line, cells, question)
    question.setdefault("x-order", place)
    return question


def _answers(grid: Grid, line: Line, cells: Mapping[str, str], question: dict[str, Any]) -> None:
    """What an answer is, where the kind or the choices are others now."""
    kind = _KINDS.get(cells[KIND])
    if kind is None:
        raise grid.wrong(f"「{cells[KIND]}」应是 {'、'.join(_KINDS)} 之一。", line.number, KIND)
    choices = _read_choices(grid, line, cells.get(CHOICES, ""))
    if bool(choices) != (kind in (FieldKind.CHOICE, FieldKind.MANY)):
        raise grid.wrong("单选和多选要写选项,一行一个,如 indoor=室内;其他类型不写。", line.number, CHOICES)
    open_list = "examples" in question.get("items", {})
    for key in ("type", "enum", "items", "format", "x-names", "uniqueItems"):
        question.pop(key, None)
    match kind:
        case FieldKind.CHOICE:
            question |= {"type": "string", "enum": list(choices), "x-names": choices}
        case FieldKind.MANY:
            items = {"type": "string", "examples" if open_list else "enum": list(choices)}
            question |= {"type": "array", "items": items, "uniqueItems": True, "x-names": choices}
        case FieldKind.DATE:
            question |= {"type": "string", "format": "date"}
        case _:
            question["type"] = {FieldKind.YES_NO: "boolean", FieldKind.NUMBER: "number"}.get(kind, "string")


def _read_choices(grid: Grid, line: Line, said: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in _BETWEEN.split(said):
        code, _, names = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not code or code in found:
            raise grid.wrong(f"选项「{part.strip()[:60]}」不行:写成 代码=名称,代码不能重复。", line.number, CHOICES)
        found[code] = [name.strip() for name in _AND.split(names) if name.strip()]
    return found


def _read_number(grid: Grid, line: Line, header: str, said: str) -> int | float | None:
    if not said:
        return None
    if not re.fullmatch(r"-?\d{1,9}(\.\d{1,6})?", said):
        raise grid.wrong(f"「{said[:30]}」应为一个数。", line.number, header)
    return float(said) if "." in said else int(said)


def _yes(grid: Grid, line: Line, before: bool) -> bool:
    if REQUIRED not in grid.header:
        return before
    said = line.cells.get(REQUIRED, "否")
    if said not in ("是", "否"):
        raise grid.wrong(f"「{said[:30]}」应写 是 或 否。", line.number, REQUIRED)
    return said == "是"


def _put(question: dict[str, Any], key: str, said: Any) -> None:
    if said is None:
        question.pop(key, None)
    else:
        question[key] = said
