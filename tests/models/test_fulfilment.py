"""Claiming fulfilments, keeping the claim and losing it; what the database refuses; when the next one is ready."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from models.fulfilment import (
    Claim,
    ClaimLost,
    Fulfilment,
    Stage,
    WaitingOn,
    advance,
    claim_order,
    claim_ready,
    fulfilments_of,
    hold_on,
    interrupt,
    next_ready_in,
    park,
    renew,
)
from tests.models.concurrently import connections, in_threads, transaction
from tests.models.factories import a_fulfilment, an_order, fulfilments

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


def test_concurrent_claimers_get_each_fulfilment_once_and_never_more_than_asked(engine: Engine) -> None:
    with transaction(engine) as session:
        ids = fulfilments(session, NOON, 50)

    def claim_all(number: int) -> list[list[int]]:
        batches: list[list[int]] = []
        while not batches or batches[-1]:
            with transaction(engine) as session:
                claims = claim_ready(session, f"lane-{number}", 3, 60, NOON)
                batches.append([claim.fulfilment_id for claim in claims])
        return batches

    batches = [batch for lane in in_threads(8, claim_all) for batch in lane]

    assert max(len(batch) for batch in batches) == 3
    assert sorted(id for batch in batches for id in batch) == ids


def test_a_claimer_passes_over_what_another_is_claiming_without_waiting(engine: Engine) -> None:
    with transaction(engine) as session:
        ids = fulfilments(session, NOON, 4)
    with Session(engine) as north, Session(engine) as south:
        first = claim_ready(north, "north", 2, 60, NOON)
        second = claim_ready(south, "south", 4, 60, NOON)
        south.commit()
        north.commit()

    assert [claim.fulfilment_id for claim in first] == ids[:2]
    assert [claim.fulfilment_id for claim in second] == ids[2:]


def test_the_most_urgent_and_then_the_longest_ready_are_claimed_first(engine: Engine) -> None:
    with transaction(engine) as session:
        rows = [(100, 0), (100, -60), (10, 0), (10, 1)]
        ids = [
            a_fulfilment(
                session, an_order(session, NOON, f"T-{n}"), NOON, priority=priority, ready_at=after(seconds)
            ).id
            for n, (priority, seconds) in enumerate(rows)
        ]
        claims = claim_ready(session, "north", 2, 60, NOON)

    assert {claim.fulfilment_id for claim in claims} == {ids[2], ids[1]}


def test_a_claim_keeps_others_out_until_its_last_moment(engine: Engine) -> None:
    claim = one_claimed(engine, seconds=60)
    with transaction(engine) as session:
        assert claim_ready(session, "south", 1, 60, after(59.999)) == []
        assert claim_order(session, claim.order_id, "south", 60, after(59.999)) == []
        (again,) = claim_ready(session, "south", 1, 60, after(60))

    assert (again.fence, again.lane) == (claim.fence + 1, "south")
    with transaction(engine) as session, pytest.raises(ClaimLost):
        hold_on(session, claim)


def test_a_person_claims_what_nobody_holds_ready_or_not(session: Session) -> None:
    order = an_order(session, NOON)
    parked = a_fulfilment(session, order, NOON, ready_at=after(3600))
    a_fulfilment(session, order, NOON, number=2, claimed_by="north", claim_until=after(60))
    a_fulfilment(session, order, NOON, number=3, stage=Stage.CLOSED.value, ready_at=None)
    claims = claim_order(session, parked.order_id, "desk", 60, NOON)

    assert [(claim.fulfilment_no, claim.lane, claim.fence) for claim in claims] == [("SH-1001-1", "desk", 1)]


def test_what_a_dead_desk_had_claimed_is_ready_when_its_claim_ends(session: Session) -> None:
    parked = a_fulfilment(session, an_order(session, NOON), NOON, ready_at=after(3600))
    (claim,) = claim_order(session, parked.order_id, "desk", 60, NOON)
    advance(session, claim, Stage.APPROVED, NOON)

    assert next_ready_in(session, NOON) == 60
    (again,) = claim_ready(session, "north", 1, 60, after(60))
    assert (again.stage, again.fence) == (Stage.APPROVED, 2)


def test_renewing_prolongs_only_claims_that_are_still_ours(engine: Engine) -> None:
    with transaction(engine) as session:
        ids = fulfilments(session, NOON, 4)
        kept, lost, parked, ended = sorted(
            claim_ready(session, "north", 4, 60, NOON), key=lambda claim: claim.fulfilment_id
        )
        interrupt(session, [lost.fulfilment_id], NOON)
        claim_ready(session, "south", 1, 60, NOON)
        park(session, parked, WaitingOn.REVIEW, "", after(600), now=NOON)
        advance(session, ended, Stage.CANCELLED, NOON)
    with transaction(engine) as session:
        assert renew(session, [ended, parked, lost, kept], 60, after(30)) == 1

    assert [read(engine, id).claim_until for id in ids] == [after(90), after(60), None, None]


def test_next_ready_in_looks_at_waits_and_at_claims(engine: Engine) -> None:
    with transaction(engine) as session:
        assert next_ready_in(session, NOON) is None
        fulfilments(session, after(45), 1)
        assert next_ready_in(session, NOON) == 45
        assert next_ready_in(session, after(50)) == 0
        (claim,) = claim_ready(session, "north", 1, 60, after(50))
        assert next_ready_in(session, after(50)) == 60
        advance(session, claim, Stage.CLOSED, after(50))
        assert next_ready_in(session, after(50)) is None


def test_next_ready_in_sees_one_ready_behind_a_hundred_claimed(engine: Engine) -> None:
    with transaction(engine) as session:
        fulfilments(session, NOON, 100)
        assert len(claim_ready(session, "north", 100, 60, NOON)) == 100
        a_fulfilment(session, an_order(session, NOON), after(1))
        assert next_ready_in(session, after(1)) == 0


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("ready_at", None, "unfinished_has_ready_at"),
        ("stage", "closed", "unfinished_has_ready_at"),
        ("claimed_by", "north", "claim_has_an_end"),
        ("claim_until", NOON, "claim_has_an_end"),
    ],
)
def test_the_database_refuses_what_would_sleep_or_be_held_for_ever(
    session: Session, column: str, value: object, rule: str
) -> None:
    fulfilments(session, NOON, 1)
    with pytest.raises(IntegrityError, match=rule):
        session.connection().execute(text(f"UPDATE fulfilment SET {column} = :value"), {"value": value})
    session.rollback()


def test_an_orders_fulfilments_come_by_number(session: Session) -> None:
    order = an_order(session, NOON)
    for number in (2, 1, 3):
        a_fulfilment(session, order, NOON, number=number)
    assert order.id is not None
    assert [row.number for row in fulfilments_of(session, order.id)] == [1, 2, 3]
