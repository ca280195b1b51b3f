"""Orders as a Shopify shop holds them: the nodes of its GraphQL schema, every connection a plain list."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from integrations.sandbox import shopify_index, shopify_webhooks
from integrations.sandbox.baskets import Basket, BasketLine
from integrations.sandbox.shopify_fulfilment_orders import part_of, remaining, take_out, to_ship
from integrations.sandbox.shopify_providers import tell_providers
from integrations.sandbox.world import World

ORDER = "shopify.order"
PART = "shopify.fulfillment_order"  # fulfilment order id -> order id

#: Ids of the platform are beyond 2^53, as real ones are: who makes floats of them finds the wrong order.
FIRST_ID = 820_982_911_946_150_000
FIRST_LINE = 487_817_672_276_000_000
FIRST_FULFILLMENT = 255_858_046_000_000_000
FIRST_REFUND = 890_088_186_000_000_000
#: Through which gateway each third order is paid; the last two are the seller's own contracts, who keep the money.
GATEWAYS = ("shopify_payments", "alipay", "wechat_pay")


def written(basket: Basket, number: int, at: datetime, *, paid: bool) -> dict[str, Any]:
    """The order that this basket becomes as the shop's `number`-th, at `at`."""
    legacy_id = FIRST_ID + number
    lines = [_line(line, FIRST_LINE + number * 1000 + index) for index, line in enumerate(basket.lines)]
    part = part_of(legacy_id, [to_ship(line, line["quantity"]) for line in lines])
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
        "edits": [],
    }
    if paid:
        pay(order, at)
    return order


def save(world: World, order: dict[str, Any], at: datetime) -> None:
    """Write the order as updated at `at`, in whole seconds as the platform tells it; webhooks say what is new."""
    at = at.replace(microsecond=0)
    order["updatedAt"] = _iso(at)
    before = world.get(ORDER, order["id"])
    if before is None:
        shopify_index.admit(world, order["id"])
    if to := shopify_webhooks.subscriptions(world):
        shopify_webhooks.announce(world, to, before, order)
    world.put(ORDER, order["id"], order, at)
    for part in order["fulfillmentOrders"]:
        world.put(PART, part["id"], {"order": order["id"]}, at)
    tell_providers(world, order, at)


def pay(order: dict[str, Any], at: datetime) -> None:
    """The customer pays what is open; with a provider of the seller's own under the number `OL{order id}`."""
    legacy_id, payments = order["legacyResourceId"], len(order["transactions"])
    gateway = GATEWAYS[(int(legacy_id) - FIRST_ID) % len(GATEWAYS)]
    total = fen_of(order, "totalPriceSet")
    paid = money(total - fen_of(order, "totalReceivedSet"))
    order["displayFinancialStatus"] = "PAID"
    order["totalReceivedSet"] = money(total)
    number = f"{legacy_id}{payments or ''}"
    order["transactions"].append(
        {
            "id": f"gid://shopify/OrderTransaction/{number}",
            "kind": "SALE",
            "status": "SUCCESS",
            "processedAt": _iso(at),
            "gateway": gateway,
            "paymentId": None if gateway == "shopify_payments" else f"OL{number}",
            "amountSet": paid,
        }
    )


def cancel(order: dict[str, Any], at: datetime) -> None:
    """The order is cancelled; what was paid is refunded by the platform."""
    paid = bool(order["transactions"])
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


def edit_line(order: dict[str, Any], line_id: str, quantity: int) -> None:
    """Staff set how many of a line are wanted. What is taken away stays in its `quantity`; what is added is owed.

    Raises `ValueError` when that takes away what has been shipped. What edits do to an order's sums: [U], as
    `integrations.channels.shopify_orders` assumes.
    """
    line = next(line for line in order["lineItems"] if line["id"] == line_id)
    delta = quantity - line["currentQuantity"]
    if -delta > remaining(order).get(line_id, 0):
        raise ValueError(f"{line_id} has fewer than {-delta} that are not shipped")
    line["currentQuantity"] = quantity
    if delta < 0:
        take_out(order, line_id, -delta)
    else:
        line["quantity"] += delta
        line["originalTotalSet"] = money(line["quantity"] * fen_of(line, "originalUnitPriceSet"))
        _grow(order, line, delta)
    order["edits"].append({"id": len(order["edits"]) + 1, "line": line_id, "delta": delta})


def add_line(order: dict[str, Any], line: BasketLine) -> str:
    """Staff add a line, to be paid yet; its id."""
    number = FIRST_LINE + (int(order["legacyResourceId"]) - FIRST_ID) * 1000 + len(order["lineItems"])
    added = _line(line, number)
    order["lineItems"].append(added)
    _grow(order, added, line.quantity, line.discount_fen)
    order["edits"].append({"id": len(order["edits"]) + 1, "line": added["id"], "delta": line.quantity})
    return str(added["id"])


def change_address(order: dict[str, Any], address: dict[str, Any]) -> None:
    """The customer asked for another address: these fields of the `MailingAddress` ("address1", "name" …)."""
    order["shippingAddress"] = {**(order["shippingAddress"] or {}), **address}


def refund_part(
    order: dict[str, Any],
    fen: int,
    lines: Iterable[tuple[str, int]],
    cancelled: Iterable[tuple[str, int]] | None = None,
    *,
    note: str = "",
    status: str = "SUCCESS",
    transactions: int = 1,
) -> dict[str, Any]:
    """Pay so much back for these (line id, quantity); the refund. `cancelled` of them are not to be shipped any more,
    by default what was not shipped."""
    number = FIRST_REFUND + (int(order["legacyResourceId"]) - FIRST_ID) * 100 + len(order["refunds"])
    lines = list(lines)
    paid = [
        {"id": f"gid://shopify/OrderTransaction/{number * 10 + index}", "kind": "REFUND", "status": status}
        for index in range(transactions)
    ]
    refund = {
        "id": f"gid://shopify/Refund/{number}",
        "note": note,
        "totalRefundedSet": money(fen),
        "transactions": {"nodes": paid},
        "lines": lines,
    }
    order["refunds"].append(refund)
    total = fen_of(order, "totalRefundedSet") + fen
    order["totalRefundedSet"] = money(total)
    whole = total >= fen_of(order, "totalReceivedSet")
    order["displayFinancialStatus"] = "REFUNDED" if whole else "PARTIALLY_REFUNDED"
    for line in order["lineItems"]:
        line["currentQuantity"] -= sum(quantity for id, quantity in lines if id == line["id"])
    for id, quantity in lines if cancelled is None else cancelled:
        take_out(order, id, quantity)
    return refund


def _grow(order: dict[str, Any], line: dict[str, Any], quantity: int, discount_fen: int = 0) -> None:
    """So many more of a line are to be shipped, and paid."""
    legacy_id, parts = int(order["legacyResourceId"]), order["fulfillmentOrders"]
    open_part = next((part for part in parts if part["status"] in ("OPEN", "IN_PROGRESS")), None)
    if open_part is None:
        open_part = part_of(int(f"{legacy_id}{len(parts)}"), [])
        parts.append(open_part)
    open_part["lineItems"].append(to_ship(line, quantity, len(parts) * 100 + len(open_part["lineItems"])))
    if order["fulfillments"]:
        order["displayFulfillmentStatus"] = "PARTIALLY_FULFILLED"
    more = quantity * fen_of(line, "originalUnitPriceSet") - discount_fen
    order["totalPriceSet"] = money(fen_of(order, "totalPriceSet") + more, with_currency=True)
    if order["displayFinancialStatus"] == "PAID" and more > 0:
        order["displayFinancialStatus"] = "PARTIALLY_PAID"


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


def fen_of(owner: dict[str, Any], name: str) -> int:
    """Fen of a `MoneyBag` that `owner` has under this name."""
    return int(Decimal(owner[name]["shopMoney"]["amount"]) * 100)


def money(fen: int, *, with_currency: bool = False) -> dict[str, Any]:
    """Fen as a `MoneyBag`."""
    sign, size = ("-" if fen < 0 else ""), abs(fen)
    amount = {"amount": f"{sign}{size // 100}.{size % 100:02d}"}
    return {"shopMoney": amount | ({"currencyCode": "CNY"} if with_currency else {})}


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
