"""A portal that only listens: it keeps what payment platforms post and answers as it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.sandbox import Sandbox, free_socket, running_sandbox, serving


@dataclass
class ListeningPortal:
    """What was posted to `/webhooks/{name}` (headers, body), and the answer to it."""

    status: int = 200
    text: str = "success"
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def app(self, name: str) -> Starlette:
        """The application that listens."""

        async def webhook(request: Request) -> Response:
            self.taken.append((dict(request.headers), await request.body()))
            return PlainTextResponse(self.text, self.status)

        return Starlette(routes=[Route(f"/webhooks/{name}", webhook, methods=["POST"])])


@contextmanager
def platform_calling(directory: Path, portal: ListeningPortal, name: str, speed: float) -> Iterator[Sandbox]:
    """A sandbox whose callbacks reach this portal under `/webhooks/{name}`."""
    with (
        serving(portal.app(name), free_socket()) as url,
        running_sandbox(directory, portal_url=url, speed=speed) as running,
    ):
        yield running


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Until it is so; a failed assertion when it is not in time."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)
