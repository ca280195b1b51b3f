"""Compensation: an order that was paid and cannot be filled is paid back in full, with a coupon, once.

Asked for by a rule (the warehouse says "not there", a count comes out short, nothing is left), carried out by the
lane (`tasks/winding_up.py`). Above so many an hour or so much a day it stops by itself and a person decides:
something larger is wrong then than one order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlmodel import Field, Session, SQLModel, select

from models import hold
from models.backorder import BackorderState, leave_queue
from models.fulfilment import Fulfilment, Stage, interrupt
from models.order import Order, lock_order
from models.refund import share_of
from models.review_withdrawal import withdraw
from models.settings import PolicySettings
from models.table import big, key, moment, reference, words
from models.timeline import EventKind, note
from models.wording import TZ, yuan

HOLD = "compensation_limit"
#: Taken while limits are counted, so that two at once do not both find room for one.
LOCK = 7_246_003


class Cause(StrEnum):
    """Why an order cannot be filled."""

    NOT_THERE = "not_there"
    OUT_OF_STOCK = "out_of_stock"
    COUNTED_SHORT = "counted_short"
    NOT_MADE = "not_made"
    BY_HAND = "by_hand"


CAUSE_WORDS = {
    Cause.NOT_THERE: ("仓库查无货", "the warehouse did not find it"),
    Cause.OUT_OF_STOCK: ("库存不足", "out of stock"),
    Cause.COUNTED_SHORT: ("盘点短少", "a count came out short"),
    Cause.NOT_MADE: ("生产失败", "production failed"),
    Cause.BY_HAND: ("人工决定", "decided by a person"),
}


class CompensationState(StrEnum):
    """How far a compensation is."""

    DUE = "due"
    STOPPED = "stopped"  # over the limit: a person decides
    DONE = "done"
    DECLINED = "declined"


@dataclass(frozen=True)
class Limits:
    """The seller's settings that compensation goes by."""

    an_hour: int
    fen_a_day: int
    coupon_percent: int
    coupon_least_fen: int
    coupon_most_fen: int
    when_short: str
    backorder_days: int

    @classmethod
    def of(cls, policy: PolicySettings) -> Limits:
        """As the settings have them."""
        return cls(
            an_hour=policy.most_compensations_an_hour,
            fen_a_day=policy.most_compensation_fen_a_day,
            coupon_percent=policy.coupon_percent,
            coupon_least_fen=policy.coupon_least_fen,
            coupon_most_fen=policy.coupon_most_fen,
            when_short=policy.when_short,
            backorder_days=policy.backorder_days,
        )


class Compensation(SQLModel, table=True):
    """One fulfilment that is paid back. Amounts are what was foreseen; the refund's own row says what was paid."""

    __tablename__ = "compensation"
    __table_args__ = (
        CheckConstraint("refund_fen >= 0 AND coupon_fen >= 0", name="compensation_not_negative"),
        Index("compensation_by_time", "asked_at"),
    )

    id: int | None = key()
    fulfilment_id: int = Field(foreign_key="fulfilment.id", unique=True, sa_type=BigInteger)
    order_id: int = reference("orders.id")
    cause: str
    reason: str = words()
    state: str = CompensationState.DUE.value
    refund_fen: int = big()
    coupon_fen: int = big()
    automatic: bool = True
    asked_at: datetime = moment()
    asked_by: str
    decided_at: datetime | None = moment(nullable=True)
    decided_by: str = ""
    done_at: datetime | None = moment(nullable=True)

    @property
    def is_open(self) -> bool:
        """Whether it is to be carried out, or waits for a person's word."""
        return self.state in (CompensationState.DUE.value, CompensationState.STOPPED.value)


def request(
    session: Session,
    fulfilment: Fulfilment,
    cause: Cause,
    reason: str,
    actor: str,
    now: datetime,
    limits: Limits,
    *,
    by_person: bool = False,
) -> tuple[bool, str]:
    """Have a fulfilment paid back; (taken, a sentence). Asked again, it is said what became of it and nothing changes.

    The fulfilments of its order must be locked; whoever works on this one loses the claim. What a person asks for has
    no limit.
    """
    assert fulfilment.id is not None
    order = session.get_one(Order, fulfilment.order_id)
    number = f"{order.order_no}-{fulfilment.number}"
    known = compensation_of(session, fulfilment.id)
    if known is not None and known.state != CompensationState.DECLINED.value:
        return False, f"{number} 的补偿{_SAID[CompensationState(known.state)]}({known.reason}),这次没有改变任何内容。"
    if Stage(fulfilment.stage).reached(Stage.SHIPPED):
        return False, f"{number} 已经发货或了结,不能按缺货补偿:请走退货或手工退款。"
    if order.payment_verified_at is None:
        return False, f"{number} 还没有核实付款,没有钱可退:请取消订单。"
    if order.cancel_requested_at is not None:
        return False, f"{number} 已经在取消,款项会一并退回,这次没有改变任何内容。"
    amount = share_of(session, order, fulfilment)
    coupon = coupon_value(amount, limits)
    stopped = False if by_person else over_limit(session, amount + coupon, now, limits)
    row = known or Compensation(
        fulfilment_id=fulfilment.id, order_id=fulfilment.order_id, cause=cause.value, asked_at=now, asked_by=actor
    )
    row.cause, row.reason, row.asked_at, row.asked_by = cause.value, reason[:500], now, actor
    row.refund_fen, row.coupon_fen, row.automatic = amount, coupon, not by_person
    row.state = (CompensationState.STOPPED if stopped else CompensationState.DUE).value
    row.decided_at, row.decided_by = (now, actor) if by_person else (None, "")
    session.add(row)
    session.flush()
    leave_queue(session, fulfilment.id, BackorderState.ENDED, now)
    withdraw(session, fulfilment.id, now)
    detail = {"cause": cause.value, "reason": reason[:300], "refund_fen": amount, "coupon_fen": coupon}
    note(session, order.id or 0, EventKind.COMPENSATION_DUE, actor, now, fulfilment.id, **detail)
    if stopped:
        _stop(session, order, fulfilment, amount, actor, now, limits)
    interrupt(session, [fulfilment.id], now)
    return True, (
        f"{number} 的补偿超过自动上限,等人批准。" if stopped else f"{number} 将退款 {yuan(amount)} 并补偿优惠券。"
    )


_SAID = {
    CompensationState.DUE: "正在办理",
    CompensationState.STOPPED: "在等人批准",
    CompensationState.DONE: "已经完成",
    CompensationState.DECLINED: "已被驳回",
}


def _stop(
    session: Session, order: Order, fulfilment: Fulfilment, amount: int, actor: str, now: datetime, limits: Limits
) -> None:
    assert order.id is not None
    reason = (
        f"自动补偿已达上限(每小时 {limits.an_hour} 单,每天 {yuan(limits.fen_a_day)}),本单应退 {yuan(amount)},需要人决定"
    )
    how = f"批准或驳回:员工页面「补偿与退款」,或部署 compensate-order(订单号 {order.order_no})"
    hold.place(session, order.id, HOLD, reason, "客服主管", how, actor, now)
    note(session, order.id, EventKind.COMPENSATION_STOPPED, actor, now, fulfilment.id, reason=reason)


def over_limit(session: Session, amount_fen: int, now: datetime, limits: Limits) -> bool:
    """Whether one more automatic compensation of this amount, coupon included, would pass a limit (hour or day)."""
    session.connection().execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    midnight = now.astimezone(TZ).replace(hour=0, minute=0, second=0, microsecond=0)
    row = (
        session.connection()
        .execute(
            text(
                "SELECT count(*) FILTER (WHERE asked_at > :hour_ago) AS in_hour,"
                " coalesce(sum(refund_fen + coupon_fen) FILTER (WHERE asked_at >= :midnight), 0) AS fen_today"
                " FROM compensation WHERE automatic AND state IN ('due', 'done')"
                " AND asked_at >= least(CAST(:hour_ago AS timestamptz), CAST(:midnight AS timestamptz))"
            ),
            {"hour_ago": now - timedelta(hours=1), "midnight": midnight},
        )
        .one()
    )
    return row.in_hour >= limits.an_hour or row.fen_today + amount_fen > limits.fen_a_day


def coupon_value(paid_fen: int, limits: Limits) -> int:
    """What a coupon is worth by rule: a share of what was paid, in whole yuan, between the least and the most."""
    if not limits.coupon_percent or not paid_fen:
        return 0
    share = paid_fen * limits.coupon_percent // 100 // 100 * 100
    return min(max(share, limits.coupon_least_fen), limits.coupon_most_fen)


def decide(session: Session, order_id: int, approve: bool, who: str, now: datetime) -> tuple[bool, str]:
    """A person approves or declines what was stopped; (taken, a sentence). Decided already, nothing changes.

    Declined, the order waits for goods again.
    """
    order = lock_order(session, order_id)
    statement = select(Compensation).where(
        Compensation.order_id == order_id, Compensation.state == CompensationState.STOPPED.value
    )
    stopped = list(session.exec(statement.with_for_update().execution_options(populate_existing=True)))
    if not stopped:
        return False, f"订单 {order.order_no} 没有等待批准的补偿,这次没有改变任何内容。"
    for row in stopped:
        row.state = (CompensationState.DUE if approve else CompensationState.DECLINED).value
        row.decided_at, row.decided_by, row.automatic = now, who, False
        session.add(row)
        note(
            session,
            order_id,
            EventKind.COMPENSATION_DECIDED,
            who,
            now,
            row.fulfilment_id,
            decision="批准" if approve else "驳回",
        )
    session.flush()
    hold.lift(session, order_id, who, now, [HOLD])
    interrupt(session, [row.fulfilment_id for row in stopped], now)
    verdict = "已批准,正在退款" if approve else "已驳回,订单继续等货"
    return True, f"订单 {order.order_no} 的补偿{verdict}。"


def no_longer_needed(session: Session, fulfilment_id: int, actor: str, now: datetime) -> None:
    """The fulfilment ends in another way: what was stopped needs nobody's word any more. Twice: nothing changes."""
    row = compensation_of(session, fulfilment_id)
    if row is None or row.state != CompensationState.STOPPED.value:
        return
    row.state, row.decided_at, row.decided_by = CompensationState.DECLINED.value, now, actor
    session.add(row)
    session.flush()
    note(session, row.order_id, EventKind.COMPENSATION_DECIDED, actor, now, fulfilment_id, decision="不再需要")
    if all(other.state != CompensationState.STOPPED.value for other in compensations_of(session, row.order_id)):
        hold.lift(session, row.order_id, actor, now, [HOLD])


def compensation_of(session: Session, fulfilment_id: int) -> Compensation | None:
    """The compensation of a fulfilment, if one was ever asked for."""
    statement = select(Compensation).where(Compensation.fulfilment_id == fulfilment_id)
    return session.exec(statement.execution_options(populate_existing=True)).first()


def compensations_of(session: Session, order_id: int) -> list[Compensation]:
    """The compensations of an order, oldest first."""
    statement = select(Compensation).where(Compensation.order_id == order_id).order_by(Compensation.id)  # type: ignore[arg-type]
    return list(session.exec(statement))
