"""What is still to be shipped of a played Shopify order: its fulfilment orders, and what edits and refunds take out."""

from __future__ import annotations

from typing import Any

#: The shop's only location, which ships everything.
LOCATION = "gid://shopify/Location/655441491"


def part_of(number: int, items: list[dict[str, Any]]) -> dict[str, Any]:
    """An open fulfilment order of these lines."""
    return {
        "id": f"gid://shopify/FulfillmentOrder/{number}",
        "status": "OPEN",
        "assignedLocation": {"location": {"id": LOCATION}},
        "lineItems": items,
    }


def to_ship(line: dict[str, Any], quantity: int, again: int = 0) -> dict[str, Any]:
    """A fulfilment order line; `again` (above 0) tells the later ones of a line apart."""
    number = line["id"].rpartition("/")[2]
    return {
        "id": f"gid://shopify/FulfillmentOrderLineItem/{number}{again or ''}",
        "remainingQuantity": quantity,
        "totalQuantity": quantity,
        "lineItem": {"id": line["id"]},
    }


def take_out(order: dict[str, Any], line_id: str, quantity: int) -> None:
    """Take what is not shipped out of the fulfilment orders; one with nothing left is closed."""
    for part in order["fulfillmentOrders"]:
        for item in part["lineItems"]:
            if item["lineItem"]["id"] == line_id:
                taken = min(quantity, item["remainingQuantity"])
                item["remainingQuantity"] -= taken
                quantity -= taken
        if not any(item["remainingQuantity"] for item in part["lineItems"]):
            part["status"] = "CLOSED"
    if order["fulfillments"] and not any(remaining(order).values()):
        order["displayFulfillmentStatus"] = "FULFILLED"


def remaining(order: dict[str, Any]) -> dict[str, int]:
    """How many of each line are not shipped yet."""
    left: dict[str, int] = {}
    for part in order["fulfillmentOrders"]:
        for item in part["lineItems"]:
            line = item["lineItem"]["id"]
            left[line] = left.get(line, 0) + item["remainingQuantity"]
    return left
