"""Reports of the factory: any order, any number of times, and the state only moves forward."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import permutations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError
from sqlmodel import Session, select

from models import hold
from models.fulfilment import ClaimLost, Stage, WaitingOn, fulfilments_of, hold_on
from models.order import Order
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


def told_at(session: Session, number: str, kind: str, minutes: int, **data: object) -> None:
    """A report that the factory stamped so many minutes later, each with an id of its own."""
    at = LATER + timedelta(minutes=minutes)
    take_report(session, f"m-{kind}-{minutes}-{data}", number, kind, at, data, at)


def test_the_factory_s_newest_word_counts_however_late_an_older_one_comes(session: Session) -> None:
    number = at_the_factory(session)
    soon, later = (LATER + timedelta(hours=hours) for hours in (1, 30))

    told_at(session, number, PROGRESS, 10, percent=40, expected_at=later.isoformat())
    told_at(session, number, PROGRESS, 5, percent=90, expected_at=soon.isoformat())
    told_at(session, number, ACCEPTED, 1, expected_at=soon.isoformat())

    now_ = work(session, number)
    assert (now_.state, now_.percent, now_.expected_at) == ("in_progress", 40, later)
    told_at(session, number, PROGRESS, 12, percent=55)
    assert (work(session, number).percent, work(session, number).expected_at) == (55, later)
    told_at(session, number, COMPLETED, 11)
    assert (work(session, number).state, work(session, number).percent) == ("completed", 100)


@pytest.mark.parametrize(
    "odd",
    [
        {"percent": -1}, {"percent": 101}, {"percent": "50"}, {"percent": True}, {"percent": None}, {"percent": [1]},
        {"percent": 1e308}, {"expected_at": "soon"}, {"expected_at": 5}, {"expected_at": "2026-11-11T10:00:00"},
        {"expected_at": "9999-12-31T23:59:59+00:00"}, {"expected_at": {"at": 1}}, {"expected_at": None},
    ],
)  # fmt: skip
def test_what_cannot_be_is_passed_over_and_the_report_still_counts(session: Session, odd: dict[str, object]) -> None:
    number = at_the_factory(session)
    before = work(session, number).expected_at

    told_at(session, number, PROGRESS, 1, **odd)

    now_ = work(session, number)
    assert (now_.state, now_.percent, now_.expected_at) == ("in_progress", 0, before)


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [(COMPLETED, FAILED, 1), (FAILED, COMPLETED, 1), (COMPLETED, COMPLETED, 0), (FAILED, FAILED, 0),
     (COMPLETED, PROGRESS, 0)],
)  # fmt: skip
def test_a_person_is_asked_once_when_the_factory_ends_it_twice_otherwise(
    session: Session, first: str, second: str, asked: int
) -> None:
    number = at_the_factory(session)

    for minutes, kind in enumerate((first, second, second)):
        told_at(session, number, kind, minutes)

    row = work(session, number)
    held = [h for h in hold.open_holds(session, row.order_id) if h.code == f"factory_contradicts_{row.id}"]
    # what is said to be bad does not ship meanwhile
    assert (len(held), [h.blocking for h in held]) == (asked, [first == COMPLETED] * asked)
    assert row.state == first.removeprefix("work_order.")


def test_what_failed_after_it_was_completed_takes_its_order_from_whoever_is_about_to_ship_it(session: Session) -> None:
    number = at_the_factory(session)
    told_at(session, number, COMPLETED, 0)
    mine = claimed(session, session.get_one(Order, work(session, number).order_id), LATER)

    told_at(session, number, FAILED, 1)

    with pytest.raises(ClaimLost):
        hold_on(session, mine)
    (part,) = fulfilments_of(session, mine.order_id)
    assert part.ready_at is not None and part.ready_at <= LATER + timedelta(minutes=1)


def test_a_failure_that_comes_late_and_was_before_the_completion_asks_nobody(session: Session) -> None:
    number = at_the_factory(session)
    told_at(session, number, COMPLETED, 10)

    told_at(session, number, FAILED, 9)

    row = work(session, number)
    assert (row.state, hold.open_holds(session, row.order_id)) == ("completed", [])
    # and one that is after it still does
    told_at(session, number, FAILED, 11)
    assert [h.blocking for h in hold.open_holds(session, row.order_id)] == [True]


def test_what_has_shipped_already_is_asked_about_and_stops_nothing(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1", made(2)))
    walk(session, order.order_no, Stage.SHIPPED)
    (part,) = fulfilments_of(session, order.id or 0)
    (row,) = work_orders_of(session, part.id or 0)

    told_at(session, row.work_order_no, FAILED, 1)

    (held,) = hold.open_holds(session, order.id or 0)
    assert (held.blocking, "快递拦截" in held.handle) == (False, True)
    assert fulfilments_of(session, order.id or 0)[0].fence == part.fence


def test_what_was_called_back_and_is_made_all_the_same_goes_to_a_person(session: Session) -> None:
    number = at_the_factory(session)
    session.execute(text("UPDATE work_order SET state = 'called_back'"))

    told_at(session, number, FAILED, 1)
    told_at(session, number, COMPLETED, 2)

    row = work(session, number)
    assert [h.code for h in hold.open_holds(session, row.order_id)] == [f"factory_contradicts_{row.id}"]
    assert (row.state, row.completed_at) == ("called_back", None)
