"""What a keeper of money reports of its own accord, by a signed callback: of a refund, or of a payment.

News comes twice, late, out of order, and about what is not ours. What a refund's state is decides what news changes
(`models.refund.report`), so that no list of messages is kept; news of a payment is a hint, and is asked about.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, select

from models import hold, refund
from models.effect import Effect, EffectState
from models.fulfilment import fulfilments_of, wake
from models.order import Order, lock_order
from models.refund import Refund, RefundStep
from models.wording import yuan

PAID_TWICE = "refunded_twice"


def hear_of_refund(
    session: Session,
    keeper: str,
    payment_ref: str,
    refund_no: str,
    step: RefundStep,
    refunded_fen: int | None,
    problem: str,
    now: datetime,
) -> str:
    """Take what `keeper` says of a refund: `taken`, `known` (no news), `unknown`, or `asked` (it will be asked about).

    Another sum than ours reaches a person. Where the sum is not told, or we are just asking for this very refund (the
    answer settles it together with its effect), the news only makes the asking happen now.
    """
    found = session.exec(select(Refund).where(Refund.refund_no == refund_no)).first()
    order = None if found is None else lock_order(session, found.order_id)
    if found is None or order is None or found.keeper != keeper or order.payment_ref != payment_ref:
        return "unknown"
    session.refresh(found, with_for_update=True)
    if found.state not in refund.OPEN:
        if found.state == RefundStep.BY_HAND.value and step is RefundStep.PAID:
            _paid_twice(session, found, f"platform:{keeper}", now)
        return "known"
    if step is RefundStep.PAID and (refunded_fen is None or _is_being_asked_for(session, refund_no)):
        found.look_again_at = now
        session.add(found)
        wake(session, _fulfilments(session, found.order_id), now)
        return "asked"
    if step is RefundStep.PAID and refunded_fen != found.amount_fen:
        step = RefundStep.STUCK
        problem = f"应退 {yuan(found.amount_fen)},平台通知退了 {yuan(refunded_fen or 0)}:请在平台后台核对"
    return refund.report(session, refund_no, step, f"platform:{keeper}", now, problem=problem)


def _paid_twice(session: Session, found: Refund, actor: str, now: datetime) -> None:
    """What a person had paid in another way arrived after all: only a person can get one of the two back."""
    if hold.ever_placed(session, found.order_id, PAID_TWICE):
        return
    reason = f"退款 {found.refund_no}({yuan(found.amount_fen)})已线下退给客户,平台又通知原路退款到账:退了两次"
    how = "与客户联系退回其中一笔,处理后解除"
    hold.place(session, found.order_id, PAID_TWICE, reason, "财务", how, actor, now, blocking=False)


def hear_of_payment(session: Session, keeper: str, payment_ref: str, now: datetime) -> int:
    """Money may have come in: who waits for it looks now, and asks. Returns how many fulfilments were woken."""
    statement = select(Order.id).where(Order.payment_ref == payment_ref, col(Order.payment_keeper) == keeper)
    return sum(wake(session, _fulfilments(session, order_id), now) for order_id in session.exec(statement) if order_id)


def _is_being_asked_for(session: Session, refund_no: str) -> bool:
    """Whether an attempt is under way, or broke off, whose outcome the ledger of effects does not know yet."""
    statement = select(Effect.state).where(Effect.key == f"refund-{refund_no}")
    return session.exec(statement).first() in (EffectState.CALLING.value, EffectState.UNCLEAR.value)


def _fulfilments(session: Session, order_id: int) -> list[int]:
    return [part.id for part in fulfilments_of(session, order_id) if part.id is not None]
