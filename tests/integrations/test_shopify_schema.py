"""Everything that is sent to Shopify is valid against the published Admin schema 2026-10, documents and variables.

`shopify_admin_2026_10.graphql` is derived by `derive_shopify_schema`.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, parse
from graphql.execution.values import get_variable_values

from integrations.channels import Parcel
from integrations.channels.coupons import CouponWish
from integrations.channels.shelves import ShelfChange
from integrations.channels.shopify import Shopify
from integrations.channels.shopify_coupons import ShopifyCoupons
from integrations.channels.shopify_stock import ShopifyShelf
from integrations.payments import RefundWish, Trade
from integrations.payments.shopify import ShopifyMoney
from integrations.sandbox import shopify_orders as shop
from integrations.sandbox.shelves import stock_shelves
from integrations.sandbox.shopify import IDEMPOTENT
from tests.integrations.derive_shopify_schema import documents, errors_of
from tests.integrations.sandbox_server import NOON, Running, basket, line, sandbox

DOCUMENTS = documents()
#: The trimmed schema, built once.
SCHEMA: GraphQLSchema = build_schema((Path(__file__).parent / "shopify_admin_2026_10.graphql").read_text())


def operation_of(document: str) -> OperationDefinitionNode:
    [found] = [node for node in parse(document).definitions if isinstance(node, OperationDefinitionNode)]
    return found


def name_of(document: str) -> str:
    name = operation_of(document).name
    assert name is not None
    return name.value


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_is_valid(name: str) -> None:
    assert errors_of(SCHEMA, DOCUMENTS[name]) == []


@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"),
    [
        ("ORDERS", "currentQuantity", "currentQuantities", "Cannot query field 'currentQuantities' on type 'LineItem'"),
        ("ORDERS", "sortKey: UPDATED_AT", "sortKey: UPDATED", "Value 'UPDATED' does not exist in 'OrderSortKeys'"),
        ("ORDERS_COUNT", "limit: null", "first: 3", "Unknown argument 'first'"),
        ("ORDER", "$id: ID!", "$id: String!", "expecting type 'ID!'"),
        ("REFUND_CREATE", "RefundInput!", "RefundInputs!", "Unknown type 'RefundInputs'"),
        ("REFUND_CREATE", "@idempotent(key: $key)", "@idempotent(id: $key)", "Unknown argument 'id'"),
        ("COUPON_BY_CODE", "on DiscountAmount", "on DiscountSum", "Unknown type 'DiscountSum'"),
        ("INVENTORY_ITEMS", "{ name quantity }", "", "must have a selection of subfields"),
    ],
)
def test_mistake_would_be_noticed(name: str, right: str, wrong: str, said: str) -> None:
    assert right in DOCUMENTS[name]
    errors = errors_of(SCHEMA, DOCUMENTS[name].replace(right, wrong))
    assert said in " ".join(str(error) for error in errors)


def test_mutations_that_must_be_idempotent_are() -> None:
    # mandatory when the mutation runs, which no validation of a document sees
    keyed = {name_of(document) for document in DOCUMENTS.values() if "@idempotent(key: $key)" in document}
    assert keyed == IDEMPOTENT == {"refundCreate", "inventorySetQuantities"}


async def _everything(running: Running) -> None:
    """Call Shopify in every way that there is."""
    shopify = Shopify(running.settings.shopify, running.client)
    running.world.put("shopify.plan", "", {"maximum": 20_000.0, "restore": 20_000.0})
    stock_shelves(running.world, {"DOG-DRY-1": 3})
    document = shop.written(basket(*(line(f"SKU-{n}") for n in range(70))), 0, NOON, paid=True)
    shop.ship(document, {document["fulfillmentOrders"][0]["lineItems"][0]["id"]: 1}, {"number": "SF1"}, NOON)
    for part in list(document["fulfillmentOrders"]) * 3:
        document["fulfillmentOrders"].append({**part, "id": f"{part['id']}{len(document['fulfillmentOrders'])}"})
    shop.save(running.world, document, NOON)
    order_id = document["id"]

    assert [page async for page in shopify.orders_updated(NOON, NOON + timedelta(hours=1))]
    await shopify.census(NOON, NOON + timedelta(hours=1))
    assert await shopify.horizon(NOON - timedelta(days=90), NOON) is None
    await shopify.subscribe("https://hub.example.test/webhooks/shopify")
    await shopify.receiver(order_id)
    order = await shopify.order(order_id)
    item = order.lines[1].channel_line_id
    parcel = Parcel("SF2", "sf_express", "https://hub.example.test/t/SF2", ((item, 1),))
    notice = shopify.shipping_notice(order_id, order.handles, parcel)
    await shopify.tell_shipped(notice)
    await shopify.was_told_shipped(notice)
    money = ShopifyMoney(shopify)
    lines = ((order.lines[0].channel_line_id, 1), (order.lines[2].channel_line_id, 1))
    wish = RefundWish("R-1", Trade(order_id), 100, order.paid_fen, "CNY", "缺货", lines, order.handles)
    await money.refund(money.refund_request(wish))
    await money.find_refund(money.refund_request(wish))
    coupons = ShopifyCoupons(shopify)
    request = coupons.coupon_request(CouponWish("SORRY", 2000, 5000, NOON, NOON + timedelta(days=9), "补偿"))
    await coupons.make_coupon(request)
    await coupons.find_coupon(request)
    shelf = ShopifyShelf(shopify.shop, shopify.graphql)
    [found] = await shelf.listed(["DOG-DRY-1"])
    await shelf.show(ShelfChange(found.sku, found.quantity, 2, found.handle, "key-1"))


async def test_everything_that_is_sent_is_valid_with_its_variables(tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []

    async def keep(request: httpx.Request) -> None:
        sent.append(json.loads(request.content))

    async with sandbox(tmp_path) as running:
        running.client.event_hooks = {"request": [keep]}
        await _everything(running)

    for body in sent:
        assert errors_of(SCHEMA, body["query"]) == []
        operation = operation_of(body["query"])
        coerced = get_variable_values(SCHEMA, operation.variable_definitions or (), body["variables"])
        assert not isinstance(coerced, list), (body["operationName"], coerced)
    # and nothing of what could be sent was left out
    assert {body["operationName"] for body in sent} == {name_of(document) for document in DOCUMENTS.values()}
    assert len(DOCUMENTS) == 20


def test_wrong_variables_would_be_noticed() -> None:
    operation = operation_of(DOCUMENTS["REFUND_CREATE"])
    line_item = {"lineItemId": "gid://shopify/LineItem/1", "quantity": 1, "restockType": "KEEP"}
    variables = {"input": {"orderId": "gid://shopify/Order/1", "refundLineItems": [line_item]}, "key": "R-1"}
    coerced = get_variable_values(SCHEMA, operation.variable_definitions or (), variables)
    assert isinstance(coerced, list) and "restockType" in str(coerced[0])
