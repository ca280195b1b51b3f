"""Pages that go on behind a row, not at a count: who moves on is seen again, and nobody is skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from integrations.sandbox.world import World

CHUNK = 64

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
