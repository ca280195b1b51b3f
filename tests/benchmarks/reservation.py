"""Reservations a second: one hot SKU, and many; with one process and with eight.

Measured: `models.reservation.reserve` in a transaction of its own for each order, committed to disk (fsync on), with
everything it writes: reservation, counters, ledger. "Hot": every order wants one piece of the same SKU. "Spread":
every order wants two SKUs out of a thousand. One process shows what one costs, eight what they do to each other.

Rival, in the same run, in turn: the textbook way in the same language over the same driver and ORM session, writing
the same rows: `SELECT … FOR UPDATE`, check, `UPDATE`. That is what most order systems do, and it is correct too; it
holds the lock on the item longer, and asks for it first. It is spared what it cannot do: it neither notices that an
order was promised before nor takes a savepoint, so it could not be one of several tries in a transaction.

`oversold` and `ledger_equal` are of a last stretch, in which eight processes want twice what there is.

    python -m tests.benchmarks.reservation [--quick] --json FILE
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, text
from sqlmodel import Session

from models.checks import check
from models.product import Product, save_products
from models.stock import receive
from models.warehouse import Warehouse
from tests.benchmarks.pairs import ratio_of_pairs
from tests.benchmarks.report import Options, run, say
from tests.benchmarks.reserving import NOW, WAREHOUSE
from tests.database import fresh_database, temporary_server
from tests.many_orders import place_many

HOT, SCARCE = "HOT", "SCARCE"
SPREAD = [f"SKU-{number:04d}" for number in range(1000)]
PROCESSES = 8
#: What each stretch of work is called: which SKUs, how many processes.
SHAPES = [(kind, processes) for kind in ("hot", "spread") for processes in (1, PROCESSES)]


class Workers:
    """Eight processes that reserve when they are told to."""

    def __init__(self, url: str, orders: Iterator[int]) -> None:
        self.orders = orders
        self.rng = random.Random(11)
        command = [sys.executable, "-m", "tests.benchmarks.reserving", url]
        pipe = subprocess.PIPE
        self.processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(PROCESSES)]
        for process in self.processes:
            _told(process)

    def rate(self, way: str, kind: str, processes: int, each: int) -> float:
        """Orders a second, when so many processes reserve for so many orders each."""
        said = self.stretch(way, kind, processes, each)
        seconds = max(one["ended"] for one in said) - min(one["began"] for one in said)
        return processes * each / seconds

    def stretch(self, way: str, kind: str, processes: int, each: int) -> list[dict[str, Any]]:
        """One stretch of work; what each process says of it."""
        begin_at = time.time() + 0.2
        working = self.processes[:processes]
        for process in working:
            orders = [(next(self.orders), self._wanted(kind)) for _ in range(each)]
            assert process.stdin is not None
            process.stdin.write(json.dumps({"way": way, "orders": orders, "begin_at": begin_at}) + "\n")
            process.stdin.flush()
        return [_told(process) for process in working]

    def _wanted(self, kind: str) -> dict[str, int]:
        if kind == "spread":
            return dict.fromkeys(self.rng.sample(SPREAD, 2), 1)
        return {HOT if kind == "hot" else SCARCE: 1}

    def stop(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.terminate()
            process.wait(30)


def _told(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a reserving process ended with {process.wait()}")
    told: dict[str, Any] = json.loads(line)
    return told


def measure(options: Options) -> dict[str, Any]:
    """The figures of FIGURES.md, `reservation`."""
    pairs, each = (5, 60) if options.quick else (15, 200)
    scarce = PROCESSES * each // 2
    per_pair = 2 * sum(processes * each for _, processes in SHAPES)
    with workers((pairs + 1) * per_pair + 2 * scarce, scarce) as (here, session):
        rates: dict[tuple[str, str, int], list[float]] = {}
        for number in range(pairs + 1):
            for kind, processes in SHAPES:
                # who goes first changes, so that neither always meets the other's checkpoint
                for way in ("ours", "for_update")[:: 1 if number % 2 else -1]:
                    rate = here.rate(way, kind, processes, each)
                    if number:  # the first round warms up
                        rates.setdefault((way, kind, processes), []).append(rate)
            say(f"pair {number} of {pairs}")
        promised = 2 * scarce - sum(one["short"] for one in here.stretch("ours", "scarce", PROCESSES, each))
        oversold, ledger_equal = max(0, promised - scarce), _accounts_agree(session)
    ratios = {
        f"{kind}, {processes}": ratio_of_pairs(rates["ours", kind, processes], rates["for_update", kind, processes])
        for kind, processes in SHAPES
    }
    return {
        "hot_sku_per_second": _medians(rates, "ours", "hot"),
        "spread_per_second": _medians(rates, "ours", "spread"),
        "for_update_hot_sku_per_second": _medians(rates, "for_update", "hot"),
        "for_update_spread_per_second": _medians(rates, "for_update", "spread"),
        "ratio_to_for_update": ratios[f"hot, {PROCESSES}"]["median"],
        "ratio_to_for_update_by_shape": ratios,
        "oversold": oversold,
        "promised_of_scarce": f"{promised} of {scarce}",
        "ledger_equal": ledger_equal,
    }


def _medians(rates: dict[tuple[str, str, int], list[float]], way: str, kind: str) -> dict[str, float]:
    return {str(processes): round(statistics.median(rates[way, kind, processes])) for processes in (1, PROCESSES)}


@contextmanager
def workers(orders: int, scarce: int) -> Iterator[tuple[Workers, Session]]:
    """A database with so many orders and a full warehouse, the processes on it, and a session to look at it."""
    say("starting PostgreSQL, with fsync")
    with temporary_server(fsync=True) as server, fresh_database(server) as url:
        engine = create_engine(url)
        with Session(engine) as session:
            session.add(Warehouse(code=WAREHOUSE, name=WAREHOUSE))
            save_products(session, [Product(sku=sku, title=sku) for sku in [HOT, SCARCE, *SPREAD]])
            session.flush()
            for sku in (HOT, *SPREAD):
                receive(session, WAREHOUSE, sku, 10**9, "期初", "benchmark", NOW)
            receive(session, WAREHOUSE, SCARCE, scarce, "期初", "benchmark", NOW)
            ids = place_many(session, orders, NOW)
            session.connection().execute(text("ANALYZE"))
            session.commit()
            here = Workers(url, iter(ids))
            try:
                yield here, session
            finally:
                here.stop()
        engine.dispose()


def _accounts_agree(session: Session) -> bool:
    session.rollback()
    accounts = {"stock_differs_from_ledger", "stock_out_of_bounds", "reservations_differ_from_reserved"}
    return not [broken for broken in check(session, NOW) if broken.code in accounts]


if __name__ == "__main__":
    run("reservation", measure)
