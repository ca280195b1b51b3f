"""The standard lane: a process of its own, supervised, that carries orders shift after shift.

Not a scheduled run: a lane that held a pool's slot would lock itself out when killed. The next shift claims while
the last one finishes what it holds.
"""

from __future__ import annotations

import asyncio
import signal

from flows.fulfilment_lane import fulfilment_lane
from models import lane as lanes
from models.database import in_transaction, utcnow
from models.settings import settings
from tasks.claiming import LaneProcess, register_lane
from tasks.lanes import bury_dead_lanes


async def run() -> None:
    """Work until somebody says drain or stop; then finish what is held and say goodbye."""
    config = settings().lane
    await bury_dead_lanes()
    process = await register_lane(config.concurrency)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    last: asyncio.Task[object] | None = None
    try:
        while not stop.is_set() and not _drained(process):
            shift = asyncio.create_task(fulfilment_lane(process.name, config.shift_seconds))
            await _until_over(shift, config.shift_seconds, stop, process)
            if last is not None:
                await last
            last = shift
    finally:
        if process.row is not None:
            process.row.draining = True  # the running shift claims no more and finishes what it holds
        if last is not None:
            await asyncio.wait({last}, timeout=60)
        await in_transaction(lambda session: lanes.end(session, process.name, utcnow()))


async def _until_over(shift: asyncio.Task[object], seconds: float, stop: asyncio.Event, process: LaneProcess) -> None:
    """Until the shift claims no more (its time is over), fails, or the lane is to stop."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until and not stop.is_set() and not _drained(process):
        if shift.done():
            await shift  # a shift that fails ends the lane; the supervisor starts a fresh one
            return
        await asyncio.sleep(min(0.5, max(0.01, until - loop.time())))


def _drained(process: LaneProcess) -> bool:
    return process.row is not None and process.row.draining


def main() -> None:
    """`python -m deployments.lane`"""
    asyncio.run(run())


if __name__ == "__main__":
    main()
