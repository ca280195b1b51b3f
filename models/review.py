"""Review: which orders a person decides on, and the decision. The row is the truth, whoever asks how often."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, Session, SQLModel, col, select

from models.fulfilment import fulfilments_of, wake
from models.order import lock_order
from models.table import document, kept, key, moment, reference, words
from models.timeline import EventKind, note
from models.wording import TZ


class Verdict(StrEnum):
    """What a reviewer can say."""

    APPROVE = "approve"
    ASK_CUSTOMER = "ask_customer"
    REJECT = "reject"


class CaseState(StrEnum):
    """A case is open until somebody decides it, or the order goes away under it."""

    OPEN = "open"
    DECIDED = "decided"
    WITHDRAWN = "withdrawn"


#: How a verdict reads.
VERDICT_WORDS = {
    Verdict.APPROVE: "批准",
    Verdict.ASK_CUSTOMER: "退回客户补充",
    Verdict.REJECT: "拒绝并取消",
}


class ReviewCase(SQLModel, table=True):
    """One question to one role about one fulfilment. `run_id` is the suspended flow run that shows the form."""

    __tablename__ = "review_case"
    __table_args__ = (
        Index("one_open_review", "fulfilment_id", "role", unique=True, postgresql_where=text("state = 'open'")),
        Index("review_case_decided", "decided_at"),
        CheckConstraint("(state = 'decided') = (verdict IS NOT NULL)", name="decided_has_a_verdict"),
    )

    id: int | None = key()
    fulfilment_id: int = reference("fulfilment.id")
    order_id: int = reference("orders.id")
    role: str = "nutritionist"
    reasons: list[Any] = Field(default_factory=list, sa_type=document().sa_type, nullable=False)
    state: str = CaseState.OPEN.value
    opened_at: datetime = moment()
    due_at: datetime = moment()
    sla_minutes: int = Field(default=22, nullable=False, sa_column_kwargs={"server_default": "22"})
    told_at: datetime | None = moment(nullable=True)  # when the role was told that it is there
    reminded_at: datetime | None = moment(nullable=True)
    escalated_at: datetime | None = moment(nullable=True)
    escalated_to: str = Field(default="", nullable=False, sa_column_kwargs={"server_default": ""})
    verdict: str | None = None
    note: str = words()
    reviewer: str = ""
    decided_at: datetime | None = moment(nullable=True)
    recipes: dict[str, Any] = kept()  # line number → recipe, where the reviewer chose another
    run_id: str | None = None
    run_attempt: int = 0


def open_case(
    session: Session,
    order_id: int,
    fulfilment_id: int,
    reasons: Sequence[str],
    sla_minutes: int,
    now: datetime,
) -> ReviewCase:
    """The open case of this fulfilment, opened now if there is none."""
    case = latest_case(session, fulfilment_id)
    if case is not None and case.state == CaseState.OPEN.value:
        return case
    case = ReviewCase(
        fulfilment_id=fulfilment_id,
        order_id=order_id,
        reasons=list(reasons),
        opened_at=now,
        due_at=now + timedelta(minutes=sla_minutes),
    )
    session.add(case)
    session.flush()
    note(session, order_id, EventKind.REVIEW_OPENED, "review", now, fulfilment_id, reasons=list(reasons))
    return case


def latest_case(session: Session, fulfilment_id: int) -> ReviewCase | None:
    """The newest case of a fulfilment, decided or not."""
    statement = (
        select(ReviewCase).where(ReviewCase.fulfilment_id == fulfilment_id).order_by(ReviewCase.id.desc())  # type: ignore[union-attr]
    )
    return session.exec(statement).first()


def case_of_other_part(session: Session, order_id: int, fulfilment_id: int) -> ReviewCase | None:
    """The newest case, open or approved, of another part of the same order: it covers what concerns all of it."""
    statement = (
        select(ReviewCase)
        .where(ReviewCase.order_id == order_id, ReviewCase.fulfilment_id != fulfilment_id)
        .order_by(col(ReviewCase.id).desc())
    )
    for case in session.exec(statement):
        if case.state == CaseState.OPEN.value or case.verdict == Verdict.APPROVE.value:
            return case
    return None


def decide(
    session: Session, case_id: int, verdict: Verdict, reviewer: str, remark: str, now: datetime
) -> tuple[bool, str]:
    """Enter a verdict. Returns (taken, a sentence for the reviewer); a second or late one changes nothing."""
    asked = session.get(ReviewCase, case_id)
    if asked is None:
        return False, f"没有编号为 {case_id} 的审核:请从「待审核」列表里打开。"
    order = lock_order(session, asked.order_id)
    statement = select(ReviewCase).where(ReviewCase.id == case_id).with_for_update()
    case = session.exec(statement.execution_options(populate_existing=True)).one()
    if case.state == CaseState.WITHDRAWN.value:
        return False, f"订单 {order.order_no} 已取消或变更,不再需要审核。"
    if case.state == CaseState.DECIDED.value:
        assert case.verdict is not None and case.decided_at is not None
        return False, (
            f"订单 {order.order_no} 已由 {case.reviewer} 于 {case.decided_at.astimezone(TZ):%H:%M} "
            f"{VERDICT_WORDS[Verdict(case.verdict)]},这次提交没有改变任何内容。"
        )
    case.state, case.verdict = CaseState.DECIDED.value, verdict.value
    case.reviewer, case.note, case.decided_at = reviewer.strip() or "未署名", remark, now
    session.add(case)
    note(
        session,
        case.order_id,
        EventKind.REVIEW_DECIDED,
        case.reviewer,
        now,
        case.fulfilment_id,
        verdict=verdict.value,
        note=remark[:500],
    )
    wake(session, [f.id for f in fulfilments_of(session, case.order_id) if f.id is not None], now)
    return True, f"订单 {order.order_no}:{VERDICT_WORDS[verdict]}。"


def withdraw(session: Session, fulfilment_id: int) -> None:
    """Close an open case because the order went away under it."""
    session.connection().execute(
        text("UPDATE review_case SET state = 'withdrawn' WHERE fulfilment_id = :id AND state = 'open'"),
        {"id": fulfilment_id},
    )


def cases_without_run(session: Session, limit: int = 200) -> list[ReviewCase]:
    """Open cases that nobody can see in the Prefect UI yet."""
    statement = (
        select(ReviewCase)
        .where(ReviewCase.state == CaseState.OPEN.value, ReviewCase.run_id.is_(None))  # type: ignore[union-attr]
        .order_by(ReviewCase.id)  # type: ignore[arg-type]
        .limit(limit)
    )
    return list(session.exec(statement))
