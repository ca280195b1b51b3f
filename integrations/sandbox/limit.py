"""So many calls in so many seconds, as platforms count them: over a sliding window."""

from __future__ import annotations

import time
from collections import deque


class SlidingLimit:
    """At most `most` calls in any `seconds`. Kept in memory: a restarted platform has forgotten."""

    def __init__(self, most: int) -> None:
        self._calls: deque[float] = deque(maxlen=most)

    def take(self, seconds: float) -> bool:
        """Take one call now if the window (real seconds) has room."""
        now = time.monotonic()
        if len(self._calls) == self._calls.maxlen and now - self._calls[0] < seconds:
            return False
        self._calls.append(now)
        return True
