"""Coupons that make up for something: one code, used once."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint
from sqlmodel import Field, Session, SQLModel, select

from models.compensation import Compensation
from models.order import Order, find_order
from models.quality import plain
from models.table import big, moment, reference
from models.timeline import EventKind, note
from models.wording import local, yuan

#: No letter or digit that is taken for another one on the telephone. 12 of these are 60 bits: nobody guesses one.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
LETTERS = 12
#: A coupon needs an order of at least so many times its value.
LEAST_ORDER = 2


class CouponState(StrEnum):
    """What became of a coupon."""

    ISSUED = "issued"
    REDEEMED = "redeemed"


class Coupon(SQLModel, table=True):
    """One coupon. `platform_id` is the channel's own, where the channel takes the code at its checkout."""

    __tablename__ = "coupon"
    __table_args__ = (
        CheckConstraint("value_fen > 0", name="coupon_positive"),
        CheckConstraint("(state = 'redeemed') = (redeemed_at IS NOT NULL)", name="redeemed_has_a_time"),
    )

    code: str = Field(primary_key=True)
    compensation_id: int = Field(foreign_key="compensation.id", unique=True, sa_type=BigInteger)
    order_id: int = reference("orders.id")
    channel: str
    value_fen: int = big()
    least_order_fen: int = big()
    starts_at: datetime = moment()
    ends_at: datetime = moment()
    platform_id: str = ""
    state: str = CouponState.ISSUED.value
    redeemed_at: datetime | None = moment(nullable=True)
    redeemed_for: str = ""
    redeemed_by: str = ""


def issue(session: Session, compensation: Compensation, order: Order, now: datetime, days: int) -> Coupon | None:
    """The coupon of a compensation, made now if there is none; None when its rule gives none."""
    known = coupon_of(session, compensation.id or 0)
    if known is not None or not compensation.coupon_fen:
        return known
    assert compensation.id is not None and order.id is not None
    coupon = Coupon(
        code="OL" + "".join(secrets.choice(ALPHABET) for _ in range(LETTERS)),
        compensation_id=compensation.id,
        order_id=order.id,
        channel=order.channel,
        value_fen=compensation.coupon_fen,
        least_order_fen=compensation.coupon_fen * LEAST_ORDER,
        starts_at=now.replace(microsecond=0),
        ends_at=(now + timedelta(days=days)).replace(microsecond=0),
    )
    session.add(coupon)
    session.flush()
    note(
        session, order.id, EventKind.COUPON_ISSUED, "wind-up", now, compensation.fulfilment_id,
        value=yuan(coupon.value_fen), code=f"…{coupon.code[-4:]}",
    )  # fmt: skip
    return coupon


def coupon_of(session: Session, compensation_id: int) -> Coupon | None:
    """The coupon that a compensation was given."""
    statement = select(Coupon).where(Coupon.compensation_id == compensation_id)
    return session.exec(statement.execution_options(populate_existing=True)).first()


def coupons_of(session: Session, order_id: int) -> list[Coupon]:
    """The coupons that an order was given."""
    return list(session.exec(select(Coupon).where(Coupon.order_id == order_id)))


def redeem(session: Session, code: str, order_no: str, who: str, now: datetime) -> tuple[bool, str]:
    """Use a coupon for an order; (taken, a sentence). Used before, unknown or out of date, nothing changes."""
    wanted = "".join(code.split()).upper()
    order = find_order(session, order_no)
    statement = select(Coupon).where(Coupon.code == wanted).with_for_update()
    coupon = session.exec(statement.execution_options(populate_existing=True)).first() if plain(wanted) else None
    if coupon is None:
        return False, "没有这张优惠券:请核对券码(OL 开头,共 14 位)。"
    if coupon.state == CouponState.REDEEMED.value:
        assert coupon.redeemed_at is not None
        return False, f"这张券已于 {local(coupon.redeemed_at)} 用于订单 {coupon.redeemed_for},每张只能用一次。"
    if not coupon.starts_at <= now < coupon.ends_at:
        return False, f"这张券的有效期是 {local(coupon.starts_at)} 至 {local(coupon.ends_at)}。"
    if order.total_fen < coupon.least_order_fen:
        return False, f"订单 {order.order_no} 为 {yuan(order.total_fen)},不足 {yuan(coupon.least_order_fen)}。"
    coupon.state, coupon.redeemed_at = CouponState.REDEEMED.value, now
    coupon.redeemed_for, coupon.redeemed_by = order.order_no, who
    session.add(coupon)
    assert order.id is not None
    note(session, order.id, EventKind.COUPON_REDEEMED, who, now, value=yuan(coupon.value_fen))
    session.flush()
    return True, f"已为订单 {order.order_no} 核销 {yuan(coupon.value_fen)}。"
