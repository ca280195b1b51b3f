"""The effect ledger, state by state: what may be told, repeated, asked about, or never again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from models.effect import (
    LEASE_SECONDS,
    Attempt,
    Effect,
    EffectBusy,
    EffectKind,
    EffectState,
    Once,
    Settled,
    begin,
    done,
    effects_of,
    failed,
)
from tests.models.concurrently import connections, in_threads, transaction
from tests.models.factories import an_order

NOON = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)
LAG = 5.0
EVERY = list(Once)
REPEATED = [Once.KEYED, Once.ASKABLE, Once.AT_LEAST_ONCE]
KEY = "SH-1001-1:waybill"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Ten connections to a database of this test's own."""
    with connections(database_url) as pool:
        yield pool


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def kind(once: Once) -> EffectKind:
    return EffectKind("test", once, lag=LAG if once is Once.ASKABLE else 0.0)


def attempt(session: Session, once: Once, request: bytes = b"first", now: datetime = NOON) -> Attempt:
    begun = begin(session, kind(once), KEY, request, now)
    assert isinstance(begun, Attempt)
    return begun


def row(session: Session) -> Effect:
    return session.exec(select(Effect).execution_options(populate_existing=True)).one()


def lease(once: Once) -> float:
    """Seconds from the intent until somebody else may try."""
    return LEASE_SECONDS + kind(once).lag


@pytest.mark.parametrize("once", EVERY)
def test_the_first_attempt_may_call_until_its_deadline_and_is_left_alone_for_the_lag_after_it(
    session: Session, once: Once
) -> None:
    first = attempt(session, once)

    assert (first.fence, first.request, first.ask_first, first.deadline) == (1, b"first", False, after(40))
    effect = row(session)
    assert (effect.state, effect.attempts, effect.lease_until) == ("calling", 1, after(lease(once)))


@pytest.mark.parametrize("once", EVERY)
def test_nobody_else_may_try_while_an_attempt_runs(session: Session, once: Once) -> None:
    attempt(session, once)
    with pytest.raises(EffectBusy) as busy:
        begin(session, kind(once), KEY, b"second", after(lease(once) - 0.001))

    assert busy.value.until == after(lease(once))
    assert (row(session).attempts, row(session).fence, row(session).request) == (1, 1, b"first")


def test_of_many_that_begin_at_once_exactly_one_may_call(engine: Engine) -> None:
    def try_it(number: int) -> str:
        with transaction(engine) as session:
            try:
                return type(begin(session, kind(Once.KEYED), KEY, b"%d" % number, NOON)).__name__
            except EffectBusy:
                return "EffectBusy"

    assert sorted(in_threads(8, try_it)) == ["Attempt", *["EffectBusy"] * 7]
    with transaction(engine) as session:
        assert (row(session).attempts, row(session).fence) == (1, 1)


@pytest.mark.parametrize("once", EVERY)
def test_what_is_done_is_answered_with_the_first_response_for_ever(session: Session, once: Once) -> None:
    first = attempt(session, once)
    done(session, first, {"waybill": "SF1"}, after(3))
    done(session, first, {"waybill": "SF2"}, after(4))

    assert begin(session, kind(once), KEY, b"second", after(9999)) == Settled({"waybill": "SF1"})
    effect = row(session)
    assert (effect.state, effect.attempts, effect.settled_at, effect.lease_until) == ("done", 1, after(3), None)


@pytest.mark.parametrize("once", REPEATED)
def test_a_call_that_nobody_heard_from_is_repeated_with_its_own_bytes(session: Session, once: Once) -> None:
    attempt(session, once)
    again = attempt(session, once, b"second", after(lease(once)))

    assert (again.fence, again.request, again.ask_first) == (2, b"first", True)
    assert again.deadline == after(lease(once) + LEASE_SECONDS)


@pytest.mark.parametrize("once", REPEATED)
def test_an_unclear_call_that_broke_off_early_is_left_alone_as_long_as_it_may_still_happen(
    session: Session, once: Once
) -> None:
    failed(session, attempt(session, once), EffectState.UNCLEAR, "connection reset", after(2))

    assert (row(session).state, row(session).lease_until) == ("unclear", after(lease(once)))
    with pytest.raises(EffectBusy):
        attempt(session, once, b"second", after(lease(once) - 0.001))
    again = attempt(session, once, b"second", after(lease(once)))
    assert (again.request, again.ask_first) == (b"first", True)


def test_an_unclear_call_recorded_late_is_asked_about_only_after_the_lag(session: Session) -> None:
    failed(session, attempt(session, Once.ASKABLE), EffectState.UNCLEAR, "time-out", after(60))

    assert row(session).lease_until == after(60 + LAG)


@pytest.mark.parametrize("state", [EffectState.INTENDED, EffectState.REFUSED])
@pytest.mark.parametrize("once", EVERY)
def test_after_a_definite_no_new_bytes_may_be_tried_at_once(session: Session, once: Once, state: EffectState) -> None:
    failed(session, attempt(session, once), state, "no", after(1))
    assert (row(session).state, row(session).lease_until, row(session).error) == (state.value, None, "no")
    again = attempt(session, once, b"second", after(1))

    assert (again.fence, again.request, again.ask_first) == (2, b"second", False)
    assert (row(session).state, row(session).error) == ("calling", "")


@pytest.mark.parametrize("once", REPEATED)
def test_a_throttled_repeat_of_an_unclear_call_leaves_it_unclear(session: Session, once: Once) -> None:
    attempt(session, once)
    repeat = attempt(session, once, b"second", after(60))
    failed(session, repeat, EffectState.INTENDED, "throttled", after(61))

    assert (row(session).state, row(session).lease_until) == ("unclear", after(61 + (kind(once).lag or 1)))
    third = attempt(session, once, b"third", after(70))
    assert (third.fence, third.request, third.ask_first) == (3, b"first", True)


def test_a_repeat_that_is_refused_lets_new_bytes_in(session: Session) -> None:
    attempt(session, Once.KEYED)
    failed(session, attempt(session, Once.KEYED, now=after(60)), EffectState.REFUSED, "no such street", after(61))

    third = attempt(session, Once.KEYED, b"third", after(62))
    assert (third.request, third.ask_first) == (b"third", False)


@pytest.mark.parametrize("known", [EffectState.CALLING, EffectState.UNCLEAR])
def test_what_may_happen_at_most_once_is_given_up_when_nobody_knows(session: Session, known: EffectState) -> None:
    first = attempt(session, Once.AT_MOST_ONCE)
    if known is EffectState.UNCLEAR:
        failed(session, first, EffectState.UNCLEAR, "time-out", after(15))
    begun = begin(session, kind(Once.AT_MOST_ONCE), KEY, b"second", after(40))

    assert begun == Settled(None)
    effect = row(session)
    assert (effect.state, effect.attempts, effect.settled_at, effect.lease_until) == ("given_up", 1, after(40), None)
    assert begin(session, kind(Once.AT_MOST_ONCE), KEY, b"third", after(99)) == Settled(None)


def test_what_was_given_up_and_turns_out_to_have_happened_is_done(session: Session) -> None:
    first = attempt(session, Once.AT_MOST_ONCE)
    begin(session, kind(Once.AT_MOST_ONCE), KEY, b"second", after(40))
    done(session, first, {"id": "m-1"}, after(50))

    assert begin(session, kind(Once.AT_MOST_ONCE), KEY, b"third", after(60)) == Settled({"id": "m-1"})


@pytest.mark.parametrize("state", [EffectState.INTENDED, EffectState.UNCLEAR, EffectState.REFUSED])
def test_a_late_failure_says_nothing_about_the_attempt_that_took_over(session: Session, state: EffectState) -> None:
    first = attempt(session, Once.KEYED)
    attempt(session, Once.KEYED, now=after(60))
    failed(session, first, state, "late", after(61))

    effect = row(session)
    assert (effect.state, effect.fence, effect.lease_until, effect.error) == ("calling", 2, after(100), "")


def test_a_late_success_counts_whoever_took_over_and_its_failure_changes_nothing(session: Session) -> None:
    first = attempt(session, Once.ASKABLE)
    second = attempt(session, Once.ASKABLE, now=after(60))
    done(session, first, {"id": "s-1"}, after(61))
    failed(session, second, EffectState.UNCLEAR, "time-out", after(75))

    assert (row(session).state, row(session).response, row(session).error) == ("done", {"id": "s-1"}, "")


def test_a_shorter_lease_may_be_asked_for(session: Session) -> None:
    begun = begin(session, kind(Once.ASKABLE), KEY, b"first", NOON, lease_seconds=2)

    assert isinstance(begun, Attempt) and begun.deadline == after(2)
    assert row(session).lease_until == after(2 + LAG)


@pytest.mark.parametrize(
    ("state", "until"), [("calling", None), ("unclear", None), ("done", NOON), ("intended", NOON), ("refused", NOON)]
)
def test_the_database_refuses_open_attempts_without_an_end_and_ended_ones_with_one(
    session: Session, state: str, until: datetime | None
) -> None:
    done(session, attempt(session, Once.KEYED), {}, NOON)
    with pytest.raises(IntegrityError, match="open_attempt_has_a_lease"):
        session.connection().execute(
            text("UPDATE effect SET state = :state, lease_until = CAST(:until AS timestamptz)"),
            {"state": state, "until": until},
        )
    session.rollback()


def test_an_orders_effects_come_oldest_first(session: Session) -> None:
    order = an_order(session, NOON)
    for key in ("b", "a", "c"):
        begin(session, kind(Once.KEYED), key, b"", NOON, order_id=order.id, fulfilment_id=None)
    begin(session, kind(Once.KEYED), "of nobody", b"", NOON)

    assert order.id is not None
    assert [effect.key for effect in effects_of(session, order.id)] == ["b", "a", "c"]
