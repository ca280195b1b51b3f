"""What may be asked of a column: a few kinds of check, each of which judges a value and names its expectation.

No kind says anything of a missing value (None): great-expectations leaves those out, so plain Python does too. What
must not be missing is asked of a column of its own that is never None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

#: Control characters but line ends and tabs, lone surrogates, private characters: they cannot be stored or printed.
UNPRINTABLE = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]"
)
EMOJI = r"[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d\u20e3]"

_find_unprintable = re.compile(UNPRINTABLE).search
_find_emoji = re.compile(EMOJI).search


def plain(value: str) -> bool:
    """Whether this text can be stored and printed: no control characters, lone surrogates or private characters."""
    return value.isprintable() or _find_unprintable(value) is None


class Check(Protocol):
    """What must hold of every value in a column, and how great-expectations is asked the same of a whole batch."""

    @property
    def expectation(self) -> str:
        """The name of the great-expectations class."""

    @property
    def against(self) -> str | None:
        """The other column, where two are compared."""

    def holds(self, value: Any, other: Any = None) -> bool:
        """Whether it holds of one value (and of the value of the other column beside it); neither is None."""

    def parameters(self, column: str) -> dict[str, Any]:
        """What the expectation about `column` is told."""


@dataclass(frozen=True)
class Between:
    """A whole number from `low` to `high`, both included; None is no bound."""

    low: int | None
    high: int | None
    expectation = "ExpectColumnValuesToBeBetween"
    against = None

    def holds(self, value: Any, other: Any = None) -> bool:
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)

    def parameters(self, column: str) -> dict[str, Any]:
        return {"column": column, "min_value": self.low, "max_value": self.high}


@dataclass(frozen=True)
class Length:
    """A text of at least `low` and at most `high` characters."""

    low: int
    high: int
    expectation = "ExpectColumnValueLengthsToBeBetween"
    against = None

    def holds(self, value: Any, other: Any = None) -> bool:
        return self.low <= len(value) <= self.high

    def parameters(self, column: str) -> dict[str, Any]:
        return {"column": column, "min_value": self.low, "max_value": self.high}


@dataclass(frozen=True)
class NotBlank:
    """A text with something to read in it."""

    expectation = "ExpectColumnValuesToMatchRegex"
    against = None

    def holds(self, value: Any, other: Any = None) -> bool:
        return value != "" and not value.isspace()

    def parameters(self, column: str) -> dict[str, Any]:
        return {"column": column, "regex": r"\S"}


@dataclass(frozen=True)
class Plain:
    """A text that can be stored and printed."""

    expectation = "ExpectColumnValuesToNotMatchRegex"
    against = None

    def holds(self, value: Any, other: Any = None) -> bool:
        return plain(value)

    def parameters(self, column: str) -> dict[str, Any]:
        return {"column": column, "regex": UNPRINTABLE}


@dataclass(frozen=True)
class NoEmoji:
    """A text without emoji."""

    expectation = "ExpectColumnValuesToNotMatchRegex"
    against = None

    def holds(self, value: Any, other: Any = None) -> bool:
        return value.isascii() or _find_emoji(value) is None

    def parameters(self, column: str) -> dict[str, Any]:
        return {"column": column, "regex": EMOJI}


@dataclass(frozen=True)
class OneOf:
    """One of these values."""

    values: tuple[Any, ...]
    expectation = "ExpectColumnValuesToBeInSet"
    against = None

    def holds(self, value: Any, other: Any = None) -> bool:
        return value in self.values

    def parameters(self, column: str) -> dict[str, Any]:
        return {"column": column, "value_set": list(self.values)}


#: What is asked of a column of truths.
TRUE = OneOf((True,))


@dataclass(frozen=True)
class Equal:
    """The same as the value of another column."""

    against: str
    expectation = "ExpectColumnPairValuesToBeEqual"

    def holds(self, value: Any, other: Any = None) -> bool:
        return value == other

    def parameters(self, column: str) -> dict[str, Any]:
        return {"column_A": column, "column_B": self.against, "ignore_row_if": "either_value_is_missing"}


@dataclass(frozen=True)
class AtMost:
    """No more than the value of another column."""

    against: str
    expectation = "ExpectColumnPairValuesAToBeGreaterThanB"

    def holds(self, value: Any, other: Any = None) -> bool:
        return value <= other

    def parameters(self, column: str) -> dict[str, Any]:
        return {
            "column_A": self.against,
            "column_B": column,
            "or_equal": True,
            "ignore_row_if": "either_value_is_missing",
        }
