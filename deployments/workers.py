"""All workers of the local stack in one process: `python -m deployments.workers`.

Pools of type `orderloom` run their flows in this process; pools of type `process` start one process per
run. A worker that fails is started again. SIGTERM or SIGINT stops polling at once, lets runs in progress go
on for a while, and then crashes them visibly; the next start ends whatever a kill left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Sequence

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_WORKER_QUERY_SECONDS, temporary_settings
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from deployments.catalogue import POOLS, Pool
from deployments.dead_runs import end_dead_runs
from deployments.in_process_worker import InProcessWorker
from deployments.pools import ensure_pool

RESTART_AFTER_SECONDS = 5.0
PARENT_CHECK_SECONDS = 2.0
EXIT_SECONDS = 10.0

logger = logging.getLogger("orderloom.workers")


def worker_for(pool: Pool, grace_seconds: float = InProcessWorker.grace_seconds) -> BaseWorker:
    """The worker of a pool, under a name that stays the same over restarts of this host."""
    kind = InProcessWorker if pool.type == InProcessWorker.type else ProcessWorker
    worker: BaseWorker = kind(
        work_pool_name=pool.name,
        name=f"{pool.name}@{socket.gethostname()}",
        create_pool_if_not_found=False,
    )
    if isinstance(worker, InProcessWorker):
        worker.grace_seconds = grace_seconds
    return worker


async def serve(pools: Sequence[Pool], stop: asyncio.Event, grace_seconds: float = 20.0) -> None:
    """Serve these pools until `stop` is set; runs in progress then have `grace_seconds` to finish."""
    await _prepare(pools, stop)
    serving = [asyncio.create_task(_serve(pool, grace_seconds), name=pool.name) for pool in pools]
    await stop.wait()
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


async def _prepare(pools: Sequence[Pool], stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            async with get_client() as client:
                for pool in pools:
                    await ensure_pool(client, pool)
                    await end_dead_runs(client, pool.name)
                return
        except httpx.TransportError as problem:
            logger.warning("The Prefect API is not there yet (%s)", type(problem).__name__)
            await asyncio.sleep(RESTART_AFTER_SECONDS)


async def _serve(pool: Pool, grace_seconds: float) -> None:
    while True:
        try:
            # the setting is read once, when the worker starts
            with temporary_settings({PREFECT_WORKER_QUERY_SECONDS: pool.poll_seconds}):
                await worker_for(pool, grace_seconds).start(printer=logger.info)
        except Exception:
            logger.exception("The worker of pool %r ended; starting it again", pool.name)
        await asyncio.sleep(RESTART_AFTER_SECONDS)


async def _stop_without_parent(stop: asyncio.Event) -> None:
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing announces a parent's end
        await asyncio.sleep(PARENT_CHECK_SECONDS)
    logger.warning("The supervisor is gone; stopping")
    stop.set()


async def _main(pools: Sequence[Pool], grace_seconds: float, with_parent: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watch = asyncio.create_task(_stop_without_parent(stop)) if with_parent else None
    await serve(pools, stop, grace_seconds)
    if watch:
        watch.cancel()


def main() -> None:
    """Serve the pools of the catalogue, or those named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pools", nargs="*", help="pools to serve (default: all of the catalogue)")
    parser.add_argument("--grace", type=float, default=20.0, help="seconds a run may go on after SIGTERM")
    parser.add_argument("--with-parent", action="store_true", help="stop when the parent process is gone")
    options = parser.parse_args()
    logging.getLogger("orderloom").setLevel(logging.INFO)  # Prefect has set up the handlers
    if unknown := set(options.pools) - {pool.name for pool in POOLS}:
        parser.error(f"no such pool: {', '.join(sorted(unknown))}")
    chosen = [pool for pool in POOLS if not options.pools or pool.name in options.pools]
    asyncio.run(_main(chosen, options.grace, options.with_parent))
    # a blocked thread of a flow must not keep the process; its run is ended at the next start
    give_up = threading.Timer(EXIT_SECONDS, os._exit, [0])
    give_up.daemon = True
    give_up.start()


if __name__ == "__main__":
    main()
