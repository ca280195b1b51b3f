"""`python -m integrations.sandbox`: all platforms on one loopback port, until stopped or the parent is gone."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import psutil
import uvicorn

from integrations.sandbox.app import make_app
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.shelves import open_shelves
from integrations.sandbox.world import World


async def serve(port: int, state: Path, portal_url: str, speed: float, parent: psutil.Process | None) -> None:
    """Serve on 127.0.0.1 until told to stop; everything the platforms know is in the file `state`."""
    state.parent.mkdir(parents=True, exist_ok=True)
    world = World(state, speed)
    open_shelves(world)
    app = make_app(world, Credentials(), portal_url)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="critical", access_log=False, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not serving.done():
        if parent is not None and not parent.is_running():
            server.should_exit = True
        await asyncio.wait([serving], timeout=1.0)
    world.close()
    await serving


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m integrations.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--state", type=Path, required=True, help="SQLite file that the platforms remember in")
    parser.add_argument("--portal-url", default="http://127.0.0.1:8080", help="where callbacks are posted to")
    parser.add_argument("--speed", type=float, default=1.0, help="sandbox seconds per real second")
    parser.add_argument("--parent-pid", type=int, help="stop when this process is gone")
    options = parser.parse_args()
    parent = psutil.Process(options.parent_pid) if options.parent_pid else None
    asyncio.run(serve(options.port, options.state, options.portal_url, options.speed, parent))


if __name__ == "__main__":
    main()
