"""A real PostgreSQL for tests, benchmarks and chaos runs: one server, one migrated template, copies in a moment.

with temporary_server() as server, fresh_database(server) as url:
    ...
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from psycopg2 import sql

from deployments.postgres import APPLICATION_ROLE, EmbeddedPostgres

TEMPLATE = "orderloom_template"
PREFIX = "orderloom-test-"
NOT_DURABLE = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",  # it would hold a template open just when it is copied
    "max_connections": "200",
}


@dataclass
class TemporaryServer:
    """A server that is gone when its context ends, and the databases copied from its template."""

    postgres: EmbeddedPostgres
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    migrated: bool = False


@contextmanager
def temporary_server(fsync: bool = False, options: Mapping[str, str] | None = None) -> Iterator[TemporaryServer]:
    """A server in a temporary directory on a free port. `fsync` False: as fast as it goes, nothing survives.

    Benchmarks that measure what a commit costs need `fsync=True`, which keeps every setting of production.
    """
    _remove_what_killed_runs_left()
    # not made by mkdtemp: the server makes it itself, passable for its own account when we are root
    place = Path(tempfile.gettempdir()) if fsync else _fastest_place()
    state_dir = place / f"{PREFIX}{os.getpid()}-{os.urandom(3).hex()}"
    settings = {**({} if fsync else NOT_DURABLE), **(options or {})}
    postgres = EmbeddedPostgres(state_dir, options=settings)
    try:
        postgres.start()
        yield TemporaryServer(postgres)
    finally:
        remove_server(postgres)


@contextmanager
def fresh_database(server: TemporaryServer, migrated: bool = True) -> Iterator[str]:
    """The URL of a new database, owned by the application role: migrated to head, or empty. Dropped afterwards."""
    if migrated and not server.migrated:
        _migrate_template(server)
    name = f"test_{next(server.numbers)}"
    _create(server, name, TEMPLATE if migrated else "template1")
    try:
        yield server.postgres.url(name)
    finally:
        _run(server, "DROP DATABASE {} WITH (FORCE)", name)


def remove_server(postgres: EmbeddedPostgres) -> None:
    """Stop the server and remove everything it had."""
    postgres.stop()
    if postgres.state_dir.exists():
        outside = [postgres.home, postgres.socket_dir] if postgres.status().port else []
        for directory in (*outside, postgres.state_dir):
            shutil.rmtree(directory, ignore_errors=True)


def _migrate_template(server: TemporaryServer) -> None:
    from models.database import migrate

    _run(server, "DROP DATABASE IF EXISTS {}", TEMPLATE)  # of a migration that failed half way
    _create(server, TEMPLATE, "template1")
    migrate(server.postgres.url(TEMPLATE))
    server.migrated = True


def _create(server: TemporaryServer, name: str, template: str) -> None:
    create = "CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY"
    _run(server, create, name, APPLICATION_ROLE, template)


def _run(server: TemporaryServer, statement: str, *names: str) -> None:
    with closing(server.postgres.admin_connection()) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _fastest_place() -> Path:
    """Memory where there is enough: a copy of the template is 600 new files, 20 ms there and 350 ms on a disk."""
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and os.access(memory, os.W_OK | os.X_OK):
        facts = os.statvfs(memory)
        # as root the server's binaries may have to be copied there, and must be allowed to run
        runs = os.geteuid() != 0 or not facts.f_flag & os.ST_NOEXEC
        if runs and facts.f_bavail * facts.f_frsize > 2 * 1024**3 and psutil.virtual_memory().available > 4 * 1024**3:
            return memory
    return Path(tempfile.gettempdir())


def _remove_what_killed_runs_left() -> None:
    for place in {Path(tempfile.gettempdir()), _fastest_place()}:
        for state_dir in place.glob(f"{PREFIX}*"):
            run = state_dir.name.removeprefix(PREFIX).split("-")[0]
            with suppress(FileNotFoundError):  # another run is removing it too
                if run.isdigit() and not psutil.pid_exists(int(run)) and state_dir.stat().st_uid == os.geteuid():
                    remove_server(EmbeddedPostgres(state_dir))
