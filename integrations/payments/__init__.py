"""Payments: what was really paid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class PaymentState(StrEnum):
    """The state of the money."""

    PENDING = "pending"
    PAID = "paid"
    PART_REFUNDED = "part_refunded"
    REFUNDED = "refunded"
    CLOSED = "closed"


@dataclass(frozen=True)
class PaymentRecord:
    """What the payment side says about one order. Money in fen."""

    state: PaymentState
    paid_fen: int
    currency: str
    paid_at: datetime | None


class Payments(Protocol):
    """Where a channel's payments can be checked. Raises the classes of `integrations.errors`."""

    async def payment(self, channel: str, channel_order_id: str) -> PaymentRecord:
        """What was paid for this order, as of now."""
        ...
