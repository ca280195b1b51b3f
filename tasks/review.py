"""Step: a person looks at what needs a person."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import Session

from models.database import in_transaction, utcnow
from models.fulfilment import Claim, Stage, WaitingOn, advance, hold_on
from models.order import Order
from models.reservation import keep
from models.review import Verdict
from models.review_route import Standing, stand
from models.timeline import EventKind, note
from tasks.recipe_guard import stopped_without_recipe
from tasks.review_runs import show_case
from tasks.shadow import decide_on_paper
from tasks.working import PERSON_LOOK_AGAIN, MustWait

#: An open review is looked at again by itself this long after it was due.
LOOK_AGAIN = timedelta(hours=1)


async def pass_review(claim: Claim) -> None:
    """Go straight through, or wait for every role that the matrix asks. Twice: one case a role, one verdict a case.

    What is made to order and lost its recipe meanwhile is not judged: it begins again with matching one.
    """
    if claim.stage.reached(Stage.APPROVED):
        return
    standing = await in_transaction(lambda session: _judge(session, claim))
    if isinstance(standing, MustWait):
        raise standing
    if standing.waits_for:
        raise await shown_to_reviewers(standing)


async def shown_to_reviewers(standing: Standing) -> MustWait:
    """Show the cases that nobody can see yet; what the fulfilment waits for, to be raised. Twice: the same runs."""
    for case in standing.waits_for:
        if case.is_open and case.run_id is None:
            await show_case(case)
    for case in standing.waits_for:
        if case.verdict == Verdict.ASK_CUSTOMER.value:
            why = f"审核人要求客户补充:{case.note}"
            return MustWait(WaitingOn.CUSTOMER, why, utcnow() + PERSON_LOOK_AGAIN)
    due = max(min(case.due_at for case in standing.waits_for), utcnow())
    return MustWait(WaitingOn.REVIEW, standing.why, due + LOOK_AGAIN)


def _judge(session: Session, claim: Claim) -> Standing | MustWait:
    """Where it stands with its reviewers; approved now if it waits for none of them and has its recipes."""
    now = utcnow()
    hold_on(session, claim)
    if stop := stopped_without_recipe(session, claim, now):
        return stop
    decide_on_paper(session, claim.order_id, now)
    standing = stand(session, session.get_one(Order, claim.order_id), claim.fulfilment_id, now)
    if not standing.waits_for:
        advance(session, claim, Stage.APPROVED, now)
        keep(session, claim.fulfilment_id)
        actor = "、".join(standing.approved_by) or "straight-through"
        note(session, claim.order_id, EventKind.APPROVED, actor, now, claim.fulfilment_id)
    return standing
