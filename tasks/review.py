"""Step: a person looks at what needs a person; and the suspended runs in which reviewers decide."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import Session

from models import hold
from models.allocation import made_of
from models.cancellation import request_cancellation
from models.change import overtakes_review
from models.database import in_transaction, utcnow
from models.fulfilment import Claim, ClaimLost, Stage, WaitingOn, advance, hold_on
from models.order import Order
from models.order_facts import facts_of
from models.reservation import keep
from models.review import (
    CaseState,
    ReviewCase,
    Verdict,
    case_of_other_part,
    latest_case,
    open_case,
)
from models.rules_in_force import matrix_of
from models.settings import settings
from models.timeline import EventKind, note
from tasks.review_runs import show_case
from tasks.shadow import decide_on_paper
from tasks.working import PERSON_LOOK_AGAIN, MustWait

#: An open review is looked at again by itself this long after it was due.
LOOK_AGAIN = timedelta(hours=1)


async def pass_review(claim: Claim) -> None:
    """Go straight through, or wait for a nutritionist. Twice: one case, one verdict."""
    if claim.stage.reached(Stage.APPROVED):
        return
    case = await in_transaction(lambda session: _judge(session, claim))
    if case is None:
        return
    if case.verdict == Verdict.REJECT.value:
        raise ClaimLost("审核未通过,转入取消流程")
    if case.verdict == Verdict.ASK_CUSTOMER.value:
        raise MustWait(WaitingOn.CUSTOMER, f"审核人要求客户补充:{case.note}", utcnow() + PERSON_LOOK_AGAIN)
    if case.run_id is None:
        await show_case(case)
    due = max(case.due_at, utcnow()) + LOOK_AGAIN
    raise MustWait(WaitingOn.REVIEW, ";".join(case.reasons), due)


def _judge(session: Session, claim: Claim) -> ReviewCase | None:
    """The case that stops the fulfilment, or None when it is approved now."""
    now = utcnow()
    hold_on(session, claim)
    order = session.get_one(Order, claim.order_id)
    case = _still_counts(session, latest_case(session, claim.fulfilment_id))
    decide_on_paper(session, case, now)
    policy = settings().policy
    recipes = [recipe for _, _, recipe in made_of(session, claim.order_id, claim.fulfilment_id) if recipe is not None]
    other = _still_counts(session, case_of_other_part(session, claim.order_id, claim.fulfilment_id))
    facts = facts_of(session, order, recipes)
    route = matrix_of(session, order).route(facts)
    reasons = [] if other is not None else [reason for asked in route for reason in asked.reasons]
    if case is None and not reasons and other is not None and other.state == CaseState.OPEN.value:
        return other  # one person answers for the whole order
    if (case is None and not reasons) or (case is not None and case.verdict == Verdict.APPROVE.value):
        advance(session, claim, Stage.APPROVED, now)
        keep(session, claim.fulfilment_id)
        actor = case.reviewer if case is not None else "straight-through"
        note(session, claim.order_id, EventKind.APPROVED, actor, now, claim.fulfilment_id)
        return None
    if case is None or _answered(session, case):
        return open_case(session, claim.order_id, claim.fulfilment_id, reasons, policy.review_sla_minutes, now)
    if case.verdict == Verdict.REJECT.value:
        request_cancellation(session, order, f"审核未通过:{case.note or '见审核记录'}", case.reviewer, now)
    return case


def _still_counts(session: Session, case: ReviewCase | None) -> ReviewCase | None:
    """The case, unless it was withdrawn, or what it said was said before the order grew."""
    if case is None or case.state == CaseState.WITHDRAWN.value or case.id is None:
        return None
    return None if overtakes_review(session, case.order_id, case.id) else case


def _answered(session: Session, case: ReviewCase) -> bool:
    """Whether the customer was asked and the answer is in (the hold is lifted); the first time round, ask."""
    if case.verdict != Verdict.ASK_CUSTOMER.value:
        return False
    if hold.ever_placed(session, case.order_id, _asks(case)):
        return not any(h.code == _asks(case) for h in hold.open_holds(session, case.order_id))
    how = "联系客户补充资料,补全后解除;解除后会重新送审"
    hold.place(session, case.order_id, _asks(case), f"审核人要求补充:{case.note}", "客服", how, case.reviewer, utcnow())
    return False


def _asks(case: ReviewCase) -> str:
    return f"reviewer_asks_{case.id}"
