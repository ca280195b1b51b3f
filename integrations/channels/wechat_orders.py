"""What a WeChat shop order means to the hub. Pure; field names as in WxJava's weixin-java-channel."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import Any

from integrations.channels.payload import epoch, epoch_or_none, identity, integer, mapping, mappings, text
from integrations.channels.wechat_api import NAME
from integrations.channels.wechat_refunds import AfterSale, paid_back
from models.intake import IncomingLine, IncomingOrder, PlatformStatus, Receiver

_STATUS = {
    10: PlatformStatus.AWAITING_PAYMENT,
    12: PlatformStatus.HELD,
    13: PlatformStatus.HELD,
    20: PlatformStatus.TO_SHIP,
    21: PlatformStatus.PART_SHIPPED,
    30: PlatformStatus.SHIPPED,
    100: PlatformStatus.COMPLETE,
    190: PlatformStatus.CANCELLED,
    200: PlatformStatus.REFUNDED,
    250: PlatformStatus.CANCELLED,
}

#: The platform has no field for a pet profile, so the customer's note carries it, a line for each:
#: `宠物档案:species=dog;breed=柯基犬` for the order, `宠物档案(SKU):…` for one product of it.
_PROFILE = re.compile(r"宠物档案(?:[(（]([^)）\n]*)[)）])?[:：]([^\n]*)")
#: A semicolon ends an answer when another one follows; what people write of a pet's health has semicolons of its own.
_ANSWER_ENDS = re.compile("[;；](?=[^;；=＝]*[=＝])")
_FREE_TEXT = "health_notes"


def read_order(payload: Any, shop: str, after_sales: Sequence[AfterSale] = ()) -> IncomingOrder:
    """The `order` of `/channels/ec/order/get` as the hub takes it in; the receiver is masked.

    `after_sales` are the order's own, where some are over: without them an exchange cannot be told from a refund, and
    what was paid back is the lines' share (`integrations.channels.wechat_refunds`). Raises `Unparsable` without an id,
    or when a number or time cannot be read; odd values are carried over.
    """
    order = mapping(payload, "order")
    order_id = identity(order.get("order_id"), "order_id")
    detail = mapping(order.get("order_detail"), "order_detail")
    prices = mapping(detail.get("price_info"), "price_info")
    paid_at = epoch_or_none(mapping(detail.get("pay_info") or {}, "pay_info").get("pay_time"), "pay_time")
    total = integer(prices.get("order_price"), "order_price")  # after discounts, with freight
    note = text(mapping(detail.get("ext_info") or {}, "ext_info").get("customer_notes"), "customer_notes")
    profiles = read_profiles(note)
    products = mappings(detail.get("product_infos"), "product_infos")
    keys = _line_ids(products)
    cancelled, refunded_fen = paid_back(products, after_sales)
    lines = tuple(
        _line(product, key, profiles, gone) for product, key, gone in zip(products, keys, cancelled, strict=True)
    )
    return IncomingOrder(
        channel=NAME,
        shop=shop,
        channel_order_id=order_id,
        channel_order_name=order_id,
        status=_STATUS.get(integer(order.get("status"), "status"), PlatformStatus.UNKNOWN),
        placed_at=epoch(order.get("create_time"), "create_time"),
        updated_at=epoch(order.get("update_time"), "update_time"),
        paid_at=paid_at,
        currency="CNY",
        total_fen=total,
        paid_fen=total if paid_at else 0,
        freight_fen=integer(prices.get("freight"), "freight", 0),
        discount_fen=integer(prices.get("discounted_price"), "discounted_price", 0),
        buyer=text(order.get("openid"), "openid"),
        receiver=_receiver(mapping(detail.get("delivery_info") or {}, "delivery_info")),
        lines=lines,
        note=without_profiles(note, {line.sku for line in lines}),
        attributes=profiles.get("", {}),
        handles={
            "products": {key: _product(product) for product, key in zip(products, keys, strict=True)},
            "paid": {line.channel_line_id: {"count": line.quantity, "fen": line.paid_fen} for line in lines},
        },
        raw=order,
        refunded_fen=refunded_fen,
    )


def read_address(payload: Any, *, masked: bool) -> Receiver:
    """An `address_info`, as it comes with the order or from the decode call."""
    address = mapping(payload, "address_info")
    return Receiver(
        name=text(address.get("user_name"), "user_name"),
        phone=text(address.get("tel_number"), "tel_number"),
        province=text(address.get("province_name"), "province_name"),
        city=text(address.get("city_name"), "city_name"),
        district=text(address.get("county_name"), "county_name"),
        detail=text(address.get("detail_info"), "detail_info") + text(address.get("house_number"), "house_number"),
        masked=masked,
    )


def read_profiles(note: str) -> dict[str, dict[str, str]]:
    """The pet profiles in a customer's note by SKU; the one for the whole order under ""."""
    return {sku.strip(): _answers(said)[0] for sku, said in _PROFILE.findall(note)}


def without_profiles(note: str, skus: Container[str]) -> str:
    """The note as it is meant for people; a profile that is for no SKU of the order, or not read whole, stays."""

    def left(profile: re.Match[str]) -> str:
        sku = (profile[1] or "").strip()
        return profile[0] if (sku and sku not in skus) or _answers(profile[2])[1] else ""

    kept = _PROFILE.sub(left, note)
    return note if kept == note else "\n".join(line.rstrip() for line in kept.splitlines() if line.strip())


def _answers(said: str) -> tuple[dict[str, str], str]:
    """The answers of a profile, and what of it is none. A semicolon within health notes is part of them."""
    answers: dict[str, str] = {}
    rest: list[str] = []
    for answer in _ANSWER_ENDS.split(said):
        key, equals, value = _partition(answer)
        parts = [value] if key == _FREE_TEXT else re.split("[;；]", value)
        if equals:
            answers[key] = parts[0].strip(" ;；")
        rest += parts[1:] if equals else [answer]
    return answers, "".join(rest).strip()


def _partition(answer: str) -> tuple[str, bool, str]:
    """An answer's key, whether there is a value at all, and the value."""
    key, *value = re.split("[=＝]", answer, maxsplit=1)
    return key.strip(), bool(value), "".join(value)


def _receiver(delivery: dict[str, Any]) -> Receiver | None:
    address = delivery.get("address_info")
    return read_address(address, masked=True) if address else None


def _product(product: dict[str, Any]) -> dict[str, str]:
    return {name: text(product.get(name), name) for name in ("product_id", "sku_id")}


def _line_ids(products: list[dict[str, Any]]) -> list[str]:
    """Lines have no id of their own: product and SKU id, and a number where they come again."""
    seen: dict[str, int] = {}
    ids = []
    for product in products:
        key = identity(product.get("product_id"), "product_id") + ":" + text(product.get("sku_id"), "sku_id")
        seen[key] = seen.get(key, 0) + 1
        ids.append(key if seen[key] == 1 else f"{key}#{seen[key]}")
    return ids


def _line(product: dict[str, Any], key: str, profiles: dict[str, dict[str, str]], cancelled: int) -> IncomingLine:
    sku = text(product.get("sku_code"), "sku_code") or text(product.get("out_sku_id"), "out_sku_id")
    sku = sku or text(product.get("sku_id"), "sku_id")
    return IncomingLine(
        channel_line_id=key,
        sku=sku,
        title=text(product.get("title"), "title"),
        quantity=integer(product.get("sku_cnt"), "sku_cnt"),
        unit_price_fen=integer(product.get("sale_price"), "sale_price"),
        paid_fen=integer(product.get("real_price"), "real_price"),  # of the whole line, not of a piece
        attributes=profiles.get(sku, {}) if sku else {},
        cancelled_quantity=cancelled,
    )
