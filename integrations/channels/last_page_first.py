"""Listings that are read from their last page to the first: Taobao, JD and Pinduoduo count pages from 1.

Orders only ever leave a window that lies in the past, and whatever leaves moves the others towards the first page: read
in this direction they are seen twice, never missed (so TOP's and Pinduoduo's documentation advise, too).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from integrations.channels import Census
from integrations.channels.patience import patiently
from integrations.channels.payload import Unparsable, identity, mapping
from integrations.errors import Unclear

#: How often a listing may give the same cursor.
MOST_GIVEN = 4


def steps_for(pages: int) -> int:
    """How many pages may be read of a listing that had so many: some again when it moves, but not for ever."""
    return 3 * pages + 20


def unsettled(platform: str) -> Unclear:
    """The error of a listing that says "more" or changes its count for ever: it must not hold the other channels."""
    return Unclear(platform, "unsettled", "the listing does not come to its end: it is read again with the next pull")


@dataclass
class Onward:
    """Sees that a listing that is read by cursors moves on, and goes neither on the spot nor in a circle.

    A page that was given before may come again (another replica answered), and is asked past.
    """

    platform: str
    given: Counter[str] = field(default_factory=Counter)

    def check(self, cursor: str | None) -> None:
        """The cursor to go on with. Raises: Unclear, when it leads nowhere."""
        if not cursor:
            raise unsettled(self.platform)
        self.given[cursor] += 1
        if self.given[cursor] > MOST_GIVEN:
            raise unsettled(self.platform)


@dataclass(frozen=True)
class Page:
    """One page, and how many orders the platform says the whole window holds."""

    rows: list[Any]
    total: int


@dataclass(frozen=True)
class Listing:
    """How a platform lists the orders updated between two epoch seconds.

    `read(start, end, page, size)` gives a page; `longest` is how many seconds one window may span; one that holds more
    than `ceiling` orders is read in halves; `id_key` is the name of an order's id.
    """

    read: Callable[[int, int, int, int], Awaitable[Page]]
    longest: int
    id_key: str
    ceiling: int = 10_000
    platform: str = ""  # named when the listing never settles

    async def pages(self, since: datetime, until: datetime, size: int) -> AsyncIterator[list[Any]]:
        """Rows of every page that has some, window by window. A row may come twice."""
        async for _, page in self._pages(since, until, size):
            if page.rows:
                yield page.rows

    async def census(self, since: datetime, until: datetime, size: int) -> Census:
        """What the platform counts and lists. An order on the border of two windows is counted once.

        A row whose id cannot be read is counted, not listed.
        """
        ids: set[str] = set()
        totals: dict[tuple[int, int], int] = {}
        listed: dict[tuple[int, int], set[str]] = {}
        async for window, page in self._pages(since, until, size):
            totals[window] = page.total
            listed.setdefault(window, set()).update(ids_in(page.rows, self.id_key))
        for found in listed.values():
            ids |= found
        unlisted = sum(max(0, total - len(listed[window])) for window, total in totals.items())
        return Census(len(ids) + unlisted, frozenset(ids))

    async def _pages(self, since: datetime, until: datetime, size: int) -> AsyncIterator[tuple[tuple[int, int], Page]]:
        windows = list(_windows(math.floor(since.timestamp()), math.ceil(until.timestamp()), self.longest))
        while windows:
            start, end = windows.pop(0)
            first = await patiently(partial(self.read, start, end, 1, size))
            if first.total > self.ceiling and end - start > 1:
                middle = (start + end) // 2
                windows[:0] = [(start, middle), (middle, end)]
                continue
            if first.total <= size:
                yield (start, end), first
                continue
            total, number = first.total, math.ceil(first.total / size)
            steps = steps_for(number)
            while number:
                page = await patiently(partial(self.read, start, end, number, size))
                yield (start, end), page
                if (steps := steps - 1) < 0:
                    raise unsettled(self.platform)
                # an index that caught up has moved rows towards the last page, where nobody looks any more
                number = math.ceil(page.total / size) if page.total > total else number - 1
                total = page.total


def ids_in(rows: list[Any], id_key: str) -> Iterator[str]:
    """The ids of listed rows; a row whose id cannot be read is left out, because it must not stop the others."""
    for row in rows:
        try:
            yield identity(mapping(row, "order").get(id_key), id_key)
        except Unparsable:
            continue


def _windows(start: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min(start + longest, end)
        yield start, stop
        start = stop
