"""The platform pays back by itself what we owe too: ours is asked for no more, so that nobody is paid twice."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from models import hold
from models.effect import EffectState, effects_of
from models.order import Order, lines_of
from models.paid_elsewhere import paid_elsewhere
from models.payment_news import PAID_TWICE
from models.refund import Refund, RefundStep, left_of, refunds_of, report
from models.timeline import EventKind, note
from models.wording import yuan

_BEGUN = (EffectState.CALLING.value, EffectState.UNCLEAR.value, EffectState.DONE.value, EffectState.SHADOW.value)


def dropped_by_platform(session: Session, order_id: int, actor: str, now: datetime) -> None:
    """The platform has paid everything back itself: what we still owed is no longer asked for."""
    for refund in refunds_of(session, order_id):
        if refund.state in (RefundStep.DUE.value, RefundStep.STUCK.value):
            report(session, refund.refund_no, RefundStep.DROPPED, actor, now)


def may_have_been_told(session: Session, order_id: int) -> int:
    """How many fen of an order our own refunds have paid back at their keeper, or may have."""
    told = _told(session, order_id)
    taken = (RefundStep.PROCESSING.value, RefundStep.PAID.value)
    return sum(
        refund.amount_fen
        for refund in refunds_of(session, order_id)
        if refund.state in taken or f"refund-{refund.refund_no}" in told
    )


def is_settled_there(session: Session, order: Order) -> bool:
    """Whether the platform has cancelled every line and paid back all but the freight, as somebody there decided."""
    assert order.id is not None
    gone = all(line.cancelled_quantity >= line.quantity for line in lines_of(session, order.id))
    return gone and paid_elsewhere(session, order.id) > 0 and left_of(session, order) <= order.freight_fen


def make_room(session: Session, order: Order, paid_there_fen: int, actor: str, now: datetime) -> None:
    """The platform has paid this sum back by itself: what is too much then is no longer asked for.

    A refund of ours that is stuck and of the same sum is taken to be settled by it; others are cut, the newest first,
    as far as nobody was told of them. What was paid twice all the same reaches a person. The order must be locked.
    """
    assert order.id is not None
    stuck = [r for r in refunds_of(session, order.id) if r.state == RefundStep.STUCK.value]
    for refund in [r for r in stuck if r.amount_fen == paid_there_fen][:1]:
        report(session, refund.refund_no, RefundStep.DROPPED, actor, now)
    excess = order.refunded_fen + paid_elsewhere(session, order.id) - order.paid_fen
    told = _told(session, order.id)
    for refund in reversed(refunds_of(session, order.id)):
        waits = refund.state in (RefundStep.DUE.value, RefundStep.STUCK.value)
        if excess > 0 and waits and f"refund-{refund.refund_no}" not in told:
            excess -= _cut(session, order, refund, excess, paid_there_fen, actor, now)
    if excess > 0:
        reason = f"平台和本系统一共多退了 {yuan(excess)}"
        how = "在平台和收款方后台核对这几笔退款,向客户追回多退的部分;处理后解除"
        hold.place(session, order.id, PAID_TWICE, reason, "财务", how, actor, now, blocking=False)


def _cut(
    session: Session, order: Order, refund: Refund, excess: int, paid_there_fen: int, actor: str, now: datetime
) -> int:
    """Ask for less, or for nothing; how many fen less."""
    if refund.amount_fen <= excess:
        report(session, refund.refund_no, RefundStep.DROPPED, actor, now)
        return refund.amount_fen
    refund.amount_fen -= excess
    order.refunded_fen -= excess
    session.add_all([refund, order])
    session.flush()
    note(
        session, refund.order_id, EventKind.REFUND_ASKED, actor, now, refund.fulfilment_id,
        refund_no=refund.refund_no, amount=yuan(refund.amount_fen), keeper=refund.keeper,
        reason=f"平台已自行退款 {yuan(paid_there_fen)},只退其余",
    )  # fmt: skip
    return excess


def _told(session: Session, order_id: int) -> set[str]:
    return {effect.key for effect in effects_of(session, order_id) if effect.state in _BEGUN}
