"""Imports at once, stopped, killed and taken over; asked for once; and forgotten after a week."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from integrations.spreadsheets.kept_sheets import Keeper, SheetGone, opened
from models import order_sheet, sheet_run
from models.database import transact, utcnow
from models.order_sheet import OrderSheet, Place, SheetRefused, SheetState
from models.sheet_run import SheetBusy, SheetStopped
from tasks.importing import import_sheet
from tasks.sheet_cleaning import forget_old_sheets
from tests.house import House
from tests.sheets import (
    baskets,
    brought,
    confirmed,
    counted,
    imported,
    outcomes,
    quiet,
    rejected_rows,
    sheet_file,
    spoil,
)


async def test_two_imports_of_one_file_at_once_enter_each_order_once(home: House, tmp_path: Path) -> None:
    path = sheet_file(tmp_path / "a.csv", baskets(1200, prefix="AT-"))
    one, other = await asyncio.gather(imported(path, "at-once"), imported(path, "at-once"))
    assert outcomes(one).get("new", 0) + outcomes(other).get("new", 0) == 1200
    assert outcomes(one).get("known", 0) + outcomes(other).get("known", 0) == 1200
    assert counted("SELECT count(*) FROM orders WHERE shop = 'at-once'") == 1200
    assert counted("SELECT count(*) FROM fulfilment f JOIN orders o ON o.id = order_id WHERE shop = 'at-once'") == 1200


async def test_one_sheet_is_worked_on_by_one(home: House, tmp_path: Path) -> None:
    path = sheet_file(tmp_path / "a.csv", baskets(3, prefix="ONE-"))
    number = confirmed(path, "one")
    transact(lambda s: sheet_run.begin(s, number, "somebody", False, utcnow()))
    with pytest.raises(SheetBusy):
        await import_sheet(number, quiet, path=path)
    # once they have been silent for long, another goes on, and they cannot
    transact(lambda s: setattr(order_sheet.find(s, number), "heartbeat_at", utcnow() - 2 * sheet_run.SILENCE))
    assert outcomes(await import_sheet(number, quiet, path=path)) == {"new": 3}
    with pytest.raises(SheetStopped):
        transact(lambda s: sheet_run.hold(s, number, "somebody", utcnow()))


async def test_stopped_and_confirmed_again_it_goes_on_where_it_was(home: House, tmp_path: Path) -> None:
    path = sheet_file(tmp_path / "a.csv", baskets(1100, prefix="GO-"))
    number = confirmed(path, "go-on")

    async def stop_it(sheet: OrderSheet) -> None:
        if sheet.orders_done == 500:
            transact(lambda s: sheet_run.stop(s, number, "李强", utcnow()))

    with pytest.raises(SheetStopped):
        await import_sheet(number, stop_it, path=path)
    stopped = transact(lambda s: order_sheet.find(s, number))
    assert (stopped.state, stopped.orders_done) == (SheetState.FAILED.value, 500)
    assert "李强 停止了导入,已处理 500 单" in stopped.error
    transact(lambda s: order_sheet.confirm(s, number, stopped.mapping, False, "王敏", utcnow()))
    done = await import_sheet(number, quiet, path=path)
    assert outcomes(done) == {"new": 1100}
    assert counted("SELECT count(*) FROM orders WHERE shop = 'go-on'") == 1100


@pytest.mark.parametrize("commit", [1, 3, 4, 5])
async def test_killed_half_way_and_run_again_nothing_is_double(home: House, tmp_path: Path, commit: int) -> None:
    # given an import that is killed right after one of its commits
    shop, orders = f"killed-{commit}", baskets(1300, prefix=f"K{commit}-")
    path = sheet_file(tmp_path / "a.csv", orders)
    spoil(path, {2: ("联系手机", ""), 700: ("联系手机", "")})
    number = confirmed(path, shop)
    killed = run_and_kill(home, number, path, commit)
    assert killed == -signal.SIGKILL
    half = transact(lambda s: order_sheet.find(s, number))
    entered = counted("SELECT count(*) FROM orders WHERE shop = :shop", shop=shop)
    assert (half.state, half.orders_done) == (SheetState.RUNNING.value, entered + half_aside(half))
    # when somebody takes over
    transact(lambda s: setattr(order_sheet.find(s, number), "heartbeat_at", utcnow() - 2 * sheet_run.SILENCE))
    done = await import_sheet(number, quiet, path=path)
    # then every order is there once, and the report counts each once
    assert outcomes(done) == {"new": 1298, "quarantined": 2}
    assert len(rejected_rows(done)) == 2
    assert counted("SELECT count(*) FROM orders WHERE shop = :shop", shop=shop) == 1298
    rows = "SELECT count(*) FROM order_line l JOIN orders o ON o.id = l.order_id WHERE shop = :shop"
    good = [one for place, one in enumerate(orders) if place not in (2, 700)]
    assert counted(rows, shop=shop) == sum(len(one.basket.lines) for one in good)


def run_and_kill(home: House, number: int, path: Path, commit: int) -> int:
    """Import in a process of its own, which dies behind its `commit`th transaction; its exit code."""
    command = [sys.executable, "-m", "tests.tasks.import_memory", str(number), str(path)]
    kill = {"ORDERLOOM_KILL_AT": f"committed#{commit}"}
    return subprocess.run(command, env={**os.environ, **home.environment, **kill}, timeout=300).returncode


def half_aside(sheet: OrderSheet) -> int:
    """How many orders of a sheet are set aside so far."""
    return outcomes(sheet).get("quarantined", 0)


async def test_files_and_rows_are_forgotten_after_a_week(home: House, tmp_path: Path) -> None:
    # given an upload that nobody confirmed, and an import with a row that was set aside
    with Keeper() as keeper:
        keeper.write(b"whatever")
        keeper.finish()
    path = sheet_file(tmp_path / "a.csv", baskets(2, prefix="OLD-"))
    spoil(path, {1: ("收货人姓名", "")})
    waits, done = brought(path, "old"), await imported(path, "old")
    transact(lambda s: setattr(order_sheet.find(s, waits), "stored", keeper.name))
    assert await forget_old_sheets() == 0
    assert len(rejected_rows(done)) == 1
    # when a week has passed
    long_ago = utcnow() - order_sheet.KEPT_FOR - timedelta(minutes=1)
    for number in (waits, done.id or 0):
        transact(lambda s, number=number: made_at(order_sheet.find(s, number), long_ago))  # type: ignore[misc]
    assert await forget_old_sheets() == 1
    # then neither file nor cells are left, and what was counted is
    with pytest.raises(SheetGone), opened(keeper.name):
        pass
    assert rejected_rows(done) == []
    assert counted("SELECT count(*) FROM order_sheet WHERE shop = 'old' AND (head <> '' OR stored <> '')") == 0
    assert outcomes(transact(lambda s: order_sheet.find(s, done.id or 0))) == {"new": 1, "quarantined": 1}
    with pytest.raises(SheetRefused, match="请重新上传"):
        transact(lambda s: order_sheet.confirm(s, waits, {}, False, "王敏", utcnow()))


def made_at(sheet: OrderSheet, at: datetime) -> None:
    """As if all that happened to it had happened then."""
    sheet.at = at
    sheet.confirmed_at, sheet.ended_at = sheet.confirmed_at and at, sheet.ended_at and at


async def test_a_run_is_asked_for_once_and_again_when_nobody_comes(home: House, tmp_path: Path) -> None:
    number, now = confirmed(sheet_file(tmp_path / "a.csv", baskets(1, prefix="DUE-")), "due"), utcnow()
    transact(lambda s: setattr(order_sheet.find(s, number), "place", Place.PAGE.value))

    def asked(after: timedelta = timedelta()) -> list[tuple[int, int]]:
        return [one for one in transact(lambda s: sheet_run.due(s, now + after)) if one[0] == number]

    assert asked() == [(number, 1)] and asked() == []
    assert asked(sheet_run.ASK_AGAIN + timedelta(seconds=1)) == [(number, 2)]
    transact(lambda s: sheet_run.not_asked_for(s, [number]))
    assert asked() == [(number, 3)]
    # while somebody works on it nothing is asked for; once they are silent, one more
    transact(lambda s: sheet_run.begin(s, number, "somebody", False, now))
    assert asked(sheet_run.SILENCE) == []
    assert asked(2 * sheet_run.SILENCE) == [(number, 4)]
    transact(lambda s: sheet_run.stop(s, number, "李强", now))
    assert asked(10 * sheet_run.ASK_AGAIN) == []
