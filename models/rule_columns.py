"""The columns of the seller's decision tables: what each is called, and which values it takes in whose words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models import matrix, recipe
from models.recipe_choice_check import columns_for
from models.table_column import Kind, TableColumn
from models.warehouse import PROVINCES
from models.wording import CHANNEL_WORDS

#: Code → how people call it, the usual name first.
Names = Mapping[str, tuple[str, ...]]

#: What people call a channel besides the name that is shown.
_CHANNELS_TOO = {
    "douyin": ("抖音", "抖音小店"),
    "wechat_shop": ("微信", "视频号", "视频号小店"),
    "taobao": ("天猫", "淘系"),
    "pinduoduo": ("PDD",),
}
#: More names than the one that is shown.
_ALSO: Mapping[str, Names] = {
    "channel": {code: (*names, *_CHANNELS_TOO.get(code, ())) for code, names in CHANNEL_WORDS.items()},
    "province": PROVINCES,
    "species": recipe.SPECIES,
    "staple": recipe.STAPLES,
    "allergens": recipe.ALLERGENS,
}


@dataclass(frozen=True)
class Column:
    """One column: the fact or the output, its Chinese name, what it is, and how its values are called."""

    field: str
    name: str
    kind: Kind
    names: Names
    closed: bool = False  # there are no values but those that have names

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


def _columns(known: Mapping[str, TableColumn]) -> dict[str, Column]:
    return {field: _column(field, column) for field, column in known.items()}


def _column(field: str, column: TableColumn) -> Column:
    names = {code: (name,) for code, name in column.choices.items() if code} | dict(_ALSO.get(field, {}))
    return Column(field, column.name, column.kind, names, column.closed and bool(names))


#: Who looks at an order.
APPROVAL = Table(
    "approval", "审批矩阵", _columns(matrix.COLUMNS.facts), _columns(matrix.COLUMNS.outputs), needed=("role",)
)

#: Which recipes suit a pet. Which recipes there are, the rules themselves say.
CHOICE = Table(
    "choice", "选配方", _columns(columns_for({}).facts), _columns(columns_for({}).outputs), needed=("recipe",)
)
