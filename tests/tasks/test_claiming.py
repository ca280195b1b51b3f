"""How a lane gets its work: places, wake-ups, heartbeats, and what it does when it was declared dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models import lane as lanes
from models.database import in_transaction, transact, utcnow
from models.fulfilment import Claim, Fulfilment, announce
from models.order import Order
from tasks.claiming import LaneLost, LaneProcess, Shift, keep_beating, register_lane
from tests.carrying import placed
from tests.house import House
from tests.orders import fulfilment_of

#: A wake-up that was heard is acted on long before the next scan, which is 5 s away.
HEARD_WITHIN = 2.5


@pytest.fixture
async def lane(home: House) -> AsyncIterator[LaneProcess]:
    """This process as a lane with two places, in a book where nothing is ready."""
    await in_transaction(_put_off)
    process = await register_lane(2)
    yield process
    await in_transaction(lambda session: lanes.end(session, process.name, utcnow()))


async def test_what_is_ready_is_handed_out_as_places_become_free(home: House, lane: LaneProcess) -> None:
    # given three ready orders and two places
    orders = [await placed(home) for _ in range(3)]
    shift = Shift(60)
    claims = shift.claims()
    first, second = await anext(claims), await anext(claims)
    assert lane.places == 0
    # when nobody leaves, nobody enters
    third = asyncio.ensure_future(anext(claims))
    await asyncio.sleep(0.2)
    assert not third.done()
    # and a place that becomes free is taken at once
    begun = time.monotonic()
    lane.leave(first)
    got = await third
    assert time.monotonic() - begun < HEARD_WITHIN
    assert {c.order_id for c in (first, second, got)} == {order.id for order in orders}
    assert lane.carried == 1
    await claims.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("hang_up", [False, True], ids=["listening", "after the connection broke"])
async def test_a_wake_up_is_heard_long_before_the_next_scan(home: House, lane: LaneProcess, hang_up: bool) -> None:
    # given a lane at rest, whose connection may have been cut
    order = await placed(home)
    transact(_put_off)
    claims = Shift(60).claims()
    coming = asyncio.ensure_future(anext(claims))
    await asyncio.sleep(0.3)
    if hang_up:
        transact(_cut_listeners)
        await asyncio.sleep(0.3)
    # when the order becomes ready
    begun = time.monotonic()
    await in_transaction(lambda session: _ready(session, order))
    # then it is there at once
    assert (await coming).order_id == order.id
    assert time.monotonic() - begun < HEARD_WITHIN
    await claims.aclose()  # type: ignore[attr-defined]


async def test_what_becomes_due_is_taken_when_it_is_due(home: House, lane: LaneProcess) -> None:
    order = await placed(home)
    transact(lambda session: session.connection().execute(_DUE_SOON, {"id": order.id}))
    claims = Shift(60).claims()
    begun = time.monotonic()
    assert (await anext(claims)).order_id == order.id
    assert 0.2 < time.monotonic() - begun < HEARD_WITHIN
    await claims.aclose()  # type: ignore[attr-defined]


async def test_two_shifts_of_a_lane_share_its_places_and_never_a_claim(home: House, lane: LaneProcess) -> None:
    orders = [await placed(home) for _ in range(6)]
    got: list[Claim] = []

    async def work(shift: Shift) -> None:
        async for claim in shift.claims():
            got.append(claim)
            assert len(lane.in_flight) <= 2
            await asyncio.sleep(0.02)
            await in_transaction(lambda session, claim=claim: _finish(session, claim))  # type: ignore[misc]
            lane.leave(claim)

    await asyncio.gather(work(Shift(1.0)), work(Shift(1.0)))
    assert sorted(claim.order_id for claim in got) == sorted(order.id or 0 for order in orders)


async def test_a_shift_ends_on_time_and_a_closing_lane_at_once(home: House, lane: LaneProcess) -> None:
    begun = time.monotonic()
    assert [claim async for claim in Shift(0.3).claims()] == []
    assert 0.3 <= time.monotonic() - begun < HEARD_WITHIN
    closing = asyncio.create_task(_all(Shift(60)))
    await asyncio.sleep(0.2)
    begun = time.monotonic()
    lane.closing.set()
    assert await closing == []
    assert time.monotonic() - begun < HEARD_WITHIN


async def test_a_heartbeat_prolongs_what_is_held_and_brings_the_flags(home: House, lane: LaneProcess) -> None:
    # given a claim that is about to end
    order = await placed(home)
    claims = Shift(60).claims()
    held = await anext(claims)
    transact(lambda session: session.connection().execute(_CLAIM_ENDS, {"id": held.fulfilment_id}))
    transact(lambda session: lanes.set_flags(session, utcnow(), paused=True))
    # when the lane's heart beats
    row = await lane.beat("run-1")
    # then the claim goes on, and the lane knows that it is paused
    until = fulfilment_of(order).claim_until
    assert until is not None and (until - utcnow()).total_seconds() > 60
    assert (row.paused, row.in_flight, row.run_id) == (True, 1, "run-1")
    await claims.aclose()  # type: ignore[attr-defined]


async def test_a_lane_that_was_declared_dead_stops_and_leaves_the_claims_of_others(
    home: House, lane: LaneProcess
) -> None:
    # given a lane that was silent too long: another has its order now
    order = await placed(home)
    shift = Shift(60)
    claims = shift.claims()
    await anext(claims)
    assert await in_transaction(lambda session: lanes.end(session, lane.name, utcnow())) == 1
    before = fulfilment_of(order)
    # when it wakes up and its heart beats
    with pytest.raises(LaneLost, match="曾被判为失联"):
        await keep_beating(shift)
    # then it holds nothing any more
    after = fulfilment_of(order)
    assert (after.claimed_by, after.fence) == (None, before.fence)
    await claims.aclose()  # type: ignore[attr-defined]


async def test_a_pause_outlives_the_lane_it_was_set_on(home: House, lane: LaneProcess) -> None:
    transact(lambda session: lanes.set_flags(session, utcnow(), paused=True))
    other = await register_lane(1)
    assert other.row is not None and other.row.paused
    await in_transaction(lambda session: lanes.end(session, other.name, utcnow()))


_DUE_SOON = text("UPDATE fulfilment SET ready_at = now() + interval '0.3 s' WHERE order_id = :id")
_CLAIM_ENDS = text("UPDATE fulfilment SET claim_until = now() + interval '5 s' WHERE id = :id")


def _put_off(session: Session) -> None:
    later = text("UPDATE fulfilment SET ready_at = now() + interval '1 day' WHERE ready_at IS NOT NULL")
    session.connection().execute(later)


def _ready(session: Session, order: Order) -> None:
    ready = text("UPDATE fulfilment SET ready_at = now() WHERE order_id = :id")
    session.connection().execute(ready, {"id": order.id})
    announce(session)


def _cut_listeners(session: Session) -> None:
    cut = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'")
    assert session.connection().execute(cut).rowcount >= 1


def _finish(session: Session, claim: Claim) -> None:
    row = session.get_one(Fulfilment, claim.fulfilment_id)
    row.claimed_by, row.claim_until = None, None
    row.ready_at = utcnow().replace(year=2099)
    session.add(row)


async def _all(shift: Shift) -> list[Claim]:
    return [claim async for claim in shift.claims()]
