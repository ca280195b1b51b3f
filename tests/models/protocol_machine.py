"""Everything that can happen to a few fulfilments between lanes, events, deaths and time, as a state machine.

It keeps its own account of who may hold what, and after every step compares it with the database and the platform.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Engine, text
from sqlmodel import Session

from models import fulfilment
from models.effect import EffectState
from models.fulfilment import FINAL, Claim, Fulfilment, Stage
from models.order import Order
from tests.models.factories import fulfilments
from tests.models.protocol_lane import KINDS, LOOK_AGAIN, ON_THE_WAY, PLAIN, WAIT, Steps, World, steps
from tests.models.protocol_platform import FATES, WELL, Fate

NOON = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)
CLAIM_SECONDS = 60.0
#: What the machine keeps beside the product's tables: who changed what under which fence, and what has happened.
TABLES = """
CREATE TABLE protocol_log (id bigint GENERATED ALWAYS AS IDENTITY, fulfilment_id bigint, what text, fence bigint);
CREATE TABLE protocol_event (fulfilment_id bigint, stage text);
"""
_EMPTY = """
DELETE FROM protocol_log; DELETE FROM protocol_event; DELETE FROM effect;
DELETE FROM fulfilment; DELETE FROM orders; DELETE FROM contact;
"""
_UNDER_A_STALE_FENCE = """
SELECT fulfilment_id, what, fence FROM (
  SELECT *, max(fence) OVER earlier AS before FROM protocol_log
  WINDOW earlier AS (PARTITION BY fulfilment_id ORDER BY id ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW)) AS log
WHERE fence < before OR (fence = before AND what IN ('claimed', 'released', 'interrupted'))
"""

LANES = ["north", "south"]
Meanwhile = str | int | None
#: What comes between two steps, the more often the more times it stands here; a number: so many seconds pass.
MEANWHILE: list[Meanwhile] = [
    *[None] * 4,
    *["claim"] * 4,
    *["event"] * 3,
    *["claim by hand", "taken for dead", "renew", "until ready"] * 2,
    *["die", "new address", "cancel"],
    *[1, 6, 16, 46, 61, 600],
]
WORK = st.sampled_from([PLAIN, WAIT, *KINDS])
SCRIPTS = st.lists(st.lists(WORK, min_size=2, max_size=5).map(tuple), min_size=1, max_size=2)


@dataclass(eq=False)
class Task:
    """One fulfilment in a lane's hands; `calls`: its next step is an outward call."""

    claim: Claim
    walk: Steps
    calls: bool = False


class Protocol(RuleBasedStateMachine):
    """Two lanes, one or two fulfilments, with scripts drawn or given."""

    def __init__(self, engine: Engine, scripts: list[tuple[str, ...]] | None = None) -> None:
        super().__init__()
        self.world = World(engine, NOON)
        self.given = scripts
        self.tasks: dict[str, list[Task]] = {}
        self.weather: list[Fate] = []
        self.held: dict[int, tuple[Claim, datetime]] = {}
        self.seen: dict[int, int] = {}

    @initialize(scripts=SCRIPTS, weather=st.lists(st.sampled_from(FATES), max_size=10))
    def begin(self, scripts: list[tuple[str, ...]], weather: list[Fate]) -> None:
        """`weather`: the fates of the first calls after the machine's own steps; then the sun shines."""
        self.weather = weather[::-1]
        scripts = self.given or scripts
        with self.world.transaction() as session:
            session.connection().execute(text(_EMPTY))
            ids = fulfilments(session, NOON, len(scripts))
        self.world.scripts = dict(zip(ids, scripts, strict=True))

    @rule(
        meanwhile=st.sampled_from(MEANWHILE),
        lane=st.sampled_from(LANES),
        which=st.integers(0, 5),
        fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=3),
    )
    def turn(self, meanwhile: Meanwhile, lane: str, which: int, fates: list[Fate]) -> None:
        """Something happens or does not; then a lane goes a few steps on with one fulfilment, or claims."""
        self._happens(meanwhile, lane, which)
        if not self.tasks.get(lane):
            if not self._claim(lane, 2) and not any(self.tasks.values()):
                self._wait_until_one_is_ready()
            return
        task = self.tasks[lane][which % len(self.tasks[lane])]
        for fate in fates:
            if task in self.tasks[lane]:
                self._step(task, fate)

    def _happens(self, meanwhile: Meanwhile, lane: str, which: int) -> None:
        id = list(self.world.scripts)[which % len(self.world.scripts)]
        match meanwhile:
            case "claim":
                self._claim(lane, 2)
            case "claim by hand":
                self._claim_by_hand(lane, id)
            case "renew":
                for each in LANES:
                    self._renew(each)
            case "die":
                self.tasks[lane] = []
            case "taken for dead":
                self._taken_for_dead(lane)
            case "event":
                self._post(id, ON_THE_WAY[which])
            case "new address":
                self._interrupt(id, cancel=False)
            case "cancel" if which == 0:  # rarely: little can happen afterwards
                self._interrupt(id, cancel=True)
            case int():
                self.world.pass_to(self.world.now + timedelta(seconds=meanwhile))
            case "until ready":
                self._wait_until_one_is_ready()

    @invariant()
    def nobody_sleeps_past_an_event(self) -> None:
        with self.world.transaction() as session:
            rows = session.connection().execute(text("SELECT * FROM fulfilment WHERE ready_at IS NOT NULL")).all()
        for row in rows:
            assert row.ready_at <= self.world.now + LOOK_AGAIN, "it sleeps for longer than it was told to"
            if row.claimed_by is not None:
                assert row.claim_until <= self._claim_end(), "it is held for too long"
                assert row.ready_at <= self.world.now, "if its holder dies, it sleeps on when the claim ends"
            elif row.wake_seq > self.seen.get(row.id, 0):
                assert row.ready_at <= self.world.now, "an event came since it was last claimed, and it sleeps"

    @invariant()
    def nothing_is_told_twice(self) -> None:
        for key, work in self._keys():
            if work != "at_least_once":
                assert self.world.platform.done[key] <= 1, f"{key} happened twice ({work})"

    def teardown(self) -> None:
        """Every lane dies, the missing events come, and one healthy lane works until nothing is left to do."""
        if sys.exc_info()[0] is not None:
            return
        self.tasks = {}
        for id, script in self.world.scripts.items():
            for stage, work in zip(ON_THE_WAY, script, strict=False):
                if work == WAIT:
                    self._post(id, stage, again=False)
        self._check_the_fences()
        rounds = 0
        while self._works_on():
            rounds += 1
            assert rounds < 100, "it never comes to rest"
        self._check_the_fences()
        self._check_the_end()

    def _check_the_fences(self) -> None:
        with self.world.transaction() as session:
            stale = session.connection().execute(text(_UNDER_A_STALE_FENCE)).all()
        assert not stale, f"committed under a stale fence: {stale}"

    def _works_on(self) -> bool:
        """One round of the healthy lane: wait for what is ready next, and carry it as far as it goes."""
        if not self._wait_until_one_is_ready():
            return False
        assert self._claim("healer", 10), "it was said to be ready, and cannot be claimed"
        while self.tasks["healer"]:
            task = self.tasks["healer"][0]
            self._step(task, self.weather.pop() if task.calls and self.weather else WELL)
        self.nothing_is_told_twice()
        self.nobody_sleeps_past_an_event()
        return True

    def _wait_until_one_is_ready(self) -> bool:
        self.nobody_sleeps_past_an_event()
        with self.world.transaction() as session:
            pause = fulfilment.next_ready_in(session, self.world.now)
        if pause is None:
            return False
        assert pause <= LOOK_AGAIN.total_seconds()
        self.world.pass_to(self.world.now + timedelta(seconds=pause))
        return True

    def _check_the_end(self) -> None:
        with self.world.transaction() as session:
            connection = session.connection()
            stages = {row.id: row.stage for row in connection.execute(text("SELECT id, stage FROM fulfilment"))}
            states = {row.key: row.state for row in connection.execute(text("SELECT key, state FROM effect"))}
            log = connection.execute(text("SELECT fulfilment_id, what FROM protocol_log ORDER BY id")).all()
        for id, script in self.world.scripts.items():
            assert stages[id] in FINAL, f"it has come to rest in {stages[id]}"
            walked = [what for of, what in log if of == id and what in list(Stage)]
            whole = [stage.value for stage in ON_THE_WAY[1 : len(script)]]
            assert walked == [*whole[: len(walked) - 1], stages[id]], "a transition happened twice, or was lost"
            assert stages[id] == Stage.CANCELLED or len(walked) == len(script)
        for number, (id, script) in enumerate(self.world.scripts.items(), 1):
            for key, work in self._keys_of(number, script):
                state = states.get(key)
                if stages[id] == Stage.CLOSED:
                    assert state == EffectState.DONE or (work, state) == ("at_most_once", EffectState.GIVEN_UP)
                if state == EffectState.DONE:
                    assert self.world.platform.done[key] >= 1, f"{key} is recorded as told and never was"

    def _keys(self) -> Iterator[tuple[str, str]]:
        for number, script in enumerate(self.world.scripts.values(), 1):
            yield from self._keys_of(number, script)

    def _keys_of(self, number: int, script: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for stage, work in zip(ON_THE_WAY, script, strict=False):
            if work in KINDS:
                yield f"T-{number}-1:{stage.value}", work

    def _claim_by_hand(self, lane: str, id: int) -> None:
        with self.world.transaction() as session:
            order_id = session.get_one(Fulfilment, id).order_id
            claims = fulfilment.claim_order(session, order_id, lane, CLAIM_SECONDS, self.world.now)
            self._log_claims(session, claims)
        self._take(claims)

    def _renew(self, lane: str) -> None:
        claims = [task.claim for task in self.tasks.get(lane, [])]
        ours = [claim for claim in claims if self._holds(claim)]
        with self.world.transaction() as session:
            renewed = fulfilment.renew(session, claims, CLAIM_SECONDS, self.world.now)
        assert renewed == len(ours), f"{renewed} claims were renewed, {len(ours)} were ours"
        self.held.update({claim.fulfilment_id: (claim, self._claim_end()) for claim in ours})

    def _taken_for_dead(self, lane: str) -> None:
        """Whether it is dead or not: it may only have been silent for a while."""
        mine = [id for id, (claim, _) in self.held.items() if claim.lane == lane]
        with self.world.transaction() as session:
            assert fulfilment.release_claims(session, lane) == len(mine), "the dead lane held something else"
            for id in mine:
                self.world.log(session, id, "released")
        for id in mine:
            del self.held[id]

    def _claim(self, lane: str, limit: int) -> int:
        with self.world.transaction() as session:
            claims = fulfilment.claim_ready(session, lane, limit, CLAIM_SECONDS, self.world.now)
            self._log_claims(session, claims)
        assert len(claims) <= limit
        self.tasks.setdefault(lane, [])
        self._take(claims)
        return len(claims)

    def _log_claims(self, session: Session, claims: list[Claim]) -> None:
        for claim in claims:
            self.world.log(session, claim.fulfilment_id, "claimed", claim.fence)

    def _take(self, claims: list[Claim]) -> None:
        for claim in claims:
            id = claim.fulfilment_id
            _, until = self.held.get(id, (claim, self.world.now))
            assert until <= self.world.now, f"{claim.lane} was given what another lane still holds"
            self.held[id], self.seen[id] = (claim, self._claim_end()), claim.wake_seq
            walk = steps(self.world, claim)
            self.tasks.setdefault(claim.lane, []).append(Task(claim, walk, next(walk)))

    def _step(self, task: Task, fate: Fate) -> None:
        try:
            task.calls = task.walk.send(fate)
        except StopIteration:
            self.tasks[task.claim.lane].remove(task)
            if self._holds(task.claim):
                del self.held[task.claim.fulfilment_id]

    def _holds(self, claim: Claim) -> bool:
        held = self.held.get(claim.fulfilment_id)
        return held is not None and held[0] is claim

    def _claim_end(self) -> datetime:
        return self.world.now + timedelta(seconds=CLAIM_SECONDS)

    def _post(self, id: int, stage: Stage, again: bool = True) -> None:
        with self.world.transaction() as session:
            posted = session.connection().execute(
                text(
                    "INSERT INTO protocol_event SELECT :id, :stage WHERE :again OR NOT EXISTS"
                    " (SELECT FROM protocol_event WHERE fulfilment_id = :id AND stage = :stage)"
                ),
                {"id": id, "stage": stage.value, "again": again},
            )
            if posted.rowcount:
                fulfilment.wake(session, [id], self.world.now)

    def _interrupt(self, id: int, cancel: bool) -> None:
        with self.world.transaction() as session:
            if cancel:
                order = session.get_one(Order, session.get_one(Fulfilment, id).order_id)
                order.cancel_requested_at = order.cancel_requested_at or self.world.now
                session.add(order)
            if fulfilment.interrupt(session, [id], self.world.now):
                self.world.log(session, id, "interrupted")
                self.held.pop(id, None)
