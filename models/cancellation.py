"""Cancelling: asked for at any stage, stopped before it leaves, called back where it has left.

The request interrupts whoever works on the order; the lane then calls back what is out (factory, carrier) and
only when all that is answered does `finish` give back the stock and end the fulfilment.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from models import hold
from models.fulfilment import Claim, Fulfilment, Stage, advance, fulfilments_of, interrupt
from models.order import Order, lock_order
from models.review import withdraw
from models.stock import release
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
        withdraw(session, _id(fulfilment))
    interrupt(session, [_id(f) for f in stoppable + gone], now)
    if gone and not stoppable:
        return f"订单 {order.order_no} 已经发货,取消请求已记录,需要人工拦截。"
    return f"订单 {order.order_no} 正在取消:{reason}"


def finish(session: Session, claim: Claim, order: Order, now: datetime) -> Fulfilment:
    """Everything that was out has been called back: give back the stock and end. Raises `ClaimLost`."""
    fulfilment = advance(session, claim, Stage.CANCELLED, now)
    release(session, claim.fulfilment_id, "cancel", now, order.cancel_reason)
    note(
        session,
        claim.order_id,
        EventKind.CANCELLED,
        "cancel",
        now,
        claim.fulfilment_id,
        reason=order.cancel_reason,
    )
    if order.paid_fen and order.platform_status not in ("cancelled", "refunded"):
        hold.place(
            session,
            claim.order_id,
            "refund_due",
            f"已取消,应退款 {order.paid_fen} 分",
            "财务",
            "在平台后台退款;平台显示已退款后自动解除",
            "cancel",
            now,
        )
    return fulfilment


def _id(fulfilment: Fulfilment) -> int:
    assert fulfilment.id is not None
    return fulfilment.id
