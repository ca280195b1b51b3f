"""Sessions, transactions and migrations. Every rule takes a `Session`; only this file makes one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import Session

from models import faults
from models.settings import settings

Result = TypeVar("Result")
log = logging.getLogger(__name__)

#: Threads that do database work for the event loops of this process, and connections for them.
THREADS = 16
#: Where a session keeps what is to be done after its commit.
AFTER = "afterwards"


class DatabaseMissing(Exception):
    """No database is configured."""

    def __init__(self) -> None:
        super().__init__(
            "没有数据库:请先运行 `orderloom up`,或设置 DATABASE_URL。"
            " (No database: run `orderloom up` first, or set DATABASE_URL.)"
        )


def psycopg2_url(url: str) -> str:
    """The URL with its driver named: SQLAlchemy 2.1 reads a bare `postgresql://` as psycopg 3."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg2://" + url.removeprefix(prefix)
    return url


@lru_cache(maxsize=4)
def engine_for(url: str) -> Engine:
    """One engine per URL and process."""
    return create_engine(
        psycopg2_url(url),
        pool_size=THREADS,
        max_overflow=4,
        pool_pre_ping=False,
        pool_recycle=1800,
        hide_parameters=True,  # errors are logged and shown: what was to be written holds names and notes
        connect_args={"connect_timeout": 10, "application_name": "orderloom"},
    )


def engine() -> Engine:
    """The engine of the configured database. Raises `DatabaseMissing`."""
    url = settings().database_url
    if url is None:
        raise DatabaseMissing
    return engine_for(url.get_secret_value())


def transact(work: Callable[[Session], Result]) -> Result:
    """Do `work` in one transaction and commit it; roll back on any exception.

    A connection that the server closed (restart, fail-over) is seen here as `OperationalError`: the pool is
    emptied so that the next transaction connects afresh. The work is not repeated: the caller's own guard
    decides whether it happened.
    """
    try:
        with Session(engine(), expire_on_commit=False) as session:
            result = work(session)
            session.commit()
            faults.point("committed")
            after = session.info.pop(AFTER, {})
        for name, follow_up in after.items():
            _try(name, follow_up)
        return result
    except OperationalError as error:
        if error.connection_invalidated:
            engine().dispose()
        raise


def rehearse(work: Callable[[Session], Result]) -> Result:
    """Do `work` in a transaction and take all of it back: what it would come to."""
    with Session(engine(), expire_on_commit=False) as session:
        try:
            return work(session)
        finally:
            session.rollback()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="database")


def _try(name: str, follow_up: Callable[[Session], object]) -> None:
    """What came before is committed: that this did not work out must not look as if that had not."""
    try:
        transact(follow_up)
    except DBAPIError as error:
        log.warning("%s: left until it is looked at by itself (%s)", name, type(error).__name__)


def afterwards(session: Session, name: str, work: Callable[[Session], object]) -> None:
    """Do `work` in a transaction of its own once this one has committed; of several with one name the last.

    For what must not wait while this transaction's locks are held, and may be lost with the process: whatever it
    sets going has a time at which it is looked at again anyway.
    """
    session.info.setdefault(AFTER, {})[name] = work


async def in_transaction(work: Callable[[Session], Result]) -> Result:
    """`transact` in a thread, so that no event loop ever waits for the database."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), transact, work)


def utcnow() -> datetime:
    """Now, aware, UTC: the clock that tasks hand to rules."""
    return datetime.now(UTC)


def migrate(url: str) -> None:
    """Bring the database at `url` to the newest schema (Alembic `upgrade head`). Safe to repeat."""
    from alembic import command  # ten megabytes that only this needs
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = psycopg2_url(url)
    command.upgrade(config, "head")
