"""Pulls the orders of every shop into the order book: every 15 minutes, and at once on demand."""

from __future__ import annotations

import asyncio

from prefect import flow
from prefect.states import Completed, Failed, State

from tasks.intake import connected_channels, pull_channel


@flow(name="ingest-orders", persist_result=False)
async def ingest_orders(channels: list[str] | None = None) -> State:
    """Read each channel's window since the last time, all at once; a channel that is down does not hold the others.

    Give `channels` to read only some (shopify, wechat_shop, douyin).
    """
    wanted = channels or connected_channels()
    pulled = await asyncio.gather(*(pull_channel(name) for name in wanted))
    told = ";".join(result.sentence for result in pulled)
    broken = [result.channel for result in pulled if result.error]
    if broken and len(broken) == len(pulled):
        return Failed(name="渠道不通", message=told)
    if broken:
        return Completed(name=f"部分渠道不通:{'、'.join(broken)}", message=told)
    new = sum(result.counts.get("new", 0) for result in pulled)
    return Completed(name=f"新单 {new}" if new else "没有新单", message=told)
