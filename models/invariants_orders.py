"""The rules about what was bought and who carries it, through every change, as queries for what breaks them."""

from __future__ import annotations

from models.invariant import NUMBER, OF_ORDER, Invariant
from models.wanted import STANDINGS

#: By order: what its lines come to, and by how much total and payment may differ from that (`models/wanted.py`).
_LINES = """
SELECT order_id, sum(paid_fen) AS lines_fen,
  sum(ceil(paid_fen::numeric * cancelled_quantity / quantity))::bigint AS cancelled_fen
FROM order_line GROUP BY order_id
"""
_BALANCE = "SELECT 1 FROM hold h WHERE h.order_id = o.id AND h.code = 'balance_due' AND h.released_at IS NULL"
#: Of a fulfilment that cannot be lessened any more: it has left, its waybill is not given back, or it is compensated.
_KEEPS = """
f.stage IN ('shipped', 'delivered', 'closed')
OR EXISTS (SELECT 1 FROM effect e WHERE e.fulfilment_id = f.id AND (
  e.kind = 'ship_notice' AND e.state NOT IN ('intended', 'refused')
  OR e.kind = 'waybill_cancel' AND e.response ->> 'cancelled' = 'false'))
OR EXISTS (SELECT 1 FROM compensation c WHERE c.fulfilment_id = f.id AND c.state IN ('due', 'stopped'))
"""

ORDERS = (
    Invariant(
        "total_differs_from_lines",
        "{count} 个订单的总额不等于各行实付加运费。",
        f"""
        SELECT o.order_no, o.total_fen, o.freight_fen, coalesce(l.lines_fen, 0) AS lines_fen
        FROM orders o LEFT JOIN ({_LINES}) l ON l.order_id = o.id
        WHERE NOT coalesce(l.lines_fen, 0) + o.freight_fen - o.total_fen
          BETWEEN 0 AND coalesce(l.cancelled_fen, 0) + o.platform_refunded_fen
        """,
    ),
    Invariant(
        "not_paid_in_full",
        "{count} 个订单没有付清就已锁库存或更进一步。",
        f"""
        SELECT {NUMBER}, f.stage, o.total_fen, o.paid_fen
        FROM fulfilment f {OF_ORDER} LEFT JOIN ({_LINES}) l ON l.order_id = o.id
        WHERE f.stage IN ('reserved', 'approved', 'produced', 'shipped', 'delivered', 'closed')
          AND abs(o.paid_fen - o.total_fen) > coalesce(l.cancelled_fen, 0) + o.platform_refunded_fen
          AND NOT EXISTS ({_BALANCE})
        """,
    ),
    # while a change is carried out, and once the whole order is cancelled, it may differ
    Invariant(
        "lines_not_carried",
        "{count} 个订单行没有被履约单正好带走:漏发或多发。",
        f"""
        SELECT o.order_no, s.line_no, s.sku, s.wanted AS quantity, s.carried
        FROM ({STANDINGS}) s JOIN orders o ON o.id = s.order_id
        WHERE s.carried <> s.wanted AND o.cancel_requested_at IS NULL
          AND NOT EXISTS (SELECT 1 FROM order_change c WHERE c.order_id = o.id AND c.state = 'asked')
          AND (s.carried < s.wanted OR s.carried - s.wanted > (
            SELECT coalesce(sum(p.quantity), 0) FROM fulfilment_line p JOIN fulfilment f ON f.id = p.fulfilment_id
            WHERE p.order_line_id = s.id AND ({_KEEPS})))
        """,
    ),
    Invariant(
        "change_left_undone",
        "{count} 个渠道改动没有人在处理:`orderloom rerun` 会再看一次。",
        f"""
        SELECT o.order_no, c.kind, c.at FROM order_change c JOIN orders o ON o.id = c.order_id
        WHERE c.state = 'asked' AND NOT EXISTS ({_BALANCE})
          AND NOT EXISTS (SELECT 1 FROM fulfilment f WHERE f.order_id = o.id AND f.ready_at IS NOT NULL)
        """,
    ),
)
