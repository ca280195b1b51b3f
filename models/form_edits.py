"""Changes to the order form: one more question, or one less; the body as it is goes in, a new one comes out."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.form_facts import FORM_FACTS
from models.form_field import FieldKind, plainly
from models.rule_edits import Body
from models.rule_version import RulesRefused

#: How people call the kinds of answer.
FIELD_KINDS = {
    FieldKind.TEXT: "文字",
    FieldKind.NUMBER: "数",
    FieldKind.YES_NO: "是否",
    FieldKind.CHOICE: "单选",
    FieldKind.MANY: "多选",
    FieldKind.DATE: "日期",
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
#: What a question keeps that is replaced: its English, and what channels call it.
_STAYS = ("x-en", "x-en-description", "x-aliases")
_WITH_CHOICES = (FieldKind.CHOICE, FieldKind.MANY)


@dataclass(frozen=True)
class FieldWish:
    """A question as people say it. `choices`: `indoor=室内、outdoor=室外`, or only the names; `order`: its place."""

    name: str
    title: str
    kind: FieldKind
    required: bool = False
    help: str = ""
    unit: str = ""
    choices: str = ""
    minimum: float | None = None
    maximum: float | None = None
    order: float | None = None


def with_field(body: Body, wish: FieldWish) -> dict[str, Any]:
    """The form with this question; one of the same name is replaced. Raises `RulesRefused`.

    The one that is replaced keeps its place, the codes of choices whose names it knows, and how "nothing" is said.
    """
    changed, properties = _copied(body)
    if _NAME.fullmatch(wish.name) is None:
        raise RulesRefused(f"字段名「{wish.name[:50]}」不行:小写字母开头,只用小写字母、数字和下划线。没有任何改变。")
    if not wish.title.strip():
        raise RulesRefused("字段要有标题,客户看到的就是它。没有任何改变。")
    was = properties.get(wish.name)
    old: dict[str, Any] = was if isinstance(was, dict) else {}
    places = [float(one.get("x-order", 0)) for one in properties.values() if isinstance(one, dict)]
    place = wish.order if wish.order is not None else old.get("x-order", max(places, default=0) + 1)
    question: dict[str, Any] = {
        **{key: old[key] for key in _STAYS if key in old},
        "x-order": int(place) if float(place).is_integer() else place,
        "title": wish.title.strip(),
        **_answers(wish, old),
    }
    question |= {key: said for key, said in (("description", wish.help.strip()), ("x-unit", wish.unit.strip())) if said}
    properties[wish.name] = question
    _require(changed["schema"], wish.name, wish.required)
    return changed


def without_field(body: Body, name: str) -> dict[str, Any]:
    """The form without this question. Raises `RulesRefused`."""
    changed, properties = _copied(body)
    if name not in properties:
        raise RulesRefused(f"表单没有字段「{name}」:有 {'、'.join(properties)}。没有任何改变。")
    del properties[name]
    _require(changed["schema"], name, False)
    return changed


def choices_of(said: str, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Code → name, of `indoor=室内、outdoor=室外`. Raises `RulesRefused`.

    A name without a code gets the one of `known` (name, plainly → code), else one of its own.
    """
    found: dict[str, str] = {}
    for part in re.split(r"[、,;\n\uff0c\uff1b]", said):
        if not part.strip():
            continue
        code, told, name = (piece.strip() for piece in part.partition("="))
        if not told:
            name, code = code, (known or {}).get(plainly(code), f"c{hashlib.sha256(code.encode()).hexdigest()[:8]}")
        if _CODE.fullmatch(code) is None or not name or code in found or name in found.values():
            raise RulesRefused(
                f"选项「{part.strip()[:60]}」不行:写成 代码=名称,代码用字母和数字,代码和名称都不能重复。没有任何改变。"
            )
        found[code] = name
    return found


def _names_of(question: Body) -> dict[str, list[str]]:
    """Code → how a question's choices are called; of one whose names cannot be read, nothing."""
    named = question.get("x-names")
    pairs = named.items() if isinstance(named, dict) and question.get("type") != "boolean" else ()
    return {code: [name for name in names if isinstance(name, str)] for code, names in pairs if isinstance(names, list)}


def _as_before(wish: FieldWish, old: Body) -> tuple[dict[str, list[str]], list[str]]:
    """Code → names of these choices, those of the replaced question under its codes; and how "nothing" is said."""
    before = _names_of(old)
    fact = FORM_FACTS[wish.name].names if wish.name in FORM_FACTS else {}
    known = {plainly(name): code for names in (before, fact) for code in names for name in (code, *names[code])}
    said = old.get("x-none")
    nothing = [word for word in said if isinstance(word, str)] if isinstance(said, list) else []
    is_nothing = {plainly(word) for word in nothing} if wish.kind is FieldKind.MANY else set()
    choices = {code: name for code, name in choices_of(wish.choices, known).items() if plainly(name) not in is_nothing}
    first = {plainly(name) for name in choices.values()}
    names = {
        code: [name, *(more for more in before.get(code, ()) if plainly(more) not in first)]
        for code, name in choices.items()
    }
    return names, nothing


def _answers(wish: FieldWish, old: Body) -> dict[str, Any]:
    """The part of the question's schema that says what an answer is; of the same kind it keeps what is not said."""
    names, nothing = _as_before(wish, old)
    if bool(names) != (wish.kind in _WITH_CHOICES):
        raise RulesRefused("单选和多选要写选项,其他类型不写选项。没有任何改变。")
    limited = {key: limit for key, limit in (("minimum", wish.minimum), ("maximum", wish.maximum)) if limit is not None}
    if limited and wish.kind is not FieldKind.NUMBER:
        raise RulesRefused("只有「数」可以写最小和最大。没有任何改变。")
    match wish.kind:
        case FieldKind.CHOICE:
            other = {"x-other": old["x-other"]} if str(old.get("x-other")) in names else {}
            return {"type": "string", "enum": list(names), "x-names": names, **other}
        case FieldKind.MANY:
            items = old.get("items") if old.get("type") == "array" else None
            kept = {key: said for key, said in items.items() if key != "enum"} if isinstance(items, dict) else {}
            listed = "examples" if "examples" in kept else "enum"  # where others may be named, they still may
            most = {"maxItems": old["maxItems"]} if kept and "maxItems" in old else {}
            none = {"x-none": nothing} if nothing else {}
            items = {**kept, "type": "string", listed: list(names)}
            return {"type": "array", "items": items, "uniqueItems": True, "x-names": names, **most, **none}
        case FieldKind.YES_NO:
            named = {"x-names": old["x-names"]} if old.get("type") == "boolean" and "x-names" in old else {}
            return {"type": "boolean", **named}
        case FieldKind.NUMBER:
            unit = {"x-unit": old["x-unit"]} if old.get("type") in ("number", "integer") and "x-unit" in old else {}
            return {"type": "number", **limited, **unit}
        case FieldKind.DATE:
            years = {"x-past-years": old["x-past-years"]} if "x-past-years" in old else {}
            return {"type": "string", "format": "date", **years}
    none = {"x-none": nothing} if nothing and old.get("type") == "string" else {}
    return {"type": "string", "maxLength": 1000, **none}


def _require(schema: dict[str, Any], name: str, required: bool) -> None:
    names: Sequence[str] = schema.get("required", [])
    if required and name not in names:
        schema["required"] = [*names, name]
    if not required and name in names:
        schema["required"] = [one for one in names if one != name]


def _copied(body: Body) -> tuple[dict[str, Any], dict[str, Any]]:
    changed = copy.deepcopy(dict(body))
    schema = changed.get("schema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        raise RulesRefused("这份表单不完整(要有 schema 和其中的 properties):请先导入一份好的。没有任何改变。")
    return changed, properties
