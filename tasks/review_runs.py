"""The suspended flow runs in which reviewers decide: one for each open case, created suspended, form stored.

The case is the truth, the run only shows it. A run that could not be made now is made by `tend_reviews`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.input import keyset_from_paused_state
from prefect.logging import get_run_logger
from prefect.states import Cancelled, State, Suspended
from sqlalchemy import text
from sqlmodel import Session, col, select

from models import faults
from models.database import in_transaction, utcnow
from models.review import ReviewCase, cases_without_run
from models.review_duty import Step
from models.review_sight import Sight, sight_of
from tasks.chasing import chase_step
from tasks.review_form import ReviewForm, form_for, store_form
from tasks.review_page import page_of
from tasks.step import outward

REVIEW_FLOW = "review-order"
#: `flow/deployment` of the runs that are shown to reviewers.
REVIEW_DEPLOYMENT = f"{REVIEW_FLOW}/review"
PAUSE_KEY = "review"
#: A suspended run that nobody resumes is ended by Prefect after this long (seconds); the case stays open.
SHOWN_FOR = 7 * 24 * 3600
#: Runs that are made or closed at once: the server is one process, more would only wait there.
AT_ONCE = 8
PAGE = 200


async def show_case(case: ReviewCase) -> None:
    """Make the suspended run that shows this case, and tell its role. Twice: the same run, and nobody is told again."""
    try:
        await _show_one(case)
        await chase_step(Step.TELL)
    except Exception as error:  # the case stands; the reconciler shows and tells it later
        get_run_logger().warning("审核 %s 暂时没有显示出来,稍后补上:%s", case.id, error)


@outward("请人审核")
async def _show_one(case: ReviewCase) -> None:
    async with get_client() as client:
        await _show(client, (await client.read_deployment_by_name(REVIEW_DEPLOYMENT)).id, case)


async def show_missing_cases() -> int:
    """Make the runs that are missing; how many were made. Twice: the same runs."""
    missing = await in_transaction(cases_without_run)
    if not missing:
        return 0
    places = asyncio.Semaphore(AT_ONCE)
    async with get_client() as client:
        deployment = (await client.read_deployment_by_name(REVIEW_DEPLOYMENT)).id

        async def show(case: ReviewCase) -> bool:
            async with places:
                try:
                    await _show(client, deployment, case)
                except Exception as error:  # one that fails stops no other; the next look tries it again
                    get_run_logger().warning("审核 %s 暂时没有显示出来:%s", case.id, error)
                    return False
                return True

        return sum(await asyncio.gather(*map(show, missing)))


async def _show(client: PrefectClient, deployment: UUID, case: ReviewCase) -> None:
    """One run, by the case's own key: made once, whoever makes it how often."""
    sight, form = await in_transaction(lambda session: _seen(session, case))
    state: State[None] = Suspended(timeout_seconds=SHOWN_FOR, pause_key=PAUSE_KEY)
    keyset = keyset_from_paused_state(state)
    state.state_details.run_input_keyset = {str(k): v for k, v in keyset.items()}
    run = await client.create_flow_run_from_deployment(
        deployment,
        name=sight.order.order_no,
        parameters={"case_id": case.id},
        state=state,
        tags=[f"channel:{sight.order.channel}", "stage:review", f"role:{case.role}"],
        idempotency_key=f"{_key_of(case)}{case.run_attempt}",
    )
    faults.point("review_run_made")
    await store_form(client, form, keyset, run.id)
    faults.point("review_form_stored")
    await in_transaction(lambda session: remember_run(session, case.id, str(run.id)))


def _key_of(case: ReviewCase) -> str:
    """How the keys of the runs begin that are made for this case, and for no other, of whatever installation."""
    return f"review-{case.id}-{case.opened_at.timestamp():.6f}-"


def _seen(session: Session, case: ReviewCase) -> tuple[Sight, type[ReviewForm]]:
    sight = sight_of(session, case, utcnow())
    return sight, form_for(sight, page_of(sight))


def remember_run(session: Session, case_id: int | None, run_id: str) -> str | None:
    """This run shows the case from now on; returns the one that did before, if it was another."""
    row = session.get_one(ReviewCase, case_id, with_for_update=True)
    before, row.run_id = row.run_id, run_id
    session.add(row)
    return before if before != run_id else None


async def tend_runs() -> int:
    """Close the suspended runs of cases that are decided, withdrawn or shown by another run; forget what Prefect ended.

    How many were closed. An open case whose run is forgotten is shown again by `show_missing_cases`.
    """
    async with get_client() as client:
        waiting = await _read(client, state=[StateType.PAUSED])
        over, elsewhere = await in_transaction(lambda session: _compared(session, waiting))
        closed = await _close(client, over)
        known = {run.id: run for run in await _read(client, ids=elsewhere)}
        gone = [id for id in elsewhere if id not in known or _ended(known[id])]
        await in_transaction(lambda session: _forget(session, gone))
    return closed


async def close_runs(case_ids: Sequence[int]) -> int:
    """Close the suspended runs of these cases, which were decided elsewhere; how many."""
    statement = select(ReviewCase.run_id).where(col(ReviewCase.id).in_(case_ids), col(ReviewCase.run_id).is_not(None))
    ids = await in_transaction(lambda session: [UUID(id) for id in session.exec(statement)])
    async with get_client() as client:
        return await _close(client, ids)


async def close_run(id: UUID) -> None:
    """Close one suspended run, which shows a case no more; one that is over, or gone, is left as it is."""
    async with get_client() as client:
        await _close(client, [id])


async def _close(client: PrefectClient, ids: Sequence[UUID]) -> int:
    places = asyncio.Semaphore(AT_ONCE)

    async def close(run: FlowRun) -> None:
        async with places:
            message = "这份审核已在别处决定或撤回"
            await client.set_flow_run_state(run.id, Cancelled(message=message), force=True)

    # read again: who decided may have been this very run
    waiting = [run for run in await _read(client, ids=ids) if run.state is not None and run.state.is_paused()]
    await asyncio.gather(*map(close, waiting))
    return len(waiting)


def _ended(run: FlowRun) -> bool:
    return run.state is None or run.state.is_final()


async def _read(
    client: PrefectClient, *, ids: Sequence[UUID] | None = None, state: list[StateType] | None = None
) -> list[FlowRun]:
    """The review runs with these ids, or in this state; whichever there still are."""
    if ids is not None and not ids:
        return []
    found: list[FlowRun] = []
    chunks = [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)] if ids is not None else [None]
    for chunk in chunks:
        wanted = FlowRunFilter(
            id=FlowRunFilterId(any_=list(chunk)) if chunk is not None else None,
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=state)) if state else None,
        )
        flow = FlowFilter(name=FlowFilterName(any_=[REVIEW_FLOW]))
        for offset in range(0, 1_000_000, PAGE):
            page = await client.read_flow_runs(flow_filter=flow, flow_run_filter=wanted, limit=PAGE, offset=offset)
            found += page
            if len(page) < PAGE:
                break
    return found


_ELSEWHERE = text(
    "SELECT run_id FROM review_case WHERE state = 'open' AND run_id IS NOT NULL AND run_id <> ALL(:waiting)"
)


def _compared(session: Session, waiting: Sequence[FlowRun]) -> tuple[list[UUID], list[UUID]]:
    """Of the runs that wait: those that show nothing any more. Of the open cases: the runs that do not wait."""
    elsewhere = session.connection().execute(_ELSEWHERE, {"waiting": [str(run.id) for run in waiting]}).scalars()
    ids = [id for run in waiting if isinstance(id := run.parameters.get("case_id"), int)]
    cases = {case.id: case for case in session.exec(select(ReviewCase).where(col(ReviewCase.id).in_(ids)))}
    over = [run.id for run in waiting if _is_over(run, cases.get(run.parameters.get("case_id")))]
    return over, [UUID(id) for id in elsewhere]


def _is_over(run: FlowRun, case: ReviewCase | None) -> bool:
    """Whether nobody needs this run: its case is decided or withdrawn, or another run shows it.

    Who made the run may have died before the case knew of it.
    """
    if case is None:
        return False
    if case.run_id == str(run.id):
        return not case.is_open
    made_for_it = (run.idempotency_key or "").startswith(_key_of(case))
    return made_for_it and (case.run_id is not None or not case.is_open)


def _forget(session: Session, run_ids: Sequence[UUID]) -> None:
    session.connection().execute(
        text(
            "UPDATE review_case SET run_id = NULL, run_attempt = run_attempt + 1"
            " WHERE state = 'open' AND run_id = ANY(:ids)"
        ),
        {"ids": [str(id) for id in run_ids]},
    )
