"""Growth: intake and the lane with 0, 100,000 and a million orders behind them.

Measured, on three books of one PostgreSQL server (every setting of production, fsync on) that differ in their past
only: `lane_ratio`, orders a second from the pull to the customer's message, a burst of the real history at a time,
carried by the bare loop; and `intake_ratio`, orders a second from the channels' files to rows. A ratio is the rate
with so many past orders ÷ the rate with none, the median of pairs taken in turn, so that a noisy moment of the
machine meets both; 1 is flat. The lane is the bare one, the same steps under the same claims and wake-ups without
Prefect, and intake leaves the gate by great-expectations out: neither Prefect nor the gate looks at the book, so both
would only hide what its growth costs. The past is closed orders with their lines and fulfilments (`tests/many_orders`).

There is no rival: the book with no past is what every other is measured against.

`--quick` has 20,000 and 200,000 in the past; its keys say so.

    python -m tests.benchmarks.growth [--quick] --json FILE
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import tests.bare as bare  # first of ours: it takes the task wrapper away
from models.database import utcnow
from tests.benchmarks.books import book_with_past
from tests.benchmarks.lane import deciding, until_notified, working
from tests.benchmarks.order_files import PAGE, write_files
from tests.benchmarks.pairs import ratio_of_pairs
from tests.benchmarks.report import Options, run, say
from tests.benchmarks.stage import Stage, platforms_and_portal
from tests.benchmarks.takers import Taker
from tests.database import temporary_server
from tests.house import living_in

NONE = "0"
PASTS = {NONE: 0, "100k": 100_000, "1m": 1_000_000}
QUICK_PASTS = {NONE: 0, "20k": 20_000, "200k": 200_000}


def measure(options: Options) -> dict[str, Any]:
    """The figures of FIGURES.md, `growth`."""
    pasts, rounds, burst, pages = (QUICK_PASTS, 5, 12, 8) if options.quick else (PASTS, 10, 40, 30)
    with tempfile.TemporaryDirectory(prefix="orderloom-bench-") as directory, ExitStack() as stack:
        stages = stack.enter_context(books(pasts, Path(directory)))
        lanes = lane_rates(stages, rounds, burst)
        intakes = intake_rates(stages, Path(directory), pages)
    return {
        **_told("lane", lanes),
        **_told("intake", intakes),
        "orders_in_a_burst": burst,
        "orders_in_a_page": PAGE,
        "past_orders": pasts,
    }


def lane_rates(stages: dict[str, Stage], rounds: int, burst: int) -> dict[str, list[float]]:
    """Orders a second of each burst, by past."""
    seen: dict[str, list[float]] = {past: [] for past in stages}
    with ExitStack() as stack:
        for here in stages.values():
            with living_in(here.environment):
                stack.enter_context(working(here, "bare"))
        for number in range(rounds + 1):
            for past in _turns(stages, number):
                rate = carried(stages[past], burst)
                if number:  # the first round warms up
                    seen[past].append(rate)
            say(f"lane, round {number} of {rounds}: {_newest(seen)}")
    return seen


def carried(here: Stage, count: int) -> float:
    """Orders a second of one burst, from the pull until the last customer has the message."""
    with living_in(here.environment):
        here.place(count)
        since = here.last_order()
        with deciding():
            began = time.monotonic()
            asyncio.run(bare.pull_all())
            until_notified(since, count)
            return count / (time.monotonic() - began)


def intake_rates(stages: dict[str, Stage], directory: Path, pages: int) -> dict[str, list[float]]:
    """Orders a second of each page that is read from a file and taken in, by past."""
    files = [file for file in write_files(directory, (pages + 4) * PAGE, utcnow()) if _is_full(file)][: pages + 1]
    seen: dict[str, list[float]] = {past: [] for past in stages}
    with ExitStack() as stack:
        takers = {}
        for past, here in stages.items():
            environment = here.environment
            takers[past] = Taker("ungated", environment["ORDERLOOM_DATABASE_URL"], environment["ORDERLOOM_PRIVACY_KEY"])
            stack.callback(takers[past].stop)
        for number, file in enumerate(files):
            for past in _turns(stages, number):
                rate = takers[past].take([file]).rate
                if number:
                    seen[past].append(rate)
        say(f"intake: {_newest(seen)}")
    return seen


@contextmanager
def books(pasts: dict[str, int], directory: Path) -> Iterator[dict[str, Stage]]:
    """A book for each past, with platforms and a portal of its own."""
    with temporary_server(fsync=True) as server, ExitStack() as stack:
        stages = {}
        for name, past in pasts.items():
            url = stack.enter_context(book_with_past(server, past, utcnow()))
            own = directory / name
            own.mkdir()
            stages[name] = stack.enter_context(platforms_and_portal(server, url, own))
        yield stages


def _turns(stages: dict[str, Stage], number: int) -> list[str]:
    """Who goes first changes, so that neither always meets the other's checkpoint."""
    return list(stages)[:: 1 if number % 2 else -1]


def _is_full(file: Path) -> bool:
    return file.read_text(encoding="utf-8").count("\n") == PAGE


def _told(what: str, seen: dict[str, list[float]]) -> dict[str, Any]:
    """Ratios to the book with none, their intervals, and the medians themselves."""
    ratios = {past: ratio_of_pairs(rates, seen[NONE]) for past, rates in seen.items() if past != NONE}
    return {
        f"{what}_ratio": {past: ratio["median"] for past, ratio in ratios.items()},
        f"{what}_ratio_interval": {past: [ratio["low"], ratio["high"]] for past, ratio in ratios.items()},
        f"{what}_orders_per_second": {past: round(statistics.median(rates), 2) for past, rates in seen.items()},
        f"{what}_pairs": len(seen[NONE]),
    }


def _newest(seen: dict[str, list[float]]) -> str:
    return ", ".join(f"{past} {rates[-1]:.1f}/s" for past, rates in seen.items() if rates)


if __name__ == "__main__":
    run("growth", measure)
