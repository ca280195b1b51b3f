"""Stock: what is on hand, what is promised, and the append-only ledger that both are sums of.

Reserving is one conditional `UPDATE` per SKU, SKUs in a fixed order: two buyers cannot both get the last one,
and no two transactions wait for each other in a circle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, Session, SQLModel, select

from models.backorder import wake_backordered
from models.table import big, key, link, moment, reference, words


class StockShort(Exception):
    """There is not enough. `missing` maps SKU to (wanted, available)."""

    def __init__(self, warehouse: str, missing: Mapping[str, tuple[int, int]]) -> None:
        self.warehouse = warehouse
        self.missing = dict(missing)
        parts = ", ".join(f"{sku} 要 {want} 有 {have}" for sku, (want, have) in sorted(missing.items()))
        super().__init__(f"{warehouse} 库存不足:{parts}")


class Movement(StrEnum):
    """Why stock changed."""

    RECEIPT = "receipt"
    ADJUSTMENT = "adjustment"
    RESERVE = "reserve"
    RELEASE = "release"
    CONSUME = "consume"


class ReservationState(StrEnum):
    """What became of a reservation."""

    HELD = "held"
    RELEASED = "released"
    CONSUMED = "consumed"


class Warehouse(SQLModel, table=True):
    """A warehouse and the region it serves first."""

    __tablename__ = "warehouse"

    code: str = Field(primary_key=True)
    name: str
    region: str = ""


class StockItem(SQLModel, table=True):
    """One SKU in one warehouse, in the SKU's unit. `sellable = on_hand - reserved - buffer`."""

    __tablename__ = "stock_item"
    __table_args__ = (
        CheckConstraint("0 <= reserved AND reserved <= on_hand", name="promised_is_there"),
        CheckConstraint("buffer >= 0", name="buffer_not_negative"),
    )

    warehouse: str = Field(primary_key=True, foreign_key="warehouse.code")
    sku: str = Field(primary_key=True, foreign_key="product.sku")
    on_hand: int = big()
    reserved: int = big()
    buffer: int = big()


class StockMovement(SQLModel, table=True):
    """One row of the ledger: by how much on hand and reserved changed, why, and for whom. Append-only."""

    __tablename__ = "stock_movement"
    __table_args__ = (Index("stock_movement_of_item", "warehouse", "sku", "id"),)

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


class Reservation(SQLModel, table=True):
    """What one fulfilment was promised of one SKU."""

    __tablename__ = "reservation"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="reservation_positive"),
        UniqueConstraint("fulfilment_id", "warehouse", "sku", name="one_reservation_per_sku"),
    )

    id: int | None = key()
    fulfilment_id: int = reference("fulfilment.id")
    warehouse: str
    sku: str
    quantity: int = big()
    state: str = ReservationState.HELD.value
    at: datetime = moment()


def receive(session: Session, warehouse: str, sku: str, quantity: int, reason: str, actor: str, now: datetime) -> None:
    """Add stock that arrived (a positive quantity in the SKU's unit)."""
    if quantity <= 0:
        raise ValueError(f"到货数量必须为正数:{sku} {quantity}")
    _add(session, warehouse, sku, Movement.RECEIPT, quantity, reason, actor, now)


def adjust(session: Session, warehouse: str, sku: str, change: int, reason: str, actor: str, now: datetime) -> None:
    """Correct what is on hand by a count: more or less, never below what is promised (the CHECK refuses it)."""
    _add(session, warehouse, sku, Movement.ADJUSTMENT, change, reason, actor, now)


def _add(
    session: Session, warehouse: str, sku: str, kind: Movement, change: int, reason: str, actor: str, now: datetime
) -> None:
    session.connection().execute(
        text(
            "INSERT INTO stock_item (warehouse, sku, on_hand, reserved, buffer) VALUES (:warehouse, :sku, 0, 0, 0)"
            " ON CONFLICT DO NOTHING"
        ),
        {"warehouse": warehouse, "sku": sku},
    )
    _move(session, warehouse, sku, kind, change, 0, None, actor, now, reason)
    if change > 0:
        wake_backordered(session, warehouse, now)


def reserve(
    session: Session,
    fulfilment_id: int,
    warehouse: str,
    wanted: Mapping[str, int] | list[tuple[str, int]],
    actor: str,
    now: datetime,
) -> None:
    """Promise these quantities to a fulfilment, all or nothing. Repeating it, even at once, changes nothing.

    Lines of one SKU are summed first. What was given back (`release`) may be promised again. Raises `StockShort`
    (nothing is reserved: roll back or use a savepoint). The buffer protects against other channels' delay, not
    against an order that is here: it may be used.
    """
    total: Counter[str] = Counter()
    for sku, quantity in wanted.items() if isinstance(wanted, Mapping) else wanted:
        if quantity <= 0:
            raise ValueError(f"预留数量必须为正数:{sku} {quantity}")
        total[sku] += quantity
    kept = select(Reservation.id).where(
        Reservation.fulfilment_id == fulfilment_id, Reservation.state != ReservationState.RELEASED.value
    )
    if session.exec(kept).first() is not None:
        return
    missing = {}
    promised = [sku for sku in sorted(total) if _promise(session, fulfilment_id, warehouse, sku, total[sku], now)]
    for sku in promised:
        if not _take(session, warehouse, sku, total[sku]):
            missing[sku] = (total[sku], free(session, warehouse, sku))
    if missing:
        raise StockShort(warehouse, missing)
    for sku in promised:
        session.add(
            StockMovement(
                at=now,
                warehouse=warehouse,
                sku=sku,
                kind=Movement.RESERVE.value,
                reserved_change=total[sku],
                fulfilment_id=fulfilment_id,
                actor=actor,
            )
        )
    session.flush()


def _promise(session: Session, fulfilment_id: int, warehouse: str, sku: str, quantity: int, now: datetime) -> bool:
    """Write the reservation; False when another transaction has just written it."""
    row = session.connection().execute(
        text(
            "INSERT INTO reservation (fulfilment_id, warehouse, sku, quantity, state, at)"
            " VALUES (:fulfilment, :warehouse, :sku, :quantity, 'held', :now)"
            " ON CONFLICT ON CONSTRAINT one_reservation_per_sku DO UPDATE"
            " SET quantity = EXCLUDED.quantity, state = 'held', at = EXCLUDED.at"
            " WHERE reservation.state = 'released'"
        ),
        {"fulfilment": fulfilment_id, "warehouse": warehouse, "sku": sku, "quantity": quantity, "now": now},
    )
    return row.rowcount == 1


def _take(session: Session, warehouse: str, sku: str, quantity: int) -> bool:
    row = session.connection().execute(
        text(
            "UPDATE stock_item SET reserved = reserved + :quantity"
            " WHERE warehouse = :warehouse AND sku = :sku AND on_hand - reserved >= :quantity"
        ),
        {"warehouse": warehouse, "sku": sku, "quantity": quantity},
    )
    return row.rowcount == 1


def release(session: Session, fulfilment_id: int, actor: str, now: datetime, reason: str) -> int:
    """Give back what a fulfilment was promised; returns how many SKUs. Repeating it changes nothing."""
    return _end(session, fulfilment_id, ReservationState.RELEASED, actor, now, reason)


def consume(session: Session, fulfilment_id: int, actor: str, now: datetime) -> int:
    """The goods have left (or gone into production): on hand and reserved both fall. Once."""
    return _end(session, fulfilment_id, ReservationState.CONSUMED, actor, now, "")


def _end(session: Session, fulfilment_id: int, state: ReservationState, actor: str, now: datetime, reason: str) -> int:
    statement = (
        select(Reservation)
        .where(Reservation.fulfilment_id == fulfilment_id, Reservation.state == ReservationState.HELD.value)
        .order_by(Reservation.sku)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    held = list(session.exec(statement))
    for reservation in held:
        gone = -reservation.quantity if state is ReservationState.CONSUMED else 0
        kind = Movement.CONSUME if state is ReservationState.CONSUMED else Movement.RELEASE
        _move(
            session,
            reservation.warehouse,
            reservation.sku,
            kind,
            gone,
            -reservation.quantity,
            fulfilment_id,
            actor,
            now,
            reason,
        )
        reservation.state = state.value
        session.add(reservation)
    session.flush()
    return len(held)


def _move(
    session: Session,
    warehouse: str,
    sku: str,
    kind: Movement,
    on_hand: int,
    reserved: int,
    fulfilment_id: int | None,
    actor: str,
    now: datetime,
    reason: str,
) -> None:
    session.connection().execute(
        text(
            "WITH counted AS (UPDATE stock_item SET on_hand = on_hand + :on_hand, reserved = reserved + :reserved"
            " WHERE warehouse = :warehouse AND sku = :sku RETURNING 1)"
            " INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, fulfilment_id,"
            " actor, reason) SELECT :at, :warehouse, :sku, :kind, :on_hand, :reserved, :fulfilment, :actor, :reason"
            " FROM counted"
        ),
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


def free(session: Session, warehouse: str, sku: str) -> int:
    """What is on hand and not promised, buffer included."""
    row = session.connection().execute(
        text("SELECT on_hand - reserved FROM stock_item WHERE warehouse = :warehouse AND sku = :sku"),
        {"warehouse": warehouse, "sku": sku},
    )
    return int(row.scalar() or 0)


def home_warehouse(session: Session) -> str:
    """The warehouse that new orders go to. Raises `LookupError` when there is none yet."""
    code = session.exec(select(Warehouse.code).order_by(Warehouse.code)).first()
    if code is None:
        raise LookupError("还没有仓库:先用 `orderloom catalogue load` 载入商品和库存。")
    return code
