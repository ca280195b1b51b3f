"""Whether a draft of the order form is fit to be asked: everything that is wrong with it, in sentences.

Of JSON Schema 2020-12 a form may use what `ALLOWED` names: enough for questions, choices and limits that depend on
each other, and nothing that reads from elsewhere (`$ref`) or may take forever (`pattern`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]

from models.form_facts import misfit_facts
from models.form_field import Field, FieldKind, field_of, plainly
from models.table_check import Problem

LARGEST_BYTES = 200_000
LARGEST_NUMBER = 1_000_000_000
MOST_FIELDS, MOST_CHOICES, MOST_CONDITIONS, DEEPEST = 60, 300, 600, 12
LONGEST_TITLE, LONGEST_HELP, LONGEST_NAME = 40, 200, 40
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")

_LIMITS = {"enum", "const", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "type"}
_OURS = {"x-order", "x-unit", "x-en", "x-en-description", "x-aliases", "x-names", "x-other", "x-none", "x-past-years"}
ALLOWED = {
    "form": {"$schema", "$comment", "title", "description", "x-en", "type", "required", "properties", "allOf"},
    "question": _LIMITS | _OURS | {"$comment", "title", "description", "format", "items", "uniqueItems"},
    "items": _LIMITS | {"$comment", "examples"},
    "condition": {"$comment", "properties", "required"},
    "branch": {"$comment", "properties", "required", "allOf"},
    "limit": _LIMITS | {"$comment"},
}


def check_form(body: object) -> list[Problem]:
    """Everything that is wrong with this form (`{"schema": …}`); empty when it is fit. Never raises."""
    schema = body.get("schema") if isinstance(body, Mapping) else None
    if not isinstance(schema, Mapping):
        return [Problem("schema", '表单要写成 {"schema": …},其中是一份 JSON Schema')]
    if (too_large := _too_large(schema)) is not None:
        return [too_large]
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        where = ".".join(str(step) for step in error.absolute_path) or "schema"
        return [Problem(where, f"不是有效的 JSON Schema 2020-12:{error.message[:200]}")]
    except (OverflowError, RecursionError):  # of a regular expression that is none
        return [Problem("schema", "不是有效的 JSON Schema 2020-12:表单不支持正则表达式,请改用可选项(enum)或长度限制")]
    properties = schema.get("properties")
    if schema.get("type") != "object" or not properties:
        return [Problem("schema", '最外层要是 "type": "object",并在 properties 里写至少一个字段')]
    problems = [*_strange(schema, "form", "schema"), *_questions(properties)]
    if problems:  # what follows goes by sound questions
        return problems
    required = set(schema.get("required", ()))
    fields = {name: field_of(name, question, name in required) for name, question in properties.items()}
    return [
        *_as_a_whole(schema, fields),
        *(problem for name, field in fields.items() for problem in _choices(field, properties[name])),
        *_conditions(schema, fields, properties, "allOf"),
    ]


def _too_large(schema: Mapping[str, Any]) -> Problem | None:
    try:
        size, depth = len(json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()), _depth(schema)
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError):
        return Problem("schema", "不能写成 JSON:请检查有没有特殊的数字、文字或过深的嵌套")
    if size > LARGEST_BYTES:
        return Problem("schema", f"太大({size // 1000} KB),最多 {LARGEST_BYTES // 1000} KB")
    if depth > DEEPEST:
        return Problem("schema", f"嵌套太深,最多 {DEEPEST} 层")
    if any(isinstance(value, Mapping) and not all(isinstance(key, str) for key in value) for value in _all(schema)):
        return Problem("schema", "不能写成 JSON:每个关键字和字段名都要是文字")
    if any(isinstance(value, int | float) and abs(value) > LARGEST_NUMBER for value in _all(schema)):
        return Problem("schema", f"有的数字太大:最大 {LARGEST_NUMBER},请改小")
    if len(list(_parts(schema))) > MOST_CONDITIONS:
        return Problem("allOf", f"条件太多,最多 {MOST_CONDITIONS} 个")
    return None


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + max((_depth(each) for each in inside), default=0)


def _all(value: Any) -> Iterator[Any]:
    """A value and everything inside it."""
    yield value
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _all(each)


def _parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All conditions of a form, nested ones too."""
    parts = schema.get("allOf")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, Mapping):
            yield part
            for branch in (part.get("then"), part.get("else"), part):
                if isinstance(branch, Mapping):
                    yield from _parts(branch)


def _strange(schema: Any, kind: str, where: str) -> Iterator[Problem]:
    """Keywords that a form may not use here."""
    if not isinstance(schema, Mapping):
        yield Problem(where, "要写成 {…},不能写 true 或 false")
        return
    for word in sorted(set(schema) - ALLOWED[kind]):
        yield Problem(f"{where}.{word}"[:200], _why_not(word))


def _why_not(word: str) -> str:
    if word in ("$ref", "$dynamicRef", "$defs", "$id"):
        return "不支持引用:请把内容直接写进字段"
    if word in ("pattern", "patternProperties"):
        return "不支持正则表达式:请改用可选项(enum)或长度限制"
    return "表单不支持这个关键字"


def _questions(properties: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with single questions."""
    if len(properties) > MOST_FIELDS:
        return [Problem("properties", f"字段太多,最多 {MOST_FIELDS} 个")]
    problems = []
    for name, question in properties.items():
        where = f"properties.{name[:60]}"
        if not _NAME.fullmatch(name):
            problems.append(Problem(where, "字段名要用小写英文、数字和下划线,以字母开头,最多 40 个字"))
        problems += _strange(question, "question", where)
        if isinstance(question, Mapping):
            problems += _question(question, where)
    return problems


def _question(question: Mapping[str, Any], where: str) -> Iterator[Problem]:
    title = question.get("title")
    if not title or len(title) > LONGEST_TITLE:
        yield Problem(where, f"要有中文名称 title,最多 {LONGEST_TITLE} 个字")
    if len(question.get("description", "")) > LONGEST_HELP:
        yield Problem(where, f"说明 description 最多 {LONGEST_HELP} 个字")
    if not isinstance(question.get("x-order"), int | float) or isinstance(question.get("x-order"), bool):
        yield Problem(where, "要有顺序 x-order,一个数字")
    type, items = question.get("type"), question.get("items", {})
    if type not in ("string", "number", "integer", "boolean", "array"):
        yield Problem(where, "类型 type 只能是 string、number、integer、boolean 或 array")
    if "items" in question and type != "array":
        yield Problem(where, "items 只能用在多选(array)里")
    if "enum" in question and type != "string":
        yield Problem(where, "可选项 enum 只能用在文字(string)里,多选写在 items 里")
    if type == "array":
        yield from _strange(items, "items", f"{where}.items")
        if not isinstance(items, Mapping) or items.get("type") != "string":
            yield Problem(where, '多选(array)的 items 要是 {"type": "string"}')
    if question.get("format") not in (None, "date"):
        yield Problem(where, "格式 format 只支持 date")
    for word in ("x-unit", "x-en", "x-en-description", "x-other"):
        if not isinstance(question.get(word, ""), str) or len(question.get(word, "")) > LONGEST_HELP:
            yield Problem(f"{where}.{word}", "要是一段文字")
    for word in ("x-aliases", "x-none"):
        if not _is_words(question.get(word, [])):
            yield Problem(f"{where}.{word}", f"要是一列文字,每个最多 {LONGEST_NAME} 个字")
    names = question.get("x-names", {})
    if not isinstance(names, Mapping) or not all(_is_words(each) and each for each in names.values()):
        yield Problem(f"{where}.x-names", '要写成 {"代码": ["叫法", …]},每个代码至少一个叫法')
    codes = [
        *question.get("enum", ()),
        *(items.get("enum", ()) if isinstance(items, Mapping) else ()),
        *(items.get("examples", ()) if isinstance(items, Mapping) else ()),
    ]
    if not all(isinstance(code, str) and _CODE.fullmatch(code) for code in codes):
        yield Problem(where, "可选项的代码要用英文、数字、下划线和连字符,最多 40 个字")
    if len(codes) > MOST_CHOICES:
        yield Problem(where, f"可选项太多,最多 {MOST_CHOICES} 个")
    years = question.get("x-past-years", 1)
    if not isinstance(years, int | float) or isinstance(years, bool) or not 0 < years <= 200:
        yield Problem(f"{where}.x-past-years", "要是 0 到 200 之间的数字(年)")


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and 0 < len(word) <= LONGEST_NAME for word in value)


def _choices(field: Field, question: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the choices of one question."""
    where = f"properties.{field.name}"
    codes = {choice.code for choice in field.choices}
    unnamed = [choice.code for choice in field.choices if not choice.names]
    if unnamed and field.kind is not FieldKind.YES_NO:
        yield Problem(where, f"这些可选项在 x-names 里没有叫法:{'、'.join(unnamed[:10])}")
    if strange := sorted(set(question.get("x-names", {})) - codes):
        yield Problem(where, f"x-names 里这些代码不是可选项:{'、'.join(strange[:10])}")
    if field.other and (field.other not in codes or not field.closed):
        yield Problem(where, f"x-other 的「{field.other}」要是 enum 里的可选项")
    said = Counter(word for choice in field.choices for word in {plainly(n) for n in (choice.code, *choice.names)})
    if twice := sorted(word for word, times in said.items() if times > 1):
        yield Problem(where, f"这些叫法属于多个可选项,分不清:{'、'.join(twice[:10])}")
    low, high = question.get("minimum"), question.get("maximum")
    if low is not None and high is not None and low > high:
        yield Problem(where, f"最小值 {low} 大于最大值 {high}")


def _as_a_whole(schema: Mapping[str, Any], fields: Mapping[str, Field]) -> Iterator[Problem]:
    required = set(schema.get("required", ()))
    for name in sorted(required - set(fields)):
        yield Problem("required", f"必填的 {name} 不在 properties 里")
    yield from misfit_facts(fields, required)
    orders = Counter(field.order for field in fields.values())
    for field in fields.values():
        if orders[field.order] > 1:
            yield Problem(f"properties.{field.name}", f"顺序 x-order {field.order:g} 与别的字段相同")
    called = Counter(word for field in fields.values() for word in {plainly(name) for name in field.aliases})
    if twice := sorted(word for word, times in called.items() if times > 1):
        yield Problem("properties", f"这些名称(title 或 x-aliases)属于多个字段,分不清:{'、'.join(twice[:10])}")


def _conditions(
    schema: Mapping[str, Any], fields: Mapping[str, Field], properties: Mapping[str, Any], where: str
) -> Iterator[Problem]:
    for number, part in enumerate(schema.get("allOf", ())):
        here = f"{where}.{number}"
        if not isinstance(part, Mapping) or set(part) - {"$comment", "if", "then", "else"} or "if" not in part:
            yield Problem(here, 'allOf 里每一项要写成 {"if": …, "then": …}')
            continue
        for word in ("if", "then", "else"):
            if word in part:
                yield from _branch(part[word], fields, properties, f"{here}.{word}", word == "if")


def _branch(
    branch: Any, fields: Mapping[str, Field], properties: Mapping[str, Any], where: str, is_condition: bool
) -> Iterator[Problem]:
    if strange := list(_strange(branch, "condition" if is_condition else "branch", where)):
        yield from strange
        return
    limits = branch.get("properties", {})
    for name in sorted({*limits, *branch.get("required", ())} - set(fields)):
        yield Problem(where, f"没有字段 {name}")
    if is_condition and (loose := sorted(set(limits) - set(branch.get("required", ())))):
        yield Problem(where, f"条件里的 {'、'.join(loose)} 也要写进 required,否则没有填的时候也算符合")
    for name, limit in limits.items():
        if strange := list(_strange(limit, "limit", f"{where}.{name}")):
            yield from strange
        elif name in fields:
            yield from _limit(limit, fields[name], properties[name], f"{where}.{name}")
    if not is_condition:
        yield from _conditions(branch, fields, properties, f"{where}.allOf")


def _limit(limit: Mapping[str, Any], field: Field, question: Mapping[str, Any], where: str) -> Iterator[Problem]:
    codes: set[Any] = {choice.code for choice in field.choices} if field.kind is not FieldKind.YES_NO else {True, False}
    named = [*limit.get("enum", ()), *([limit["const"]] if "const" in limit else [])]
    strange = [str(code) for code in named if not isinstance(code, str | bool) or code not in codes]
    if strange and field.closed | (field.kind is FieldKind.YES_NO):
        yield Problem(where, f"「{field.title()}」没有这些可选项:{'、'.join(strange[:10])}")
    low = max(limit.get("minimum", float("-inf")), question.get("minimum", float("-inf")))
    high = min(limit.get("maximum", float("inf")), question.get("maximum", float("inf")))
    if low > high:
        yield Problem(where, f"「{field.title()}」没有可以填的范围:最小 {low:g},最大 {high:g}")
