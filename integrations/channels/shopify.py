"""Shopify Admin GraphQL API as a sales channel."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx

from integrations.channels import Census, Horizon, Parcel
from integrations.channels import shopify_queries as queries
from integrations.channels.last_page_first import Onward, ids_in, unsettled
from integrations.channels.patience import patiently
from integrations.channels.payload import (
    incoming,
    integer,
    listing,
    mapping,
    mappings,
    text,
    understood,
)
from integrations.channels.shopify_graphql import NAME, GraphQL, request_body
from integrations.channels.shopify_orders import read_address, read_order
from integrations.channels.shopify_subscriptions import subscribe
from integrations.errors import Refused
from integrations.http import TOTAL_TIMEOUT
from models.intake import Incoming, IncomingOrder, Receiver, Unreadable
from models.settings import ShopifySettings
from models.wording import TZ

#: Our carriers by the name under which Shopify knows them and makes its own tracking links.
CARRIERS = {"sf_express": "SF Express"}

#: Orders older than this are neither listed nor counted nor given by id without this scope (Admin API, `Order`).
SHOWN_TO_EVERY_APP = timedelta(days=60)
ALL_ORDERS = "read_all_orders"

_SHIPPABLE = {"OPEN", "IN_PROGRESS"}


class Shopify:
    """One Shopify shop; see `integrations.channels.Channel` for what each method promises."""

    name = NAME

    def __init__(self, settings: ShopifySettings, client: httpx.AsyncClient, *, timeout: float = TOTAL_TIMEOUT) -> None:
        """`timeout` is the total one of each call, in seconds."""
        self.shop = settings.shop
        self.graphql = GraphQL(settings, client, timeout)  # also for the shop's money, coupons and stock: one token

    async def orders_updated(self, since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        """Pages of the orders updated in [since, until), oldest first."""
        wanted = _updated_in(since, until)
        variables = {"first": queries.ORDERS_A_PAGE, "query": wanted, "lines": queries.LINES_AT_FIRST}
        after: str | None = None
        more, onward = True, Onward(NAME)
        while more:
            before = after
            page, after, more = await patiently(partial(self._page, {**variables, "after": before}))
            if page:
                yield page
            if more:
                onward.check(after)

    async def census(self, since: datetime, until: datetime) -> Census:
        """What Shopify counts for the search of `orders_updated`, and the ids that it lists, newest first.

        Backwards, so that whatever makes a reading skip an order does not make the listing skip the same one. A count
        that Shopify does not call exact is no proof of more: then the listing is all there is.
        """
        wanted = _updated_in(since, until)
        count = await patiently(partial(self._count, wanted))
        ids: set[str] = set()
        variables = {"first": queries.IDS_A_PAGE, "query": wanted}
        after: str | None = None
        more, onward = True, Onward(NAME)
        while more:
            before = after
            page, after, more = await patiently(partial(self._ids, {**variables, "after": before}))
            ids.update(page)
            if more:
                onward.check(after)
        return Census(len(ids) if count is None else count, frozenset(ids))

    async def horizon(self, since: datetime, now: datetime) -> Horizon | None:
        """Sixty days ago, for an app without the scope for all orders; asked only about an earlier `since`."""
        edge = now - SHOWN_TO_EVERY_APP
        if since >= edge:
            return None
        data = await patiently(partial(self._ask, queries.INSTALLATION, "currentAppInstallation", {}))
        with understood(NAME):
            installation = mapping(data.get("currentAppInstallation"), "currentAppInstallation")
            scopes = mappings(installation.get("accessScopes"), "accessScopes")
            if any(scope.get("handle") == ALL_ORDERS for scope in scopes):
                return None
        shown_from = f"{edge.astimezone(TZ):%Y-%m-%d %H:%M}"
        said = f"Shopify 看不到 {shown_from} 以前下的订单:应用没有 {ALL_ORDERS} 权限,请在 Shopify 申请后再补拉一次"
        return Horizon(edge, said)

    async def subscribe(self, uri: str) -> list[str]:
        """Have every topic that `shopify_push` reads sent to this https address; the topics that were not before."""
        return await subscribe(self.graphql, uri)

    async def order(self, channel_order_id: str) -> IncomingOrder:
        """The order as it is now."""
        variables = {"id": channel_order_id, "lines": queries.LINES_AT_FIRST}
        data = await self._ask(queries.ORDER, "order", variables)
        if data.get("order") is None:
            raise Refused(NAME, "not_found", f"Shopify knows no order {channel_order_id}")
        found = await self._incoming(data["order"])
        if isinstance(found, Unreadable):
            raise Refused(NAME, "unreadable", f"order {channel_order_id} cannot be read: {found.reason}")
        return found

    async def receiver(self, channel_order_id: str) -> Receiver:
        """The receiver, which Shopify does not mask but may withhold."""
        data = await self._ask(queries.SHIPPING_ADDRESS, "shippingAddress", {"id": channel_order_id})
        if data.get("order") is None:
            raise Refused(NAME, "not_found", f"Shopify knows no order {channel_order_id}")
        with understood(NAME):
            address = mapping(data["order"], "order").get("shippingAddress")
            if address is None:
                advice = "ask the customer, or have the app approved for protected customer data"
                raise Refused(NAME, "no_address", f"order {channel_order_id} has no shipping address: {advice}")
            return read_address(address)

    def shipping_notice(self, channel_order_id: str, handles: dict[str, Any], parcel: Parcel) -> bytes:
        """The body of a `fulfillmentCreate` that takes the parcel's lines from the open fulfilment orders.

        Raises `Refused` when they do not hold that much any more: read the order again.
        """
        left: dict[str, int] = {}
        for line, quantity in parcel.lines:
            left[line] = left.get(line, 0) + quantity
        groups = []
        for part in handles.get("fulfillment_orders", []):
            if part["status"] not in _SHIPPABLE:
                continue
            items = []
            for item in part["lines"]:
                taken = min(left.get(item["line"], 0), item["remaining"])
                if taken > 0:
                    left[item["line"]] -= taken
                    items.append({"id": item["id"], "quantity": taken})
            if items:
                groups.append({"fulfillmentOrderId": part["id"], "fulfillmentOrderLineItems": items})
        missing = {line: quantity for line, quantity in left.items() if quantity}
        if missing or not groups:
            raise Refused(NAME, "nothing_left", f"order {channel_order_id} has no open fulfilment order for {missing}")
        tracking = {
            "company": CARRIERS.get(parcel.carrier, parcel.carrier),
            "number": parcel.waybill_no,
            "url": parcel.tracking_url,
        }
        # customers hear from us, not from Shopify as well
        fulfillment = {"lineItemsByFulfillmentOrder": groups, "trackingInfo": tracking, "notifyCustomer": False}
        return request_body(queries.FULFILLMENT_CREATE, "fulfillmentCreate", {"fulfillment": fulfillment})

    async def tell_shipped(self, notice: bytes) -> dict[str, Any]:
        """The `Fulfillment` that was made. Shopify has no key here: a repeat ships what is left a second time."""
        data = await self.graphql.send(notice)
        with understood(NAME):
            result = mapping(data.get("fulfillmentCreate"), "fulfillmentCreate")
            if errors := mappings(result.get("userErrors"), "userErrors"):
                said = "; ".join(text(error.get("message"), "message") for error in errors)
                raise Refused(NAME, "user_error", said)
            return mapping(result.get("fulfillment"), "fulfillment")

    async def was_told_shipped(self, notice: bytes) -> dict[str, Any] | None:
        """The `Fulfillment` with this parcel's tracking number, and what `remaining` there is to ship; or None."""
        wanted = json.loads(notice)["variables"]["fulfillment"]
        number = wanted["trackingInfo"]["number"]
        part_id = wanted["lineItemsByFulfillmentOrder"][0]["fulfillmentOrderId"]
        variables = {"id": part_id, "lines": queries.LINES_A_PAGE}
        data = await self._ask(queries.FULFILLMENTS, "fulfillments", variables)
        if data.get("fulfillmentOrder") is None:
            return None
        with understood(NAME):
            part = mapping(data["fulfillmentOrder"], "fulfillmentOrder")
            items = mappings(mapping(part.get("lineItems"), "lineItems").get("nodes"), "lineItems")
            remaining = sum(integer(item.get("remainingQuantity"), "remainingQuantity") for item in items)
            order = mapping(part.get("order"), "order")
            for fulfillment in mappings(order.get("fulfillments"), "fulfillments"):
                tracking = mappings(fulfillment.get("trackingInfo"), "trackingInfo")
                known = any(info.get("number") == number for info in tracking)
                if known and fulfillment.get("status") not in ("CANCELLED", "ERROR", "FAILURE"):
                    return {**fulfillment, "remaining": remaining}
        return None

    # reading orders whole -------------------------------------------------------------------------------

    async def _page(self, variables: dict[str, Any]) -> tuple[list[Incoming], str | None, bool]:
        """One page of orders, the cursor behind it, and whether more follow."""
        data = await self._ask(queries.ORDERS, "orders", variables)
        with understood(NAME):
            page = mapping(data.get("orders"), "orders")
            info = mapping(page.get("pageInfo"), "pageInfo")
            nodes = listing(page.get("nodes"), "orders")
        found = [await self._incoming(node) for node in nodes]
        return found, info.get("endCursor"), info.get("hasNextPage") is True

    async def _count(self, wanted: str) -> int | None:
        """How many orders the search counts; None when Shopify does not say that this is exact."""
        data = await self._ask(queries.ORDERS_COUNT, "ordersCount", {"query": wanted})
        with understood(NAME):
            told = mapping(data.get("ordersCount") or {}, "ordersCount")
            return integer(told.get("count"), "count") if told.get("precision") == "EXACT" else None

    async def _ids(self, variables: dict[str, Any]) -> tuple[list[str], str | None, bool]:
        """One page of ids, the cursor behind it, and whether more follow."""
        data = await self._ask(queries.ORDER_IDS, "orderIds", variables)
        with understood(NAME):
            page = mapping(data.get("orders"), "orders")
            info = mapping(page.get("pageInfo"), "pageInfo")
            found = list(ids_in(listing(page.get("nodes"), "orders"), "id"))
        return found, info.get("endCursor"), info.get("hasNextPage") is True

    async def _incoming(self, node: Any) -> Incoming:
        try:
            node = await self._completed(node) if isinstance(node, dict) else node
        except Refused as refused:
            return Unreadable(NAME, self.shop, str(node.get("id")), str(refused), node)
        return incoming(read_order, node, NAME, self.shop, "id")

    async def _completed(self, node: dict[str, Any]) -> dict[str, Any]:
        """The order with every line and fulfilment order that did not fit into the first answer."""
        order_id = node.get("id")
        lines = {"id": order_id, "first": queries.LINES_A_PAGE}
        node = await self._rest(node, "lineItems", queries.LINE_ITEMS, "lineItems", "order", lines)
        parts = {"id": order_id, "first": 5, "lines": queries.LINES_AT_FIRST}
        query = queries.FULFILLMENT_ORDERS
        node = await self._rest(node, "fulfillmentOrders", query, "fulfillmentOrders", "order", parts)
        connection = node.get("fulfillmentOrders")
        nodes = connection.get("nodes") if isinstance(connection, dict) else None
        if not isinstance(nodes, list):
            return node
        whole = []
        for part in nodes:
            if isinstance(part, dict):
                items = {"id": part.get("id"), "first": queries.LINES_A_PAGE}
                query = queries.FULFILLMENT_ORDER_LINES
                part = await self._rest(part, "lineItems", query, "fulfillmentOrderLines", "fulfillmentOrder", items)
            whole.append(part)
        return {**node, "fulfillmentOrders": {"nodes": whole}}

    async def _rest(
        self,
        owner: dict[str, Any],
        field: str,
        query: str,
        operation: str,
        root: str,
        variables: dict[str, Any],
    ) -> dict[str, Any]:
        """`owner` with all pages of its connection `field`; a connection that is no such thing stays as it is."""
        connection = owner.get(field)
        info = connection.get("pageInfo") if isinstance(connection, dict) else None
        if not isinstance(connection, dict) or not isinstance(info, dict) or info.get("hasNextPage") is not True:
            return owner
        with understood(NAME):
            nodes = list(listing(connection.get("nodes"), field))
            while info.get("hasNextPage") is True:
                after = info.get("endCursor")
                data = await self._ask(query, operation, {**variables, "after": after})
                page = mapping(mapping(data.get(root), root).get(field), field)
                nodes += listing(page.get("nodes"), field)
                info = mapping(page.get("pageInfo"), "pageInfo")
                if info.get("hasNextPage") is True and info.get("endCursor") in (None, after):
                    raise unsettled(NAME)
        return {**owner, field: {"nodes": nodes}}

    async def _ask(self, query: str, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        return await self.graphql.send(request_body(query, operation, variables))


def _updated_in(since: datetime, until: datetime) -> str:
    """The search for orders updated in [since, until), which is widened to whole seconds, as updatedAt has them."""
    start = since.astimezone(UTC).replace(microsecond=0)
    end = (until.astimezone(UTC) + timedelta(microseconds=999_999)).replace(microsecond=0)
    return f"updated_at:>='{start:%Y-%m-%dT%H:%M:%SZ}' updated_at:<'{end:%Y-%m-%dT%H:%M:%SZ}'"
