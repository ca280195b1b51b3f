"""The columns of the seller's decision tables: what each is called, and which values it takes in whose words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as made_by
from enum import StrEnum

from models import matrix, recipe
from models.wording import CHANNEL_WORDS

#: Code → how people call it, the usual name first.
Names = Mapping[str, tuple[str, ...]]


class Shape(StrEnum):
    """What a fact is, and so what may be asked of it."""

    NUMBER = "number"
    YES_NO = "yes_no"
    WORD = "word"
    WORDS = "words"  # a list of words


@dataclass(frozen=True)
class Column:
    """One column: the fact or the output, its Chinese name, and how its values are called."""

    field: str
    name: str
    shape: Shape
    names: Names = made_by(default_factory=dict)

    def word_of(self, code: str) -> str:
        """The value as people write it."""
        return self.names.get(code, (code,))[0]

    def code_of(self, said: str) -> str:
        """The value that is meant by a word; what is no name of any means itself."""
        return next((code for code, names in self.names.items() if said in names), said)


@dataclass(frozen=True)
class Table:
    """One decision table of a body: under which key it is, and which columns it may have, by field."""

    key: str
    name: str
    inputs: Mapping[str, Column]
    outputs: Mapping[str, Column]
    needed: tuple[str, ...]  # outputs that a row must have

    def column(self, said: str) -> Column | None:
        """The column of this field or name; None when there is none."""
        known = {**self.inputs, **self.outputs}
        return known.get(said) or next((column for column in known.values() if column.name == said), None)


_NUMBERS = {"amount", "quantity", "weight_kg", "age_months"}
_YES_NO = {"made_to_order", "special", "no_recipe", "new_customer", "neutered"}
_LISTS = {"skus", "recipes", "ingredients", "allergens"}

_NAMES: dict[str, Names] = {
    "channel": CHANNEL_WORDS,
    "species": recipe.SPECIES,
    "staple": recipe.STAPLES,
    "allergens": recipe.ALLERGENS,
    "address_risk": {"masked": ("收件人未显示",), "incomplete": ("地址不全",)},
    "activity_level": {"low": ("低",), "medium": ("中",), "high": ("高",)},
    "body_condition": {"underweight": ("偏瘦",), "ideal": ("正常",), "overweight": ("偏胖",)},
}


def _facts(known: Mapping[str, str], lists: set[str]) -> dict[str, Column]:
    return {fact: Column(fact, name, _shape(fact, lists), _NAMES.get(fact, {})) for fact, name in known.items()}


def _shape(fact: str, lists: set[str]) -> Shape:
    if fact in lists:
        return Shape.WORDS
    if fact in _NUMBERS:
        return Shape.NUMBER
    return Shape.YES_NO if fact in _YES_NO else Shape.WORD


#: Who looks at an order. An order may be for several pets: its species are a list.
APPROVAL = Table(
    "approval",
    "审批矩阵",
    _facts(matrix.FACTS, _LISTS | {"species"}),
    {
        "role": Column("role", "谁审核", Shape.WORD, {code: (name,) for code, name in matrix.ROLES.items()}),
        "reason": Column("reason", "理由", Shape.WORD),
        "sla_minutes": Column("sla_minutes", "时限(分钟)", Shape.NUMBER),
    },
    ("role", "reason"),
)

#: Which recipes suit a pet.
CHOICE = Table(
    "choice",
    "选配方",
    _facts(recipe.FACTS, _LISTS),
    {
        "recipe": Column("recipe", "配方", Shape.WORD),
        "rank": Column("rank", "次序", Shape.NUMBER),
    },
    ("recipe",),
)
