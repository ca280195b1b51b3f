"""Eight processes take two thousand orders for twenty hot SKUs, with goods for half of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models.pool import StockRule, set_rule
from models.product import Product, save_products
from models.stock import receive
from models.warehouse import Warehouse
from tests.many_orders import demand, place_many
from tests.models.build import NOW, engine_of
from tests.models.stockroom import PROVINCES, SH, SZ, assert_accounts_agree

pytestmark = pytest.mark.slow

ORDERS, PROCESSES = 2_000, 8
SKUS = [f"HOT-{number:02d}" for number in range(20)]
#: Orders short of these are waited for; of any other they are paid back.
WAITED_FOR = SKUS[:3]
# an order's parts together have one outcome; a part is promised all that it carries, or nothing
_OUTCOMES = text("""
SELECT f.order_id, f.id, f.stage, b.id IS NOT NULL AS waiting, c.id IS NOT NULL AS compensated,
  (SELECT coalesce(sum(quantity), 0) FROM reservation r WHERE r.fulfilment_id = f.id AND r.state = 'held') AS held,
  (SELECT sum(quantity) FROM fulfilment_line p WHERE p.fulfilment_id = f.id) AS carried
FROM fulfilment f LEFT JOIN backorder b ON b.fulfilment_id = f.id AND b.state = 'waiting'
LEFT JOIN compensation c ON c.fulfilment_id = f.id
""")


def open_hot_shop(session: Session) -> None:
    """Two warehouses, twenty SKUs, two thousand orders, and goods for about half of them."""
    for code in (SZ, SH):
        session.add(Warehouse(code=code, name=code, province=PROVINCES[code]))
    save_products(session, [Product(sku=sku, title=sku, price_fen=2_000) for sku in SKUS])
    for sku in set(SKUS) - set(WAITED_FOR):
        set_rule(session, StockRule(sku=sku, when_short="compensate", set_at=NOW))
    ids = place_many(session, ORDERS, NOW, skus=SKUS)
    for sku, pieces in sorted(demand(session, ids).items()):
        receive(session, SZ, sku, pieces // 3, "到货", "test", NOW)
        receive(session, SH, sku, pieces // 2 - pieces // 3, "到货", "test", NOW)
    session.commit()


def outcome_of(row: object) -> str:
    """Promised, waiting or refunded: exactly one of them."""
    said = [name for name in ("waiting", "compensated") if getattr(row, name)]
    promised = row.held == row.carried  # type: ignore[attr-defined]
    assert promised or row.held == 0, row  # type: ignore[attr-defined]
    said += ["promised"] * promised
    assert len(said) == 1, row
    stage = {"promised": "reserved", "waiting": "received", "compensated": "refunded"}[said[0]]
    assert row.stage == stage, row  # type: ignore[attr-defined]
    return said[0]


def test_eight_processes_promise_every_piece_once_and_every_order_has_one_outcome(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_hot_shop(session)

        said = work_together(database_url)

        assert len(said) == PROCESSES
        with Session(engine) as session:
            assert_accounts_agree(session)
            outcomes: dict[int, set[str]] = {}
            parts: Counter[str] = Counter()
            for row in session.connection().execute(_OUTCOMES):
                outcome = outcome_of(row)
                outcomes.setdefault(row.order_id, set()).add(outcome)
                parts[outcome] += 1
            assert len(outcomes) == ORDERS
            assert all(len(of_one) == 1 for of_one in outcomes.values())
            orders = Counter(next(iter(of_one)) for of_one in outcomes.values())
            assert orders["promised"] > ORDERS // 4
            assert orders["compensated"] > ORDERS // 10
            assert orders["waiting"] > ORDERS // 40
            assert sum(said, Counter())["refunded"] == orders["compensated"]
            assert nobody_lacks_what_is_there(session) == []


def work_together(url: str) -> list[Counter[str]]:
    """What each process decided; none of them may end with an error."""
    command = [sys.executable, "-m", "tests.models.order_taker", url]
    processes = [
        subprocess.Popen([*command, f"taker-{number}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(PROCESSES)
    ]
    told = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, "\n".join(error for _, error in told)
    return [Counter(json.loads(said)) for said, _ in told]


def nobody_lacks_what_is_there(session: Session) -> list[int]:
    """Who waits although everything that it takes is there; by fulfilment id."""
    rows = session.connection().execute(
        text("""
        SELECT fulfilment_id FROM (
          SELECT b.fulfilment_id, l.sku, sum(p.quantity) AS wanted FROM backorder b
          JOIN fulfilment_line p USING (fulfilment_id) JOIN order_line l ON l.id = p.order_line_id
          WHERE b.state = 'waiting' GROUP BY 1, 2) AS waits
        JOIN (SELECT sku, sum(on_hand - reserved) AS free FROM stock_item GROUP BY sku) AS there USING (sku)
        GROUP BY fulfilment_id HAVING bool_and(free >= wanted)
        """)
    )
    return [id for (id,) in rows]
