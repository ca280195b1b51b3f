"""Which answers the JSON Schema of a form does not allow: made ready once, then asked about pet after pet.

The validator of `jsonschema` walks every condition anew for every pet, a millisecond each. A form may say little
(`models.form_check.ALLOWED`), and that little is made ready here, to the same answers. A form that says anything else,
or says it wrongly, is left to the library as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

_FORMATS = Draft202012Validator.FORMAT_CHECKER


@dataclass
class Judged:
    """`missing`: questions that must be answered and are not; `broken`: question → the first keyword it breaks."""

    missing: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)


#: The first keyword that an answer breaks; "" for none.
Ask = Callable[[Any], str]
#: Whether answers fulfil a condition.
Condition = Callable[[Mapping[str, Any]], bool]
#: Adds what answers break to what is known.
_Step = Callable[[Mapping[str, Any], Judged], None]


class _LeftToLibrary(Exception):
    """This is not among the little that a form may say."""


class FormJudge:
    """The schema of one form, ready to be asked. Safe to use from several threads."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """`schema` is JSON Schema 2020-12. One that is wrong is an error of the library when it is asked."""
        self._library = Draft202012Validator(dict(schema), format_checker=_FORMATS)
        self._step: _Step | None = None
        try:
            self._step = _branch({word: said for word, said in schema.items() if word != "$schema"})
        except _LeftToLibrary:
            pass

    @property
    def is_ready(self) -> bool:
        """Whether it is judged here, and not by the library."""
        return self._step is not None

    def judge(self, values: Mapping[str, Any]) -> Judged:
        """What these answers break. They are as `models.form_reading` gives them: text, number, bool, list of texts."""
        if self._step is None:
            return self.by_library(values)
        judged = Judged()
        self._step(values, judged)
        return judged

    def by_library(self, values: Mapping[str, Any]) -> Judged:
        """The same, as the library finds it, at some hundred times the cost."""
        judged = Judged()
        for error in self._library.iter_errors(dict(values)):
            if error.absolute_path:
                judged.broken.setdefault(str(error.absolute_path[0]), str(error.validator))
            elif error.validator == "required":
                judged.missing.update(name for name in error.validator_value if name not in values)
        return judged


def condition_of(schema: Mapping[str, Any]) -> Condition:
    """A condition (`if`), ready to be asked. Safe to use from several threads."""
    try:
        return _condition(schema)
    except _LeftToLibrary:
        validator = Draft202012Validator(schema)
        return lambda values: bool(validator.is_valid(dict(values)))


def _branch(schema: Any) -> _Step:
    """A form, or what it says under a condition; in its own order, as the first keyword that is broken counts."""
    if not isinstance(schema, Mapping):
        raise _LeftToLibrary
    steps: list[_Step] = []
    for word, said in schema.items():
        if word == "required":
            steps.append(_required(_names(said)))
        elif word == "properties":
            steps.append(_properties(_questions(said)))
        elif word == "allOf" and isinstance(said, list):
            steps += [_branch(part) for part in said]
        elif word == "if":
            steps.append(_if(_condition(said), _branch(schema.get("then", {})), _branch(schema.get("else", {}))))
        elif (word, said) != ("type", "object") and _means_something(word):
            raise _LeftToLibrary
    return steps[0] if len(steps) == 1 else _one_by_one(steps)


def _one_by_one(steps: list[_Step]) -> _Step:
    def step(values: Mapping[str, Any], judged: Judged) -> None:
        for each in steps:
            each(values, judged)

    return step


def _required(names: frozenset[str]) -> _Step:
    def step(values: Mapping[str, Any], judged: Judged) -> None:
        if not names <= values.keys():
            judged.missing |= names - values.keys()

    return step


def _properties(questions: Mapping[str, Ask]) -> _Step:
    def step(values: Mapping[str, Any], judged: Judged) -> None:
        for name, ask in questions.items():
            if name in values and (broken := ask(values[name])):
                judged.broken.setdefault(name, broken)

    return step


def _if(holds: Condition, then: _Step, otherwise: _Step) -> _Step:
    def step(values: Mapping[str, Any], judged: Judged) -> None:
        (then if holds(values) else otherwise)(values, judged)

    return step


def _condition(schema: Any) -> Condition:
    if not isinstance(schema, Mapping):
        raise _LeftToLibrary
    strange = [word for word in schema if word not in ("properties", "required") and _means_something(word)]
    if strange and (strange != ["type"] or schema["type"] != "object"):
        raise _LeftToLibrary
    names, questions = _names(schema.get("required", [])), _questions(schema.get("properties", {}))
    if len(questions) == 1 and names == questions.keys():  # nearly all are such, and there are many
        [(only, ask)] = questions.items()
        return lambda values: only in values and not ask(values[only])
    return lambda values: (
        names <= values.keys() and not any(name in values and ask(values[name]) for name, ask in questions.items())
    )


def _names(said: Any) -> frozenset[str]:
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise _LeftToLibrary
    return frozenset(said)


def _questions(said: Any) -> dict[str, Ask]:
    if not isinstance(said, Mapping):
        raise _LeftToLibrary
    return {name: _question(schema) for name, schema in said.items()}


def _question(schema: Any) -> Ask:
    """What is said of one answer, or of each item of a list."""
    if not isinstance(schema, Mapping):
        raise _LeftToLibrary
    asks: list[Ask] = []
    for word, said in schema.items():
        if word in _KEYWORDS:
            asks.append(_KEYWORDS[word](word, said))
        elif _means_something(word):
            raise _LeftToLibrary
    if len(asks) == 1:
        return asks[0]
    return lambda value: next((broken for ask in asks if (broken := ask(value))), "")


def _means_something(word: str) -> bool:
    """Whether the library heeds this keyword; all others are titles, help, and what is ours."""
    return word in Draft202012Validator.VALIDATORS or (word.startswith("$") and word != "$comment")


def _type(word: str, said: Any) -> Ask:
    types: dict[Any, Callable[[Any], bool]] = {
        "string": lambda value: isinstance(value, str),
        "number": _is_number,
        "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
        "boolean": lambda value: isinstance(value, bool),
        "array": lambda value: isinstance(value, list),
    }
    if not isinstance(said, str) or said not in types:
        raise _LeftToLibrary
    fits = types[said]
    return lambda value: "" if fits(value) else word


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _among(word: str, said: Any) -> Ask:
    named = said if word == "enum" else [said]
    if not isinstance(named, list) or not all(isinstance(each, str | bool) for each in named):
        raise _LeftToLibrary
    texts = frozenset(each for each in named if isinstance(each, str))
    either = [each for each in named if isinstance(each, bool)]  # apart: 1 is True to Python, not to JSON
    if not either:
        return lambda value: "" if isinstance(value, str) and value in texts else word
    return lambda value: (
        "" if (value in either if isinstance(value, bool) else isinstance(value, str) and value in texts) else word
    )


def _amount(word: str, said: Any) -> Ask:
    if not _is_number(said):
        raise _LeftToLibrary
    if word == "minimum":
        return lambda value: word if _is_number(value) and value < said else ""
    return lambda value: word if _is_number(value) and value > said else ""


def _length(word: str, said: Any) -> Ask:
    if not _is_number(said):
        raise _LeftToLibrary
    of = str if word.endswith("Length") else list
    if word.startswith("min"):
        return lambda value: word if isinstance(value, of) and len(value) < said else ""
    return lambda value: word if isinstance(value, of) and len(value) > said else ""


def _unique(word: str, said: Any) -> Ask:
    return lambda value: word if said and isinstance(value, list) and len(set(value)) < len(value) else ""


def _items(word: str, said: Any) -> Ask:
    ask = _question(said)

    def asks(value: Any) -> str:
        return next((broken for each in value if (broken := ask(each))), "") if isinstance(value, list) else ""

    return asks


def _format(word: str, said: Any) -> Ask:
    if not isinstance(said, str):
        raise _LeftToLibrary
    return lambda value: "" if _FORMATS.conforms(value, said) else word


_KEYWORDS: Mapping[str, Callable[[str, Any], Ask]] = {
    "type": _type,
    "enum": _among,
    "const": _among,
    "minimum": _amount,
    "maximum": _amount,
    "minLength": _length,
    "maxLength": _length,
    "minItems": _length,
    "maxItems": _length,
    "uniqueItems": _unique,
    "items": _items,
    "format": _format,
}
