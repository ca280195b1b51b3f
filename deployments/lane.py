"""The standard lane: a process of its own, supervised, that carries orders shift after shift.

Not a scheduled run: a lane that held a pool's slot would lock itself out when killed. The next shift claims while
the last one finishes what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import traceback

# Of each run the API gets problems only: what happened is in the run's states and in the order's timeline, and
# three routine lines for every step would cost the server a fifth of its time. Prefect reads this when imported.
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")

from prefect.settings import PREFECT_API_URL
from sqlalchemy.exc import DBAPIError

from deployments.dead_runs import process_is_gone
from deployments.hearing import keep_hearing
from deployments.importing import keep_importing
from deployments.prefect_server import wait_until_healthy
from deployments.publishing import keep_publishing
from flows.fulfilment_lane import fulfilment_lane
from models import lane as lanes
from models.database import in_transaction, utcnow
from models.settings import settings
from tasks.claiming import LaneProcess, register_lane
from tasks.lanes import bury_dead_lanes


async def run(stop: asyncio.Event) -> None:
    """Work until `stop` is set or somebody says drain; then finish what is held and say goodbye."""
    config = settings().lane
    await bury_dead_lanes()
    await _bury_the_gone()
    process = await register_lane(config.concurrency)
    last: asyncio.Task[object] | None = None
    beside = [asyncio.create_task(work(process.closing)) for work in (keep_hearing, keep_publishing, keep_importing)]
    try:
        while not stop.is_set() and not process.drained:
            shift = asyncio.create_task(fulfilment_lane(process.name, config.shift_seconds))
            await _until_over(shift, config.shift_seconds, stop, process)
            if last is not None:
                await last
            last = shift
    finally:
        process.closing.set()  # the running shift claims no more and finishes what it holds
        await asyncio.wait([*beside, *([last] if last is not None else [])], timeout=60)
        with contextlib.suppress(DBAPIError):  # the next lane finds that this process is gone
            await in_transaction(lambda session: lanes.end(session, process.name, utcnow()))


async def _until_over(shift: asyncio.Task[object], seconds: float, stop: asyncio.Event, process: LaneProcess) -> None:
    """Until the shift claims no more (its time is over), fails, or the lane is to stop."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until and not stop.is_set() and not process.drained:
        if shift.done():
            await shift  # a shift that fails ends the lane; the supervisor starts a fresh one
            return
        await asyncio.sleep(min(0.5, max(0.01, until - loop.time())))


async def _bury_the_gone() -> None:
    """End the lanes of this host whose process is gone: what they held is free at once, not when their time is over."""
    for row in await in_transaction(lanes.live_lanes):
        if process_is_gone(f"{row.host}:{row.pid}:{int(row.started_at.timestamp())}"):
            await bury_dead_lanes(row.name)


class LaneThread(threading.Thread):
    """The lane's event loop in a thread of its own: on the main thread a flow run takes SIGTERM for itself."""

    def __init__(self) -> None:
        super().__init__(name="lane")
        self.error: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._asked = asyncio.Event()

    def run(self) -> None:
        """Carry orders until told to stop."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(run(self._asked))
        except BaseException as error:
            self.error = error

    def stop(self, *_: object) -> None:
        """Finish what is held, then end. May be called from a signal handler, any number of times."""
        self._loop.call_soon_threadsafe(self._asked.set)


def main() -> int:
    """`python -m deployments.lane`: 0 when drained or stopped, 1 when the lane broke (the supervisor restarts it)."""
    os.nice(settings().lane.niceness)  # before it has threads: they all go at the same pace
    if api_url := PREFECT_API_URL.value():
        wait_until_healthy(api_url)  # the imports above go on while the server starts
    lane = LaneThread()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lane.stop)
    lane.start()
    lane.join()
    if lane.error is not None:
        traceback.print_exception(lane.error)
    return int(lane.error is not None)


if __name__ == "__main__":
    sys.exit(main())
