"""Webhooks of the played Shopify shop, from the subscription to the hint that they are read as."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integrations.channels import Pushed
from integrations.channels.shopify import Shopify
from integrations.channels.shopify_push import TOPICS, read_push
from integrations.errors import Refused
from integrations.sandbox import shopify_orders as shop
from integrations.sandbox import shopify_webhooks
from integrations.sandbox.baskets import FLAWS, spoiled
from integrations.sandbox.shopify_webhooks import EVERYTHING_TO, SUBSCRIPTION, WAITS
from tests.integrations.sandbox_server import NOON, PET, Running, basket, line, sandbox
from tests.integrations.webhook_receiver import Received, Receiver, receiver

ADDRESS = "https://hub.example.test/webhooks/shopify"


def channel(running: Running) -> Shopify:
    return Shopify(running.settings.shopify, running.client, timeout=5.0)


def place(running: Running, number: int = 0, *, paid: bool = True) -> dict[str, Any]:
    order = shop.written(basket(line(pet=PET, quantity=2), line("CAT-2")), number, NOON, paid=paid)
    shop.save(running.world, order, NOON)
    return order


def everything_to(running: Running, there: Receiver) -> None:
    running.world.put(EVERYTHING_TO, "", {"uri": there.uri})


def heard(running: Running, received: list[Received]) -> list[Pushed]:
    """Each delivery as the hub reads it."""
    settings = running.settings.shopify
    return [hint for one in received for hint in read_push(settings, one.headers, one.body)]


def webhooks(running: Running) -> dict[str, int]:
    """Deliveries, those that were taken, and ids; no id was taken twice."""
    [row] = [one for one in running.world.counts() if one["operation"] == "webhook"] or [{}]
    assert not row.get("keys_twice")
    return {name: row.get(name, 0) for name in ("deliveries", "effects", "keys")}


async def counted(running: Running, **wanted: int) -> None:
    """The journal says so; it is written when an answer has come back."""
    async with asyncio.timeout(5):
        while webhooks(running) != wanted:  # noqa: ASYNC110 the sandbox writes it
            await asyncio.sleep(0.02)


# subscribing ------------------------------------------------------------------------------------------------


async def test_every_topic_is_subscribed_to_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shopify = channel(running)

        assert await shopify.subscribe(ADDRESS) == list(TOPICS)
        assert await shopify.subscribe(ADDRESS) == []

        assert running.world.size(SUBSCRIPTION) == len(TOPICS) == 6
        assert await shopify.subscribe(ADDRESS + "/other") == list(TOPICS)


async def test_two_that_subscribe_at_once_make_each_subscription_once(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        made = await asyncio.gather(*(channel(running).subscribe(ADDRESS) for _ in range(2)))

        assert Counter(topic for topics in made for topic in topics) == dict.fromkeys(TOPICS, 1)
        assert running.world.size(SUBSCRIPTION) == 6


async def test_missing_subscription_alone_is_made(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shopify = channel(running)
        await shopify.subscribe(ADDRESS)
        [paid] = [one for one in running.world.window(SUBSCRIPTION) if one["topic"] == "ORDERS_PAID"]
        running.world.put(SUBSCRIPTION, paid["id"], paid | {"removed": True})

        assert await shopify.subscribe(ADDRESS) == ["orders/paid"]


async def test_address_that_shopify_does_not_take_is_refused(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with pytest.raises(Refused, match="is not supported"):
            await channel(running).subscribe("http://hub.example.test/webhooks/shopify")
        assert running.world.size(SUBSCRIPTION) == 0


# what is sent -----------------------------------------------------------------------------------------------


async def test_paid_order_is_told_by_two_webhooks_of_one_event(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running, receiver() as there:
        await channel(running).subscribe(there.uri)
        order = place(running)

        hints = heard(running, await there.wait_for(2))

        assert {hint.topic for hint in hints} == {"orders/create", "orders/paid"}
        assert {hint.channel_order_id for hint in hints} == {order["id"]}
        assert len({hint.delivery_id for hint in hints}) == 2
        assert len({hint.event_id for hint in hints}) == 1
        await counted(running, deliveries=2, effects=2, keys=2)


async def test_body_of_an_order_is_the_older_shape(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running, receiver() as there:
        everything_to(running, there)
        order = place(running)

        [first, _] = await there.wait_for(2)
        body = json.loads(first.body)

        assert first.headers["x-shopify-shop-domain"] == "orderloom-sandbox.myshopify.com"
        assert first.headers["x-shopify-api-version"] == "2026-10"
        assert (body["id"], body["admin_graphql_api_id"]) == (820982911946150000, order["id"])
        assert (body["financial_status"], body["fulfillment_status"]) == ("paid", None)
        assert (body["total_price"], body["currency"], body["name"]) == ("269.97", "CNY", "#1001")
        assert {pair["name"]: pair["value"] for pair in body["line_items"][0]["properties"]}["pet_species"] == "dog"
        assert body["line_items"][1]["sku"] == "CAT-2"
        assert body["shipping_address"]["country_code"] == "CN"


async def test_everything_that_happens_to_an_order_is_told_by_its_topic(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running, receiver() as there:
        everything_to(running, there)
        order = place(running, paid=False)
        told: list[tuple[str, ...]] = [("orders/create",)]

        def happens(*topics: str) -> None:
            shop.save(running.world, order, NOON + timedelta(minutes=len(told)))
            told.append(topics)

        shop.pay(order, NOON)
        happens("orders/updated", "orders/paid")
        shop.edit_line(order, order["lineItems"][0]["id"], 1)
        happens("orders/updated", "orders/edited")
        shop.change_address(order, {"address1": "蜀山区新路1号"})
        happens("orders/updated")
        shop.refund_part(order, 100, [])
        happens("orders/updated", "refunds/create")
        shop.cancel(order, NOON)
        happens("orders/updated", "orders/cancelled")

        wanted = Counter(topic for topics in told for topic in topics)
        hints = heard(running, await there.wait_for(wanted.total()))

        assert Counter(hint.topic for hint in hints) == wanted
        assert {hint.channel_order_id for hint in hints} == {order["id"]}
        assert len({hint.event_id for hint in hints}) == len(told) == 6


async def test_orders_with_every_flaw_are_told(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running, receiver() as there:
        everything_to(running, there)
        for number, flaw in enumerate(FLAWS):
            order = shop.written(spoiled(basket(), flaw), number, NOON, paid=False)
            shop.save(running.world, order, NOON)

        hints = heard(running, await there.wait_for(len(FLAWS)))

        assert len({hint.channel_order_id for hint in hints}) == len(FLAWS)


async def test_without_a_subscription_nothing_is_sent(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        place(running)
        assert running.world.due() == []


# when it is not taken ---------------------------------------------------------------------------------------


async def test_webhook_that_is_not_taken_comes_again_with_the_same_id_and_body(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running, receiver() as there:
        running.world.set_speed(100_000)
        everything_to(running, there)
        statuses = iter([500, 302])
        there.answer = lambda received: next(statuses, 200)
        order = place(running, paid=False)
        shop.change_address(order, {"name": "李四"})
        running.world.put(EVERYTHING_TO, "", {"uri": "http://127.0.0.1:9/"})
        shop.save(running.world, order, NOON)

        first, second, third = await there.wait_for(3)

        assert first.body == second.body == third.body
        assert "赵玉珍" in json.loads(third.body)["shipping_address"]["name"]
        names = ("x-shopify-webhook-id", "x-shopify-event-id", "x-shopify-triggered-at", "x-shopify-hmac-sha256")
        assert all(first.headers[name] == third.headers[name] for name in names)


async def test_subscription_whose_webhook_fails_nine_times_is_removed_and_made_again(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running, receiver() as there:
        running.world.set_speed(200_000)
        shopify = channel(running)
        await shopify.subscribe(there.uri)
        there.answer = lambda received: 500
        place(running, paid=False)

        received = await there.wait_for(1 + len(WAITS))
        await counted(running, deliveries=9, effects=0, keys=1)

        assert len({one.headers["x-shopify-webhook-id"] for one in received}) == 1
        assert sum(WAITS) == 4 * 3600
        assert await shopify.subscribe(there.uri) == ["orders/create"]
        assert len(there.received) == 9


async def test_answer_that_takes_too_long_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shopify_webhooks, "ANSWER_SECONDS", 0.1)
    async with sandbox(tmp_path) as running, receiver() as there:
        running.world.set_speed(100_000)
        everything_to(running, there)
        answers = iter([0.5])
        there.answer = lambda received: next(answers, 200)
        place(running, paid=False)

        first, second = await there.wait_for(2)

        assert first.headers["x-shopify-webhook-id"] == second.headers["x-shopify-webhook-id"]
        await counted(running, deliveries=2, effects=1, keys=1)


async def test_repeated_webhook_comes_twice_under_one_id(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running, receiver() as there:
        everything_to(running, there)
        running.world.set_fault("shopify", "webhook", "repeat_webhooks")
        place(running, paid=False)

        hints = heard(running, await there.wait_for(2))

        assert hints[0] == hints[1]
        await counted(running, deliveries=2, effects=1, keys=1)


async def test_shuffled_webhooks_come_late_and_all_of_them_come(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running, receiver() as there:
        everything_to(running, there)
        running.world.set_fault("shopify", "webhook", "shuffle_webhooks", times=12, detail={"seconds": 1.0})
        placed = [place(running, number, paid=False)["id"] for number in range(12)]

        hints = heard(running, await there.wait_for(12))

        assert {hint.channel_order_id for hint in hints} == set(placed)
        await counted(running, deliveries=12, effects=12, keys=12)
