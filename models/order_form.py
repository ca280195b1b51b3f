"""The order form: the questions about a pet that a made-to-order line is asked by, as a JSON Schema.

Answers come from any channel and in anybody's words. They are read (`models/form_reading.py`) and then validated by
the schema: what contradicts it, or each other, is named with its question and a sentence that says what to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from models.database import utcnow
from models.form_field import Field, FieldKind, field_of, plainly
from models.form_judge import FormJudge
from models.form_limits import FormLimits, Limits, rules_of
from models.form_reading import Unreadable, read
from models.form_words import cannot_read, contradicts, out_of_past
from models.wording import TZ

#: The form that a new installation starts with.
STARTER = Path(__file__).parent / "starter" / "form.json"


@dataclass(frozen=True)
class Wrong:
    """An answer that cannot be: to which question, and why, with what to do."""

    field: str
    why: str


@dataclass(frozen=True)
class FormResult:
    """What came of the answers: those that count (codes, numbers, ISO dates), questions without one, and wrong ones."""

    values: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    wrong: tuple[Wrong, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is missing and nothing contradicts."""
        return not self.missing and not self.wrong

    @property
    def asked(self) -> tuple[str, ...]:
        """The questions that are to be answered (again)."""
        return tuple(dict.fromkeys((*self.missing, *(wrong.field for wrong in self.wrong))))


class OrderForm:
    """One version of the form."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        """`body` is `{"schema": JSON Schema 2020-12}`. Raises `KeyError`, `TypeError` for what `check_form` refuses."""
        self.schema: dict[str, Any] = dict(body["schema"])
        required = set(self.schema.get("required", ()))
        properties: Mapping[str, Mapping[str, Any]] = self.schema.get("properties", {})
        found = [field_of(name, schema, name in required) for name, schema in properties.items()]
        self.fields: tuple[Field, ...] = tuple(sorted(found, key=lambda each: (each.order, each.name)))
        self._by_name = {each.name: each for each in self.fields}
        self._aliases = {each.name: [plainly(alias) for alias in each.aliases] for each in self.fields}
        self._judge = FormJudge(self.schema)

    def __getitem__(self, name: str) -> Field:
        return self._by_name[name]

    def title(self, language: str = "zh") -> str:
        """What the form is called."""
        title = str(self.schema.get("title", ""))
        return title if language == "zh" else str(self.schema.get("x-en") or title)

    def check(self, answers: Mapping[str, Any], now: datetime | None = None, language: str = "zh") -> FormResult:
        """What came of these answers, given by question or by any of its names. Never raises, whatever they are.

        An age is turned into a day, and birthdays are judged, at `now` (default: the clock).
        """
        today, called = (now or utcnow()).astimezone(TZ).date(), self._by_other_names(answers)
        values: dict[str, Any] = {}
        wrong: dict[str, Wrong] = {}
        for each in self.fields:
            said = self._said(each, answers, called)
            try:
                value = read(each, said, today)
            except Unreadable:
                wrong[each.name] = Wrong(each.name, cannot_read(each, said, language))
                continue
            if value is None:
                continue
            values[each.name] = value
            if (sentence := _out_of_past(each, value, today, language)) is not None:
                wrong[each.name] = Wrong(each.name, sentence)
        missing = self._judged(values, wrong, language)
        left = {name: value for name, value in values.items() if name not in wrong}
        return FormResult(left, tuple(name for name in missing if name not in wrong), self._in_order(wrong))

    def readings(self, answers: Mapping[str, Any], now: datetime | None = None) -> dict[str, Any]:
        """What each answer is read as, whether or not it may be: the words themselves where it cannot be read."""
        today = (now or utcnow()).astimezone(TZ).date()
        found = {}
        for each in self.fields:
            said = self.said_of(each, answers)
            try:
                value = read(each, said, today)
            except Unreadable:
                value = _shown(said)
            if value is not None:
                found[each.name] = value
        return found

    def limits(self, values: Mapping[str, Any]) -> dict[str, Limits]:
        """What is allowed for each question, given the answers to others: choices, and from where to where."""
        return self._limits.given(values)

    @cached_property
    def _limits(self) -> FormLimits:
        return FormLimits(self.schema, self.fields)

    @property
    def rules(self) -> list[dict[str, Any]]:
        """Which answers narrow which others, for a page to follow: `[{"if": {…}, "then": {…}}]`."""
        return rules_of(self.schema)

    def told(self, pet: Mapping[str, Any], language: str = "zh", now: datetime | None = None) -> dict[str, str]:
        """A pet as people read it: title → answer, in the form's order. What cannot be read is shown as it was said."""
        today = (now or utcnow()).astimezone(TZ).date()
        told = {}
        for each in self.fields:
            said = self.said_of(each, pet)
            try:
                value = read(each, said, today)
            except Unreadable:
                told[each.title(language)] = _shown(said)
                continue
            if value is None or (value == "" and each.kind is FieldKind.TEXT):
                continue
            words = each.words_of(value, language)
            is_other = each.other != "" and value == each.other and each.code_of(_shown(said)) is None
            told[each.title(language)] = f"{words}({_shown(said)})" if is_other else words
        return told

    def names_of(self, fields: tuple[str, ...], language: str = "zh") -> list[str]:
        """What these questions are called."""
        return [self[name].title(language) if name in self._by_name else name for name in fields]

    def said_of(self, asked: Field, answers: Mapping[str, Any]) -> Any:
        """What was answered to a question: by its own name, else by one that channels call it; None for nothing.

        A blank is no answer while another name has one. Lists come from our own form and count alone; of what channels
        say under several names to a question of many choices, all counts: an allergen is not lost to another's "none".
        """
        return self._said(asked, answers, self._by_other_names(answers))

    def _said(self, asked: Field, answers: Mapping[str, Any], called: Mapping[str, Any]) -> Any:
        own = answers.get(asked.name)
        if own is not None and not isinstance(own, str):
            return own
        said = [own, *(called[alias] for alias in self._aliases[asked.name] if alias in called)]
        told = [each for each in said if each is not None and not (isinstance(each, str) and not plainly(each))]
        if asked.kind is FieldKind.MANY and len(told) > 1:
            return [item for each in told for item in (each if isinstance(each, list | tuple) else [each])]
        return told[0] if told else own

    def _by_other_names(self, answers: Mapping[str, Any]) -> dict[str, Any]:
        """The answers whose names are not the questions' own, by these names, plainly."""
        others = ((str(name), said) for name, said in answers.items() if name not in self._by_name)
        return {plainly(name): said for name, said in others if len(name) <= 60}

    def _judged(self, values: dict[str, Any], wrong: dict[str, Wrong], language: str) -> list[str]:
        """The questions without an answer; into `wrong` goes what the schema does not allow."""
        judged = self._judge.judge({name: value for name, value in values.items() if name not in wrong})
        if broken := {name: word for name, word in judged.broken.items() if name in self._by_name}:
            limits = self.limits(values)
            for name, word in broken.items():
                wrong[name] = Wrong(name, contradicts(self[name], values[name], limits[name], word, language))
        return [each.name for each in self.fields if each.name in judged.missing]

    def _in_order(self, wrong: Mapping[str, Wrong]) -> tuple[Wrong, ...]:
        return tuple(wrong[each.name] for each in self.fields if each.name in wrong)


def _out_of_past(asked: Field, value: Any, today: date, language: str) -> str | None:
    if asked.past_years is None or asked.kind is not FieldKind.DATE:
        return None
    day = date.fromisoformat(value)
    earliest = today - timedelta(days=round(asked.past_years * 365.25))
    return None if earliest <= day <= today else out_of_past(asked, value, today, language)


def _shown(said: Any) -> str:
    """What was said, short enough for a line."""
    return str(said)[:60] if isinstance(said, str | int | float) else "…"


def starter_form() -> dict[str, Any]:
    """The form that a new installation starts with."""
    body: dict[str, Any] = json.loads(STARTER.read_text(encoding="utf-8"))
    return body
