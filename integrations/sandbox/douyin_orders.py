"""Orders as a Douyin shop holds them. Fields that begin with `_` never leave the platform."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from integrations.sandbox.baskets import Basket, BasketLine
from integrations.sandbox.channel_pushes import announce, are_on
from integrations.sandbox.douyin_pushes import PLATFORM, news_of_order
from integrations.sandbox.world import World
from models.intake import Receiver

ORDER = "douyin.order"
FIRST_ID = 4_781_320_682_406_000_000

UNPAID, TO_SHIP, PART_SHIPPED, SHIPPED, CANCELLED = 1, 2, 101, 3, 4
REFUND_PAID = 3


def written(basket: Basket, number: int, at: datetime, *, paid: bool) -> dict[str, Any]:
    """The order that this basket becomes as the shop's `number`-th, at `at`."""
    order_id = FIRST_ID + number * 1000
    order: dict[str, Any] = {
        "order_id": str(order_id),
        "order_status": UNPAID,
        "trade_type": 0,
        "create_time": int(at.timestamp()),
        "update_time": int(at.timestamp()),
        "pay_time": 0,
        "order_amount": basket.total_fen + basket.discount_fen,
        "pay_amount": basket.total_fen,
        "post_amount": 0,
        "promotion_amount": basket.discount_fen,
        "buyer_words": basket.note,
        "seller_words": "",
        "doudian_open_id": f"1@#{basket.buyer}",
        "sku_order_list": [_line(line, order_id, index) for index, line in enumerate(basket.lines)],
        "logistics_info": [],
        "_shipped": {},
        **(_written_receiver(str(order_id), _receiver(basket)) if basket.has_address else _NOBODY),
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
    order["order_status"] = TO_SHIP
    order["pay_time"] = int(at.timestamp())


def cancel(order: dict[str, Any], at: datetime) -> None:
    """The order is cancelled; what was paid is refunded by the platform."""
    if order["pay_time"]:
        for line in order["sku_order_list"]:
            line["after_sale_info"] = {"after_sale_status": 12, "after_sale_type": 2, "refund_status": REFUND_PAID}
    order["order_status"] = CANCELLED


def change_address(order: dict[str, Any], receiver: Receiver) -> None:
    """The customer has another receiver or address; the caller saves the order."""
    order |= _written_receiver(order["order_id"], receiver)


def change_price(order: dict[str, Any], line_id: str, fen: int) -> None:
    """The seller lets a line of an unpaid order go for `fen`; the caller saves the order.

    That is all that can be edited on this platform. Raises `ValueError` for a paid order or an unknown line.
    """
    line = next((one for one in order["sku_order_list"] if one["order_id"] == line_id), None)
    if order["order_status"] != UNPAID or line is None:
        raise ValueError(f"order {order['order_id']} has no line {line_id} whose price can still be changed")
    line["pay_amount"] = fen
    order["pay_amount"] = sum(one["pay_amount"] for one in order["sku_order_list"]) + order["post_amount"]
    order["promotion_amount"] = order["order_amount"] - order["pay_amount"]


def remaining(order: dict[str, Any]) -> dict[str, int]:
    """How many of each line are not shipped yet; of a line that was paid back none are to be."""
    shipped = order["_shipped"]
    return {
        line["order_id"]: line["item_num"] - shipped.get(line["order_id"], 0)
        for line in order["sku_order_list"]
        if line["after_sale_info"]["refund_status"] != REFUND_PAID
    }


def ship(order: dict[str, Any], taken: dict[str, int], company: str, waybill: str, at: datetime) -> None:
    """One parcel with these quantities by line, which must be there."""
    for line, quantity in taken.items():
        order["_shipped"][line] = order["_shipped"].get(line, 0) + quantity
    order["order_status"] = PART_SHIPPED if any(remaining(order).values()) else SHIPPED
    products = [{"sku_order_id": line, "product_count": quantity} for line, quantity in taken.items()]
    order["logistics_info"].append(
        {
            "tracking_no": waybill,
            "company": company,
            "ship_time": int(at.timestamp()),
            "delivery_id": str(len(order["logistics_info"]) + 1),
            "product_info": products,
        }
    )


_NOBODY: dict[str, Any] = {
    "encrypt_post_receiver": "",
    "encrypt_post_tel": "",
    "mask_post_receiver": "",
    "mask_post_tel": "",
    "post_addr": None,
    "mask_post_addr": None,
    "_clear": {},
}


def _receiver(basket: Basket) -> Receiver:
    return Receiver(basket.name, basket.phone, basket.province, basket.city, basket.district, basket.street)


def _written_receiver(order_id: str, receiver: Receiver) -> dict[str, Any]:
    area = {
        "province": {"name": receiver.province, "id": "44"},
        "city": {"name": receiver.city},
        "town": {"name": receiver.district},
        "street": {"name": ""},
    }
    name, phone, detail = (
        mark + hashlib.sha256(f"{order_id} {index} {text}".encode()).hexdigest()
        for index, (mark, text) in enumerate((("##", receiver.name), ("$$", receiver.phone), ("##", receiver.detail)))
    )
    return {
        "encrypt_post_receiver": name,
        "encrypt_post_tel": phone,
        "mask_post_receiver": receiver.name[:1] + "*",
        "mask_post_tel": f"{receiver.phone[:1]}********{receiver.phone[-2:]}",
        "post_addr": {**area, "encrypt_detail": detail},
        "mask_post_addr": {**area, "detail": "***"},
        "_clear": {name: receiver.name, phone: receiver.phone, detail: receiver.detail},
    }


def _line(line: BasketLine, order_id: int, index: int) -> dict[str, Any]:
    entries = [
        {"id": number, "key": f"pet_{key}", "content": value}
        for number, (key, value) in enumerate(line.pet.items(), start=1)
    ]
    return {
        "order_id": str(order_id + index),
        "parent_order_id": str(order_id),
        "product_id": order_id + 500 + index,
        "product_id_str": str(order_id + 500 + index),
        "sku_id": 1707 + index,
        "out_sku_id": "",
        "code": line.sku,
        "product_name": line.title,
        "item_num": line.quantity,
        "origin_amount": line.unit_price_fen,
        "sum_amount": line.unit_price_fen * line.quantity,
        "pay_amount": line.paid_fen,
        "spec": [],
        "after_sale_info": {"after_sale_status": 0, "after_sale_type": 0, "refund_status": 0},
        "sku_customization_info": [{"detail": {"pic": [], "text": entries}}] if entries else [],
    }
