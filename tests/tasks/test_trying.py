"""Trying rules on the order book: page by page, by several processes; kept with the version, or nothing at all."""

from __future__ import annotations

import asyncio
import copy
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from models.database import engine_for, transact, utcnow
from models.rule_version import RuleKind, RulesRefused, activate, find_version
from tasks import trying
from tasks.trying import TryoutFailed, try_rules
from tests.house import living_in
from tests.past_orders import Variant, a_draft, place_past, starter_bodies, stricter_matrix

ORDERS = 90


@pytest.fixture
def past(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, Variant]]]:
    """An order book with orders of the last nine days, read in small pages."""
    monkeypatch.setattr(trying, "AT_ONCE", 7)
    with living_in({"ORDERLOOM_DATABASE_URL": database_url}):
        yield transact(lambda session: place_past(session, ORDERS, utcnow() - timedelta(seconds=1), 9))
    engine_for(database_url).dispose()


def tried(kind: RuleKind, number: int) -> dict[str, Any]:
    """What is kept with a version of its last try-out."""
    return transact(lambda session: find_version(session, kind, number).tried)


def children() -> set[int]:
    """The processes of try-outs that this process has."""
    found = psutil.Process().children(recursive=True)
    return {process.pid for process in found if "tasks.tryout_process" in process.cmdline()}


async def test_a_draft_is_tried_on_the_days_that_were_asked_for_and_the_result_is_kept(
    past: list[tuple[int, Variant]],
) -> None:
    # given ten orders a day, and a draft that asks a nutritionist from 200 yuan on
    number = a_draft(RuleKind.MATRIX, stricter_matrix())
    told: list[tuple[int, int]] = []

    async def progress(done: int, orders: int) -> None:
        told.append((done, orders))

    # when it is tried on three days, by two processes
    tryout = await try_rules(RuleKind.MATRIX, number, 3, "王敏", progress, processes=2)
    # then exactly those orders were looked at, each once
    newest = [variant for _, variant in past[-30:]]
    before = sum(bool(variant.route) for variant in newest)
    more = sum(not variant.route and variant.facts["amount"] > 200 for variant in newest)
    assert more > 0
    assert (tryout.tally.orders, tryout.tally.ruled, tryout.tally.changes) == (30, 30, {"new_review": more})
    assert (tryout.tally.reviewed_before, tryout.tally.reviewed_after) == (before, before + more)
    # and progress never went back, page by page to the end
    assert told == sorted(told)
    assert (told[0], told[-1], len(told)) == ((0, 30), (30, 30), 6)
    # and it is kept with the version, by its digest, and the processes are gone
    kept = tried(RuleKind.MATRIX, number)
    version = transact(lambda session: find_version(session, RuleKind.MATRIX, number))
    assert kept.items() >= {"days": 3, "orders": 30, "changed": more, "by": "王敏", "digest": version.digest}.items()
    assert kept["against"] == {"form": 1, "recipes": 1, "matrix": 1}
    assert children() == set()


@pytest.mark.parametrize("kind", list(RuleKind))
async def test_the_version_in_force_changes_nothing(past: list[tuple[int, Variant]], kind: RuleKind) -> None:
    tryout = await try_rules(kind, 1, 30, "王敏", processes=1)
    assert (tryout.tally.orders, tryout.tally.ruled) == (ORDERS, ORDERS)
    assert (tryout.tally.changed, tryout.tally.broken) == (0, 0)
    assert tried(kind, 1)["changed"] == 0


async def test_orders_are_compared_with_the_versions_that_they_were_decided_by(past: list[tuple[int, Variant]]) -> None:
    # given prices that doubled since most orders, and a version with the first prices again
    dear = copy.deepcopy(starter_bodies()["recipes"])
    for ingredient in dear["ingredients"]:
        ingredient["price_fen_per_kg"] *= 2
    number = a_draft(RuleKind.RECIPES, dear)
    transact(
        lambda session: activate(
            session, find_version(session, RuleKind.RECIPES, number), utcnow(), "王敏", "", utcnow()
        )
    )
    made = [row_id for row_id, variant in past if variant.pets]
    newer = made[-5:]
    transact(
        lambda session: session.connection().execute(
            text("""UPDATE ruling SET versions = versions || '{"recipes": 2}' WHERE order_id = ANY(:ids)"""),
            {"ids": newer},
        )
    )
    # when the first version is tried
    tally = (await try_rules(RuleKind.RECIPES, 1, 30, "王敏", processes=1)).tally
    # then only those that were decided by the dear one get cheaper, to half
    assert tally.changes == {"other_cost": 5}
    assert tally.priced == len(made)
    saved = tally.cost_before_fen - tally.cost_after_fen
    dearer = await try_rules(RuleKind.RECIPES, number, 30, "王敏", processes=1)
    assert dearer.tally.changes == {"other_cost": len(made) - 5}
    assert saved > 0


async def test_orders_without_a_ruling_are_counted_and_not_judged(past: list[tuple[int, Variant]]) -> None:
    transact(
        lambda session: session.connection().execute(
            text("DELETE FROM ruling WHERE order_id = ANY(:ids)"), {"ids": [row_id for row_id, _ in past[:4]]}
        )
    )
    tryout = await try_rules(RuleKind.MATRIX, a_draft(RuleKind.MATRIX, stricter_matrix(0)), 30, "王敏", processes=1)
    assert (tryout.tally.orders, tryout.tally.ruled, tryout.tally.reviewed_after) == (ORDERS, ORDERS - 4, ORDERS - 4)


async def test_a_draft_that_was_changed_meanwhile_keeps_no_result(past: list[tuple[int, Variant]]) -> None:
    number = a_draft(RuleKind.MATRIX, stricter_matrix())

    async def edit(done: int, orders: int) -> None:
        changed = text("UPDATE rule_version SET digest = 'changed' WHERE kind = 'matrix' AND number = :number")
        transact(lambda session: session.connection().execute(changed, {"number": number}))

    with pytest.raises(RulesRefused, match="再试算一次"):
        await try_rules(RuleKind.MATRIX, number, 30, "王敏", edit, processes=1)
    assert tried(RuleKind.MATRIX, number) == {}


async def test_a_killed_process_ends_the_try_out_with_a_clear_word(past: list[tuple[int, Variant]]) -> None:
    number = a_draft(RuleKind.MATRIX, stricter_matrix())
    seen: set[int] = set()

    async def kill_one(done: int, orders: int) -> None:
        if done and not seen:
            seen.update(children())
            os.kill(min(seen), signal.SIGKILL)

    with pytest.raises(TryoutFailed, match=r"被信号 9 终止.*再运行一次"):
        await try_rules(RuleKind.MATRIX, number, 30, "王敏", kill_one, processes=2)
    assert len(seen) == 2
    assert children() == set()
    assert tried(RuleKind.MATRIX, number) == {}


async def test_cancelling_ends_the_processes_and_keeps_nothing(past: list[tuple[int, Variant]]) -> None:
    number = a_draft(RuleKind.MATRIX, stricter_matrix())
    begun = asyncio.Event()
    seen: set[int] = set()

    async def stall(done: int, orders: int) -> None:
        if done:
            seen.update(children())
            begun.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(try_rules(RuleKind.MATRIX, number, 30, "王敏", stall, processes=2))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(seen) == 2
    assert children() == set()
    assert tried(RuleKind.MATRIX, number) == {}


async def test_what_cannot_be_tried_is_refused_in_words(past: list[tuple[int, Variant]]) -> None:
    unreadable = a_draft(RuleKind.RECIPES, {"ingredients": [], "recipes": [{"title": "没有编码"}]})
    for kind, number, days, why in (
        (RuleKind.MATRIX, 99, 30, "没有第 99 版"),
        (RuleKind.MATRIX, 1, 0, "1 到 365"),
        (RuleKind.MATRIX, 1, 366, "1 到 365"),
        (RuleKind.RECIPES, unreadable, 30, "读不懂"),
    ):
        with pytest.raises(RulesRefused, match=why):
            await try_rules(kind, number, days, "王敏", processes=1)
    assert children() == set()


async def test_a_book_without_orders_is_tried_at_once(database_url: str) -> None:
    with living_in({"ORDERLOOM_DATABASE_URL": database_url}):
        tryout = await try_rules(RuleKind.FORM, 1, 30, "王敏", processes=1)
        assert (tryout.tally.orders, tryout.tally.changed) == (0, 0)
    engine_for(database_url).dispose()


def test_the_processes_import_no_prefect() -> None:
    said = "import tasks.tryout_process, sys; print('prefect' in sys.modules, 'matplotlib' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]
