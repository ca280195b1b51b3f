"""Trades as a Taobao shop holds them. Fields that begin with `_` never leave the platform."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from integrations.channels.beijing_time import beijing_text
from integrations.channels.payload import decimal_of_fen
from integrations.sandbox.baskets import Basket, BasketLine
from integrations.sandbox.world import World

ORDER = "taobao.order"
FIRST_ID = 4_001_231_005_000_000_000

UNPAID, TO_SHIP, PART_SHIPPED = "WAIT_BUYER_PAY", "WAIT_SELLER_SEND_GOODS", "SELLER_CONSIGNED_PART"
SHIPPED, REFUNDED, CANCELLED = "WAIT_BUYER_CONFIRM_GOODS", "TRADE_CLOSED", "TRADE_CLOSED_BY_TAOBAO"


def written(basket: Basket, number: int, at: datetime, *, paid: bool) -> dict[str, Any]:
    """The trade that this basket becomes as the shop's `number`-th, at `at`."""
    tid = FIRST_ID + number * 1000
    lines = [_line(line, tid + (index + 1 if len(basket.lines) > 1 else 0)) for index, line in enumerate(basket.lines)]
    trade: dict[str, Any] = {
        "tid": tid,
        "tid_str": str(tid),
        "type": "fixed",
        "status": UNPAID,
        "created": beijing_text(at),
        "modified": beijing_text(at),
        "payment": decimal_of_fen(basket.total_fen),
        "post_fee": "0.00",
        "total_fee": decimal_of_fen(basket.total_fen + basket.discount_fen),
        "buyer_open_uid": f"AAH{basket.buyer}",
        "buyer_message": basket.note,
        "orders": {"order": lines},
        **(_receiver(basket, tid) if basket.has_address else _NOBODY),
    }
    if paid:
        pay(trade, at)
    return trade


def save(world: World, order: dict[str, Any], at: datetime) -> None:
    """Write the trade as updated at `at`, in whole seconds as the platform tells it."""
    order["modified"] = beijing_text(at)
    world.put(ORDER, str(order["tid"]), order, at.replace(microsecond=0))


def pay(order: dict[str, Any], at: datetime) -> None:
    """The customer pays the whole sum."""
    order["pay_time"] = beijing_text(at)
    _all_lines(order, TO_SHIP)


def cancel(order: dict[str, Any], at: datetime) -> None:
    """The trade is closed; what was paid is paid back by the platform."""
    _all_lines(order, REFUNDED if order.get("pay_time") else CANCELLED)
    if order.get("pay_time"):
        for line in order["orders"]["order"]:
            line["refund_status"] = "SUCCESS"


def ship(order: dict[str, Any], oids: set[str], company: str, waybill: str, at: datetime) -> None:
    """These lines leave in one parcel."""
    lines = order["orders"]["order"]
    for line in lines:
        if str(line["oid"]) in oids:
            line |= {"status": SHIPPED, "invoice_no": waybill, "logistics_company": company}
            line["consign_time"] = beijing_text(at)
    order["status"] = PART_SHIPPED if any(line["status"] == TO_SHIP for line in lines) else SHIPPED


def _all_lines(order: dict[str, Any], status: str) -> None:
    order["status"] = status
    for line in order["orders"]["order"]:
        line["status"] = status


_NOBODY: dict[str, Any] = {
    **{f"receiver_{name}": "" for name in ("name", "mobile", "state", "city", "district", "town", "address")},
    "oaid": "",
    "_clear": {},
}


def _receiver(basket: Basket, tid: int) -> dict[str, Any]:
    area = {"state": basket.province, "city": basket.city, "district": basket.district, "town": ""}
    return {
        "receiver_name": basket.name[:1] + "**",
        "receiver_mobile": f"*******{basket.phone[-4:]}",
        **{f"receiver_{name}": value for name, value in area.items()},
        "receiver_address": basket.street[:2] + "***",
        "oaid": hashlib.sha256(f"{tid} {basket.street}".encode()).hexdigest(),
        "_clear": {"name": basket.name, "mobile": basket.phone, "address_detail": basket.street, **area},
    }


def _line(line: BasketLine, oid: int) -> dict[str, Any]:
    return {
        "oid": oid,
        "oid_str": str(oid),
        "status": UNPAID,
        "refund_status": "NO_REFUND",
        "num_iid": oid % 10**12,
        "outer_sku_id": line.sku,
        "title": line.title,
        "num": line.quantity,
        "price": decimal_of_fen(line.unit_price_fen),
        "total_fee": decimal_of_fen(line.unit_price_fen * line.quantity),
        "discount_fee": decimal_of_fen(line.discount_fen),
        "payment": decimal_of_fen(line.paid_fen),
        "divide_order_fee": decimal_of_fen(line.paid_fen),
    }
