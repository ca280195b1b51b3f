"""A process that imports one confirmed sheet and says how much memory that took above its start: bytes, as JSON.

`python -m tests.tasks.import_memory NUMBER FILE`; the settings are those of the environment, the gate included.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

import psutil

from models.order_sheet import OrderSheet
from tasks.importing import import_sheet

LOOK = 0.02


async def quiet(_: OrderSheet) -> None:
    """Hear how far the sheet is and say nothing."""


def main(number: int, path: Path) -> None:
    """Import the sheet and print what it took."""
    process, done = psutil.Process(), threading.Event()
    start = peak = process.memory_info().rss

    def look() -> None:
        nonlocal peak
        while not done.wait(LOOK):
            peak = max(peak, process.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    begun = time.monotonic()
    sheet = asyncio.run(import_sheet(number, quiet, path=path))
    seconds = time.monotonic() - begun
    done.set()
    looking.join()
    told = {"start": start, "above": peak - start, "seconds": seconds, "rows": sheet.rows, "orders": sheet.orders}
    print(json.dumps({**told, "outcomes": sheet.counts.get("outcomes", {}), "error": sheet.error}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
