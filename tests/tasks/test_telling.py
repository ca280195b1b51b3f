"""Telling once: what is called, asked and settled after every kind of answer, and by whom."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from integrations.errors import Later, Refused, Unclear
from models.database import in_transaction, transact
from models.effect import RELEASE, SHIP_NOTICE, Effect, EffectBusy, EffectKind, EffectState, Once
from models.fulfilment import Claim, ClaimLost, release_claims
from models.order import Order
from tasks.telling import tell_once
from tests.carrying import claim, placed
from tests.house import House

ONE_SHOT = EffectKind("one_shot", Once.AT_MOST_ONCE)


@dataclass
class Platform:
    """The other side: answers as it was told to, and remembers what it got."""

    answers: list[dict[str, Any] | Exception] = field(default_factory=list)
    knows: dict[str, Any] | None = None
    got: list[str] = field(default_factory=list)
    asked: int = 0
    settled: list[dict[str, Any] | None] = field(default_factory=list)

    async def call(self, request: bytes) -> dict[str, Any]:
        self.got.append(request.decode())
        answer = self.answers.pop(0) if self.answers else {"number": len(self.got)}
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask(self, request: bytes) -> dict[str, Any] | None:
        self.asked += 1
        return self.knows

    async def tell(self, mine: Claim, kind: EffectKind = RELEASE, words: str = "first") -> None:
        await tell_once(
            mine,
            kind,
            f"{kind.name}-{mine.fulfilment_no}",
            lambda _: words.encode(),
            self.call,
            lambda _, answer: self.settled.append(answer),
            ask=self.ask,
        )


@pytest.fixture
async def order(home: House) -> Order:
    """An order of one's own."""
    return await placed(home)


@pytest.fixture
async def mine(order: Order) -> Claim:
    """The claim on it."""
    return await claim(order)


async def test_the_second_time_nobody_is_called_and_the_first_answer_counts(mine: Claim) -> None:
    platform = Platform()
    await platform.tell(mine)
    await platform.tell(mine, words="second")
    assert platform.got == ["first"]
    assert platform.settled == [{"number": 1}] * 2
    assert _state(mine, RELEASE) == EffectState.DONE


@pytest.mark.parametrize(
    ("error", "state"),
    [(Refused("p", "no", "never"), EffectState.REFUSED), (Later("p", "busy", "soon"), EffectState.INTENDED)],
)
async def test_after_a_definite_no_the_next_try_may_say_something_else(
    mine: Claim, error: Exception, state: EffectState
) -> None:
    platform = Platform([error])
    with pytest.raises(type(error)):
        await platform.tell(mine)
    assert _state(mine, RELEASE) == state
    assert platform.settled == []
    await platform.tell(mine, words="second")
    assert platform.got == ["first", "second"]
    assert platform.settled == [{"number": 2}]


async def test_what_may_have_got_through_is_repeated_byte_for_byte_after_its_time(mine: Claim) -> None:
    # given a call to a platform that takes our key, and no answer
    platform = Platform([Unclear("p", "timeout", "no answer")])
    with pytest.raises(Unclear):
        await platform.tell(mine)
    # then nobody repeats it while it may still arrive
    with pytest.raises(EffectBusy):
        await platform.tell(mine, words="second")
    # and afterwards the same bytes go again
    _leases_are_over()
    await platform.tell(mine, words="second")
    assert platform.got == ["first", "first"]
    assert platform.asked == 0


async def test_a_repeat_that_is_told_later_is_still_unclear(mine: Claim) -> None:
    # given a first call that may have got through, and a second one that did not leave
    platform = Platform([Unclear("p", "timeout", "no answer"), Later("p", "unreachable", "no connection")])
    for error in (Unclear, Later):
        with pytest.raises(error):
            await platform.tell(mine)
        assert _state(mine, RELEASE) == EffectState.UNCLEAR
        _leases_are_over()
    await platform.tell(mine, words="second")
    assert platform.got == ["first"] * 3


@pytest.mark.parametrize(("knows", "calls"), [({"number": 7}, 1), (None, 2)])
async def test_a_platform_without_keys_is_asked_before_it_is_told_again(
    mine: Claim, knows: dict[str, Any] | None, calls: int
) -> None:
    platform = Platform([Unclear("p", "timeout", "no answer")], knows)
    with pytest.raises(Unclear):
        await platform.tell(mine, SHIP_NOTICE)
    _leases_are_over()
    await platform.tell(mine, SHIP_NOTICE)
    assert (len(platform.got), platform.asked) == (calls, 1)
    assert platform.settled == [knows or {"number": 2}]


async def test_what_must_not_be_repeated_is_given_up_and_settled_without_an_answer(mine: Claim) -> None:
    platform = Platform([Unclear("p", "timeout", "no answer")])
    with pytest.raises(Unclear):
        await platform.tell(mine, ONE_SHOT)
    _leases_are_over()
    await platform.tell(mine, ONE_SHOT)
    assert platform.got == ["first"]
    assert platform.settled == [None]
    assert _state(mine, ONE_SHOT) == EffectState.GIVEN_UP


async def test_an_answer_that_comes_after_the_claim_was_lost_is_kept_for_the_next_holder(
    order: Order, mine: Claim
) -> None:
    # given a lane that loses its claim while it is in the call
    platform = Platform()

    async def call_and_lose(request: bytes) -> dict[str, Any]:
        await in_transaction(lambda session: release_claims(session, mine.lane))
        return await Platform.call(platform, request)

    with pytest.raises(ClaimLost):
        await tell_once(
            mine,
            RELEASE,
            f"{RELEASE.name}-{mine.fulfilment_no}",
            lambda _: b"first",
            call_and_lose,
            lambda _, answer: platform.settled.append(answer),
        )
    # then nothing of the order was changed by it
    assert platform.settled == []
    # and the next holder calls nobody, and goes on from the answer
    await platform.tell(await claim(order, "next"))
    assert platform.got == ["first"]
    assert platform.settled == [{"number": 1}]


async def test_of_two_at_once_one_is_told_to_wait(mine: Claim) -> None:
    platform, answering = Platform(), asyncio.Event()

    async def slowly(request: bytes) -> dict[str, Any]:
        await answering.wait()
        return await Platform.call(platform, request)

    first = asyncio.create_task(
        tell_once(mine, RELEASE, f"{RELEASE.name}-{mine.fulfilment_no}", lambda _: b"first", slowly, _nothing)
    )
    while _state(mine, RELEASE) != EffectState.CALLING:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    with pytest.raises(EffectBusy):
        await platform.tell(mine)
    answering.set()
    await first
    assert platform.got == ["first"]


async def test_without_the_claim_nothing_is_even_intended(mine: Claim) -> None:
    await in_transaction(lambda session: release_claims(session, mine.lane))
    platform = Platform()
    with pytest.raises(ClaimLost):
        await platform.tell(mine)
    assert platform.got == []
    assert _state(mine, RELEASE) is None


def _nothing(session: Session, answer: dict[str, Any] | None) -> None:
    return None


def _state(mine: Claim, kind: EffectKind) -> EffectState | None:
    key = f"{kind.name}-{mine.fulfilment_no}"
    found = transact(lambda session: session.exec(select(Effect.state).where(Effect.key == key)).first())
    return None if found is None else EffectState(found)


def _leases_are_over() -> None:
    over = text("UPDATE effect SET lease_until = now() WHERE lease_until IS NOT NULL")
    transact(lambda session: session.connection().execute(over))
