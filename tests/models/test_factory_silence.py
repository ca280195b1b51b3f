"""What should be done and is not reported: a person is asked once for each silence, and a report ends it."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import Session

from models import hold
from models.factory_silence import ask_if_silent
from models.hold import Hold
from models.production import take_report
from tests.models.build import NOW
from tests.models.test_production import COMPLETED, PROGRESS, at_the_factory, told_at, work

PATIENCE = timedelta(hours=4)


def silent_holds(session: Session, number: str, hours: float) -> list[Hold]:
    """The open holds about this work order's silence after the factory was looked at so many hours after release."""
    row = work(session, number)
    ask_if_silent(session, [row], PATIENCE, NOW + timedelta(hours=hours))
    return [h for h in hold.open_holds(session, row.order_id) if h.code == f"factory_silent_{row.id}"]


def test_a_person_is_asked_once_when_the_factory_says_nothing_of_what_should_be_done(session: Session) -> None:
    # given a work order that should be done four hours after its release
    number = at_the_factory(session)

    assert silent_holds(session, number, 7.9) == []
    (held,) = silent_holds(session, number, 8)

    assert (held.blocking, held.who) == (False, "生产主管")
    assert number in held.reason and "4 小时没有回报" in held.reason
    assert "重发回报" in held.handle and "取消订单" in held.handle
    # and not again: neither while it stands nor when somebody has released it
    assert silent_holds(session, number, 10) == [held]
    hold.lift(session, held.order_id, "生产主管", NOW + timedelta(hours=11))
    assert silent_holds(session, number, 12) == silent_holds(session, number, 900) == []


def test_a_report_lifts_it_and_another_silence_is_asked_about_anew(session: Session) -> None:
    number = at_the_factory(session)
    assert len(silent_holds(session, number, 9)) == 1

    told_at(session, number, PROGRESS, 8 * 60, percent=50)  # ten hours after the release

    row = work(session, number)
    assert hold.open_holds(session, row.order_id) == []
    assert [silent_holds(session, number, hours) for hours in (10, 13.9)] == [[], []]
    assert len(silent_holds(session, number, 14)) == 1
    # and once it is done nobody is asked any more
    told_at(session, number, COMPLETED, 13 * 60)
    assert silent_holds(session, number, 99) == []


def test_the_factory_s_clock_does_not_hide_its_silence(session: Session) -> None:
    number = at_the_factory(session)
    take_report(session, "m-odd", number, PROGRESS, NOW + timedelta(days=300), {"percent": 10}, NOW)

    assert len(silent_holds(session, number, 8)) == 1


def test_a_factory_that_has_a_later_time_is_not_silent_before_it(session: Session) -> None:
    number = at_the_factory(session)
    told_at(session, number, PROGRESS, 0, expected_at=(NOW + timedelta(hours=40)).isoformat())

    assert [silent_holds(session, number, hours) for hours in (9, 43.9)] == [[], []]
    assert len(silent_holds(session, number, 44)) == 1
