"""Approves many similar reviews at once: listed by number, or every open one with this role, reason and amount."""

from __future__ import annotations

from typing import Literal

from prefect import flow
from prefect.states import Completed, Failed, State

from models.review_bulk import MOST, Wanted
from tasks.approving import approve_all, close_shown, publish

#: The roles that can be chosen, `models.matrix.ROLES`, and any of them.
Role = Literal["", "nutritionist", "customer_service_lead", "warehouse_supervisor", "production_manager", "finance"]
#: No order is of a larger sum.
MOST_YUAN = 100_000_000


@flow(name="approve-reviews", persist_result=False)
async def approve_reviews(
    reviewer: str,
    orders: list[str] | None = None,
    cases: list[int] | None = None,
    role: Role = "",
    reason: str = "",
    up_to_yuan: float | None = None,
    note: str = "",
    dry_run: bool = True,
) -> State:
    """Approve reviews under one name; by default only the list of what would be approved is made.

    Args:
        reviewer: your name; it stands in each order's timeline
        orders: order numbers such as SH-1001
        cases: numbers of reviews
        role: only reviews of this role
        reason: only reviews with this as their only reason; * stands for anything, as in 金额 * 元,超过 500 元
        up_to_yuan: only orders of at most this amount
        note: a remark for colleagues
        dry_run: show what would be approved and change nothing
    """
    if up_to_yuan is not None and not 0 <= up_to_yuan <= MOST_YUAN:
        return Failed(
            name="金额不对", message=f"金额上限请填 0 到 {MOST_YUAN:,} 之间的数,单位元,例如 800。没有任何改变。"
        )
    wanted = Wanted(orders or (), cases or (), role, reason, None if up_to_yuan is None else round(up_to_yuan * 100))
    if not reviewer.strip():
        return Failed(name="缺姓名", message="请填写审核人的姓名,每个订单的记录里会写明是谁批准的。")
    if wanted.everything:
        return Failed(name="缺范围", message="请列出订单号或审核编号,或选角色、理由、金额上限中的至少一项。")
    outcomes = await approve_all(wanted, reviewer.strip()[:40], note[:500], dry_run)
    await publish(outcomes, dry_run)
    taken = sum(one.taken for one in outcomes)
    if not dry_run:
        await close_shown(outcomes)
    refused = len(outcomes) - taken
    said = f"{'会批准' if dry_run else '批准'} {taken}" + (f",不能 {refused}" if refused else "")
    more = f"一次最多 {MOST} 份,其余请再运行一次。" if len(outcomes) >= MOST else ""
    return Completed(name=said, message=more + "\n".join(one.sentence for one in outcomes if not one.taken)[:4_000])
