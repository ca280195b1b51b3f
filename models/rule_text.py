"""Rules as JSON text, as people paste it or keep it in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from models.rule_version import KIND_WORDS, LONGEST, RuleKind, RulesRefused

_KEYS = {
    RuleKind.MATRIX: {"approval"},
    RuleKind.RECIPES: {"ingredients", "recipes", "choice"},
    RuleKind.FORM: {"schema"},
}


def body_of(kind: RuleKind, text: str) -> dict[str, Any]:
    """The body in a JSON text. Raises `RulesRefused`.

    A decision table as the table editor saves it is an approval matrix, and a bare JSON Schema is a form.
    """
    said = parsed(text)
    if kind is RuleKind.MATRIX and "nodes" in said:
        return {"approval": said}
    if kind is RuleKind.FORM and "properties" in said:
        return {"schema": said}
    if said.keys() != _KEYS[kind]:
        other = kind_of(said)
        keys = "、".join(sorted(_KEYS[kind]))
        looks = f",这一份看起来是{KIND_WORDS[other][0]}" if other and other is not kind else ""
        raise RulesRefused(f"{KIND_WORDS[kind][0]}的 JSON 最外层要有且只有 {keys}{looks}。没有任何改变。")
    return said


def kind_of(body: Mapping[str, Any]) -> RuleKind | None:
    """Which kind of rules this is, by its keys; None for none."""
    if "nodes" in body:
        return RuleKind.MATRIX
    if "properties" in body:
        return RuleKind.FORM
    return next((kind for kind, keys in _KEYS.items() if body.keys() == keys), None)


def parsed(text: str) -> dict[str, Any]:
    """The JSON object in a text. Raises `RulesRefused`, which says where it ends to be JSON."""
    if len(text) > LONGEST:
        raise RulesRefused(f"超过 {LONGEST // 1_000_000} 百万字。没有任何改变。")
    try:
        said = json.loads(text.removeprefix("\ufeff"), parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise RulesRefused(f"不是 JSON:第 {error.lineno} 行第 {error.colno} 个字读不懂。没有任何改变。") from None
    except (ValueError, RecursionError):
        raise RulesRefused("不是能保存的 JSON:数字太大,或嵌套太深。没有任何改变。") from None
    if not isinstance(said, dict):
        raise RulesRefused("JSON 最外层要是一个对象,用 { } 括起来。没有任何改变。")
    return said


def _no_number(said: str) -> float:
    raise ValueError(said)
