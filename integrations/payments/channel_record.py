"""What all channels that collect the money themselves have in common as its keepers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from integrations.channels import Channel
from integrations.channels.payload import decimal_of_fen
from integrations.errors import Refused
from integrations.payments import PaymentRecord, PaymentState, RefundWish
from models.intake import IncomingOrder, PlatformStatus

_STATES = {
    PlatformStatus.AWAITING_PAYMENT: PaymentState.PENDING,
    PlatformStatus.HELD: PaymentState.PENDING,
    PlatformStatus.UNKNOWN: PaymentState.PENDING,
    PlatformStatus.CANCELLED: PaymentState.CLOSED,
    PlatformStatus.REFUNDED: PaymentState.REFUNDED,
}
_REFUND_NO = re.compile(r"[0-9A-Za-z_-]{1,64}")
_MARK = re.compile(r"\[([0-9A-Za-z_-]{1,64})\]$")
LONGEST_REASON = 100


def state_of(status: PlatformStatus) -> PaymentState:
    """What a channel's status says of the money."""
    return _STATES.get(status, PaymentState.PAID)


def payment_in(order: IncomingOrder) -> PaymentRecord:
    """What an order as its channel tells it says about the money."""
    return PaymentRecord(state_of(order.status), order.paid_fen, order.currency, order.paid_at)


def check_wish(keeper: str, wish: RefundWish) -> None:
    """Raise `Refused` when no keeper could pay this: a key that is none, nothing to pay, or more than was paid."""
    if _REFUND_NO.fullmatch(wish.refund_no) is None:
        raise Refused(keeper, "bad_refund_no", f"退款单号 {wish.refund_no!r} 只能用 1-64 位字母、数字、_ 和 -")
    if not 0 < wish.amount_fen <= wish.paid_fen:
        wanted, paid = decimal_of_fen(wish.amount_fen), decimal_of_fen(wish.paid_fen)
        said = f"要退 {wanted} 元,实付 {paid} 元:退款须大于 0 且不超过实付"
        raise Refused(keeper, "bad_amount", said)


def marked(reason: str, refund_no: str) -> str:
    """A note that ends with the refund's number, by which the refund is found again: "缺货 [R-1]"."""
    return f"{reason[:LONGEST_REASON]} [{refund_no}]".strip()


def mark_of(note: str) -> str:
    """The refund number that a note ends with; empty when somebody else wrote it."""
    found = _MARK.search(note)
    return found[1] if found else ""


class ChannelRecord:
    """Asks the channel for the order again: a webhook or an old page is only a hint."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels

    async def payment(self, channel: str, channel_order_id: str) -> PaymentRecord:
        """What was paid for this order, as of now. Raises the classes of `integrations.errors`."""
        if channel not in self._channels:
            raise Refused(channel, "not_connected", "这个渠道还没有接好")
        return payment_in(await self._channels[channel].order(channel_order_id))
