"""Shows every channel what may be sold of each SKU: every 5 minutes, and at once on demand."""

from __future__ import annotations

import asyncio

from prefect import flow
from prefect.states import Completed, Failed, State

from tasks.shelves import connected_shelves, publish_shelf
from tasks.stock_board import show_published


@flow(name="publish-stock", persist_result=False)
async def publish_stock(channels: list[str] | None = None) -> State:
    """Publish to all channels at once; one that is down does not hold the others.

    Give `channels` to publish only to some (shopify, wechat_shop, douyin). The artifact `channel-stock` says what
    was changed.
    """
    wanted = channels or connected_shelves()
    published = await asyncio.gather(*(publish_shelf(name) for name in wanted))
    await show_published(published)
    told = ";".join(result.sentence for result in published)
    broken = [result.channel for result in published if result.error]
    if broken and len(broken) == len(published):
        return Failed(name="渠道不通", message=told)
    if broken:
        return Completed(name=f"部分渠道不通:{'、'.join(broken)}", message=told)
    changed = sum(len(result.changes) for result in published)
    return Completed(name=f"改了 {changed} 个" if changed else "没有变化", message=told)
