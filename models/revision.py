"""Revision: the fulfilments of an order are brought to what the order is now, after its channel has changed it.

It goes by the difference, not by the change: pieces that are carried and no longer wanted, pieces wanted that nobody
carries, waybills with an old address. So it may run at any moment, as often as anybody likes, and after a crash it
goes on where it was; of several changes that come one after the other the newest counts.

- Where nothing was told outside of what changes, the part shrinks at once, with its promise.
- What factory or carrier know of is called back first (`Due`; the lane carries it out). A batch that will not be made
  leaves the part, and what is still wanted of it goes out as a part of its own, with keys of its own. What was made
  already stays: as many as are wanted are sent, the rest is ours.
- A waybill that is called back is asked for again under a new number; production is not touched for it.
- What has left is for a person.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

from models import change, hold
from models.backorder import BackorderState, leave_queue
from models.cancellation import give_back
from models.change import ChangeKind, ChangeState
from models.compensation import no_longer_needed
from models.fulfilment import Claim, Stage, advance, fulfilments_of, hold_on, interrupt
from models.lessening import lessen, use_up
from models.order import Order, lock_order
from models.parcel import parcel_of
from models.parting import leave
from models.parts import Part, lock_promises, needs, parts_of, rewind, send_by_another
from models.production import WorkOrder, WorkState
from models.reservation import Purpose
from models.review_withdrawal import withdraw
from models.shared_parcel import company_of, lock_shared
from models.stock_check import withdraw_check
from models.timeline import EventKind, note
from models.wanted import Standing, standings

ACTOR = "follow-changes"


@dataclass(frozen=True)
class Due:
    """What is to be called back for one fulfilment before it can go on: a waybill by its number, or work orders."""

    reason: str
    shipment_no: str = ""
    works: tuple[WorkOrder, ...] = ()


@dataclass
class _Desk:
    """The order as it is while it is revised. `too_many`: by part and line, how many pieces it must give up."""

    order: Order
    parts: list[Part]
    lines: dict[int, Standing]
    stale: set[str]
    too_many: dict[int, Counter[int]] = field(default_factory=dict)
    gone: Counter[int] = field(default_factory=Counter)  # by line: pieces too many that have left the house
    undecided: bool = False  # a part that is compensated would have to change, should somebody decline that

    def concerned(self, part: Part) -> bool:
        """Whether this part has still to give something up, to begin again, or to have its waybill made anew."""
        gives_up = bool(self.too_many.get(part.id)) or part.called_back_lines != []
        return gives_up or part.must_rewind or self.stale_waybill(part)

    def stale_waybill(self, part: Part) -> bool:
        """Whether its parcel bears an address that is no longer the customer's, and can still be called back."""
        return part.shipment.number in self.stale and part.shipment.asked_for and not part.left


def revise(session: Session, claim: Claim, now: datetime) -> Due | None:
    """Bring the claimed fulfilment to what its order is now; what is to be called back before that, or None.

    Called back, it is to be called again; a fulfilment that carries nothing any more ends `cancelled`, and one that
    begins again is `received`, which the claim then says. Raises `ClaimLost`. Twice: nothing changes.
    """
    hold_on(session, claim)
    order = lock_order(session, claim.order_id)
    if not change.is_asked(session, claim.order_id):
        return None
    desk = _look(session, order)
    own = next(part for part in desk.parts if part.id == claim.fulfilment_id)
    due = _due(desk, own)
    if due is not None:
        return due
    _lock_company(session, own)
    lock_promises(session, desk.parts)
    _give_up(session, desk, own, now)
    if own.must_rewind:
        rewind(session, own, now)
    _carry_on(session, order, own, now)
    own.refresh(session)
    if not own.carries and not own.left:
        _end(session, claim, now)
    claim.stage = Stage(own.row.stage)
    return None


def revise_without_lane(session: Session, order: Order, now: datetime) -> None:
    """The same for an order of which nothing is under way any more: no lane will look at it. It must be locked."""
    _carry_on(session, order, None, now)


def pass_on(session: Session, order_id: int, now: datetime) -> None:
    """A fulfilment has ended while a change was still to be carried out: the others of its order go on with it."""
    order = lock_order(session, order_id)
    if not change.is_asked(session, order_id):
        return
    others = [part.id for part in fulfilments_of(session, order_id) if not Stage(part.stage).final]
    if not interrupt(session, [id for id in others if id is not None], now):
        _carry_on(session, order, None, now)


def _lock_company(session: Session, own: Part) -> None:
    """Lock the parcel that this part shares, which it may have to leave: before any stock, as everybody does."""
    shared = company_of(session, own.id)
    if shared is not None and shared.id is not None:
        lock_shared(session, shared.id)


def _look(session: Session, order: Order) -> _Desk:
    assert order.id is not None
    stale = {
        number
        for asked in change.asked(session, order.id)
        if asked.kind == ChangeKind.ADDRESS.value
        for number in asked.after.get("shipments", [])
    }
    parts = parts_of(session, order)
    undecided = any(part.ending and part.wants_recipe for part in parts)
    desk = _Desk(order, parts, standings(session, order.id), stale, undecided=undecided)
    for line in desk.lines.values():
        left = max(0, line.surplus)
        for part in sorted(desk.parts, key=lambda part: (part.place_in_giving, -part.row.number)):
            taken = min(left, part.quantity_of(line.line_id))
            if not taken:
                continue
            left -= taken
            if part.left:
                desk.gone[line.line_id] += taken
            elif part.ending:
                desk.undecided = True
            else:
                desk.too_many.setdefault(part.id, Counter())[line.line_id] += taken
    return desk


def _due(desk: _Desk, own: Part) -> Due | None:
    """What must be called back before this part can be brought to what it should be; the waybill first."""
    too_many = desk.too_many.get(own.id, Counter())
    if desk.stale_waybill(own) or (too_many and own.shipment.asked_for and not own.left):
        return Due("客户改了订单", shipment_no=own.shipment.number)
    works = tuple(work for line in too_many for work in own.works_of(line) if own.may_be_stopped(work))
    return Due("客户改了订单", works=works) if works else None


def _give_up(session: Session, desk: _Desk, own: Part, now: datetime) -> None:
    """Take out of this part what it should no longer carry; everything told of it has been called back."""
    parcel = parcel_of(session, own.id)
    if parcel is not None and parcel.shipment_no in own.shipment.cancelled:
        session.delete(parcel)
        session.flush()
    too_many = desk.too_many.get(own.id, Counter())
    if too_many or own.called_back_lines:
        withdraw(session, own.id)
    for line_id in own.called_back_lines:
        _shrink(session, own, line_id, own.quantity_of(line_id), now)
    for line_id, pieces in too_many.items():
        if not own.quantity_of(line_id):
            continue
        works = own.works_of(line_id)
        if any(work.state == WorkState.FAILED.value for work in works):
            _forget_failed(session, own, line_id, works, now)
        elif works:
            _keep_what_was_made(session, own, line_id, pieces, works, now)
        else:
            _shrink(session, own, line_id, pieces, now)


def _shrink(session: Session, own: Part, line_id: int, pieces: int, now: datetime) -> None:
    """Carry fewer pieces of a line, and give back what was promised for them."""
    before = needs(session, own)
    own.take_out(session, line_id, pieces)
    after = needs(session, own)
    for purpose in Purpose:
        freed = before[purpose] - after[purpose]
        lessen(session, own.id, purpose, freed, ACTOR, now, "渠道改单")


def _keep_what_was_made(
    session: Session, own: Part, line_id: int, pieces: int, works: list[WorkOrder], now: datetime
) -> None:
    """The factory has made them: what is still wanted is sent, the rest is ours. A person puts it into stock."""
    own.take_out(session, line_id, pieces)
    left = own.quantity_of(line_id)
    for work in works:
        use_up(session, work, ACTOR, now)
        if not left and work.state != WorkState.COMPLETED.value:  # nobody waits for its report any more
            work.state, work.completed_at = WorkState.COMPLETED.value, now
            session.add(work)
    made = "、".join(work.work_order_no for work in works)
    reason = f"改单时 {made} 已经生产,多做了 {pieces} 件 {works[0].sku}"
    how = "把多做的成品入库或报损,然后解除;订单照常继续"
    code = f"overmade_{works[0].id}_{left}"  # each time that fewer are wanted somebody is asked about the rest
    hold.place(session, own.row.order_id, code, reason, "生产主管", how, ACTOR, now, blocking=False)


def _forget_failed(session: Session, own: Part, line_id: int, works: list[WorkOrder], now: datetime) -> None:
    """What failed is not made again for this part: its ingredients are lost, and nobody decides on it any more."""
    own.take_out(session, line_id, own.quantity_of(line_id))
    for work in works:
        use_up(session, work, ACTOR, now)
        work.state = WorkState.CALLED_BACK.value
        session.add(work)
        hold.lift(session, own.row.order_id, ACTOR, now, [f"production_failed_{work.id}"])


def _end(session: Session, claim: Claim, now: datetime) -> None:
    """The claimed fulfilment carries nothing any more."""
    leave(session, claim.fulfilment_id, "没有要发的商品了", now)
    give_back(session, claim.fulfilment_id, ACTOR, now, "渠道改单")
    withdraw(session, claim.fulfilment_id)
    withdraw_check(session, claim.fulfilment_id, now)
    leave_queue(session, claim.fulfilment_id, BackorderState.ENDED, now)
    no_longer_needed(session, claim.fulfilment_id, ACTOR, now)
    advance(session, claim, Stage.CANCELLED, now)
    reason = "渠道改单,没有要发的商品了"
    claim.ended_because = reason
    note(session, claim.order_id, EventKind.CANCELLED, ACTOR, now, claim.fulfilment_id, reason=reason)


def _carry_on(session: Session, order: Order, own: Part | None, now: datetime) -> None:
    """Once nothing is to be given up any more: send what nobody carries, ask a person where it is too late, close."""
    assert order.id is not None
    desk = _look(session, order)
    if any(desk.concerned(part) for part in desk.parts):
        return  # their own lanes are at it
    missing = {line.line_id: -line.surplus for line in desk.lines.values() if line.surplus < 0}
    if missing:
        if order.platform_status == "awaiting_payment":
            return  # what was added is not paid yet
        send_by_another(session, order, desk.parts, missing, own.id if own is not None else None, now)
    if desk.undecided:
        return  # should the compensation be declined, that part gives them up; when it ends, `pass_on` comes here
    by_hand = _ask_a_person(session, desk, now)
    for asked in change.asked(session, order.id):
        state = ChangeState.BY_HAND if ChangeKind(asked.kind) in by_hand else ChangeState.APPLIED
        asked.after = {**asked.after, "gone": _by_name(desk)}
        change.close(session, [asked], state, now)


def _ask_a_person(session: Session, desk: _Desk, now: datetime) -> set[ChangeKind]:
    """Holds for what came too late; which kinds of change they are about."""
    assert desk.order.id is not None
    by_hand = set()
    newest = change.asked(session, desk.order.id)[-1:]
    known: dict[str, int] = next(
        (c.after["gone"] for c in reversed(change.changes_of(session, desk.order.id)) if "gone" in c.after), {}
    )
    gone = {name: more for name, pieces in _by_name(desk).items() if (more := pieces - known.get(name, 0)) > 0}
    on_its_way = any(part.left and not Stage(part.row.stage).final for part in desk.parts)
    if gone and on_its_way and newest:
        goods = "、".join(f"{name.partition(' ')[2]} × {pieces}" for name, pieces in gone.items())
        reason = f"包裹已经发出,平台取消或退掉了其中的 {goods}"
        how = "还在路上就联系快递拦截;拦不下就放行,请客户退回并入库;处理后解除"
        code = f"changed_after_shipping_{newest[0].id}"  # of its own: an earlier one speaks of other goods
        hold.place(session, desk.order.id, code, reason, "客服", how, ACTOR, now, blocking=False)
        by_hand.add(ChangeKind.LINES)
    if any(part.left and part.shipment.number in desk.stale and not Stage(part.row.stage).final for part in desk.parts):
        how = "联系快递改派,或拦截后重新出单;处理后解除"
        kept = any(part.shipment.kept and not part.row_reached_shipped for part in desk.parts)
        reason = "客户改了地址,但快递不让取消运单" if kept else "客户在包裹发出以后改了地址"
        hold.place(session, desk.order.id, "address_changed", reason, "客服", how, ACTOR, now, blocking=kept)
        by_hand.add(ChangeKind.ADDRESS)
    return by_hand


def _by_name(desk: _Desk) -> dict[str, int]:
    lines = desk.lines
    return {f"{lines[id].line_no} {lines[id].sku}": pieces for id, pieces in desk.gone.items() if pieces}
