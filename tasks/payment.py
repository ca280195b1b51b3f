"""Step: is the order really paid, for the amount it says?"""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import Session

from integrations.payments import PaymentRecord, PaymentState, Trade
from models import hold
from models.cancellation import request_cancellation
from models.database import in_transaction, utcnow
from models.fulfilment import Claim, ClaimLost, Stage, WaitingOn, hold_on
from models.order import Order, lines_of
from models.paid_elsewhere import keep_in_mind
from models.timeline import EventKind, note
from models.wanted import taken_away_fen
from models.wording import yuan
from tasks.outside import platforms
from tasks.step import outward
from tasks.working import PERSON_LOOK_AGAIN, MustWait

UNPAID_LOOK_AGAIN = timedelta(minutes=30)


async def verify_payment(claim: Claim) -> None:
    """Ask the payment side once per order, and stamp what it says. Twice: the stamp is there, nothing is asked."""
    if claim.stage.reached(Stage.RESERVED):
        return
    order = await in_transaction(lambda session: session.get_one(Order, claim.order_id))
    if order.payment_verified_at is not None:
        return
    record = await ask_payment(order)
    difference = await in_transaction(lambda session: _judge(session, claim, record))
    if record.state is PaymentState.PENDING:
        raise MustWait(WaitingOn.PAYMENT, "平台显示还没有付款", utcnow() + UNPAID_LOOK_AGAIN)
    if record.state in (PaymentState.CLOSED, PaymentState.REFUNDED):
        raise ClaimLost("平台上已取消或退款,转入取消流程")
    if difference is not None:
        raise MustWait(WaitingOn.PERSON, difference, utcnow() + PERSON_LOOK_AGAIN)


@outward("核实付款")
async def ask_payment(order: Order) -> PaymentRecord:
    """What the keeper of the money says now. Reading only."""
    keeper = platforms().keeper(platforms().keeper_of(order))
    return await keeper.payment(Trade(order.channel_order_id, order.payment_ref, order.shop))


def _judge(session: Session, claim: Claim, record: PaymentRecord) -> str | None:
    """Stamp the payment, or say what does not add up: the lines, the order's total and what was really paid.

    They agree exactly, until something is cancelled or paid back: then by so much they may differ.
    """
    now = utcnow()
    hold_on(session, claim)
    order = session.get_one(Order, claim.order_id, with_for_update=True)
    if record.state in (PaymentState.CLOSED, PaymentState.REFUNDED):
        request_cancellation(session, order, "平台上已取消或退款", f"platform:{order.channel}", now)
        return None
    if record.state is PaymentState.PENDING:
        return None
    keep_in_mind(session, order, f"platform:{order.channel}", now)
    lines = lines_of(session, claim.order_id)
    lines_fen = sum(line.paid_fen for line in lines) + order.freight_fen
    away = taken_away_fen(lines, order.platform_refunded_fen)  # off the total, off what was paid, or off neither
    total_fits = lines_fen - away <= order.total_fen <= lines_fen
    paid_fits = order.total_fen - away <= record.paid_fen <= order.total_fen + away
    if not (total_fits and paid_fits) or record.currency != order.currency:
        reason = (
            f"各行合计 {yuan(lines_fen)},订单金额 {yuan(order.total_fen)},"
            f"实付 {yuan(record.paid_fen)} {record.currency},对不上"
        )
        how = "核对后在平台退差价或补款,再解除"
        hold.place(session, claim.order_id, "paid_amount_differs", reason, "财务", how, "verify-payment", now)
        return reason
    order.payment_verified_at = now
    order.paid_fen, order.paid_at = record.paid_fen, record.paid_at or order.paid_at
    session.add(order)
    note(
        session, claim.order_id, EventKind.PAYMENT_VERIFIED, "verify-payment", now, claim.fulfilment_id,
        paid_fen=record.paid_fen, keeper=order.payment_keeper or order.channel,
    )  # fmt: skip
    return None
