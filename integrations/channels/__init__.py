"""Sales channels: where orders come from, and who is told that they were shipped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from models.hint import Pushed as Pushed
from models.intake import Incoming, IncomingOrder, Receiver


@dataclass(frozen=True)
class Parcel:
    """What a channel is told about a parcel. `lines` are (channel_line_id, quantity)."""

    waybill_no: str
    carrier: str  # our name of the carrier: "sf_express"; each channel maps it to its own code
    tracking_url: str
    lines: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Census:
    """What a platform itself says of a window: how many orders were updated in it, and which ones it lists.

    More counted than listed is an index that lags behind; the window is then read again.
    """

    count: int
    ids: frozenset[str]


class Channel(Protocol):
    """One shop on one platform.

    Every method raises the classes of `integrations.errors` and nothing else. Times are aware.
    Reading is free of side effects; telling is split into building the bytes (pure, once, stored by the effect
    ledger) and sending them, so that a repeat sends what was first intended.
    """

    name: str  # "shopify", "wechat_shop", "douyin"
    shop: str

    def orders_updated(self, since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        """Pages of every order updated in [since, until), oldest first as far as the platform can.

        An order may come twice when pages shift; a payload that cannot be translated comes as `Unreadable`.
        """
        ...

    async def census(self, since: datetime, until: datetime) -> Census:
        """The platform's own count of the orders updated in [since, until), and their ids, listed anew.

        It proves a reading of the same window: what is listed here and was not read is a gap.
        """
        ...

    async def order(self, channel_order_id: str) -> IncomingOrder:
        """The order as it is now. `Refused` when the platform does not know it or it cannot be read."""
        ...

    async def receiver(self, channel_order_id: str) -> Receiver:
        """The receiver in clear: on masking platforms by the permissioned decrypt call (quota!)."""
        ...

    def shipping_notice(self, channel_order_id: str, handles: dict[str, Any], parcel: Parcel) -> bytes:
        """The bytes that say "this parcel is on its way". Pure and deterministic."""
        ...

    async def tell_shipped(self, notice: bytes) -> dict[str, Any]:
        """Send the notice; the platform's answer. Not held to once by most platforms: ask before repeating."""
        ...

    async def was_told_shipped(self, notice: bytes) -> dict[str, Any] | None:
        """Whether the platform already knows this very parcel (what it holds), or None."""
        ...


@runtime_checkable
class Subscribes(Protocol):
    """A channel whose pushes are ordered by call, and lapse by themselves; others are set up in their console."""

    async def subscribe(self, uri: str) -> list[str]:
        """Make sure that everything about orders is pushed to `uri`; the topics that were not before."""
        ...


@dataclass(frozen=True)
class Horizon:
    """Orders placed before `since` are not shown to us; `sentence` says so, and what would change it."""

    since: datetime
    sentence: str


@runtime_checkable
class HasHorizon(Protocol):
    """A channel that may show only newer orders, and count only those: a window that is whole may lack older ones."""

    async def horizon(self, since: datetime, now: datetime) -> Horizon | None:
        """What is not shown to us of the time from `since` on; None: everything is."""
        ...
