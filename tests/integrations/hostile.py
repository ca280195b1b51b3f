"""Payloads that somebody bent: a valid one with a wrong value at some place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st


def _deep() -> Any:
    value: Any = {"deep": None}
    for _ in range(900):
        value = [value]
    return value


WRONG = [
    None,
    True,
    0,
    -1,
    10**30,
    -(10**400),
    1e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "1e999999",
    "NaN",
    "9" * 5000,
    "名" * 20_000,
    "\x00\ud800",
    "2026-13-01",
    "0001-01-01T00:00:00+14:00",
    [],
    {},
    [None],
    [[]],
    {"nodes": None},
    {"nodes": [None]},
    {"shopMoney": None},
    _deep(),
]


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a payload, the whole of it first."""
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*at, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*at, index))


def bent(payload: dict[str, Any]) -> st.SearchStrategy[Any]:
    """The payload with one to three places replaced by something wrong, or missing."""
    places = list(paths(payload))
    wrong = st.sampled_from([*WRONG, "missing"])
    changes = st.lists(st.tuples(st.sampled_from(places), wrong), min_size=1, max_size=3)
    return changes.map(lambda found: _changed(payload, found))


def _changed(payload: dict[str, Any], changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
    changed: Any = copy.deepcopy(payload)
    for place, wrong in changes:
        if not place:
            return copy.deepcopy(wrong)
        owner = changed
        try:
            for step in place[:-1]:
                owner = owner[step]
            if wrong == "missing":
                del owner[place[-1]]
            else:
                owner[place[-1]] = copy.deepcopy(wrong)  # a second change may reach into it
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change has taken this place away
    return changed


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes this text."""
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False
