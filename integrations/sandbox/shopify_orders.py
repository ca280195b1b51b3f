"""Orders as a Shopify shop holds them: the nodes of its GraphQL schema, every connection a plain list."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from integrations.sandbox.baskets import Basket, BasketLine
from integrations.sandbox.shopify_providers import tell_providers
from integrations.sandbox.world import World

ORDER = "shopify.order"
PART = "shopify.fulfillment_order"  # fulfilment order id -> order id

#: Ids of the platform are beyond 2^53, as real ones are: who makes floats of them finds the wrong order.
FIRST_ID = 820_982_911_946_150_000
FIRST_LINE = 487_817_672_276_000_000
FIRST_FULFILLMENT = 255_858_046_000_000_000
#: The shop's only location, which ships everything.
LOCATION = "gid://shopify/Location/655441491"
#: Through which gateway each third order is paid; the last two are the seller's own contracts, who keep the money.
GATEWAYS = ("shopify_payments", "alipay", "wechat_pay")


def written(basket: Basket, number: int, at: datetime, *, paid: bool) -> dict[str, Any]:
    """The order that this basket becomes as the shop's `number`-th, at `at`."""
    legacy_id = FIRST_ID + number
    lines = [_line(line, FIRST_LINE + number * 1000 + index) for index, line in enumerate(basket.lines)]
    part = {
        "id": f"gid://shopify/FulfillmentOrder/{legacy_id}",
        "status": "OPEN",
        "assignedLocation": {"location": {"id": LOCATION}},
        "lineItems": [
            {
                "id": f"gid://shopify/FulfillmentOrderLineItem/{FIRST_LINE + number * 1000 + index}",
                "remainingQuantity": line["quantity"],
                "totalQuantity": line["quantity"],
                "lineItem": {"id": line["id"]},
            }
            for index, line in enumerate(lines)
        ],
    }
    order = {
        "id": f"gid://shopify/Order/{legacy_id}",
        "legacyResourceId": str(legacy_id),
        "name": f"#{1001 + number}",
        "createdAt": _iso(at),
        "updatedAt": _iso(at),
        "processedAt": _iso(at),
        "cancelledAt": None,
        "displayFinancialStatus": "PENDING",
        "displayFulfillmentStatus": "UNFULFILLED",
        "note": basket.note or None,
        "customer": {"id": f"gid://shopify/Customer/{basket.buyer}"},
        "customAttributes": [],
        "totalPriceSet": money(basket.total_fen, with_currency=True),
        "totalReceivedSet": money(0),
        "totalShippingPriceSet": money(0),
        "totalDiscountsSet": money(basket.discount_fen),
        "totalRefundedSet": money(0),
        "transactions": [],
        "shippingAddress": _address(basket) if basket.has_address else None,
        "lineItems": lines,
        "fulfillmentOrders": [part],
        "fulfillments": [],
        "refunds": [],
    }
    if paid:
        pay(order, at)
    return order


def save(world: World, order: dict[str, Any], at: datetime) -> None:
    """Write the order as updated at `at`, in whole seconds as the platform tells it."""
    at = at.replace(microsecond=0)
    order["updatedAt"] = _iso(at)
    world.put(ORDER, order["id"], order, at)
    for part in order["fulfillmentOrders"]:
        world.put(PART, part["id"], {"order": order["id"]}, at)
    tell_providers(world, order, at)


def pay(order: dict[str, Any], at: datetime) -> None:
    """The customer pays the whole sum; with a provider of the seller's own under the number `OL{order id}`."""
    legacy_id = order["legacyResourceId"]
    gateway = GATEWAYS[(int(legacy_id) - FIRST_ID) % len(GATEWAYS)]
    order["displayFinancialStatus"] = "PAID"
    order["totalReceivedSet"] = {"shopMoney": {"amount": order["totalPriceSet"]["shopMoney"]["amount"]}}
    order["transactions"].append(
        {
            "id": f"gid://shopify/OrderTransaction/{legacy_id}",
            "kind": "SALE",
            "status": "SUCCESS",
            "processedAt": _iso(at),
            "gateway": gateway,
            "paymentId": None if gateway == "shopify_payments" else f"OL{legacy_id}",
            "amountSet": order["totalReceivedSet"],
        }
    )


def cancel(order: dict[str, Any], at: datetime) -> None:
    """The order is cancelled; what was paid is refunded by the platform."""
    paid = order["displayFinancialStatus"] == "PAID"
    order["cancelledAt"] = _iso(at)
    order["displayFinancialStatus"] = "REFUNDED" if paid else "VOIDED"
    order["totalRefundedSet"] = order["totalReceivedSet"]
    for part in order["fulfillmentOrders"]:
        part["status"] = "CANCELLED"
        for item in part["lineItems"]:
            item["remainingQuantity"] = 0


def ship(order: dict[str, Any], taken: dict[str, int], tracking: dict[str, Any], at: datetime) -> dict[str, Any]:
    """Make the fulfilment of these quantities by fulfilment order line id, which must be there; returns it."""
    for part in order["fulfillmentOrders"]:
        for item in part["lineItems"]:
            item["remainingQuantity"] -= taken.get(item["id"], 0)
        if any(item["id"] in taken for item in part["lineItems"]):
            left = any(item["remainingQuantity"] for item in part["lineItems"])
            part["status"] = "IN_PROGRESS" if left else "CLOSED"
    left = any(item["remainingQuantity"] for part in order["fulfillmentOrders"] for item in part["lineItems"])
    order["displayFulfillmentStatus"] = "PARTIALLY_FULFILLED" if left else "FULFILLED"
    number = FIRST_FULFILLMENT + (int(order["legacyResourceId"]) - FIRST_ID) * 1000 + len(order["fulfillments"])
    fulfillment = {
        "id": f"gid://shopify/Fulfillment/{number}",
        "status": "SUCCESS",
        "createdAt": _iso(at),
        "trackingInfo": [{name: tracking.get(name) for name in ("company", "number", "url")}],
    }
    order["fulfillments"].append(fulfillment)
    return fulfillment


def _line(line: BasketLine, number: int) -> dict[str, Any]:
    allocations = [{"allocatedAmountSet": money(line.discount_fen)}] if line.discount_fen else []
    return {
        "id": f"gid://shopify/LineItem/{number}",
        "sku": line.sku,
        "title": line.title,
        "quantity": line.quantity,
        "currentQuantity": line.quantity,
        "customAttributes": [{"key": f"pet_{key}", "value": value} for key, value in line.pet.items()],
        "originalUnitPriceSet": money(line.unit_price_fen),
        "originalTotalSet": money(line.unit_price_fen * line.quantity),
        "discountAllocations": allocations,
        "variant": {"id": f"gid://shopify/ProductVariant/{number}"},
    }


def _address(basket: Basket) -> dict[str, Any]:
    return {
        "name": basket.name,
        "phone": basket.phone,
        "province": basket.province,
        "city": basket.city,
        "address1": basket.district + basket.street,
        "address2": None,
        "zip": "",
        "countryCodeV2": "CN",
    }


def money(fen: int, *, with_currency: bool = False) -> dict[str, Any]:
    """Fen as a `MoneyBag`."""
    sign, size = ("-" if fen < 0 else ""), abs(fen)
    amount = {"amount": f"{sign}{size // 100}.{size % 100:02d}"}
    return {"shopMoney": amount | ({"currencyCode": "CNY"} if with_currency else {})}


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
