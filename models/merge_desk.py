"""Merging by hand: a person has orders of one customer travel in one parcel, or has one of them go alone again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from models.company import why_not_free, why_not_together
from models.fulfilment import Stage, fulfilments_of, wake
from models.merging import found, join
from models.order import OrderUnknown, find_order, lock_order
from models.parting import channel_knows, leave
from models.shared_parcel import (
    SharedParcel,
    SharedState,
    Traveller,
    company_of,
    lock_shared,
    lock_with_company,
    travellers,
    travellers_of,
)


class MergeRefused(Exception):
    """These cannot travel together, or not apart any more; the sentence says why. Nothing was changed."""


def merge(session: Session, fulfilment_ids: Sequence[int], actor: str, now: datetime) -> str:
    """Have these travel in one parcel, because a person says so; the sentence for it. Raises `MergeRefused`.

    Nothing may be locked before. Who shares a parcel with one of them already comes along. Twice: it is so already.
    """
    asked = travellers(session, fulfilment_ids)
    lock_with_company(session, [one.fulfilment.order_id for one in asked])
    asked = travellers(session, fulfilment_ids)
    groups = {one.member.shared_parcel_id for one in asked if one.member is not None}
    together = {one.id: one for id in groups for one in travellers_of(session, id)} | {one.id: one for one in asked}
    everybody = [together[id] for id in sorted(together)]
    numbers = "、".join(one.number for one in everybody)
    if len(everybody) < 2:
        raise MergeRefused("合并发货至少要两个订单:请再选同一客户的一个订单。没有任何改变。")
    if len(groups) == 1 and all(one.member is not None for one in everybody):
        return f"{numbers} 已经在同一个合并包裹里,没有任何改变。"
    _refuse_unless_fit(session, everybody)
    shared = lock_shared(session, min(groups)) if groups else found(session, everybody[0], actor, now)
    assert shared.id is not None
    shared.made_by = actor
    session.add(shared)
    for id in sorted(groups - {shared.id}):
        _dissolve_into(session, id, shared, actor, now)
    there = {one.id for one in travellers_of(session, shared.id)}
    join(session, shared, [one for one in everybody if one.id not in there], actor, now)
    wake(session, [one.id for one in everybody], now)
    return f"{numbers} 会装在同一个包裹里发出。"


def _refuse_unless_fit(session: Session, everybody: Sequence[Traveller]) -> None:
    for one in everybody:
        reason = why_not_free(session, one)
        if not reason and not one.fulfilment.warehouse:
            reason = "还没有锁到库存,不知道从哪个仓库发"
        if reason:
            raise MergeRefused(f"{one.number} {reason},不能合并发货。没有任何改变。")
        if one.member is not None and lock_shared(session, one.member.shared_parcel_id).state != SharedState.OPEN.value:
            raise MergeRefused(f"{one.number} 的合并包裹正在出运单或撤回运单,不能再合并。没有任何改变。")
    for place, one in enumerate(everybody):
        for other in everybody[place + 1 :]:
            reason = why_not_together(one, other)
            if reason:
                raise MergeRefused(f"{one.number} 和 {other.number} {reason},不能合并发货。没有任何改变。")


def _dissolve_into(session: Session, shared_parcel_id: int, shared: SharedParcel, actor: str, now: datetime) -> None:
    for one in travellers_of(session, shared_parcel_id):
        assert one.member is not None
        one.member.left_at, one.member.left_why = now, f"并入 {shared.founder} 的合并包裹"
        session.add(one.member)
    old = lock_shared(session, shared_parcel_id)
    old.state, old.undone_by, old.undone_why = SharedState.UNDONE.value, actor, f"并入 {shared.founder} 的合并包裹"
    session.add(old)
    session.flush()


def unmerge(session: Session, fulfilment_id: int, actor: str, now: datetime) -> str:
    """Have this fulfilment go alone, because a person says so; the sentence for it. Raises `MergeRefused`.

    Nothing may be locked before. With a waybill the carrier is asked to give it back first, and all go alone.
    """
    (one,) = travellers(session, [fulfilment_id])
    lock_order(session, one.fulfilment.order_id)
    shared = company_of(session, fulfilment_id)
    if shared is None or shared.id is None:
        raise MergeRefused(f"{one.number} 没有和别的订单合并发货,没有任何改变。")
    shared = lock_shared(session, shared.id)
    there = travellers_of(session, shared.id or 0)
    if shared.state == SharedState.SEALED.value and any(channel_knows(session, other) for other in there):
        raise MergeRefused(f"合并包裹的运单已经告诉平台,{one.number} 不能再分开。没有任何改变。")
    said = leave(session, fulfilment_id, "人工取消合并", now, actor)
    wake(session, [fulfilment_id], now)
    if said is SharedState.UNDOING:
        return f"正在撤回合并包裹的运单;撤回后 {'、'.join(other.number for other in there)} 各自发出。"
    return f"{one.number} 单独发出,不再合并。"


def fulfilments_named(session: Session, name: str) -> list[Traveller]:
    """The unshipped fulfilments meant by `SH-1001` (all of them) or `SH-1001-2`.

    Raises `OrderUnknown`, and `MergeRefused` where all that is meant has left.
    """
    number = None
    try:
        order = find_order(session, name)
    except OrderUnknown as unknown:
        order_no, _, last = name.strip().rpartition("-")
        try:
            order, number = find_order(session, order_no), int(last)
        except (OrderUnknown, ValueError):
            raise unknown from None
    assert order.id is not None
    meant = [part for part in fulfilments_of(session, order.id) if number in (None, part.number)]
    if not meant:
        raise OrderUnknown(name.strip())
    parts = [part.id for part in meant if part.id is not None and not Stage(part.stage).reached(Stage.SHIPPED)]
    if not parts:
        raise MergeRefused(f"{name.strip()} 已经发货或结束,不能再合并或分开。没有任何改变。")
    return travellers(session, parts)
