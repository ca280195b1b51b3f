"""Money of a channel that pays nothing back by an interface of ours: the order says what was paid, people refund."""

from __future__ import annotations

from integrations.channels import Channel
from integrations.errors import Refused
from integrations.payments import PaymentRecord, RefundAnswer, RefundWish, Trade
from integrations.payments.channel_record import check_wish, payment_in


class ToldByChannel:
    """The keeper of a channel's money, reading only; see `integrations.payments.Payments`."""

    def __init__(self, channel: Channel) -> None:
        self.name = channel.name
        self._channel = channel

    async def payment(self, trade: Trade) -> PaymentRecord:
        """What the order says of its money."""
        return payment_in(await self._channel.order(trade.channel_order_id))

    def refund_request(self, wish: RefundWish) -> bytes:
        """Always `Refused`: a person refunds on the platform."""
        check_wish(self.name, wish)
        raise self._by_hand(f"订单 {wish.trade.channel_order_id} 的")

    async def refund(self, request: bytes) -> RefundAnswer:
        """Always `Refused`: a person refunds on the platform."""
        raise self._by_hand("这笔")

    async def find_refund(self, request: bytes) -> RefundAnswer | None:
        """None: no refund is asked for here."""
        return None

    def _by_hand(self, whose: str) -> Refused:
        return Refused(self.name, "refund_by_hand", f"{whose}钱本系统退不了:请在平台后台退款,再登记")
