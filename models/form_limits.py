"""What one answer of a form allows for another: the breeds of a species, the weights of a breed.

A form says it by `allOf` of `if` / `then` / `else`. Of all that apply the narrowest counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.form_field import Field, FieldKind
from models.form_judge import Condition, condition_of


@dataclass(frozen=True)
class Limits:
    """What is allowed: from `low` to `high`, and which choices. `because` names the answers that narrowed it."""

    low: float | None
    high: float | None
    choices: tuple[str, ...]
    because: tuple[str, str]  # in Chinese, in English; "" when it is always so


class FormLimits:
    """What one form allows, ready to be asked. Safe to use from several threads."""

    def __init__(self, schema: Mapping[str, Any], fields: Sequence[Field]) -> None:
        self._fields = {field.name: field for field in fields}
        self._own = {field.name: _own(schema["properties"][field.name], field) for field in fields}
        self._parts = _parts_of(schema)

    def given(self, values: Mapping[str, Any]) -> dict[str, Limits]:
        """The limits of every question, given these answers."""
        found = dict(self._own)
        for condition, branch in _applying(self._parts, values):
            for name, narrower in branch.get("properties", {}).items():
                if name in found:
                    found[name] = _narrowed(found[name], narrower, _because(condition, self._fields, values))
        return found


@dataclass(frozen=True)
class _Branch:
    """What a form says under a condition, and the parts of it that have conditions of their own."""

    schema: Mapping[str, Any]
    parts: Sequence[_Part]


@dataclass(frozen=True)
class _Part:
    """A part of a form: what it says where its condition holds, and where it does not."""

    condition: Mapping[str, Any]
    holds: Condition
    then: _Branch | None
    otherwise: _Branch | None


def _parts_of(schema: Mapping[str, Any]) -> list[_Part]:
    return [
        _Part(part["if"], condition_of(part["if"]), _branch_of(part.get("then")), _branch_of(part.get("else")))
        if "if" in part
        else _Part({}, condition_of({}), _Branch(part, ()), None)
        for part in schema.get("allOf", ())
    ]


def _branch_of(schema: Mapping[str, Any] | None) -> _Branch | None:
    return None if schema is None else _Branch(schema, _parts_of(schema))


def _applying(
    parts: Sequence[_Part], values: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The branches that apply to these answers, each with its condition; of an `else` none is told."""
    for part in parts:
        applies = part.holds(values)
        branch = part.then if applies else part.otherwise
        if branch is not None:
            yield (part.condition if applies else {}), branch.schema
            yield from _applying(branch.parts, values)


def _own(schema: Mapping[str, Any], field: Field) -> Limits:
    codes = tuple(choice.code for choice in field.choices) if field.kind is not FieldKind.YES_NO else ()
    return Limits(schema.get("minimum"), schema.get("maximum"), codes, ("", ""))


def _narrowed(limits: Limits, narrower: Mapping[str, Any], because: tuple[str, str]) -> Limits:
    low, high = narrower.get("minimum"), narrower.get("maximum")
    if low is not None and (limits.low is None or low > limits.low):
        limits = replace(limits, low=low, because=because)
    if high is not None and (limits.high is None or high < limits.high):
        limits = replace(limits, high=high, because=because)
    if "enum" in narrower and limits.choices:
        kept = tuple(code for code in limits.choices if code in narrower["enum"])
        limits = replace(limits, choices=kept, because=because)
    return limits


def _because(condition: Mapping[str, Any], known: Mapping[str, Field], values: Mapping[str, Any]) -> tuple[str, str]:
    named = [known[name] for name in condition.get("properties", {}) if name in known and name in values]
    return (
        "、".join(field.words_of(values[field.name]) for field in named),
        ", ".join(field.words_of(values[field.name], "en") for field in named),
    )


def rules_of(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conditions that a page can follow by itself: of one or more questions with certain choices.

    `[{"if": {question: [codes]}, "then": {question: {"enum" | "minimum" | "maximum": …}}}]`; others are left out, and
    are judged when the form is sent.
    """
    rules = []
    for part in schema.get("allOf", ()):
        conditions = part.get("if", {}).get("properties", {})
        codes = {name: [c["const"]] if "const" in c else c.get("enum") for name, c in conditions.items()}
        if conditions and all(codes.values()) and "then" in part:
            kept = {
                name: {word: narrower[word] for word in ("enum", "minimum", "maximum") if word in narrower}
                for name, narrower in part["then"].get("properties", {}).items()
            }
            rules.append({"if": codes, "then": kept})
    return rules
