"""Stock: what is on hand, what is promised, and the append-only ledger that both are sums of.

Every change is one statement that counts and writes its row of the ledger together. What is promised to whom is in
`models/reservation.py`; what channels may see of it in `models/pool.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, Session, SQLModel

from models.backorder import wake_waiting
from models.table import big, key, link, moment, words


class StockShort(Exception):
    """There is not enough. `missing` maps SKU to (wanted, available)."""

    def __init__(self, warehouse: str, missing: Mapping[str, tuple[int, int]]) -> None:
        self.warehouse = warehouse
        self.missing = dict(missing)
        parts = "、".join(f"{sku} 要 {want} 有 {have}" for sku, (want, have) in sorted(missing.items()))
        super().__init__(f"{warehouse or '各仓'}库存不足:{parts}")


class NotThere(Exception):
    """An operation would take more than is on hand and not promised."""

    def __init__(self, warehouse: str, sku: str, wanted: int, available: int) -> None:
        super().__init__(f"{warehouse} 的 {sku} 只有 {available} 可动用,做不了 {wanted}:先盘点,或减少数量。")


class LedgerBroken(Exception):
    """Counters and reservations do not fit together; nothing was changed."""

    def __init__(self, warehouse: str, sku: str) -> None:
        super().__init__(f"{warehouse} 的 {sku} 账目不符:请运行 `orderloom check --repair`。")


class Movement(StrEnum):
    """Why stock changed."""

    RECEIPT = "receipt"
    ADJUSTMENT = "adjustment"
    COUNT = "count"
    TRANSFER_OUT = "transfer_out"
    TRANSFER_IN = "transfer_in"
    RESERVE = "reserve"
    RELEASE = "release"
    CONSUME = "consume"
    NOT_FOUND = "not_found"
    SCRAP = "scrap"
    REPAIR = "repair"


class StockItem(SQLModel, table=True):
    """One SKU in one warehouse, in the SKU's unit."""

    __tablename__ = "stock_item"
    __table_args__ = (
        CheckConstraint("0 <= reserved AND reserved <= on_hand", name="promised_is_there"),
        Index("stock_item_of_sku", "sku"),
    )

    warehouse: str = Field(primary_key=True, foreign_key="warehouse.code")
    sku: str = Field(primary_key=True, foreign_key="product.sku")
    on_hand: int = big()
    reserved: int = big()


class StockMovement(SQLModel, table=True):
    """One row of the ledger: by how much on hand and reserved changed, why, and for whom. Append-only."""

    __tablename__ = "stock_movement"
    __table_args__ = (
        Index("stock_movement_of_item", "warehouse", "sku", "id"),
        Index("stock_movement_of_fulfilment", "fulfilment_id", postgresql_where=text("fulfilment_id IS NOT NULL")),
    )

    id: int | None = key()
    at: datetime = moment()
    warehouse: str
    sku: str
    kind: str
    on_hand_change: int = big()
    reserved_change: int = big()
    fulfilment_id: int | None = link()
    actor: str
    reason: str = words()


def last_movement(session: Session) -> int:
    """The number of the newest row of the ledger; it has moved when this has."""
    return session.connection().execute(text("SELECT coalesce(max(id), 0) FROM stock_movement")).scalar_one()


def receive(session: Session, warehouse: str, sku: str, quantity: int, reason: str, actor: str, now: datetime) -> None:
    """Add stock that arrived (a positive quantity in the SKU's unit); the first who waits for it looks again."""
    if quantity <= 0:
        raise ValueError(f"到货数量必须为正数:{sku} {quantity}")
    shelve(session, warehouse, sku)
    move(session, warehouse, sku, Movement.RECEIPT, quantity, 0, actor, now, reason=reason)


def adjust(session: Session, warehouse: str, sku: str, change: int, reason: str, actor: str, now: datetime) -> None:
    """Correct what is on hand by a difference. Raises `NotThere` when it would touch what is promised: count it."""
    shelve(session, warehouse, sku)
    if not move(session, warehouse, sku, Movement.ADJUSTMENT, change, 0, actor, now, reason=reason):
        raise NotThere(warehouse, sku, -change, free(session, warehouse, sku))


def transfer(
    session: Session, sku: str, quantity: int, from_: str, to: str, reason: str, actor: str, now: datetime
) -> None:
    """Move what is not promised from one warehouse to another. Raises `NotThere`."""
    if quantity <= 0 or from_ == to:
        raise ValueError("调拨数量必须为正数,而且两个仓库不能相同。")
    # both rows in a fixed order, so that two transfers the other way round never wait in a circle
    out = (from_, Movement.TRANSFER_OUT, -quantity, f"调往 {to}:{reason}")
    into = (to, Movement.TRANSFER_IN, quantity, f"自 {from_} 调入:{reason}")
    shelve(session, to, sku)
    for warehouse, kind, change, why in sorted((out, into)):
        if not move(session, warehouse, sku, kind, change, 0, actor, now, reason=why):
            raise NotThere(from_, sku, quantity, free(session, from_, sku))


def shelve(session: Session, warehouse: str, sku: str) -> None:
    """Make a place for this SKU in this warehouse, unless there is one."""
    session.connection().execute(
        text(
            "INSERT INTO stock_item (warehouse, sku, on_hand, reserved) VALUES (:warehouse, :sku, 0, 0)"
            " ON CONFLICT DO NOTHING"
        ),
        {"warehouse": warehouse, "sku": sku},
    )


_MOVE = text("""
WITH counted AS (
  UPDATE stock_item SET on_hand = on_hand + :on_hand, reserved = reserved + :reserved
  WHERE warehouse = :warehouse AND sku = :sku
    AND reserved + :reserved >= 0 AND on_hand + :on_hand >= reserved + :reserved
  RETURNING 1)
INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, fulfilment_id, actor, reason)
SELECT :at, :warehouse, :sku, :kind, :on_hand, :reserved, :fulfilment, :actor, :reason FROM counted
""")


def move(
    session: Session,
    warehouse: str,
    sku: str,
    kind: Movement,
    on_hand: int,
    reserved: int,
    actor: str,
    now: datetime,
    *,
    fulfilment_id: int | None = None,
    reason: str = "",
) -> bool:
    """Change both counters and write the row of the ledger; False (and nothing done) where it would not fit."""
    row = session.connection().execute(
        _MOVE,
        {
            "warehouse": warehouse,
            "sku": sku,
            "kind": kind.value,
            "on_hand": on_hand,
            "reserved": reserved,
            "fulfilment": fulfilment_id,
            "actor": actor,
            "at": now,
            "reason": reason,
        },
    )
    if row.rowcount and on_hand > reserved:
        wake_waiting(session, sku)
    return bool(row.rowcount)


def free(session: Session, warehouse: str, sku: str) -> int:
    """What is on hand in one warehouse and not promised, buffer included."""
    row = session.connection().execute(
        text("SELECT on_hand - reserved FROM stock_item WHERE warehouse = :warehouse AND sku = :sku"),
        {"warehouse": warehouse, "sku": sku},
    )
    return int(row.scalar() or 0)


def free_everywhere(session: Session, skus: list[str], *, lock: bool = False) -> dict[tuple[str, str], int]:
    """By (warehouse, SKU): what is on hand and not promised. `lock`: nobody changes it until the transaction ends.

    Rows are locked in the order of SKU, then warehouse (both in bytes), as everybody locks them.
    """
    rows = session.connection().execute(
        text(
            "SELECT warehouse, sku, on_hand - reserved AS free FROM stock_item WHERE sku = ANY(:skus)"
            ' ORDER BY sku COLLATE "C", warehouse COLLATE "C"' + (" FOR NO KEY UPDATE" if lock else "")
        ),
        {"skus": skus},
    )
    return {(row.warehouse, row.sku): int(row.free) for row in rows}
