"""Stock push on change: a lane process watches the stock ledger, and publishes to the channels when it has moved."""

from __future__ import annotations

import asyncio
import logging

from flows.publish_stock import publish_stock
from models.database import in_transaction
from models.stock import last_movement
from tasks.doorbell import first_of
from tasks.shelves import connected_shelves

#: Seconds between two looks at the ledger. A look costs one index read; a NOTIFY in every reservation would cost more.
LOOK = 3.0
#: Seconds between two publications while stock keeps moving; the buffer covers what is sold meanwhile.
PAUSE = 30.0

log = logging.getLogger(__name__)


async def keep_publishing(stop: asyncio.Event) -> None:
    """Publish whenever stock has moved, until `stop` is set. An error is logged; the schedule publishes anyway."""
    published = await _ledger()
    while not stop.is_set():
        pause = LOOK
        moved = await _ledger()
        if moved is not None and moved != published:
            published = moved
            try:
                if connected_shelves():
                    pause = PAUSE
                    await publish_stock(return_state=True)
            except Exception as error:  # also of a setting that cannot be read
                log.warning("stock is not published for a moment: %s: %s", type(error).__name__, str(error)[:300])
        await first_of(pause, stop)


async def _ledger() -> int | None:
    """The newest movement; None while the database is away."""
    try:
        return await in_transaction(last_movement)
    except Exception as error:
        log.warning("the stock ledger cannot be read for a moment: %s", type(error).__name__)
        return None
