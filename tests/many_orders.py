"""Thousands of orders in a moment, written set by set: for tests with many processes, and for benchmarks.

Order and fulfilment have the same id. What is in them follows from their number alone, so that every run is alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models.fulfilment import FINAL, Stage

PRICE_FEN = 2_000
_CONTACT = """
INSERT INTO contact (secret, masked_name, masked_phone, province, city, district, only_masked, fingerprint)
VALUES ('', '', '', '广东省', '深圳市', '南山区', false, '') RETURNING id
"""
# paid one second after the other, in the order of their ids
_ORDERS = """
INSERT INTO orders (id, order_no, channel, shop, channel_order_id, channel_order_name, platform_status, placed_at,
  paid_at, platform_updated_at, received_at, payment_verified_at, cancel_reason, currency, total_fen, paid_fen,
  refunded_fen, platform_refunded_fen, freight_fen, discount_fen, payment_keeper, payment_ref, buyer, contact_id, note,
  attributes, handles)
SELECT n, 'MANY-' || n, 'shopify', 'many', n::text, n::text, 'to_ship', at, at, at, at, at, '', 'CNY', 0, 0,
  0, 0, 0, 0, '', '', '', :contact, '', '{}', '{}'
FROM generate_series(CAST(:first AS bigint), :last) AS n,
  LATERAL (SELECT CAST(:now AS timestamptz) - make_interval(secs => :last - n) AS at) AS paid
"""
_FULFILMENTS = """
INSERT INTO fulfilment (id, order_id, number, warehouse, stage, stage_since, waiting_why, priority, ready_at,
  wake_seq, fence, attempts)
SELECT n, n, 1, '', :stage, :now, '', 100, CAST(:ready AS timestamptz), 0, 0, 0
FROM generate_series(CAST(:first AS bigint), :last) AS n
"""
# one to three lines of one to three pieces; every fifth order names a SKU twice
_LINES = """
WITH wanted AS (
  SELECT n, line, CASE WHEN line = 3 AND n % 5 = 0 THEN hashint8(n * 7 + 1) ELSE hashint8(n * 7 + line) END AS which,
    1 + abs(hashint8(n * 13 + line)::bigint) % 3 AS quantity
  FROM generate_series(CAST(:first AS bigint), :last) AS n, generate_series(1, 3) AS line
  WHERE line <= 1 + n % 3 OR n % 5 = 0),
lines AS (
  INSERT INTO order_line (order_id, line_no, channel_line_id, sku, title, quantity, cancelled_quantity,
    unit_price_fen, paid_fen, made_to_order, profile)
  SELECT n, line, line::text, skus[1 + abs(which::bigint) % cardinality(skus)], '', quantity, 0, :price,
    quantity * :price, false, '{}'
  FROM wanted, (SELECT CAST(:skus AS text[]) AS skus) AS known
  RETURNING id, order_id, quantity, paid_fen),
carried AS (
  INSERT INTO fulfilment_line (fulfilment_id, order_line_id, quantity) SELECT order_id, id, quantity FROM lines),
paid AS (SELECT order_id, sum(paid_fen) AS fen FROM lines GROUP BY order_id)
UPDATE orders SET total_fen = fen, paid_fen = fen FROM paid WHERE orders.id = order_id
"""


def place_many(
    session: Session, count: int, now: datetime, stage: Stage = Stage.RECEIVED, skus: Sequence[str] = ()
) -> range:
    """Write `count` verified orders with one fulfilment each; their ids. Not final, they are ready since `now`.

    With `skus` each has one to three lines of these SKUs, of up to three pieces, some SKUs named twice; without,
    the orders are empty.
    """
    connection = session.connection()
    contact = connection.execute(text(_CONTACT)).scalar_one()
    first = connection.execute(text("SELECT coalesce(max(id), 0) + 1 FROM orders")).scalar_one()
    ids = {"first": first, "last": first + count - 1}
    connection.execute(text(_ORDERS), {**ids, "now": now, "contact": contact})
    ready = None if stage in FINAL else now
    connection.execute(text(_FULFILMENTS), {**ids, "now": now, "stage": stage.value, "ready": ready})
    if skus:
        connection.execute(text(_LINES), {**ids, "skus": list(skus), "price": PRICE_FEN})
    for table in ("orders", "fulfilment"):
        connection.execute(
            text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), :last)"), {"last": ids["last"]}
        )
    return range(first, first + count)


def demand(session: Session, ids: range) -> dict[str, int]:
    """By SKU: how many pieces these orders take together."""
    rows = session.connection().execute(
        text("SELECT sku, sum(quantity) FROM order_line WHERE order_id BETWEEN :first AND :last GROUP BY sku"),
        {"first": ids.start, "last": ids.stop - 1},
    )
    return {sku: int(pieces) for sku, pieces in rows}
