"""Cancelling: asked for at any stage, stopped before it leaves, called back where it has left.

The request interrupts whoever works on the order; the lane then calls back what is out (factory, carrier), pays
back what was paid, and only when all that is answered does `finish` give back the stock and end the fulfilment.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from models import change, hold
from models.change import ChangeState
from models.compensation import CompensationState, compensation_of, no_longer_needed
from models.fulfilment import Claim, Fulfilment, Stage, advance, announce, fulfilments_of, interrupt
from models.lessening import use_up
from models.order import Order, lock_order
from models.production import WorkState, work_orders_of
from models.reservation import release
from models.review_withdrawal import withdraw
from models.timeline import EventKind, note


def request_cancellation(session: Session, order: Order, reason: str, actor: str, now: datetime) -> str:
    """Ask for an order to be cancelled; a sentence that says what will happen. Repeating it changes nothing."""
    assert order.id is not None
    order = lock_order(session, order.id)
    assert order.id is not None
    if order.cancel_requested_at is not None:
        return f"订单 {order.order_no} 已经在取消({order.cancel_reason})。"
    parts = fulfilments_of(session, order.id)
    gone = [f for f in parts if Stage(f.stage).reached(Stage.SHIPPED) and not Stage(f.stage).final]
    stoppable = [f for f in parts if not Stage(f.stage).reached(Stage.SHIPPED)]
    if not stoppable and not gone:
        return f"订单 {order.order_no} 已经结束,没有可取消的部分。"
    order.cancel_requested_at, order.cancel_reason = now, reason[:500]
    session.add(order)
    change.close(session, change.asked(session, order.id), ChangeState.DECLINED, now)
    note(session, order.id, EventKind.CANCEL_REQUESTED, actor, now, reason=reason[:500])
    if gone:
        hold.place(
            session,
            order.id,
            "cancel_after_shipping",
            f"已发货后要求取消:{reason[:200]}",
            "客服",
            "联系快递拦截,或等客户拒收退回;处理后解除",
            actor,
            now,
        )
    for fulfilment in stoppable:
        withdraw(session, _id(fulfilment), now)
        no_longer_needed(session, _id(fulfilment), actor, now)
    interrupt(session, [_id(f) for f in stoppable + gone], now)
    if gone and not stoppable:
        return f"订单 {order.order_no} 已经发货,取消请求已记录,需要人工拦截。"
    return f"订单 {order.order_no} 正在取消:{reason}"


def finish(session: Session, claim: Claim, compensated: bool, reason: str, now: datetime) -> Fulfilment:
    """All that was out is called back and all money is back: give back the stock and end. Raises `ClaimLost`.

    A compensated fulfilment ends `refunded`, another `cancelled`.
    """
    fulfilment = advance(session, claim, Stage.REFUNDED if compensated else Stage.CANCELLED, now)
    give_back(session, claim.fulfilment_id, "wind-up", now, reason)
    made_up = compensation_of(session, claim.fulfilment_id)
    if compensated and made_up is not None:
        made_up.state, made_up.done_at = CompensationState.DONE.value, now
        session.add(made_up)
    kind = EventKind.REFUNDED if compensated else EventKind.CANCELLED
    note(session, claim.order_id, kind, "wind-up", now, claim.fulfilment_id, reason=reason)
    return fulfilment


def give_back(session: Session, fulfilment_id: int, actor: str, now: datetime, reason: str) -> None:
    """End its promises: ingredients of what was made already are used up, all else goes back on the shelf. Once."""
    for work in work_orders_of(session, fulfilment_id):
        if work.state in (WorkState.COMPLETED.value, WorkState.FAILED.value):
            use_up(session, work, actor, now)
    release(session, fulfilment_id, actor, now, reason)


def reopen_if_paid_late(session: Session, order: Order, actor: str, now: datetime) -> bool:
    """Money arrived for an order that was cancelled unpaid: its end begins again, and this time pays back. Once."""
    assert order.id is not None
    ended = [f for f in fulfilments_of(session, order.id) if f.stage == Stage.CANCELLED.value]
    if not ended or order.cancel_requested_at is None or order.payment_verified_at is not None:
        return False
    for fulfilment in ended:
        fulfilment.stage, fulfilment.stage_since, fulfilment.ready_at = Stage.RECEIVED.value, now, now
        fulfilment.fence += 1
        session.add(fulfilment)
        note(session, order.id, EventKind.REOPENED, actor, now, fulfilment.id, reason="取消之后才付款,退还")
    session.flush()
    announce(session)
    return True


def _id(fulfilment: Fulfilment) -> int:
    assert fulfilment.id is not None
    return fulfilment.id
