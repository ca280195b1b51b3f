"""The lane of the protocol test: a walk through one fulfilment's script that stops between every two commits.

Every `yield` is a place where other lanes may work, events may come, time may jump, or this lane may die. What is
sent into the generator is the fate of the outward call that comes next, if it has said that one does (True).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine, text
from sqlmodel import Session

from models import effect, fulfilment
from models.effect import Attempt, EffectBusy, EffectKind, EffectState, Once, Settled
from models.fulfilment import Claim, ClaimLost, Stage, WaitingOn
from models.order import Order
from tests.models.protocol_platform import CALL_SECONDS, Answer, Fate, Platform

PLAIN, WAIT = "plain", "wait"
#: One outward call of each kind that the other side can be held to once by.
KINDS = {
    "keyed": EffectKind("test_keyed", Once.KEYED),
    "askable": EffectKind("test_askable", Once.ASKABLE, lag=5.0),
    "at_least_once": EffectKind("test_at_least_once", Once.AT_LEAST_ONCE),
    "at_most_once": EffectKind("test_at_most_once", Once.AT_MOST_ONCE),
}
ON_THE_WAY = [stage for stage in Stage if not stage.final]
LOOK_AGAIN = timedelta(minutes=10)
RETRY = timedelta(seconds=3)

Steps = Generator[bool, Fate, None]


@dataclass
class World:
    """Everything the lanes share: the database, the clock, the platform, and what each fulfilment has to do."""

    engine: Engine
    now: datetime
    platform: Platform = field(default_factory=Platform)
    scripts: dict[int, tuple[str, ...]] = field(default_factory=dict)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction on a connection of its own; committed unless something is raised."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session
            session.commit()

    def pass_to(self, moment: datetime) -> None:
        """The clock moves on; what the platform has been sent acts when its time comes."""
        self.now = max(self.now, moment)
        self.platform.pass_to(self.now)

    def log(self, session: Session, fulfilment_id: int, what: str, fence: int | None = None) -> None:
        """Write down who changed a fulfilment: under this fence, or (an event) under the one it now has."""
        session.connection().execute(
            text(
                "INSERT INTO protocol_log (fulfilment_id, what, fence) SELECT id, :what, COALESCE(:fence, fence)"
                " FROM fulfilment WHERE id = :id"
            ),
            {"id": fulfilment_id, "what": what, "fence": fence},
        )


def steps(world: World, claim: Claim) -> Steps:
    """Carry one claimed fulfilment as far as it goes: guard, act, commit; until it ends, waits or is lost."""
    try:
        while not claim.stage.final:
            yield False
            cancelled, arrived = _look(world, claim)
            yield False
            work = world.scripts[claim.fulfilment_id][ON_THE_WAY.index(claim.stage)]
            if cancelled:
                _call_off(world, claim)
                return
            if work == WAIT and not arrived:
                _park(world, claim, WaitingOn.CARRIER, world.now + LOOK_AGAIN)
                return
            if work in KINDS:
                if not (yield from _tell(world, claim, KINDS[work])):
                    return
            else:
                with world.transaction() as session:
                    _advance(world, session, claim)
    except ClaimLost:
        return


def _look(world: World, claim: Claim) -> tuple[bool, bool]:
    with world.transaction() as session:
        fulfilment.hold_on(session, claim)
        cancelled = session.get_one(Order, claim.order_id).cancel_requested_at is not None
        arrived = session.connection().execute(
            text("SELECT count(*) FROM protocol_event WHERE fulfilment_id = :id AND stage = :stage"),
            {"id": claim.fulfilment_id, "stage": claim.stage.value},
        )
        return cancelled, arrived.scalar_one() > 0


def _advance(world: World, session: Session, claim: Claim) -> None:
    script, place = world.scripts[claim.fulfilment_id], ON_THE_WAY.index(claim.stage)
    to = ON_THE_WAY[place + 1] if place + 1 < len(script) else Stage.CLOSED
    world.log(session, claim.fulfilment_id, to.value, claim.fence)
    fulfilment.advance(session, claim, to, world.now)
    if to.final:
        world.platform.over.add(claim.fulfilment_no)


def _park(world: World, claim: Claim, on: WaitingOn, look_again: datetime) -> None:
    with world.transaction() as session:
        fulfilment.park(session, claim, on, "waits", look_again, now=world.now)
        world.log(session, claim.fulfilment_id, "parked", claim.fence)


def _call_off(world: World, claim: Claim) -> None:
    """Cancelled: end once no attempt is open any more, so that nothing can happen over there afterwards."""
    with world.transaction() as session:
        fulfilment.hold_on(session, claim)
        leases = [e.lease_until for e in effect.effects_of(session, claim.order_id) if e.lease_until is not None]
        if not leases or max(leases) <= world.now:
            world.log(session, claim.fulfilment_id, Stage.CANCELLED.value, claim.fence)
            fulfilment.advance(session, claim, Stage.CANCELLED, world.now)
            world.platform.over.add(claim.fulfilment_no)
            return
    _park(world, claim, WaitingOn.RETRY, max(leases))


def _tell(world: World, claim: Claim, kind: EffectKind) -> Generator[bool, Fate, bool]:
    """Tell the platform once and advance; False when the fulfilment was parked instead."""
    key = f"{claim.fulfilment_no}:{claim.stage.value}"
    try:
        begun = _intend(world, claim, kind, key)
    except EffectBusy as busy:
        _park(world, claim, WaitingOn.RETRY, busy.until)
        return False
    if isinstance(begun, Settled):
        return True
    answer = yield from _call(world, begun)
    yield False
    if answer is Answer.DONE:
        _settle(world, claim, begun)
        return True
    states = {Answer.LATER: EffectState.INTENDED, Answer.REFUSED: EffectState.REFUSED}
    with world.transaction() as session:
        effect.failed(session, begun, states.get(answer, EffectState.UNCLEAR), answer.value, world.now)
    yield False
    _park(world, claim, WaitingOn.RETRY, world.now + RETRY)
    return False


def _intend(world: World, claim: Claim, kind: EffectKind, key: str) -> Attempt | Settled:
    with world.transaction() as session:
        fulfilment.hold_on(session, claim)
        cancelled = session.get_one(Order, claim.order_id).cancel_requested_at is not None
        assert not cancelled, f"{key} was begun after its order had been cancelled"
        begun = effect.begin(
            session,
            kind,
            key,
            f"{key} at {world.now}".encode(),
            world.now,
            order_id=claim.order_id,
            fulfilment_id=claim.fulfilment_id,
        )
        world.log(session, claim.fulfilment_id, "intended", claim.fence)
        if isinstance(begun, Settled):
            _advance(world, session, claim)
        return begun


def _call(world: World, attempt: Attempt) -> Generator[bool, Fate, Answer]:
    """Ask first if that is needed and possible, then call; nothing is begun that could outlive the deadline."""
    if attempt.ask_first and attempt.kind.once is Once.ASKABLE:
        fate = yield True
        if fate.answer is not Answer.DONE:
            return Answer.LATER if fate.answer is Answer.LATER else Answer.NOTHING
        if world.platform.shows(attempt.kind, attempt.key, world.now):
            return Answer.DONE
    fate = yield True
    if world.now + timedelta(seconds=CALL_SECONDS) > attempt.deadline:
        return Answer.LATER  # too late to call: nothing came of this attempt
    sent_at = world.now
    answer = world.platform.send(attempt.kind, attempt.key, attempt.request, fate, sent_at)
    yield False
    world.pass_to(sent_at + timedelta(seconds=fate.seen_after))
    return answer


def _settle(world: World, claim: Claim, attempt: Attempt) -> None:
    """Record that it happened, whoever owns the claim; go on only under our own fence. Fulfilment locked first."""
    lost = None
    with world.transaction() as session:
        try:
            fulfilment.hold_on(session, claim)
        except ClaimLost as error:
            lost = error
        effect.done(session, attempt, {"by": claim.lane}, world.now)
        if lost is None:
            _advance(world, session, claim)
    if lost is not None:
        raise lost
