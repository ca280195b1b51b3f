"""Review: the questions that people decide on, one for each role, and the decision. The row is the truth, whoever asks.

Who is asked, and whether an order may go on, is in `models/review_route.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, Session, SQLModel, col, select

from models import hold
from models.cancellation import request_cancellation
from models.change import overtakes_review
from models.fulfilment import fulfilments_of, wake
from models.order import Order, lock_order
from models.recipe_change import RecipeRefused, change_recipes, lines_without_recipe
from models.table import document, kept, key, moment, reference, words
from models.timeline import EventKind, note
from models.wording import TZ


class Verdict(StrEnum):
    """What a reviewer can say."""

    APPROVE = "approve"
    CHANGE_RECIPE = "change_recipe"
    ASK_CUSTOMER = "ask_customer"
    REJECT = "reject"


class CaseState(StrEnum):
    """A case is open until somebody decides it, or the order goes away under it."""

    OPEN = "open"
    DECIDED = "decided"
    WITHDRAWN = "withdrawn"


#: Holds by which reviewers ask the customer begin so; the number of the case follows.
REVIEWER_ASKS = "reviewer_asks"
#: How a verdict reads.
VERDICT_WORDS = {
    Verdict.APPROVE: "批准",
    Verdict.CHANGE_RECIPE: "换配方",
    Verdict.ASK_CUSTOMER: "退回客户补充",
    Verdict.REJECT: "拒绝并取消",
}


class ReviewCase(SQLModel, table=True):
    """One question to one role about one fulfilment. `run_id` is the suspended flow run that shows the form.

    `recipes`: line number → recipe that the reviewer chose; while it is open, "" for each line that its role has to
    choose one for.
    """

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
    recipes: dict[str, Any] = kept()
    run_id: str | None = None
    run_attempt: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it still waits for its role."""
        return self.state == CaseState.OPEN.value

    @property
    def approved(self) -> bool:
        """Whether its role lets the order go on."""
        return self.verdict in (Verdict.APPROVE.value, Verdict.CHANGE_RECIPE.value)


def open_case(
    session: Session,
    order_id: int,
    fulfilment_id: int,
    reasons: Sequence[str],
    sla_minutes: int,
    now: datetime,
    role: str = "nutritionist",
    choose_for: Sequence[int] = (),
) -> ReviewCase:
    """The open case of this fulfilment and role, opened now if there is none.

    `choose_for`: numbers of the lines that have no recipe, and for which this role has to choose one.
    """
    case = latest_case(session, fulfilment_id, role)
    if case is not None and case.is_open:
        return case
    case = ReviewCase(
        fulfilment_id=fulfilment_id,
        order_id=order_id,
        role=role,
        reasons=list(reasons),
        opened_at=now,
        due_at=now + timedelta(minutes=sla_minutes),
        sla_minutes=sla_minutes,
        recipes={str(number): "" for number in choose_for},
    )
    session.add(case)
    session.flush()
    note(session, order_id, EventKind.REVIEW_OPENED, "review", now, fulfilment_id, role=role, reasons=list(reasons))
    return case


def latest_case(session: Session, fulfilment_id: int, role: str = "nutritionist") -> ReviewCase | None:
    """The newest case of a fulfilment and role, decided or not."""
    statement = (
        select(ReviewCase)
        .where(ReviewCase.fulfilment_id == fulfilment_id, ReviewCase.role == role)
        .order_by(col(ReviewCase.id).desc())
    )
    return session.exec(statement).first()


def cases_of(session: Session, order_id: int) -> list[ReviewCase]:
    """Every case of an order, oldest first."""
    statement = select(ReviewCase).where(ReviewCase.order_id == order_id).order_by(col(ReviewCase.id))
    return list(session.exec(statement.execution_options(populate_existing=True)))


def asks(case: ReviewCase) -> str:
    """The code of the hold by which the reviewer of a case asks the customer; answered once it is released."""
    return f"{REVIEWER_ASKS}_{case.id}"


def decide(
    session: Session,
    case_id: int,
    verdict: Verdict,
    reviewer: str,
    remark: str,
    now: datetime,
    recipes: Mapping[int, str] | None = None,
) -> tuple[bool, str]:
    """Enter a verdict. Returns (taken, a sentence for the reviewer); one that is not taken changes nothing.

    `recipes`: line number → code, with "change recipe". A rejection asks for the whole order to be cancelled at once,
    whatever holds it or it waits for; a question to the customer holds it.
    """
    asked = session.get(ReviewCase, case_id)
    if asked is None:
        return False, f"没有编号为 {case_id} 的审核:请从「待审核」列表里打开。"
    order = lock_order(session, asked.order_id)
    statement = select(ReviewCase).where(ReviewCase.id == case_id).with_for_update()
    case = session.exec(statement.execution_options(populate_existing=True)).one()
    why_not = _is_over(session, order, case, now)
    if why_not:
        return False, why_not
    by = reviewer.strip() or "未署名"
    chosen = {str(number): code.strip() for number, code in (recipes or {}).items() if code.strip()}
    try:
        _choose(session, order, case, verdict, {int(number): code for number, code in chosen.items()}, by, now)
    except RecipeRefused as refused:
        return False, f"订单 {order.order_no}:{refused}"
    case.state, case.verdict, case.recipes = CaseState.DECIDED.value, verdict.value, chosen
    case.reviewer, case.note, case.decided_at = by, remark, now
    session.add(case)
    detail = {"recipes": chosen} if chosen else {}
    note(
        session, case.order_id, EventKind.REVIEW_DECIDED, by, now, case.fulfilment_id,
        role=case.role, verdict=verdict.value, note=remark[:500], **detail,
    )  # fmt: skip
    if verdict is Verdict.REJECT:
        request_cancellation(session, order, f"审核未通过:{remark or '见审核记录'}", by, now)
    elif verdict is Verdict.ASK_CUSTOMER:
        how = "联系客户补充资料,补全后解除;解除后会重新送审"
        reason = f"审核人要求补充:{remark or '见审核记录'}"
        hold.place(session, case.order_id, asks(case), reason, "客服", how, by, now)
    wake(session, [f.id for f in fulfilments_of(session, case.order_id) if f.id is not None], now)
    return True, f"订单 {order.order_no}:{VERDICT_WORDS[verdict]}。"


def _is_over(session: Session, order: Order, case: ReviewCase, now: datetime) -> str:
    """Why this case cannot be decided any more, in a sentence; "" while it can."""
    if case.state == CaseState.WITHDRAWN.value:
        return f"订单 {order.order_no} 已取消或变更,不再需要审核。"
    if case.state == CaseState.DECIDED.value:
        assert case.verdict is not None and case.decided_at is not None
        return (
            f"订单 {order.order_no} 已由 {case.reviewer} 于 {case.decided_at.astimezone(TZ):%H:%M} "
            f"{VERDICT_WORDS[Verdict(case.verdict)]},这次提交没有改变任何内容。"
        )
    assert case.id is not None
    if overtakes_review(session, case.order_id, case.id):
        put_aside(session, case)
        wake(session, [case.fulfilment_id], now)
        return f"订单 {order.order_no} 在送审之后增加了内容:这次提交没有采纳,会按现在的内容重新送审。"
    return ""


def _choose(
    session: Session,
    order: Order,
    case: ReviewCase,
    verdict: Verdict,
    recipes: Mapping[int, str],
    by: str,
    now: datetime,
) -> None:
    """Carry out what the verdict says of recipes. Raises `RecipeRefused`; then nothing is changed."""
    lacking = set(lines_without_recipe(session, case.order_id)) & {int(number) for number in case.recipes}
    if verdict is Verdict.CHANGE_RECIPE:
        if not recipes:
            raise RecipeRefused("换配方要写明新的配方:请选一个,或改选别的结论。没有任何改变。")
        if lacking - recipes.keys():
            numbers = "、".join(map(str, sorted(lacking - recipes.keys())))
            raise RecipeRefused(f"第 {numbers} 行还没有配方:请为它也选一个。没有任何改变。")
        change_recipes(session, order, recipes, by, now)
    elif recipes:
        said = VERDICT_WORDS[verdict]
        raise RecipeRefused(f"选了新的配方,结论却是「{said}」:要换就选「换配方」,不换就不要选配方。没有任何改变。")
    elif verdict is Verdict.APPROVE and lacking:
        raise RecipeRefused("没有配方,请选择一个配方或退回客户。没有任何改变。")


def put_aside(session: Session, case: ReviewCase) -> None:
    """Withdraw one open case, because its question is no longer the one to be answered."""
    case.state = CaseState.WITHDRAWN.value
    session.add(case)
    session.flush()


def cases_without_run(session: Session, limit: int = 200) -> list[ReviewCase]:
    """Open cases that nobody can see in the Prefect UI yet."""
    statement = (
        select(ReviewCase)
        .where(ReviewCase.state == CaseState.OPEN.value, col(ReviewCase.run_id).is_(None))
        .order_by(col(ReviewCase.id))
        .limit(limit)
    )
    return list(session.exec(statement))
