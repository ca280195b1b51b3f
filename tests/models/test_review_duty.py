"""Whose turn a review is: each case is told, reminded of and handed on once, whoever looks how often."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import Session

from models.review_duty import IN_ONE_MESSAGE, Step, due, may_decide, take
from models.settings import REVIEW_ESCALATES_TO
from models.timeline import EventKind, timeline
from tests.models.build import NOW, engine_of
from tests.models.review_cases import MINUTE, a_case, decided
from tests.models.test_stock_at_once import at_once


def waiting(session: Session, step: Step, minutes: float = 0) -> dict[str, list[int]]:
    """What is due so many minutes later, with the usual policy."""
    return due(session, step, 70, REVIEW_ESCALATES_TO, NOW + timedelta(minutes=minutes))


def test_new_cases_are_told_by_role_the_most_urgent_first(session: Session) -> None:
    calm, urgent = a_case(session), a_case(session, due_at=NOW + MINUTE)
    other = a_case(session, role="finance")
    without_run = a_case(session, run_id=None)
    decided(a_case(session), 1)

    assert waiting(session, Step.TELL) == {"finance": [other.id], "nutritionist": [urgent.id, calm.id]}
    # one that could not be shown yet is told a little later all the same
    assert without_run.id in waiting(session, Step.TELL, 3)["nutritionist"]


def test_what_comes_right_after_a_message_waits_for_the_next(session: Session) -> None:
    first = a_case(session)
    assert [one.case.id for one in take(session, Step.TELL, [first.id or 0], NOW)] == [first.id]
    second = a_case(session)

    assert waiting(session, Step.TELL, 0.1) == {}
    assert waiting(session, Step.TELL, 0.5) == {"nutritionist": [second.id]}


def test_one_message_takes_so_many(session: Session) -> None:
    for _ in range(IN_ONE_MESSAGE + 3):
        a_case(session)
    assert len(waiting(session, Step.TELL)["nutritionist"]) == IN_ONE_MESSAGE


@pytest.mark.parametrize(("minutes", "reminded", "escalated"), [(15, 0, 0), (15.5, 1, 0), (22, 0, 1), (600, 0, 1)])
def test_a_reminder_comes_at_seventy_percent_and_the_next_role_after_all_of_it(
    session: Session, minutes: float, reminded: int, escalated: int
) -> None:
    a_case(session, told_at=NOW)
    assert len(waiting(session, Step.REMIND, minutes).get("nutritionist", [])) == reminded
    assert len(waiting(session, Step.ESCALATE, minutes).get("nutritionist", [])) == escalated


def test_each_step_is_taken_once(session: Session) -> None:
    case = a_case(session, told_at=NOW)
    assert case.id is not None
    assert len(take(session, Step.REMIND, [case.id], NOW + 16 * MINUTE)) == 1
    assert waiting(session, Step.REMIND, 17) == {}
    assert take(session, Step.REMIND, [case.id], NOW + 17 * MINUTE) == []
    assert len(take(session, Step.ESCALATE, [case.id], NOW + 23 * MINUTE, "customer_service_lead")) == 1
    assert waiting(session, Step.ESCALATE, 24) == {}
    assert take(session, Step.ESCALATE, [case.id], NOW + 24 * MINUTE, "admin") == []
    # then the timeline says so, once
    (event,) = [e for e in timeline(session, case.order_id) if e.kind == EventKind.REVIEW_ESCALATED]
    assert event.detail == {"role": "营养师", "to": "客服主管"}


def test_a_decided_case_is_chased_no_more(session: Session) -> None:
    late, other = decided(a_case(session, told_at=NOW), 30), a_case(session, told_at=NOW)
    session.add(late)
    session.flush()
    assert waiting(session, Step.ESCALATE, 40) == {"nutritionist": [other.id]}
    # nor when it was decided between the look and the message
    taken = take(session, Step.ESCALATE, [other.id or 0, late.id or 0], NOW + 40 * MINUTE, "customer_service_lead")
    assert [one.case.id for one in taken] == [other.id]
    assert (late.escalated_at, late.escalated_to) == (None, "")


def test_the_case_keeps_its_role_and_the_next_one_may_decide_too(session: Session) -> None:
    case = a_case(session, told_at=NOW)
    assert [may_decide(case, role) for role in ("nutritionist", "customer_service_lead", "admin")] == [
        True,
        False,
        True,
    ]
    take(session, Step.ESCALATE, [case.id or 0], NOW + 23 * MINUTE, "customer_service_lead")
    assert (case.role, case.escalated_to) == ("nutritionist", "customer_service_lead")
    assert all(may_decide(case, role) for role in ("nutritionist", "customer_service_lead", "admin"))
    assert not may_decide(case, "warehouse_supervisor") and not may_decide(case, "")


def test_a_role_without_a_next_one_keeps_its_cases(session: Session) -> None:
    a_case(session, told_at=NOW, role="auditor_of_recipes")
    assert waiting(session, Step.ESCALATE, 60) == {}


def test_eight_who_look_at_once_take_each_case_once(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            ids = [a_case(session, told_at=NOW).id or 0 for _ in range(5)]
            session.commit()

        def look(session: Session) -> list[int]:
            return [one.case.id or 0 for one in take(session, Step.REMIND, ids, NOW + 16 * MINUTE)]

        results = at_once(engine, [look] * 8)

        taken = [id for result in results if isinstance(result, list) for id in result]
        assert not any(isinstance(result, Exception) for result in results)
        assert sorted(taken) == sorted(ids)
