"""How the Prefect server of the stack is started: its settings, its command line, its health.

The server listens on loopback, asks for a generated Basic auth string, answers its own origin only,
and keeps every file of its own under the state directory. The figures beside the settings were measured
on two slow cores with PostgreSQL 18.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography.fernet import Fernet

KEPT_EVENTS = timedelta(days=7)
KEPT_RUNS = timedelta(days=90)


class PrefectServerNotReady(RuntimeError):
    """The Prefect server did not answer in time; the message says where to look."""


@dataclass(frozen=True)
class PrefectServer:
    """Where one Prefect server listens and what it may know.

    `database_url` is an async SQLAlchemy URL (`postgresql+asyncpg://…`, for tests `sqlite+aiosqlite://…`).
    `auth_string` is `user:password`, `encryption_key` a Fernet key: the caller makes both once
    (`new_auth_string`, `new_encryption_key`) and keeps them in a file of mode 0600.
    """

    port: int
    database_url: str
    state_dir: Path
    auth_string: str
    encryption_key: str
    host: str = "127.0.0.1"
    keep_events: timedelta = KEPT_EVENTS
    keep_runs: timedelta = KEPT_RUNS

    @property
    def url(self) -> str:
        """The address a browser opens."""
        return f"http://{self.host}:{self.port}"

    @property
    def api_url(self) -> str:
        """The address clients call."""
        return f"{self.url}/api"

    @property
    def home(self) -> Path:
        """Prefect's own directory: leases, results, the memo of registered blocks."""
        return self.state_dir / "prefect"

    @property
    def origins(self) -> tuple[str, ...]:
        """The only origins the API answers across: its own, under both names of loopback."""
        names = {self.host, "127.0.0.1", "localhost"} if self.host.startswith("127.") else {self.host}
        return tuple(f"http://{name}:{self.port}" for name in sorted(names))


def new_auth_string(user: str = "orderloom") -> str:
    """A fresh `user:password` for the API, 192 bits of chance."""
    return f"{user}:{secrets.token_urlsafe(24)}"


def new_encryption_key() -> str:
    """A fresh key for block secrets; without one Prefect keeps the key beside the data it locks."""
    return Fernet.generate_key().decode()


def _inherited(environment: Mapping[str, str] | None) -> dict[str, str]:
    """The caller's environment without any Prefect setting of its own."""
    source = os.environ if environment is None else environment
    return {name: value for name, value in source.items() if not name.upper().startswith("PREFECT")}


def _common(server: PrefectServer, environment: Mapping[str, str] | None) -> dict[str, str]:
    return _inherited(environment) | {
        "PREFECT_HOME": str(server.home),
        # a profile of the user's home directory must not change where we connect
        "PREFECT_PROFILES_PATH": str(server.home / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_COLORS": "false",
    }


def client_environment(server: PrefectServer, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a process that talks to this server: workers, lanes, the command line.

    `environment` is what to build on (default: this process's own, without its `PREFECT_*`).
    """
    return _common(server, environment) | {
        "PREFECT_API_URL": server.api_url,
        "PREFECT_API_AUTH_STRING": server.auth_string,
        "PREFECT_UI_URL": server.url,
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
        # one call less per client: server and clients come from the same lock file
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        # a wrong address must be an error, never a private server on SQLite
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        # a run is taken when it is due, not held by a worker before
        "PREFECT_WORKER_PREFETCH_SECONDS": "0",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "30",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "180",
    }


def server_environment(server: PrefectServer, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of the server process. Holds secrets: pass it on, never print it."""
    services = {
        # one insert per hundred task runs instead of one each: half the server's CPU per order
        "TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
        "TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "EVENT_PERSISTER_BATCH_SIZE": "200",
        "EVENT_PERSISTER_READ_BATCH_SIZE": "100",
        "TRIGGERS_READ_BATCH_SIZE": "100",
        "DB_VACUUM_ENABLED": "events,flow_runs",
        "DB_VACUUM_RETENTION_PERIOD": str(int(server.keep_runs.total_seconds())),
        # loops that only tidy up: 2.0 % of a core idle instead of 2.5 %
        "PAUSE_EXPIRATIONS_LOOP_SECONDS": "30",
        "LATE_RUNS_LOOP_SECONDS": "15",
        "FOREMAN_LOOP_SECONDS": "30",
        "CANCELLATION_CLEANUP_LOOP_SECONDS": "30",
        "REPOSSESSOR_LOOP_SECONDS": "30",
        "CLEANUP_RECONCILER_LOOP_SECONDS": "60",
        "SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "10",
        # 100 runs ahead per deployment are a table full of runs nobody looks at
        "SCHEDULER_MAX_RUNS": "20",
    }
    return (
        _common(server, environment)
        | {f"PREFECT_SERVER_SERVICES_{name}": value for name, value in services.items()}
        | {
            "PREFECT_API_URL": server.api_url,
            "PREFECT_SERVER_API_HOST": server.host,
            "PREFECT_SERVER_API_PORT": str(server.port),
            "PREFECT_SERVER_API_AUTH_STRING": server.auth_string,
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(server.origins),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": server.database_url,
            "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_APPLICATION_NAME": "prefect",
            "PREFECT_SERVER_ENCRYPTION_KEY": server.encryption_key,
            "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"PT{int(server.keep_events.total_seconds())}S",
            # leases in memory are lost at a restart, and their slots with them
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": ("prefect.server.concurrency.lease_storage.filesystem"),
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_UI_ENABLED": "true",
            "PREFECT_SERVER_UI_API_URL": server.api_url,
            # the server drops what only a second application in the same process would need
            "PREFECT__SERVER_FINAL": "1",
        }
    )


#: Of the server; the lane's is a setting.
NICENESS = 5


def server_command(server: PrefectServer) -> list[str]:
    """The server as one process: uvicorn itself, so that open websockets delay a stop by 5 s at most.

    It gives way to the portal, which platforms wait for, and goes before the lane, which keeps it busy.
    """
    return [
        *("nice", "-n", str(NICENESS)),
        *(sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
        *("--host", server.host, "--port", str(server.port)),
        *("--timeout-keep-alive", "65", "--timeout-graceful-shutdown", "5"),
        *("--log-level", "warning", "--no-access-log"),
    ]


def wait_until_healthy(
    url: str, timeout: float = 120.0, *, poll: float = 0.25, alive: Callable[[], bool] = lambda: True
) -> float:
    """Wait until the API below `url` (`…/api`) answers and has its database; seconds waited.

    `alive` says whether the server's process still runs. Raises `PrefectServerNotReady` when it does not,
    or after `timeout` seconds.
    """
    import httpx  # 11 MB that the supervisor, which asks in its own way, need not carry

    started = time.monotonic()
    last = "no answer yet"
    with httpx.Client(timeout=5.0, trust_env=False) as client:
        while (waited := time.monotonic() - started) < timeout and alive():
            try:
                answer = client.get(f"{url}/ready")
                if answer.status_code == 200:
                    return waited
                last = f"HTTP {answer.status_code}"
            except httpx.TransportError as problem:
                last = type(problem).__name__
            time.sleep(poll)
    raise PrefectServerNotReady(
        f"The Prefect server at {url} is not ready after {waited:.0f} s ({last}). "
        "Look at its log; most often PostgreSQL is not up or the port is taken."
    )
