"""Orders through the lane: child runs and orders a second, beside a process worker and beside no Prefect at all.

Measured: the real lane process with all real steps (PostgreSQL with fsync, sandbox HTTP, API logs on), fed with the
real order history: 65 % made to order, about 14 % reviewed (decided at once, so that no time is a person's). An
order counts when it is shipped and the customer notified; every time it was woken and claimed counts as a run.

Rivals, in the same run on the same stage: the stock Prefect process worker with PREFECT-tuned job variables, running
the same flow `fulfil_order` with the same code, one process per run, two at a time (the number of cores); and the
bare loop, the same step functions under the same claims without Prefect, which is the ceiling.

`p50_s` and `p95_s`: from the order's row in the book to the customer's message, with orders arriving at half the
rate that the burst showed.

    python -m tests.benchmarks.lane [--quick] --json FILE
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from sqlalchemy import text
from sqlmodel import Session, select

from deployments.catalogue import POOLS, Deployment, Pool
from deployments.deploy import deploy
from models.database import transact, utcnow
from models.order import Order
from models.review import CaseState, ReviewCase, Verdict, decide
from tests.benchmarks.report import Options, run, say
from tests.benchmarks.stage import Stage, stage

RIVAL = Pool("rival", "process", 2, "the stock process worker, two processes at a time")
ENTRIES = [
    Deployment("review", "flows/review_order.py:review_order", "desk", "", limit=None),
    Deployment("rival", "flows/fulfil_order.py:fulfil_order", "rival", "", limit=None),
]


@dataclass(frozen=True)
class Segment:
    """One stretch of work. `cpu` is CPU seconds by part."""

    orders: int
    runs: int
    seconds: float
    cpu: dict[str, float]


def measure(options: Options) -> dict[str, Any]:
    """The figures of FIGURES.md, `lane`."""
    size, pairs, rival_runs = (40, 2, 20) if options.quick else (60, 5, 30)
    with stage() as here:
        asyncio.run(deploy([*POOLS, RIVAL], ENTRIES, []))
        lanes, bares = [], []
        burst(here, "lane", 12)  # one warm-up of each, not counted
        burst(here, "bare", 12)
        for number in range(pairs):
            lanes.append(burst(here, "lane", size))
            bares.append(burst(here, "bare", size))
            say(f"pair {number + 1}: lane {rate(lanes[-1]):.2f} orders/s, bare loop {rate(bares[-1]):.2f}")
        rival = process_worker(here, rival_runs)
        say(f"process worker: {rival:.3f} runs/s")
        waits = paced(here, size // 2, rate_of(lanes) / 2)
    runs = statistics.median(segment.runs / segment.seconds for segment in lanes)
    return {
        "runs_per_second": round(runs, 2),
        "orders_per_second": round(rate_of(lanes), 2),
        "process_worker_runs_per_second": round(rival, 3),
        "bare_loop_orders_per_second": round(rate_of(bares), 2),
        "bare_loop_runs_per_second": round(statistics.median(s.runs / s.seconds for s in bares), 2),
        "ratio": round(runs / rival, 1),
        "cpu_ms_per_order": cpu_per_order(lanes),
        "bare_loop_cpu_ms_per_order": cpu_per_order(bares),
        "runs_per_order": round(sum(s.runs for s in lanes) / sum(s.orders for s in lanes), 2),
        "p50_s": round(statistics.median(waits), 2),
        "p95_s": round(statistics.quantiles(waits, n=20)[-1], 2),
        "samples": {
            "lane_orders_per_second": [round(rate(s), 2) for s in lanes],
            "bare_loop_orders_per_second": [round(rate(s), 2) for s in bares],
        },
    }


def rate(segment: Segment) -> float:
    """Orders a second."""
    return segment.orders / segment.seconds


def rate_of(segments: list[Segment]) -> float:
    """The median of the segments' rates."""
    return statistics.median(rate(segment) for segment in segments)


def cpu_per_order(segments: list[Segment]) -> dict[str, float]:
    """CPU milliseconds per order and part, over all segments; and their sum."""
    orders = sum(segment.orders for segment in segments)
    names = sorted({name for segment in segments for name in segment.cpu})
    shares = {name: 1000 * sum(s.cpu.get(name, 0.0) for s in segments) / orders for name in names}
    return {name: round(value) for name, value in {**shares, "all": sum(shares.values())}.items()}


def burst(here: Stage, worker: str, count: int) -> Segment:
    """`count` orders at once, carried by the lane or the bare loop until every customer is notified."""
    here.place(count)
    with working(here, worker), deciding():
        since = here.last_order()
        before, started = here.cpu(), time.monotonic()
        here.pull()
        until_notified(since, count)
        seconds = time.monotonic() - started
        after = here.cpu()
    cpu = {name: after[name] - before.get(name, 0.0) for name in after}
    return Segment(count, claims_since(since), seconds, cpu)


def paced(here: Stage, count: int, per_second: float) -> list[float]:
    """Seconds from book to notification of each order, when `per_second` arrive."""
    with working(here, "lane"), deciding():
        since = here.last_order()
        placing = threading.Thread(target=here.place, args=(count, count / per_second))
        placing.start()
        while placing.is_alive():
            here.pull()
            time.sleep(1.0)
        here.pull()
        until_notified(since, count)
    return transact(lambda session: _waits(session, since))


def _waits(session: Session, since: int) -> list[float]:
    rows = session.connection().execute(
        text(
            "SELECT EXTRACT(epoch FROM n.at - o.received_at) FROM orders o JOIN notification n ON n.order_id = o.id"
            " WHERE o.id > :since"
        ),
        {"since": since},
    )
    return [float(seconds) for (seconds,) in rows]


@contextmanager
def working(here: Stage, worker: str) -> Iterator[None]:
    """The lane process, or the bare loop, ready to work."""
    module = {"lane": "deployments.lane", "bare": "tests.benchmarks.bare_loop"}[worker]
    process = here.start(worker, module)
    wait_until(lambda: transact(_lanes) > 0, process)
    try:
        yield
    finally:
        here.stop(worker)
        transact(lambda session: session.connection().execute(text("DELETE FROM lane")))


def _lanes(session: Session) -> int:
    sql = text("SELECT count(*) FROM lane WHERE ended_at IS NULL AND heartbeat_at > started_at")
    return int(session.connection().execute(sql).scalar() or 0)


def wait_until(condition: Any, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait for a condition while a process lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{process.args} is not ready after {seconds:g} s")
        time.sleep(0.05)


@contextmanager
def deciding() -> Iterator[None]:
    """A reviewer who approves everything at once."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.2):
            transact(_approve_all)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _approve_all(session: Session) -> None:
    for case in session.exec(select(ReviewCase).where(ReviewCase.state == CaseState.OPEN.value)).all():
        assert case.id is not None
        decide(session, case.id, Verdict.APPROVE, "benchmark", "", utcnow())


def until_notified(since: int, count: int, seconds: float = 300) -> None:
    """Wait until `count` orders after `since` have been shipped and their customers notified."""
    deadline = time.monotonic() + seconds
    sql = text("SELECT count(*) FROM notification WHERE order_id > :since AND state = 'sent'")
    while (done := transact(lambda s: s.connection().execute(sql, {"since": since}).scalar())) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {done} of {count} orders are done after {seconds:g} s")
        time.sleep(0.05)


def claims_since(since: int) -> int:
    """How many claims (each one a run) the orders after `since` have taken."""
    sql = text("SELECT sum(fence) FROM fulfilment WHERE order_id > :since")
    return int(transact(lambda s: s.connection().execute(sql, {"since": since}).scalar()))


def process_worker(here: Stage, count: int) -> float:
    """Runs a second of the stock process worker on the same flow, one process for each run."""
    here.place(count)
    since = here.last_order()
    here.pull()
    numbers = transact(lambda s: list(s.exec(select(Order.order_no).where(Order.id > since))))  # type: ignore[operator]
    here.start(
        "process worker", "prefect", "worker", "start", "--pool", RIVAL.name, "--type", "process", "--limit", "2"
    )
    started = time.monotonic()
    asyncio.run(_run_all(numbers))
    seconds = time.monotonic() - started
    here.stop("process worker")
    return len(numbers) / seconds


async def _run_all(numbers: list[str]) -> None:
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("fulfil-order/rival")
        runs = [
            await client.create_flow_run_from_deployment(
                deployment.id, parameters={"order_no": number, "reason": "benchmark"}
            )
            for number in numbers
        ]
        for one in runs:
            await _ended(client, one.id)


async def _ended(client: PrefectClient, run_id: UUID) -> None:
    """Wait until a run is over."""
    while True:
        state = (await client.read_flow_run(run_id)).state
        if state is not None and state.is_final():
            return
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    run("lane", measure)
