"""The suspended flow runs in which reviewers decide: one for each open case, created suspended, form stored.

The case is the truth, the run only shows it. A run that could not be made now is made by `tend_reviews`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from enum import StrEnum
from typing import cast
from uuid import UUID

from prefect import get_client, suspend_flow_run
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.input import (
    Keyset,
    RunInput,
    create_flow_run_input,
    keyset_from_base_key,
    keyset_from_paused_state,
    read_flow_run_input,
)
from prefect.logging import get_run_logger
from prefect.states import Cancelled, State, Suspended
from pydantic import Field
from sqlmodel import Session, col, select

from models import faults
from models.database import in_transaction, utcnow
from models.order import Order, lines_of
from models.order_page import pet_answers
from models.privacy import without_numbers
from models.review import CaseState, ReviewCase, Verdict, cases_without_run, decide
from models.wording import CHANNEL_WORDS, PROFILE_WORDS, local, say, say_answer, yuan
from tasks.plain_text import plain
from tasks.step import outward

#: `flow/deployment` of the runs that are shown to reviewers.
REVIEW_DEPLOYMENT = "review-order/review"
PAUSE_KEY = "review"
#: A suspended run that nobody resumes is ended by Prefect after this long (seconds); the case stays open.
SHOWN_FOR = 7 * 24 * 3600


class Choice(StrEnum):
    """What the form offers, as reviewers read it."""

    APPROVE = "批准"
    ASK_CUSTOMER = "退回客户补充"
    REJECT = "拒绝并取消订单"


VERDICTS = {
    Choice.APPROVE: Verdict.APPROVE,
    Choice.ASK_CUSTOMER: Verdict.ASK_CUSTOMER,
    Choice.REJECT: Verdict.REJECT,
}


class ReviewDecision(RunInput):
    """The form that a reviewer fills in."""

    verdict: Choice = Field(
        default=Choice.APPROVE, title="结论", description="批准后订单自动继续", json_schema_extra={"position": 1}
    )
    reviewer: str = Field(
        title="审核人", description="请填写姓名", min_length=1, max_length=40, json_schema_extra={"position": 2}
    )
    note: str = Field(
        default="",
        title="备注",
        description="客户或同事会看到的理由",
        max_length=500,
        json_schema_extra={"position": 3},
    )


@outward("请人审核")
async def show_case(case: ReviewCase) -> None:
    """Make the suspended run that shows this case. Twice: the same run (its idempotency key is the case's)."""
    try:
        await _show(case)
    except Exception as error:  # the case stands; the reconciler shows it later
        get_run_logger().warning("审核 %s 暂时没有显示出来,稍后补上:%s", case.id, error)


async def _show(case: ReviewCase) -> None:
    order_no, channel, page = await in_transaction(lambda session: _page(session, case))
    state: State[None] = Suspended(timeout_seconds=SHOWN_FOR, pause_key=PAUSE_KEY)
    keyset = keyset_from_paused_state(state)
    state.state_details.run_input_keyset = {str(k): v for k, v in keyset.items()}
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(REVIEW_DEPLOYMENT)
        run = await client.create_flow_run_from_deployment(
            deployment.id,
            name=order_no,
            parameters={"case_id": case.id},
            state=state,
            tags=[f"channel:{channel}", "stage:review", f"role:{case.role}"],
            idempotency_key=f"review-{case.id}-{case.opened_at.timestamp():.6f}-{case.run_attempt}",
        )
        faults.point("review_run_made")
        await _store_form(keyset, run.id, page)
        faults.point("review_form_stored")
    await in_transaction(lambda session: _remember(session, case.id, str(run.id)))


async def _store_form(keyset: Keyset, run_id: UUID, page: str) -> None:
    """Store the form and the page above it with the run. Twice: what is stored stays (Prefect answers 409)."""
    form = ReviewDecision.save(keyset, run_id)
    above = create_flow_run_input(key=keyset["description"], value=page, flow_run_id=run_id)
    for storing in cast(tuple[Awaitable[None], ...], (form, above)):
        try:
            await storing
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 409:
                raise


def _remember(session: Session, case_id: int | None, run_id: str) -> None:
    row = session.get_one(ReviewCase, case_id, with_for_update=True)
    row.run_id = run_id
    session.add(row)


def _page(session: Session, case: ReviewCase) -> tuple[str, str, str]:
    """What the reviewer needs to know, as Markdown, without personal data."""
    order = session.get_one(Order, case.order_id)
    lines = []
    for line in lines_of(session, case.order_id):
        profile = "、".join(
            f"{say(PROFILE_WORDS, name)} {say_answer(answer)}" for name, answer in pet_answers(line.profile).items()
        )
        lines.append(f"- **{plain(line.title)}** × {line.quantity}(实付 {yuan(line.paid_fen)})")
        if profile:
            lines.append(f"  - 宠物档案:{plain(profile, 500)}")
    text = "\n".join(
        [
            f"## 订单 {order.order_no}({say(CHANNEL_WORDS, order.channel)})",
            f"**为什么要审核**:{';'.join(map(plain, case.reasons))}",
            f"**请在 {local(case.due_at)} 前决定**。金额 {yuan(order.total_fen)},下单 {local(order.placed_at)}。",
            *lines,
            f"客户备注:{plain(without_numbers(order.note), 500)}" if order.note else "",
        ]
    )
    return order.order_no, order.channel, text


async def take_decision(case_id: int, decision: ReviewDecision) -> tuple[bool, str]:
    """Enter what the reviewer said. Twice or late: a clear sentence, and nothing changes."""
    verdict = VERDICTS[decision.verdict]
    return await in_transaction(
        lambda session: decide(session, case_id, verdict, decision.reviewer, decision.note, utcnow())
    )


async def show_missing_cases() -> int:
    """Make the runs that are missing; returns how many cases lacked one."""
    missing = await in_transaction(cases_without_run)
    for case in missing:
        await show_case(case)
    return len(missing)


async def close_shown_elsewhere() -> int:
    """Cancel the suspended runs of cases that were decided or withdrawn; show again what Prefect has ended."""
    shown = await in_transaction(_still_shown)
    closed = 0
    async with get_client() as client:
        for case in shown:
            run_id = UUID(case.run_id)
            state = await _state_of(client, run_id)
            open_ = case.state == CaseState.OPEN.value
            if not open_ and state is not None and state.is_paused():
                await client.set_flow_run_state(run_id, Cancelled(message="这份审核已在别处决定或撤回"), force=True)
                closed += 1
            if open_ and (state is None or state.is_final()):
                await in_transaction(lambda session, id=case.id: _forget(session, id))  # type: ignore[misc]
    return closed


async def _state_of(client: PrefectClient, run_id: UUID) -> State | None:
    """The state of a run; None when somebody has deleted it, or Prefect's own clean-up has."""
    try:
        return (await client.read_flow_run(run_id)).state
    except ObjectNotFound:
        return None


def _still_shown(session: Session) -> list[ReviewCase]:
    """Open cases with a run, and those whose run may still be suspended: decided in the last day, or withdrawn."""
    now = utcnow()
    withdrawn = (col(ReviewCase.state) == CaseState.WITHDRAWN.value) & (
        col(ReviewCase.opened_at) > now - timedelta(seconds=SHOWN_FOR)
    )
    statement = select(ReviewCase).where(
        col(ReviewCase.run_id).is_not(None),
        (col(ReviewCase.state) == CaseState.OPEN.value)
        | (col(ReviewCase.decided_at) > now - timedelta(days=1))
        | withdrawn,
    )
    return list(session.exec(statement))


def _forget(session: Session, case_id: int | None) -> None:
    row = session.get_one(ReviewCase, case_id, with_for_update=True)
    row.run_id, row.run_attempt = None, row.run_attempt + 1
    session.add(row)


async def stored_decision() -> ReviewDecision | None:
    """What the reviewer filled in when resuming this very run; None when nobody has yet."""
    key = keyset_from_base_key(f"suspended-{PAUSE_KEY}")["response"]
    answer = await cast(Awaitable[dict[str, str] | None], read_flow_run_input(key))
    return None if answer is None else ReviewDecision(**answer)


async def ask_reviewer() -> ReviewDecision:
    """Suspend this run until somebody fills in the form: for a run that was started without one."""
    waiting = suspend_flow_run(wait_for_input=ReviewDecision, timeout=SHOWN_FOR, key=PAUSE_KEY)
    return await cast(Awaitable[ReviewDecision], waiting)
