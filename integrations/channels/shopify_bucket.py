"""The shop's query points: calls wait until the bucket is estimated to hold them, instead of being turned away.

Each answer says what the query cost, what is left and how fast it comes back (shopify.dev, "rate limits"). Between
two answers that is only an estimate: another program may draw from the same bucket, so being throttled stays possible.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from integrations.errors import Later

#: After so many seconds every plan's bucket is full again (20 s from empty), so what was known says nothing any more.
FORGET_AFTER = 30.0
MARGIN = 1.0  # points; what we are told is rounded


@dataclass(frozen=True)
class Cost:
    """What an answer says of a query's cost and of the bucket: points, and points a second."""

    requested: float
    maximum: float
    available: float
    restore: float

    @property
    def seconds(self) -> float:
        """How long until the same query fits: (requested - available) / restored a second; 0 when it does."""
        return max(0.0, self.requested - self.available) / self.restore


def read_cost(result: dict[str, Any]) -> Cost | None:
    """`extensions.cost` of an answer; None when it is not there or not what is documented."""
    try:
        told = result["extensions"]["cost"]
        status = told["throttleStatus"]
        names = ("maximumAvailable", "currentlyAvailable", "restoreRate")
        cost = Cost(float(told["requestedQueryCost"]), *(float(status[name]) for name in names))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    sound = all(map(math.isfinite, (cost.requested, cost.maximum, cost.available, cost.restore)))
    return cost if sound and cost.restore > 0 and cost.requested >= 0 else None


class CostBucket:
    """What is left for our calls, and whose turn it is. One event loop; `clock` gives seconds that only rise."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: Cost | None = None
        self._told_at = 0.0
        self._requested: dict[str, float] = {}  # by operation name, as it was last
        self._under_way = 0.0  # points of calls that are not answered yet
        self._turns = asyncio.Lock()
        self._news = asyncio.Event()

    def learn(self, operation: str, cost: Cost | None) -> None:
        """An answer came in. None says nothing."""
        if cost is not None:
            self._told, self._told_at = cost, self._clock()
            self._requested[operation] = cost.requested
            self._news.set()

    def wait(self, operation: str) -> float:
        """Seconds until the bucket is estimated to hold this operation; 0 as long as nothing is known."""
        age = self._clock() - self._told_at
        if self._told is None or age >= FORGET_AFTER:
            return 0.0
        told = self._told
        left = min(told.maximum, told.available + age * told.restore) - self._under_way
        # what costs more than the bucket holds goes when it is full: the platform says what is wrong with it
        wanted = min(self._requested.get(operation, 0.0) + MARGIN, told.maximum)
        return min(max(0.0, wanted - left) / told.restore, FORGET_AFTER - age)

    @asynccontextmanager
    async def turn(self, platform: str, operation: str, longest: float) -> AsyncIterator[None]:
        """Around one call: enters when the bucket holds it, first come, first served.

        Raises `Later`, with nothing sent, when that takes longer than `longest` seconds.
        """
        try:
            async with asyncio.timeout(longest), self._turns:
                while needed := self.wait(operation):
                    await self._news_within(needed)
                share = self._requested.get(operation, 0.0)
                self._under_way += share
        except TimeoutError as error:
            said = f"no room in the shop's cost bucket within {longest:g} s: too much is asked at once"
            raise Later(platform, "THROTTLED", said, max(self.wait(operation), 1.0)) from error
        try:
            yield
        finally:
            self._under_way -= share
            self._news.set()

    async def _news_within(self, seconds: float) -> None:
        """Until there is an answer, or a call of ours is over, which may have freed points; or for so long."""
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
