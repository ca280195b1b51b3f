"""Steps: many similar reviews are approved at once, or it is shown first what that would come to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from prefect.artifacts import acreate_table_artifact
from sqlmodel import Session

from models.database import in_transaction, rehearse, utcnow
from models.review_bulk import Found, Wanted, approve, find
from models.review_duty import role_word
from models.wording import local, yuan
from tasks.review_runs import close_runs
from tasks.step import outward

#: The artifact's key; its history is on the Artifacts page.
ARTIFACT = "approve-reviews"


@dataclass(frozen=True)
class Outcome:
    """What came, or would come, of one review."""

    found: Found
    taken: bool
    sentence: str


async def approve_all(wanted: Wanted, reviewer: str, remark: str, dry_run: bool) -> list[Outcome]:
    """Approve what is meant, each in a transaction of its own. Twice: the second time each says who was first.

    With `dry_run` the same is done, and taken back.
    """
    return [
        await _approve(found, reviewer, remark, dry_run)
        for found in await in_transaction(lambda session: find(session, wanted))
    ]


async def _approve(found: Found, reviewer: str, remark: str, dry_run: bool) -> Outcome:
    def work(session: Session) -> tuple[bool, str]:
        return approve(session, found, reviewer, remark, utcnow())

    taken, sentence = await asyncio.to_thread(rehearse, work) if dry_run else await in_transaction(work)
    return Outcome(found, taken, sentence)


@outward("公布批量审核")
async def publish(outcomes: list[Outcome], dry_run: bool) -> None:
    """Write the list as an artifact. Twice: two entries in its history, nothing else."""
    rows = [
        {
            "订单": one.found.order_no or one.found.asked,
            "审核编号": one.found.case_id or "",
            "角色": role_word(one.found.role),
            "理由": ";".join(one.found.reasons),
            "金额": yuan(one.found.total_fen),
            "时限": local(one.found.due_at) if one.found.due_at else "",
            "结果": ("会批准" if dry_run else "已批准") if one.taken else "不能批准",
            "说明": one.sentence,
        }
        for one in outcomes
    ]
    said = "试算,没有任何改变" if dry_run else "已办理"
    await acreate_table_artifact(table=rows, key=ARTIFACT, description=f"批量审核:{said}")


@outward("关闭已决定的审核")
async def close_shown(outcomes: list[Outcome]) -> int:
    """Close the suspended runs of those that were approved; how many. Twice: none the second time."""
    return await close_runs([one.found.case_id for one in outcomes if one.taken and one.found.case_id is not None])
