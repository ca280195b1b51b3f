"""Hears what the channels pushed: new and changed orders are fetched seconds after they were placed."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from tasks.hearing import hear


@flow(name="hear-channels", persist_result=False)
async def hear_channels() -> State:
    """Fetch the orders that waiting hints are about. What cannot be fetched now is tried again by itself."""
    heard = await hear()
    new = heard.counts.get("new", 0)
    name = f"{heard.orders} 个订单有消息" + (f",新单 {new}" if new else "")
    if heard.put_off:
        name += f",{len(heard.put_off)} 个稍后再取"
    return Completed(name=name, message=heard.sentence)
