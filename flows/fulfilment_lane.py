"""The lane: takes ready fulfilments and carries each one as far as it goes, many at a time."""

from __future__ import annotations

import asyncio

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.fulfil_order import fulfil_order
from models.fulfilment import Claim
from tasks.child_run import run_child
from tasks.claiming import Shift, keep_beating
from tasks.working import give_back


@flow(name="fulfilment-lane", flow_run_name="{lane}", persist_result=False)
async def fulfilment_lane(lane: str, seconds: float) -> str:
    """One shift of a lane: claim for so many seconds, then finish what is held. The next shift claims meanwhile."""
    shift = Shift(seconds, run_id=str(flow_run.id) if flow_run.id else None)
    carried = 0
    async with asyncio.TaskGroup() as whole_shift:
        beating = whole_shift.create_task(keep_beating(shift))
        async with asyncio.TaskGroup() as work:
            async for claim in shift.claims():
                work.create_task(carry(shift, claim))
                carried += 1
        beating.cancel()
    return f"本班处理 {carried} 单次"


async def carry(shift: Shift, claim: Claim) -> None:
    """One child run for one claim. Its failure is its own: it shows in the UI, and the lane goes on."""
    try:
        await run_child(
            fulfil_order,
            claim.order_no,
            [f"channel:{claim.channel}"],
            order_no=claim.order_no,
            reason="lane",
            claim=claim,
        )
    except Exception as error:
        get_run_logger().exception("订单 %s 的运行没能开始或结束,稍后自动重试", claim.order_no)
        await give_back(claim, f"运行没能开始或结束:{type(error).__name__}")
    finally:
        shift.process.leave(claim)
