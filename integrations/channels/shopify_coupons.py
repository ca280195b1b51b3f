"""Coupons of a Shopify shop: discount codes of one use."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from integrations.channels import shopify_queries as queries
from integrations.channels.coupons import CouponWish
from integrations.channels.payload import decimal_of_fen, fen_of_decimal, mapping, mappings, text, understood
from integrations.channels.shopify import Shopify
from integrations.channels.shopify_graphql import NAME, request_body
from integrations.errors import Refused


class ShopifyCoupons:
    """The coupons of one shop; see `integrations.channels.coupons.CouponDesk`."""

    def __init__(self, shop: Shopify) -> None:
        self._shop = shop

    def coupon_request(self, wish: CouponWish) -> bytes:
        """The body of a `discountCodeBasicCreate`: a fixed sum off one order, once."""
        coupon: dict[str, Any] = {
            "title": wish.title,
            "code": wish.code,
            "startsAt": _iso(wish.starts_at),
            "endsAt": _iso(wish.ends_at),
            "usageLimit": 1,
            "appliesOncePerCustomer": True,
            "context": {"all": "ALL"},
            "customerGets": {
                "value": {"discountAmount": {"amount": decimal_of_fen(wish.value_fen), "appliesOnEachItem": False}},
                "items": {"all": True},
            },
        }
        if wish.least_order_fen:
            least = {"greaterThanOrEqualToSubtotal": decimal_of_fen(wish.least_order_fen)}
            coupon["minimumRequirement"] = {"subtotal": least}
        return request_body(queries.COUPON_CREATE, "discountCodeBasicCreate", {"coupon": coupon})

    async def make_coupon(self, request: bytes) -> dict[str, Any]:
        """The `DiscountCodeNode` that was made, or the one that an earlier attempt made with our code.

        Raises `Refused` (`TAKEN`) when the code belongs to another coupon.
        """
        data = await self._shop.graphql.send(request)
        with understood(NAME):
            result = mapping(data.get("discountCodeBasicCreate"), "discountCodeBasicCreate")
            errors = mappings(result.get("userErrors"), "userErrors")
            if not errors:
                return mapping(result.get("codeDiscountNode"), "codeDiscountNode")
            said = "; ".join(text(error.get("message"), "message") for error in errors)
            codes = {text(error.get("code"), "code") for error in errors}
        if codes == {"TAKEN"} and (found := await self.find_coupon(request)):
            return found
        raise Refused(NAME, min(codes) or "user_error", f"Shopify 没有建优惠券,请换一个券码或核对金额与日期:{said}")

    async def find_coupon(self, request: bytes) -> dict[str, Any] | None:
        """The `DiscountCodeNode` that was made by this request; None also when the code is another coupon's."""
        wanted = json.loads(request)["variables"]["coupon"]
        body = request_body(queries.COUPON_BY_CODE, "codeDiscountNodeByCode", {"code": wanted["code"]})
        data = await self._shop.graphql.send(body)
        found = data.get("codeDiscountNodeByCode")
        if found is None:
            return None
        with understood(NAME):
            node = mapping(found, "codeDiscountNodeByCode")
            return node if _is_ours(mapping(node.get("codeDiscount"), "codeDiscount"), wanted) else None


def _is_ours(coupon: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Same title and same value: what a person made by hand with this code has neither."""
    value = mapping(mapping(coupon.get("customerGets") or {}, "customerGets").get("value") or {}, "value")
    amount = mapping(value.get("amount") or {}, "amount").get("amount")
    if amount is None or coupon.get("title") != wanted["title"]:
        return False
    wished = wanted["customerGets"]["value"]["discountAmount"]["amount"]
    return fen_of_decimal(amount, "amount") == fen_of_decimal(wished, "amount")


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
