"""Payments: what was really paid, and paying it back once.

Money lies with whoever collected it: a payment provider (Alipay, WeChat Pay) or the sales channel itself. An order
names its keeper (`payment_keeper`), and the keeper's own number of the payment (`payment_ref`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class PaymentState(StrEnum):
    """The state of the money."""

    PENDING = "pending"
    PAID = "paid"
    PART_REFUNDED = "part_refunded"
    REFUNDED = "refunded"
    CLOSED = "closed"


@dataclass(frozen=True)
class PaymentRecord:
    """What the payment side says about one order. Money in fen; `paid_fen` is before any refund."""

    state: PaymentState
    paid_fen: int
    currency: str
    paid_at: datetime | None


@dataclass(frozen=True)
class Trade:
    """One payment as its keeper knows it. `payment_ref` is our `out_trade_no` there; empty with a channel.

    `shop` matters to a keeper of several shops only.
    """

    channel_order_id: str
    payment_ref: str = ""
    shop: str = ""


class RefundState(StrEnum):
    """What the keeper says of a refund."""

    PROCESSING = "processing"  # taken; the end comes by callback or by asking
    PAID = "paid"  # the customer has it
    ABNORMAL = "abnormal"  # taken, but it cannot be paid (closed card …): a person pays in another way
    CLOSED = "closed"  # ended without paying


@dataclass(frozen=True)
class RefundWish:
    """What is to be paid back. `refund_no` is our key, at most 64 of `[0-9A-Za-z_-]`; the same for every repeat.

    `lines` are (channel_line_id, quantity) that the refund is for; `handles` what the channel told us to keep.
    """

    refund_no: str
    trade: Trade
    amount_fen: int
    paid_fen: int  # of the whole payment
    currency: str
    reason: str
    lines: tuple[tuple[str, int], ...]
    handles: dict[str, Any]


@dataclass(frozen=True)
class RefundAnswer:
    """The keeper's answer. `refund_id` is its own number; `refunded_fen` what this refund pays."""

    state: RefundState
    refund_id: str
    refunded_fen: int
    reason: str = ""


class Payments(Protocol):
    """One keeper of money. Every method raises the classes of `integrations.errors` and nothing else.

    Answers are believed only when their signature holds, where the keeper signs. Asking for a refund is split into
    building the bytes (pure, once, stored by the effect ledger) and sending them: a repeat sends the same bytes under
    the same key. Before a repeat the keeper is asked (`find_refund`).
    """

    name: str  # "alipay", "wechat_pay", or the channel's name

    async def payment(self, trade: Trade) -> PaymentRecord:
        """What was paid, as of now."""
        ...

    def refund_request(self, wish: RefundWish) -> bytes:
        """The bytes of one refund. Pure and deterministic. `Refused` when it cannot be asked for in this way."""
        ...

    async def refund(self, request: bytes) -> RefundAnswer:
        """Ask for the refund. Repeated with the same bytes, the customer is paid once."""
        ...

    async def find_refund(self, request: bytes) -> RefundAnswer | None:
        """What became of this very refund; None when the keeper knows nothing of it."""
        ...
