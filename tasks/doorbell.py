"""Being woken by the database: one LISTEN connection on the event loop."""

from __future__ import annotations

import asyncio

import psycopg2

from models.database import engine


class Doorbell:
    """Hears NOTIFY on one autocommit connection, on the event loop's reader; connects again when it breaks."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self.rang = asyncio.Event()
        self._connection: psycopg2.extensions.connection | None = None
        self._reads: int | None = None  # the descriptor that the loop watches, closed or not

    async def listen(self) -> None:
        """Listen, if not yet. After a (re)connect it rings once, for what was missed meanwhile."""
        if self._connection is not None and not self._connection.closed:
            return
        try:
            connection = await asyncio.to_thread(self._connect)
        except psycopg2.OperationalError:
            return  # whoever listens scans every few seconds anyway, and tries again then
        self._reads = connection.fileno()
        asyncio.get_running_loop().add_reader(self._reads, self._heard)
        self._connection = connection
        self.rang.set()

    def _connect(self) -> psycopg2.extensions.connection:
        url = engine().url.set(drivername="postgresql")
        connection = psycopg2.connect(url.render_as_string(hide_password=False), connect_timeout=10)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {self._channel}")
        return connection

    def _heard(self) -> None:
        assert self._connection is not None
        try:
            self._connection.poll()
            self._connection.notifies.clear()
        except psycopg2.Error:
            self.hang_up()
        self.rang.set()

    def hang_up(self) -> None:
        """Stop listening. The loop forgets the descriptor first: the next connection may get the same number."""
        if self._reads is not None:
            asyncio.get_running_loop().remove_reader(self._reads)
        if self._connection is not None and not self._connection.closed:
            self._connection.close()
        self._connection, self._reads = None, None


async def first_of(seconds: float, *events: asyncio.Event) -> None:
    """Until one of the events, or the time is over."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
