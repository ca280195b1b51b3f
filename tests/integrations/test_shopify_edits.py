"""Orders that were edited or paid back on Shopify after they came in, as the hub reads them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integrations.channels import Parcel
from integrations.channels.shopify import Shopify
from integrations.channels.shopify_orders import read_order
from integrations.errors import Refused
from integrations.payments import RefundState, RefundWish, Trade
from integrations.payments.shopify import ShopifyMoney
from integrations.sandbox import shopify_orders as shop
from models.intake import IncomingOrder, PlatformStatus
from tests.integrations.sandbox_server import NOON, PET, Running, basket, line, sandbox

LATER = NOON + timedelta(minutes=5)


def place(*, paid: bool = True) -> dict[str, Any]:
    """An order of three "DOG" at 50 yuan and one "CAT" at 20; not saved yet. Shopify keeps its money."""
    return shop.written(basket(line("DOG", 3, 5000), line("CAT", 1, 2000)), 0, NOON, paid=paid)


def node(order: dict[str, Any]) -> dict[str, Any]:
    """The order as the platform answers it."""
    parts = [{**part, "lineItems": {"nodes": part["lineItems"]}} for part in order["fulfillmentOrders"]]
    return {**order, "lineItems": {"nodes": order["lineItems"]}, "fulfillmentOrders": {"nodes": parts}}


def id_of(order: dict[str, Any], sku: str) -> str:
    [found] = [item["id"] for item in order["lineItems"] if item["sku"] == sku]
    return str(found)


def quantities(order: IncomingOrder) -> dict[str, tuple[int, int]]:
    """By SKU: how many were bought, and how many of them are not wanted any more."""
    return {item.sku: (item.quantity, item.cancelled_quantity) for item in order.lines}


async def saved(running: Running, order: dict[str, Any]) -> IncomingOrder:
    """Save it on the platform, and read it from there."""
    shop.save(running.world, order, LATER)
    return await Shopify(running.settings.shopify, running.client, timeout=5.0).order(order["id"])


# reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "current", "cancelled"),
    [(3, 3, 0), (3, 2, 1), (3, 0, 3), (3, None, 0), (3, 5, 0), (3, -2, 3), (-1, -1, 0), (-1, -5, 0), (0, 0, 0)],
)
def test_cancelled_quantity_is_what_a_line_lost_and_never_more_than_it_had(
    quantity: int, current: int | None, cancelled: int
) -> None:
    payload = node(place())
    payload["lineItems"]["nodes"][0] |= {"quantity": quantity, "currentQuantity": current}
    first = read_order(payload, "s").lines[0]
    assert (first.quantity, first.cancelled_quantity) == (quantity, cancelled)


def test_order_that_nobody_touched_has_nothing_cancelled_and_nothing_refunded() -> None:
    order = read_order(node(place()), "s")
    assert (quantities(order), order.refunded_fen) == ({"DOG": (3, 0), "CAT": (1, 0)}, 0)
    assert order.handles["current_quantities"] == {}


async def test_line_that_was_lowered_keeps_what_was_bought_and_says_what_is_gone(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order = place()
        before = await saved(running, order)
        shop.edit_line(order, id_of(order, "DOG"), 1)
        shop.edit_line(order, id_of(order, "CAT"), 0)

        after = await saved(running, order)

        assert quantities(after) == {"DOG": (3, 2), "CAT": (1, 1)}
        assert (after.total_fen, after.paid_fen, after.refunded_fen) == (17000, 17000, 0)
        assert [item.paid_fen for item in after.lines] == [item.paid_fen for item in before.lines]
        assert (after.status, after.updated_at) == (PlatformStatus.TO_SHIP, LATER)
        left = {item["line"]: item["remaining"] for item in after.handles["fulfillment_orders"][0]["lines"]}
        assert left == {id_of(order, "DOG"): 1, id_of(order, "CAT"): 0}


async def test_line_that_was_raised_and_line_that_was_added_wait_for_money(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order = place()
        shop.edit_line(order, id_of(order, "DOG"), 5)
        added = shop.add_line(order, line("BIRD", 2, 1000, discount=500, pet=PET))

        after = await saved(running, order)

        assert quantities(after) == {"DOG": (5, 0), "CAT": (1, 0), "BIRD": (2, 0)}
        assert (after.total_fen, after.paid_fen) == (17000 + 10000 + 1500, 17000)
        assert (after.lines[2].channel_line_id, after.lines[2].paid_fen, after.lines[2].attributes) == (
            added,
            1500,
            PET,
        )
        # paid once, but not what it has become
        assert (after.status, after.paid_at) == (PlatformStatus.AWAITING_PAYMENT, NOON)
        assert sum(item.paid_fen for item in after.lines) == after.total_fen


async def test_order_that_grew_is_to_ship_when_the_rest_is_paid(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order = place()
        added = shop.add_line(order, line("BIRD", 2, 1000))
        shop.pay(order, LATER)

        after = await saved(running, order)

        assert (after.status, after.total_fen, after.paid_fen, after.paid_at) == (
            PlatformStatus.TO_SHIP,
            19000,
            19000,
            NOON,
        )
        assert [payment["fen"] for payment in after.handles["payments"]] == [17000, 2000]
        parcel = Parcel("SF1", "sf_express", "", ((added, 2), (id_of(order, "DOG"), 3)))
        shopify = Shopify(running.settings.shopify, running.client, timeout=5.0)
        await shopify.tell_shipped(shopify.shipping_notice(order["id"], after.handles, parcel))
        assert (await shopify.order(order["id"])).status == PlatformStatus.PART_SHIPPED


async def test_line_added_to_a_shipped_order_is_still_to_ship(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order = place()
        items = order["fulfillmentOrders"][0]["lineItems"]
        shop.ship(order, {item["id"]: item["remainingQuantity"] for item in items}, {"number": "SF1"}, NOON)
        added = shop.add_line(order, line("BIRD", 2, 0))

        after = await saved(running, order)

        assert after.status == PlatformStatus.PART_SHIPPED
        [_, part] = after.handles["fulfillment_orders"]
        assert [(item["line"], item["remaining"]) for item in part["lines"]] == [(added, 2)]
        with pytest.raises(ValueError, match="not shipped"):
            shop.edit_line(order, id_of(order, "DOG"), 2)


async def test_part_that_was_paid_back_there_is_told_in_fen_and_lines(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order = place()
        shop.refund_part(order, 5000, [(id_of(order, "DOG"), 1)])
        shop.refund_part(order, 300, [])

        after = await saved(running, order)

        assert quantities(after) == {"DOG": (3, 1), "CAT": (1, 0)}
        assert (after.refunded_fen, after.paid_fen, after.status) == (5300, 17000, PlatformStatus.TO_SHIP)

        shop.refund_part(order, 11700, [(id_of(order, "DOG"), 2), (id_of(order, "CAT"), 1)])
        after = await saved(running, order)
        assert quantities(after) == {"DOG": (3, 3), "CAT": (1, 1)}
        assert (after.refunded_fen, after.status) == (17000, PlatformStatus.REFUNDED)


async def test_changed_address_is_read_with_a_later_moment(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order = place()
        before = await saved(running, order)
        shop.change_address(order, {"name": "李四", "address1": "滨湖新区紫云路8号"})
        shop.save(running.world, order, LATER + timedelta(seconds=1))

        after = await Shopify(running.settings.shopify, running.client, timeout=5.0).order(order["id"])

        assert before.receiver is not None and after.receiver is not None
        assert (after.receiver.name, after.receiver.detail) == ("李四", "紫云路8号")
        assert (after.receiver.phone, after.receiver.city) == (before.receiver.phone, before.receiver.city)
        assert after.updated_at > before.updated_at


# telling ----------------------------------------------------------------------------------------------------


async def test_goods_that_an_edit_took_away_are_not_shipped(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order = place()
        shop.edit_line(order, id_of(order, "DOG"), 1)
        after = await saved(running, order)
        shopify = Shopify(running.settings.shopify, running.client, timeout=5.0)
        too_much = Parcel("SF1", "sf_express", "", ((id_of(order, "DOG"), 2),))

        with pytest.raises(Refused, match="nothing_left"):
            shopify.shipping_notice(order["id"], after.handles, too_much)


async def test_money_of_goods_that_an_edit_took_away_can_be_paid_back(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order = place()
        dog, cat = id_of(order, "DOG"), id_of(order, "CAT")
        shop.edit_line(order, dog, 1)
        after = await saved(running, order)
        money = ShopifyMoney(Shopify(running.settings.shopify, running.client, timeout=5.0))
        wish = RefundWish(
            "R-1", Trade(order["id"]), 17000, 17000, "CNY", "客户不要了", ((dog, 3), (cat, 1)), after.handles
        )

        request = money.refund_request(wish)
        answer = await money.refund(request)

        lines = json.loads(request)["variables"]["input"]["refundLineItems"]
        assert [(item["lineItemId"], item["quantity"]) for item in lines] == [(dog, 1), (cat, 1)]
        assert (answer.state, answer.refunded_fen) == (RefundState.PAID, 17000)
