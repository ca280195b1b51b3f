"""Submits orders that were set aside once more: after the product was created, or the order mended on its channel."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, Failed, State

from tasks.resubmitting import submit_again, waiting_with


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
    submitted = await submit_again(ids, fetch_again, your_name.strip()[:80])
    entered = submitted.counts["new"] + submitted.counts["changed"] + submitted.counts["known"]
    name = f"入库 {entered},仍有 {len(submitted.still)} 件不行" if submitted.still else f"入库 {entered}"
    return Completed(name=name if submitted.asked else "没有要提交的", message=submitted.sentence[:4_000])
