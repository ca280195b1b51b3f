"""Stock under everything that can happen to it, in any order; and the same machine on rules broken on purpose.

Two warehouses, three SKUs, five orders that share them. `ORDERLOOM_STOCK_EXAMPLES` raises the number of runs, and
draws them at random.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Connection, create_engine, text
from sqlmodel import Session

from models import counting, expiry, reservation, stock
from models.stock import Movement
from tests.database import TemporaryServer, fresh_database
from tests.models.stock_account import furnish
from tests.models.stock_machine import Stock

EXAMPLES = int(os.environ.get("ORDERLOOM_STOCK_EXAMPLES", "0"))
QUICK = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # shrinking would take minutes
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=EXAMPLES or 1, derandomize=False, print_blob=True)
SEEN = settings(QUICK, max_examples=100, derandomize=False, print_blob=False)

Opened = tuple[Connection, list[int]]
Break = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def opened(database_server: TemporaryServer) -> Iterator[Opened]:
    """A furnished database of this module's own, and the ids of its fulfilments; every run is undone."""
    with fresh_database(database_server) as url:
        engine = create_engine(url)
        with engine.connect() as connection:
            connection.begin()
            yield connection, furnish(connection)
        engine.dispose()


def run(opened: Opened, how: settings, number: int = 0) -> None:
    """Run the machine; a number seeds it."""
    machine: Any = lambda: Stock(*opened)  # noqa: E731 (hypothesis wants a class, and takes a function)
    run_state_machine_as_test(seed(number)(machine) if number else machine, settings=how)


def test_every_account_agrees_and_every_order_has_one_outcome(opened: Opened) -> None:
    run(opened, LONG if EXAMPLES else QUICK)


def rewrite(module: Any, statement: str, old: str, new: str) -> Break:
    """Change one place of one SQL statement of the rules."""
    sql = getattr(module, statement).text
    assert sql.count(old) == 1
    return lambda patch: patch.setattr(module, statement, text(sql.replace(old, new)))


def release_forgets_the_ledger(patch: pytest.MonkeyPatch) -> None:
    real = stock.move

    def move(session: Session, warehouse: str, sku: str, kind: Movement, *rest: Any, **named: Any) -> bool:
        if kind is not Movement.RELEASE:
            return real(session, warehouse, sku, kind, *rest, **named)
        done = session.connection().execute(
            text("UPDATE stock_item SET reserved = reserved + :by WHERE warehouse = :warehouse AND sku = :sku"),
            {"by": rest[1], "warehouse": warehouse, "sku": sku},
        )
        return bool(done.rowcount)

    patch.setattr(reservation, "move", move)


def lines_of_one_sku_are_not_summed(patch: pytest.MonkeyPatch) -> None:
    def last_wins(wanted: reservation.Wanted, purpose: reservation.Purpose) -> Counter[tuple[str, str]]:
        return Counter({(sku, purpose.value): quantity for sku, quantity in dict(wanted).items()})

    patch.setattr(reservation, "_summed", last_wins)


def counters_are_clamped(patch: pytest.MonkeyPatch) -> None:
    sql = stock._MOVE.text
    sql = sql.replace("AND reserved + :reserved >= 0 AND on_hand + :on_hand >= reserved + :reserved", "")
    sql = sql.replace("SET on_hand = on_hand + :on_hand, reserved = reserved + :reserved", (
        "SET on_hand = GREATEST(0, on_hand + :on_hand),"
        " reserved = LEAST(GREATEST(0, reserved + :reserved), GREATEST(0, on_hand + :on_hand))"
    ))  # fmt: skip
    assert "GREATEST" in sql
    patch.setattr(stock, "_MOVE", text(sql))


def the_first_paid_give_back(patch: pytest.MonkeyPatch) -> None:
    real = counting._latest_paid

    def first_paid(session: Session, warehouse: str, sku: str, excess: int) -> Any:
        everybody = real(session, warehouse, sku, 10**9 if excess > 0 else 0)
        victims = []
        for held in reversed(everybody):
            if excess > 0:
                victims.append(held)
                excess -= held.quantity
        return victims

    patch.setattr(counting, "_latest_paid", first_paid)


def what_is_not_there_stays_on_hand(patch: pytest.MonkeyPatch) -> None:
    real = stock.move

    def move(
        session: Session, warehouse: str, sku: str, kind: Movement, on_hand: int, *rest: Any, **named: Any
    ) -> bool:
        gone = 0 if kind is Movement.NOT_FOUND else on_hand
        return real(session, warehouse, sku, kind, gone, *rest, **named)

    patch.setattr(reservation, "move", move)


def promises_expire_early(patch: pytest.MonkeyPatch) -> None:
    for statement in ("_LOCK", "_EXPIRED"):
        rewrite(expiry, statement, "expires_at <= :now", "expires_at - interval '30 hours' <= :now")(patch)


#: What is broken; by what the machine must see it; a seed that shows it within a few runs.
BROKEN: dict[str, tuple[Break, str, int]] = {
    "giving back forgets the ledger": (release_forgets_the_ledger, "not what the ledger says", 1),
    "lines of one SKU are not summed": (lines_of_one_sku_are_not_summed, "not our account", 1),
    "counters are clamped": (counters_are_clamped, "not refused", 1),
    "the first paid give back": (the_first_paid_give_back, "the wrong ones gave back", 1),
    "what is not there stays on hand": (what_is_not_there_stays_on_hand, "not our account", 1),
    "promises expire before their time": (promises_expire_early, "the wrong promises expired", 1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_machine_sees_that(name: str, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it, seen, number = BROKEN[name]
    break_it(monkeypatch)
    with pytest.raises(AssertionError, match=seen):
        run(opened, SEEN, number)
