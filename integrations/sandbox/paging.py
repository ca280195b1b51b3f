"""Pages that go on behind a row, not at a count: who moves on is seen again, and nobody is skipped.

Faults of every listing of orders: `skip_page` leaves out the page that was asked for, `repeat_page` gives one that was
given before; neither says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from integrations.sandbox.world import World

CHUNK = 64

SKIP, REPEAT = "skip_page", "repeat_page"

#: When a document was updated (epoch seconds, as it was written) and its id.
Position = tuple[float, str]


def behind(
    world: World,
    kind: str,
    since: float,
    until: float,
    last: Position | None,
    position: Callable[[dict[str, Any]], Position],
) -> Iterator[dict[str, Any]]:
    """Documents updated in [since, until), oldest first, behind `last`; read as they are asked for."""
    start = last[0] if last else since
    offset = 0
    while rows := world.window(kind, start, until, offset, CHUNK):
        offset += len(rows)
        yield from (row for row in rows if last is None or position(row) > last)


def behind_another(
    kind: str, asked: dict[str, Any], name: str, next_of: Callable[[dict[str, Any]], str | None]
) -> dict[str, Any]:
    """What is asked under this fault where pages have a key: that of the next page (`next_of`), or none, the first."""
    if kind == SKIP and (next_key := next_of(asked)):
        return {**asked, name: next_key}
    return {**asked, name: None} if kind == REPEAT else asked


def another_number(kind: str, asked: dict[str, Any], name: str, first: int) -> dict[str, Any]:
    """What is asked under this fault where pages are counted from `first`: the page behind, or the one before."""
    step = {SKIP: 1, REPEAT: -1}.get(kind, 0)
    return {**asked, name: max(first, int(asked.get(name, first)) + step)} if step else asked
