"""Reads a stretch of the past into the order book, slice by slice, each proved: for a new shop, or after an outage."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from prefect import flow
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.states import Completed, Failed, State

from flows.ingest_orders import outcome
from models.database import utcnow
from models.window import Why
from tasks.intake import Pulled, connected_channels, horizon_of, not_connected, pull_channel
from tasks.intake_board import show_completeness

#: One slice; its window is committed and proved before the next begins.
SLICE = timedelta(hours=6)
LONGEST = timedelta(days=400)


@flow(name="backfill-orders", persist_result=False)
async def backfill_orders(since: datetime, until: datetime | None = None, channels: list[str] | None = None) -> State:
    """Read every order that was updated in [since, until) again, 6 hours at a time, all channels at once.

    Known orders stay as they are, so it may be run as often as you like, also over what was read before. `until`
    defaults to now. A slice that fails is told and does not stop the others: run it again. What a channel does not
    show us because it is too old is not read, and the run fails with a sentence that says from when on it was.
    """
    end = min(until or utcnow(), utcnow())
    if since.tzinfo is None or end.tzinfo is None:
        return Failed(name="时间缺时区", message="请写明时区，例如 2026-11-01T00:00:00+08:00。")
    if not timedelta() < end - since <= LONGEST:
        return Failed(name="时间段不对", message=f"起点要早于终点，且一次最多 {LONGEST.days} 天。")
    if unknown := not_connected(channels or []):
        return Failed(name="渠道没有接好", message=unknown)
    wanted = channels or connected_channels()
    horizons = {name: horizon for name in wanted if (horizon := await horizon_of(name, since))}
    slices = {name: sliced(since, end) for name in wanted}
    for name, horizon in horizons.items():
        slices[name] = [(start, stop) for start, stop in slices[name] if stop > horizon.since]
    total = sum(map(len, slices.values()))
    progress = await acreate_progress_artifact(0.0, key="order-backfill", description="补拉订单")
    read: list[Pulled] = []

    async def channel(name: str) -> None:
        for start, stop in slices[name]:
            read.append(await pull_channel(name, start, stop, Why.BACKFILL))
            await aupdate_progress_artifact(progress, 100.0 * len(read) / total)

    await asyncio.gather(*(channel(name) for name in wanted))
    await show_completeness()
    state = outcome(read)
    told = f"核对 {sum(pulled.told or 0 for pulled in read)} 单;{state.message}"
    if horizons:
        unseen = ";".join(horizon.sentence for horizon in horizons.values())
        return Failed(name=f"看不到较早的订单:{'、'.join(horizons)}", message=f"{unseen}。{told}"[:4_000])
    return Completed(name=state.name, message=told[:4_000]) if state.is_completed() else state


def sliced(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """[since, until) in slices of six hours, the last one shorter."""
    slices, start = [], since
    while start < until:
        stop = min(start + SLICE, until)
        slices.append((start, stop))
        start = stop
    return slices
