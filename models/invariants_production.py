"""The rules of production: what is made is made in a batch, each batch is told once, and nobody's report is missed."""

from __future__ import annotations

from models.invariant import NUMBER, OF_ORDER, WORKED_ON, Invariant

PRODUCTION = (
    Invariant(
        "produced_without_completed_work",
        "{count} 个履约单已备货,它们的工单却没有完工。",
        f"""
        SELECT {NUMBER}, f.stage, l.sku, p.recipe
        FROM fulfilment f {OF_ORDER} JOIN fulfilment_line p ON p.fulfilment_id = f.id
        JOIN order_line l ON l.id = p.order_line_id
        WHERE p.recipe IS NOT NULL AND f.stage IN ('produced', 'shipped', 'delivered', 'closed')
          AND (SELECT count(*) FILTER (WHERE w.state = 'completed') = 0
              OR bool_or(w.state IN ('requested', 'released', 'in_progress'))
            FROM work_order w WHERE w.fulfilment_id = f.id AND w.sku = l.sku)
        """,
    ),
    Invariant(
        "produced_without_recipe",
        "{count} 个履约单已备货,其中的定制商品却没有配方,也就没有生产过。",
        f"""
        SELECT {NUMBER}, f.stage, l.line_no, l.sku FROM fulfilment f {OF_ORDER}
        JOIN fulfilment_line p ON p.fulfilment_id = f.id JOIN order_line l ON l.id = p.order_line_id
        WHERE l.made_to_order AND p.recipe IS NULL AND f.stage IN ('produced', 'shipped', 'delivered', 'closed')
        """,
    ),
    Invariant(
        "completed_work_unnoticed",
        "{count} 个履约单的工单都已完工,履约单却还在等生产。",
        f"""
        SELECT {NUMBER}, f.stage, f.waiting_on, f.ready_at, count(*) AS completed
        FROM work_order w JOIN fulfilment f ON f.id = w.fulfilment_id {OF_ORDER}
        WHERE f.stage = 'approved' AND f.ready_at > :now AND f.waiting_on = 'production'
          AND ({WORKED_ON}) IS NOT TRUE
        GROUP BY f.id, o.order_no HAVING bool_and(w.state = 'completed')
        """,
    ),
    Invariant(
        "completion_without_time",
        "{count} 个工单的完工状态与完工时间不一致。",
        """
        SELECT work_order_no, state, completed_at FROM work_order
        WHERE (state = 'completed') <> (completed_at IS NOT NULL)
        """,
    ),
    Invariant(
        "work_without_batch",
        "{count} 个工单已下发,却不属于任何生产批次。",
        """
        SELECT work_order_no, state, batch_no FROM work_order
        WHERE batch_id IS NULL AND (batch_no <> '' OR state IN ('released', 'in_progress', 'completed', 'failed'))
        """,
    ),
    Invariant(
        "batch_not_released_once",
        "{count} 个生产批次不是正好下发一次。",
        """
        SELECT b.batch_no, b.state, count(e.id) AS done
        FROM production_batch b
        LEFT JOIN effect e ON e.key = b.release_key AND e.kind = 'production_release' AND e.state IN ('done', 'shadow')
        GROUP BY b.id HAVING count(e.id) <> CASE b.state WHEN 'released' THEN 1 ELSE 0 END
        """,
    ),
    Invariant(
        "batch_of_several_sorts",
        "{count} 个生产批次里混有别的配方、版本或仓库的工单。",
        f"""
        SELECT b.batch_no, w.work_order_no, w.recipe, f.warehouse, o.rules ->> 'recipes' AS recipe_version
        FROM work_order w JOIN production_batch b ON b.id = w.batch_id JOIN fulfilment f ON f.id = w.fulfilment_id
        {OF_ORDER}
        WHERE w.recipe <> b.recipe OR (w.state NOT IN ('called_back', 'reworked') AND (f.warehouse <> b.warehouse
          OR coalesce((o.rules ->> 'recipes')::int, b.recipe_version) <> b.recipe_version))
        """,
    ),
    Invariant(
        "ended_order_in_open_batch",
        "{count} 个已结束的履约单还在没有下发的生产批次里。",
        f"""
        SELECT b.batch_no, {NUMBER}, f.stage, w.state FROM production_batch b JOIN work_order w ON w.batch_id = b.id
        JOIN fulfilment f ON f.id = w.fulfilment_id {OF_ORDER}
        WHERE b.state = 'open' AND f.ready_at IS NULL
        """,
    ),
    Invariant(
        "open_batch_of_nobody",
        "{count} 个没有下发的生产批次里没有工单。",
        """
        SELECT b.batch_no, b.opened_at FROM production_batch b
        WHERE b.state = 'open' AND NOT EXISTS (SELECT 1 FROM work_order w WHERE w.batch_id = b.id)
        """,
    ),
    Invariant(
        "batch_release_overdue",
        "{count} 个生产批次早该下发却没有:工厂连不上,或它的订单都被搁置,见员工页面「生产批次」。",
        """
        SELECT batch_no, state, seal_at FROM production_batch WHERE state <> 'released' AND seal_at < :overdue
        """,
        "warning",
    ),
    Invariant(
        "factory_silent",
        "{count} 个工单过了预计完工时间一天,工厂还没有回报:问工厂,让 MES 重发回报,没有在做就取消订单。",
        f"""
        SELECT w.work_order_no, w.batch_no, {NUMBER}, w.state, w.expected_at FROM work_order w
        JOIN fulfilment f ON f.id = w.fulfilment_id {OF_ORDER}
        WHERE w.state IN ('released', 'in_progress') AND f.ready_at IS NOT NULL
          AND w.expected_at < CAST(:now AS timestamptz) - interval '1 day' AND NOT EXISTS (
            SELECT 1 FROM production_report r WHERE r.work_order_no = w.work_order_no
              AND r.received_at >= CAST(:now AS timestamptz) - interval '1 day')
        """,
        "warning",
    ),
)
