"""Looks after promises and money that nobody is working on: late promises end, queues are fed, refunds followed."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from tasks.checking_stock import tell_warehouses
from tasks.refunding import follow_refunds
from tasks.tending_stock import end_late_promises, feed_queue


@flow(name="tend-stock", persist_result=False)
async def tend_stock() -> State:
    """End reservations that expired, feed who waits, tell warehouses of checks left over, follow open refunds."""
    expired = await end_late_promises()
    fed = await feed_queue()
    told = await tell_warehouses()
    refunds = await follow_refunds()
    done = {"到期释放": expired, "补货分配": fed, "催核对": told, "跟进退款": sum(refunds.values())}
    words = " ".join(f"{what} {count}" for what, count in done.items() if count)
    return Completed(name=words or "没有要处理的")
