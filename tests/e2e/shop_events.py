"""What can happen to an order on a played platform after it was placed, as its buyer, its seller or its staff do it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from integrations.sandbox import (
    douyin_after_sales,
    douyin_orders,
    jd_orders,
    pinduoduo_orders,
    replay,
    shopify_orders,
    taobao_orders,
    wechat_after_sales,
    wechat_shop_orders,
)
from integrations.sandbox.baskets import BasketLine
from integrations.sandbox.history import catalogue, customers
from integrations.sandbox.shopify_fulfilment_orders import remaining
from integrations.sandbox.world import World
from models.intake import Receiver
from tests.e2e.platform_books import Told, told_orders
from tests.e2e.played_shop import PlayedShop

Document = dict[str, Any]
#: Changes the document; `pick` is any number, to choose among lines, quantities and the like.
Change = Callable[[World, Document, datetime, int], None]
#: What can happen: to which orders, and how.
Events = dict[str, tuple[Callable[[Told], bool], Change]]

ALIVE = ("awaiting_payment", "to_ship", "part_shipped")


def happens(shop: PlayedShop, what: str, pick: int) -> bool:
    """Have this happen to one of the shop's orders, chosen by `pick`; False when it can happen to none of them."""
    world, (when, change) = shop.home.sandbox.world, EVENTS[shop.channel][what]
    orders = told_orders(world, shop.channel).values()
    fit = [order for order in orders if order.id not in shop.before and when(order)]
    if not fit:
        return False
    order_id, at = fit[pick % len(fit)].id, shop.there()
    with world.transaction():
        document = world.get(f"{shop.channel}.order", order_id)
        assert document is not None
        change(world, document, at, pick // len(fit))
    return True


def _is_unpaid(order: Told) -> bool:
    return order.status == "awaiting_payment" and not order.paid_fen


def _is_alive(order: Told) -> bool:
    return order.status in ALIVE and any(line.quantity > line.cancelled for line in order.lines)


def _is_to_ship(order: Told) -> bool:
    return _is_alive(order) and order.status == "to_ship"


def _saving(channel: str, change: Callable[[Document, datetime, int], None]) -> Change:
    """The change, and the document written."""

    def changed(world: World, order: Document, at: datetime, pick: int) -> None:
        change(order, at, pick)
        replay.SHOPS[channel].save(world, order, at)

    return changed


def _somebody(pick: int) -> Receiver:
    people = list(customers().values())
    one = people[pick % len(people)]
    return Receiver(one.name, one.phone, one.province, one.city, one.district, one.street)


# Shopify -----------------------------------------------------------------------------------------------------


def _shopify_address(order: Document, at: datetime, pick: int) -> None:
    to = _somebody(pick)
    address = {"name": to.name, "phone": to.phone, "province": to.province, "city": to.city}
    shopify_orders.change_address(order, {**address, "address1": to.district + to.detail})


def _shopify_edit(order: Document, at: datetime, pick: int) -> None:
    """One line gets one more or one less; never is all of the order taken away, which is to cancel it."""
    lines, left = order["lineItems"], remaining(order)
    line = lines[pick % len(lines)]
    wanted = sum(one["currentQuantity"] for one in lines)
    less = pick % 2 and wanted > 1 and line["currentQuantity"] and left.get(line["id"], 0)
    shopify_orders.edit_line(order, line["id"], line["currentQuantity"] + (-1 if less else 1))


def _shopify_add(order: Document, at: datetime, pick: int) -> None:
    ready = [sku for sku in catalogue().values() if not sku.made_to_order]
    sku = ready[pick % len(ready)]
    shopify_orders.add_line(order, BasketLine(sku.code, sku.title, 1 + pick % 2, sku.price_fen, pick % 100, {}))


def _shopify_refund(order: Document, at: datetime, pick: int) -> None:
    """One piece is paid back, or where there is none left, a fen."""
    left = remaining(order)
    lines = [line for line in order["lineItems"] if line["currentQuantity"] and left.get(line["id"])]
    line = lines[pick % len(lines)]
    room = shopify_orders.fen_of(order, "totalReceivedSet") - shopify_orders.fen_of(order, "totalRefundedSet")
    fen = min(room, shopify_orders.fen_of(line, "originalTotalSet") // line["quantity"])
    shopify_orders.refund_part(order, fen, [(line["id"], 1)])


def _shopify_ship(order: Document, at: datetime, pick: int) -> None:
    items = [item for part in order["fulfillmentOrders"] for item in part["lineItems"]]
    taken = {item["id"]: item["remainingQuantity"] for item in items if item["remainingQuantity"]}
    shopify_orders.ship(order, taken, {"company": "SF Express", "number": f"SF{pick}"}, at)


# WeChat shop and Douyin --------------------------------------------------------------------------------------


def _wechat_price(order: Document, at: datetime, pick: int) -> None:
    product = order["order_detail"]["product_infos"][0]
    wechat_shop_orders.change_price(
        order, wechat_shop_orders.key_of(product), max(1, product["real_price"] - pick % 300)
    )


def _wechat_refund(world: World, order: Document, at: datetime, pick: int) -> None:
    products = order["order_detail"]["product_infos"]
    free = [one for one in products if one["sku_cnt"] > one["finish_aftersale_sku_cnt"]]
    one = free[pick % len(free)]
    kind = ("REFUND", "RETURN", "EXCHANGE")[pick % 3]
    key = wechat_shop_orders.key_of(one)
    wechat_after_sales.refund_part(world, order["order_id"], key, at, quantity=1, kind=kind)


def _wechat_ship(order: Document, at: datetime, pick: int) -> None:
    left = {key: count for key, count in wechat_shop_orders.remaining(order).items() if count}
    products = [
        {"product_id": key.split(":")[0], "sku_id": key.split(":")[1], "product_cnt": count}
        for key, count in left.items()
    ]
    delivery = {"delivery_id": "SF", "waybill_id": f"SF{pick}", "deliver_type": 1, "product_infos": products}
    wechat_shop_orders.ship(order, delivery, at)


def _douyin_price(order: Document, at: datetime, pick: int) -> None:
    line = order["sku_order_list"][0]
    douyin_orders.change_price(order, line["order_id"], max(1, line["pay_amount"] - pick % 300))


def _douyin_refund(world: World, order: Document, at: datetime, pick: int) -> None:
    left = [line for line in order["sku_order_list"] if line["after_sale_info"]["refund_status"] != 3]
    douyin_after_sales.refund_part(world, order["order_id"], left[pick % len(left)]["order_id"], at)


def _douyin_ship(order: Document, at: datetime, pick: int) -> None:
    left = {line: count for line, count in douyin_orders.remaining(order).items() if count}
    douyin_orders.ship(order, left, "shunfeng", f"SF{pick}", at)


# the rest ----------------------------------------------------------------------------------------------------


def _taobao_ship(order: Document, at: datetime, pick: int) -> None:
    oids = {str(line["oid"]) for line in order["orders"]["order"]}
    taobao_orders.ship(order, oids, "SF", f"SF{pick}", at)


def _common(
    channel: str, ship: Callable[[Document, datetime, int], None]
) -> dict[str, tuple[Callable[[Told], bool], Change]]:
    shop = replay.SHOPS[channel]
    return {
        "paid": (_is_unpaid, _saving(channel, lambda order, at, pick: shop.pay(order, at))),
        "cancelled": (_is_alive, _saving(channel, lambda order, at, pick: shop.cancel(order, at))),
        "shipped": (_is_to_ship, _saving(channel, ship)),
    }


EVENTS: dict[str, Events] = {
    "shopify": {
        **_common("shopify", _shopify_ship),
        "balance_paid": (
            lambda order: order.status == "awaiting_payment" and order.paid_fen > 0,
            _saving("shopify", lambda order, at, pick: shopify_orders.pay(order, at)),
        ),
        "moved": (_is_alive, _saving("shopify", _shopify_address)),
        "edited": (_is_alive, _saving("shopify", _shopify_edit)),
        "added_to": (_is_alive, _saving("shopify", _shopify_add)),
        "paid_back": (_is_to_ship, _saving("shopify", _shopify_refund)),
    },
    "wechat_shop": {
        **_common("wechat_shop", _wechat_ship),
        "moved": (
            _is_alive,
            _saving("wechat_shop", lambda order, at, pick: wechat_shop_orders.change_address(order, _somebody(pick))),
        ),
        "edited": (_is_unpaid, _saving("wechat_shop", _wechat_price)),
        "paid_back": (_is_to_ship, _wechat_refund),
    },
    "douyin": {
        **_common("douyin", _douyin_ship),
        "moved": (
            _is_alive,
            _saving("douyin", lambda order, at, pick: douyin_orders.change_address(order, _somebody(pick))),
        ),
        "edited": (_is_unpaid, _saving("douyin", _douyin_price)),
        "paid_back": (_is_to_ship, _douyin_refund),
    },
    "taobao": _common("taobao", _taobao_ship),
    "jd": _common("jd", lambda order, at, pick: jd_orders.ship(order, "467", f"SF{pick}")),
    "pinduoduo": _common("pinduoduo", lambda order, at, pick: pinduoduo_orders.ship(order, 44, f"SF{pick}", at)),
}
