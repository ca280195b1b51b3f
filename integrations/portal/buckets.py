"""Rate limits: one token bucket per client, in memory, with a bound on how many clients are remembered."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request


class Buckets:
    """A bucket of `burst` tokens for each name, filling at `per_second`. Not shared between processes."""

    def __init__(
        self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic, most: int = 10_000
    ) -> None:
        self._burst, self._per_second = burst, per_second
        self._clock, self._most = clock, most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, cost: float = 1.0) -> float:
        """Take `cost` tokens: 0.0 when they were there, else the seconds until they will be (nothing is taken)."""
        level = self._level(name)
        if level < cost:
            return (cost - level) / self._per_second
        self._set(name, level - cost)
        return 0.0

    def charge(self, name: str, cost: float) -> None:
        """Take `cost` tokens for something that has happened already; the bucket may end up empty."""
        self._set(name, max(0.0, self._level(name) - cost))

    def give_back(self, name: str, cost: float = 1.0) -> None:
        """Undo a `take`."""
        self._set(name, min(self._burst, self._level(name) + cost))

    def _level(self, name: str) -> float:
        level, since = self._levels.get(name, (self._burst, self._clock()))
        return min(self._burst, level + (self._clock() - since) * self._per_second)

    def _set(self, name: str, level: float) -> None:
        self._levels[name] = (level, self._clock())
        self._levels.move_to_end(name)
        while len(self._levels) > self._most:
            self._levels.popitem(last=False)


def client_of(request: Request) -> str:
    """The client's address; of IPv6 the /64, because one customer has all of it."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else host
