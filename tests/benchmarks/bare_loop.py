"""The bare loop as a process: the same steps under the same claims, without Prefect, until it is ended."""

from __future__ import annotations

import asyncio

import tests.bare as bare  # first: it takes the task wrapper away
from models.settings import settings
from tasks.claiming import Shift, keep_beating, register_lane


async def main() -> None:
    """Carry whatever is ready, as many at a time as the lane would, with the lane's own wake-ups."""
    process = await register_lane(settings().lane.concurrency, "bare")
    shift = Shift(seconds=1e9)
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_beating(shift))
        async for claim in shift.claims():
            work = group.create_task(bare.carry(claim))
            work.add_done_callback(lambda _, claim=claim: process.leave(claim))  # type: ignore[misc]


if __name__ == "__main__":
    asyncio.run(main())
