"""One at a time, over all processes and machines: a PostgreSQL advisory lock on a connection of its own.

The lock belongs to the connection, not to a row: whoever holds it may make calls that take minutes without an open
transaction, and when its process dies the server lets go at once. Nothing has to be cleaned up or waited out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from models.database import engine

#: Keeps these locks apart from others that are taken by a number.
_FAMILY = 7_246_002


@asynccontextmanager
async def alone(what: str) -> AsyncIterator[bool]:
    """True while the block is the only one of its name; False, without waiting, when somebody else is in it.

    Not reentrant across connections: a second `alone` of the same name in the same task is told False.
    """
    connection = await asyncio.to_thread(_connected)
    try:
        yield await asyncio.to_thread(_taken, connection, what)
    finally:
        await asyncio.to_thread(_leave, connection)


def _connected() -> Connection:
    connection = engine().connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.detach()  # never back into the pool: closing it really ends the session that holds the lock
    return connection


def _taken(connection: Connection, what: str) -> bool:
    row = connection.execute(
        text("SELECT pg_try_advisory_lock(hashtextextended(:what, :family))"), {"what": what, "family": _FAMILY}
    )
    return bool(row.scalar_one())


def _leave(connection: Connection) -> None:
    try:
        connection.execute(text("SELECT pg_advisory_unlock_all()"))  # the server notices a closed session a bit later
    except DBAPIError:
        pass  # the connection is lost already, and the lock with it
    finally:
        connection.close()
