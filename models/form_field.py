"""One question of the order form: what it is called, what kind of answer it takes, and which choices there are.

A question is a property of the form's JSON Schema. Beside the standard keywords it has these of ours:

- `x-order`: its place; `x-unit`: the unit of a number; `x-en`, `x-en-description`: title and help in English;
- `x-aliases`: what channels call the question;
- `x-names`: code → what people call this choice, the first of them is shown (`true` and `false` for a yes or no);
- `x-other`: the choice for whatever is in no list; `x-none`: how people say "nothing" (the first one is shown);
- `x-past-years`: a date not in the future, and no older than this.

Choices are an `enum`; where the customer may name others too, they are `examples` of the items.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

#: Texts longer than this are asked for in a large field.
ONE_LINE = 100
LONGEST_TEXT = 2000
MOST_ITEMS = 50
_YES_NO = {"true": ("是",), "false": ("否",)}
_YES_NO_ENGLISH = {"true": "yes", "false": "no"}


class FieldKind(StrEnum):
    """What kind of answer a question takes."""

    CHOICE = "choice"
    MANY = "many"
    YES_NO = "yes_no"
    NUMBER = "number"
    DATE = "date"
    TEXT = "text"


@dataclass(frozen=True)
class Choice:
    """One choice: its code, and the names by which it is said; the first one is shown."""

    code: str
    names: tuple[str, ...]

    def title(self, language: str = "zh") -> str:
        """The choice as people read it; in English the code itself, in words."""
        if language == "zh" and self.names:
            return self.names[0]
        return _YES_NO_ENGLISH.get(self.code, self.code.replace("_", " "))


@dataclass(frozen=True)
class Field:
    """One question. `closed`: only its choices are answers; `longest` in characters; `none`: how "nothing" is said."""

    name: str
    kind: FieldKind
    order: float
    titles: tuple[str, str]
    helps: tuple[str, str]
    unit: str
    required: bool
    choices: tuple[Choice, ...]
    closed: bool
    other: str
    none: tuple[str, ...]
    aliases: tuple[str, ...]
    whole: bool
    longest: int
    most: int
    past_years: float | None

    def title(self, language: str = "zh") -> str:
        """What the question is called."""
        return self.titles[0 if language == "zh" else 1]

    def help(self, language: str = "zh") -> str:
        """A sentence that helps to answer it; may be empty."""
        return self.helps[0 if language == "zh" else 1]

    def choice_title(self, code: object, language: str = "zh") -> str:
        """A choice as people read it; what is none of ours as it was said."""
        wanted = str(code).lower() if isinstance(code, bool) else str(code)
        return next((choice.title(language) for choice in self.choices if choice.code == wanted), wanted)

    def code_of(self, said: str) -> str | None:
        """The choice that somebody means, by its code or any of its names; None for none of ours."""
        return self._codes.get(plainly(said))

    def says_none(self, said: str) -> bool:
        """Whether this is how people say that there is nothing; saying nothing at all is not."""
        wanted = plainly(said)
        return wanted != "" and wanted in self._nothing

    @cached_property
    def _codes(self) -> dict[str, str]:
        """How a choice may be said, plainly → its code; what two are called means the first."""
        said = [(plainly(name), choice.code) for choice in self.choices for name in (choice.code, *choice.names)]
        return dict(reversed(said))

    @cached_property
    def _nothing(self) -> frozenset[str]:
        return frozenset(plainly(word) for word in self.none)

    def words_of(self, value: Any, language: str = "zh") -> str:
        """An answer as people read it: `12 kg`, `鸡肉、牛肉`, `已绝育`."""
        if self.kind is FieldKind.MANY:
            if not value:
                return self.none[0] if self.none and language == "zh" else ("没有", "none")[language != "zh"]
            return ("、" if language == "zh" else ", ").join(self.choice_title(item, language) for item in value)
        if self.kind in (FieldKind.CHOICE, FieldKind.YES_NO):
            return self.choice_title(value, language)
        if self.kind is FieldKind.NUMBER:
            return f"{amount(value)} {self.unit}".strip()
        return str(value)


def plainly(said: str) -> str:
    """A word without what does not tell it from others: width, case, blanks, hyphens."""
    return "".join(unicodedata.normalize("NFKC", said).casefold().replace("-", " ").replace("_", " ").split())


def amount(value: float) -> str:
    """A number as people write it: `12`, `0.5`."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def field_of(name: str, schema: Mapping[str, Any], required: bool) -> Field:
    """The question that a property of a form is. Raises `KeyError` and `TypeError` for what `check_form` refuses."""
    items: Mapping[str, Any] = schema.get("items", {})
    kind = _kind(schema)
    codes = list(schema.get("enum") or items.get("enum") or items.get("examples") or ())
    if kind is FieldKind.YES_NO:
        codes = ["true", "false"]
    names = schema.get("x-names", {}) or (_YES_NO if kind is FieldKind.YES_NO else {})
    title = str(schema.get("title", name))
    help = str(schema.get("description", ""))
    return Field(
        name=name,
        kind=kind,
        order=_place(schema.get("x-order")),
        titles=(title, str(schema.get("x-en") or title)),
        helps=(help, str(schema.get("x-en-description") or help)),
        unit=str(schema.get("x-unit", "")),
        required=required,
        choices=tuple(Choice(str(code), tuple(names.get(code, ()))) for code in codes),
        closed="enum" in schema or "enum" in items,
        other=str(schema.get("x-other", "")),
        none=_words(schema.get("x-none")),
        aliases=(title, *_words(schema.get("x-aliases"))),
        whole=schema.get("type") == "integer",
        longest=int((items if kind is FieldKind.MANY else schema).get("maxLength", LONGEST_TEXT)),
        most=int(schema.get("maxItems", MOST_ITEMS)),
        past_years=schema.get("x-past-years"),
    )


def _place(said: Any) -> float:
    """Where a question stands; a draft may say what is no place, and is shown all the same."""
    try:
        return float(said)
    except (TypeError, ValueError, OverflowError):
        return 1000.0


def _words(said: Any) -> tuple[str, ...]:
    """The words of a list, without what is no text."""
    return tuple(word for word in said if isinstance(word, str)) if isinstance(said, list | tuple) else ()


def _kind(schema: Mapping[str, Any]) -> FieldKind:
    match schema["type"]:
        case "boolean":
            return FieldKind.YES_NO
        case "number" | "integer":
            return FieldKind.NUMBER
        case "array":
            return FieldKind.MANY
    if schema.get("enum"):
        return FieldKind.CHOICE
    return FieldKind.DATE if schema.get("format") == "date" else FieldKind.TEXT
