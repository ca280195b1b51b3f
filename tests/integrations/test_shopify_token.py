"""Access to a Shopify shop: a static token, or tokens by the client-credentials grant that end and are renewed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from integrations.channels.shopify import Shopify
from integrations.errors import Refused
from integrations.sandbox import shopify as played
from integrations.sandbox import shopify_orders as shop
from tests.integrations.sandbox_server import NOON, Running, basket, sandbox

#: Settings of an app that has no static token.
BY_GRANT = {"access_token": SecretStr("")}


def place(running: Running, count: int) -> list[str]:
    placed = []
    for number in range(count):
        order = shop.written(basket(), number, NOON, paid=True)
        shop.save(running.world, order, NOON)
        placed.append(order["id"])
    return placed


def channel(running: Running, **changes: Any) -> Shopify:
    return Shopify(running.settings.shopify.model_copy(update=changes), running.client, timeout=5.0)


def granted(running: Running) -> int:
    return running.world.size("shopify.access_token")


async def read(running: Running, shopify: Shopify, *, ends: bool = False) -> list[str]:
    """The ids of a reading; `ends` has the token end behind its first page."""
    seen: list[str] = []
    async for page in shopify.orders_updated(NOON, NOON + timedelta(seconds=1)):
        if ends and not seen:
            running.world.set_fault("shopify", "orders", "token_expired")
        seen += [order.channel_order_id for order in page]
    return seen


async def test_static_token_asks_for_no_other(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 12)
        assert await read(running, channel(running)) == placed
        assert granted(running) == 0


async def test_token_by_grant_is_asked_for_once(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 12)
        shopify = channel(running, **BY_GRANT)
        assert await read(running, shopify) == placed
        await asyncio.gather(*(shopify.order(order_id) for order_id in placed))
        assert granted(running) == 1


async def test_calls_at_the_same_time_share_one_grant_and_one_renewal(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 8)
        shopify = channel(running, **BY_GRANT)
        await asyncio.gather(*(shopify.order(order_id) for order_id in placed))
        assert granted(running) == 1
        running.world.set_fault("shopify", "order", "token_expired")

        found = await asyncio.gather(*(shopify.order(order_id) for order_id in placed))

        assert [order.channel_order_id for order in found] == placed
        assert granted(running) == 2


async def test_token_that_ends_between_pages_is_renewed_once(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 32)
        assert await read(running, channel(running, **BY_GRANT), ends=True) == placed
        assert granted(running) == 2


async def test_token_that_ends_within_a_census_is_renewed_once(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 12)
        running.world.set_fault("shopify", "orderIds", "token_expired")
        census = await channel(running, **BY_GRANT).census(NOON, NOON + timedelta(seconds=1))
        assert (census.count, census.ids) == (12, frozenset(placed))
        assert granted(running) == 2


async def test_static_token_that_was_revoked_gives_way_to_the_grant(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 12)
        assert await read(running, channel(running, access_token=SecretStr("shpat_revoked"))) == placed
        assert granted(running) == 1


async def test_renewal_that_fails_for_a_moment_does_not_end_a_reading(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = place(running, 22)
        shopify = channel(running, **BY_GRANT)
        await shopify.order(placed[0])
        running.world.set_fault("shopify", "access_token", "http_429", detail={"retry_after": 0.1})
        assert await read(running, shopify, ends=True) == placed
        assert granted(running) == 2


async def test_token_is_renewed_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(played, "TOKEN_SECONDS", 299)  # less than is kept in hand
    async with sandbox(tmp_path) as running:
        [order_id] = place(running, 1)
        shopify = channel(running, **BY_GRANT)
        for _ in range(2):
            await shopify.order(order_id)
        assert granted(running) == 2


async def test_wrong_credentials_and_unknown_orders_are_refused(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        wrong_token = channel(running, access_token=SecretStr("shpat_wrong"), client_id="")
        with pytest.raises(Refused, match="401"):
            await wrong_token.order("gid://shopify/Order/1")
        wrong_secret = channel(running, access_token=SecretStr(""), client_secret=SecretStr("wrong"))
        with pytest.raises(Refused, match="invalid_client"):
            await wrong_secret.order("gid://shopify/Order/1")
        with pytest.raises(Refused, match="not_found"):
            await channel(running).order("gid://shopify/Order/1")
        with pytest.raises(Refused, match="not_found"):
            await channel(running).receiver("gid://shopify/Order/1")
