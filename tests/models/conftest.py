"""The domain's tests seal personal data with a key of their own, and share one database that each leaves as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool
from sqlmodel import Session

from models.privacy import new_key
from models.settings import settings
from tests.database import TemporaryServer, fresh_database


@pytest.fixture(scope="session", autouse=True)
def privacy_key() -> Iterator[None]:
    """A fresh key for this run, whatever settings file the machine has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDERLOOM_PRIVACY_KEY", new_key())
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture(scope="session")
def shared_engine(database_server: TemporaryServer) -> Iterator[Engine]:
    """One migrated database for all tests that need no second connection."""
    with fresh_database(database_server) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session on an empty database. Commits are undone with the rest at the end, and seen by this session only;
    a test that also asks for `database_url` has its session there, and its commits are real."""
    if "database_url" in request.fixturenames:
        engine = create_engine(request.getfixturevalue("database_url"), poolclass=NullPool)
        with Session(engine) as opened:
            yield opened
        engine.dispose()
        return
    with request.getfixturevalue("shared_engine").connect() as connection:
        undone = connection.begin()
        connection.execute(text("ALTER SEQUENCE order_number_seq RESTART"))
        with Session(connection, join_transaction_mode="create_savepoint") as opened:
            yield opened
        undone.rollback()
