"""The demo's platforms, asked and told through the sandbox's control API."""

from __future__ import annotations

import httpx

from deployments.completeness import Listed
from deployments.summary import keys_twice


class DemoPlatforms:
    """The sandbox on this port. Close it. Every call raises `httpx.HTTPError` while the sandbox is away."""

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}/control", timeout=15.0, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def place(self, orders: int, seconds: float) -> None:
        """Have the next baskets of the history ordered within so many sandbox seconds."""
        self._client.post("/replay", json={"orders": orders, "seconds": seconds}).raise_for_status()

    def furnish_warehouse(self, seconds: float, miss_every: int) -> None:
        """The warehouse looks for so many sandbox seconds, and does not find every so-manyth order's goods."""
        wanted = {"seconds": seconds, "miss_every": miss_every}
        self._client.post("/warehouse", json=wanted).raise_for_status()

    def orders(self) -> dict[str, Listed]:
        """Every order that was ever placed, by channel."""
        told = self._client.get("/orders").raise_for_status().json()
        return {name: Listed(frozenset(ids["open"]), frozenset(ids["over"])) for name, ids in told.items()}

    def count_twice(self) -> int:
        """How many keys took effect more than once where once is promised."""
        return keys_twice(self._client.get("/counts").raise_for_status().json())
