"""Orders and refunds in the older REST shape, which Shopify's webhooks carry (PROTOCOLS.md §1)."""

from __future__ import annotations

from typing import Any

_FULFILLMENT = {"FULFILLED": "fulfilled", "PARTIALLY_FULFILLED": "partial"}


def order_payload(order: dict[str, Any]) -> dict[str, Any]:
    """The body of every `orders/…` webhook but `orders/edited`."""
    address = order["shippingAddress"]
    return {
        "id": int(order["legacyResourceId"]),
        "admin_graphql_api_id": order["id"],
        "name": order["name"],
        "order_number": int(order["name"].lstrip("#")),
        "currency": order["totalPriceSet"]["shopMoney"]["currencyCode"],
        "created_at": order["createdAt"],
        "updated_at": order["updatedAt"],
        "processed_at": order["processedAt"],
        "cancelled_at": order["cancelledAt"],
        "financial_status": order["displayFinancialStatus"].lower(),
        "fulfillment_status": _FULFILLMENT.get(order["displayFulfillmentStatus"]),
        "total_price": order["totalPriceSet"]["shopMoney"]["amount"],
        "note": order["note"],
        "note_attributes": _pairs(order["customAttributes"]),
        "line_items": [_line(line) for line in order["lineItems"]],
        "shipping_address": address and _address(address),
        "refunds": [refund_payload(order, refund) for refund in order["refunds"]],
    }


def refund_payload(order: dict[str, Any], refund: dict[str, Any]) -> dict[str, Any]:
    """The body of `refunds/create`. It names its order by the number alone."""
    return {
        "id": number(refund["id"]),
        "admin_graphql_api_id": refund["id"],
        "order_id": int(order["legacyResourceId"]),
        "created_at": order["updatedAt"],
        "processed_at": order["updatedAt"],
        "note": refund["note"],
        "refund_line_items": [
            {"line_item_id": number(line), "quantity": quantity} for line, quantity in refund["lines"]
        ],
        "transactions": [
            {"kind": "refund", "status": transaction["status"].lower()}
            for transaction in refund["transactions"]["nodes"]
        ],
    }


def edit_payload(order: dict[str, Any], edit: dict[str, Any]) -> dict[str, Any]:
    """The body of `orders/edited`: not the order but what was done to it [U]."""
    changed = [{"id": number(edit["line"]), "delta": abs(edit["delta"])}]
    more = edit["delta"] > 0
    return {
        "order_edit": {
            "id": edit["id"],
            "order_id": int(order["legacyResourceId"]),
            "created_at": order["updatedAt"],
            "line_items": {"additions": changed if more else [], "removals": [] if more else changed},
        }
    }


def number(gid: str) -> int:
    """The number at the end of a gid."""
    return int(gid.rpartition("/")[2])


def _line(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number(line["id"]),
        "admin_graphql_api_id": line["id"],
        "variant_id": number(line["variant"]["id"]),
        "sku": line["sku"],
        "title": line["title"],
        "quantity": line["quantity"],
        "current_quantity": line["currentQuantity"],
        "price": line["originalUnitPriceSet"]["shopMoney"]["amount"],
        "properties": _pairs(line["customAttributes"]),
    }


def _pairs(attributes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": pair["key"], "value": pair["value"]} for pair in attributes]


def _address(address: dict[str, Any]) -> dict[str, Any]:
    same = {name: address[name] for name in ("name", "phone", "address1", "address2", "city", "province", "zip")}
    return {**same, "country_code": address["countryCodeV2"]}
