"""Fixtures of the whole project: a database of one's own per test, real and migrated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy.pool import NullPool
from sqlmodel import Session, create_engine

from tests.database import TemporaryServer, fresh_database, temporary_server

pytest_plugins = ["tests.prefect"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes first, then those with the most tests: no worker is left alone with a long one."""
    tests, slow = Counter(item.path for item in items), {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -tests[item.path]))


@pytest.fixture(scope="session")
def database_server() -> Iterator[TemporaryServer]:
    """One PostgreSQL server for the whole test run."""
    with temporary_server() as server:
        yield server


@pytest.fixture
def database_url(database_server: TemporaryServer) -> Iterator[str]:
    """A migrated database nobody else uses, as `postgresql+psycopg2://…`."""
    with fresh_database(database_server) as url:
        yield url


@pytest.fixture
def empty_database_url(database_server: TemporaryServer) -> Iterator[str]:
    """A database nobody else uses, without a table."""
    with fresh_database(database_server, migrated=False) as url:
        yield url


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    """A session on `database_url`; what the test wants to keep, it commits."""
    engine = create_engine(database_url, poolclass=NullPool)
    with Session(engine) as opened:
        yield opened
    engine.dispose()
