"""`python -m integrations.portal`: the public and the staff listener in one process, until stopped."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator, Sequence

import psutil
import uvicorn
from starlette.types import ASGIApp

from integrations.portal.public import make_public
from integrations.portal.staff import LOOPBACK, make_staff
from models.settings import settings

#: Requests under way at once on one listener; more are answered 503 at once.
MOST_AT_ONCE = 400


class Listener(uvicorn.Server):
    """One of several servers in a loop: the process takes the signals, not each server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def listener(app: ASGIApp, proxies: Sequence[str]) -> Listener:
    """A server for `app`; `proxies` are addresses whose X-Forwarded-For is believed."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies) or None,
        limit_concurrency=MOST_AT_ONCE,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        ws="none",
    )
    return Listener(config)


def bind(host: str, port: int) -> socket.socket:
    """A socket to listen on. Ends the process with a sentence when the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # with its protocol named, or asyncio does not turn Nagle's algorithm off and every answer takes 40 ms
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        return listening
    except OSError as error:
        raise SystemExit(
            f"{host}:{port} 用不了({error.strerror}):请停掉占用它的程序,或换一个端口(--port、--staff-port)。"
            f" (Cannot listen on {host}:{port}: stop what uses it, or choose another port.)"
        ) from error


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM, SIGINT, or the end of the parent process."""
    parent = psutil.Process(options.parent_pid) if options.parent_pid else None
    # both ports are taken before anything is served: a port in use is said at once
    sockets = [bind(options.host, options.port), bind("127.0.0.1", options.staff_port)]
    servers = [
        listener(make_public(), options.trusted_proxy),
        listener(make_staff([*LOOPBACK, *options.staff_host]), options.trusted_proxy),
    ]

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving = [asyncio.create_task(server.serve(sockets=[own])) for server, own in zip(servers, sockets, strict=True)]
    while not all(task.done() for task in serving):
        if parent is not None and not parent.is_running():
            stop()
        await asyncio.wait(serving, timeout=1.0)
        if any(task.done() for task in serving):
            stop()  # one listener without the other is half a portal
    await asyncio.gather(*serving)


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m integrations.portal", description=__doc__)
    ports = settings().ports
    parser.add_argument("--host", default="127.0.0.1", help="address of the public listener; staff stay on 127.0.0.1")
    parser.add_argument("--port", type=int, default=ports.portal)
    parser.add_argument("--staff-port", type=int, default=ports.staff)
    parser.add_argument("--staff-host", action="append", default=[], help="one more host name of the staff pages")
    parser.add_argument(
        "--trusted-proxy", action="append", default=[], help="a proxy's address, whose X-Forwarded-For is believed"
    )
    parser.add_argument("--parent-pid", type=int, help="stop when this process is gone")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvicorn.Config(make_public).get_loop_factory()) as runner:
        runner.run(serve(options))


if __name__ == "__main__":
    main()
