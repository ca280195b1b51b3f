"""What a JD POP order means to the hub. Pure; fields as in `OrderSearchInfo` of JD's own SDK.

Money is text in yuan, times are Beijing without an offset (year 1 for "not yet"). JD tells no sum per line: what was
paid is spread over the lines by their price.

Unverified:
- `orderPayment` is what the customer pays, freight included, after every discount
- `jdPrice` is the price of one piece before discounts; no line tells what was paid for it
- a line is known by its `skuId`: a gift of the same SKU becomes the line `skuId#2`
- `consigneeInfo` is masked or ciphertext for every app; ciphertext is shown as ***
- `WAIT_SELLER_DELIVERY` waits for the domestic leg of an overseas order, and is held
- where the answers of customised goods come: they are asked for on the order page
- what was paid back is not told by the order
"""

from __future__ import annotations

import re
from typing import Any

from integrations.channels.apportioning import apportioned
from integrations.channels.beijing_time import beijing, beijing_or_none
from integrations.channels.payload import fen_of_decimal, identity, integer, mapping, mappings, text
from integrations.channels.unverified import unverified
from models.intake import IncomingLine, IncomingOrder, PlatformStatus, Receiver

NAME = "jd"

UNVERIFIED = unverified(__doc__)

#: Fields asked of `jingdong.pop.order.search` and `jingdong.pop.order.get`.
FIELDS = (
    "orderId,orderState,orderTotalPrice,orderSellerPrice,orderPayment,freightPrice,sellerDiscount,orderStartTime,"
    "paymentConfirmTime,modified,consigneeInfo,itemInfoList,waybill,logisticsId,partialLogisticsInfoModel,orderRemark,"
    "pin,openIdBuyer"
)

#: The states that the listing can be asked for.
LISTED = {
    "WAIT_SELLER_STOCK_OUT": PlatformStatus.TO_SHIP,
    "WAIT_SELLER_DELIVERY": PlatformStatus.HELD,
    "LOCKED": PlatformStatus.HELD,
    "PAUSE": PlatformStatus.HELD,
    "POP_ORDER_PAUSE": PlatformStatus.HELD,
    "WAIT_GOODS_RECEIVE_CONFIRM": PlatformStatus.SHIPPED,
    "FINISHED_L": PlatformStatus.COMPLETE,
    "TRADE_CANCELED": PlatformStatus.CANCELLED,
}
_STATUS = LISTED | {"NOT_PAY": PlatformStatus.AWAITING_PAYMENT}

_CIPHERTEXT = re.compile(r"[A-Za-z0-9+/=_-]{32,}")


def read_order(payload: Any, shop: str) -> IncomingOrder:
    """An `orderInfo` as the hub takes it in; the receiver is the platform's mask.

    Raises `Unparsable` without an id, or when a number or time cannot be read; odd values are carried over.
    """
    order = mapping(payload, "orderInfo")
    order_id = identity(order.get("orderId"), "orderId")
    freight = _fen(order, "freightPrice")
    total = fen_of_decimal(order.get("orderPayment"), "orderPayment")  # also before it is paid
    lines = _lines(mappings(order.get("itemInfoList"), "itemInfoList"), total - freight)
    paid_at = beijing_or_none(order.get("paymentConfirmTime"), "paymentConfirmTime")
    return IncomingOrder(
        channel=NAME,
        shop=shop,
        channel_order_id=order_id,
        channel_order_name=order_id,
        status=_status(order),
        placed_at=beijing(order.get("orderStartTime"), "orderStartTime"),
        updated_at=beijing(order.get("modified"), "modified"),
        paid_at=paid_at,
        currency="CNY",
        total_fen=total,
        paid_fen=total if paid_at else 0,
        freight_fen=freight,
        discount_fen=sum(line.unit_price_fen * line.quantity for line in lines) + freight - total,
        buyer=text(order.get("openIdBuyer"), "openIdBuyer") or text(order.get("pin"), "pin"),
        receiver=_masked(order),
        lines=lines,
        note=text(order.get("orderRemark"), "orderRemark"),
        handles={"lines": {line.channel_line_id: line.quantity for line in lines}},
        raw=order,
    )


def waybills_in(order: dict[str, Any]) -> list[str]:
    """The waybills of an order: several carriers are separated by `|`, several parcels by `,`. Raises `Unparsable`."""
    told = re.split(r"[|,]", text(order.get("waybill"), "waybill"))
    parts = mappings(order.get("partialLogisticsInfoModel"), "partialLogisticsInfoModel")
    told += [text(part.get("waybillId"), "waybillId") for part in parts]
    return [waybill.strip() for waybill in told if waybill.strip()]


def _lines(items: list[dict[str, Any]], goods_fen: int) -> tuple[IncomingLine, ...]:
    quantities = [integer(item.get("itemTotal"), "itemTotal") for item in items]
    prices = [_fen(item, "jdPrice") for item in items]
    paid = apportioned([price * count for price, count in zip(prices, quantities, strict=True)], goods_fen)
    lines: list[IncomingLine] = []
    seen: dict[str, int] = {}
    for item, quantity, price, share in zip(items, quantities, prices, paid, strict=True):
        sku_id = identity(item.get("skuId"), "skuId")
        seen[sku_id] = seen.get(sku_id, 0) + 1
        lines.append(
            IncomingLine(
                channel_line_id=sku_id if seen[sku_id] == 1 else f"{sku_id}#{seen[sku_id]}",
                sku=text(item.get("outerSkuId"), "outerSkuId") or sku_id,
                title=text(item.get("skuName"), "skuName"),
                quantity=quantity,
                unit_price_fen=price,
                paid_fen=share,
            )
        )
    return tuple(lines)


def _masked(order: dict[str, Any]) -> Receiver | None:
    info = mapping(order.get("consigneeInfo") or {}, "consigneeInfo")
    found = {name: text(info.get(name), name) for name in ("fullname", "mobile", "telephone", "fullAddress")}
    province, city, county, town = (text(info.get(name), name) for name in ("province", "city", "county", "town"))
    if not any(found.values()):
        return None
    detail = found["fullAddress"]
    for part in (province, city, county):  # the full address may begin with them
        detail = detail.removeprefix(part)
    return Receiver(
        name=_shown(found["fullname"]),
        phone=_shown(found["mobile"] or found["telephone"]),
        province=province,
        city=city or province,
        district=county,
        detail=_shown(detail if detail.startswith(town) else town + detail),
        masked=True,
    )


def _shown(value: str) -> str:
    return "***" if _CIPHERTEXT.search(value) else value


def _status(order: dict[str, Any]) -> PlatformStatus:
    status = _STATUS.get(text(order.get("orderState"), "orderState"), PlatformStatus.UNKNOWN)
    return PlatformStatus.PART_SHIPPED if status is PlatformStatus.TO_SHIP and waybills_in(order) else status


def _fen(found: dict[str, Any], name: str) -> int:
    """Fen of an amount in yuan; 0 where there is none."""
    value = found.get(name)
    return 0 if value in (None, "") else fen_of_decimal(value, name)
