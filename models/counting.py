"""Counts: what is really on the shelf. Where that is less than was promised, the latest to pay give theirs back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models import compensation
from models.backorder import expected_date, wait_for
from models.compensation import Cause, Limits
from models.effect import is_known_outside
from models.fulfilment import Fulfilment, Stage, interrupt
from models.order import Order
from models.pool import when_short
from models.reservation import release
from models.stock import Movement, free_everywhere, move, shelve
from models.stock_check import withdraw_check
from models.timeline import EventKind, note

#: How often a count begins again because somebody was promised some while it locked the others.
TRIES = 5


class CountBusy(Exception):
    """Orders take this SKU faster than a count can lock them; nothing was changed."""

    def __init__(self, warehouse: str, sku: str) -> None:
        super().__init__(f"{warehouse} 的 {sku} 正在大量出单,盘点没有写入:请稍后再试。")


@dataclass
class Counted:
    """What a count changed. `gave_back` are the fulfilments whose promise ended, with what became of each."""

    warehouse: str
    sku: str
    before: int
    after: int
    gave_back: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Held:
    fulfilment_id: int
    order_id: int
    quantity: int


def count(
    session: Session,
    warehouse: str,
    sku: str,
    counted: int,
    reason: str,
    actor: str,
    now: datetime,
    limits: Limits,
) -> Counted:
    """Set what is on hand to what was counted. Below what is promised, the latest-paid promises end in the same
    transaction, each order going to backorder or compensation as the seller has it. Raises `CountBusy`.
    """
    if counted < 0:
        raise ValueError(f"盘点数量不能为负:{sku} {counted}")
    shelve(session, warehouse, sku)
    for _ in range(TRIES):
        with session.begin_nested() as attempt:
            locked = _lock_holders(session, warehouse, sku)
            before, reserved = _now(session, warehouse, sku)
            likely = {held.fulfilment_id for held in _latest_paid(session, warehouse, sku, reserved - counted)}
            free_everywhere(session, sorted({sku, *_held_by(session, likely)}), lock=True)
            before, reserved = _now(session, warehouse, sku)
            victims = _latest_paid(session, warehouse, sku, reserved - counted)
            if not all(held.fulfilment_id in locked & likely for held in victims):
                attempt.rollback()
                continue
            result = Counted(warehouse, sku, before, counted)
            for held in victims:
                _give_back(session, held, warehouse, sku, actor, now)
            if counted != before:
                move(session, warehouse, sku, Movement.COUNT, counted - before, 0, actor, now, reason=reason)
            for held in victims:  # after all stock is counted: what follows waits for other locks
                result.gave_back[held.fulfilment_id] = _send_on(session, held, warehouse, sku, actor, now, limits)
            return result
    raise CountBusy(warehouse, sku)


def _lock_holders(session: Session, warehouse: str, sku: str) -> set[int]:
    """Fulfilments are locked before stock, everywhere, and with them the other parts of their orders."""
    rows = session.connection().execute(
        text(
            "SELECT f.id FROM fulfilment f WHERE f.order_id IN ("
            " SELECT h.order_id FROM reservation r JOIN fulfilment h ON h.id = r.fulfilment_id"
            " WHERE r.state = 'held' AND r.warehouse = :warehouse AND r.sku = :sku) ORDER BY f.id FOR UPDATE"
        ),
        {"warehouse": warehouse, "sku": sku},
    )
    return {id for (id,) in rows}


def _held_by(session: Session, fulfilment_ids: set[int]) -> list[str]:
    """Every SKU that these may have to give back: all items are locked in one order, before anything changes."""
    rows = session.connection().execute(
        text("SELECT DISTINCT sku FROM reservation WHERE state = 'held' AND fulfilment_id = ANY(:ids)"),
        {"ids": sorted(fulfilment_ids)},
    )
    return [sku for (sku,) in rows]


def _now(session: Session, warehouse: str, sku: str) -> tuple[int, int]:
    row = session.connection().execute(
        text("SELECT on_hand, reserved FROM stock_item WHERE warehouse = :warehouse AND sku = :sku"),
        {"warehouse": warehouse, "sku": sku},
    )
    on_hand, reserved = row.one()
    return on_hand, reserved


def _latest_paid(session: Session, warehouse: str, sku: str, excess: int) -> list[_Held]:
    """The latest-paid holders that together hold at least `excess`; nobody when it is not positive."""
    if excess <= 0:
        return []
    rows = session.connection().execute(
        text(
            "SELECT r.fulfilment_id, f.order_id, sum(r.quantity)::bigint AS quantity FROM reservation r"
            " JOIN fulfilment f ON f.id = r.fulfilment_id JOIN orders o ON o.id = f.order_id"
            " WHERE r.state = 'held' AND r.warehouse = :warehouse AND r.sku = :sku"
            " GROUP BY 1, 2, o.paid_at ORDER BY o.paid_at DESC NULLS FIRST, 1 DESC"
        ),
        {"warehouse": warehouse, "sku": sku},
    )
    victims: list[_Held] = []
    for row in rows:
        if excess <= 0:
            break
        victims.append(_Held(row.fulfilment_id, row.order_id, row.quantity))
        excess -= row.quantity
    return victims


def _give_back(session: Session, held: _Held, warehouse: str, sku: str, actor: str, now: datetime) -> None:
    """End the promise of one order. Nothing made or packed for it yet, it may start afresh in another warehouse."""
    fulfilment = session.get_one(Fulfilment, held.fulfilment_id, populate_existing=True)
    why = _why(warehouse, sku)
    release(session, held.fulfilment_id, actor, now, why, _to_release(session, held.order_id, held.fulfilment_id, sku))
    if Stage(fulfilment.stage).reached(Stage.RESERVED):
        fulfilment.stage, fulfilment.stage_since = Stage.RECEIVED.value, now
    session.add(fulfilment)
    withdraw_check(session, held.fulfilment_id, now)
    note(session, held.order_id, EventKind.RESERVATION_LOST, actor, now, held.fulfilment_id, sku=sku, reason=why)


def _send_on(session: Session, held: _Held, warehouse: str, sku: str, actor: str, now: datetime, limits: Limits) -> str:
    """`backorder` or `compensate`, as the seller has it for this SKU; `ending` what is wound up already."""
    fulfilment = session.get_one(Fulfilment, held.fulfilment_id)
    order = session.get_one(Order, held.order_id)
    known = compensation.compensation_of(session, held.fulfilment_id)
    if order.cancel_requested_at is not None or (known is not None and known.is_open):
        interrupt(session, [held.fulfilment_id], now)
        return "ending"  # for another reason, which goes on
    if when_short(session, [sku], limits.when_short) == "compensate":
        taken, _ = compensation.request(
            session, fulfilment, Cause.COUNTED_SHORT, _why(warehouse, sku), actor, now, limits
        )
        if taken:
            return "compensate"
    day = expected_date(session, {sku: held.quantity}, now, limits.backorder_days)
    wait_for(session, held.fulfilment_id, held.order_id, [sku], order.paid_at or order.placed_at, day, now)
    interrupt(session, [held.fulfilment_id], now)
    return "backorder"


def _why(warehouse: str, sku: str) -> str:
    return f"{warehouse} 盘点少了 {sku}"


def _to_release(session: Session, order_id: int, fulfilment_id: int, sku: str) -> Sequence[str] | None:
    """Only this SKU once something was made or packed for the order; else all, so that another warehouse may do."""
    return [sku] if is_known_outside(session, order_id, fulfilment_id) else None


def would_lose(session: Session, warehouse: str, sku: str, counted: int) -> list[int]:
    """The fulfilments whose promise would end if so many were counted, the latest paid first. Changes nothing."""
    excess = short_by(session, warehouse, sku, counted)
    return [held.fulfilment_id for held in _latest_paid(session, warehouse, sku, excess)]


def short_by(session: Session, warehouse: str, sku: str, counted: int) -> int:
    """By how many promises exceed what was counted; 0 when they do not. For showing what a count would do."""
    row = session.connection().execute(
        text("SELECT reserved FROM stock_item WHERE warehouse = :warehouse AND sku = :sku"),
        {"warehouse": warehouse, "sku": sku},
    )
    return max(0, int(row.scalar() or 0) - counted)
