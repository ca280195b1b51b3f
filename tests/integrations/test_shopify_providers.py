"""Orders of Shopify whose money lies with the seller's own providers, against the played platforms over HTTP."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from integrations.errors import Refused
from integrations.payments import Payments, PaymentState, Trade
from integrations.payments.alipay import Alipay
from integrations.payments.wechat_pay import WeChatPay
from integrations.sandbox.replay import cancel
from tests.integrations.sandbox_server import NOON, sandbox
from tests.integrations.test_shopify_money import place, wish


async def test_payments_with_the_sellers_own_providers_are_known_there(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        keepers: dict[str, Payments] = {"alipay": Alipay(running.settings.alipay, running.client)}
        keepers["wechat_pay"] = WeChatPay(running.settings.wechat_pay, running.client)
        for number, name in [(1, "alipay"), (2, "wechat_pay")]:
            order = place(running, number)
            trade = Trade(order.channel_order_id, order.payment_ref)

            paid = await keepers[name].payment(trade)
            cancel(running.world, "shopify", order.channel_order_id, NOON + timedelta(minutes=5))
            cancel(running.world, "shopify", order.channel_order_id, NOON + timedelta(minutes=6))
            cancelled = await keepers[name].payment(trade)

            assert (order.payment_keeper, paid.state, paid.paid_fen) == (name, PaymentState.PAID, 8999)
            assert cancelled.state == PaymentState.REFUNDED
            with pytest.raises(Refused):
                await keepers[name].refund(keepers[name].refund_request(wish(order, trade=trade)))
