"""Orders as a WeChat shop holds them. Fields that begin with `_` never leave the platform."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from integrations.sandbox.baskets import Basket, BasketLine
from integrations.sandbox.channel_pushes import announce, are_on
from integrations.sandbox.wechat_shop_pushes import PLATFORM, news_of_order
from integrations.sandbox.world import World
from models.intake import Receiver

ORDER = "wechat_shop.order"
FIRST_ID = 3_705_115_058_471_000_000

UNPAID, TO_SHIP, PART_SHIPPED, TO_RECEIVE, REFUNDED, CANCELLED = 10, 20, 21, 30, 200, 250


def written(basket: Basket, number: int, at: datetime, *, paid: bool) -> dict[str, Any]:
    """The order that this basket becomes as the shop's `number`-th, at `at`."""
    order_id = FIRST_ID + number * 1000
    detail = {
        "product_infos": [_product(line, order_id + index) for index, line in enumerate(basket.lines)],
        "pay_info": {"pay_time": 0, "transaction_id": ""},
        "price_info": {
            "product_price": sum(line.unit_price_fen * line.quantity for line in basket.lines),
            "order_price": basket.total_fen,
            "freight": 0,
            "discounted_price": basket.discount_fen,
        },
        "delivery_info": {
            "address_info": _masked(_receiver(basket)) if basket.has_address else None,
            "delivery_product_info": [],
        },
        "ext_info": {"customer_notes": _notes(basket), "merchant_notes": ""},
    }
    order = {
        "order_id": str(order_id),
        "openid": f"o{basket.buyer}",
        "unionid": "",
        "status": UNPAID,
        "create_time": int(at.timestamp()),
        "update_time": int(at.timestamp()),
        "order_detail": detail,
        "aftersale_detail": {"aftersale_order_list": [], "on_aftersale_order_cnt": 0},
        "_clear": _clear(_receiver(basket)) if basket.has_address else None,
        "_shipped": {},
    }
    if paid:
        pay(order, at)
    return order


def save(world: World, order: dict[str, Any], at: datetime) -> None:
    """Write the order as updated at `at`, in whole seconds as the platform tells it, and push what is new in it."""
    at = at.replace(microsecond=0)
    order["update_time"] = int(at.timestamp())
    if are_on(world, PLATFORM):
        announce(world, PLATFORM, news_of_order(world.get(ORDER, order["order_id"]), order))
    world.put(ORDER, order["order_id"], order, at)


def seen(order: dict[str, Any]) -> dict[str, Any]:
    """The order as callers see it."""
    return {name: value for name, value in order.items() if not name.startswith("_")}


def pay(order: dict[str, Any], at: datetime) -> None:
    """The customer pays the whole sum."""
    order["status"] = TO_SHIP
    paid = {"pay_time": int(at.timestamp()), "transaction_id": f"4200{order['order_id']}"}
    order["order_detail"]["pay_info"] = paid


def cancel(order: dict[str, Any], at: datetime) -> None:
    """The order is cancelled; what was paid is refunded by the platform through a full after-sale."""
    if not order["order_detail"]["pay_info"]["pay_time"]:
        order["status"] = CANCELLED
        return
    order["status"] = REFUNDED
    for product in order["order_detail"]["product_infos"]:
        product["finish_aftersale_sku_cnt"] = product["sku_cnt"]


def change_address(order: dict[str, Any], receiver: Receiver) -> None:
    """The customer has another receiver or address; the caller saves the order."""
    order["order_detail"]["delivery_info"]["address_info"] = _masked(receiver)
    order["_clear"] = _clear(receiver)


def change_price(order: dict[str, Any], line_id: str, fen: int) -> None:
    """The seller lets a line ("product:sku") of an unpaid order go for `fen`; the caller saves the order.

    That is all that can be edited on this platform. Raises `ValueError` for a paid order or an unknown line.
    """
    detail = order["order_detail"]
    product = next((one for one in detail["product_infos"] if key_of(one) == line_id), None)
    if order["status"] != UNPAID or product is None:
        raise ValueError(f"order {order['order_id']} has no line {line_id} whose price can still be changed")
    product |= {"real_price": fen, "is_change_price": True, "change_price": fen}
    prices = detail["price_info"]
    prices["order_price"] = sum(one["real_price"] for one in detail["product_infos"]) + prices["freight"]
    prices["discounted_price"] = prices["product_price"] + prices["freight"] - prices["order_price"]


def key_of(product: dict[str, Any]) -> str:
    """What the hub calls a line: "product:sku"."""
    return f"{product['product_id']}:{product['sku_id']}"


def count_after_sale(order: dict[str, Any], after_sale: dict[str, Any], on: int, finished: int) -> None:
    """Add to how many of the after-sale's goods are in after-sales, and have been through one that paid.

    An order whose goods have all been through is cancelled by full after-sale; one of which nothing is left to ship
    is shipped.
    """
    sought = after_sale["product_info"]
    for product in order["order_detail"]["product_infos"]:
        if (product["product_id"], product["sku_id"]) == (sought["product_id"], sought["sku_id"]):
            product["on_aftersale_sku_cnt"] += on
            product["finish_aftersale_sku_cnt"] += finished
            break
    order["aftersale_detail"]["on_aftersale_order_cnt"] += (on > 0) - (on < 0)
    products = order["order_detail"]["product_infos"]
    if all(product["finish_aftersale_sku_cnt"] >= product["sku_cnt"] for product in products):
        order["status"] = REFUNDED
    elif order["status"] == PART_SHIPPED and not any(remaining(order).values()):
        order["status"] = TO_RECEIVE


def remaining(order: dict[str, Any]) -> dict[str, int]:
    """How many of each product and SKU ("product:sku") are neither shipped nor through an after-sale."""
    left: dict[str, int] = {}
    for product in order["order_detail"]["product_infos"]:
        there = product["sku_cnt"] - product["finish_aftersale_sku_cnt"]
        left[key_of(product)] = left.get(key_of(product), 0) + there
    return {key: max(0, quantity - order["_shipped"].get(key, 0)) for key, quantity in left.items()}


def ship(order: dict[str, Any], delivery: dict[str, Any], at: datetime) -> None:
    """One parcel with its products, which must be there."""
    for product in delivery["product_infos"]:
        key = key_of(product)
        order["_shipped"][key] = order["_shipped"].get(key, 0) + product["product_cnt"]
    order["status"] = PART_SHIPPED if any(remaining(order).values()) else TO_RECEIVE
    known = {**delivery, "delivery_name": "顺丰速运", "delivery_time": int(at.timestamp())}
    order["order_detail"]["delivery_info"]["delivery_product_info"].append(known)


def _product(line: BasketLine, number: int) -> dict[str, Any]:
    return {
        "product_id": str(number),
        "sku_id": str(number + 500),
        "out_sku_id": "",
        "sku_code": line.sku,
        "sku_cnt": line.quantity,
        "sale_price": line.unit_price_fen,
        "real_price": line.paid_fen,
        "title": line.title,
        "sku_attrs": [],
        "on_aftersale_sku_cnt": 0,
        "finish_aftersale_sku_cnt": 0,
    }


def _notes(basket: Basket) -> str:
    """The customer's note, and below it the pet profiles: one for all, or one for each product."""
    profiles = [(line.sku, _profile(line)) for line in basket.lines if line.pet]
    if len({profile for _, profile in profiles}) == 1:
        profiles = [("", profiles[0][1])]
    told = [f"宠物档案({sku}):{profile}" if sku else f"宠物档案:{profile}" for sku, profile in profiles]
    return "\n".join([basket.note] * bool(basket.note) + told)


def _profile(line: BasketLine) -> str:
    return ";".join(f"{key}={value.replace(';', '，')}" for key, value in line.pet.items())


def _receiver(basket: Basket) -> Receiver:
    return Receiver(basket.name, basket.phone, basket.province, basket.city, basket.district, basket.street)


def _masked(receiver: Receiver) -> dict[str, Any]:
    return {
        "user_name": receiver.name[:1] + "*",
        "tel_number": f"{receiver.phone[:3]}****{receiver.phone[-4:]}",
        "province_name": receiver.province,
        "city_name": receiver.city,
        "county_name": receiver.district,
        "detail_info": "***",
    }


def _clear(receiver: Receiver) -> dict[str, Any]:
    clear = {"user_name": receiver.name, "tel_number": receiver.phone, "detail_info": receiver.detail}
    return {**_masked(receiver), **clear}
