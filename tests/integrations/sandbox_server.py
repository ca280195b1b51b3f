"""The sandbox on a free loopback port, for as long as a test runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvicorn

from integrations.http import client
from integrations.sandbox.app import make_app
from integrations.sandbox.baskets import Basket, BasketLine
from integrations.sandbox.credentials import Credentials, settings_for_sandbox
from integrations.sandbox.world import World
from models.settings import Settings

#: A moment in the past, in whole seconds.
NOON = datetime(2026, 11, 1, 4, 0, 0, tzinfo=UTC)

PET = {
    "species": "dog",
    "breed": "柯基犬",
    "birth_date": "2022-06-01",
    "weight_kg": "11.5",
    "activity_level": "high",
    "staple_preference": "mixed",
    "allergens": "chicken,egg",
    "neutered": "true",
    "body_condition": "ideal",
    "health_notes": "泪痕较重，少盐",
}


@dataclass(frozen=True)
class Running:
    """A sandbox that listens: its memory, settings that point at it, and a client to call it with."""

    world: World
    settings: Settings
    client: httpx.AsyncClient
    port: int


@asynccontextmanager
async def sandbox(path: Path) -> AsyncIterator[Running]:
    """Serve all platforms from a new world in this directory; stopped on leaving."""
    world = World(path / "sandbox.sqlite")
    # it listens from here on: a call that comes before the server is up waits
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app = make_app(world, Credentials(), "http://127.0.0.1:9")
    config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with client(trust_env=False) as outward:
            settings = Settings(**settings_for_sandbox(port, "http://127.0.0.1:9"))
            yield Running(world, settings, outward, port)
    finally:
        server.should_exit = True
        await serving
        world.close()


def line(
    sku: str = "DOG-DRY-1", quantity: int = 1, price: int = 8999, discount: int = 0, pet: dict[str, str] | None = None
) -> BasketLine:
    """A basket line, money in fen; with the pet's answers when it is made to order."""
    return BasketLine(sku, f"货品 {sku}", quantity, price, discount, pet or {})


def basket(*lines: BasketLine, note: str = "") -> Basket:
    """A sound basket of these lines, or of one plain line."""
    lines = lines or (line(),)
    return Basket(
        buyer="H0002",
        name="赵玉珍",
        phone="16000006978",
        province="安徽省",
        city="合肥市",
        district="蜀山区",
        street="李路184号27栋3单元2001室",
        has_address=True,
        lines=lines,
        total_fen=sum(item.paid_fen for item in lines),
        note=note,
    )
