"""What a Shopify shop shows as available at one location, and changing it by compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from integrations.channels.patience import patiently
from integrations.channels.payload import identity, integer, listing, mapping, mappings, text, understood
from integrations.channels.shelves import Listed, Overtaken, ShelfChange
from integrations.channels.shopify_graphql import NAME, GraphQL, request_body
from integrations.errors import Later, Refused

#: SKUs that one search names. Two variants may carry one SKU, so a page may be longer than that.
SKUS_A_SEARCH = 50

INVENTORY_ITEMS = """
query inventoryItems($first: Int!, $after: String, $query: String!, $location: ID!) {
  inventoryItems(first: $first, after: $after, query: $query) {
    nodes {
      id sku tracked
      inventoryLevel(locationId: $location) { quantities(names: ["available"]) { name quantity } }
    }
    pageInfo { hasNextPage endCursor }
  }
}"""

LOCATIONS = """
query locations($first: Int!) {
  locations(first: $first) { nodes { id } }
}"""

# the directive stands on the field; without it the mutation is refused at run time since 2026-04
INVENTORY_SET_QUANTITIES = """
mutation inventorySetQuantities($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id }
    userErrors { code field message }
  }
}"""

_STALE = "CHANGE_FROM_QUANTITY_STALE"
#: The key's first attempt is still under way, or failed over there: nothing was changed by this call.
_NOT_NOW = {"IDEMPOTENCY_CONCURRENT_REQUEST", "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"}


class ShopifyShelf:
    """One location of one Shopify shop; see `integrations.channels.shelves.Shelf` for what each method promises."""

    name = NAME

    def __init__(self, shop: str, graphql: GraphQL, location_id: str = "") -> None:
        """`location_id` is a number or a gid; empty means the shop's first location."""
        self.shop = shop
        self._graphql = graphql
        self._location = f"gid://shopify/Location/{location_id}" if location_id.isdigit() else location_id

    async def listed(self, skus: Sequence[str]) -> list[Listed]:
        """What is available of these SKUs; those that Shopify does not track or stock there are left out."""
        location = await self._known_location() if skus else ""
        found: list[Listed] = []
        for start in range(0, len(skus), SKUS_A_SEARCH):
            found += await self._search(list(skus[start : start + SKUS_A_SEARCH]), location)
        return found

    async def show(self, change: ShelfChange) -> None:
        """Set what is available, if it is still `seen`. `Overtaken` when it is not; a repeated key changes nothing."""
        quantity = {
            "inventoryItemId": change.handle["item"],
            "locationId": change.handle["location"],
            "quantity": change.to,
            "changeFromQuantity": change.seen,
        }
        wanted = {"name": "available", "reason": "correction", "quantities": [quantity]}
        variables = {"input": wanted, "key": change.key}
        data = await self._ask(INVENTORY_SET_QUANTITIES, "inventorySetQuantities", variables)
        with understood(NAME):
            result = mapping(data.get("inventorySetQuantities"), "inventorySetQuantities")
            errors = mappings(result.get("userErrors"), "userErrors")
            codes = [text(error.get("code"), "code") for error in errors]
            said = "; ".join(text(error.get("message"), "message") for error in errors)[:300]
        if _STALE in codes:
            raise Overtaken(change.sku)
        if not_now := _NOT_NOW.intersection(codes):
            raise Later(NAME, min(not_now), said)
        if errors:
            raise Refused(NAME, codes[0] or "user_error", said)

    async def _search(self, skus: list[str], location: str) -> list[Listed]:
        """The inventory items of these SKUs. The search is looser than equality, so what it finds is compared."""
        wanted = set(skus)
        query = " OR ".join(f"sku:{_quoted(sku)}" for sku in skus)
        variables: dict[str, Any] = {"first": SKUS_A_SEARCH, "query": query, "location": location}
        found: list[Listed] = []
        after: str | None = None
        more = True
        while more:
            ask = partial(self._ask, INVENTORY_ITEMS, "inventoryItems", {**variables, "after": after})
            data = await patiently(ask)
            with understood(NAME):
                page = mapping(data.get("inventoryItems"), "inventoryItems")
                info = mapping(page.get("pageInfo"), "pageInfo")
                for item in mappings(page.get("nodes"), "nodes"):
                    if item.get("sku") in wanted and item.get("tracked") is True and item.get("inventoryLevel"):
                        found.append(_listed(item, location))
            after, more = info.get("endCursor"), info.get("hasNextPage") is True
        return found

    async def _known_location(self) -> str:
        """The location that was set, or the shop's first one."""
        if not self._location:
            data = await patiently(partial(self._ask, LOCATIONS, "locations", {"first": 1}))
            with understood(NAME):
                nodes = listing(mapping(data.get("locations"), "locations").get("nodes"), "locations")
                if not nodes:
                    raise Refused(NAME, "no_location", "the shop has no location: add one, or give the app access")
                self._location = identity(mapping(nodes[0], "location").get("id"), "location id")
        return self._location

    async def _ask(self, query: str, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        return await self._graphql.send(request_body(query, operation, variables))


def _listed(item: dict[str, Any], location: str) -> Listed:
    level = mapping(item.get("inventoryLevel"), "inventoryLevel")
    quantities = mappings(level.get("quantities"), "quantities")
    available = next((one.get("quantity") for one in quantities if one.get("name") == "available"), None)
    handle = {"item": identity(item.get("id"), "inventory item id"), "location": location}
    return Listed(identity(item.get("sku"), "sku"), integer(available, "available"), handle)


def _quoted(sku: str) -> str:
    """A SKU as a phrase of Shopify's search syntax."""
    return '"' + sku.replace("\\", "\\\\").replace('"', '\\"') + '"'
