"""What a benchmark runs on: every part of the stack as a process of its own, so that each one's CPU can be told.

PostgreSQL with every setting of production (fsync on), the Prefect server, the sandbox platforms, the portal; all on
free loopback ports and in a temporary directory, all ended with the block.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from sqlalchemy import text

from flows.ingest_orders import ingest_orders
from integrations.sandbox.credentials import settings_for_sandbox
from integrations.sandbox.opening import open_book
from integrations.sandbox.replay import replay
from integrations.sandbox.world import World
from models.database import engine_for, transact, utcnow
from models.privacy import new_key
from tests.benchmarks.report import say
from tests.database import TemporaryServer, fresh_database, temporary_server
from tests.house import living_in
from tests.prefect import RunningServer, free_port, new_server, talking_to

#: Sandbox seconds per real second: production and delivery take no time of their own in a throughput figure.
SPEED = 1000.0


@dataclass
class Stage:
    """The running parts. `environment` makes another process part of it. Without `prefect` nothing is a flow run."""

    database: TemporaryServer
    prefect: RunningServer | None
    world: World
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *module: str, extra: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start `python -m module` as a part called `name`; its output goes to a log in the state directory.

        In a session of its own, as the supervisor starts it: Linux shares the cores out between sessions first.
        """
        log = open(Path(self.environment["ORDERLOOM_STATE_DIR"]) / f"{name}.log", "ab")  # noqa: SIM115
        command = [sys.executable, "-m", *module]
        with log:
            self.processes[name] = subprocess.Popen(
                command,
                env={**os.environ, **self.environment, **(extra or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.processes[name]

    def stop(self, name: str) -> None:
        """End a part that was started here."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def place(self, count: int, seconds: float = 0.0) -> None:
        """Have `count` paid orders placed on the three channels over so many real seconds, and wait for the last."""
        before = self._placed()
        replay(self.world, count, seconds * SPEED)
        deadline = time.monotonic() + seconds + 60
        while self._placed() < before + count and time.monotonic() < deadline:
            time.sleep(0.1)

    def _placed(self) -> int:
        return sum(self.world.size(f"{channel}.order") for channel in ("shopify", "wechat_shop", "douyin"))

    def pull(self) -> None:
        """Pull every channel into the order book, in this process."""
        asyncio.run(ingest_orders(return_state=True))

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far, by part, children included."""
        parts = {name: process.pid for name, process in self.processes.items()}
        parts["postgres"] = self.database.postgres.pid or 0
        if self.prefect is not None:
            parts["prefect server"] = self.prefect.pid
        return {name: _cpu(pid) for name, pid in parts.items()}

    def last_order(self) -> int:
        """The id of the newest order."""
        return int(transact(lambda s: s.connection().execute(text("SELECT coalesce(max(id), 0) FROM orders")).scalar()))


def _cpu(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            own = process.cpu_times()
        children = [child.cpu_times() for child in process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    reaped = own.children_user + own.children_system
    return own.user + own.system + reaped + sum(c.user + c.system for c in children)


@contextmanager
def stage(overrides: Mapping[str, object] | None = None) -> Iterator[Stage]:
    """The stack without its lane and workers, furnished. `overrides` are settings by section."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orderloom-bench-")))
        directory.chmod(0o755)
        say("starting PostgreSQL and the Prefect server")
        database = stack.enter_context(temporary_server(fsync=True))
        url = stack.enter_context(fresh_database(database))
        prefect = stack.enter_context(new_server(database, directory / "prefect"))
        stack.enter_context(talking_to(prefect))
        here = stack.enter_context(platforms_and_portal(database, url, directory, overrides, prefect))
        say("the stage is set")
        yield here


@contextmanager
def platforms_and_portal(
    database: TemporaryServer,
    url: str,
    directory: Path,
    overrides: Mapping[str, object] | None = None,
    prefect: RunningServer | None = None,
) -> Iterator[Stage]:
    """Sandbox and portal on this database, which is furnished if it is new. `directory` is there, and theirs alone.

    Meanwhile the settings of this process are theirs.
    """
    with ExitStack() as stack:
        sandbox_port, portal_port, staff_port = free_port(), free_port(), free_port()
        portal_url = f"http://127.0.0.1:{portal_port}"
        sections = {
            **settings_for_sandbox(sandbox_port, portal_url),
            "ports": {"portal": portal_port, "staff": staff_port},
            "policy": {"judge_batches": False},  # what the gate costs is measured by `intake`
            **(overrides or {}),
        }
        environment = {
            "ORDERLOOM_DATABASE_URL": url,
            "ORDERLOOM_STATE_DIR": str(directory),
            "ORDERLOOM_PRIVACY_KEY": new_key(),
            **{
                f"ORDERLOOM_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
                for name, value in sections.items()
            },
        }
        stack.enter_context(living_in(environment))
        stack.callback(lambda: engine_for(url).dispose())
        transact(lambda session: open_book(session, utcnow()))
        state = directory / "sandbox.sqlite"
        world = World(state, SPEED)
        stack.callback(world.close)
        here = Stage(database, prefect, world, environment | (_prefect_variables(prefect) if prefect else {}))
        stack.callback(lambda: [here.stop(name) for name in list(here.processes)])
        here.start(
            "sandbox", "integrations.sandbox", "--port", str(sandbox_port), "--state", str(state),
            "--portal-url", portal_url, "--speed", str(SPEED),
        )  # fmt: skip
        here.start("portal", "integrations.portal")
        _wait_for(f"http://127.0.0.1:{sandbox_port}/control/counts", portal_url + "/healthz")
        yield here


def _prefect_variables(server: RunningServer) -> dict[str, str]:
    return {name: value for name, value in server.environment.items() if name.startswith("PREFECT_")}


def _wait_for(*urls: str) -> None:
    for url in urls:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(url, trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
