"""What a channel shows as sellable, and changing it without overwriting a sale that it has just made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Listed:
    """What a channel shows for one SKU. `handle` is what its stock calls need (item and location ids …)."""

    sku: str
    quantity: int
    handle: dict[str, Any]


@dataclass(frozen=True)
class ShelfChange:
    """Show `to` instead of `seen`. `key` names this change: a repeat of it must not count twice."""

    sku: str
    seen: int
    to: int
    handle: dict[str, Any]
    key: str


class Overtaken(Exception):
    """The channel sold some meanwhile: `seen` is no longer what it shows. Look again, then decide again."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"{sku} was sold on the channel meanwhile")
        self.sku = sku


class Shelf(Protocol):
    """The stock side of one shop. Raises the classes of `integrations.errors`, and `Overtaken`.

    How a newer sale survives: compare-and-set where the platform has it (Shopify), else a difference that is added
    to whatever the platform has by then (Douyin with an id that makes it count once, WeChat shop).
    """

    name: str
    shop: str

    async def listed(self, skus: Sequence[str]) -> list[Listed]:
        """What the channel shows for these SKUs; SKUs that it does not list are left out."""
        ...

    async def show(self, change: ShelfChange) -> None:
        """Change what is shown. `Overtaken` when the platform can tell that `seen` is stale."""
        ...
