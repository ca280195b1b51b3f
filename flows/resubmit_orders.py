"""Submits orders that were set aside once more: after the product was created, or the order mended on its channel."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.states import Completed, Failed, State

from tasks.resubmitting import Submitted, submit_again, waiting_with

#: Rows that are submitted in one step; the progress bar moves after each.
AT_ONCE = 25


@flow(name="resubmit-orders", persist_result=False)
async def resubmit_orders(
    your_name: str,
    numbers: list[int] | None = None,
    faults: list[str] | None = None,
    channels: list[str] | None = None,
    fetch_again: bool = False,
) -> State:
    """Submit what is in quarantine again, past the same rules.

    `numbers` are the rows' numbers on the quarantine page; without them everything that has one of `faults`
    (unknown_sku …) on `channels` is meant, or all of it. `fetch_again` reads the orders from their channels first.
    To change what an order says, use the quarantine page.
    """
    if not your_name.strip():
        return Failed(name="缺姓名", message="请填写你的姓名，记录里会写明是谁提交的。")
    ids = numbers or await waiting_with(faults or [], channels or [])
    progress = await acreate_progress_artifact(0.0, key="order-resubmission", description="重新提交隔离的订单")
    submitted = Submitted()
    for start in range(0, len(ids), AT_ONCE):
        submitted.add(await submit_again(ids[start : start + AT_ONCE], fetch_again, your_name.strip()[:80]))
        await aupdate_progress_artifact(progress, 100.0 * submitted.asked / len(ids))
    entered = submitted.counts["new"] + submitted.counts["changed"] + submitted.counts["known"]
    name = f"入库 {entered},仍有 {len(submitted.still)} 件不行" if submitted.still else f"入库 {entered}"
    return Completed(name=name if submitted.asked else "没有要提交的", message=submitted.sentence[:4_000])
