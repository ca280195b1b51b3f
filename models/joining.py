"""Putting parts of an order back together, until it is too late: what was promised to each is promised to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlmodel import Session

from models.allocation import skus_of
from models.backorder import BackorderState, leave_queue
from models.fulfilment import Fulfilment, Stage, carried_by, fulfilments_of, interrupt
from models.order import Contact, Order, lines_of, lock_order
from models.parting import leave
from models.repromising import give_out, take_up
from models.review_withdrawal import withdraw
from models.shared_parcel import company_of
from models.splitting import UNCHANGED, SplitRefused, being_made, id_of, move_pieces, numbers_of, refuse_if_late
from models.stock import StockShort
from models.stock_check import open_check, open_check_of, withdraw_check
from models.timeline import EventKind, note
from models.warehouse import nearest_first


def join(
    session: Session,
    order: Order,
    numbers: Sequence[int],
    actor: str,
    now: datetime,
    *,
    check_minutes: float = 0.0,
) -> Fulfilment:
    """Put these parts of an order together into one; it is as far on as the one that is least far.

    The one that the factory works for takes the others up, else the first. All comes from one warehouse: theirs, or
    the nearest that has it all, which is then asked about it (`check_minutes`). What is emptied ends `cancelled`, with
    a row of where it went. Raises `SplitRefused`: with waybill, being made apart, ended, or in no warehouse together.
    """
    assert order.id is not None
    order = lock_order(session, order.id)
    parts = [part for part in fulfilments_of(session, order.id or 0) if part.number in set(numbers)]
    if len(parts) < 2 or len(parts) != len(set(numbers)):
        raise SplitRefused(f"合并回要写同一个订单的至少两件,例如 1 和 2。{UNCHANGED}")
    for part in parts:
        refuse_if_late(session, order, part)
    target = _target(order, parts, session)
    others = [part for part in parts if part is not target]
    before = {id_of(part): carried_by(session, id_of(part)) for part in others}
    goods = {id: {row.order_line_id: row.quantity for row in rows} for id, rows in before.items()}
    into = f"{order.order_no}-{target.number}"
    try:
        with session.begin_nested():
            for part in _by_parcel(session, others):
                leave(session, id_of(part), f"合并回 {into}", now, actor)
            taken_from = {part.warehouse for part in parts}
            _promise_together(session, order, target, others, goods, actor, now)
    except StockShort as short:
        session.refresh(target)
        reason = f"没有一个仓库能发全部货品({short})"
        raise SplitRefused(f"{numbers_of(order, parts)} {reason},不能合并回。{UNCHANGED}") from short
    has_moved = target.stage != Stage.RECEIVED.value and taken_from != {target.warehouse}
    _ask_about_all(session, target, others, now, check_minutes if has_moved else 0.0)
    names = {line.id: line.title[:30] or line.sku for line in lines_of(session, target.order_id)}
    for part in others:
        _end(session, part, now)
        said = "、".join(f"{names[line_id]} × {count}" for line_id, count in goods[id_of(part)].items())
        note(session, part.order_id, EventKind.JOINED, actor, now, part.id, into=into, goods=said)
    interrupt(session, [id_of(target)], now)
    return target


def _by_parcel(session: Session, parts: Sequence[Fulfilment]) -> list[Fulfilment]:
    """Those in shared parcels in the order of these: whoever locks several of them does so in one order."""
    companies = {part.id: company_of(session, id_of(part)) for part in parts}
    return sorted(parts, key=lambda part: (found.id or 0) if (found := companies[part.id]) is not None else 0)


def _target(order: Order, parts: Sequence[Fulfilment], session: Session) -> Fulfilment:
    """The part that takes up the others: the factory knows it by its number, or it is the first."""
    made = [part for part in parts if being_made(session, part)]
    if len(made) > 1:
        raise SplitRefused(f"{numbers_of(order, made)} 都已经下发生产,不能合并回。{UNCHANGED}")
    if not made:
        return parts[0]
    lines = {line.id: line for line in lines_of(session, made[0].order_id)}
    for part in parts:
        to_make = [row for row in carried_by(session, id_of(part)) if lines[row.order_line_id].made_to_order]
        if part is not made[0] and to_make:
            said = f"{numbers_of(order, made)} 已经下发生产,{order.order_no}-{part.number} 还有要定制的商品"
            raise SplitRefused(f"{said},不能合并回。{UNCHANGED}")
    return made[0]


def _promise_together(
    session: Session,
    order: Order,
    target: Fulfilment,
    others: Sequence[Fulfilment],
    goods: Mapping[int, Mapping[int, int]],
    actor: str,
    now: datetime,
) -> None:
    """Have the target carry everything, and be promised everything in one warehouse. Raises `StockShort`."""
    parts = [target, *others]
    taken = take_up(session, parts, actor, now, "合并回")
    for part in others:
        for line_id, quantity in goods[id_of(part)].items():
            move_pieces(session, part, target, line_id, quantity)
    least = min((Stage(part.stage) for part in parts), key=list(Stage).index)
    if target.stage != least.value:
        target.stage, target.stage_since = least.value, now
    begins = least is Stage.RECEIVED
    session.add(target)
    if not taken.held:
        return
    candidates = [target.warehouse]
    if not being_made(session, target):
        if begins and len(taken.warehouses) > 1:
            target.warehouse = ""  # promised in several: it looks for a warehouse again
            return
        province = session.get_one(Contact, order.contact_id).province
        further = [part.warehouse for part in others] + nearest_first(session, province)
        candidates = sorted(taken.warehouses) if begins else [target.warehouse, *further]
    for place, warehouse in enumerate(dict.fromkeys(candidates)):
        try:
            with session.begin_nested():
                give_out(session, taken, [target], warehouse, actor, now, only_covered=begins)
        except StockShort:
            if place + 1 == len(set(candidates)):
                raise
            continue
        target.warehouse = warehouse
        session.add(target)
        return


def _ask_about_all(
    session: Session, target: Fulfilment, others: Sequence[Fulfilment], now: datetime, minutes: float
) -> None:
    """The warehouse is asked about what it has not found yet, or is new to it; once about all of it."""
    known = [check for part in (target, *others) if (check := open_check_of(session, id_of(part))) is not None]
    for part in others if target.stage != Stage.RECEIVED.value else (target, *others):
        withdraw_check(session, id_of(part), now)
    if target.stage == Stage.RECEIVED.value:
        return
    due = max((check.due_at for check in known), default=now)
    due = max(due, now + timedelta(minutes=minutes))
    skus = skus_of(session, target.order_id, id_of(target))
    own = open_check_of(session, id_of(target))
    if own is None:
        open_check(session, target, skus, (due - now).total_seconds() / 60, now)
        return
    own.skus, own.due_at, own.warehouse = skus, due, target.warehouse
    session.add(own)
    session.flush()


def _end(session: Session, part: Fulfilment, now: datetime) -> None:
    withdraw(session, id_of(part), now)
    leave_queue(session, id_of(part), BackorderState.ENDED, now)
    part.stage, part.stage_since = Stage.CANCELLED.value, now
    part.waiting_on, part.waiting_why = None, ""
    part.ready_at, part.claimed_by, part.claim_until = None, None, None
    part.fence += 1
    session.add(part)
    session.flush()
