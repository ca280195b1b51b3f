"""The rules about money that goes back: refunds, compensations and coupons, as queries for what breaks them."""

from __future__ import annotations

from models.invariant import NUMBER, OF_ORDER, Invariant
from models.paid_elsewhere import ELSEWHERE

_COUNTS = "('due', 'processing', 'stuck', 'paid', 'by_hand')"
_OPEN = "('due', 'processing', 'stuck')"

MONEY = (
    Invariant(
        "refunded_differs_from_refunds",
        "{count} 个订单的已退金额不等于各笔退款之和:请财务核对,不要再退款。",
        f"""
        SELECT o.order_no, o.refunded_fen, coalesce(sum(r.amount_fen), 0)::bigint AS refunds_fen
        FROM orders o LEFT JOIN refund r ON r.order_id = o.id AND r.state IN {_COUNTS}
        GROUP BY o.id HAVING o.refunded_fen <> coalesce(sum(r.amount_fen), 0)
        """,
    ),
    Invariant(
        "refunded_more_than_paid",
        "{count} 个订单退的比付的多:请财务核对,不要再退款。",
        f"""
        SELECT order_no, paid_fen, refunded_fen, elsewhere_fen
        FROM (SELECT o.id, o.order_no, o.paid_fen, o.refunded_fen, {ELSEWHERE} AS elsewhere_fen FROM orders o) AS o
        WHERE NOT refunded_fen BETWEEN 0 AND paid_fen OR (refunded_fen > 0 AND refunded_fen + elsewhere_fen > paid_fen
          AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.order_id = o.id AND h.code = 'refunded_twice'))
        """,
    ),
    Invariant(
        "refunded_without_compensation",
        "{count} 个已退款的履约单没有办完的补偿。",
        f"""
        SELECT {NUMBER}, c.state AS compensation
        FROM fulfilment f {OF_ORDER} LEFT JOIN compensation c ON c.fulfilment_id = f.id
        WHERE f.stage = 'refunded' AND c.state IS DISTINCT FROM 'done'
        """,
    ),
    # nothing to refund: it was worth nothing, all was paid back already, or the platform gave it back itself
    Invariant(
        "refunded_without_refund",
        "{count} 个已退款的履约单,钱没有退到:请财务核对退款单。",
        f"""
        SELECT {NUMBER}, o.paid_fen, o.refunded_fen, r.refund_no, r.state AS refund
        FROM fulfilment f {OF_ORDER} JOIN compensation c ON c.fulfilment_id = f.id
        LEFT JOIN refund r ON r.fulfilment_id = f.id
        WHERE f.stage = 'refunded' AND (r.state IN {_OPEN} OR (r.id IS NULL AND c.refund_fen > 0
          AND o.refunded_fen + {ELSEWHERE} < o.paid_fen AND o.platform_status <> 'refunded'))
        """,
    ),
    Invariant(
        "refunded_without_coupon",
        "{count} 个已退款的履约单没有发出应补的优惠券。",
        f"""
        SELECT {NUMBER}, c.coupon_fen FROM fulfilment f {OF_ORDER} JOIN compensation c ON c.fulfilment_id = f.id
        WHERE f.stage = 'refunded' AND c.coupon_fen > 0
          AND NOT EXISTS (SELECT 1 FROM coupon k WHERE k.compensation_id = c.id)
        """,
    ),
    Invariant(
        "compensation_done_elsewhere",
        "{count} 个补偿已办完,它的履约单却不在「已退款」。",
        f"""
        SELECT {NUMBER}, f.stage, c.done_at FROM compensation c JOIN fulfilment f ON f.id = c.fulfilment_id {OF_ORDER}
        WHERE c.state = 'done' AND f.stage <> 'refunded'
        """,
    ),
)
