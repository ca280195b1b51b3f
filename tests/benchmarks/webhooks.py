"""Webhooks under load: how soon the portal answers what three channels push, while a lane has more than it can do.

Measured: the real portal process on PostgreSQL with every setting of production (fsync on), 50 signed pushes a second
of Shopify, WeChat shop and Douyin, 5 % of them repeated byte for byte and 1 % forged (which must be answered 401, and
are left out of the latencies). The lane process carries orders with a real Prefect server meanwhile, and hears the
same pushes: fetches each order from the sandbox and takes it into the book. The load is an open loop: see
`tests/benchmarks/open_loop.py`. All of it, senders and platforms included, shares the machine.

`errors` are answers that are not what they should be, none within 5 s included; `seconds_to_book` from a push kept to
the order in the book as the platform then had it, of every push (`heard_share` of them within a minute after the
last). `p95_ms_without_lane` is the same load a moment before the lane starts: the difference is what the lane costs.
The rival is the bar that platforms set: they wait 5 s and come again; the product's own is a p95 under 100 ms.

    python -m tests.benchmarks.webhooks [--quick] --json FILE
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from integrations.sandbox.channel_pushes import OFF
from models.database import transact
from models.settings import settings
from tests.benchmarks.lane import working
from tests.benchmarks.open_loop import Answer, Senders
from tests.benchmarks.pushes import KINDS, Push, orders_for, pushes
from tests.benchmarks.report import Options, run, say
from tests.benchmarks.stage import Stage, stage

RATE = 50.0
#: Orders that the lane has in hand when the load begins: more than it carries meanwhile.
BACKLOG = 200
#: Seconds after the last push in which its order may still come into the book.
PATIENCE = 60.0


def measure(options: Options) -> dict[str, Any]:
    """The figures of FIGURES.md, `webhooks`."""
    alone, loaded = (10, 20) if options.quick else (20, 60)
    with stage() as here:
        here.world.put(OFF, "", {"off": True})  # what is pushed here is pushed by us
        before = make_pushes(here, alone)
        here.place(BACKLOG)
        here.pull()
        during = make_pushes(here, loaded)
        gc.freeze()  # the senders are not what is measured: no pause of ours in the middle
        say(f"{alone} s at {RATE:g}/s without a lane")
        quiet = fire(before)
        say(f"p95 {milliseconds(quiet, 95):.0f} ms; {loaded} s at {RATE:g}/s beside a lane")
        transact(lambda session: session.connection().execute(text("DELETE FROM hint")))
        with working(here, "lane"):
            cpu, began = here.cpu(), time.monotonic()
            answers = fire(during)
            took = time.monotonic() - began
            busy = {name: round((used - cpu.get(name, 0.0)) / took, 3) for name, used in here.cpu().items()}
            say(f"p95 {milliseconds(answers, 95):.0f} ms; waiting until the orders are in the book")
            to_book, heard = until_heard()
    return {
        "rate": round((len(answers) - 1) / (answers[-1].due - answers[0].due), 1),
        "p50_ms": round(milliseconds(answers, 50), 1),
        "p95_ms": round(milliseconds(answers, 95), 1),
        "p99_ms": round(milliseconds(answers, 99), 1),
        "max_ms": round(max(1000 * answer.seconds for answer in answers), 1),
        "errors": sum(not answer.as_it_should_be for answer in [*quiet, *answers]),
        "p95_ms_without_lane": round(milliseconds(quiet, 95), 1),
        "seconds_to_book_p50": round(statistics.median(to_book), 1),
        "seconds_to_book_p95": round(statistics.quantiles(to_book, n=20)[-1], 1),
        "heard_share": round(heard, 3),
        "pushes": len(answers),
        "forged": sum(push.forged for push in during),
        "orders": orders_for(len(during)),
        "senders_late_p95_ms": round(1000 * statistics.quantiles([a.late for a in answers], n=20)[-1], 1),
        "cores_used": busy,
    }


def make_pushes(here: Stage, seconds: int) -> list[Push]:
    """Orders placed on the platforms, and the pushes of so many seconds about them."""
    count = round(RATE * seconds)
    known = {kind: here.world.size(kind) for kind in KINDS}
    here.place(orders_for(count))
    orders = [(kind, order) for kind in KINDS for order in here.world.window(kind, offset=known[kind])]
    random.Random(3).shuffle(orders)  # channels take turns as they come
    return pushes(orders, count)


def fire(pushes: list[Push]) -> list[Answer]:
    """Push them all to the portal."""
    return asyncio.run(Senders("127.0.0.1", settings().ports.portal).fire(pushes, RATE))


def milliseconds(answers: list[Answer], percent: int) -> float:
    """The latency of genuine pushes below which so many per cent of them stayed."""
    return 1000 * statistics.quantiles([one.seconds for one in answers if not one.push.forged], n=100)[percent - 1]


def until_heard() -> tuple[list[float], float]:
    """Seconds from kept to heard, of every push that was heard in time; and what share of all they are."""
    deadline = time.monotonic() + PATIENCE
    while True:
        waits = transact(_waits)
        heard = [seconds for seconds in waits if seconds is not None]
        if len(heard) == len(waits) or time.monotonic() > deadline:
            return heard, len(heard) / len(waits)
        time.sleep(0.5)


def _waits(session: Session) -> list[float | None]:
    rows = session.connection().execute(text("SELECT EXTRACT(epoch FROM heard_at - received_at) FROM hint"))
    return [None if seconds is None else float(seconds) for (seconds,) in rows]


if __name__ == "__main__":
    run("webhooks", measure)
