"""What a Douyin shop order means to the hub. Pure; field names as in the platform's SDK.

A line whose after-sale has paid (`refund_status` 3) is cancelled as a whole, and all that was paid for it counts as
paid back: [U] the order does not say whether an after-sale was for some pieces or a part of the sum
(`afterSale.Detail` does), nor whether the freight was part of it. A request that was withdrawn stays at
`refund_status` 1 with `after_sale_status` 28, and cancels nothing.
"""

from __future__ import annotations

from typing import Any

from integrations.channels.douyin_api import NAME
from integrations.channels.payload import (
    answers,
    epoch,
    epoch_or_none,
    identity,
    integer,
    mapping,
    mappings,
    text,
)
from models.intake import IncomingLine, IncomingOrder, PlatformStatus, Receiver

_STATUS = {
    1: PlatformStatus.AWAITING_PAYMENT,
    105: PlatformStatus.HELD,
    2: PlatformStatus.TO_SHIP,
    101: PlatformStatus.PART_SHIPPED,
    3: PlatformStatus.SHIPPED,
    4: PlatformStatus.CANCELLED,
    5: PlatformStatus.COMPLETE,
}
_REFUNDED = 3


def read_order(payload: Any, shop: str) -> IncomingOrder:
    """An order of `order.searchList` or `order.orderDetail` as the hub takes it in; the receiver is masked.

    Raises `Unparsable` without an id, or when a number or time cannot be read; odd values are carried over.
    """
    order = mapping(payload, "order")
    order_id = identity(order.get("order_id"), "order_id")
    items = mappings(order.get("sku_order_list"), "sku_order_list")
    lines = tuple(_line(item) for item in items)
    paid_at = epoch_or_none(order.get("pay_time"), "pay_time")
    total = integer(order.get("pay_amount"), "pay_amount")  # after discounts, also before it is paid
    return IncomingOrder(
        channel=NAME,
        shop=shop,
        channel_order_id=order_id,
        channel_order_name=order_id,
        status=_status(order, items),
        placed_at=epoch(order.get("create_time"), "create_time"),
        updated_at=epoch(order.get("update_time"), "update_time"),
        paid_at=paid_at,
        currency="CNY",
        total_fen=total,
        paid_fen=total if paid_at else 0,
        freight_fen=integer(order.get("post_amount"), "post_amount", 0),
        discount_fen=integer(order.get("promotion_amount"), "promotion_amount", 0),
        buyer=text(order.get("doudian_open_id"), "doudian_open_id"),
        receiver=_masked(order),
        lines=lines,
        note=text(order.get("buyer_words"), "buyer_words"),
        handles={
            "lines": {line.channel_line_id: line.quantity - line.cancelled_quantity for line in lines},
            "part_shipped": bool(order.get("logistics_info")),
        },
        raw=order,
        refunded_fen=sum(line.paid_fen for item, line in zip(items, lines, strict=True) if _is_refunded(item)),
    )


def read_area(value: Any, name: str) -> tuple[str, str, str, str]:
    """Province, city, district and street of an address object."""
    address = mapping(value, name)
    province, city, town, street = (
        text(mapping(address.get(part) or {}, part).get("name"), part)
        for part in ("province", "city", "town", "street")
    )
    return province, city, town, street


def _masked(order: dict[str, Any]) -> Receiver | None:
    address = order.get("mask_post_addr")
    if address is None:
        return None
    province, city, district, street = read_area(address, "mask_post_addr")
    return Receiver(
        name=text(order.get("mask_post_receiver"), "mask_post_receiver"),
        phone=text(order.get("mask_post_tel"), "mask_post_tel"),
        province=province,
        city=city,
        district=district,
        detail=street + text(address.get("detail"), "detail"),
        masked=True,
    )


def _line(item: dict[str, Any]) -> IncomingLine:
    sku = text(item.get("code"), "code") or text(item.get("out_sku_id"), "out_sku_id")
    quantity = integer(item.get("item_num"), "item_num")
    return IncomingLine(
        channel_line_id=identity(item.get("order_id"), "line order_id"),
        sku=sku or text(item.get("sku_id"), "sku_id"),
        title=text(item.get("product_name"), "product_name"),
        quantity=quantity,
        unit_price_fen=integer(item.get("origin_amount"), "origin_amount"),
        paid_fen=integer(item.get("pay_amount"), "line pay_amount"),
        attributes=_attributes(item),
        cancelled_quantity=quantity if _is_refunded(item) else 0,
    )


def _is_refunded(item: dict[str, Any]) -> bool:
    after_sale = mapping(item.get("after_sale_info") or {}, "after_sale_info")
    return integer(after_sale.get("refund_status"), "refund_status", 0) == _REFUNDED


def _attributes(item: dict[str, Any]) -> dict[str, str]:
    pairs: list[tuple[str, str]] = []
    for custom in mappings(item.get("sku_customization_info"), "sku_customization_info"):
        detail = mapping(custom.get("detail") or {}, "detail")
        pairs += [
            (text(entry.get("key"), "key"), text(entry.get("content"), "content"))
            for entry in mappings(detail.get("text"), "text")
        ]
    return answers(pairs)


def _status(order: dict[str, Any], items: list[dict[str, Any]]) -> PlatformStatus:
    if items and all(_is_refunded(item) for item in items):
        return PlatformStatus.REFUNDED
    return _STATUS.get(integer(order.get("order_status"), "order_status"), PlatformStatus.UNKNOWN)
