"""What each played platform's own documents say of its orders: read here a second time, and by none of our readers.

Only what the platform tells anybody: masks where it masks, and nothing of a line's share where it tells none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from integrations.sandbox import wechat_after_sales
from integrations.sandbox.world import World

Document = dict[str, Any]


@dataclass(frozen=True)
class ToldLine:
    """A line; money in fen. `paid_fen` is None where the platform does not say what was paid for a line."""

    id: str
    sku: str
    quantity: int
    cancelled: int
    unit_price_fen: int
    paid_fen: int | None


@dataclass(frozen=True)
class Told:
    """An order as its platform has it; money in fen, `updated_at` in epoch seconds.

    `receiver` is name, phone, province, city and street with district, masked where the platform masks.
    """

    id: str
    status: str
    updated_at: int
    total_fen: int
    paid_fen: int
    freight_fen: int
    refunded_fen: int
    receiver: tuple[str, str, str, str, str] | None
    is_masked: bool
    is_listed: bool  # whether the platform's listings have it at all
    lines: tuple[ToldLine, ...]


def told_orders(world: World, channel: str) -> dict[str, Told]:
    """Every order of a channel's platform by its id."""
    found = (_READERS[channel](world, document) for document in world.window(f"{channel}.order"))
    return {order.id: order for order in found}


def _shopify(world: World, order: Document) -> Told:
    def fen(owner: Document, name: str) -> int:
        return _fen(owner[name]["shopMoney"]["amount"])

    def line(one: Document) -> ToldLine:
        discount = sum(fen(share, "allocatedAmountSet") for share in one["discountAllocations"])
        gone, paid = one["quantity"] - one["currentQuantity"], fen(one, "originalTotalSet") - discount
        return ToldLine(one["id"], one["sku"], one["quantity"], gone, fen(one, "originalUnitPriceSet"), paid)

    money, goods = order["displayFinancialStatus"], order["displayFulfillmentStatus"]
    if money == "REFUNDED":
        status = "refunded"
    elif money == "VOIDED" or order["cancelledAt"]:
        status = "cancelled"
    elif money in ("PENDING", "PARTIALLY_PAID"):
        status = "awaiting_payment"
    else:
        status = {"UNFULFILLED": "to_ship", "PARTIALLY_FULFILLED": "part_shipped", "FULFILLED": "shipped"}[goods]
    to = order["shippingAddress"]
    return Told(
        id=order["id"],
        status=status,
        updated_at=int(datetime.fromisoformat(order["updatedAt"]).timestamp()),
        total_fen=fen(order, "totalPriceSet"),
        paid_fen=fen(order, "totalReceivedSet"),
        freight_fen=fen(order, "totalShippingPriceSet"),
        refunded_fen=fen(order, "totalRefundedSet"),
        receiver=to and (to["name"], to["phone"], to["province"], to["city"], to["address1"] + (to["address2"] or "")),
        is_masked=False,
        is_listed=True,
        lines=tuple(line(one) for one in order["lineItems"]),
    )


def _wechat_shop(world: World, order: Document) -> Told:
    detail = order["order_detail"]
    sold_by_id = {f"{one['product_id']}:{one['sku_id']}": one for one in detail["product_infos"]}
    left = {id: one["finish_aftersale_sku_cnt"] for id, one in sold_by_id.items()}  # not explained by an after-sale
    exchanged = dict.fromkeys(sold_by_id, 0)  # still to be delivered
    refunded = 0
    for after_sale in world.window(wechat_after_sales.AFTER_SALE):
        if after_sale["order_id"] == order["order_id"]:
            about = after_sale["product_info"]
            id = f"{about['product_id']}:{about['sku_id']}"
            left[id] -= about["count"]
            exchanged[id] += about["count"] if after_sale["type"] == "EXCHANGE" else 0
            refunded += after_sale["refund_info"]["amount"] if after_sale["status"] == wechat_after_sales.PAID else 0
    # a cancellation pays back what is left without an after-sale that one could ask for
    refunded += sum(one["real_price"] * left[id] // one["sku_cnt"] for id, one in sold_by_id.items() if left[id] > 0)
    total, paid = detail["price_info"]["order_price"], bool(detail["pay_info"]["pay_time"])

    def line(id: str, one: Document) -> ToldLine:
        gone = one["finish_aftersale_sku_cnt"] - exchanged[id]
        return ToldLine(id, one["sku_code"], one["sku_cnt"], gone, one["sale_price"], one["real_price"])

    to = detail["delivery_info"]["address_info"]
    return Told(
        id=order["order_id"],
        status={
            10: "awaiting_payment",
            20: "to_ship",
            21: "part_shipped",
            30: "shipped",
            200: "refunded",
            250: "cancelled",
        }[order["status"]],
        updated_at=order["update_time"],
        total_fen=total,
        paid_fen=total if paid else 0,
        freight_fen=detail["price_info"]["freight"],
        refunded_fen=refunded,
        receiver=to
        and (
            to["user_name"],
            to["tel_number"],
            to["province_name"],
            to["city_name"],
            to["county_name"] + to["detail_info"],
        ),
        is_masked=True,
        is_listed=True,
        lines=tuple(line(id, one) for id, one in sold_by_id.items()),
    )


def _douyin(world: World, order: Document) -> Told:
    def is_gone(one: Document) -> bool:
        return bool(one["after_sale_info"]["refund_status"] == 3)

    def line(one: Document) -> ToldLine:
        gone = one["item_num"] if is_gone(one) else 0
        return ToldLine(one["order_id"], one["code"], one["item_num"], gone, one["origin_amount"], one["pay_amount"])

    lines, to = order["sku_order_list"], order["mask_post_addr"]
    statuses = {1: "awaiting_payment", 2: "to_ship", 101: "part_shipped", 3: "shipped", 4: "cancelled"}
    return Told(
        id=order["order_id"],
        status="refunded" if all(map(is_gone, lines)) else statuses[order["order_status"]],
        updated_at=order["update_time"],
        total_fen=order["pay_amount"],
        paid_fen=order["pay_amount"] if order["pay_time"] else 0,
        freight_fen=order["post_amount"],
        refunded_fen=sum(one["pay_amount"] for one in lines if is_gone(one)),
        receiver=to
        and (
            order["mask_post_receiver"],
            order["mask_post_tel"],
            to["province"]["name"],
            to["city"]["name"],
            to["town"]["name"] + to["street"]["name"] + to["detail"],
        ),
        is_masked=True,
        is_listed=True,
        lines=tuple(line(one) for one in lines),
    )


def _taobao(world: World, trade: Document) -> Told:
    def line(one: Document) -> ToldLine:
        gone = one["num"] if one["status"] == "TRADE_CLOSED" else 0
        price, paid = _fen(one["price"]), _fen(one["divide_order_fee"])
        return ToldLine(str(one["oid"]), one["outer_sku_id"], one["num"], gone, price, paid)

    to = [trade[f"receiver_{name}"] for name in ("name", "mobile", "state", "city", "district", "town", "address")]
    total = _fen(trade["payment"])
    return Told(
        id=str(trade["tid"]),
        status={
            "WAIT_BUYER_PAY": "awaiting_payment",
            "WAIT_SELLER_SEND_GOODS": "to_ship",
            "SELLER_CONSIGNED_PART": "part_shipped",
            "WAIT_BUYER_CONFIRM_GOODS": "shipped",
            "TRADE_CLOSED": "refunded",
            "TRADE_CLOSED_BY_TAOBAO": "cancelled",
        }[trade["status"]],
        updated_at=_beijing(trade["modified"]),
        total_fen=total,
        paid_fen=total if trade.get("pay_time") else 0,
        freight_fen=_fen(trade["post_fee"]),
        refunded_fen=0,
        receiver=(to[0], to[1], to[2], to[3], "".join(to[4:])) if any(to) else None,
        is_masked=True,
        is_listed=True,
        lines=tuple(line(one) for one in trade["orders"]["order"]),
    )


def _jd(world: World, order: Document) -> Told:
    to, total, is_unpaid = order["consigneeInfo"], _fen(order["orderPayment"]), order["orderState"] == "NOT_PAY"
    items = order["itemInfoList"]
    lines = [
        ToldLine(id, one["outerSkuId"], int(one["itemTotal"]), 0, _fen(one["jdPrice"]), None)
        for id, one in zip(_numbered(one["skuId"] for one in items), items, strict=True)
    ]
    return Told(
        id=order["orderId"],
        status={
            "NOT_PAY": "awaiting_payment",
            "WAIT_SELLER_STOCK_OUT": "to_ship",
            "WAIT_GOODS_RECEIVE_CONFIRM": "shipped",
            "TRADE_CANCELED": "cancelled",
        }[order["orderState"]],
        updated_at=_beijing(order["modified"]),
        total_fen=total,
        paid_fen=0 if order["paymentConfirmTime"].startswith("0001") else total,
        freight_fen=_fen(order["freightPrice"]),
        refunded_fen=0,
        receiver=(
            to["fullname"],
            to["mobile"],
            to["province"],
            to["city"],
            to["fullAddress"].removeprefix(to["province"] + to["city"]),
        )
        if to
        else None,
        is_masked=True,
        is_listed=not is_unpaid,
        lines=tuple(lines),
    )


def _pinduoduo(world: World, order: Document) -> Told:
    total, paid, items = round(order["pay_amount"] * 100), bool(order["pay_time"]), order["item_list"]
    lines = [
        ToldLine(id, one["outer_id"], one["goods_count"], 0, round(one["goods_price"] * 100), None)
        for id, one in zip(_numbered(str(one["sku_id"]) for one in items), items, strict=True)
    ]
    if order["confirm_status"] == 2:
        status = "cancelled"
    elif not paid:
        status = "awaiting_payment"
    elif order["order_status"] == 1:
        status = "refunded" if order["refund_status"] == 4 else "to_ship"
    else:
        status = "shipped"
    masks = [order[f"receiver_{name}_mask"] for name in ("name", "phone", "address")]
    return Told(
        id=order["order_sn"],
        status=status,
        updated_at=_beijing(order["updated_at"]),
        total_fen=total,
        paid_fen=total if paid else 0,
        freight_fen=round(order["postage"] * 100),
        refunded_fen=0,
        receiver=(masks[0], masks[1], order["province"], order["city"], order["town"] + masks[2])
        if any(masks)
        else None,
        is_masked=True,
        is_listed=bool(order["confirm_status"]),
        lines=tuple(lines),
    )


_READERS: dict[str, Callable[[World, Document], Told]] = {
    "shopify": _shopify,
    "wechat_shop": _wechat_shop,
    "douyin": _douyin,
    "taobao": _taobao,
    "jd": _jd,
    "pinduoduo": _pinduoduo,
}


def _fen(yuan: str) -> int:
    return int(Decimal(yuan) * 100)


def _beijing(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+08:00").timestamp())


def _numbered(ids: Iterable[str]) -> list[str]:
    """Ids in their order; one that comes again gets a number."""
    seen: list[str] = []
    for id in ids:
        again = sum(known.split("#")[0] == id for known in seen)
        seen.append(f"{id}#{again + 1}" if again else id)
    return seen
