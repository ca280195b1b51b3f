"""A large sheet needs little memory, whatever its size: rows wait in a file, and orders pass in batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from integrations.sandbox.order_sheets import write_orders
from tests.house import House, with_policy
from tests.sheets import baskets, confirmed

ROWS = 50_000
#: What a million rows may take is 300 MB, of which great-expectations and pandas alone are 170; these need less.
MOST = 280 * 1024 * 1024


def large_file(path: Path, rows: int) -> Path:
    """A CSV file of at least so many rows, every order of it a different one."""
    known = baskets(4_000)
    per_round = sum(len(one.basket.lines) for one in known)
    rounds = range(-(-rows // per_round))
    write_orders(path, (replace(one, order_id=f"M{turn}-{one.order_id}") for turn in rounds for one in known))
    return path


def measured(path: Path, number: int, environment: dict[str, str]) -> dict[str, float]:
    """What importing this sheet took, in a process of its own."""
    command = [sys.executable, "-m", "tests.tasks.import_memory", str(number), str(path)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=3 * 3600)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_fifty_thousand_rows_need_little_memory(home: House, tmp_path: Path) -> None:
    path = large_file(tmp_path / "large.csv", ROWS)
    with with_policy(judge_batches=True) as environment:
        told = measured(path, confirmed(path, "memory"), {**home.environment, **environment})
    assert (told["error"], told["outcomes"]) == ("", {"new": told["orders"]})
    assert told["rows"] >= ROWS
    assert told["above"] <= MOST, told
