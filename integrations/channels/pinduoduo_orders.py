"""What a Pinduoduo order means to the hub. Pure; fields as in `order_sn_list` of the platform's own SDK.

Times are Beijing without an offset. The SDK comments the money of orders as yuan; a shop whose API answers in fen says
so in its settings. No line tells what was paid for it: what was paid is spread over the lines by their price.

Unverified:
- amounts of orders are in yuan (by the SDK's comments): set `amounts_in` when this shop's API answers in fen
- `pay_amount` is what the customer pays, freight included, after every discount
- a line is known by its `sku_id`
- orders that are not paid are not listed; a group that is not full yet is held
- `refund_status` 4 before shipping is the whole order paid back; after shipping the order goes on as shipped
- where the answers of customised goods come: they are asked for on the order page
- what was paid back is not told by the order
"""

from __future__ import annotations

from typing import Any, Literal

from integrations.channels.apportioning import apportioned
from integrations.channels.beijing_time import beijing, beijing_or_none
from integrations.channels.payload import fen_of_decimal, identity, integer, mapping, mappings, text
from integrations.channels.unverified import unverified
from models.intake import IncomingLine, IncomingOrder, PlatformStatus, Receiver

NAME = "pinduoduo"
AmountsIn = Literal["yuan", "fen"]

UNVERIFIED = unverified(__doc__)

_CONFIRMED, _CALLED_OFF = 1, 2  # confirm_status
_GROUP_OPEN, _GROUP_FAILED = 0, 2  # group_status
_TO_SHIP, _SHIPPED, _RECEIVED = 1, 2, 3  # order_status
_PAID_BACK = 4  # refund_status


def read_order(payload: Any, shop: str, amounts_in: AmountsIn = "yuan") -> IncomingOrder:
    """An order of the increment listing or of `pdd.order.information.get` as the hub takes it in; masked receiver.

    Raises `Unparsable` without an id, or when a number or time cannot be read; odd values are carried over.
    """
    order = mapping(payload, "order")
    order_sn = identity(order.get("order_sn"), "order_sn")
    freight = _fen(order, "postage", amounts_in, 0)
    total = _fen(order, "pay_amount", amounts_in)
    lines = _lines(mappings(order.get("item_list"), "item_list"), total - freight, amounts_in)
    paid_at = beijing_or_none(order.get("pay_time"), "pay_time")
    return IncomingOrder(
        channel=NAME,
        shop=shop,
        channel_order_id=order_sn,
        channel_order_name=order_sn,
        status=_status(order),
        placed_at=beijing(order.get("created_time"), "created_time"),
        updated_at=beijing(order.get("updated_at"), "updated_at"),
        paid_at=paid_at,
        currency="CNY",
        total_fen=total,
        paid_fen=total if paid_at else 0,
        freight_fen=freight,
        discount_fen=_fen(order, "discount_amount", amounts_in, 0),
        buyer="",
        receiver=_masked(order),
        lines=lines,
        note=text(order.get("buyer_memo"), "buyer_memo"),
        handles={"lines": {line.channel_line_id: line.quantity for line in lines}},
        raw=order,
    )


def _lines(items: list[dict[str, Any]], goods_fen: int, amounts_in: AmountsIn) -> tuple[IncomingLine, ...]:
    quantities = [integer(item.get("goods_count"), "goods_count") for item in items]
    prices = [_fen(item, "goods_price", amounts_in) for item in items]
    paid = apportioned([price * count for price, count in zip(prices, quantities, strict=True)], goods_fen)
    lines: list[IncomingLine] = []
    seen: dict[str, int] = {}
    for item, quantity, price, share in zip(items, quantities, prices, paid, strict=True):
        sku_id = identity(item.get("sku_id"), "sku_id")
        seen[sku_id] = seen.get(sku_id, 0) + 1
        sku = text(item.get("outer_id"), "outer_id") or text(item.get("outer_goods_id"), "outer_goods_id")
        lines.append(
            IncomingLine(
                channel_line_id=sku_id if seen[sku_id] == 1 else f"{sku_id}#{seen[sku_id]}",
                sku=sku or sku_id,
                title=text(item.get("goods_name"), "goods_name"),
                quantity=quantity,
                unit_price_fen=price,
                paid_fen=share,
            )
        )
    return tuple(lines)


def _masked(order: dict[str, Any]) -> Receiver | None:
    """What may be shown: the platform's masks, *** where there is only ciphertext; shipped orders have nothing."""
    found = {name: text(order.get(name), name) for name in ("receiver_name", "receiver_phone", "receiver_address")}
    masks = {name: text(order.get(f"{name}_mask"), f"{name}_mask") for name in found}
    if not any(found.values()) and not any(masks.values()):
        return None
    province, city, town = (text(order.get(name), name) for name in ("province", "city", "town"))
    name, phone, detail = (masks[one] or ("***" if found[one] else "") for one in found)
    return Receiver(name, phone, province, city or province, town, detail, masked=True)


def _status(order: dict[str, Any]) -> PlatformStatus:
    def number(name: str, default: int) -> int:
        return integer(order.get(name), name, default)

    if number("confirm_status", _CONFIRMED) == _CALLED_OFF or number("group_status", 1) == _GROUP_FAILED:
        return PlatformStatus.CANCELLED
    if not order.get("pay_time"):
        return PlatformStatus.AWAITING_PAYMENT
    stage = number("order_status", 0)
    if stage == _TO_SHIP and number("refund_status", 0) == _PAID_BACK:
        return PlatformStatus.REFUNDED
    if number("group_status", 1) == _GROUP_OPEN or (stage == _TO_SHIP and number("risk_control_status", 0)):
        return PlatformStatus.HELD
    known = {_TO_SHIP: PlatformStatus.TO_SHIP, _SHIPPED: PlatformStatus.SHIPPED, _RECEIVED: PlatformStatus.COMPLETE}
    return known.get(stage, PlatformStatus.UNKNOWN)


def _fen(found: dict[str, Any], name: str, amounts_in: AmountsIn, default: int | None = None) -> int:
    value = found.get(name)
    if value is None and default is not None:
        return default
    return fen_of_decimal(value, name) if amounts_in == "yuan" else integer(value, name)
