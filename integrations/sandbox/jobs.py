"""The loop that does what has become due: parcels move, work orders complete, callbacks are posted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import httpx

from integrations.sandbox.world import Job, World

#: Posts `(url, body, headers)` and returns the HTTP status; 0 when nobody answered.
Post = Callable[[str, bytes, dict[str, str]], Awaitable[int]]

#: Does one job. Returns None when it is done, or after how many real seconds it is to be tried again. It may run
#: again when the sandbox is killed in the middle, and it leaves `world.done` to the loop.
Handler = Callable[[Job, World, Post], Awaitable[float | None]]

LOOK_EVERY = 0.1  # seconds
AT_ONCE = 32
AFTER_AN_ERROR = 5.0  # seconds

log = logging.getLogger(__name__)


async def keep_doing(world: World, handlers: Mapping[str, Handler]) -> None:
    """Do due jobs until cancelled, several at once; one that fails is logged and tried again later."""
    busy: dict[int, asyncio.Task[None]] = {}
    # the sandbox calls loopback only: no proxy of the environment may get in between
    async with httpx.AsyncClient(timeout=15.0, trust_env=False) as client:

        async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
            try:
                return (await client.post(url, content=body, headers=headers)).status_code
            except httpx.HTTPError:
                return 0

        async def do(job: Job) -> None:
            try:
                again_in = await handlers[job.kind](job, world, post)
                world.done(job, again_in)
            except Exception:
                log.exception("sandbox job %s %s failed", job.seq, job.kind)
                world.done(job, AFTER_AN_ERROR)
            finally:
                del busy[job.seq]

        try:
            while True:
                for job in world.due():
                    if job.seq not in busy and len(busy) < AT_ONCE:
                        busy[job.seq] = asyncio.create_task(do(job))
                await asyncio.sleep(LOOK_EVERY)
        finally:
            for task in list(busy.values()):
                task.cancel()
            await asyncio.gather(*busy.values(), return_exceptions=True)
