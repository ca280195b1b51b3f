"""Baskets of the history written down and read back: whatever the file looks like, the orders are the same."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.sandbox.order_sheets import COLUMNS, SheetOrder, history_orders, write_orders
from integrations.spreadsheets.order_sheet import open_sheet, propose
from models.intake import IncomingOrder, PlatformStatus
from models.quality import judge
from tests.integrations.order_sheet_files import NOW, good, staged

ORDERS = history_orders(120, datetime(2026, 10, 1, 4, 0, tzinfo=UTC))
ROOT = Path(__file__).parents[2]


def told(order: SheetOrder) -> tuple[object, ...]:
    """What a basket says, lines in any order."""
    sold = order.basket
    lines = sorted(
        (line.sku, line.title, line.quantity, line.unit_price_fen, line.paid_fen, sorted(line.pet.items()))
        for line in sold.lines
    )
    receiver = (sold.name, sold.phone, sold.province, sold.city, sold.district, sold.street, False)
    return (
        order.order_id,
        order.placed_at,
        order.paid_at,
        sold.total_fen + order.freight_fen,
        sold.buyer,
        receiver,
        lines,
    )


def heard(order: IncomingOrder) -> tuple[object, ...]:
    """The same of an order as it came in."""
    lines = sorted(
        (line.sku, line.title, line.quantity, line.unit_price_fen, line.paid_fen, sorted(line.attributes.items()))
        for line in order.lines
    )
    receiver = tuple(vars(order.receiver).values()) if order.receiver else ()
    return order.channel_order_id, order.placed_at, order.paid_at, order.total_fen, order.buyer, receiver, lines


@settings(max_examples=25, deadline=None)
@given(
    form=st.sampled_from(["utf-8-sig", "utf-8", "gb18030", "utf-16", "xlsx"]),
    delimiter=st.sampled_from([",", ";", "\t"]),
    seed=st.integers(0, 2**32 - 1),
    blank_repeats=st.booleans(),
    first=st.integers(0, len(ORDERS) - 12),
)
def test_baskets_come_back_as_the_same_orders(
    form: str, delimiter: str, seed: int, blank_repeats: bool, first: int
) -> None:
    rng = Random(seed)
    orders, columns = ORDERS[first : first + 12], rng.sample(COLUMNS, len(COLUMNS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.xlsx" if form == "xlsx" else "a.csv")
        encoding: Any = "utf-8" if form == "xlsx" else form
        write_orders(
            path, orders, encoding=encoding, delimiter=delimiter, columns=columns, blank_repeats=blank_repeats, rng=rng
        )  # fmt: skip
        plain = Path(folder) / "plain.csv"
        write_orders(plain, orders)

        found = [good(one) for one in staged(path)]
        plainly = [good(one) for one in staged(plain)]

    assert [heard(one) for one in found] == [told(one) for one in orders]
    assert [one.handles for one in found] == [one.handles for one in plainly]
    assert {one.status for one in found} == {PlatformStatus.TO_SHIP}
    # the catalogue is empty here: that is the one thing wrong with them
    assert {fault.code for one in found for fault in judge(one, {}, NOW)} == {"unknown_sku"}


def test_rows_in_any_order_are_the_same_orders(tmp_path: Path) -> None:
    path, shuffled = tmp_path / "a.csv", tmp_path / "b.csv"
    write_orders(path, ORDERS[:60])
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    Random(7).shuffle(rows)
    with shuffled.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])

    digests = [
        {good(one).channel_order_id: good(one).handles["content"] for one in staged(one)} for one in (path, shuffled)
    ]

    assert digests[0] == digests[1] and len(digests[0]) == 60


def test_the_proposal_for_the_history_needs_no_change(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_orders(path, ORDERS)

    sheet = open_sheet(path)
    proposal = propose(sheet.headers, sheet.sample())

    assert proposal.missing == () and proposal.notes == ()
    assert all(guess.confidence > 0.8 for guess in proposal.guesses)


_STAGE = """
import sys, time
from itertools import islice
from datetime import UTC, datetime
from pathlib import Path
import psutil
from integrations.spreadsheets.order_sheet import open_sheet, propose, stage
process = psutil.Process()
start, peak, orders = process.memory_info().rss, 0, 0
def look(*_):
    global peak
    peak = max(peak, process.memory_info().rss)
sheet = open_sheet(Path(sys.argv[1]))
mapping = propose(sheet.headers, sheet.sample()).confirm("test")
began = time.process_time()
with stage(sheet, mapping, shop="s", now=datetime(2026, 11, 2, tzinfo=UTC), progress=look) as found:
    took = time.process_time() - began
    for batch in islice(found.orders(), 20):
        look()
        orders += len(batch)
    print(found.rows, found.order_count, orders, peak - start, round(found.rows / took))
"""


@pytest.mark.slow
def test_a_hundred_thousand_rows_need_little_memory(tmp_path: Path) -> None:
    few, path, copies = tmp_path / "few.csv", tmp_path / "big.csv", 535
    rows = write_orders(few, ORDERS[:100]) * copies
    header, _, body = few.read_text(encoding="utf-8-sig").partition("\n")
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{header}\n")
        file.writelines(body.replace("XL", f"{copy:03d}XL") for copy in range(copies))
    assert rows > 100_000

    ran = subprocess.run(
        [sys.executable, "-c", _STAGE, str(path)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip

    staged_rows, order_count, orders_out, grown, per_second = map(int, ran.stdout.split())
    assert (staged_rows, order_count, orders_out) == (rows, copies * 100, 10_000)
    assert grown < 120 * 1024 * 1024
    assert per_second > 15_000  # per second of CPU: the machine may be busy with other things
