"""What the stack costs when nothing happens, and how long a newcomer waits for the first shipped order.

Measured: `orderloom demo` in an empty directory until the first order is shipped; then, with all its orders done, the
same processes idle, with one shift change of the lane and one ingestion of all channels on the way. CPU is what the
operating system charged to the processes of the stack (supervisor, PostgreSQL with all its backends, Prefect server,
workers, lane, portal), memory is PSS, so that pages they share count once. The sandbox platforms do not count: a
real shop is somebody else's machine.

    python -m tests.benchmarks.footprint [--quick] --json FILE      (--quick idles 3 minutes, else 30)
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from deployments.kept_secrets import KeptSecrets
from deployments.postgres import EmbeddedPostgres
from deployments.prefect_calls import PrefectCalls
from deployments.stack_record import StackRecord
from tests.benchmarks.report import Options, run, say

ORDERS = 20
SETTLE_SECONDS = 45.0


def measure(options: Options) -> dict[str, Any]:
    """The figures of FIGURES.md, `footprint`."""
    idle = 180.0 if options.quick else 1800.0
    # the shift is shorter than the idle time, so that exactly one or two changes fall into it
    with (
        tempfile.TemporaryDirectory(prefix="orderloom-bench-") as name,
        demo(Path(name), shift_seconds=idle * 0.6) as it,
    ):
        first = seconds_to_first_shipped(it, Path(name))
        say(f"first order shipped after {first:.1f} s")
        wait_until_done(it, Path(name))
        say(f"letting it settle for {SETTLE_SECONDS:g} s")
        time.sleep(SETTLE_SECONDS)
        before, started = cpu_seconds(it.pid), time.monotonic()
        time.sleep(idle / 3)
        ingest(Path(name))
        while (left := idle - (time.monotonic() - started)) > 0:
            say(f"idle, {left:.0f} s to go")
            time.sleep(min(60.0, left))
        seconds = time.monotonic() - started
        after = cpu_seconds(it.pid)
        memory = pss(it.pid)
    used = {part: after[part] - before.get(part, 0.0) for part in after}
    return {
        "idle_cpu_share": round(sum(used.values()) / seconds, 4),
        "idle_cpu_by_process": {part: round(value / seconds, 4) for part, value in sorted(used.items())},
        "pss_mb": round(sum(memory.values())),
        "pss_by_process": {part: round(value) for part, value in sorted(memory.items())},
        "seconds_to_first_shipped": round(first, 1),
        "idle_seconds": round(seconds),
    }


@contextmanager
def demo(directory: Path, shift_seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """`orderloom demo` in this directory, ended as Ctrl-C ends it."""
    environment = {**os.environ, "ORDERLOOM_LANE": json.dumps({"shift_seconds": int(shift_seconds)})}
    directory.chmod(0o711)
    command = [sys.executable, "-m", "deployments.cli", "demo", "--orders", str(ORDERS), "--no-trickle",
               "--leave-reviews", "0", "--state-dir", str(directory)]  # fmt: skip
    log = (directory / "demo.log").open("wb")
    started = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGINT)
        try:
            started.wait(90)
        except subprocess.TimeoutExpired:
            started.kill()
        log.close()


def seconds_to_first_shipped(it: subprocess.Popen[bytes], directory: Path) -> float:
    """From the start of the command to the first order that is shipped."""
    started = time.monotonic()
    wait_until(lambda: count(directory, "SELECT count(*) FROM order_event WHERE kind = 'shipped'") > 0, it)
    return time.monotonic() - started


def wait_until_done(it: subprocess.Popen[bytes], directory: Path) -> None:
    """Wait until every customer is notified."""
    wait_until(lambda: count(directory, "SELECT count(*) FROM notification") >= ORDERS, it)


def wait_until(condition: Callable[[], bool], it: subprocess.Popen[bytes], seconds: float = 300) -> None:
    """Wait for a condition while the demo lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        if it.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the demo did not get there; its output is in demo.log of the directory")
        time.sleep(0.25)


def count(directory: Path, sql: str) -> int:
    """A number from the demo's order book; 0 while there is no book yet."""
    postgres = EmbeddedPostgres(directory)
    if not postgres.status().ready:
        return 0
    try:
        with closing(psycopg2.connect(postgres.url().replace("+psycopg2", ""))) as link, link.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.fetchone()[0])
    except psycopg2.Error:
        return 0


def ingest(directory: Path) -> None:
    """One ingestion of all channels, as the schedule starts it every 15 minutes."""
    record, secrets = StackRecord.load(directory), KeptSecrets.load(directory)
    assert record is not None and secrets is not None
    calls = PrefectCalls(f"http://127.0.0.1:{record.ports['prefect']}", secrets.prefect_auth)
    calls.start_run("ingest-orders/every-15-minutes")
    calls.close()


def parts(pid: int) -> dict[str, psutil.Process]:
    """The stack's processes by name: the supervisor's children, and the supervisor itself. Not the sandbox."""
    supervisor = psutil.Process(pid)
    named = {"supervisor": supervisor}
    for child in supervisor.children():
        named[part_name(child)] = child
    named.pop("sandbox", None)
    return named


def part_name(process: psutil.Process) -> str:
    """What a child of the supervisor is, from its command line."""
    line = " ".join(process.cmdline())
    for word, name in (
        ("integrations.sandbox", "sandbox"),
        ("integrations.portal", "portal"),
        ("deployments.workers", "workers"),
        ("deployments.lane", "lane"),
        ("prefect", "prefect server"),
        ("postgres", "postgres"),
    ):
        if word in line:
            return name
    return process.name()


def cpu_seconds(pid: int) -> dict[str, float]:
    """CPU seconds that each part and its children have used."""
    return {name: _cpu(process, deep=name != "supervisor") for name, process in parts(pid).items()}


def _cpu(process: psutil.Process, *, deep: bool) -> float:
    own = process.cpu_times()
    used = own.user + own.system
    if deep:
        children = [child.cpu_times() for child in process.children(recursive=True)]
        used += own.children_user + own.children_system + sum(c.user + c.system for c in children)
    return used


def pss(pid: int) -> dict[str, float]:
    """PSS in megabytes of each part with its children."""
    return {
        name: sum(_pss(p) for p in [process, *(process.children(recursive=True) if name != "supervisor" else [])])
        for name, process in parts(pid).items()
    }


def _pss(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss / 1e6
    except psutil.NoSuchProcess:
        return 0.0


if __name__ == "__main__":
    run("footprint", measure)
