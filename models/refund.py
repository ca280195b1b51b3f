"""Refunds: what is owed to a customer, asked for once, and followed until the money is there.

`orders.refunded_fen` counts what is due, asked for or paid, and a constraint holds it to what was paid: whatever
goes wrong elsewhere, more is never even asked for. Amounts are integer fen, computed from the lines.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, Session, SQLModel, col, select

from models import hold
from models.fulfilment import Fulfilment, Stage, fulfilments_of, wake
from models.order import Order, lines_of, lock_order
from models.paid_elsewhere import keep_in_mind, paid_elsewhere
from models.table import big, key, moment, reference, words
from models.timeline import EventKind, note
from models.wanted import standings
from models.wording import yuan

HOLD = "refund_stuck"
#: How often what waits for a person is tried again by itself: the buyer may have applied, the balance been filled.
STUCK_LOOK_AGAIN = timedelta(hours=6)
#: How long money may be on its way before a person is told.
SLOW = timedelta(days=3)


class RefundStep(StrEnum):
    """How far a refund is."""

    DUE = "due"
    PROCESSING = "processing"  # the keeper of the money has taken it
    PAID = "paid"
    STUCK = "stuck"  # refused, or taken and impossible to pay: a person pays in another way
    BY_HAND = "by_hand"  # a person did
    DROPPED = "dropped"  # paid by the platform itself, or asked for by mistake: nothing is owed any more


OPEN = (RefundStep.DUE.value, RefundStep.PROCESSING.value, RefundStep.STUCK.value)
STEP_WORDS = {
    RefundStep.DUE.value: ("待退款", "due"),
    RefundStep.PROCESSING.value: ("退款处理中", "being processed"),
    RefundStep.PAID.value: ("已退款", "paid"),
    RefundStep.STUCK.value: ("退不出去,等人处理", "stuck, waits for a person"),
    RefundStep.BY_HAND.value: ("已线下退款", "paid by hand"),
    RefundStep.DROPPED.value: ("平台已自行退款", "paid by the platform itself"),
}
#: Steps that count as money given back.
COUNTS = (*OPEN, RefundStep.PAID.value, RefundStep.BY_HAND.value)


class TooMuch(Exception):
    """More was asked for than is left of what was paid."""

    def __init__(self, order_no: str, wanted: int, left: int) -> None:
        super().__init__(f"订单 {order_no} 还可退 {yuan(left)},退不了 {yuan(wanted)}:请减少金额。")


class Refund(SQLModel, table=True):
    """One refund. `refund_no` is the key told to the keeper of the money."""

    __tablename__ = "refund"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="refund_positive"),
        Index("refund_open", "look_again_at", postgresql_where=text("state IN ('due', 'processing', 'stuck')")),
    )

    id: int | None = key()
    refund_no: str = Field(unique=True)
    order_id: int = reference("orders.id")
    fulfilment_id: int | None = reference("fulfilment.id", nullable=True)
    keeper: str
    amount_fen: int = big()
    reason: str = words()
    state: str = RefundStep.DUE.value
    refund_id: str = ""
    problem: str = words()
    asked_by: str
    owed_at: datetime = moment()
    look_again_at: datetime = moment()
    settled_at: datetime | None = moment(nullable=True)
    settled_by: str = ""


def share_of(session: Session, order: Order, fulfilment: Fulfilment) -> int:
    """What is to be paid back when this fulfilment does not happen, in fen.

    The last one to fall away takes all that is left, freight and rounding included; another one its part of what was
    paid for its lines. Parts of one line are cut so that they add up to the line; pieces that the platform has
    cancelled are its own to pay back.
    """
    assert order.id is not None
    left = left_of(session, order)
    others = [f for f in fulfilments_of(session, order.id) if f.id != fulfilment.id]
    refunded = {r.fulfilment_id for r in refunds_of(session, order.id) if r.state in COUNTS}
    gone = (Stage.CANCELLED.value, Stage.REFUNDED.value)
    if all(other.id in refunded or other.stage in gone for other in others):
        return max(left, 0)
    carried = session.connection().execute(
        text(
            "SELECT p.order_line_id, p.quantity, p.fulfilment_id, f.number FROM fulfilment_line p"
            " JOIN fulfilment f ON f.id = p.fulfilment_id WHERE f.order_id = :order ORDER BY f.number, p.id"
        ),
        {"order": order.id},
    )
    before: dict[int, int] = {}
    lines = {line.id: line for line in lines_of(session, order.id)}
    too_many = {id: max(0, line.surplus) for id, line in standings(session, order.id).items()}
    share = 0
    for row in carried:
        line, start = lines[row.order_line_id], before.get(row.order_line_id, 0)
        if row.fulfilment_id == fulfilment.id:
            end = min(start + max(0, row.quantity - too_many[row.order_line_id]), line.quantity)
            share += max(0, line.paid_fen * end // line.quantity - line.paid_fen * start // line.quantity)
        before[row.order_line_id] = start + row.quantity
    return max(0, min(share, left))


def left_of(session: Session, order: Order) -> int:
    """What of an order's payment is neither paid back nor owed yet, by us or by the platform itself, in fen."""
    assert order.id is not None
    return max(0, order.paid_fen - order.refunded_fen - paid_elsewhere(session, order.id))


def owe(
    session: Session, order_id: int, fulfilment_id: int, reason: str, actor: str, now: datetime, keeper: str = ""
) -> Refund | None:
    """The refund of a fulfilment that does not happen, written now if there is none; None when nothing is left.

    `keeper` is who pays it; by default whoever the order says has collected the money.
    """
    order = lock_order(session, order_id)
    fulfilment = session.get_one(Fulfilment, fulfilment_id, populate_existing=True)
    number = f"{order.order_no}-{fulfilment.number}-R"
    known = session.exec(select(Refund).where(Refund.refund_no == number)).first()
    if known is not None:
        return known
    amount = share_of(session, order, fulfilment)
    if amount <= 0:
        return None
    return _write(session, order, number, amount, fulfilment_id, reason, actor, now, keeper)


def owe_part(
    session: Session,
    order_id: int,
    amount_fen: int,
    reason: str,
    once: str,
    who: str,
    now: datetime,
    keeper: str = "",
) -> Refund:
    """A refund that a person grants, of any part; `once` names the request, so that it counts once.

    Raises `TooMuch`.
    """
    order = lock_order(session, order_id)
    number = f"{order.order_no}-P{once}"[:64]
    known = session.exec(select(Refund).where(Refund.refund_no == number)).first()
    if known is not None:
        return known
    left = left_of(session, order) if order.payment_verified_at else 0
    if amount_fen <= 0 or amount_fen > left:
        raise TooMuch(order.order_no, amount_fen, left)
    return _write(session, order, number, amount_fen, None, reason, who, now, keeper)


def _write(
    session: Session,
    order: Order,
    number: str,
    amount_fen: int,
    fulfilment_id: int | None,
    reason: str,
    actor: str,
    now: datetime,
    keeper: str,
) -> Refund:
    assert order.id is not None
    keep_in_mind(session, order, f"platform:{order.channel}", now)
    order.refunded_fen += amount_fen
    refund = Refund(
        refund_no=number,
        order_id=order.id,
        fulfilment_id=fulfilment_id,
        keeper=keeper or order.payment_keeper or order.channel,
        amount_fen=amount_fen,
        reason=reason[:300],
        asked_by=actor,
        owed_at=now,
        look_again_at=now,
    )
    session.add_all([order, refund])
    session.flush()
    note(
        session, order.id, EventKind.REFUND_ASKED, actor, now, fulfilment_id,
        refund_no=number, amount=yuan(amount_fen), keeper=refund.keeper, reason=reason[:300],
    )  # fmt: skip
    return refund


def report(
    session: Session,
    refund_no: str,
    step: RefundStep,
    actor: str,
    now: datetime,
    *,
    refund_id: str = "",
    problem: str = "",
    look_again_at: datetime | None = None,
    fresh: bool = False,
) -> str:
    """What the keeper of the money says of a refund: `taken`, `known` (no news), or `unknown`.

    News may come twice, late and out of order: what is settled stays settled. `fresh`: the answer to a question asked
    just now, which may also say that what was stuck moves again. A stuck refund reaches a person.
    """
    asked = session.exec(select(Refund).where(Refund.refund_no == refund_no)).first()
    if asked is None:
        return "unknown"
    lock_order(session, asked.order_id)
    session.refresh(asked, with_for_update=True)
    if look_again_at is not None:
        asked.look_again_at = look_again_at
        session.add(asked)
    if asked.state not in OPEN or asked.state == step.value or (not fresh and _falls_back(asked.state, step)):
        if fresh and asked.state == step.value == RefundStep.STUCK.value:
            _ask_a_person(session, asked, actor, now)  # somebody released the hold to have it tried again
        session.flush()
        return "known"
    asked.state, asked.problem = step.value, problem[:500]
    asked.refund_id = refund_id or asked.refund_id
    if step.value not in OPEN:
        asked.settled_at, asked.settled_by = now, actor
    if step is not RefundStep.STUCK:
        hold.lift(session, asked.order_id, actor, now, [HOLD])
        for other in refunds_of(session, asked.order_id):
            if other.state == RefundStep.STUCK.value:
                _ask_a_person(session, other, actor, now)
    if step is RefundStep.DROPPED:
        order = session.get_one(Order, asked.order_id)
        order.refunded_fen -= asked.amount_fen
        session.add(order)
    session.add(asked)
    session.flush()
    note(
        session, asked.order_id, EventKind.REFUND_REPORTED, actor, now, asked.fulfilment_id,
        refund_no=refund_no, state=step.value, amount=yuan(asked.amount_fen), problem=problem[:200],
    )  # fmt: skip
    if step is RefundStep.STUCK:
        _ask_a_person(session, asked, actor, now)
    wake(session, [f.id for f in fulfilments_of(session, asked.order_id) if f.id is not None], now)
    return "taken"


def _ask_a_person(session: Session, stuck: Refund, actor: str, now: datetime) -> None:
    how = "用其他方式退给客户,然后在订单页按「已线下退款」;或在平台后台处理,平台显示退款后自动了结"
    reason = f"退款 {stuck.refund_no}({yuan(stuck.amount_fen)})退不出去:{stuck.problem[:200]}"
    hold.place(session, stuck.order_id, HOLD, reason, "财务", how, actor, now, blocking=False)


def _falls_back(state: str, step: RefundStep) -> bool:
    """Whether this is older news than what we know."""
    return state == RefundStep.STUCK.value and step in (RefundStep.DUE, RefundStep.PROCESSING)


def settle_by_hand(session: Session, refund_no: str, who: str, now: datetime) -> tuple[bool, str]:
    """A person has paid it in another way; (taken, a sentence)."""
    said = report(session, refund_no, RefundStep.BY_HAND, who, now)
    if said == "unknown":
        return False, f"没有退款 {refund_no}:请核对退款单号。"
    if said == "known":
        return False, f"退款 {refund_no} 已经了结,这次没有改变任何内容。"
    return True, f"退款 {refund_no} 已记为线下退款。"


def refunds_of(session: Session, order_id: int) -> list[Refund]:
    """The refunds of an order, oldest first."""
    statement = select(Refund).where(Refund.order_id == order_id).order_by(col(Refund.id))
    return list(session.exec(statement.execution_options(populate_existing=True)))


def refunds_to_follow(session: Session, now: datetime, limit: int = 200) -> list[Refund]:
    """Refunds that nobody has settled and that want to be looked at, the longest waiting first."""
    statement = (
        select(Refund)
        .where(col(Refund.state).in_(OPEN), Refund.look_again_at <= now)
        .order_by(col(Refund.look_again_at))
        .limit(limit)
    )
    return list(session.exec(statement))


def look_again(step: RefundStep, minutes: float, now: datetime) -> datetime:
    """When a refund is looked at next by itself: one that waits for a person seldom, another after so many minutes."""
    return now + (STUCK_LOOK_AGAIN if step is RefundStep.STUCK else timedelta(minutes=minutes))


def postpone(session: Session, refund_no: str, until: datetime) -> None:
    """It could not be carried on now: others come first until then."""
    session.connection().execute(
        text("UPDATE refund SET look_again_at = GREATEST(look_again_at, :until) WHERE refund_no = :no"),
        {"until": until, "no": refund_no},
    )


def remind_if_slow(session: Session, refund: Refund, now: datetime) -> None:
    """Money that has been on its way for days reaches a person, who asks the keeper of it."""
    if refund.state != RefundStep.PROCESSING.value or now - refund.owed_at < SLOW:
        return
    days = (now - refund.owed_at).days
    reason = f"退款 {refund.refund_no}({yuan(refund.amount_fen)})已经 {days} 天没有到账"
    how = "到收款方的后台查这笔退款,必要时请买家同意或改用其他方式;到账后自动了结,处理后解除"
    hold.place(session, refund.order_id, "refund_slow", reason, "财务", how, "refund", now, blocking=False)
