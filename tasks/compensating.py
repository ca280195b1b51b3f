"""A person has an order paid back: the whole of it because it cannot be filled, or a part as a goodwill."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum

from sqlmodel import Session

from models import compensation, refund
from models.compensation import Cause, Limits
from models.database import in_transaction, utcnow
from models.fulfilment import fulfilments_of
from models.order import find_order, lock_order
from models.refund import Refund
from models.settings import settings
from models.wording import yuan
from tasks.outside import platforms
from tasks.refunding import pay_back


class Action(StrEnum):
    """What a person can have done."""

    COMPENSATE = "compensate"
    APPROVE = "approve"
    DECLINE = "decline"


class BadAmount(Exception):
    """Not an amount of money."""

    def __init__(self, amount: str) -> None:
        super().__init__(f"看不懂金额「{amount[:20]}」:请填元,最多两位小数,例如 12.50。")


async def ask_for_compensation(order_no: str, action: Action, reason: str, who: str) -> tuple[bool, str]:
    """Record what a person wants; (whether anything changed, a sentence). Raises `OrderUnknown`."""
    return await in_transaction(lambda session: _ask(session, order_no, action, reason, who))


def _ask(session: Session, order_no: str, action: Action, reason: str, who: str) -> tuple[bool, str]:
    order = find_order(session, order_no)
    assert order.id is not None
    now = utcnow()
    if action is not Action.COMPENSATE:
        return compensation.decide(session, order.id, action is Action.APPROVE, who, now)
    lock_order(session, order.id)
    limits = Limits.of(settings().policy)
    asked = [
        compensation.request(session, part, Cause.BY_HAND, reason, who, now, limits, by_person=True)
        for part in fulfilments_of(session, order.id)
    ]
    return any(taken for taken, _ in asked), " ".join(sentence for _, sentence in asked)


async def refund_part(order_no: str, amount: str, reason: str, who: str, once: str) -> tuple[Refund, str]:
    """Grant and ask for a refund of `amount` yuan; the refund and a sentence. `once` names the request.

    Raises `OrderUnknown`, `TooMuch` and `BadAmount`; what the keeper of the money raises is tried again later.
    """
    fen = fen_of(amount)

    known = platforms()

    def grant(session: Session) -> Refund:
        order = find_order(session, order_no)
        assert order.id is not None
        keeper = known.keeper_of(order)
        return refund.owe_part(session, order.id, fen, reason, once, who, utcnow(), keeper)

    owed = await pay_back(await in_transaction(grant))
    return owed, f"订单 {order_no} 退款 {yuan(owed.amount_fen)}:{refund.STEP_WORDS[owed.state][0]}。"


def fen_of(amount: str) -> int:
    """Yuan as people write them, in fen. Raises `BadAmount`."""
    said = re.fullmatch(r"[¥\uffe5]?([0-9]{1,9}(?:\.[0-9]{1,2})?) ?元?", amount.strip().replace(",", ""))
    if said is None:
        raise BadAmount(amount)
    return int(Decimal(said[1]) * 100)
