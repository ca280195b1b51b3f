"""Payment as the sales channel itself records it: for channels that collect the money."""

from __future__ import annotations

from collections.abc import Mapping

from integrations.channels import Channel
from integrations.errors import Refused
from integrations.payments import PaymentRecord, PaymentState
from models.intake import IncomingOrder, PlatformStatus

_STATES = {
    PlatformStatus.AWAITING_PAYMENT: PaymentState.PENDING,
    PlatformStatus.HELD: PaymentState.PENDING,
    PlatformStatus.UNKNOWN: PaymentState.PENDING,
    PlatformStatus.CANCELLED: PaymentState.CLOSED,
    PlatformStatus.REFUNDED: PaymentState.REFUNDED,
}


def payment_in(order: IncomingOrder) -> PaymentRecord:
    """What an order as its channel tells it says about the money."""
    state = _STATES.get(order.status, PaymentState.PAID)
    return PaymentRecord(state, order.paid_fen, order.currency, order.paid_at)


class ChannelRecord:
    """Asks the channel for the order again: a webhook or an old page is only a hint."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels

    async def payment(self, channel: str, channel_order_id: str) -> PaymentRecord:
        """What was paid for this order, as of now. Raises the classes of `integrations.errors`."""
        if channel not in self._channels:
            raise Refused(channel, "not_connected", "这个渠道还没有接好")
        return payment_in(await self._channels[channel].order(channel_order_id))
