"""A small server on loopback that platforms push to: it keeps what came, and answers as a test wants."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True)
class Received:
    """One POST."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Where to push to, what came so far, and how it is answered (a status, or seconds of silence before a 200)."""

    uri: str
    answer: Callable[[Received], int | float] = field(default=lambda received: 200)
    received: list[Received] = field(default_factory=list)

    async def wait_for(self, count: int, seconds: float = 10.0) -> list[Received]:
        """What came, as soon as it is so many. Raises `TimeoutError` when they do not come."""
        async with asyncio.timeout(seconds):
            while len(self.received) < count:  # noqa: ASYNC110 the server fills the list
                await asyncio.sleep(0.02)
        return list(self.received)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that listens; stopped on leaving."""
    listening = socket.create_server(("127.0.0.1", 0))
    found = Receiver(f"http://127.0.0.1:{listening.getsockname()[1]}/push")

    async def push(request: Request) -> Response:
        received = Received(dict(request.headers), await request.body())
        found.received.append(received)
        answer = found.answer(received)
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = 200
        return Response(status_code=answer)

    app = Starlette(routes=[Route("/push", push, methods=["POST"])])
    config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield found
    finally:
        server.should_exit = True
        await serving
