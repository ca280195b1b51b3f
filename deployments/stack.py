"""The whole stack on one machine: database, Prefect server, workers, lane, portal, and for a demo the sandbox.

`Stack` holds the lock of its state directory, clears away what a killed supervisor left, makes the secrets, chooses
the ports, and hands the services to a `Supervisor`. They start as soon as what they need is there: the Prefect
server takes longest, so migrations, sandbox, portal and the imports of the deploy go on beside it.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import psutil

from deployments.addresses import (
    PREFECT_DATABASE,
    asyncpg_url,
    demand_ports,
    ensure_database,
    ensure_prefect_database,
    lane_lives,
    next_free_ports,
)
from deployments.kept_secrets import KeptSecrets, kept_secrets
from deployments.postgres import EmbeddedPostgres, make_state_dir
from deployments.prefect_server import PrefectServer, client_environment, server_command, server_environment
from deployments.services import Database, Program, descendants, end_processes, listens
from deployments.shadow_place import SUFFIX
from deployments.stack_record import ChildRecord, StackRecord, alone
from deployments.supervisor import Service, Supervisor, Watched
from models.settings import Settings

Mode = Literal["up", "demo"]
#: The platforms' memory of a demo; a state directory that has it is a demo's, and is started with the sandbox.
SANDBOX_MEMORY = "sandbox.sqlite"
#: Sandbox seconds per second: a batch takes 20 of them.
SANDBOX_SPEED = 2.0
#: Seconds that a stopping lane may finish what it holds, and workers their runs.
LANE_PATIENCE, WORKERS_PATIENCE = 20.0, 12.0
#: First those who work, then those whom they talk to, last the database.
STOP_ORDER = (
    ("lane", "workers", "deploy"),
    ("portal", "sandbox", "prefect-server", "migrate"),
    ("postgres",),
)


def is_demo(state_dir: Path) -> bool:
    """Whether the orders here are the sandbox's."""
    return (state_dir / SANDBOX_MEMORY).exists()


@dataclass
class Stack:
    """One stack. Use as a context manager: entering takes the lock and prepares, leaving stops everything.

    `move_ports`: take the next free port where one is taken, instead of raising `PortsTaken`.
    """

    state_dir: Path
    config: Settings
    mode: Mode
    move_ports: bool = False
    ports: dict[str, int] = field(init=False)
    secrets: KeptSecrets = field(init=False)
    supervisor: Supervisor = field(init=False)

    def __enter__(self) -> Stack:
        self._closing = ExitStack()
        make_state_dir(self.state_dir)
        self._closing.enter_context(alone(self.state_dir))
        try:
            clear_remains(self.state_dir)
            self.secrets = kept_secrets(self.state_dir)
            self._choose_ports()
            self._prepare_database()
            self.supervisor = Supervisor(self._services(), STOP_ORDER, self._remember)
            self._record.save(self.state_dir)
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.supervisor.stop()
        finally:
            self._closing.close()

    @property
    def sandbox(self) -> bool:
        """Whether the platforms are the sandbox's."""
        return self.mode == "demo" or is_demo(self.state_dir)

    @property
    def database_url(self) -> str:
        """The order book's address (psycopg2); with the built-in database known once that has started."""
        named = self.config.database_url
        return named.get_secret_value() if named else self._postgres.url()

    @property
    def prefect(self) -> PrefectServer:
        """The Prefect server of this stack."""
        named = self.config.database_url
        url = asyncpg_url(named.get_secret_value(), self._prefect_database) if named else self._postgres.async_url()
        auth, key = self.secrets.prefect_auth, self.secrets.prefect_encryption_key
        return PrefectServer(self.ports["prefect"], url, self.state_dir, auth, key)

    @property
    def _prefect_database(self) -> str:
        """Prefect's database on somebody's own server; a shadow has one of its own, as it has its own book."""
        return f"{PREFECT_DATABASE}{SUFFIX}" if self.config.shadow else PREFECT_DATABASE

    @property
    def prefect_url(self) -> str:
        """The address of the Prefect UI."""
        return f"http://127.0.0.1:{self.ports['prefect']}"

    @property
    def portal_url(self) -> str:
        """Where customers and platforms reach the portal; the sandbox's platforms always at its own port."""
        local = f"http://127.0.0.1:{self.ports['portal']}"
        return local if self.sandbox else self.config.public_url or local

    def settings_environment(self) -> dict[str, str]:
        """What makes `models.settings.Settings` in a child (or here) those of this stack."""
        privacy_key = self.config.privacy_key.get_secret_value() or self.secrets.privacy_key
        named: dict[str, Any] = {
            "state_dir": str(self.state_dir),
            "database_url": self.database_url,
            "privacy_key": privacy_key,
            "language": self.config.language,
            "shadow": self.config.shadow,
            "public_url": self.portal_url,
            "ports": self.ports,
        }
        if self.sandbox:
            from integrations.sandbox.credentials import settings_for_sandbox

            named |= settings_for_sandbox(self.ports["sandbox"], self.portal_url)
        return dict(_flat("ORDERLOOM", named))

    def _choose_ports(self) -> None:
        wanted = self.config.ports.model_dump()
        if not self.sandbox:
            del wanted["sandbox"]
        if self.config.database_url or EmbeddedPostgres(self.state_dir).pid is not None:
            del wanted["postgres"]  # not ours to choose: somebody's own server, or one that runs already
        self.ports = next_free_ports(wanted) if self.move_ports else demand_ports(wanted)
        self._record = StackRecord(self.mode, os.getpid(), psutil.Process().create_time(), dict(self.ports))

    def _prepare_database(self) -> None:
        if self.config.database_url:
            url = self.config.database_url.get_secret_value()
            if self.config.shadow:
                ensure_database(url)
            ensure_prefect_database(url, self._prefect_database)
        self._postgres = EmbeddedPostgres(self.state_dir, self.ports.get("postgres"))

    def _services(self) -> list[Service]:
        own = self.config.database_url is not None
        after_database = () if own else ("postgres",)
        services: list[Service] = [] if own else [Database(self._postgres)]
        services += [
            self._program("migrate", "deployments.chores", "migrate", needs=after_database, once=True),
            Program(
                "prefect-server",
                server_command(PrefectServer(self.ports["prefect"], "", self.state_dir, "", "")),
                lambda: server_environment(self.prefect, self._plain_environment()),
                self._log("prefect-server"),
                needs=after_database,
                is_ready=lambda: answers(f"http://127.0.0.1:{self.ports['prefect']}/api/ready"),
            ),
            self._program("deploy", "deployments.chores", "deploy", needs=after_database, once=True),
        ]
        if self.sandbox:
            memory = str(self.state_dir / SANDBOX_MEMORY)
            options = ["--port", str(self.ports["sandbox"]), "--state", memory, "--speed", str(SANDBOX_SPEED)]
            ready = self._port_answers("sandbox")
            portal = ["--portal-url", self.portal_url]
            services.append(self._program("sandbox", "integrations.sandbox", *options, *portal, is_ready=ready))
        lane = self._program("lane", "deployments.lane", needs=("migrate",), patience=LANE_PATIENCE)
        lane.is_ready = lambda: all(lane_lives(self.database_url, pid) for pid in lane.pids())
        return [
            *services,
            self._program("portal", "integrations.portal", needs=("migrate",), is_ready=self._port_answers("portal")),
            self._program(
                "workers",
                *("deployments.workers", "--grace", "8"),
                needs=("migrate",),
                patience=WORKERS_PATIENCE,
            ),
            lane,
        ]

    def _program(self, name: str, module: str, *arguments: str, **options: Any) -> Program:
        command = [sys.executable, "-m", module, *arguments]
        return Program(name, command, self._client_environment, self._log(name), **options)

    def _port_answers(self, name: str) -> Callable[[], bool]:
        return lambda: listens(self.ports[name])

    def _log(self, name: str) -> Path:
        return self.state_dir / "logs" / f"{name}.log"

    def _client_environment(self) -> dict[str, str]:
        # the sandbox starts before there is a database to name
        if self.config.database_url is None and self._postgres.status().port is None:
            return self._plain_environment()
        return client_environment(self.prefect, self._plain_environment()) | self.settings_environment()

    def _plain_environment(self) -> dict[str, str]:
        """Ours, without addresses that the stack knows better, and with no proxy on the way to loopback."""
        inherited = {n: v for n, v in os.environ.items() if n not in ("DATABASE_URL", "ORDERLOOM_DATABASE_URL")}
        named = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
        direct = f"{named},127.0.0.1,localhost" if named else "127.0.0.1,localhost"
        return inherited | {"NO_PROXY": direct, "no_proxy": direct, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}

    def _remember(self, watched: Mapping[str, Watched]) -> None:
        for name, one in watched.items():
            self._record.children[name] = child_record(one, self._record.children.get(name))
        self._record.ready = all(one.was_ready for one in watched.values())
        self._record.save(self.state_dir)


def child_record(one: Watched, before: ChildRecord | None) -> ChildRecord:
    """What is written down of a service now."""
    pids = one.service.pids() if one.running else []
    started = before.started if before and pids and before.pid == pids[0] else None
    if pids and started is None:
        try:
            started = psutil.Process(pids[0]).create_time()
        except psutil.NoSuchProcess:
            pids = []
    if one.ready:
        state = "ready" if pids else "done"
    elif one.running:
        state = "starting"
    else:
        state = "ended" if one.ends else "waiting"
    return ChildRecord(state, pids[0] if pids else None, started, one.starts, one.seconds_to_ready, one.said)


def clear_remains(state_dir: Path, patience: float = 10.0) -> list[str]:
    """End what a killed supervisor left here, by pid and start time, in the order of a stop; their names.

    The database is left running: the next start takes it over, and `down` stops it.
    """
    record = StackRecord.load(state_dir)
    left = record.living_children() if record else {}
    left.pop(Database.name, None)
    for names in STOP_ORDER:
        group = [left[name] for name in names if name in left]
        children = [child for process in group for child in descendants(process.pid)]
        end_processes(group, patience)
        end_processes(children)
    return list(left)


def answers(url: str) -> bool:
    """Whether this address of ours answers 200 within two seconds."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _flat(prefix: str, named: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Nested settings as environment variables: `ORDERLOOM_PORTS__PORTAL`; a mapping of a section as JSON."""
    flat = []
    for name, value in named.items():
        if not isinstance(value, Mapping):
            flat.append((f"{prefix}_{name}".upper(), str(value)))
            continue
        for key, inner in value.items():
            text = json.dumps(inner, ensure_ascii=False) if isinstance(inner, Mapping) else str(inner)
            flat.append((f"{prefix}_{name}__{key}".upper(), text))
    return flat
