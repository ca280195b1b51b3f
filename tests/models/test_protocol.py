"""Claims, fences, wake-ups, parking and the effect ledger under every interleaving that a seed can think of.

Lanes work step by step on a real PostgreSQL; between any two commits or calls other lanes may work, events may
come, time may jump, lanes may die or be taken for dead. Nothing is lost, nothing told twice, nothing asleep for ever.
And the same machine, run on rules that are broken on purpose, must see it: a test that cannot fail proves nothing.

`ORDERLOOM_PROTOCOL_EXAMPLES` raises the number of runs, and draws them at random.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine, create_engine, text
from sqlmodel import Session

from models import effect, fulfilment
from models.effect import Attempt, EffectKind, EffectState, Settled
from models.fulfilment import Claim, Fulfilment
from tests.database import TemporaryServer, fresh_database
from tests.models.protocol_machine import TABLES, Protocol

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("ORDERLOOM_PROTOCOL_EXAMPLES", "0"))
QUICK = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # shrinking would take minutes
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=EXAMPLES or 1, derandomize=False, print_blob=True)
SEEN = settings(QUICK, max_examples=300, derandomize=False, print_blob=False)

Break = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def engine(database_server: TemporaryServer) -> Iterator[Engine]:
    """A pool on a database of this module's own."""
    with fresh_database(database_server) as url:
        pool = create_engine(url, pool_size=4)
        with pool.begin() as connection:
            connection.execute(text(TABLES))
        yield pool
        pool.dispose()


def run(engine: Engine, how: settings, number: int = 0, scripts: list[tuple[str, ...]] | None = None) -> None:
    """Run the machine; a number seeds it."""
    machine: Any = lambda: Protocol(engine, scripts)  # noqa: E731 (hypothesis wants a class, and takes a function)
    run_state_machine_as_test(seed(number)(machine) if number else machine, settings=how)


def test_nothing_is_lost_told_twice_or_asleep_under_any_interleaving(engine: Engine) -> None:
    run(engine, LONG if EXAMPLES else QUICK)


def rewrite(statement: str, old: str, new: str, module: Any = fulfilment) -> Break:
    """Change one place of one SQL statement of the rules."""
    sql = getattr(module, statement).text
    assert sql.count(old) == 1
    return lambda patch: patch.setattr(module, statement, text(sql.replace(old, new)))


def hold_on_whatever_the_fence(patch: pytest.MonkeyPatch) -> None:
    def hold_on(session: Session, claim: Claim) -> Fulfilment:
        return session.get_one(Fulfilment, claim.fulfilment_id, with_for_update=True, populate_existing=True)

    patch.setattr(fulfilment, "hold_on", hold_on)


def interrupt_as_a_mere_wake_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fulfilment, "interrupt", fulfilment.wake)


def begin_with(**changes: Any) -> Break:
    """Hand out attempts with other fields."""
    real = effect.begin

    def begin(*arguments: Any, **named: Any) -> Attempt | Settled:
        begun = real(*arguments, **named)
        return replace(begun, **changes) if isinstance(begun, Attempt) else begun

    return lambda patch: patch.setattr(effect, "begin", begin)


def begin_beside_another(patch: pytest.MonkeyPatch) -> None:
    real = effect.begin

    def begin(session: Session, kind: EffectKind, key: str, request: bytes, now: datetime, **named: Any) -> Any:
        session.connection().execute(
            text("UPDATE effect SET lease_until = :now WHERE key = :key AND lease_until > :now"),
            {"key": key, "now": now},
        )
        return real(session, kind, key, request, now, **named)

    patch.setattr(effect, "begin", begin)


def fail_and_forget_the_lease(patch: pytest.MonkeyPatch) -> None:
    real = effect.failed

    def failed(session: Session, attempt: Attempt, state: EffectState, error: str, now: datetime) -> None:
        real(session, attempt, state, error, now)
        session.connection().execute(
            text("UPDATE effect SET lease_until = :soon WHERE key = :key AND state = 'unclear' AND fence = :fence"),
            {"key": attempt.key, "fence": attempt.fence, "soon": now + timedelta(seconds=max(attempt.kind.lag, 1))},
        )

    patch.setattr(effect, "failed", failed)


def fail_as_if_never_tried(patch: pytest.MonkeyPatch) -> None:
    real = effect.failed

    def failed(session: Session, attempt: Attempt, *arguments: Any) -> None:
        real(session, replace(attempt, ask_first=False), *arguments)

    patch.setattr(effect, "failed", failed)


NOW = "COALESCE(:now, clock_timestamp())"
FAR = datetime(9999, 1, 1, tzinfo=UTC)
#: What is broken; by what the machine must see it; in which script; a seed that shows it within a few runs.
BROKEN: dict[str, tuple[Break, str, str, int]] = {
    "parking forgets an event": (rewrite("_PARK", "wake_seq = :seen", "TRUE"), "it sleeps", "wait", 1),
    "parking asks for no fence": (
        rewrite("_PARK", "fence = :fence AND claimed_by = :lane", "TRUE"),
        "stale",
        "wait",
        1,
    ),
    "hold_on asks for no fence": (hold_on_whatever_the_fence, "stale", "plain", 3),
    "a claim takes what is held": (rewrite("_CLAIM", "claim_until IS NULL", "TRUE"), "still holds", "plain", 1),
    "a claim by hand keeps the old time": (
        rewrite("_CLAIM_ORDER", f"ready_at = LEAST(ready_at, {NOW}),", ""),
        "sleeps on",
        "wait",
        1,
    ),
    "waking leaves the old time": (rewrite("_WAKE", f"LEAST(ready_at, {NOW})", "ready_at"), "it sleeps", "wait", 1),
    "interrupting only wakes": (interrupt_as_a_mere_wake_up, "stale", "plain", 1),
    "renewing asks for no fence": (rewrite("_RENEW", "AND f.fence = m.fence", ""), "were ours", "plain", 5),
    "a repeat does not ask first": (begin_with(ask_first=False), "happened twice", "askable", 1),
    "an attempt has no lease": (begin_beside_another, "happened twice", "askable", 1),
    "an attempt has no deadline": (begin_with(deadline=FAR), "happened twice", "askable", 1),
    "an unclear attempt forgets its lease": (fail_and_forget_the_lease, "happened", "askable", 24),
    "a throttled repeat counts as never tried": (fail_as_if_never_tried, "other bytes", "keyed", 3),
    "a repeat has bytes of its own": (
        rewrite(
            "_TAKE",
            "CASE WHEN state IN ('refused', 'intended') AND :request_again THEN :request ELSE request END",
            ":request",
            effect,
        ),
        "other bytes",
        "keyed",
        1,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_machine_sees_that(name: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it, seen, work, number = BROKEN[name]
    break_it(monkeypatch)
    with pytest.raises(AssertionError, match=seen):
        run(engine, SEEN, number, [(work,) * 4])
