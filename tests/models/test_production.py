"""Reports of the factory: any order, any number of times, and the state only moves forward."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import permutations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError
from sqlmodel import Session, select

from models.fulfilment import Stage, WaitingOn, fulfilments_of
from models.production import ProductionReport, WorkOrder, take_report, work_orders_of
from models.timeline import timeline
from tests.models.build import NOW, claimed, engine_of, incoming, made, open_shop, release, taken, waiting, walk
from tests.models.test_stock_at_once import at_once

LATER = NOW + timedelta(hours=2)
ACCEPTED, PROGRESS, COMPLETED, FAILED = (
    f"work_order.{word}" for word in ("accepted", "progress", "completed", "failed")
)


def at_the_factory(session: Session) -> str:
    """An order released to production and parked; the number of its first work order."""
    open_shop(session)
    order = taken(session, incoming("1", made(2)))
    walk(session, order.order_no, Stage.APPROVED)
    (number,) = release(session, claimed(session, order))
    session.execute(text("UPDATE fulfilment SET claimed_by = NULL, claim_until = NULL"))
    waiting(session, order, WaitingOn.PRODUCTION, "生产中")
    return number


def report(session: Session, number: str, kind: str, id: str = "") -> str:
    """One callback, two hours later."""
    return take_report(session, id or f"m-{kind}", number, kind, LATER, {}, LATER)


def work(session: Session, number: str) -> WorkOrder:
    """The work order as it is now."""
    statement = select(WorkOrder).where(WorkOrder.work_order_no == number)
    return session.exec(statement.execution_options(populate_existing=True)).one()


def told(session: Session, order_id: int) -> list[str]:
    """The states that production reported, as the timeline has them."""
    return [e.detail["state"] for e in timeline(session, order_id) if e.kind == "production_reported"]


def test_a_completion_is_kept_and_wakes_the_fulfilment(session: Session) -> None:
    number = at_the_factory(session)

    assert report(session, number, COMPLETED) == "taken"

    made_ = work(session, number)
    assert (made_.state, made_.completed_at) == ("completed", LATER)
    (part,) = fulfilments_of(session, made_.order_id)
    assert (part.stage, part.ready_at) == ("approved", NOW + timedelta(hours=1))  # it was due sooner than this
    assert part.wake_seq == 1
    assert work_orders_of(session, made_.fulfilment_id) == [made_]


def test_a_repeated_report_changes_nothing(session: Session) -> None:
    number = at_the_factory(session)
    assert report(session, number, COMPLETED, "m-1") == "taken"

    assert [report(session, number, kind, "m-1") for kind in (COMPLETED, FAILED)] == ["repeated", "repeated"]

    assert work(session, number).state == "completed"
    assert told(session, work(session, number).order_id) == ["completed"]
    assert len(session.exec(select(ProductionReport)).all()) == 1


@pytest.mark.parametrize("kinds", list(permutations([ACCEPTED, PROGRESS, COMPLETED])))
def test_reports_in_any_order_end_completed(session: Session, kinds: tuple[str, ...]) -> None:
    number = at_the_factory(session)

    assert {report(session, number, kind) for kind in kinds} == {"taken"}

    made_ = work(session, number)
    assert (made_.state, made_.completed_at) == ("completed", LATER)
    reported = told(session, made_.order_id)
    assert reported == sorted(reported, key=["released", "in_progress", "completed"].index)
    assert (fulfilments_of(session, made_.order_id)[0].wake_seq) == 1


@pytest.mark.parametrize(("first", "second"), [(COMPLETED, FAILED), (FAILED, COMPLETED)])
def test_what_became_final_stays(session: Session, first: str, second: str) -> None:
    number = at_the_factory(session)

    assert [report(session, number, kind) for kind in (first, second)] == ["taken", "taken"]

    assert work(session, number).state == first.removeprefix("work_order.")
    assert len(told(session, work(session, number).order_id)) == 1


def test_a_called_back_work_order_stays_called_back(session: Session) -> None:
    number = at_the_factory(session)
    session.execute(text("UPDATE work_order SET state = 'called_back'"))

    assert report(session, number, COMPLETED) == "taken"

    assert (work(session, number).state, work(session, number).completed_at) == ("called_back", None)


def test_an_unknown_work_order_is_kept_as_a_report_and_touches_nothing(session: Session) -> None:
    number = at_the_factory(session)

    assert report(session, "SH-404-1-1", COMPLETED) == "unknown"
    assert report(session, "SH-404-1-1", COMPLETED) == "repeated"

    assert work(session, number).state == "released"
    assert [kept.work_order_no for kept in session.exec(select(ProductionReport))] == ["SH-404-1-1"]


def test_reports_cannot_be_rewritten(session: Session) -> None:
    report(session, "SH-404-1-1", COMPLETED)
    with pytest.raises(InternalError, match="append-only"):
        session.execute(text("UPDATE production_report SET kind = 'work_order.failed'"))


def test_eight_callbacks_at_once_count_once(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            number = at_the_factory(session)
            session.commit()

        def call(which: int, session: Session) -> str:
            return report(session, number, (PROGRESS, COMPLETED)[which % 2], f"m-{which % 4}")

        results = at_once(engine, [partial(call, which) for which in range(8)])

        assert sorted(map(str, results)) == ["repeated"] * 4 + ["taken"] * 4
        with Session(engine) as session:
            assert work(session, number).state == "completed"
            assert fulfilments_of(session, work(session, number).order_id)[0].wake_seq == 1
