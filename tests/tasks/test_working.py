"""Whatever stops a step, the fulfilment is parked with a reason and a time, and the run says so."""

from __future__ import annotations

from datetime import timedelta

import pytest

from integrations.errors import Later, Refused, Unclear
from integrations.platforms import NotConnected
from models.database import in_transaction, utcnow
from models.effect import EffectBusy
from models.fulfilment import Claim, ClaimLost, Stage, WaitingOn, interrupt, wake
from models.order import Order
from models.settings import settings
from tasks.working import PATIENCE, MustWait, Outcome, give_back, working_on
from tests.carrying import claim, holds, placed
from tests.house import House
from tests.orders import fulfilment_of

SOON = timedelta(minutes=7)


@pytest.fixture
async def order(home: House) -> Order:
    """An order of one's own."""
    return await placed(home)


async def stopped_by(error: Exception, mine: Claim) -> Outcome:
    async with working_on(mine) as outcome:
        raise error
    return outcome


async def test_a_step_that_must_wait_parks_until_its_time(order: Order) -> None:
    until = utcnow() + SOON
    outcome = await stopped_by(MustWait(WaitingOn.PRODUCTION, "批次 7 生产中", until), await claim(order))
    row = fulfilment_of(order)
    assert (row.waiting_on, row.waiting_why, row.ready_at) == ("production", "批次 7 生产中", until)
    assert row.claimed_by is None
    assert (outcome.state.name, outcome.state.message) == ("等待生产完成", "批次 7 生产中")


@pytest.mark.parametrize("error", [Later("p", "busy", "soon", 1.0), Unclear("p", "timeout", "no answer")])
async def test_a_platform_that_cannot_is_tried_again_later_and_later(order: Order, error: Exception) -> None:
    waits = []
    for _ in range(3):
        before = utcnow()
        outcome = await stopped_by(error, await claim(order))
        assert outcome.waits is WaitingOn.RETRY
        waits.append(((fulfilment_of(order).ready_at or before) - before).total_seconds())
    assert fulfilment_of(order).attempts == 3
    assert 2 <= waits[0] < 4 <= waits[1] < 8 <= waits[2] < 12
    assert await holds(order) == []


async def test_a_platform_that_says_when_is_not_asked_sooner(order: Order) -> None:
    before = utcnow()
    await stopped_by(Later("p", "429", "slow down", retry_after=90.0), await claim(order))
    assert (fulfilment_of(order).ready_at or before) >= before + timedelta(seconds=90)


async def test_an_order_that_has_failed_for_days_is_still_parked(order: Order) -> None:
    # given an order that has failed more often than a float can double
    held = await claim(order)
    held.attempts = 2_000
    before = utcnow()
    outcome = await stopped_by(Later("p", "503", "down"), held)
    # then it is looked at again in minutes, as after the tenth failure
    assert outcome.waits is WaitingOn.RETRY
    assert 300 <= ((fulfilment_of(order).ready_at or before) - before).total_seconds() < 400


async def test_after_many_failures_a_person_hears_of_it_once_and_tries_go_on(order: Order) -> None:
    for _ in range(PATIENCE + 2):
        await stopped_by(Unclear("p", "500", "broken"), await claim(order))
    assert await holds(order) == ["keeps_failing"]
    row = fulfilment_of(order)
    assert (row.waiting_on, row.attempts) == ("retry", PATIENCE + 2)


@pytest.mark.parametrize(
    ("error", "code"),
    [(Refused("sf_express", "8252", "不行"), "refused_sf_express"), (NotConnected("快递"), "not_connected")],
)
async def test_a_definite_no_goes_to_a_person(order: Order, error: Exception, code: str) -> None:
    outcome = await stopped_by(error, await claim(order))
    assert outcome.state.name == "需要人工处理"
    assert await holds(order) == [code]
    assert fulfilment_of(order).waiting_on == WaitingOn.PERSON.value


async def test_a_call_that_is_under_way_is_waited_for(order: Order) -> None:
    until = utcnow() + SOON
    await stopped_by(EffectBusy("release-X-1", until), await claim(order))
    row = fulfilment_of(order)
    assert (row.waiting_on, row.ready_at, row.attempts) == ("retry", until, 0)


async def test_an_error_nobody_foresaw_parks_and_shows(order: Order) -> None:
    with pytest.raises(ZeroDivisionError):
        await stopped_by(ZeroDivisionError("oh"), await claim(order))
    row = fulfilment_of(order)
    assert (row.waiting_on, row.waiting_why, row.attempts) == ("retry", "ZeroDivisionError: oh", 1)
    assert row.claimed_by is None


async def test_an_event_while_parking_makes_it_ready_at_once(order: Order) -> None:
    mine = await claim(order)
    async with working_on(mine):
        await in_transaction(lambda session: wake(session, [mine.fulfilment_id], utcnow()))
        raise MustWait(WaitingOn.PRODUCTION, "批次 7 生产中", utcnow() + SOON)
    row = fulfilment_of(order)
    assert row.claimed_by is None
    assert row.ready_at is not None and row.ready_at <= utcnow()


async def test_who_was_interrupted_parks_nothing_and_says_handed_over(order: Order) -> None:
    mine = await claim(order)
    async with working_on(mine) as outcome:
        await in_transaction(lambda session: interrupt(session, [mine.fulfilment_id], utcnow()))
        raise MustWait(WaitingOn.PRODUCTION, "批次 7 生产中", utcnow() + SOON)
    row = fulfilment_of(order)
    assert (row.waiting_on, row.waiting_why) == (None, "")
    assert row.ready_at is not None and row.ready_at <= utcnow()
    assert outcome.lost and outcome.state.name == "已交接"


async def test_a_lost_claim_inside_a_step_says_handed_over(order: Order) -> None:
    outcome = await stopped_by(ClaimLost("别处在处理"), await claim(order))
    assert (outcome.state.name, outcome.state.message) == ("已交接", "别处在处理")


async def test_what_a_run_could_not_start_is_given_back_and_only_once(order: Order) -> None:
    mine = await claim(order)
    await give_back(mine, "运行没能开始")
    row = fulfilment_of(order)
    assert (row.waiting_on, row.claimed_by, row.attempts) == ("retry", None, 0)
    # and a claim that another has by now stays with it
    await claim(order, "another")
    await give_back(mine, "运行没能开始")
    assert fulfilment_of(order).claimed_by == "another"


async def test_in_english_the_state_says_what_it_waits_for(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "language", "en")
    mine = await claim(order)
    assert Outcome(mine, WaitingOn.REVIEW).state.name == "Waiting: review"
    mine.stage = Stage.SHIPPED
    assert Outcome(mine, WaitingOn.CARRIER).state.name == "Shipped"
    assert Outcome(mine, lost=True).state.name == "Handed over"
