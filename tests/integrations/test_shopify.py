"""The Shopify channel against the played platform, over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from integrations.channels.payload import Unparsable, incoming
from integrations.channels.shopify import Shopify
from integrations.channels.shopify_orders import read_order
from integrations.errors import Later, Refused, Unclear
from integrations.sandbox import shopify_orders as shop
from integrations.sandbox.baskets import FLAWS, Basket, spoiled
from integrations.sandbox.world import World
from models.intake import Incoming, IncomingOrder, PlatformStatus, Unreadable
from tests.integrations.hostile import bent, is_storable
from tests.integrations.sandbox_server import NOON, PET, Running, basket, line, sandbox


def place(world: World, wanted: Basket, number: int, at: datetime = NOON, *, paid: bool = True) -> str:
    order = shop.written(wanted, number, at, paid=paid)
    shop.save(world, order, at)
    return str(order["id"])


def channel(running: Running, **changes: Any) -> Shopify:
    timeout = changes.pop("timeout", 5.0)
    return Shopify(running.settings.shopify.model_copy(update=changes), running.client, timeout=timeout)


async def listed(shopify: Shopify, since: datetime, until: datetime) -> list[list[Incoming]]:
    return [page async for page in shopify.orders_updated(since, until)]


def node(*, paid: bool = True) -> dict[str, Any]:
    """An order node as the platform answers it."""
    order = shop.written(basket(line(discount=499, pet=PET), line("CAT-2", 2)), 7, NOON, paid=paid)
    lines = {"nodes": order["lineItems"], "pageInfo": {"hasNextPage": False}}
    parts = [{**part, "lineItems": {"nodes": part["lineItems"]}} for part in order["fulfillmentOrders"]]
    return {**order, "lineItems": lines, "fulfillmentOrders": {"nodes": parts}}


# translation ------------------------------------------------------------------------------------------------


def test_order_is_read_with_money_in_fen_times_in_utc_and_the_pet() -> None:
    order = read_order(node(), "shop-1")

    assert order.channel_order_id == "gid://shopify/Order/820982911946150007"
    assert (order.channel_order_name, order.shop, order.status) == ("#1008", "shop-1", PlatformStatus.TO_SHIP)
    assert order.placed_at == order.updated_at == order.paid_at == NOON
    assert (order.total_fen, order.paid_fen, order.discount_fen) == (8500 + 17998, 8500 + 17998, 499)
    assert order.currency == "CNY"
    assert order.receiver is not None
    assert (order.receiver.district, order.receiver.detail) == ("蜀山区", "李路184号27栋3单元2001室")
    first, second = order.lines
    assert (first.sku, first.quantity, first.unit_price_fen, first.paid_fen) == ("DOG-DRY-1", 1, 8999, 8500)
    assert first.attributes == PET
    assert (second.quantity, second.paid_fen, second.attributes) == (2, 17998, {})


@pytest.mark.parametrize(
    ("financial", "fulfillment", "cancelled", "status"),
    [
        ("PENDING", "UNFULFILLED", False, PlatformStatus.AWAITING_PAYMENT),
        ("AUTHORIZED", "UNFULFILLED", False, PlatformStatus.AWAITING_PAYMENT),
        ("PAID", "UNFULFILLED", False, PlatformStatus.TO_SHIP),
        ("PAID", "ON_HOLD", False, PlatformStatus.HELD),
        ("PAID", "SCHEDULED", False, PlatformStatus.HELD),
        ("PAID", "PARTIALLY_FULFILLED", False, PlatformStatus.PART_SHIPPED),
        ("PARTIALLY_REFUNDED", "FULFILLED", False, PlatformStatus.SHIPPED),
        ("PAID", "UNFULFILLED", True, PlatformStatus.CANCELLED),
        ("VOIDED", "UNFULFILLED", False, PlatformStatus.CANCELLED),
        ("REFUNDED", "UNFULFILLED", True, PlatformStatus.REFUNDED),
        ("PAID", "SOMETHING_NEW", False, PlatformStatus.UNKNOWN),
        (None, "UNFULFILLED", False, PlatformStatus.UNKNOWN),
    ],
)
def test_status_is_the_hubs(financial: str, fulfillment: str, cancelled: bool, status: PlatformStatus) -> None:
    payload = {
        **node(),
        "displayFinancialStatus": financial,
        "displayFulfillmentStatus": fulfillment,
        "cancelledAt": "2026-11-01T12:00:00+08:00" if cancelled else None,
    }
    assert read_order(payload, "s").status == status


def test_unpaid_order_has_no_payment_time() -> None:
    assert read_order(node(paid=False), "s").paid_at is None


def test_time_with_an_offset_becomes_utc() -> None:
    payload = {**node(), "createdAt": "2026-11-01T19:00:00+08:00"}
    assert read_order(payload, "s").placed_at == datetime(2026, 11, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize("district", ["浦东新区", "蜀山区", "海珠区", "长兴县", "义乌市", "绿园区"])
def test_district_is_found_at_the_start_of_the_street(district: str) -> None:
    payload = node()
    payload["shippingAddress"]["address1"] = f"{district}阳光小区3栋"
    receiver = read_order(payload, "s").receiver
    assert receiver is not None
    assert (receiver.district, receiver.detail) == (district, "阳光小区3栋")


def test_edited_line_keeps_what_was_ordered_and_says_what_is_left() -> None:
    payload = node()
    payload["lineItems"]["nodes"][1]["currentQuantity"] = 1
    order = read_order(payload, "s")
    assert order.lines[1].quantity == 2
    assert order.handles["current_quantities"] == {order.lines[1].channel_line_id: 1}


@pytest.mark.parametrize("change", [{"id": ""}, {"id": None}, {"createdAt": "yesterday"}, {"updatedAt": None}])
def test_order_without_id_or_times_is_unreadable(change: dict[str, Any]) -> None:
    found = incoming(read_order, {**node(), **change}, "shopify", "s", "id")
    assert isinstance(found, Unreadable)
    assert next(iter(change)) in found.reason


@given(payload=bent(node()))
@settings(max_examples=400, deadline=None)
def test_bent_payload_is_an_order_or_unreadable_and_never_an_error(payload: Any) -> None:
    found = incoming(read_order, payload, "shopify", "s", "id")
    if isinstance(found, IncomingOrder):
        assert abs(found.total_fen) < 10**15
        assert all(is_storable(item.title + item.sku) for item in found.lines)
        assert is_storable(found.channel_order_id + found.note)
    else:
        with pytest.raises(Unparsable):
            read_order(payload, "s")


# reading over HTTP ------------------------------------------------------------------------------------------


async def test_window_is_read_in_pages_oldest_first(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = [place(running.world, basket(), n, NOON + timedelta(seconds=n // 3)) for n in range(25)]
            place(running.world, basket(), 25, NOON - timedelta(seconds=1))
            place(running.world, basket(), 26, NOON + timedelta(hours=1))

        pages = await listed(channel(running), NOON, NOON + timedelta(hours=1))

        assert [len(page) for page in pages] == [10, 10, 5]
        assert [order.channel_order_id for page in pages for order in page] == placed


async def test_order_that_moves_between_pages_hides_nobody(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = [place(running.world, basket(), n, NOON + timedelta(seconds=n)) for n in range(15)]
        seen: list[str] = []
        async for page in channel(running).orders_updated(NOON, NOON + timedelta(hours=1)):
            if not seen:
                moved = running.world.get(shop.ORDER, placed[0])
                assert moved is not None
                shop.save(running.world, moved, NOON + timedelta(minutes=30))
            seen += [order.channel_order_id for order in page]

        assert set(seen) == set(placed)


async def test_lines_beyond_the_first_page_are_fetched(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        place(running.world, basket(*(line(f"SKU-{n}") for n in range(73))), 0)

        [[order]] = await listed(channel(running), NOON, NOON + timedelta(seconds=1))

        assert isinstance(order, IncomingOrder)
        assert [item.sku for item in order.lines] == [f"SKU-{n}" for n in range(73)]
        assert len(order.handles["fulfillment_orders"][0]["lines"]) == 73


async def test_orders_with_every_flaw_are_carried_over(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        for number, flaw in enumerate(FLAWS):
            place(running.world, spoiled(basket(), flaw), number)

        [page] = await listed(channel(running), NOON, NOON + timedelta(seconds=1))

        found = {flaw: order for flaw, order in zip(FLAWS, page, strict=True) if isinstance(order, IncomingOrder)}
        assert len(found) == len(FLAWS)
        assert found["negative_quantity"].lines[0].quantity == -1
        assert found["money_does_not_add_up"].total_fen == 8999 + 12345
        assert len(found["endless_names"].lines[0].title) == 20_000
        assert found["missing_address"].receiver is None
        name = found["control_characters"].receiver
        assert name is not None
        assert name.name == "张\ufffd三\x07\x1b[31m"
        assert all("\\u0000" not in json.dumps(order.raw) for order in found.values())


async def test_one_unreadable_order_stops_no_other(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        place(running.world, basket(), 0)
        broken = shop.written(basket(), 1, NOON, paid=True)
        broken["totalPriceSet"]["shopMoney"]["amount"] = "many"
        shop.save(running.world, broken, NOON)

        [[first, second]] = await listed(channel(running), NOON, NOON + timedelta(seconds=1))

        assert isinstance(first, IncomingOrder)
        assert isinstance(second, Unreadable)
        assert second.channel_order_id == broken["id"]
        with pytest.raises(Refused, match="totalPriceSet"):
            await channel(running).order(broken["id"])


async def test_throttled_page_is_read_again_after_the_wait(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = [place(running.world, basket(), n) for n in range(12)]
        running.world.set_fault("shopify", "orders", "throttled", detail={"seconds": 0.1})
        running.world.set_fault("shopify", "orders", "http_429", detail={"retry_after": 0.1})
        running.world.set_fault("shopify", "orders", "http_500")

        pages = await listed(channel(running), NOON, NOON + timedelta(seconds=1))

        assert [order.channel_order_id for page in pages for order in page] == placed


@pytest.mark.parametrize(
    ("fault", "error"),
    [("http_429", Later), ("http_503", Later), ("http_500", Unclear), ("drop", Unclear), ("internal_error", Unclear)],
)
async def test_trouble_is_told_in_its_class(tmp_path: Path, fault: str, error: type[Exception]) -> None:
    async with sandbox(tmp_path) as running:
        order_id = place(running.world, basket(), 0)
        running.world.set_fault("shopify", "order", fault)
        with pytest.raises(error):
            await channel(running).order(order_id)


async def test_receiver_is_clear_or_named_missing(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        known = place(running.world, basket(), 0)
        unknown = place(running.world, spoiled(basket(), "missing_address"), 1)

        receiver = await channel(running).receiver(known)

        assert (receiver.name, receiver.phone, receiver.masked) == ("赵玉珍", "16000006978", False)
        with pytest.raises(Refused, match="no_address"):
            await channel(running).receiver(unknown)


async def test_unknown_operation_is_not_answered(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        url = f"{running.settings.shopify.base_url}/admin/api/2026-10/graphql.json"
        headers = {"x-shopify-access-token": running.settings.shopify.access_token.get_secret_value()}
        document = {"query": "query shop($id: ID!) { shop }", "operationName": "shop", "variables": {"id": "1"}}

        answered = await running.client.post(url, json=document, headers=headers)

        assert "data" not in answered.json()
        assert answered.json()["errors"][0]["extensions"]["code"] == "undefinedField"
