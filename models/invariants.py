"""The rules of the whole database, as queries for what breaks them. `:now`, `:overdue`, `:abandoned` are times."""

from __future__ import annotations

from models.invariant import CALLED_BACK, NUMBER, OF_ORDER, WORKED_ON, Invariant
from models.invariants_money import MONEY
from models.invariants_orders import ORDERS
from models.invariants_parcels import PARCELS
from models.invariants_production import PRODUCTION

STOCK = (
    Invariant(
        "stock_differs_from_ledger",
        "{count} 个库存项的数量不等于流水之和:以流水为准。",
        """
        SELECT warehouse, sku, i.on_hand, i.reserved, l.on_hand AS ledger_on_hand, l.reserved AS ledger_reserved
        FROM stock_item i FULL JOIN (
          SELECT warehouse, sku, sum(on_hand_change) AS on_hand, sum(reserved_change) AS reserved
          FROM stock_movement GROUP BY warehouse, sku) l USING (warehouse, sku)
        WHERE coalesce(i.on_hand, 0) <> coalesce(l.on_hand, 0) OR coalesce(i.reserved, 0) <> coalesce(l.reserved, 0)
        """,
        mended=True,
    ),
    Invariant(
        "stock_out_of_bounds",
        "{count} 个库存项的预留为负,或超过在库数量。",
        "SELECT warehouse, sku, on_hand, reserved FROM stock_item WHERE NOT (0 <= reserved AND reserved <= on_hand)",
    ),
    Invariant(
        "reservations_differ_from_reserved",
        "{count} 个库存项的预留数不等于有效预留之和。",
        """
        SELECT warehouse, sku, coalesce(i.reserved, 0) AS reserved, coalesce(r.held, 0) AS held
        FROM stock_item i FULL JOIN (
          SELECT warehouse, sku, sum(quantity) AS held FROM reservation WHERE state = 'held' GROUP BY warehouse, sku) r
          USING (warehouse, sku)
        WHERE coalesce(i.reserved, 0) <> coalesce(r.held, 0)
        """,
        mended=True,
    ),
    Invariant(
        "shipped_holds_stock",
        "{count} 个已发货的履约单还占着库存:发货时应当出库。",
        f"""
        SELECT {NUMBER}, f.stage, r.warehouse, r.sku, r.purpose, r.quantity
        FROM reservation r JOIN fulfilment f ON f.id = r.fulfilment_id {OF_ORDER}
        WHERE r.state = 'held' AND f.stage IN ('shipped', 'delivered', 'closed')
        """,
        mended=True,
    ),
    Invariant(
        "cancelled_holds_stock",
        "{count} 个已取消或已退款的履约单还占着库存:应当释放。",
        f"""
        SELECT {NUMBER}, f.stage, r.warehouse, r.sku, r.purpose, r.quantity
        FROM reservation r JOIN fulfilment f ON f.id = r.fulfilment_id {OF_ORDER}
        WHERE r.state = 'held' AND f.stage IN ('cancelled', 'refunded')
        """,
        mended=True,
    ),
    # a hold or an outage may lie over the wait: it keeps its place
    Invariant(
        "backorder_of_what_moved_on",
        "{count} 个排队等货的履约单已经不在等货。",
        f"""
        SELECT {NUMBER}, f.stage, f.waiting_on, b.skus, b.since
        FROM backorder b JOIN fulfilment f ON f.id = b.fulfilment_id {OF_ORDER}
        WHERE b.state = 'waiting' AND (f.stage <> 'received' OR NOT (f.ready_at <= :now OR ({WORKED_ON}) IS TRUE
          OR coalesce(f.waiting_on, '') IN ('backorder', 'retry', 'person', 'customer', 'payment')))
        """,
    ),
    Invariant(
        "stock_check_of_what_ended",
        "{count} 份没有答复的库存核对,它们的履约单已经结束。",
        f"""
        SELECT {NUMBER}, f.stage, 'SC-' || c.id AS stock_check
        FROM stock_check c JOIN fulfilment f ON f.id = c.fulfilment_id {OF_ORDER}
        WHERE c.state = 'open' AND f.ready_at IS NULL
        """,
    ),
)

MOVING = (
    Invariant(
        "unfinished_without_waker",
        "{count} 个未完成的履约单没有唤醒时间,会永远睡着。",
        f"""
        SELECT {NUMBER}, f.stage, f.waiting_on FROM fulfilment f {OF_ORDER}
        WHERE f.ready_at IS NULL AND f.stage NOT IN ('closed', 'cancelled', 'refunded')
        """,
    ),
    Invariant(
        "waits_without_reason",
        "{count} 个履约单既没有人处理,也没有就绪,又没有说明在等什么。",
        f"""
        SELECT {NUMBER}, f.stage, f.waiting_on, f.ready_at FROM fulfilment f {OF_ORDER}
        WHERE f.ready_at > :now AND ({WORKED_ON}) IS NOT TRUE
          AND (f.waiting_on IS NULL OR f.waiting_why = '')
        """,
    ),
    Invariant(
        "overdue",
        "{count} 个履约单早已就绪却没有人处理:订单通道好像没有在运行,见 `orderloom status`。",
        f"""
        SELECT {NUMBER}, f.stage, f.waiting_on, f.ready_at FROM fulfilment f {OF_ORDER}
        WHERE f.ready_at < :overdue AND (f.claim_until IS NULL OR f.claim_until < :overdue)
        """,
        "warning",
    ),
    Invariant(
        "stage_without_event",
        "{count} 个阶段在时间线里没有记录。",
        f"""
        SELECT {NUMBER}, f.stage, n.kind AS missing
        FROM fulfilment f {OF_ORDER} JOIN (VALUES
          ('received', 1, 9), ('reserved', 2, 7), ('approved', 3, 7), ('produced', 4, 7), ('shipped', 5, 7),
          ('delivered', 6, 7), ('closed', 7, 7), ('cancelled', 8, 8), ('refunded', 9, 9)) AS n(kind, first, last)
          ON array_position(ARRAY['received', 'reserved', 'approved', 'produced', 'shipped', 'delivered', 'closed',
            'cancelled', 'refunded'], f.stage::text) BETWEEN n.first AND n.last
        WHERE NOT EXISTS (SELECT 1 FROM order_event e WHERE e.order_id = f.order_id
          AND (e.kind = n.kind OR (n.kind = 'cancelled' AND e.kind = 'joined'))  -- put back into another part
          AND coalesce(e.fulfilment_id, f.id) = f.id)
        """,
    ),
)

TOLD = (
    Invariant(
        "shipped_without_one_parcel",
        "{count} 个已发货的履约单不是正好一个包裹。",
        f"""
        SELECT {NUMBER}, f.stage, count(p.id) AS parcels
        FROM fulfilment f {OF_ORDER} LEFT JOIN parcel p ON p.fulfilment_id = f.id
        WHERE f.stage IN ('shipped', 'delivered', 'closed') GROUP BY f.id, o.order_no HAVING count(p.id) <> 1
        """,
    ),
    *PARCELS,
    Invariant(
        "shipped_without_one_ship_notice",
        "{count} 个已发货的履约单不是正好回传平台发货一次。",
        f"""
        SELECT {NUMBER}, f.stage, count(e.id) AS done
        FROM fulfilment f {OF_ORDER}
        LEFT JOIN effect e ON e.fulfilment_id = f.id AND e.kind = 'ship_notice' AND e.state IN ('done', 'shadow')
        WHERE f.stage IN ('shipped', 'delivered', 'closed') GROUP BY f.id, o.order_no HAVING count(e.id) <> 1
        """,
    ),
    Invariant(
        "notified_without_one_message",
        "{count} 个履约单的客户通知数与真正发出的短信数不符。",
        f"""
        SELECT {NUMBER}, coalesce(n.sent, 0) AS sent, coalesce(n.due, 0) AS due, coalesce(e.done, 0) AS done
        FROM (SELECT fulfilment_id, count(*) AS due, count(*) FILTER (WHERE state IN ('sent', 'delivered')) AS sent
              FROM notification GROUP BY fulfilment_id) n
        FULL JOIN (SELECT fulfilment_id, count(*) AS done FROM effect
              WHERE kind = 'sms' AND state IN ('done', 'shadow') GROUP BY fulfilment_id) e USING (fulfilment_id)
        JOIN fulfilment f ON f.id = fulfilment_id {OF_ORDER}
        WHERE coalesce(e.done, 0) < coalesce(n.sent, 0) OR (coalesce(e.done, 0) > coalesce(n.due, 0)
          AND ({WORKED_ON}) IS NOT TRUE AND (f.ready_at <= :now) IS NOT TRUE)
        """,
    ),
    Invariant(
        "done_without_response",
        "{count} 个已完成的外部动作没有记下对方的答复。",
        "SELECT kind, key FROM effect WHERE state = 'done' AND response = '{}'::jsonb",
    ),
    Invariant(
        "abandoned_attempt",
        "{count} 个外部动作没有结果,而订单已经了结:没有人会再去问,请人工确认。",
        f"""
        SELECT {NUMBER}, e.kind, e.key, e.state, e.lease_until
        FROM effect e JOIN fulfilment f ON f.id = e.fulfilment_id {OF_ORDER}
        WHERE e.state IN ('calling', 'unclear') AND e.lease_until < :abandoned AND f.ready_at IS NULL
          AND NOT {CALLED_BACK}
        """,
    ),
)

REVIEWS = (
    Invariant(
        "two_open_reviews",
        "{count} 个履约单有同一个角色的几份待决定的审核。",
        f"""
        SELECT {NUMBER}, c.role, count(*) AS open
        FROM review_case c JOIN fulfilment f ON f.id = c.fulfilment_id {OF_ORDER}
        WHERE c.state = 'open' GROUP BY f.id, o.order_no, c.role HAVING count(*) > 1
        """,
    ),
    Invariant(
        "waits_for_no_review",
        "{count} 个履约单在等审核,却没有待决定的审核:`orderloom rerun` 会重新送审。",
        f"""
        SELECT {NUMBER}, f.ready_at FROM fulfilment f {OF_ORDER}
        WHERE f.ready_at > :now AND f.waiting_on = 'review' AND ({WORKED_ON}) IS NOT TRUE
          AND NOT EXISTS (SELECT 1 FROM review_case c WHERE c.order_id = f.order_id AND c.state = 'open')
        """,
    ),
    Invariant(
        "review_of_what_moved_on",
        "{count} 份待决定的审核,它们的履约单已经不再等它。",
        f"""
        SELECT {NUMBER}, f.stage, f.waiting_on, c.id AS review
        FROM review_case c JOIN fulfilment f ON f.id = c.fulfilment_id {OF_ORDER}
        WHERE c.state = 'open' AND f.stage <> 'cancelled' AND (f.stage NOT IN ('received', 'reserved')
          OR (f.ready_at > :now AND f.waiting_on IS NULL AND ({WORKED_ON}) IS NOT TRUE))
        """,
    ),
)

#: Every rule, in the order in which an operator wants to read them.
INVARIANTS = (*MOVING, *STOCK, *TOLD, *ORDERS, *MONEY, *REVIEWS, *PRODUCTION)
