"""What an order says, in 16 hex digits: the same file taken in twice changes nothing."""

from __future__ import annotations

import hashlib
import json

from models.intake import IncomingOrder


def content_digest(order: IncomingOrder) -> str:
    """16 hex digits of what an order says, whatever file, row order or moment said it."""
    receiver = order.receiver
    content = [
        order.shop,
        order.channel_order_id,
        order.status,
        order.placed_at.isoformat(),
        order.paid_at and order.paid_at.isoformat(),
        [order.currency, order.total_fen, order.paid_fen, order.freight_fen, order.discount_fen, order.refunded_fen],
        [order.buyer, order.note, sorted(order.attributes.items())],
        receiver and [*(vars(receiver).values())],
        [[*vars(line).values()] for line in order.lines],
    ]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()
