"""How things stand on the platforms, counted from their own documents: what the hub has to agree with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from integrations.sandbox import aliyun_sms, douyin_orders, mes, sf_express, shopify_orders, wechat_shop_orders
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.replay import id_of
from integrations.sandbox.world import World

#: Per channel: the kind of its orders, and what the platform itself says of one: paid, cancelled, wholly shipped.
CHANNELS: dict[str, tuple[str, Callable[[dict[str, Any]], tuple[bool, bool, bool]]]] = {
    "shopify": (
        shopify_orders.ORDER,
        lambda order: (
            bool(order["transactions"]),
            bool(order["cancelledAt"]),
            order["displayFulfillmentStatus"] == "FULFILLED",
        ),
    ),
    "wechat_shop": (
        wechat_shop_orders.ORDER,
        lambda order: (
            bool(order["order_detail"]["pay_info"]["pay_time"]),
            order["status"] in (wechat_shop_orders.REFUNDED, wechat_shop_orders.CANCELLED),
            order["status"] == wechat_shop_orders.TO_RECEIVE,
        ),
    ),
    "douyin": (
        douyin_orders.ORDER,
        lambda order: (
            bool(order["pay_time"]),
            order["order_status"] == douyin_orders.CANCELLED,
            order["order_status"] == douyin_orders.SHIPPED,
        ),
    ),
}


def standing(world: World, credentials: Credentials) -> dict[str, Any]:
    """Orders per channel, messages per node, waybills and batches. Reads every order: ask once a second at most."""
    return {
        "orders": {channel: _orders(world, channel) for channel in CHANNELS},
        "sms": {
            node: sent["sent"]
            for node, template in credentials.aliyun_templates.items()
            if (sent := world.get(aliyun_sms.SENT_BY_TEMPLATE, template))
        },
        "waybills": world.size(sf_express.WAYBILL),
        "work_orders": world.size(mes.WORK_ORDER),
    }


def listed(world: World) -> dict[str, dict[str, list[str]]]:
    """Ids of every order per channel, those that ended there apart. Reads every order: ask once a second at most."""
    found: dict[str, dict[str, list[str]]] = {}
    for channel, (kind, read) in CHANNELS.items():
        found[channel] = {"open": [], "over": []}
        for order in world.window(kind):
            found[channel]["over" if read(order)[1] else "open"].append(id_of(order))
    return found


def _orders(world: World, channel: str) -> dict[str, int]:
    kind, read = CHANNELS[channel]
    seen = [read(order) for order in world.window(kind)]
    return {
        "placed": len(seen),
        "paid": sum(paid for paid, _, _ in seen),
        "cancelled": sum(cancelled for _, cancelled, _ in seen),
        "shipped": sum(shipped for _, _, shipped in seen),
    }
