"""A lane that runs in the test's own process, with heartbeats quick enough for a test to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import patch

from flows.fulfilment_lane import fulfilment_lane
from models import lane as lanes
from models.database import in_transaction, utcnow
from tasks import claiming
from tasks.claiming import LaneProcess, register_lane

HEARTBEAT = 0.2


@asynccontextmanager
async def lane_here(concurrency: int = 4) -> AsyncIterator[LaneProcess]:
    """One shift of a lane for as long as the block lasts; then it finishes what it holds and says goodbye."""
    with patch.object(claiming, "HEARTBEAT", HEARTBEAT):
        process = await register_lane(concurrency)
        shift = asyncio.create_task(fulfilment_lane(process.name, 300.0))
        try:
            yield process
        finally:
            process.closing.set()
            await shift
            await in_transaction(lambda session: lanes.end(session, process.name, utcnow()))
