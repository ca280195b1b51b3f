"""Splitting by hand: a part of an order is sent by itself, and parts are put back together, until it is too late.

What was promised moves along in the same transaction. Splitting over warehouses is `models/allocation.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, select

from models.allocation import skus_of
from models.company import why_too_late
from models.fulfilment import Fulfilment, FulfilmentLine, Stage, carried_by, fulfilments_of, interrupt
from models.order import Order, OrderLine, lines_of, lock_order
from models.production import WorkOrder, WorkState, work_orders_of
from models.repromising import give_out, take_up
from models.shared_parcel import SharedState, company_of, travellers
from models.stock import StockShort
from models.stock_check import open_check, open_check_of
from models.timeline import EventKind, note

#: The stages that a part made by splitting has passed as well, with what tells of each.
PASSED = {
    Stage.RESERVED: EventKind.RESERVED,
    Stage.APPROVED: EventKind.APPROVED,
    Stage.PRODUCED: EventKind.PRODUCED,
}
_OUT_OF_HAND = (WorkState.CALLED_BACK.value, WorkState.REWORKED.value)
UNCHANGED = "没有任何改变。"


class SplitRefused(Exception):
    """This cannot be split or put together, or not any more; the sentence says why. Nothing was changed."""


def split_off(
    session: Session,
    order: Order,
    pieces: Mapping[int, int],
    actor: str,
    now: datetime,
    *,
    number: int | None = None,
    seen: int | None = None,
) -> Fulfilment:
    """Send these pieces (order line id → how many) by themselves: a new part of the order, as far on as its source.

    `number`: of which part; without it, of the only one that carries them. `seen`: how many parts the person saw, so
    that a form that is sent twice splits once. The promise moves along, and an open stock check is asked for both.
    Raises `SplitRefused`: with waybill, being made, ended, split meanwhile, or nothing would be left.
    """
    assert order.id is not None
    order = lock_order(session, order.id)
    assert order.id is not None
    if seen not in (None, count := len(fulfilments_of(session, order.id))):
        raise SplitRefused(
            f"页面打开以后订单 {order.order_no} 已经拆过,现在是 {count} 件:请看过新的情况再拆。{UNCHANGED}"
        )
    source = _source(session, order, pieces, number)
    refuse_if_late(session, order, source)
    lines = {line.id: line for line in lines_of(session, order.id) if line.id is not None}
    for line_id in pieces:
        line = lines[line_id]
        if line.made_to_order and any(work.sku == line.sku for work in being_made(session, source)):
            raise SplitRefused(f"{_named(line)} 已经下发生产,不能再拆。{UNCHANGED}")
    try:
        with session.begin_nested():
            part = _cut(session, source, pieces, actor, now)
    except StockShort as short:
        raise SplitRefused(f"拆开以后不够分({short})。{UNCHANGED}") from short
    goods = "、".join(f"{_named(lines[id])} × {quantity}" for id, quantity in pieces.items())
    said = f"{order.order_no}-{part.number} 带走 {goods}"
    note(session, order.id, EventKind.SPLIT, actor, now, source.id, goods=said, part=part.number)
    for stage, kind in PASSED.items():
        if Stage(source.stage).reached(stage):
            note(session, order.id, kind, "split", now, part.id, part_of=source.number)
    _ask_about_both(session, source, part, now)
    interrupt(session, [id_of(source), id_of(part)], now)
    return part


def _source(session: Session, order: Order, pieces: Mapping[int, int], number: int | None) -> Fulfilment:
    """The part that carries all of these pieces and something else."""
    if not pieces or any(quantity < 1 for quantity in pieces.values()):
        raise SplitRefused(f"没有选要拆出去的商品:每样写要拆出的件数,至少一件。{UNCHANGED}")
    found = []
    for part in fulfilments_of(session, order.id or 0):
        carried = carried_by(session, id_of(part))
        there = {row.order_line_id: 0 for row in carried}
        for row in carried:
            there[row.order_line_id] += row.quantity
        if number in (None, part.number) and all(there.get(id, 0) >= wanted for id, wanted in pieces.items()):
            found.append((part, sum(there.values())))
    unfinished = [one for one in found if not Stage(one[0].stage).reached(Stage.SHIPPED)] or found
    if len(unfinished) != 1:
        which = "请写明从第几件拆" if unfinished else "请核对件数:没有一件同时带着这么多"
        raise SplitRefused(f"订单 {order.order_no} {which}。{UNCHANGED}")
    ((part, total),) = unfinished
    if total <= sum(pieces.values()):
        raise SplitRefused(f"{order.order_no}-{part.number} 里要至少留下一件商品。{UNCHANGED}")
    return part


def refuse_if_late(session: Session, order: Order, part: Fulfilment) -> None:
    """Raises `SplitRefused` when nothing can be changed about this part any more."""
    number = f"{order.order_no}-{part.number}"
    (one,) = travellers(session, [id_of(part)])
    reason = why_too_late(session, one)
    shared = company_of(session, id_of(part))
    if not reason and shared is not None and shared.state != SharedState.OPEN.value:
        reason = "的合并包裹正在出运单"
    if not reason and order.payment_verified_at is None:
        reason = "还没有核实付款"
    if reason:
        raise SplitRefused(f"{number} {reason},不能拆分或合并回。{UNCHANGED}")


def being_made(session: Session, part: Fulfilment) -> list[WorkOrder]:
    """The work orders of a part that the factory was told of, or is about to be: its lines stay where they are."""
    return [work for work in work_orders_of(session, id_of(part)) if work.state not in _OUT_OF_HAND]


def _cut(session: Session, source: Fulfilment, pieces: Mapping[int, int], actor: str, now: datetime) -> Fulfilment:
    last = session.exec(select(func.max(Fulfilment.number)).where(Fulfilment.order_id == source.order_id)).one()
    taken = take_up(session, [source], actor, now, "拆分")
    part = Fulfilment(
        order_id=source.order_id,
        number=last + 1,
        warehouse=source.warehouse,
        stage=source.stage,
        stage_since=now,
        priority=source.priority,
        ready_at=now,
    )
    session.add(part)
    session.flush()
    for line_id, quantity in pieces.items():
        move_pieces(session, source, part, line_id, quantity)
    begins = source.stage == Stage.RECEIVED.value
    if taken.held:
        (warehouse,) = taken.warehouses
        give_out(session, taken, [source, part], warehouse, actor, now, only_covered=begins)
    return part


def move_pieces(session: Session, source: Fulfilment, to: Fulfilment, line_id: int, quantity: int) -> None:
    """Have `to` carry so many pieces of a line that `source` carries, with the recipe."""
    there = next((row for row in carried_by(session, id_of(to)) if row.order_line_id == line_id), None)
    for row in [row for row in carried_by(session, id_of(source)) if row.order_line_id == line_id]:
        taken = min(quantity, row.quantity)
        quantity -= taken
        if not taken:
            break
        if there is None:
            there = FulfilmentLine(fulfilment_id=id_of(to), order_line_id=line_id, quantity=taken, recipe=row.recipe)
        else:
            there.quantity += taken
            there.recipe = there.recipe or row.recipe
        session.add(there)
        if taken < row.quantity:
            row.quantity -= taken
            session.add(row)
        else:
            session.delete(row)
        session.flush()


def _ask_about_both(session: Session, source: Fulfilment, part: Fulfilment, now: datetime) -> None:
    """The warehouse is looking for the goods still: it is asked about each part by itself, until the same time."""
    check = open_check_of(session, id_of(source))
    if check is None:
        return
    check.skus = skus_of(session, source.order_id, id_of(source))
    session.add(check)
    minutes = (check.due_at - now).total_seconds() / 60
    open_check(session, part, skus_of(session, part.order_id, id_of(part)), minutes, now)


def id_of(part: Fulfilment) -> int:
    """Its key."""
    assert part.id is not None
    return part.id


def _named(line: OrderLine) -> str:
    return line.title[:30] or line.sku


def numbers_of(order: Order, parts: Sequence[Fulfilment]) -> str:
    """The parts' numbers, for a sentence."""
    return "、".join(f"{order.order_no}-{part.number}" for part in parts)
