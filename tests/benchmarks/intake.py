"""Intake: orders a second from the channels' files to rows in the book, and the memory that it takes.

Measured: 100,000 orders of the history, written by the sandbox in the formats of Shopify, WeChat shop and Douyin (a
batch of 2,000 a file) and read back from the disk by a process of its own: translated by the channel's own reader,
judged by great-expectations as every batch of a pull is (the verdict kept), and taken into the book by `take_orders`,
which judges each order by the row rules and commits 500 at once. PostgreSQL with every setting of production (fsync
on). Not measured: what the platforms take to answer. `ms_per_order` says where the time goes; `peak_mb` is the most
that the process was seen to hold (RSS, looked at fifty times a second), less what it held after its imports and a
first batch.

Against: the same orders, in turn, into a twin book with a million finished orders behind it (`ratio_at_1m`: orders a
second there ÷ in the book with none; 1 is flat). And against the way that writes one order at a time, an ORM session
and a commit for each, as most shops' connectors do: `ratio_to_one_at_a_time` compares what differs, judging by the
same rules and writing the same rows, and leaves out translation and the gate, which would be the same for both.

`--quick` takes 10,000 orders, and has 200,000 in the past: its key is `ratio_at_200k`.

    python -m tests.benchmarks.intake [--quick] --json FILE
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from models.database import utcnow
from models.privacy import new_key
from tests.benchmarks.books import book_with_past
from tests.benchmarks.order_files import PAGE, write_files
from tests.benchmarks.pairs import ratio_of_pairs
from tests.benchmarks.report import Options, run, say
from tests.benchmarks.takers import Taken, Taker, all_of
from tests.database import temporary_server

MEBIBYTE = 1024 * 1024


def measure(options: Options) -> dict[str, Any]:
    """The figures of FIGURES.md, `intake`."""
    count, past, every = (10_000, 200_000, 2) if options.quick else (100_000, 1_000_000, 10)
    name = "200k" if options.quick else "1m"
    with tempfile.TemporaryDirectory(prefix="orderloom-bench-") as directory:
        say(f"writing files of {count} orders")
        files = write_files(Path(directory), count + PAGE, utcnow())
        with takers(past) as (none, behind, rival):
            everybody = {"none": none, name: behind, "one at a time": rival}
            for taker in everybody.values():
                taker.take(files[:1])
            held = none.held
            none.peak = held
            seen: dict[str, list[Taken]] = {one: [] for one in everybody}
            for number, file in enumerate(files[1:], 1):
                # who goes first changes, so that neither always meets the other's checkpoint
                for one in list(everybody)[:: 1 if number % 2 else -1]:
                    if one != "one at a time" or number % every == 0:  # it takes ten times as long, and says as much
                        seen[one].append(everybody[one].take([file]))
                if number % every == 0:
                    told = ", ".join(f"{one} {seen[one][-1].rate:.0f}/s" for one in seen)
                    say(f"batch {number} of {len(files) - 1}: {told}")
            peak = none.peak
    ours, theirs = [all_of(seen[one]) for one in ("none", "one at a time")]
    ratio = ratio_of_pairs(_rates(seen[name]), _rates(seen["none"]))
    beside = seen["none"][every - 1 :: every]  # the pages that the rival has taken too
    to_rival = ratio_of_pairs([t.write_rate for t in beside], [t.write_rate for t in seen["one at a time"]])
    return {
        "orders_per_second": round(statistics.median(_rates(seen["none"]))),
        "peak_mb": round((peak - held) / MEBIBYTE),
        f"ratio_at_{name}": ratio["median"],
        f"ratio_at_{name}_interval": [ratio["low"], ratio["high"]],
        "ratio_to_one_at_a_time": to_rival["median"],
        "ratio_to_one_at_a_time_interval": [to_rival["low"], to_rival["high"]],
        "written_per_second": round(statistics.median(t.write_rate for t in seen["none"])),
        "written_per_second_one_at_a_time": round(statistics.median(t.write_rate for t in seen["one at a time"])),
        "ms_per_order": _by_part(ours),
        "ms_per_order_with_past": _by_part(all_of(seen[name])),
        "ms_per_order_one_at_a_time": _by_part(theirs),
        "mb_before": round(held / MEBIBYTE),
        "orders": ours.orders,
        "past_orders": past,
        "pairs": ratio["pairs"],
    }


@contextmanager
def takers(past: int) -> Iterator[tuple[Taker, Taker, Taker]]:
    """The product on a new book and on one with a past, and the rival on a new book."""
    key = new_key()
    with temporary_server(fsync=True) as server, ExitStack() as stack:
        found = []
        for way, behind in (("product", 0), ("product", past), ("one_at_a_time", 0)):
            url = stack.enter_context(book_with_past(server, behind, utcnow()))
            found.append(Taker(way, url, key))
            stack.callback(found[-1].stop)
        yield found[0], found[1], found[2]


def _rates(stretches: list[Taken]) -> list[float]:
    return [stretch.rate for stretch in stretches]


def _by_part(taken: Taken) -> dict[str, float]:
    """Milliseconds an order: translate, gate (where there is one), judge (by the row rules), write."""
    took = dict(taken.seconds)
    took["write"] = took.pop("take") - took["judge"]
    order = [part for part in ("translate", "gate", "judge", "write") if part in took]
    return {part: round(1000 * took[part] / taken.orders, 3) for part in order}


if __name__ == "__main__":
    run("intake", measure)
