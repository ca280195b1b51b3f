"""Orders as a Pinduoduo shop holds them; money in yuan. Fields that begin with `_` never leave the platform."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from integrations.channels.beijing_time import beijing_text
from integrations.sandbox.baskets import Basket, BasketLine
from integrations.sandbox.shelves import number as number_of
from integrations.sandbox.world import World

ORDER = "pinduoduo.order"

TO_SHIP, SHIPPED = 1, 2  # order_status
CONFIRMED, CALLED_OFF = 1, 2  # confirm_status
PAID_BACK = 4  # refund_status
CIPHERS = ("receiver_name", "receiver_phone", "receiver_address")


def written(basket: Basket, number: int, at: datetime, *, paid: bool) -> dict[str, Any]:
    """The order that this basket becomes as the shop's `number`-th, at `at`."""
    order_sn = f"261101-{number:015d}"
    order: dict[str, Any] = {
        "order_sn": order_sn,
        "order_status": TO_SHIP,
        "confirm_status": 0,
        "group_status": 1,
        "refund_status": 1,
        "after_sales_status": 0,
        "risk_control_status": 0,
        "created_time": beijing_text(at),
        "updated_at": beijing_text(at),
        "pay_time": "",
        "confirm_time": "",
        "goods_amount": _yuan(basket.total_fen + basket.discount_fen),
        "discount_amount": _yuan(basket.discount_fen),
        "postage": 0.0,
        "pay_amount": _yuan(basket.total_fen),
        "buyer_memo": basket.note,
        "logistics_id": 0,
        "tracking_number": "",
        "shipping_time": "",
        "item_list": [_line(line) for line in basket.lines],
        **(_receiver(basket, order_sn) if basket.has_address else _NOBODY),
    }
    if paid:
        pay(order, at)
    return order


def save(world: World, order: dict[str, Any], at: datetime) -> None:
    """Write the order as updated at `at`, in whole seconds as the platform tells it."""
    order["updated_at"] = beijing_text(at)
    world.put(ORDER, order["order_sn"], order, at.replace(microsecond=0))


def pay(order: dict[str, Any], at: datetime) -> None:
    """The customer pays the whole sum, and the group is full."""
    order |= {"confirm_status": CONFIRMED, "pay_time": beijing_text(at), "confirm_time": beijing_text(at)}


def cancel(order: dict[str, Any], at: datetime) -> None:
    """The order is called off; what was paid is paid back by the platform, and its receiver is gone."""
    order |= {"refund_status": PAID_BACK} if order["pay_time"] else {"confirm_status": CALLED_OFF}
    order |= dict.fromkeys(CIPHERS, "")


def ship(order: dict[str, Any], company: int, waybill: str, at: datetime) -> None:
    """The whole order leaves in one parcel; its receiver is no longer told."""
    order |= {"order_status": SHIPPED, "logistics_id": company, "tracking_number": waybill}
    order |= {"shipping_time": beijing_text(at), **dict.fromkeys(CIPHERS, "")}


_NOBODY: dict[str, Any] = {
    **dict.fromkeys((*CIPHERS, *(f"{name}_mask" for name in CIPHERS), "province", "city", "town"), ""),
    "_clear": {},
}


def _receiver(basket: Basket, order_sn: str) -> dict[str, Any]:
    clear = dict(zip(CIPHERS, (basket.name, basket.phone, basket.street), strict=True))
    ciphers = {
        name: f"~{hashlib.sha256(f'{order_sn} {name} {value}'.encode()).hexdigest()}~0~"
        for name, value in clear.items()
    }
    return {
        **ciphers,
        "receiver_name_mask": basket.name[:1] + "**",
        "receiver_phone_mask": f"{basket.phone[:3]}****{basket.phone[-4:]}",
        "receiver_address_mask": basket.street[:2] + "****",
        "province": basket.province,
        "city": basket.city,
        "town": basket.district,
        "_clear": {ciphers[name]: value for name, value in clear.items()},
    }


def _line(line: BasketLine) -> dict[str, Any]:
    return {
        "goods_id": number_of("pinduoduo goods", line.sku),
        "sku_id": number_of("pinduoduo", line.sku),
        "outer_id": line.sku,
        "goods_name": line.title,
        "goods_price": _yuan(line.unit_price_fen),
        "goods_count": line.quantity,
        "goods_spec": "",
    }


def _yuan(fen: int) -> float:
    """A JSON number, as the platform's SDK types it."""
    return fen / 100
