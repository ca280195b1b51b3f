"""A mapping laid over a file's headers: where each field stands and how its cells are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from integrations.spreadsheets.mapping import Mapping
from integrations.spreadsheets.sheet_fields import (
    ATTRIBUTE,
    ORDER_ATTRIBUTE,
    PET,
    Field,
    Kind,
    target_field,
)
from integrations.spreadsheets.sheet_pets import answer_of
from integrations.spreadsheets.sheet_statuses import status_of
from integrations.spreadsheets.sheet_times import is_no_time, moment
from integrations.spreadsheets.sheet_values import BLANKS, CellWrong, fen, identity, phone, quantity, text

_IN_FEN = re.compile(r"[(\uff08\[]分[)\uff09\]]")
#: Columns that say the same few things again and again; what can be read of them is short.
_REPEATED = (Kind.MONEY, Kind.QUANTITY, Kind.STATUS)
_REMEMBERED = 1024
_AS_BLANK = frozenset(("",))


@dataclass(frozen=True)
class Column:
    """One mapped column: its place in a row, its header, what its cells read as, and how they say nothing."""

    at: int
    header: str
    read: Callable[[str], Any]
    blanks: frozenset[str]


@dataclass(frozen=True)
class Attributes:
    """Columns that are kept by name."""

    order: tuple[tuple[str, Column], ...]
    line: tuple[tuple[str, Column], ...]


@dataclass(frozen=True)
class Layout:
    """The columns of every mapped field, by the header's name where there are several, and those of attributes."""

    fields: dict[str, tuple[Column, ...]]
    attributes: Attributes


def lay_out(
    headers: Sequence[str],
    mapping: Mapping,
    day_first: AnyMapping[str, bool | None],
    decimal_comma: AnyMapping[str, bool],
) -> Layout:
    """The layout of a file with these headers; `day_first` and `decimal_comma` are what its columns write."""
    found: dict[str, list[Column]] = {}
    named: dict[bool, list[tuple[str, Column]]] = {True: [], False: []}
    for at in sorted(range(len(headers)), key=lambda number: headers[number]):
        header = headers[at]
        field = target_field(mapping.columns.get(header, "ignore"))
        if field is None:
            continue
        blanks = _AS_BLANK if field.kind in (Kind.TEXT, Kind.ID) else BLANKS
        read = _reader(field, header, mapping, day_first.get(header), decimal_comma.get(header, False))
        if field.kind in _REPEATED:
            read = lru_cache(_REMEMBERED)(read)
        column = Column(at, header, read, blanks)
        if field.code.startswith((ATTRIBUTE, ORDER_ATTRIBUTE)):
            named[field.code.startswith(ORDER_ATTRIBUTE)].append((field.zh, column))
        elif field.code.startswith(PET):
            name = "pet_name" if field.code == "pet.name" else field.code.removeprefix(PET)
            named[mapping.pet_per_order].append((name, column))
        else:
            found.setdefault(field.code, []).append(column)
    fields = {code: tuple(columns) for code, columns in found.items()}
    return Layout(fields, Attributes(tuple(named[True]), tuple(named[False])))


def _reader(
    field: Field, header: str, mapping: Mapping, day_first: bool | None, decimal_comma: bool
) -> Callable[[str], Any]:
    if field.code.startswith(PET):
        return lambda cell: answer_of(field.code.removeprefix(PET), text(cell), header)
    match field.kind:
        case Kind.ID:
            return partial(identity, ids_checked=mapping.ids_checked or field.code == "sku")
        case Kind.TIME:
            return lambda cell: None if is_no_time(cell) else moment(cell, day_first)
        case Kind.MONEY if _IN_FEN.search(header):
            return _whole_fen
        case Kind.MONEY:
            return partial(fen, decimal_comma=decimal_comma)
        case Kind.QUANTITY:
            return quantity
        case Kind.PHONE:
            return phone
        case Kind.STATUS:
            return lambda cell: status_of(cell, mapping.statuses)
    return text


def _whole_fen(cell: str) -> int:
    """A column 订单金额(分) holds fen."""
    amount = fen(cell)
    if amount % 100:
        raise CellWrong("这一列以分为单位,不应有小数")
    return amount // 100
