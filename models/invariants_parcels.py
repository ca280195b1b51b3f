"""The rules of parcels: whoever has shipped has exactly one waybill that stands, its own or one with others."""

from __future__ import annotations

from models.invariant import CALLED_BACK, NUMBER, OF_ORDER, Invariant

# the carrier has it, and did not give it back
_STANDS = f"e.kind = 'waybill' AND e.state IN ('done', 'shadow') AND NOT {CALLED_BACK}"

PARCELS = (
    Invariant(
        "shipped_without_one_waybill",
        "{count} 个已发货的履约单不是正好出运单一次。",
        f"""
        SELECT {NUMBER}, f.stage, count(w.id) AS done
        FROM fulfilment f {OF_ORDER} LEFT JOIN (
          SELECT e.id, e.fulfilment_id FROM effect e WHERE e.fulfilment_id IS NOT NULL AND {_STANDS}
          UNION ALL
          SELECT e.id, p.fulfilment_id FROM parcel p JOIN effect e ON e.key = 'waybill-' || p.shipment_no
          WHERE p.shared_parcel_id IS NOT NULL AND {_STANDS}) w ON w.fulfilment_id = f.id
        WHERE f.stage IN ('shipped', 'delivered', 'closed') GROUP BY f.id, o.order_no HAVING count(w.id) <> 1
        """,
    ),
    Invariant(
        "shared_parcel_with_two_waybills",
        "{count} 个合并包裹里的履约单记着不同的运单号。",
        """
        SELECT p.shared_parcel_id, array_agg(DISTINCT p.waybill_no ORDER BY p.waybill_no) AS waybills
        FROM parcel p WHERE p.shared_parcel_id IS NOT NULL GROUP BY p.shared_parcel_id
        HAVING count(DISTINCT p.waybill_no) > 1
        """,
    ),
    Invariant(
        "shared_parcel_of_one",
        "{count} 个合并包裹里只剩一个履约单,它在白等:`orderloom orders unmerge` 让它单独发出。",
        f"""
        SELECT min(o.order_no || '-' || f.number) AS fulfilment_no, s.id AS shared_parcel_id, count(m.id) AS members
        FROM shared_parcel s LEFT JOIN shared_parcel_member m ON m.shared_parcel_id = s.id AND m.left_at IS NULL
        LEFT JOIN fulfilment f ON f.id = m.fulfilment_id LEFT {OF_ORDER}
        WHERE s.state = 'open' GROUP BY s.id HAVING count(m.id) < 2
        """,
    ),
)
