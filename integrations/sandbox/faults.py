"""Faults that every platform can have, played around the act of answering.

`timeout_before`, `timeout_after` (hang `detail.seconds`, default 60, or until the caller gives up; then the
connection breaks), `drop` (act, then break the connection), `http_500`, `http_500_after`, `http_503`, `http_429`
(`detail.retry_after`). Those ending in `_after`, and `drop`, act first: the caller cannot know that it happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from integrations.sandbox.world import Fault


class Broken(Response):
    """An answer that never completes: the server closes the connection after the headers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Promise a body and send none."""
        headers = [(b"content-length", b"2"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


async def play(request: Request, fault: Fault | None, act: Callable[[], Response]) -> Response:
    """Answer with `act()`, with a generic fault around it. Kinds that are not generic just act.

    The request's body must have been read before; `act` holds its own transaction and does not await.
    """
    match fault.kind if fault else None:
        case "timeout_before":
            await _hang(request, fault)
            return Broken()
        case "timeout_after":
            act()
            await _hang(request, fault)
            return Broken()
        case "drop":
            act()
            return Broken()
        case "http_500":
            return PlainTextResponse("internal error", 500)
        case "http_500_after":
            act()
            return PlainTextResponse("internal error", 500)
        case "http_503":
            return PlainTextResponse("unavailable", 503)
        case "http_429":
            seconds = str(fault.detail.get("retry_after", 1)) if fault else "1"
            return PlainTextResponse("too many requests", 429, {"retry-after": seconds})
    return act()


async def _hang(request: Request, fault: Fault | None) -> None:
    """Wait as long as the fault says, or until the caller is gone."""
    seconds = float(fault.detail.get("seconds", 60.0)) if fault else 0.0
    try:
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return
