"""Repair: what is broken in the stock's book and can be mended without a decision, mended with an author.

The ledger is the truth about what is on hand, the reservations that stand are the truth about what is promised: the
counters follow, and a row of the ledger says from what to what. Nothing is ever cut to fit: where the truths
contradict each other it is said, with the next step, and a person decides. One finding is one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models.backorder import wake_waiting
from models.cancellation import give_back
from models.fulfilment import Fulfilment, Stage
from models.order import lock_order
from models.product import Product
from models.reservation import consume, held_for
from models.stock import LedgerBroken, Movement, shelve
from models.warehouse import Warehouse
from models.wording import STAGE_WORDS, say


@dataclass(frozen=True)
class BrokenItem:
    """A SKU in a warehouse whose counters are not what ledger and reservations say."""

    warehouse: str
    sku: str


@dataclass(frozen=True)
class Stuck:
    """An ended or shipped fulfilment that is still promised something."""

    fulfilment_id: int
    order_id: int


Finding = BrokenItem | Stuck


@dataclass(frozen=True)
class Mended:
    """What became of one finding. `done` False: left to a person, and the sentence says what to do next."""

    done: bool
    sentence: str


_ITEMS = text("""
SELECT warehouse, sku FROM stock_item i FULL JOIN (
  SELECT warehouse, sku, sum(on_hand_change) AS on_hand, sum(reserved_change) AS reserved
  FROM stock_movement GROUP BY warehouse, sku) l USING (warehouse, sku) FULL JOIN (
  SELECT warehouse, sku, sum(quantity) AS held FROM reservation WHERE state = 'held' GROUP BY warehouse, sku) r
  USING (warehouse, sku)
WHERE coalesce(i.on_hand, 0) <> coalesce(l.on_hand, 0) OR coalesce(i.reserved, 0) <> coalesce(l.reserved, 0)
  OR coalesce(i.reserved, 0) <> coalesce(r.held, 0)
ORDER BY sku, warehouse
""")
_STUCK = text("""
SELECT DISTINCT f.id, f.order_id FROM reservation r JOIN fulfilment f ON f.id = r.fulfilment_id
WHERE r.state = 'held' AND f.stage IN ('shipped', 'delivered', 'closed', 'cancelled', 'refunded') ORDER BY f.id
""")


def findings(session: Session) -> list[Finding]:
    """What may be mended, counters first: promises can only end where the counters hold them."""
    rows = session.connection().execute(_ITEMS)
    broken: list[Finding] = [BrokenItem(row.warehouse, row.sku) for row in rows]
    return broken + [Stuck(row.id, row.order_id) for row in session.connection().execute(_STUCK)]


def mend(session: Session, finding: Finding, who: str, now: datetime) -> Mended | None:
    """Mend one finding in the caller's transaction; None when it mended itself meanwhile. Safe beside working lanes."""
    if isinstance(finding, BrokenItem):
        return _mend_item(session, finding.warehouse, finding.sku, who, now)
    return _end_promises(session, finding, who, now)


# a statement of its own, after the lock: whoever counted here before has committed, and everything of his is seen
_TRUTH = text("""
SELECT i.on_hand, i.reserved,
  (SELECT coalesce(sum(on_hand_change), 0)::bigint FROM stock_movement m
   WHERE m.warehouse = i.warehouse AND m.sku = i.sku) AS ledger_on_hand,
  (SELECT coalesce(sum(reserved_change), 0)::bigint FROM stock_movement m
   WHERE m.warehouse = i.warehouse AND m.sku = i.sku) AS ledger_reserved,
  (SELECT coalesce(sum(quantity), 0)::bigint FROM reservation r
   WHERE r.warehouse = i.warehouse AND r.sku = i.sku AND r.state = 'held') AS held
FROM stock_item i WHERE warehouse = :warehouse AND sku = :sku
""")
_SET = text("""
WITH counted AS (
  UPDATE stock_item SET on_hand = :on_hand, reserved = :held WHERE warehouse = :warehouse AND sku = :sku)
INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, actor, reason)
VALUES (:now, :warehouse, :sku, :kind, 0, CAST(:held AS bigint) - :ledger_reserved, :who, :reason)
""")


def _mend_item(session: Session, warehouse: str, sku: str, who: str, now: datetime) -> Mended | None:
    if session.get(Product, sku) is None or session.get(Warehouse, warehouse) is None:
        return Mended(
            False,
            f"{warehouse} 的 {sku} 有流水或预留,却没有这个商品或仓库:先用 `orderloom catalogue load` 载入,再修复。",
        )
    shelve(session, warehouse, sku)
    key = {"warehouse": warehouse, "sku": sku}
    session.connection().execute(
        text("SELECT 1 FROM stock_item WHERE warehouse = :warehouse AND sku = :sku FOR UPDATE"), key
    )
    row = session.connection().execute(_TRUTH, key).one()
    if (row.on_hand, row.reserved) == (row.ledger_on_hand, row.ledger_reserved) and row.reserved == row.held:
        return None
    if not 0 <= row.held <= row.ledger_on_hand:
        return Mended(False, _contradiction(session, warehouse, sku, row.ledger_on_hand, row.held))
    changes = [
        f"{name} {before} → {after}"
        for name, before, after in (
            ("在库", row.on_hand, row.ledger_on_hand),
            ("预留", row.reserved, row.held),
            ("流水中的预留", row.ledger_reserved, row.held),
        )
        if before != after
    ]
    said = f"修复账目:{','.join(changes)}"
    values = {"on_hand": row.ledger_on_hand, "held": row.held, "ledger_reserved": row.ledger_reserved}
    session.connection().execute(
        _SET, {**key, **values, "now": now, "kind": Movement.REPAIR.value, "who": who, "reason": said}
    )
    if row.ledger_on_hand - row.held > row.on_hand - row.reserved:
        wake_waiting(session, sku)
    return Mended(True, f"{warehouse} 的 {sku}:{said}")


_HOLDERS = text("""
SELECT o.order_no || '-' || f.number AS fulfilment_no FROM reservation r
JOIN fulfilment f ON f.id = r.fulfilment_id JOIN orders o ON o.id = f.order_id
WHERE r.state = 'held' AND r.warehouse = :warehouse AND r.sku = :sku
ORDER BY o.paid_at DESC NULLS FIRST, f.id DESC LIMIT 3
""")


def _contradiction(session: Session, warehouse: str, sku: str, on_hand: int, held: int) -> str:
    place = f"{warehouse} 的 {sku}"
    if on_hand < 0:
        return (
            f"{place} 流水合计在库 {on_hand},不可能是负数,没有改动:请去实地数,用 `orderloom stock adjust` "
            f"补记至少 {held - on_hand} 的差额并写明原因,再修复。"
        )
    rows = session.connection().execute(_HOLDERS, {"warehouse": warehouse, "sku": sku})
    latest = "、".join(row.fulfilment_no for row in rows)
    return (
        f"{place} 预留给订单 {held},流水合计在库却只有 {on_hand},没有改动:请去实地数,货在就用 `orderloom stock adjust` "
        f"补记;真的不够就取消或补偿最晚付款的订单({latest}),再修复。"
    )


def _end_promises(session: Session, stuck: Stuck, who: str, now: datetime) -> Mended | None:
    """As shipping and winding up do: what has left is used up, what was called off goes back on the shelf."""
    order = lock_order(session, stuck.order_id)
    fulfilment = session.get_one(Fulfilment, stuck.fulfilment_id, populate_existing=True)
    stage = Stage(fulfilment.stage)
    held = held_for(session, stuck.fulfilment_id)
    if not held or not stage.reached(Stage.SHIPPED):
        return None
    number = f"{order.order_no}-{fulfilment.number}"
    goods = "、".join(f"{r.warehouse} 的 {r.sku} {r.quantity}" for r in held)
    try:
        with session.begin_nested():
            if stage in (Stage.CANCELLED, Stage.REFUNDED):
                give_back(session, stuck.fulfilment_id, who, now, "修复账目:订单已结束")
                done = "退回库存"
            else:
                consume(session, stuck.fulfilment_id, who, now)
                done = "记为出库"
    except LedgerBroken as error:
        return Mended(False, f"{number} 还占着 {goods},但{error} 先处理上面这个库存项,再修复。")
    return Mended(True, f"{number}({say(STAGE_WORDS, stage.value)})还占着 {goods}:已{done}")
