"""Beside a lane: sees sheets of orders that were confirmed on the page, and has Prefect run their imports."""

from __future__ import annotations

import asyncio
import logging

from tasks.doorbell import first_of
from tasks.import_runs import start_due_imports
from tasks.sheet_cleaning import forget_old_sheets

#: Seconds between two looks; one is a read of a small partial index.
LOOK = 2.0
#: Seconds until the next try where the database or Prefect is away.
AWAY = 10.0
#: Seconds between two clean-ups of what was uploaded long ago.
CLEAN = 6 * 3600.0

log = logging.getLogger(__name__)


async def keep_importing(stop: asyncio.Event) -> None:
    """Start imports until `stop` is set. An error is logged; the sheet is seen again."""
    loop = asyncio.get_running_loop()
    cleaned = loop.time() - CLEAN
    while not stop.is_set():
        pause = LOOK
        try:
            await start_due_imports()
            if loop.time() - cleaned >= CLEAN:
                cleaned = loop.time()
                await forget_old_sheets()
        except Exception as error:
            log.warning("imports are not started for a moment: %s: %s", type(error).__name__, str(error)[:300])
            pause = AWAY
        await first_of(pause, stop)
