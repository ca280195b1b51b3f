"""Several connections and threads at once, for rules that must hold between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TypeVar

from sqlalchemy import Engine, create_engine
from sqlmodel import Session

Result = TypeVar("Result")


@contextmanager
def connections(url: str) -> Iterator[Engine]:
    """A pool of ten connections."""
    pool = create_engine(url, pool_size=10)
    yield pool
    pool.dispose()


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One transaction on a connection of its own, committed unless something is raised."""
    with Session(engine, expire_on_commit=False) as session:
        yield session
        session.commit()


def in_threads(count: int, work: Callable[[int], Result]) -> list[Result]:
    """What `work(0)`, `work(1)`, … came to, in `count` threads that start together."""
    start = Barrier(count)

    def one(number: int) -> Result:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))
