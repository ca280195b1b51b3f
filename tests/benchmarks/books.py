"""Order books with a past: the seller's products, warehouse and stock, and so many finished orders behind them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import create_engine, text
from sqlmodel import Session

from integrations.sandbox.history import catalogue
from integrations.sandbox.opening import open_book
from models.fulfilment import Stage
from tests.benchmarks.report import say
from tests.database import TemporaryServer, fresh_database
from tests.many_orders import place_many

CHUNK = 100_000


@contextmanager
def book_with_past(server: TemporaryServer, past: int, now: datetime) -> Iterator[str]:
    """The URL of a furnished database with `past` closed orders of the days before `now`.

    Analysed and vacuumed, as autovacuum would have done by then.
    """
    with fresh_database(server) as url:
        engine = create_engine(url, pool_size=1)
        with Session(engine) as session:
            open_book(session, now)
            session.commit()
        skus = sorted(catalogue())
        for start in range(0, past, CHUNK):
            say(f"writing past orders: {start} of {past} are there")
            with Session(engine) as session:
                count = min(CHUNK, past - start)
                place_many(session, count, now - timedelta(days=1 + start // CHUNK), Stage.CLOSED, skus)
                session.commit()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()
        yield url
