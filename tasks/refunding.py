"""Steps: money back to the customer, asked for once and followed until it is there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Session

from integrations.errors import Later, Refused, Unclear
from integrations.payments import Payments, PaymentState, RefundAnswer, RefundState, RefundWish, Trade
from integrations.platforms import NotConnected
from models import refund
from models.allocation import made_of
from models.database import in_transaction, utcnow
from models.effect import REFUND, EffectBusy
from models.fulfilment import Claim, WaitingOn, hold_on
from models.intake import PlatformStatus
from models.order import Order, lines_of
from models.refund import Refund, RefundStep
from models.settings import settings
from tasks.outside import platforms
from tasks.payment import UNPAID_LOOK_AGAIN, ask_payment
from tasks.step import outward
from tasks.telling import tell_once
from tasks.working import MustWait

_STEPS = {
    RefundState.PROCESSING: RefundStep.PROCESSING,
    RefundState.PAID: RefundStep.PAID,
    RefundState.ABNORMAL: RefundStep.STUCK,
    RefundState.CLOSED: RefundStep.STUCK,
}


class NoLongerOwed(Exception):
    """The refund was settled in another way since it was read: nothing is asked for."""

    def __init__(self, refund_no: str) -> None:
        super().__init__(f"退款 {refund_no} 已经了结,不再向平台申请。")


async def settle_payment(claim: Claim) -> None:
    """Know what was really paid before anything is paid back. Twice: it is known, nothing is asked.

    Money that the channel has seen and its keeper has not yet may still come: it is waited for, so that it goes back.
    """
    order = await in_transaction(lambda session: session.get_one(Order, claim.order_id))
    if order.payment_verified_at is None and order.paid_fen > 0:
        record = await ask_payment(order)
        if record.state is PaymentState.PENDING:
            raise MustWait(WaitingOn.PAYMENT, "渠道显示已付款,收款方还查不到,到账后退还", utcnow() + UNPAID_LOOK_AGAIN)
        if record.state in (PaymentState.PAID, PaymentState.PART_REFUNDED):
            await in_transaction(lambda session: _stamp(session, claim, record.paid_fen, record.paid_at))


def _stamp(session: Session, claim: Claim, paid_fen: int, paid_at: datetime | None) -> None:
    hold_on(session, claim)
    order = session.get_one(Order, claim.order_id, with_for_update=True)
    order.payment_verified_at = utcnow()
    order.paid_fen, order.paid_at = paid_fen, paid_at or order.paid_at
    session.add(order)


async def pay_back(owed: Refund, claim: Claim | None = None) -> Refund:
    """Carry a refund on: ask for it, or ask what became of it; the refund as it is then. Twice: it is paid once.

    What the keeper refuses reaches a person. Raises `Later`, `Unclear` and `EffectBusy`: try again; and `NotConnected`
    where it cannot be asked about a refund that it has taken.
    """
    if owed.state not in refund.OPEN:
        return owed
    if owed.state == RefundStep.PROCESSING.value or owed.refund_id:  # it was taken: only asking tells what came of it
        await follow_refund(owed)
    else:
        try:  # what was refused may be taken by now: the buyer has applied meanwhile
            await ask_for_refund(owed, claim)
        except NoLongerOwed:
            pass
        except (Refused, NotConnected) as error:
            problem = str(error)
            await in_transaction(lambda session: _refused(session, owed, problem))
    return await in_transaction(lambda session: session.get_one(Refund, owed.id, populate_existing=True))


@outward("退款")
async def ask_for_refund(owed: Refund, claim: Claim | None) -> None:
    """Ask the keeper of the money. Twice: it is asked whether it has this refund before it is told again."""
    keeper = platforms().keeper(owed.keeper)

    async def call(request: bytes) -> dict[str, Any]:
        return _kept(await keeper.refund(request))

    async def ask(request: bytes) -> dict[str, Any] | None:
        known = await keeper.find_refund(request)
        return None if known is None else _kept(known)

    await tell_once(
        claim,
        REFUND,
        f"refund-{owed.refund_no}",
        lambda session: keeper.refund_request(_wish_still_owed(session, owed)),
        call,
        lambda session, answer: _answered(session, owed, answer),
        ask=ask,
        order_id=owed.order_id,
        fulfilment_id=owed.fulfilment_id,
    )


@outward("查询退款")
async def follow_refund(owed: Refund) -> None:
    """Ask what became of a refund that was taken. Reading only."""
    keeper: Payments = platforms().keeper(owed.keeper)
    wish = await in_transaction(lambda session: _wish(session, owed))
    try:
        answer = await keeper.find_refund(keeper.refund_request(wish))
    except Refused as error:  # that it will not say is no answer: whoever took it for one would pay once more
        raise Unclear(error.platform, error.code, f"问不到退款 {owed.refund_no} 的结果:{error.message}") from error
    if answer is not None:
        await in_transaction(lambda session: _answered(session, owed, _kept(answer)))
    else:
        await in_transaction(lambda session: _not_shown(session, owed))
    await in_transaction(lambda session: _remind(session, owed))


def _remind(session: Session, owed: Refund) -> None:
    refund.remind_if_slow(session, session.get_one(Refund, owed.id), utcnow())


def _wish_still_owed(session: Session, owed: Refund) -> RefundWish:
    """The wish, in the transaction of the intent: since `owed` was read, a person may have paid it. `NoLongerOwed`."""
    if session.get_one(Refund, owed.id, populate_existing=True).state not in refund.OPEN:
        raise NoLongerOwed(owed.refund_no)
    return _wish(session, owed)


def _wish(session: Session, owed: Refund) -> RefundWish:
    order = session.get_one(Order, owed.order_id)
    if owed.fulfilment_id is not None:
        parts = made_of(session, owed.order_id, owed.fulfilment_id)
        lines = tuple((line.channel_line_id, part.quantity) for part, line, _ in parts)
    else:
        whole = owed.amount_fen == order.paid_fen
        lines = (
            tuple((line.channel_line_id, line.quantity) for line in lines_of(session, owed.order_id)) if whole else ()
        )
    return RefundWish(
        refund_no=owed.refund_no,
        trade=Trade(order.channel_order_id, order.payment_ref, order.shop),
        amount_fen=owed.amount_fen,
        paid_fen=order.paid_fen,
        currency=order.currency,
        reason=owed.reason,
        lines=lines,
        handles=order.handles,
    )


def _kept(answer: RefundAnswer) -> dict[str, Any]:
    return {
        "state": answer.state.value,
        "refund_id": answer.refund_id,
        "refunded_fen": answer.refunded_fen,
        "reason": answer.reason,
    }


def _answered(session: Session, owed: Refund, answer: dict[str, Any] | None) -> None:
    assert answer is not None, "an effect that can be asked about is never given up"
    step, problem = _STEPS[RefundState(answer["state"])], answer["reason"]
    if step is RefundStep.PAID and answer["refunded_fen"] != owed.amount_fen:
        step, problem = RefundStep.STUCK, f"应退 {owed.amount_fen} 分,平台退了 {answer['refunded_fen']} 分:请核对"
    _report(session, owed.refund_no, step, answer["refund_id"], problem)


def _refused(session: Session, owed: Refund, problem: str) -> None:
    """Nothing was paid, and a person has to; unless the platform has paid all of it back itself."""
    elsewhere = session.get_one(Order, owed.order_id).platform_status == PlatformStatus.REFUNDED.value
    _report(session, owed.refund_no, RefundStep.DROPPED if elsewhere else RefundStep.STUCK, "", problem)


def _not_shown(session: Session, owed: Refund) -> None:
    """It knows nothing of what it took: asked again later, and what is stuck stays stuck."""
    now = utcnow()
    again = refund.look_again(RefundStep.PROCESSING, settings().policy.refund_look_again_minutes, now)
    refund.report(session, owed.refund_no, RefundStep.PROCESSING, "refund", now, look_again_at=again)


def _report(session: Session, refund_no: str, step: RefundStep, refund_id: str, problem: str) -> None:
    now = utcnow()
    again = refund.look_again(step, settings().policy.refund_look_again_minutes, now)
    refund.report(
        session, refund_no, step, "refund", now, refund_id=refund_id, problem=problem, look_again_at=again, fresh=True
    )


def _later(session: Session, refund_no: str) -> None:
    again = refund.look_again(RefundStep.DUE, settings().policy.refund_look_again_minutes, utcnow())
    refund.postpone(session, refund_no, again)


async def follow_refunds() -> dict[str, int]:
    """Carry on every refund that is due and nobody is working on; how many came to which state."""
    owed = await in_transaction(lambda session: refund.refunds_to_follow(session, utcnow()))
    counts: dict[str, int] = {}
    unforeseen: list[Exception] = []
    for one in owed:
        try:
            state = (await pay_back(one)).state
        except (Later, Unclear, EffectBusy, NotConnected):
            state = "later"
            await in_transaction(lambda session, no=one.refund_no: _later(session, no))  # type: ignore[misc]
        except Exception as error:  # one bad refund must not stop those behind it
            unforeseen.append(error)
            continue
        counts[state] = counts.get(state, 0) + 1
    if unforeseen:
        raise ExceptionGroup("有退款出了意料之外的错,其他的已照常跟进", unforeseen)
    return counts
