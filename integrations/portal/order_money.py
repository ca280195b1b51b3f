"""What an order's page says of compensation, refunds and coupons, and what may be done about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from models import compensation, refund
from models.compensation import Compensation, CompensationState, compensations_of
from models.coupon import Coupon, CouponState, coupons_of
from models.fulfilment import Stage, fulfilments_of
from models.order import Order
from models.refund import Refund, RefundStep, refunds_of

#: What of a code may be seen by who may not use it: as much as the timeline shows.
LAST_LETTERS = 4


@dataclass(frozen=True)
class MadeUp:
    """One compensation with its fulfilment's number and its coupon."""

    number: int
    row: Compensation
    coupon: Coupon | None
    over: bool

    @property
    def stopped(self) -> bool:
        """Whether a person has to decide; of a fulfilment that is over there is nothing left to decide."""
        return not self.over and self.row.state == CompensationState.STOPPED.value


@dataclass(frozen=True)
class Money:
    """The money side of one order. `open_parts`: numbers of fulfilments that a person may have compensated."""

    made_up: tuple[MadeUp, ...]
    refunds: tuple[Refund, ...]
    stuck: tuple[Refund, ...]
    open_parts: tuple[int, ...]

    @property
    def any(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.made_up or self.refunds)

    def decides(self, hold_code: str) -> bool:
        """Whether the money that this hold is about still waits for a person's word."""
        if hold_code == compensation.HOLD:
            return any(each.stopped for each in self.made_up)
        return hold_code == refund.HOLD and bool(self.stuck)


def money_of(session: Session, order: Order) -> Money:
    """The money side of this order, as it is now."""
    assert order.id is not None
    parts = fulfilments_of(session, order.id)
    by_id = {part.id: part for part in parts}
    rows, refunds = compensations_of(session, order.id), refunds_of(session, order.id)
    coupons = {coupon.compensation_id: coupon for coupon in coupons_of(session, order.id)}
    taken = {row.fulfilment_id for row in rows if row.state != CompensationState.DECLINED.value}
    may = order.payment_verified_at is not None and order.cancel_requested_at is None
    return Money(
        made_up=tuple(
            MadeUp(
                by_id[row.fulfilment_id].number,
                row,
                coupons.get(row.id or 0),
                over=Stage(by_id[row.fulfilment_id].stage).final,
            )
            for row in rows
        ),
        refunds=tuple(refunds),
        stuck=tuple(owed for owed in refunds if owed.state == RefundStep.STUCK.value),
        open_parts=tuple(
            part.number
            for part in parts
            if may and part.id not in taken and not Stage(part.stage).reached(Stage.SHIPPED)
        ),
    )


def code_shown(coupon: Coupon, whole: bool) -> str:
    """The code as this person may see it: a code is as good as money."""
    return coupon.code if whole else f"…{coupon.code[-LAST_LETTERS:]}"


def coupon_words(coupon: Coupon, now: datetime) -> str:
    """What became of a coupon."""
    if coupon.state == CouponState.REDEEMED.value:
        return f"已用于订单 {coupon.redeemed_for}"
    return "已过期" if coupon.ends_at <= now else "还没有使用"
