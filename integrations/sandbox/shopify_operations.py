"""What each GraphQL operation of the played Shopify shop does, on its stored orders."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from integrations.sandbox.paging import CHUNK, Position, behind
from integrations.sandbox.shopify_index import hidden
from integrations.sandbox.shopify_orders import ORDER, PART, save, ship
from integrations.sandbox.world import World

PLATFORM = "shopify"

Operation = Callable[[World, dict[str, Any]], dict[str, Any]]

#: The scopes that the app was granted; all that it asks for unless a test writes another document.
SCOPES = "shopify.scopes"
ALL_SCOPES = ("read_orders", "read_all_orders", "write_fulfillments")
#: How far back an app sees without the scope for all orders.
SHOWN_TO_EVERY_APP = timedelta(days=60)

_FILTER = re.compile(r"updated_at:(>=|<)'([^']+)'")


class Invalid(Exception):
    """A top-level GraphQL error: message and, where there is one, the code."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


def granted_scopes(world: World) -> list[str]:
    """The handles of the scopes that the app was granted."""
    return list((world.get(SCOPES, "") or {"handles": ALL_SCOPES})["handles"])


def _installation(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    return {"currentAppInstallation": {"accessScopes": [{"handle": handle} for handle in granted_scopes(world)]}}


def _too_old(world: World, order: dict[str, Any]) -> bool:
    """Whether the app may not see an order of this age."""
    if "read_all_orders" in granted_scopes(world):
        return False
    return datetime.fromisoformat(order["createdAt"]) < world.now() - SHOWN_TO_EVERY_APP


def _unlisted(world: World) -> dict[str, bool]:
    """Orders that no search lists, and whether the count has them."""
    old = {} if "read_all_orders" in granted_scopes(world) else dict.fromkeys(_old(world), False)
    return hidden(world) | old


def _old(world: World) -> list[str]:
    return [order["id"] for order in world.window(ORDER) if _too_old(world, order)]


def _orders(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    since, until, first, last = _search(variables)
    late = _unlisted(world)
    listed = (order for order in behind(world, ORDER, since, until, last, _position) if order["id"] not in late)
    page, info = _page(listed, first)
    return {"orders": {"nodes": [_node(order, variables["lines"]) for order in page], "pageInfo": info}}


def _order_ids(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    """The same search, newest first (`reverse: true`), ids only."""
    since, until, first, last = _search(variables)
    late = _unlisted(world)
    listed = (order for order in _before(world, since, until, last) if order["id"] not in late)
    page, info = _page(listed, first)
    return {"orders": {"nodes": [{"id": order["id"]} for order in page], "pageInfo": info}}


def _orders_count(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    since, until = _window(variables["query"])
    late = [world.get(ORDER, order_id) for order_id, counted in _unlisted(world).items() if not counted]
    missing = sum(1 for order in late if order and since <= _position(order)[0] < until)
    return {"ordersCount": {"count": world.size(ORDER, since, until) - missing, "precision": "EXACT"}}


def _before(world: World, since: float, until: float, last: Position | None) -> Iterator[dict[str, Any]]:
    """Orders updated in [since, until), newest first, before `last`."""
    until = min(until, last[0] + 1.0) if last else until  # whole seconds
    end = world.size(ORDER, since, until)
    while end > 0:
        start = max(0, end - CHUNK)
        rows = world.window(ORDER, since, until, start, end - start)
        yield from (row for row in reversed(rows) if last is None or _position(row) < last)
        end = start


def _page(listed: Iterator[dict[str, Any]], first: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The first so many, and their `pageInfo`."""
    found = list(islice(listed, first + 1))
    cursor = _cursor(found[:first][-1]) if found else None
    return found[:first], {"hasNextPage": len(found) > first, "endCursor": cursor}


def _search(variables: dict[str, Any]) -> tuple[float, float, int, Position | None]:
    """Since, until, how many and behind which order, as a search of orders asks for them."""
    if not 0 < variables["first"] <= 250:
        raise Invalid("first must be between 1 and 250")
    after = variables.get("after")
    return *_window(variables["query"]), variables["first"], _cursor_of(after) if after else None


def _window(query: str) -> tuple[float, float]:
    bounds = {">=": 0.0, "<": 1e12}
    if _FILTER.sub("", query).strip():
        raise Invalid(f"the search query {query!r} has a filter that is not played here")
    for relation, at in _FILTER.findall(query):
        bounds[relation] = datetime.fromisoformat(at).timestamp()
    return bounds[">="], bounds["<"]


def _position(order: dict[str, Any]) -> Position:
    return datetime.fromisoformat(order["updatedAt"]).timestamp(), order["id"]


def _cursor(order: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(_position(order)).encode()).decode()


def _cursor_of(text: str) -> Position:
    try:
        updated, order_id = json.loads(base64.b64decode(text))
        return float(updated), str(order_id)
    except (ValueError, TypeError) as error:
        raise Invalid("Invalid cursor for current pagination sort.") from error


def _connection(items: list[dict[str, Any]], first: int, after: str | None = None) -> dict[str, Any]:
    start = int(after) if after else 0
    end = start + first
    return {"nodes": items[start:end], "pageInfo": {"hasNextPage": end < len(items), "endCursor": str(end)}}


def _node(order: dict[str, Any], lines: int) -> dict[str, Any]:
    parts = [_part(part, lines) for part in order["fulfillmentOrders"]]
    return {
        **{name: value for name, value in order.items() if name not in ("fulfillments", "refunds", "edits")},
        "lineItems": _connection(order["lineItems"], lines),
        "fulfillmentOrders": _connection(parts, 3),
    }


def _part(part: dict[str, Any], lines: int) -> dict[str, Any]:
    return {**part, "lineItems": _connection(part["lineItems"], lines)}


def _order(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    order = world.get(ORDER, variables["id"])
    return {"order": None if order is None or _too_old(world, order) else _node(order, variables["lines"])}


def _line_items(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    order = world.get(ORDER, variables["id"])
    if order is None:
        return {"order": None}
    page = _connection(order["lineItems"], variables["first"], variables.get("after"))
    return {"order": {"lineItems": page}}


def _fulfillment_orders(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    order = world.get(ORDER, variables["id"])
    if order is None:
        return {"order": None}
    parts = [_part(part, variables["lines"]) for part in order["fulfillmentOrders"]]
    return {"order": {"fulfillmentOrders": _connection(parts, variables["first"], variables.get("after"))}}


def _shipping_address(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    order = world.get(ORDER, variables["id"])
    return {"order": order and {"id": order["id"], "shippingAddress": order["shippingAddress"]}}


def _owner(world: World, part_id: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The order and the fulfilment order of this fulfilment order id."""
    known = world.get(PART, part_id)
    order = world.get(ORDER, known["order"]) if known else None
    if order is None:
        return None
    return order, next(part for part in order["fulfillmentOrders"] if part["id"] == part_id)


def _fulfillment_order_lines(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    owner = _owner(world, variables["id"])
    if owner is None:
        return {"fulfillmentOrder": None}
    page = _connection(owner[1]["lineItems"], variables["first"], variables.get("after"))
    return {"fulfillmentOrder": {"lineItems": page}}


def _fulfillments(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    owner = _owner(world, variables["id"])
    if owner is None:
        return {"fulfillmentOrder": None}
    order, part = owner
    holder = {"id": order["id"], "fulfillments": order["fulfillments"]}
    return {"fulfillmentOrder": {**_part(part, variables["lines"]), "order": holder}}


def _fulfillment_create(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    wanted = variables["fulfillment"]
    tracking = wanted.get("trackingInfo") or {}
    order, taken, error = _shippable(world, wanted.get("lineItemsByFulfillmentOrder") or [])
    key = f"{order['id'] if order else ''}:{tracking.get('number', '')}"
    world.count(PLATFORM, "fulfillmentCreate", key, took_effect=error is None)
    if order is None or error is not None:
        errors = [{"field": ["fulfillment"], "message": error}]
        return {"fulfillmentCreate": {"fulfillment": None, "userErrors": errors}}
    now = world.now()
    fulfillment = ship(order, taken, tracking, now)
    save(world, order, now)
    return {"fulfillmentCreate": {"fulfillment": fulfillment, "userErrors": []}}


def _shippable(world: World, groups: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, dict[str, int], str | None]:
    """The order, what is to be taken by fulfilment order line id, and what stands against it."""
    order: dict[str, Any] | None = None
    taken: dict[str, int] = {}
    if not groups:
        return None, taken, "Line items by fulfillment order can't be blank"
    for group in groups:
        owner = _owner(world, group["fulfillmentOrderId"])
        if owner is None or (order is not None and owner[0]["id"] != order["id"]):
            return order, taken, "Fulfillment order does not exist."
        order, part = owner
        if part["status"] not in ("OPEN", "IN_PROGRESS"):
            number = part["id"].rpartition("/")[2]
            return order, taken, f"Fulfillment order {number} has an unfulfillable status= {part['status'].lower()}."
        left = {item["id"]: item["remainingQuantity"] for item in part["lineItems"]}
        # without lines everything that remains is taken
        asked = group.get("fulfillmentOrderLineItems") or [
            {"id": line, "quantity": quantity} for line, quantity in left.items()
        ]
        for item in asked:
            if not 0 < item["quantity"] <= left.get(item["id"], 0) - taken.get(item["id"], 0):
                return order, taken, "Invalid fulfillment order line item quantity requested."
            taken[item["id"]] = taken.get(item["id"], 0) + item["quantity"]
    return order, taken, None


OPERATIONS: dict[str, Operation] = {
    "currentAppInstallation": _installation,
    "orders": _orders,
    "orderIds": _order_ids,
    "ordersCount": _orders_count,
    "order": _order,
    "lineItems": _line_items,
    "fulfillmentOrders": _fulfillment_orders,
    "fulfillmentOrderLines": _fulfillment_order_lines,
    "shippingAddress": _shipping_address,
    "fulfillments": _fulfillments,
    "fulfillmentCreate": _fulfillment_create,
}
MUTATIONS = {"fulfillmentCreate"}
