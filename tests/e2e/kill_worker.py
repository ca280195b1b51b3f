"""Workers without Prefect that may be killed: each is a process of its own, forked from one that has imported all.

    with kill_workers() as workers:
        status = workers.run(home.environment, kill_at="called:waybill")    # -9: it died there
        status = workers.run(home.environment)                              # 0: nothing is left to do

A worker pulls every channel if asked, then carries what is ready until all that is left waits for the outside. Or it
enters one answer of the warehouse, or one report of the factory, as the portal does, and may be killed right before
it commits it (`answering`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: Seconds that one outward call may take here, so that a platform that hangs costs a test little.
CALL_SECONDS = 1.0
#: A worker that is not done by then gives up with status 3; one whose answer changes nothing ends with 4.
LONGEST = 30.0

_STILL_MOVING = (
    "SELECT count(*) FROM fulfilment WHERE ready_at IS NOT NULL"
    " AND (ready_at < now() + '0.5 s' OR (waiting_on = 'production' AND :factory))"
)


@dataclass
class KillWorkers:
    """The process that forks workers, seen from the test."""

    process: subprocess.Popen[str]

    def run(
        self,
        environment: Mapping[str, str],
        *,
        kill_at: str = "",
        pull: bool = True,
        factory: bool = True,
        not_there: int | None = None,
        made: str | None = None,
    ) -> int:
        """Run one worker to its end: its exit status, or minus the signal that killed it.

        `pull`: it reads the channels first. `factory`: it stays until nothing is in production any more.
        `not_there`: it does nothing else than to enter that the goods of this stock check are not there.
        `made`: it does nothing else than to enter the factory's report that this work order is completed.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        wanted = {
            "environment": {**environment, "ORDERLOOM_KILL_AT": kill_at},
            "pull": pull,
            "factory": factory,
            "not_there": not_there,
            "made": made,
        }
        print(json.dumps(wanted), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@contextmanager
def kill_workers() -> Iterator[KillWorkers]:
    """Start the process that forks workers; end it afterwards."""
    command = [sys.executable, "-m", "tests.e2e.kill_worker"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield KillWorkers(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()  # the end of its work
        process.wait(10)


def _serve() -> None:
    """Read wishes, fork a worker for each, answer with how it ended."""
    import integrations.http

    integrations.http.TOTAL_TIMEOUT = CALL_SECONDS  # before any platform's module takes it over
    import tests.bare  # noqa: F401

    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(wanted)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _live(wanted: dict[str, Any]) -> None:
    """A worker's whole life. Does not return."""
    from models.settings import settings

    os.environ.update(wanted["environment"])
    settings.cache_clear()
    try:
        if wanted["not_there"] is not None:
            status = _enter(wanted["not_there"])
        elif wanted["made"] is not None:
            status = _report(wanted["made"])
        else:
            status = asyncio.run(_work(wanted["pull"], wanted["factory"]))
    except BaseException:
        traceback.print_exc()
        status = 1
    os._exit(status)


async def _work(pull: bool, factory: bool) -> int:
    from sqlalchemy import text

    from models.database import in_transaction
    from tests import bare

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST):  # also a sweep may never end, if an order keeps waking itself
            if pull:
                await bare.pull_all()
            while True:
                await bare.sweep(lane=f"bare-{os.getpid()}")
                moving = await in_transaction(
                    lambda session: session.connection().execute(text(_STILL_MOVING), {"factory": factory}).scalar_one()
                )
                if not moving:
                    return 0
                await asyncio.sleep(0.05)
    return 3


def _enter(check_id: int) -> int:
    """The warehouse's word, entered as the portal enters it."""
    from sqlmodel import Session

    from models import faults, stock_check
    from models.compensation import Limits
    from models.database import transact, utcnow
    from models.settings import settings

    def work(session: Session) -> bool:
        limits = Limits.of(settings().policy)
        taken, _ = stock_check.answer(session, check_id, False, "warehouse:老周", utcnow(), limits)
        faults.point("answering")
        return taken

    return 0 if transact(work) else 4


def _report(work_order_no: str) -> int:
    """The factory's word that a work order is made, entered as the portal enters it."""
    from sqlmodel import Session

    from models import faults
    from models.database import transact, utcnow
    from models.production import take_report

    def work(session: Session) -> str:
        kind, now = "work_order.completed", utcnow()
        taken = take_report(session, f"msg-{work_order_no}", work_order_no, kind, now, {}, now)
        faults.point("answering")
        return taken

    return 0 if transact(work) == "taken" else 4


if __name__ == "__main__":
    _serve()
