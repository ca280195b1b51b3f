"""What the played shops push, taken by a seller who verifies it."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from integrations.channels import Pushed, douyin_push, wechat_push
from integrations.errors import Forged
from integrations.sandbox import douyin_after_sales, douyin_orders, wechat_after_sales, wechat_shop_orders
from integrations.sandbox.app import make_app
from integrations.sandbox.channel_pushes import MOST_TOGETHER, OFF
from integrations.sandbox.credentials import Credentials, settings_for_sandbox
from integrations.sandbox.world import World
from models.settings import Settings
from tests.integrations.sandbox_server import NOON, basket, line

SHOPS: dict[str, Any] = {"wechat_shop": wechat_shop_orders, "douyin": douyin_orders}
AFTER_SALES: dict[str, Any] = {"wechat_shop": wechat_after_sales, "douyin": douyin_after_sales}


@dataclass
class Seller:
    """Who listens: what was heard in its order, what was not believed, and how many POSTs to refuse first."""

    world: World
    heard: list[Pushed] = field(default_factory=list)
    forged: int = 0
    posts: int = 0
    refusing: int = 0

    def topics(self) -> list[str]:
        return [one.topic.removeprefix("channels_ec_") for one in self.heard]

    async def hears(self, count: int) -> list[Pushed]:
        """Wait until so many were heard."""
        await until(lambda: len(self.heard) >= count)
        return self.heard

    async def journal(self, deliveries: int) -> dict[str, Any]:
        """What the journal counts once it counts so many deliveries of the only operation in it."""
        await until(lambda: sum(row["deliveries"] for row in self.world.counts()) >= deliveries)
        [counted] = self.world.counts()
        return counted


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it, eight seconds at most."""
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about")


@asynccontextmanager
async def listening(path: Path, speed: float = 1.0) -> AsyncIterator[Seller]:
    """A world whose jobs are done, and a seller on a free port whom its shops push to."""
    world = World(path / "sandbox.sqlite", speed)
    seller = Seller(world)
    known = Settings(**settings_for_sandbox(9, "http://127.0.0.1:9"))

    async def take(request: Request) -> Response:
        body = await request.body()
        seller.posts += 1
        is_douyin = request.url.path.endswith("douyin")
        try:
            if is_douyin:
                pushed = douyin_push.read_push(known.douyin, request.headers, body)
            else:
                pushed = wechat_push.read_push(known.wechat_shop, request.query_params, body)
        except Forged:
            seller.forged += 1
            return PlainTextResponse("no", 401)
        if seller.refusing:
            seller.refusing -= 1
            return JSONResponse({"code": 1}) if is_douyin else PlainTextResponse("busy")
        seller.heard += pushed
        return JSONResponse({"code": 0, "msg": "success"}) if is_douyin else PlainTextResponse("success")

    routes = [Route(f"/webhooks/{name}", take, methods=["POST"]) for name in ("douyin", "wechat-shop")]
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Starlette(routes=routes), log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    app = make_app(world, Credentials(), f"http://127.0.0.1:{listener.getsockname()[1]}")
    try:
        async with app.router.lifespan_context(app):
            yield seller
    finally:
        server.should_exit = True
        await serving
        world.close()


def place(world: World, name: str, number: int = 0, *, paid: bool = False) -> dict[str, Any]:
    order: dict[str, Any] = SHOPS[name].written(basket(line(), line("CAT-2", 2)), number, NOON, paid=paid)
    SHOPS[name].save(world, order, NOON)
    return order


async def test_wechat_tells_each_step_of_an_order_encrypted_and_signed(tmp_path: Path) -> None:
    async with listening(tmp_path) as seller:
        order = place(seller.world, "wechat_shop")
        wechat_shop_orders.pay(order, NOON)
        wechat_shop_orders.save(seller.world, order, NOON)
        wechat_shop_orders.save(seller.world, order, NOON)  # no news
        first = wechat_shop_orders.key_of(order["order_detail"]["product_infos"][0])
        wechat_after_sales.refund_part(seller.world, order["order_id"], first, NOON)
        order = seller.world.get(wechat_shop_orders.ORDER, order["order_id"]) or {}
        wechat_shop_orders.cancel(order, NOON)
        wechat_shop_orders.save(seller.world, order, NOON)

        heard = await seller.hears(4)

        assert sorted(seller.topics()) == ["aftersale_update", "order_cancel", "order_new", "order_pay"]
        assert {one.channel_order_id for one in heard} == {order["order_id"]}
        assert len({one.delivery_id for one in heard}) == 4
        assert (seller.posts, seller.forged) == (4, 0)


async def test_douyin_tells_many_messages_in_one_signed_array(tmp_path: Path) -> None:
    async with listening(tmp_path) as seller:
        order = place(seller.world, "douyin")
        douyin_orders.pay(order, NOON)
        douyin_orders.save(seller.world, order, NOON)
        line_id = order["sku_order_list"][0]["order_id"]
        douyin_after_sales.refund_part(seller.world, order["order_id"], line_id, NOON)
        order = seller.world.get(douyin_orders.ORDER, order["order_id"]) or {}
        douyin_orders.ship(order, douyin_orders.remaining(order), "shunfeng", "SF1", NOON)
        douyin_orders.save(seller.world, order, NOON)
        cancelled = place(seller.world, "douyin", 1, paid=True)
        douyin_orders.cancel(cancelled, NOON)
        douyin_orders.save(seller.world, cancelled, NOON)

        heard = await seller.hears(9)

        assert seller.topics() == ["100", "101", "206", "102", "100", "101", "106", "206", "206"]
        told = Counter(one.channel_order_id for one in heard)
        assert told == {order["order_id"]: 4, cancelled["order_id"]: 5}
        assert len({one.delivery_id for one in heard}) == 9
        assert (seller.posts, seller.forged) == (1, 0)


@pytest.mark.parametrize("name", SHOPS)
async def test_push_that_is_not_taken_comes_again_with_the_same_id(tmp_path: Path, name: str) -> None:
    async with listening(tmp_path, speed=50.0) as seller:
        seller.refusing = 2
        place(seller.world, name, paid=True)

        heard = await seller.hears(2)

        assert len({one.delivery_id for one in heard}) == 2
        assert seller.posts == (4 if name == "wechat_shop" else 3)  # each event once refused; all of them twice
        counted = await seller.journal(4 if name == "wechat_shop" else 6)
        assert (counted["operation"], counted["effects"], counted["keys_twice"]) == ("callback", 2, 0)


@pytest.mark.parametrize("name", SHOPS)
async def test_push_that_nobody_takes_is_given_up_after_four_times(tmp_path: Path, name: str) -> None:
    async with listening(tmp_path, speed=2000.0) as seller:
        seller.refusing = 1000
        place(seller.world, name)

        counted = await seller.journal(4)
        await asyncio.sleep(0.3)

        assert (seller.posts, seller.heard) == (4, [])
        assert (counted["deliveries"], counted["effects"]) == (4, 0)


@pytest.mark.parametrize("name", SHOPS)
async def test_repeated_push_has_the_same_delivery_id(tmp_path: Path, name: str) -> None:
    async with listening(tmp_path) as seller:
        seller.world.set_fault(name, "push", "repeat_push")
        place(seller.world, name)

        first, second = await seller.hears(2)

        assert first == second
        counted = await seller.journal(2)
        assert (counted["deliveries"], counted["effects"], counted["keys_twice"]) == (2, 1, 0)


@pytest.mark.parametrize("name", SHOPS)
async def test_forged_push_comes_beside_the_true_one(tmp_path: Path, name: str) -> None:
    async with listening(tmp_path) as seller:
        seller.world.set_fault(name, "push", "forged_push")
        place(seller.world, name)

        assert len(await seller.hears(1)) == 1
        assert (seller.posts, seller.forged) == (2, 1)


@pytest.mark.parametrize("name", SHOPS)
async def test_late_push_comes_when_it_is_due_and_a_lost_one_never(tmp_path: Path, name: str) -> None:
    async with listening(tmp_path) as seller:
        seller.world.set_fault(name, "push", "late_push", detail={"seconds": 1.0})
        place(seller.world, name)
        await asyncio.sleep(0.7)
        assert seller.posts == 0
        assert len(await seller.hears(1)) == 1

        seller.world.set_fault(name, "push", "lost_push")
        place(seller.world, name, 1)
        await asyncio.sleep(0.7)
        assert seller.posts == 1


@pytest.mark.parametrize("name", SHOPS)
async def test_nothing_is_pushed_while_pushes_are_off(tmp_path: Path, name: str) -> None:
    async with listening(tmp_path) as seller:
        seller.world.put(OFF, "", {"off": True})
        place(seller.world, name)
        await asyncio.sleep(0.5)
        assert seller.posts == 0

        seller.world.put(OFF, "", {"off": False})
        place(seller.world, name, 1)
        assert len(await seller.hears(1)) == 1


def test_shop_that_nobody_serves_leaves_no_jobs(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite", 1_000_000.0)
    for name in SHOPS:
        place(world, name)
    assert world.due() == []
    world.close()


async def test_many_orders_are_told_in_few_jobs(tmp_path: Path) -> None:
    async with listening(tmp_path) as seller:
        with seller.world.transaction():
            for number in range(120):
                place(seller.world, "douyin", number)

        heard = await seller.hears(120)

        assert len({one.delivery_id for one in heard}) == 120
        assert seller.posts == -(-120 // MOST_TOGETHER)


async def test_push_that_was_due_when_the_sandbox_died_is_told_by_the_next(tmp_path: Path) -> None:
    async with listening(tmp_path) as seller:
        seller.world.put("push.served", "douyin", {})
        place(seller.world, "douyin")
    async with listening(tmp_path) as seller:
        assert len(await seller.hears(1)) == 1
