"""The sandbox and other small servers, served from a thread of the test on a free loopback port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from integrations.sandbox.app import make_app
from integrations.sandbox.credentials import Credentials, settings_for_sandbox
from integrations.sandbox.world import World
from models.settings import Settings


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox. `world` is a connection of the test's own to the platforms' memory."""

    url: str
    port: int
    world: World
    credentials: Credentials
    settings: Settings


def free_socket(port: int = 0) -> socket.socket:
    """A socket bound to a loopback port (0: any free one)."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


@contextmanager
def serving(app: ASGIApp, bound: socket.socket) -> Iterator[str]:
    """Serve an application on this socket while the block runs; its base URL."""
    config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        bound.close()


@contextmanager
def running_sandbox(
    directory: Path,
    *,
    portal_url: str = "http://127.0.0.1:9",
    speed: float = 1.0,
    credentials: Credentials | None = None,
) -> Iterator[Sandbox]:
    """All platforms on a free port, remembering in `directory/sandbox.sqlite`, which a second start reads again.

    The test gets a second connection: one connection must not be shared between two threads' transactions.
    """
    known = credentials or Credentials()
    bound = free_socket()
    port = bound.getsockname()[1]
    path = directory / "sandbox.sqlite"
    served, seen = World(path, speed), World(path, speed)
    settings = Settings(state_dir=directory, **settings_for_sandbox(port, portal_url, known))
    try:
        with serving(make_app(served, known, portal_url), bound) as url:
            yield Sandbox(url, port, seen, known, settings)
    finally:
        seen.close()
        served.close()
