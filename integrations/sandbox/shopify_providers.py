"""Payments of Shopify orders that went through the seller's own providers: Alipay and WeChat Pay hold the money."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from integrations.sandbox import alipay, wechat_pay
from integrations.sandbox.world import World

#: By gateway, how a payment is opened at the provider.
OPENS: dict[str, Callable[[World, str, int, datetime], str]] = {
    "alipay": alipay.open_trade,
    "wechat_pay": wechat_pay.open_trade,
}


def tell_providers(world: World, order: dict[str, Any], at: datetime) -> None:
    """Have the providers know the order's payments, and that a cancelled order's were given back. Idempotent."""
    for payment in order["transactions"]:
        if not payment["paymentId"]:
            continue
        fen = int(Decimal(payment["amountSet"]["shopMoney"]["amount"]) * 100)
        OPENS[payment["gateway"]](world, payment["paymentId"], fen, datetime.fromisoformat(payment["processedAt"]))
        if order["cancelledAt"]:
            _give_back(world, payment["gateway"], payment["paymentId"], at)


def _give_back(world: World, gateway: str, number: str, at: datetime) -> None:
    """What is left of the payment goes back to the customer, on the shop's own account: no notify to the hub."""
    if gateway == "alipay":
        trade = world.get(alipay.TRADE, number) or {}
        left = trade["total_fen"] - sum(refund["fen"] for refund in trade["refunds"].values())
        if left > 0:
            trade["refunds"][f"{number}-cancelled"] = {"fen": left, "seen_at": at.timestamp()}
        world.put(alipay.TRADE, number, trade | {"status": "TRADE_CLOSED"})
    else:
        trade = world.get(wechat_pay.TRADE, number) or {}
        if trade["refunded"] < trade["total"]:
            gone = {"state": "REFUND", "refunded": trade["total"], "refunded_at": at.timestamp()}
            world.put(wechat_pay.TRADE, number, trade | gone)
