"""Events, parking and interruption between a lane and the rest of the world: nothing sleeps past what woke it."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from models.fulfilment import (
    NOTIFY_CHANNEL,
    Claim,
    ClaimLost,
    Fulfilment,
    Stage,
    WaitingOn,
    advance,
    claim_order,
    claim_ready,
    hold_on,
    interrupt,
    park,
    release_claims,
    renew,
    wake,
)
from tests.models.concurrently import connections, in_threads, transaction
from tests.models.factories import fulfilments

NOON = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Ten connections to a database of this test's own."""
    with connections(database_url) as pool:
        yield pool


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def read(engine: Engine, id: int) -> Fulfilment:
    with transaction(engine) as session:
        return session.get_one(Fulfilment, id)


def one_claimed(engine: Engine, lane: str = "north", seconds: float = 60) -> Claim:
    with transaction(engine) as session:
        fulfilments(session, NOON, 1)
        (claim,) = claim_ready(session, lane, 1, seconds, NOON)
    return claim


@contextmanager
def listening(engine: Engine) -> Iterator[Callable[[], int]]:
    """How many notifications have come since it was last asked."""
    with closing(psycopg2.connect(engine.url.set(drivername="postgresql").render_as_string(False))) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"LISTEN {NOTIFY_CHANNEL}")

        def heard() -> int:
            while select.select([connection], [], [], 0.1)[0]:
                connection.poll()
            count = len(connection.notifies)
            connection.notifies.clear()
            return count

        yield heard


def test_waking_makes_ready_now_and_what_was_ready_keeps_its_place(engine: Engine) -> None:
    with transaction(engine) as session:
        (id,) = fulfilments(session, after(600), 1)
        assert wake(session, [id], after(5)) == 1
        assert wake(session, [id], after(9)) == 1

    row = read(engine, id)
    assert (row.ready_at, row.wake_seq, row.fence) == (after(5), 2, 0)


def test_nothing_wakes_or_interrupts_a_finished_fulfilment(engine: Engine) -> None:
    claim = one_claimed(engine)
    with transaction(engine) as session:
        advance(session, claim, Stage.CLOSED, NOON)
    before = read(engine, claim.fulfilment_id)
    with listening(engine) as heard:
        with transaction(engine) as session:
            assert wake(session, [claim.fulfilment_id], NOON) == 0
            assert interrupt(session, [claim.fulfilment_id], NOON) == 0
            assert claim_order(session, claim.order_id, "desk", 60, NOON) == []
        assert heard() == 0

    assert read(engine, claim.fulfilment_id) == before
    assert (before.ready_at, before.claimed_by, before.claim_until) == (None, None, None)


def test_one_transaction_notifies_once_and_only_when_it_commits(engine: Engine) -> None:
    with transaction(engine) as session:
        ids = fulfilments(session, after(600), 3)
    with listening(engine) as heard:
        with transaction(engine) as session:
            for id in ids:
                wake(session, [id], NOON)
            interrupt(session, ids, NOON)
            assert heard() == 0
        assert heard() == 1
        with Session(engine) as session:
            wake(session, ids, NOON)
            session.rollback()
        assert heard() == 0


def test_parking_waits_until_its_time_and_ends_the_claim(engine: Engine) -> None:
    claim = one_claimed(engine)
    with listening(engine) as heard:
        with transaction(engine) as session:
            assert park(session, claim, WaitingOn.RETRY, "x" * 600, after(300), attempts=2, now=NOON)
        assert heard() == 0

    row = read(engine, claim.fulfilment_id)
    assert (row.ready_at, row.waiting_on, len(row.waiting_why), row.attempts) == (after(300), "retry", 500, 2)
    with transaction(engine) as session:
        with pytest.raises(ClaimLost):
            hold_on(session, claim)
        with pytest.raises(ClaimLost):
            park(session, claim, WaitingOn.RETRY, "", after(900), now=NOON)
    assert read(engine, claim.fulfilment_id).ready_at == after(300)


def test_an_event_while_parking_makes_it_ready_at_once(engine: Engine) -> None:
    claim = one_claimed(engine)
    with transaction(engine) as session:
        wake(session, [claim.fulfilment_id], after(1))
    with listening(engine) as heard:
        with transaction(engine) as session:
            assert not park(session, claim, WaitingOn.CARRIER, "", after(600), now=after(2))
        assert heard() == 1

    assert read(engine, claim.fulfilment_id).ready_at == after(2)


def test_an_event_that_commits_while_the_lane_waits_to_park_is_not_lost(engine: Engine) -> None:
    claim = one_claimed(engine)
    events = Session(engine)
    wake(events, [claim.fulfilment_id], after(1))

    def commit_or_park(number: int) -> bool:
        if number == 0:
            events.commit()
            return True
        with transaction(engine) as session:
            return park(session, claim, WaitingOn.CARRIER, "", after(600), now=after(2))

    assert in_threads(2, commit_or_park) == [True, False]
    assert read(engine, claim.fulfilment_id).ready_at == after(2)


def test_an_interruption_takes_the_claim_from_a_lane_that_is_just_committing(engine: Engine) -> None:
    claim = one_claimed(engine)
    events = Session(engine)
    interrupt(events, [claim.fulfilment_id], after(1))

    def commit_or_advance(number: int) -> bool:
        if number == 0:
            events.commit()
            return False
        with transaction(engine) as session, pytest.raises(ClaimLost):
            advance(session, claim, Stage.SHIPPED, after(1))
        return True

    assert in_threads(2, commit_or_advance) == [False, True]
    row = read(engine, claim.fulfilment_id)
    assert (row.stage, row.fence, row.claimed_by, row.wake_seq) == ("received", claim.fence + 1, None, 1)
    with transaction(engine) as session:
        assert [c.fence for c in claim_ready(session, "south", 1, 60, after(1))] == [claim.fence + 2]


def test_a_dead_lane_gives_back_what_it_held_and_no_more(engine: Engine) -> None:
    with transaction(engine) as session:
        fulfilments(session, NOON, 3)
        dead = claim_ready(session, "north", 2, 60, NOON)
        (alive,) = claim_ready(session, "south", 2, 60, NOON)
    with listening(engine) as heard:
        with transaction(engine) as session:
            assert release_claims(session, "north") == 2
            assert release_claims(session, "nobody") == 0
        assert heard() == 1

    with transaction(engine) as session:
        assert hold_on(session, alive).claimed_by == "south"
        assert len(claim_ready(session, "east", 3, 60, NOON)) == 2
        for claim in dead:
            with pytest.raises(ClaimLost):
                hold_on(session, claim)


def test_renewals_interruptions_and_releases_never_wait_for_each_other_in_a_circle(engine: Engine) -> None:
    with transaction(engine) as session:
        ids = fulfilments(session, NOON, 12)
        claims = claim_ready(session, "north", 12, 60, NOON)

    def many_times(number: int) -> int:
        for _ in range(100):
            with transaction(engine) as session:
                if number == 0:
                    renew(session, claims[::-1], 60, NOON)
                elif number == 1:
                    wake(session, ids, NOON)
                elif number == 2:
                    interrupt(session, ids[::-1], NOON)
                else:
                    release_claims(session, "north")
                    claim_ready(session, "north", 12, 60, NOON)
        return number

    assert in_threads(4, many_times) == [0, 1, 2, 3]
    assert {read(engine, id).wake_seq for id in ids} == {200}
