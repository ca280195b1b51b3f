"""Orders as a JD POP shop holds them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from integrations.channels.beijing_time import beijing_text
from integrations.channels.payload import decimal_of_fen
from integrations.sandbox.baskets import Basket, BasketLine
from integrations.sandbox.shelves import number as number_of
from integrations.sandbox.world import World

ORDER = "jd.order"
FIRST_ID = 290_000_000_000
NOT_YET = "0001-01-01 00:00:00"

UNPAID, TO_SHIP, SHIPPED, CANCELLED = "NOT_PAY", "WAIT_SELLER_STOCK_OUT", "WAIT_GOODS_RECEIVE_CONFIRM", "TRADE_CANCELED"


def written(basket: Basket, number: int, at: datetime, *, paid: bool) -> dict[str, Any]:
    """The order that this basket becomes as the shop's `number`-th, at `at`."""
    worth = basket.total_fen + basket.discount_fen
    order: dict[str, Any] = {
        "orderId": str(FIRST_ID + number),
        "venderId": "10086",
        "orderState": UNPAID,
        "orderStartTime": beijing_text(at),
        "modified": beijing_text(at),
        "paymentConfirmTime": NOT_YET,
        "orderTotalPrice": decimal_of_fen(worth),
        "sellerDiscount": decimal_of_fen(basket.discount_fen),
        "orderSellerPrice": decimal_of_fen(basket.total_fen),
        "freightPrice": "0.00",
        "orderPayment": decimal_of_fen(basket.total_fen),
        "orderRemark": basket.note,
        "pin": f"jd_{basket.buyer}",
        "waybill": "",
        "logisticsId": "",
        "consigneeInfo": _receiver(basket) if basket.has_address else {},
        "itemInfoList": [_line(line) for line in basket.lines],
    }
    if paid:
        pay(order, at)
    return order


def save(world: World, order: dict[str, Any], at: datetime) -> None:
    """Write the order as updated at `at`, in whole seconds as the platform tells it."""
    order["modified"] = beijing_text(at)
    world.put(ORDER, order["orderId"], order, at.replace(microsecond=0))


def pay(order: dict[str, Any], at: datetime) -> None:
    """The customer pays the whole sum."""
    order["orderState"] = TO_SHIP
    order["paymentConfirmTime"] = beijing_text(at)


def cancel(order: dict[str, Any], at: datetime) -> None:
    """The order is cancelled; what was paid is paid back by the platform."""
    order["orderState"] = CANCELLED


def ship(order: dict[str, Any], company: str, waybill: str) -> None:
    """The whole order leaves in one parcel."""
    order |= {"orderState": SHIPPED, "logisticsId": company, "waybill": waybill}


def _receiver(basket: Basket) -> dict[str, Any]:
    """As callers see it: nothing in clear."""
    return {
        "fullname": basket.name[:1] + "**",
        "mobile": f"{basket.phone[:3]}****{basket.phone[-4:]}",
        "telephone": "",
        "province": basket.province,
        "city": basket.city,
        "county": basket.district,
        "town": "",
        "fullAddress": f"{basket.province}{basket.city}{basket.district}{basket.street[:2]}***",
    }


def _line(line: BasketLine) -> dict[str, Any]:
    return {
        "skuId": str(number_of("jd", line.sku)),
        "wareId": str(number_of("jd ware", line.sku)),
        "outerSkuId": line.sku,
        "skuName": line.title,
        "jdPrice": decimal_of_fen(line.unit_price_fen),
        "itemTotal": str(line.quantity),
    }
