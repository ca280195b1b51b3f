"""Step: an order that is cancelled, or that cannot be filled, is wound up: called back, paid back, and told so, once.

Whatever had left is called back first; then the money goes back, with a coupon where something is made up for; then
the customer hears of it; and only when the money has arrived is the stock given back and the fulfilment over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect.artifacts import acreate_markdown_artifact
from prefect.context import FlowRunContext
from sqlmodel import Session

from integrations.channels.coupons import CouponDesk, CouponWish
from integrations.platforms import Platforms
from models import coupon, refund
from models.backorder import BackorderState, leave_queue
from models.cancellation import finish
from models.compensation import CompensationState, compensation_of
from models.coupon import Coupon
from models.database import in_transaction, utcnow
from models.effect import COUPON
from models.fulfilment import Claim, Stage, WaitingOn, hold_on
from models.notification import Node
from models.order import Order
from models.parts import lighten
from models.platform_refund import is_settled_there
from models.refund import Refund, RefundStep
from models.revision import pass_on
from models.settings import settings
from models.stock_check import withdraw_check
from models.wording import yuan
from tasks.calling_back import call_back
from tasks.notifying import tell_customer
from tasks.outside import platforms
from tasks.plain_text import plain
from tasks.refunding import pay_back, settle_payment
from tasks.step import outward
from tasks.telling import tell_once
from tasks.working import PERSON_LOOK_AGAIN, MustWait


@dataclass(frozen=True)
class Ending:
    """Why a fulfilment ends before it ships. `compensates`: it is made up for, by us, with a coupon."""

    reason: str
    compensates: bool
    stopped: bool = False


async def wind_up_if_over(claim: Claim) -> None:
    """If the fulfilment is to end: carry that out as far as it goes now. Twice: one refund, one coupon, one message."""
    if claim.stage.reached(Stage.SHIPPED):
        return
    ending = await in_transaction(lambda session: _ending(session, claim))
    if ending is None:
        return
    if ending.stopped:
        raise MustWait(WaitingOn.PERSON, "自动补偿已达上限,等人批准或驳回", utcnow() + PERSON_LOOK_AGAIN)
    await call_back(claim, ending.reason)
    await settle_payment(claim)
    known = platforms()
    owed = await in_transaction(lambda session: _owe(session, claim, ending, known))
    if owed is not None:
        owed = await pay_back(owed, claim)
        if owed.state == RefundStep.STUCK.value:
            raise _wait_for(owed)
    given = await give_coupon(claim) if ending.compensates else None
    if owed is not None or given is not None:
        await tell_of_refund(claim, ending, owed, given)
    if owed is not None and owed.state in refund.OPEN:
        raise _wait_for(owed)
    await in_transaction(lambda session: _finish(session, claim, ending))
    claim.ended_because = ending.reason
    if ending.compensates:
        await show_compensation(claim, ending.reason, owed, given)


def _ending(session: Session, claim: Claim) -> Ending | None:
    order = session.get_one(Order, claim.order_id)
    made_up = compensation_of(session, claim.fulfilment_id)
    if made_up is not None and made_up.state == CompensationState.DUE.value:
        return Ending(made_up.reason, compensates=True)
    if order.cancel_requested_at is not None:
        return Ending(order.cancel_reason, compensates=False)
    if made_up is not None and made_up.state == CompensationState.STOPPED.value:
        return Ending(made_up.reason, compensates=True, stopped=True)
    return None


def _owe(session: Session, claim: Claim, ending: Ending, known: Platforms) -> Refund | None:
    """The refund of this fulfilment; None where nobody paid, or the platform gives the money back itself."""
    hold_on(session, claim)
    now = utcnow()
    withdraw_check(session, claim.fulfilment_id, now)
    leave_queue(session, claim.fulfilment_id, BackorderState.ENDED, now)
    order = session.get_one(Order, claim.order_id)
    if order.payment_verified_at is None:
        return None
    own = [r for r in refund.refunds_of(session, claim.order_id) if r.fulfilment_id == claim.fulfilment_id]
    if not own and is_settled_there(session, order):
        return None
    if order.platform_status == "refunded":  # it may say so of our own refund, which is followed to its end
        return next((r for r in own if r.state != RefundStep.DROPPED.value), None)
    if not own:
        lighten(session, order, claim.fulfilment_id)
    keeper = known.keeper_of(order)
    return refund.owe(session, claim.order_id, claim.fulfilment_id, ending.reason, "wind-up", now, keeper)


def _finish(session: Session, claim: Claim, ending: Ending) -> None:
    now = utcnow()
    finish(session, claim, ending.compensates, ending.reason, now)
    pass_on(session, claim.order_id, now)


def _wait_for(owed: Refund) -> MustWait:
    if owed.state == RefundStep.STUCK.value:
        return MustWait(WaitingOn.PERSON, f"退款退不出去:{owed.problem}", utcnow() + PERSON_LOOK_AGAIN)
    return MustWait(WaitingOn.REFUND, f"退款 {yuan(owed.amount_fen)} 处理中", owed.look_again_at)


async def give_coupon(claim: Claim) -> Coupon | None:
    """The coupon that makes up for it, known to the channel if the channel takes our codes. Twice: the same one."""
    days = settings().policy.coupon_days
    given = await in_transaction(lambda session: _issue(session, claim, days))
    if given is None or given.platform_id or given.channel not in platforms().coupons:
        return given
    await make_coupon(claim, given, platforms().coupons[given.channel])
    return given


def _issue(session: Session, claim: Claim, days: int) -> Coupon | None:
    hold_on(session, claim)
    made_up = compensation_of(session, claim.fulfilment_id)
    assert made_up is not None
    return coupon.issue(session, made_up, session.get_one(Order, claim.order_id), utcnow(), days)


@outward("发放优惠券")
async def make_coupon(claim: Claim, given: Coupon, desk: CouponDesk) -> None:
    """Make the coupon on its channel. Twice: the channel is asked for the code before it is made again."""
    wish = CouponWish(
        given.code, given.value_fen, given.least_order_fen, given.starts_at, given.ends_at, f"补偿券 {claim.order_no}"
    )

    def settle(session: Session, answer: dict[str, Any] | None) -> None:
        row = session.get_one(Coupon, given.code, with_for_update=True)
        row.platform_id = str((answer or {}).get("id", "")) or given.code
        session.add(row)

    await tell_once(
        claim,
        COUPON,
        f"coupon-{claim.fulfilment_no}",
        lambda _: desk.coupon_request(wish),
        desk.make_coupon,
        settle,
        ask=desk.find_coupon,
    )


async def tell_of_refund(claim: Claim, ending: Ending, owed: Refund | None, given: Coupon | None) -> None:
    """Tell the customer what comes back (of us, or of the platform), and the coupon's code. Twice: one message."""
    made_up = await in_transaction(lambda session: compensation_of(session, claim.fulfilment_id))
    foreseen = made_up.refund_fen if made_up is not None else 0
    words = {"order_no": claim.order_no, "amount": yuan(owed.amount_fen if owed is not None else foreseen)}
    if ending.compensates and given is not None:
        words |= {"coupon": given.code, "value": yuan(given.value_fen), "until": f"{given.ends_at:%Y-%m-%d}"}
    node = Node.COMPENSATED if ending.compensates and given is not None else Node.CANCELLED
    await tell_customer(claim, node, lambda _: words)


async def show_compensation(claim: Claim, reason: str, owed: Refund | None, given: Coupon | None) -> None:
    """Write into the run why the order was compensated and what came of it, for operators. Twice: one more version."""
    if FlowRunContext.get() is None:
        return  # no run, nothing to show it in
    rows = [("订单", claim.order_no), ("履约单", claim.fulfilment_no), ("原因", plain(reason))]
    if owed is not None:
        rows.append(("退款", f"{yuan(owed.amount_fen)},{refund.STEP_WORDS[owed.state][0]}({owed.refund_no})"))
    if given is not None:
        rows.append(("优惠券", f"{yuan(given.value_fen)},尾号 {given.code[-4:]},{given.ends_at:%Y-%m-%d} 前有效"))
    link = f"{settings().staff_url()}/orders/{claim.order_no}"
    table = "\n".join(f"| {name} | {text} |" for name, text in rows)
    await acreate_markdown_artifact(
        key=f"compensation-{claim.order_no.lower()}",
        markdown=f"# 补偿 {claim.order_no}\n\n| | |\n|---|---|\n{table}\n\n[订单页]({link})",
        description=f"{claim.fulfilment_no}:{reason}"[:200],
    )
