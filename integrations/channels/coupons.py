"""Coupons on a channel: a code that the customer enters at the next purchase."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class CouponWish:
    """A coupon to be made: one use, `value_fen` off, valid in [starts_at, ends_at)."""

    code: str
    value_fen: int
    least_order_fen: int
    starts_at: datetime
    ends_at: datetime
    title: str


class CouponDesk(Protocol):
    """A channel that can make a coupon with our code. Raises the classes of `integrations.errors`.

    The code is unique there, so a repeat is recognised: it is asked for before it is made again.
    """

    def coupon_request(self, wish: CouponWish) -> bytes:
        """The bytes that make the coupon. Pure."""
        ...

    async def make_coupon(self, request: bytes) -> dict[str, Any]:
        """Make it; the platform's answer (with its `id`)."""
        ...

    async def find_coupon(self, request: bytes) -> dict[str, Any] | None:
        """The coupon with this code if the platform has it, else None."""
        ...
