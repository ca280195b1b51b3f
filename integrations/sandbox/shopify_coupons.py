"""Discount codes of the played Shopify shop. A code is unique, whatever its case; there is no key beside it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from integrations.sandbox.shopify_operations import PLATFORM, Operation
from integrations.sandbox.world import World

COUPON = "shopify.coupon"  # the code in capitals -> the DiscountCodeNode
FIRST_COUPON = 1_057_856_600


def discount_create(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    """`discountCodeBasicCreate`."""
    wanted = variables["coupon"]
    error = _objection(world, wanted)
    world.count(PLATFORM, "discountCodeBasicCreate", wanted["code"], took_effect=error is None)
    if error is not None:
        field, code, message = error
        told = {"field": ["basicCodeDiscount", field], "code": code, "message": message}
        return {"discountCodeBasicCreate": {"codeDiscountNode": None, "userErrors": [told]}}
    amount = {"amount": wanted["customerGets"]["value"]["discountAmount"]["amount"], "currencyCode": "CNY"}
    coupon = {
        **{name: wanted[name] for name in ("title", "startsAt", "endsAt", "usageLimit")},
        "status": "ACTIVE",
        "codes": {"nodes": [{"code": wanted["code"]}]},
        "customerGets": {"value": {"amount": amount}},
    }
    node = {"id": f"gid://shopify/DiscountCodeNode/{FIRST_COUPON + world.size(COUPON)}", "codeDiscount": coupon}
    world.put(COUPON, wanted["code"].upper(), node)
    return {"discountCodeBasicCreate": {"codeDiscountNode": node, "userErrors": []}}


def discount_by_code(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    """`codeDiscountNodeByCode`."""
    return {"codeDiscountNodeByCode": world.get(COUPON, variables["code"].upper())}


def _objection(world: World, wanted: dict[str, Any]) -> tuple[str, str, str] | None:
    """Field, code and message of what stands against this coupon."""
    if world.get(COUPON, wanted["code"].upper()) is not None:
        return "code", "TAKEN", "Code must be unique. Please try a different code."
    if Decimal(wanted["customerGets"]["value"]["discountAmount"]["amount"]) <= 0:
        return "customerGets", "GREATER_THAN", "Value must be greater than 0"
    if datetime.fromisoformat(wanted["endsAt"]) <= datetime.fromisoformat(wanted["startsAt"]):
        return "endsAt", "END_DATE_BEFORE_START_DATE", "Ends at needs to be after starts_at"
    return None


OPERATIONS: dict[str, Operation] = {
    "discountCodeBasicCreate": discount_create,
    "codeDiscountNodeByCode": discount_by_code,
}
MUTATIONS = {"discountCodeBasicCreate"}
