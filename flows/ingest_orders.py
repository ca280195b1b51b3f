"""Pulls the orders of every shop into the order book: every 15 minutes, and at once on demand."""

from __future__ import annotations

import asyncio

from prefect import flow
from prefect.states import Completed, Failed, State

from models.alone import alone
from models.database import utcnow
from tasks.intake import Pulled, connected_channels, gaps_of, look_again, not_connected, pull_again, pull_channel
from tasks.intake_board import show_completeness
from tasks.shelves import connected_shelves, publish_shelf
from tasks.stock_board import show_published
from tasks.subscribing import keep_subscribed
from tasks.validation_board import show_validation

#: Seconds until a channel that did not answer is tried again within the same run.
RETRY_AFTER = (5.0, 30.0)
#: Characters of what a run says; a backfill of a year that fails has thousands of sentences.
LONGEST = 4_000


@flow(name="ingest-orders", persist_result=False)
async def ingest_orders(channels: list[str] | None = None) -> State:
    """Read each channel's window since the last time, all at once; a channel that is down does not hold the others.

    Every batch is judged before it enters (artifact `order-quality`), and every window is proved by what the platform
    itself counts there: what is missing is fetched, and a gap that stays is named in the artifact `order-completeness`
    and pulled again. What sold is published to the other channels at once. Give `channels` to read only some.
    """
    if unknown := not_connected(channels or []):
        return Failed(name="渠道没有接好", message=unknown)
    wanted = channels or connected_channels()
    _, read = await asyncio.gather(keep_subscribed(), asyncio.gather(*(catch_up(name) for name in wanted)))
    await show_completeness()
    await show_validation()
    if any(pulled.counts.get("new") or pulled.counts.get("changed") for windows in read for pulled in windows):
        await show_published(await asyncio.gather(*(publish_shelf(name) for name in connected_shelves())))
    return outcome([pulled for windows in read for pulled in windows])


async def catch_up(name: str) -> list[Pulled]:
    """A channel's new window, its open gaps, and a second look at what was read an hour ago.

    A channel that an earlier run is still reading (throttled, over a large backlog) is left to it.
    """
    async with alone(f"intake {name}") as mine:
        if not mine:
            return [Pulled(name, utcnow(), utcnow(), busy=True)]
        pulled = await pull_channel(name)
        for seconds in RETRY_AFTER:
            if not pulled.error:
                break
            await asyncio.sleep(seconds)
            pulled = await pull_channel(name)
        read = [pulled]
        if not pulled.error:
            read += [await pull_again(name, window_id) for window_id in await gaps_of(name)]
            again = await look_again(name)
            read += [again] if again is not None else []
        return read


def outcome(read: list[Pulled]) -> State:
    """The run's end: what came in, which channels are down, and what is still missing."""
    told = ";".join(pulled.sentence for pulled in read)[:LONGEST]
    broken = sorted({pulled.channel for pulled in read if pulled.error})
    if broken and all(pulled.error for pulled in read):
        return Failed(name="渠道不通", message=told)
    if broken:
        return Completed(name=f"部分渠道不通:{'、'.join(broken)}", message=told)
    lacking = sum(max(pulled.gap, len(pulled.missing)) for pulled in read)
    if lacking:
        return Completed(name=f"有缺口:{lacking} 单", message=told)
    new = sum(pulled.counts.get("new", 0) for pulled in read)
    return Completed(name=f"新单 {new}" if new else "没有新单", message=told)
