"""An order as a channel tells it, before we believe any of it.

Integrations translate each platform's payload into these values without judging them: a negative quantity
or a missing address is carried over as it is, and `models/quality.py` says what is wrong with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class PlatformStatus(StrEnum):
    """A channel's order status in the hub's words (PROTOCOLS.md §12)."""

    AWAITING_PAYMENT = "awaiting_payment"
    HELD = "held"
    TO_SHIP = "to_ship"
    PART_SHIPPED = "part_shipped"
    SHIPPED = "shipped"
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Receiver:
    """Who gets the parcel. `masked` says that name, phone and detail are the platform's masks only."""

    name: str
    phone: str
    province: str
    city: str
    district: str
    detail: str
    masked: bool = False


@dataclass(frozen=True)
class IncomingLine:
    """One line as it was bought. Money in fen; `paid_fen` is for the whole line after discounts.

    `cancelled_quantity` of it are no longer to be delivered: edited away or paid back since.
    """

    channel_line_id: str
    sku: str
    title: str
    quantity: int
    unit_price_fen: int
    paid_fen: int
    attributes: dict[str, str] = field(default_factory=dict)  # what the customer filled in for this line
    cancelled_quantity: int = 0


@dataclass(frozen=True)
class IncomingOrder:
    """One order at one moment. Times are aware (UTC); ids are the platform's, as strings.

    `payment_keeper` is who collected the money (empty: the channel itself) and `payment_ref` its number there.
    `buyer` is the platform's id of the customer; `handles` are ids that later calls about this order need
    (Shopify fulfilment-order ids, WeChat product ids …); `raw` is the payload as received. `refunded_fen` is what the
    platform says was paid back so far, by whomever.
    """

    channel: str
    shop: str
    channel_order_id: str
    channel_order_name: str
    status: PlatformStatus
    placed_at: datetime
    updated_at: datetime
    paid_at: datetime | None
    currency: str
    total_fen: int
    paid_fen: int
    freight_fen: int
    discount_fen: int
    buyer: str
    receiver: Receiver | None
    lines: tuple[IncomingLine, ...]
    note: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    handles: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    payment_keeper: str = ""  # "alipay", "wechat_pay"
    payment_ref: str = ""
    refunded_fen: int = 0


@dataclass(frozen=True)
class Unreadable:
    """A payload that could not be translated at all; it goes to quarantine and stops nobody else."""

    channel: str
    shop: str
    channel_order_id: str
    reason: str
    raw: dict[str, Any]


Incoming = IncomingOrder | Unreadable


def content_of(order: IncomingOrder) -> str:
    """A digest (16 hex digits) of what an order says: lines, receiver, money and notes, without times and handles."""
    said = (
        order.lines, order.receiver, order.total_fen, order.paid_fen, order.refunded_fen, order.freight_fen,
        order.discount_fen, order.note, sorted(order.attributes.items()),
    )  # fmt: skip
    return hashlib.blake2s(repr(said).encode(errors="surrogatepass"), digest_size=8).hexdigest()
