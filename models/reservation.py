"""Reservations: what each fulfilment was promised, of finished goods and of ingredients.

Promising is one conditional `UPDATE`, SKUs summed first and locked in a fixed order: two buyers cannot both get the
last one, and no two transactions wait for each other in a circle. It is safe to call directly, from anywhere, at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, collate, text
from sqlmodel import Session, SQLModel, col, select

from models.stock import LedgerBroken, Movement, StockShort, free, free_everywhere, move
from models.table import big, key, moment, reference


class ReservationState(StrEnum):
    """What became of a reservation."""

    HELD = "held"
    RELEASED = "released"
    CONSUMED = "consumed"


class Purpose(StrEnum):
    """What it is reserved for: to be packed, or to be made into something."""

    GOODS = "goods"
    INGREDIENT = "ingredient"


class Reservation(SQLModel, table=True):
    """What one fulfilment was promised of one SKU. A promise that nobody acts on ends at `expires_at`."""

    __tablename__ = "reservation"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="reservation_positive"),
        UniqueConstraint("fulfilment_id", "sku", "purpose", name="one_reservation_per_sku"),
        Index("reservation_held", "warehouse", "sku", postgresql_where=text("state = 'held'")),
        Index("reservation_expiring", "expires_at", postgresql_where=text("state = 'held' AND expires_at IS NOT NULL")),
    )

    id: int | None = key()
    fulfilment_id: int = reference("fulfilment.id")
    warehouse: str
    sku: str
    purpose: str = Purpose.GOODS.value
    quantity: int = big()
    state: str = ReservationState.HELD.value
    at: datetime = moment()
    expires_at: datetime | None = moment(nullable=True)


#: Quantities by SKU, a SKU possibly several times.
Wanted = Mapping[str, int] | Sequence[tuple[str, int]]


def reserve(
    session: Session,
    fulfilment_id: int,
    warehouse: str,
    goods: Wanted,
    actor: str,
    now: datetime,
    *,
    ingredients: Wanted = (),
    expires_at: datetime | None = None,
) -> None:
    """Promise these quantities to a fulfilment, all or nothing. Repeating it, even at once, changes nothing.

    Lines of one SKU are summed first. What was given back (`release`) may be promised again, what is held or used up
    stays as it is. Raises `StockShort`, and then nothing is reserved. The buffer protects against other channels'
    delay, not against an order that is here: it may be used.
    """
    total = _summed(goods, Purpose.GOODS) + _summed(ingredients, Purpose.INGREDIENT)
    if not total:
        return
    session.flush()
    connection = session.connection()
    asked = sorted(total.items())
    missing = connection.execute(
        _PROMISE_ONE if len(asked) == 1 else _PROMISE_MANY,
        {
            "fulfilment": fulfilment_id,
            "warehouse": warehouse,
            "skus": [sku for (sku, _), _ in asked],
            "purposes": [purpose for (_, purpose), _ in asked],
            "quantities": [quantity for _, quantity in asked],
            "actor": actor,
            "now": now,
            "expires": expires_at,
        },
    ).all()
    if missing:
        there = {sku: free(session, warehouse, sku) for sku, _ in missing}
        connection.execute(_TAKE_BACK)
        raise StockShort(warehouse, {sku: (wanted, there[sku]) for sku, wanted in missing})
    connection.execute(_LET_STAND)


def _summed(wanted: Wanted, purpose: Purpose) -> Counter[tuple[str, str]]:
    total: Counter[tuple[str, str]] = Counter()
    for sku, quantity in wanted.items() if isinstance(wanted, Mapping) else wanted:
        if quantity <= 0:
            raise ValueError(f"预留数量必须为正数:{sku} {quantity}")
        total[sku, purpose.value] += quantity
    return total


# one statement: the promises that are not there yet (not even by another transaction just now), then the counters,
# then the ledger; it returns what did not fit. Four trips to the database for an order hold a hot item's lock for two
_PROMISE = """
SAVEPOINT promise;
WITH promised AS (
  INSERT INTO reservation (fulfilment_id, warehouse, sku, purpose, quantity, state, at, expires_at)
  SELECT :fulfilment, :warehouse, sku, purpose, quantity, 'held', :now, CAST(:expires AS timestamptz)
  FROM unnest(CAST(:skus AS text[]), CAST(:purposes AS text[]), CAST(:quantities AS bigint[]))
    AS asked(sku, purpose, quantity)
  ON CONFLICT ON CONSTRAINT one_reservation_per_sku DO UPDATE
  SET warehouse = EXCLUDED.warehouse, quantity = EXCLUDED.quantity, state = 'held', at = EXCLUDED.at,
    expires_at = EXCLUDED.expires_at
  WHERE reservation.state = 'released'
  RETURNING sku, purpose, quantity),
wanted AS MATERIALIZED ({wanted}),
counted AS (
  UPDATE stock_item i SET reserved = i.reserved + wanted.quantity FROM wanted
  WHERE i.warehouse = :warehouse AND i.sku = wanted.sku AND i.on_hand - i.reserved >= wanted.quantity
  RETURNING i.sku),
noted AS (
  INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, fulfilment_id, actor, reason)
  SELECT :now, :warehouse, sku, 'reserve', 0, promised.quantity, :fulfilment, :actor, ''
  FROM promised JOIN counted USING (sku))
SELECT sku, sum(quantity)::bigint FROM promised WHERE sku NOT IN (SELECT sku FROM counted) GROUP BY sku
"""
_PROMISE_ONE = text(_PROMISE.format(wanted="SELECT sku, quantity FROM promised"))
# several items are locked in the order in which everybody locks them, in bytes whatever the database's collation
_PROMISE_MANY = text(
    _PROMISE.format(
        wanted="""
  SELECT i.sku, summed.quantity FROM stock_item i
  JOIN (SELECT sku, sum(quantity)::bigint AS quantity FROM promised GROUP BY sku) summed USING (sku)
  WHERE i.warehouse = :warehouse ORDER BY i.sku COLLATE "C" FOR NO KEY UPDATE OF i"""
    )
)
_LET_STAND = text("RELEASE SAVEPOINT promise")
_TAKE_BACK = text("ROLLBACK TO SAVEPOINT promise; RELEASE SAVEPOINT promise")


def release(
    session: Session, fulfilment_id: int, actor: str, now: datetime, reason: str, skus: Iterable[str] | None = None
) -> int:
    """Give back what a fulfilment was promised (of these SKUs); returns how many. Repeating it changes nothing."""
    return _end(session, fulfilment_id, ReservationState.RELEASED, actor, now, reason, skus=skus)


def consume(session: Session, fulfilment_id: int, actor: str, now: datetime, purpose: Purpose | None = None) -> int:
    """The goods have left, or the ingredients have gone into production: on hand and reserved both fall. Once."""
    return _end(session, fulfilment_id, ReservationState.CONSUMED, actor, now, "", purpose=purpose)


def lose(session: Session, fulfilment_id: int, skus: Iterable[str], actor: str, now: datetime, reason: str) -> int:
    """What was promised is not on the shelf: the promise ends, and on hand falls by as much. Once."""
    held = _to_end(session, fulfilment_id, skus=skus)
    for reservation in held:
        gone = -reservation.quantity
        _must_move(session, reservation, Movement.NOT_FOUND, gone, actor, now, reason)
        reservation.state = ReservationState.RELEASED.value
        session.add(reservation)
    session.flush()
    return len(held)


def keep(session: Session, fulfilment_id: int) -> None:
    """Somebody is acting on these promises now: they no longer expire."""
    session.connection().execute(
        text("UPDATE reservation SET expires_at = NULL WHERE fulfilment_id = :id AND expires_at IS NOT NULL"),
        {"id": fulfilment_id},
    )


def held_for(session: Session, fulfilment_id: int) -> list[Reservation]:
    """The promises to a fulfilment that still stand, by SKU (in bytes), locked until the transaction ends."""
    statement = (
        select(Reservation)
        .where(Reservation.fulfilment_id == fulfilment_id, Reservation.state == ReservationState.HELD.value)
        .order_by(collate(col(Reservation.sku), "C"), col(Reservation.purpose))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return list(session.exec(statement))


def _to_end(
    session: Session, fulfilment_id: int, *, skus: Iterable[str] | None = None, purpose: Purpose | None = None
) -> list[Reservation]:
    """The promises to be ended now. Of a part of them, the items of all are locked first: the rest may follow."""
    held = held_for(session, fulfilment_id)
    wanted = None if skus is None else set(skus)
    ended = [r for r in held if (wanted is None or r.sku in wanted) and (purpose is None or r.purpose == purpose.value)]
    if 0 < len(ended) < len(held):
        free_everywhere(session, sorted({r.sku for r in held}), lock=True)
    return ended


def _end(
    session: Session,
    fulfilment_id: int,
    state: ReservationState,
    actor: str,
    now: datetime,
    reason: str,
    *,
    purpose: Purpose | None = None,
    skus: Iterable[str] | None = None,
) -> int:
    held = _to_end(session, fulfilment_id, skus=skus, purpose=purpose)
    for reservation in held:
        consumed = state is ReservationState.CONSUMED
        kind, gone = (Movement.CONSUME, -reservation.quantity) if consumed else (Movement.RELEASE, 0)
        _must_move(session, reservation, kind, gone, actor, now, reason)
        reservation.state, reservation.expires_at = state.value, None
        session.add(reservation)
    session.flush()
    return len(held)


def _must_move(
    session: Session, held: Reservation, kind: Movement, on_hand: int, actor: str, now: datetime, reason: str
) -> None:
    """End what is held, with its row of the ledger. Raises `LedgerBroken` where the counters do not hold it."""
    done = move(
        session, held.warehouse, held.sku, kind, on_hand, -held.quantity, actor, now,
        fulfilment_id=held.fulfilment_id, reason=reason,
    )  # fmt: skip
    if not done:
        raise LedgerBroken(held.warehouse, held.sku)
