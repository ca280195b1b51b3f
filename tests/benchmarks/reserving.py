"""A process that reserves stock for the benchmark `reservation`, order by order, in one of two ways.

Commands come as JSON lines on standard input, one stretch of work each; the answer says when it began and ended.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import create_engine, text
from sqlmodel import Session

from models.reservation import reserve
from models.stock import StockShort

WAREHOUSE = "WH"
NOW = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)

Way = Callable[[Session, int, dict[str, int]], None]


def ours(session: Session, fulfilment_id: int, wanted: dict[str, int]) -> None:
    """The rule that the lane uses."""
    reserve(session, fulfilment_id, WAREHOUSE, wanted, "benchmark", NOW)


_LOOK = text("""
SELECT sku, on_hand, reserved FROM stock_item WHERE warehouse = :warehouse AND sku = ANY(:skus) ORDER BY sku FOR UPDATE
""")
_COUNT = text("UPDATE stock_item SET reserved = :reserved WHERE warehouse = :warehouse AND sku = :sku")
_KEEP = text("""
INSERT INTO reservation (fulfilment_id, warehouse, sku, purpose, quantity, state, at)
VALUES (:fulfilment, :warehouse, :sku, 'goods', :quantity, 'held', :now)
""")
_NOTE = text("""
INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, fulfilment_id, actor, reason)
VALUES (:now, :warehouse, :sku, 'reserve', 0, :quantity, :fulfilment, 'benchmark', '')
""")


def for_update(session: Session, fulfilment_id: int, wanted: dict[str, int]) -> None:
    """Lock, look, check, write: what most order systems do. It writes the same rows in as few statements."""
    connection = session.connection()
    rows = connection.execute(_LOOK, {"warehouse": WAREHOUSE, "skus": sorted(wanted)}).all()
    there = {row.sku: row for row in rows}
    missing = {
        sku: (quantity, there[sku].on_hand - there[sku].reserved)
        for sku, quantity in wanted.items()
        if there[sku].on_hand - there[sku].reserved < quantity
    }
    if missing:
        raise StockShort(WAREHOUSE, missing)
    for sku, quantity in sorted(wanted.items()):
        row = {"warehouse": WAREHOUSE, "sku": sku, "quantity": quantity, "fulfilment": fulfilment_id, "now": NOW}
        connection.execute(_COUNT, {**row, "reserved": there[sku].reserved + quantity})
        connection.execute(_KEEP, row)
        connection.execute(_NOTE, row)


WAYS: dict[str, Way] = {"ours": ours, "for_update": for_update}


def main() -> None:
    """Connect, say that we are ready, and work through the commands until there are no more."""
    engine = create_engine(sys.argv[1], pool_size=1)
    with engine.connect():
        answer({"ready": True})
    for line in sys.stdin:
        command = json.loads(line)
        while time.time() < command["begin_at"]:
            time.sleep(0.001)
        answer(stretch(engine, WAYS[command["way"]], command["orders"]))


def stretch(engine: Any, way: Way, orders: list[tuple[int, dict[str, int]]]) -> dict[str, Any]:
    """Reserve for each order in a transaction of its own; when, and how many found nothing left."""
    began, short = time.time(), 0
    for fulfilment_id, wanted in orders:
        with Session(engine) as session:
            try:
                way(session, fulfilment_id, wanted)
                session.commit()
            except StockShort:
                short += 1
    return {"began": began, "ended": time.time(), "short": short}


def answer(said: dict[str, Any]) -> None:
    """One JSON line."""
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
