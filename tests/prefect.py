"""A real Prefect server for tests, and ways to run a deployment's flow in the test's own process.

The server is started as the stack starts it (same settings, same command line), on a database of its own
and a free port, once per test run: take the fixture `prefect_server`.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    PREFECT_WORKER_PREFETCH_SECONDS,
    PREFECT_WORKER_QUERY_SECONDS,
    temporary_settings,
)

from deployments.catalogue import Deployment, Pool
from deployments.deploy import deploy, load_flow
from deployments.in_process_worker import InProcessRun, InProcessWorker
from deployments.prefect_server import (
    PrefectServer,
    client_environment,
    new_auth_string,
    new_encryption_key,
    server_command,
    server_environment,
    wait_until_healthy,
)
from tests.database import TemporaryServer, fresh_database

START_SECONDS = 60.0
POLL_SECONDS = 0.2
DESK = Pool("desk", "orderloom", 2, "tests")


class RunningServer:
    """A Prefect server process that belongs to the test, and may be killed and started again by it."""

    def __init__(self, settings: PrefectServer) -> None:
        self.settings = settings
        self.log = settings.state_dir / "prefect-server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                server_command(self.settings),
                env=server_environment(self.settings),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        process = self._process
        wait_until_healthy(self.settings.api_url, START_SECONDS, alive=lambda: process.poll() is None)

    def stop(self) -> None:
        """Stop the process, by its own pid."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """The server's process id; 0 while it is not running."""
        return self._process.pid if self._process else 0

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that talks to this server."""
        return client_environment(self.settings)

    def http(self) -> httpx.Client:
        """A plain HTTP client of the API with the right password, for what a browser would do."""
        user, _, password = self.settings.auth_string.partition(":")
        return httpx.Client(base_url=f"{self.settings.api_url}/", auth=(user, password), trust_env=False)


def free_port() -> int:
    """A TCP port of 127.0.0.1 nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def new_server(postgres: TemporaryServer, directory: Path) -> Iterator[RunningServer]:
    """A started server with a new database and its files below `directory`; both are gone afterwards."""
    with fresh_database(postgres, migrated=False) as url:
        settings = PrefectServer(
            port=free_port(),
            database_url=url.replace("+psycopg2", "+asyncpg"),
            state_dir=directory,
            auth_string=new_auth_string(),
            encryption_key=new_encryption_key(),
        )
        server = RunningServer(settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def talking_to(server: RunningServer) -> Iterator[None]:
    """Everything of Prefect in this process talks to `server` while the block runs."""
    with temporary_settings(
        {
            PREFECT_API_URL: server.settings.api_url,
            PREFECT_API_AUTH_STRING: server.settings.auth_string,
            PREFECT_HOME: str(server.settings.home),
            PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
            PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
            PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
            PREFECT_LOGGING_TO_API_ENABLED: False,
            PREFECT_WORKER_QUERY_SECONDS: POLL_SECONDS,
            PREFECT_WORKER_PREFETCH_SECONDS: 0,
        }
    ):
        yield


@pytest.fixture(scope="session")
def _prefect_server_process(
    database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    with new_server(database_server, tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture
def prefect_server(_prefect_server_process: RunningServer) -> Iterator[RunningServer]:
    """The test run's Prefect server, with this test's Prefect calls going to it."""
    with talking_to(_prefect_server_process):
        yield _prefect_server_process


@asynccontextmanager
async def served(pool: Pool = DESK) -> AsyncIterator[InProcessWorker]:
    """A worker of `pool` (type `orderloom`) running in this process, polling five times a second."""
    worker = InProcessWorker(work_pool_name=pool.name, name=f"{pool.name}@test")
    worker.grace_seconds = 1.0
    working = asyncio.create_task(worker.start(printer=lambda *_: None))
    try:
        yield worker
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def create_run(entry: Deployment, **named: Any) -> FlowRun:
    """A run of a deployed entry, as the UI's Run button would make it; `named` goes to Prefect's client."""
    async with get_client() as client:
        found = await client.read_deployment_by_name(f"{load_flow(entry).name}/{entry.name}")
        return await client.create_flow_run_from_deployment(found.id, **named)


async def run_here(entry: Deployment, run: FlowRun | None = None, **named: Any) -> FlowRun:
    """Run a deployed entry in this process without a worker, until it ends or suspends; the run afterwards.

    `run` continues an existing run (one that was resumed), otherwise a new one is made from `named`.
    """
    run = run or await create_run(entry, **named)
    running = InProcessRun(load_flow(entry), run)
    await running.run()
    if running.problem:
        raise running.problem
    return await read_run(run.id)


async def deploy_for_test(entries: Sequence[Deployment], pools: Sequence[Pool] = (DESK,)) -> None:
    """Deploy these entries and nothing else."""
    await deploy(pools, entries, [])


async def read_run(run_id: UUID) -> FlowRun:
    """The run as the server has it."""
    async with get_client() as client:
        return await client.read_flow_run(run_id)


async def run_when(run_id: UUID, condition: Callable[[FlowRun], bool], timeout: float = 20.0) -> FlowRun:
    """Wait until the server's copy of a run fulfils `condition`; the run. Fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    async with get_client() as client:
        while True:
            found = await client.read_flow_run(run_id)
            if condition(found):
                return found
            if time.monotonic() > deadline:
                pytest.fail(f"after {timeout} s the run is still {found.state!r}")
            await asyncio.sleep(0.05)


def ended(run: FlowRun) -> bool:
    """Whether a run has reached a final state."""
    return run.state is not None and run.state.is_final()
