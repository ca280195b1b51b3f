"""Money of orders that came as spreadsheets: what the sheet said was paid, by our own record; people refund."""

from __future__ import annotations

from sqlmodel import Session, select

from integrations.channels.spreadsheet import NAME
from integrations.errors import Refused
from integrations.payments import PaymentRecord, PaymentState, RefundAnswer, RefundWish, Trade
from integrations.payments.channel_record import check_wish, state_of
from models.database import in_transaction
from models.intake import PlatformStatus
from models.order import Order


class ToldBySheet:
    """The keeper of the money of sheets, reading only; see `integrations.payments.Payments`."""

    name = NAME

    async def payment(self, trade: Trade) -> PaymentRecord:
        """What the order's sheet said last of its money. `Refused` for an order that is not in the book."""
        found = await in_transaction(lambda session: _find(session, trade))
        if found is None:
            raise Refused(NAME, "unknown_order", f"没有导入过订单 {trade.channel_order_id}")
        return found

    def refund_request(self, wish: RefundWish) -> bytes:
        """Always `Refused`: a person refunds on the platform that the sheet is from."""
        check_wish(self.name, wish)
        raise self._by_hand(f"订单 {wish.trade.channel_order_id} 的")

    async def refund(self, request: bytes) -> RefundAnswer:
        """Always `Refused`: a person refunds on the platform that the sheet is from."""
        raise self._by_hand("这笔")

    async def find_refund(self, request: bytes) -> RefundAnswer | None:
        """None: no refund is asked for here."""
        return None

    def _by_hand(self, whose: str) -> Refused:
        return Refused(self.name, "refund_by_hand", f"{whose}钱本系统退不了:请在原平台退款后在订单页了结")


def _find(session: Session, trade: Trade) -> PaymentRecord | None:
    statement = select(Order).where(
        Order.channel == NAME, Order.shop == trade.shop, Order.channel_order_id == trade.channel_order_id
    )
    order = session.exec(statement.execution_options(populate_existing=True)).first()
    if order is None:
        return None
    state = state_of(PlatformStatus(order.platform_status))
    return PaymentRecord(state, 0 if state is PaymentState.PENDING else order.paid_fen, order.currency, order.paid_at)
