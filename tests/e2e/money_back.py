"""What the keepers of the money say themselves that they gave back: read from the played platforms' own books."""

from __future__ import annotations

from decimal import Decimal

from integrations.sandbox import (
    alipay,
    douyin_after_sales,
    shopify_orders,
    wechat_after_sales,
    wechat_pay,
)
from models.order import Order
from tests.house import House


def given_back(home: House, order: Order) -> int:
    """How many fen of this order its customer has been given back by now, by whoever collected the money."""
    return _BY_KEEPER[order.payment_keeper or order.channel](home, order)


def _by_alipay(home: House, order: Order) -> int:
    trade = home.sandbox.world.get(alipay.TRADE, order.payment_ref) or {"refunds": {}}
    return sum(int(refund["fen"]) for refund in trade["refunds"].values())


def _by_wechat_pay(home: House, order: Order) -> int:
    return sum(
        int(refund["asked"]["amount"]["refund"])
        for refund in home.sandbox.world.window(wechat_pay.REFUND)
        if refund["asked"]["out_trade_no"] == order.payment_ref and refund["status"] == "SUCCESS"
    )


def _by_shopify(home: House, order: Order) -> int:
    document = home.sandbox.world.get(shopify_orders.ORDER, order.channel_order_id) or {"refunds": []}
    return sum(
        int(Decimal(refund["totalRefundedSet"]["shopMoney"]["amount"]) * 100)
        for refund in document["refunds"]
        if all(part["status"] == "SUCCESS" for part in refund["transactions"]["nodes"])
    )


def _by_wechat_shop(home: House, order: Order) -> int:
    return sum(
        int(after_sale["refund_info"]["amount"])
        for after_sale in home.sandbox.world.window(wechat_after_sales.AFTER_SALE)
        if after_sale["order_id"] == order.channel_order_id and after_sale["status"] == wechat_after_sales.PAID
    )


def _by_douyin(home: House, order: Order) -> int:
    return sum(
        int(after_sale["info"]["refund_total_amount"])
        for after_sale in home.sandbox.world.window(douyin_after_sales.AFTER_SALE)
        if after_sale["order"] == order.channel_order_id
        and after_sale["info"]["refund_status"] == douyin_after_sales.PAID
    )


_BY_KEEPER = {
    "alipay": _by_alipay,
    "wechat_pay": _by_wechat_pay,
    "shopify": _by_shopify,
    "wechat_shop": _by_wechat_shop,
    "douyin": _by_douyin,
}
