"""The stock operations of the played Shopify shop: inventory items, one location, and setting what is available.

`inventorySetQuantities` needs `@idempotent` (2026-04), compares `changeFromQuantity`, and answers a key that it knows
as it answered first. A fault of its own on operation `inventorySetQuantities.key`: `concurrent`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from integrations.sandbox import shelves
from integrations.sandbox.shopify_fulfilment_orders import LOCATION
from integrations.sandbox.shopify_operations import Invalid
from integrations.sandbox.world import World

PLATFORM = "shopify"
KEY = "shopify.inventory_key"  # idempotency key -> {"asked": the input, "answer": what was answered}
ITEM = "gid://shopify/InventoryItem/"
HIGHEST = 1_000_000_000

_TERM = re.compile(r'sku:"((?:[^"\\]|\\.)*)"')


def _locations(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    """The shop's only location."""
    return {"locations": {"nodes": [{"id": LOCATION}]}}


def _inventory_items(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    """The items of the SKUs that the search names, in its order."""
    asked = [re.sub(r"\\(.)", r"\1", term) for term in _TERM.findall(variables["query"])]
    found = [sku for sku in dict.fromkeys(asked) if shelves.shown(world, PLATFORM, sku) is not None]
    start, size = int(variables.get("after") or 0), variables["first"]
    nodes = [_item(world, sku, variables["location"]) for sku in found[start : start + size]]
    info = {"hasNextPage": start + size < len(found), "endCursor": str(start + size)}
    return {"inventoryItems": {"nodes": nodes, "pageInfo": info}}


def _item(world: World, sku: str, location: str) -> dict[str, Any]:
    quantity = {"name": "available", "quantity": shelves.shown(world, PLATFORM, sku)}
    level = {"quantities": [quantity]} if location == LOCATION else None
    return {"id": f"{ITEM}{shelves.number(PLATFORM, sku)}", "sku": sku, "tracked": True, "inventoryLevel": level}


def _inventory_set_quantities(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    """Set every quantity, or none and say why."""
    key, wanted = variables["key"], variables["input"]
    asked = json.dumps(wanted, sort_keys=True)
    known = world.get(KEY, key)
    fault = world.fault(PLATFORM, "inventorySetQuantities.key")
    changes: dict[str, int] = {}
    if fault:
        errors = [_error("IDEMPOTENCY_CONCURRENT_REQUEST", "This request is currently in progress")]
    elif known and known["asked"] == asked:
        _journal(world, wanted, took_effect=False)
        return dict(known["answer"])
    elif known:
        errors = [_error("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", "The key was used with other parameters")]
    else:
        errors, changes = _judged(world, wanted)
    for sku, quantity in changes.items() if not errors else ():
        shelves.put(world, PLATFORM, sku, quantity)
    _journal(world, wanted, took_effect=not errors)
    group = None if errors else {"id": f"gid://shopify/InventoryAdjustmentGroup/{key}"}
    answer = {"inventorySetQuantities": {"inventoryAdjustmentGroup": group, "userErrors": errors}}
    if not errors:
        world.put(KEY, key, {"asked": asked, "answer": answer})
    return answer


def _judged(world: World, wanted: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """What stands against the input, and the new quantities by SKU."""
    errors: list[dict[str, Any]] = []
    changes: dict[str, int] = {}
    if wanted.get("name") not in ("available", "on_hand"):
        errors.append(_error("INVALID_NAME", "The quantity name must be either 'available' or 'on_hand'."))
    if wanted.get("reason") != "correction":
        errors.append(_error("INVALID_REASON", "The specified reason is invalid."))
    for index, change in enumerate(wanted["quantities"]):
        path = ["input", "quantities", str(index)]
        sku = shelves.sku_of(world, PLATFORM, str(change["inventoryItemId"]).removeprefix(ITEM))
        if "changeFromQuantity" not in change:  # null means no comparison, absent is an error
            raise Invalid("InventoryQuantityInput must include the following argument: changeFromQuantity.")
        expected = change["changeFromQuantity"]
        if sku is None:
            errors.append(_error("INVALID_INVENTORY_ITEM", "The specified inventory item could not be found.", path))
        elif change["locationId"] != LOCATION:
            errors.append(_error("INVALID_LOCATION", "The specified location could not be found.", path))
        elif not 0 <= change["quantity"] <= HIGHEST:
            code = "INVALID_QUANTITY_NEGATIVE" if change["quantity"] < 0 else "INVALID_QUANTITY_TOO_HIGH"
            errors.append(_error(code, "The quantity is out of bounds.", path))
        elif expected is not None and expected != shelves.shown(world, PLATFORM, sku):
            said = "The changeFromQuantity argument no longer matches the persisted quantity."
            errors.append(_error("CHANGE_FROM_QUANTITY_STALE", said, [*path, "changeFromQuantity"]))
        else:
            changes[sku] = change["quantity"]
    return errors, changes


def _journal(world: World, wanted: dict[str, Any], *, took_effect: bool) -> None:
    for change in wanted["quantities"]:
        number = str(change["inventoryItemId"]).removeprefix(ITEM)
        sku = shelves.sku_of(world, PLATFORM, number) or number
        world.count(PLATFORM, "inventorySetQuantities", sku, took_effect=took_effect)


def _error(code: str, message: str, field: list[str] | None = None) -> dict[str, Any]:
    return {"code": code, "field": field or ["input"], "message": message}


OPERATIONS: dict[str, Callable[[World, dict[str, Any]], dict[str, Any]]] = {
    "locations": _locations,
    "inventoryItems": _inventory_items,
    "inventorySetQuantities": _inventory_set_quantities,
}
MUTATIONS = {"inventorySetQuantities"}
