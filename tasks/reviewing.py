"""What happens in a reviewer's run: the answer that is stored with it is entered, or asked for (again).

Each time the form is filled in is a round. What cannot be taken while the case is open is asked again in the same run:
it suspends once more, with the reason on top, so that the reviewer stays on the same page.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from prefect import asuspend_flow_run, get_client
from prefect.context import FlowRunContext
from prefect.input import Keyset, keyset_from_base_key
from prefect.input.actions import aread_flow_run_input
from sqlmodel import Session

from models.database import in_transaction, utcnow
from models.review import ReviewCase, decide
from models.review_sight import sight_of
from tasks.review_form import VERDICTS, ReviewDecision, ReviewForm, form_for, read_answer, store_form
from tasks.review_page import page_of
from tasks.review_runs import PAUSE_KEY, SHOWN_FOR, close_run, remember_run


@dataclass(frozen=True)
class Answer:
    """What was filled in, and in which round. Round 0: nobody has filled in anything yet."""

    round: int = 0
    decision: ReviewDecision | None = None


async def last_answer() -> Answer:
    """The newest answer that is stored with this run."""
    last = Answer()
    while True:
        said = await aread_flow_run_input(_keyset(last.round + 1)["response"])
        if said is None:
            return last
        last = Answer(last.round + 1, read_answer(said))


async def take_decision(case_id: int, decision: ReviewDecision) -> tuple[bool, str]:
    """Enter what the reviewer said: (taken, a sentence). Twice or late: a clear sentence, and nothing changes."""
    verdict = VERDICTS[decision.verdict]
    return await in_transaction(
        lambda session: decide(session, case_id, verdict, decision.reviewer, decision.note, utcnow(), decision.recipes)
    )


async def is_open(case_id: int) -> bool:
    """Whether somebody can still decide this case."""
    case = await in_transaction(lambda session: session.get(ReviewCase, case_id))
    return case is not None and case.is_open


async def ask_reviewer(case_id: int, round: int, refused: str = "") -> None:
    """Suspend this run until somebody fills in the form; ends the run's turn. `refused`: why the last was not taken.

    The form is stored before the run suspends. It is the case's run from then on: the one that was shown before, if
    this is another one that somebody started by hand, is closed.
    """
    context = FlowRunContext.get()
    assert context is not None and context.flow_run is not None
    run_id = context.flow_run.id
    form = await in_transaction(lambda session: _form(session, case_id, refused))
    async with get_client() as client:
        await store_form(client, form, _keyset(round), run_id)
    before = await in_transaction(lambda session: remember_run(session, case_id, str(run_id)))
    if before is not None:
        await close_run(UUID(before))
    await asuspend_flow_run(wait_for_input=form, timeout=SHOWN_FOR, key=_key(round))


def _form(session: Session, case_id: int, refused: str) -> type[ReviewForm]:
    sight = sight_of(session, session.get_one(ReviewCase, case_id), utcnow())
    return form_for(sight, page_of(sight, refused))


def _key(round: int) -> str:
    """Prefect takes each key once in a run."""
    return PAUSE_KEY if round == 1 else f"{PAUSE_KEY}-{round}"


def _keyset(round: int) -> Keyset:
    return keyset_from_base_key(f"suspended-{_key(round)}")
