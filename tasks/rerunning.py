"""A person asks for an order to be worked on now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from prefect.states import Completed, State
from sqlmodel import Session

from models import hold
from models.database import in_transaction, utcnow
from models.fulfilment import Claim, claim_order, fulfilments_of
from models.order import find_order
from models.settings import settings
from models.timeline import EventKind, note
from tasks.claiming import lane_name

#: Holds that mean "look at it and try again": asking for a new run is the answer to them.
TRY_AGAIN = ("keeps_failing", "not_connected", "refused_")


class HeldElsewhere(Exception):
    """Somebody works on this order at this moment."""

    def __init__(self, order_no: str, seconds: int) -> None:
        super().__init__(f"订单 {order_no} 正在被处理(最长还要 {seconds} 秒):稍等片刻看结果;确实没有动静,再运行一次。")


async def claim_by_hand(order_no: str, reason: str) -> list[Claim]:
    """Claim what is unfinished of this order, and lift the holds that a new try answers.

    Raises `OrderUnknown` and `HeldElsewhere`; an order that is finished gives no claims.
    """
    return await in_transaction(lambda session: _claim(session, order_no, reason))


def _claim(session: Session, order_no: str, reason: str) -> list[Claim]:
    now = utcnow()
    order = find_order(session, order_no)
    assert order.id is not None
    codes = [h.code for h in hold.open_holds(session, order.id) if h.code.startswith(TRY_AGAIN)]
    if codes:
        hold.lift(session, order.id, f"rerun: {reason}"[:80], now, codes)
    note(session, order.id, EventKind.RERUN, "person", now, reason=reason[:300])
    claims = claim_order(session, order.id, lane_name("desk"), settings().lane.claim_seconds)
    busy = [f.claim_until for f in fulfilments_of(session, order.id) if f.claim_until is not None]
    if busy and not claims:
        raise HeldElsewhere(order.order_no, int(max(timedelta(0), max(busy) - now).total_seconds()))
    return claims


def summary(order_no: str, claims: Sequence[Claim], states: Sequence[State]) -> State:
    """One final state for all fulfilments of the order: that of a run which failed, if one did."""
    if not claims:
        return Completed(name="已结束", message=f"订单 {order_no} 已经结束,没有需要做的。")
    if failed := next((state for state in states if not state.is_completed()), None):
        return failed
    names = ";".join(dict.fromkeys(str(state.name) for state in states))
    return Completed(name=names, message=";".join(str(state.message or "") for state in states))
