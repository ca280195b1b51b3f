"""The lane's claim, with a past: milliseconds of one claim with no, 100,000 and a million finished orders behind it.

Measured: `models.fulfilment.claim_ready` as the lane calls it (twelve at a time, committed), while 600 fulfilments
are ready and 2,000 wait until tomorrow, a busy day's work. After each claim all is given back, outside the measured
time. PostgreSQL with every setting of production (fsync on); the past is orders with their lines and closed
fulfilments, analysed and vacuumed as autovacuum would have done.

Against: the same claim on a twin database on the same server that has only the day's work. `flat_ratio` is a million
÷ none, the median of pairs taken in turn, so that a noisy moment of the machine meets both. Flat means that the
partial index holds only what is unfinished: the past costs nothing.

    python -m tests.benchmarks.claim [--quick] --json FILE
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlmodel import Session

from models.fulfilment import Stage, claim_ready, release_claims
from tests.benchmarks.pairs import ratio_of_pairs
from tests.benchmarks.report import Options, run, say
from tests.database import TemporaryServer, fresh_database, temporary_server
from tests.many_orders import place_many

NOW = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)
AT_ONCE, READY, WAITING = 12, 600, 2_000
PASTS = {"0": 0, "100k": 100_000, "1m": 1_000_000}
CHUNK = 100_000
LANE = "benchmark"


def measure(options: Options) -> dict[str, Any]:
    """The figures of FIGURES.md, `claim`."""
    rounds, claims = (25, 40) if options.quick else (60, 80)
    with temporary_server(fsync=True) as server, books(server) as engines:
        seen: dict[str, list[float]] = {past: [] for past in PASTS}
        for number in range(rounds + 1):
            # who goes first changes, so that neither always meets the other's checkpoint
            for past in list(PASTS)[:: 1 if number % 2 else -1]:
                milliseconds = statistics.median(timed_claim(engines[past]) for _ in range(claims))
                if number:  # the first round warms up
                    seen[past].append(milliseconds)
            if number % 5 == 0:
                say(f"round {number} of {rounds}")
    flat = ratio_of_pairs(seen["1m"], seen["0"])
    return {
        **{f"ms_at_{past}": round(statistics.median(seen[past]), 2) for past in PASTS},
        "flat_ratio": flat["median"],
        "flat_ratio_interval": [flat["low"], flat["high"]],
        "flat_ratio_at_100k": ratio_of_pairs(seen["100k"], seen["0"])["median"],
        "pairs": flat["pairs"],
    }


def timed_claim(engine: Engine) -> float:
    """Milliseconds of one claim with its commit; what it claimed is given back afterwards."""
    with Session(engine) as session:
        began = time.perf_counter()
        claims = claim_ready(session, LANE, AT_ONCE, 120, NOW)
        session.commit()
        milliseconds = (time.perf_counter() - began) * 1000
        assert len(claims) == AT_ONCE
        release_claims(session, LANE)
        session.commit()
    return milliseconds


@contextmanager
def books(server: TemporaryServer) -> Iterator[dict[str, Engine]]:
    """An order book for each past, with the same day's work in each."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(_book(server, past)) for name, past in PASTS.items()}


@contextmanager
def _book(server: TemporaryServer, past: int) -> Iterator[Engine]:
    with fresh_database(server) as url:
        engine = create_engine(url, pool_size=1)
        say(f"writing {past} finished orders")
        for start in range(0, past, CHUNK):
            with Session(engine) as session:
                place_many(session, min(CHUNK, past - start), NOW - timedelta(days=1), Stage.CLOSED, ["A", "B", "C"])
                session.commit()
        with Session(engine) as session:
            place_many(session, READY, NOW)
            waiting = place_many(session, WAITING, NOW)
            session.connection().execute(
                text("UPDATE fulfilment SET ready_at = :tomorrow WHERE id >= :first"),
                {"tomorrow": NOW + timedelta(days=1), "first": waiting.start},
            )
            session.commit()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        yield engine
        engine.dispose()


if __name__ == "__main__":
    run("claim", measure)
