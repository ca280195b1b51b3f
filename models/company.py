"""Who may share a parcel with whom: the rules, and the look-ups of those to whom they are put."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from models.compensation import compensation_of
from models.fulfilment import Stage, WaitingOn
from models.hold import open_holds
from models.order import Contact
from models.parcel import parcel_of
from models.production import FINAL, WorkState, work_orders_of
from models.settings import PolicySettings
from models.shared_parcel import SharedParcel, SharedParcelMember, Traveller, travellers, travellers_of
from models.shipment import shipment_of

#: The maker of what was merged without a person, and the actor of what the rules do.
ACTOR = "merge"
#: What a fulfilment waits for that nobody should wait for on top.
STANDING_STILL = frozenset(
    {WaitingOn.PAYMENT, WaitingOn.CUSTOMER, WaitingOn.BACKORDER, WaitingOn.REFUND, WaitingOn.PERSON}
)


@dataclass(frozen=True)
class Terms:
    """The seller's settings that merging goes by. `window` zero: nothing is merged without a person."""

    window: timedelta
    wait: timedelta

    @classmethod
    def of(cls, policy: PolicySettings) -> Terms:
        """As the settings have them."""
        return cls(timedelta(minutes=policy.merge_within_minutes), timedelta(hours=policy.merge_wait_hours))


def why_too_late(session: Session, one: Traveller) -> str:
    """Why nothing can be changed about the parcel of this fulfilment any more, in Chinese; empty when it can."""
    if Stage(one.fulfilment.stage).reached(Stage.SHIPPED):
        return "已经发货或了结"
    if one.order.cancel_requested_at is not None:
        return "正在取消"
    made_up = compensation_of(session, one.id)
    if made_up is not None and made_up.is_open:
        return "正在补偿退款"
    told = parcel_of(session, one.id) is not None or shipment_of(session, one.id, one.number).asked_for
    return "已经有运单" if told else ""


def why_not_free(session: Session, one: Traveller) -> str:
    """Why this fulfilment cannot share a parcel with anybody, in Chinese; empty when it can."""
    held = [hold.reason for hold in open_holds(session, one.fulfilment.order_id) if hold.blocking]
    return why_too_late(session, one) or (f"被暂停({held[0][:60]})" if held else "")


def why_not_together(one: Traveller, other: Traveller) -> str:
    """Why these two cannot share a parcel, whatever each is doing, in Chinese; empty when they can.

    One customer is one buyer of one shop, or one address and phone that both platforms have shown in clear. A mask
    and what is under it cannot be compared: then the district has to do, until the waybill.
    """
    if one.fulfilment.order_id == other.fulfilment.order_id:
        return "是同一个订单的两件(放在一起请用「合并回」)"
    if not _is_same_place(one.contact, other.contact):
        return "收货地址或电话不同"
    seller = (other.order.channel, other.order.shop, other.order.buyer)
    is_same_buyer = bool(one.order.buyer) and (one.order.channel, one.order.shop, one.order.buyer) == seller
    if not is_same_buyer and (one.contact.only_masked or other.contact.only_masked):
        return "平台还没有给出完整的地址,不能确认是同一客户"
    warehouses = {one.fulfilment.warehouse, other.fulfilment.warehouse} - {""}
    return f"从不同的仓库发({'、'.join(sorted(warehouses))})" if len(warehouses) > 1 else ""


def _is_same_place(one: Contact, other: Contact) -> bool:
    if one.only_masked == other.only_masked:
        return bool(one.fingerprint) and one.fingerprint == other.fingerprint
    return (one.province, one.city, one.district) == (other.province, other.city, other.district)


def why_not_along(session: Session, shared: SharedParcel, one: Traveller) -> str:
    """Why a member of an open shared parcel cannot stay in it, in Chinese; empty when it can."""
    reason = why_not_free(session, one)
    if reason:
        return reason
    if one.fulfilment.warehouse and one.fulfilment.warehouse != shared.warehouse:
        return f"改从 {one.fulfilment.warehouse} 发货"
    if one.contact.only_masked == shared.only_masked and one.contact.fingerprint != shared.fingerprint:
        return "收货地址变了"
    if shared.made_by == ACTOR and not is_ready(one) and one.fulfilment.waiting_on in STANDING_STILL:
        return "要等货或等人处理"
    return ""


def is_ready(one: Traveller) -> bool:
    """Whether a member has come to its waybill, and nothing has sent it back since."""
    return one.member is not None and one.member.ready_at is not None and one.fulfilment.stage == Stage.PRODUCED.value


def may_by_itself(session: Session, one: Traveller, terms: Terms, now: datetime) -> bool:
    """Whether this fulfilment is on its way, so that others may wait for it without a person having said so."""
    is_moving = one.fulfilment.warehouse or one.fulfilment.stage == Stage.RECEIVED.value
    if not is_moving or one.order.paid_at is None or one.fulfilment.waiting_on in STANDING_STILL:
        return False
    works = [work for work in work_orders_of(session, one.id) if WorkState(work.state) not in FINAL]
    if any(work.expected_at is not None and work.expected_at > now + terms.wait for work in works):
        return False
    return not why_not_free(session, one) and not has_left_once(session, one.id)


def has_left_once(session: Session, fulfilment_id: int) -> bool:
    """Whether it was in a shared parcel and left: then only a person merges it again."""
    statement = select(SharedParcelMember.id).where(
        SharedParcelMember.fulfilment_id == fulfilment_id, col(SharedParcelMember.left_at).is_not(None)
    )
    return session.exec(statement).first() is not None


def fits(one: Traveller, everybody: Sequence[Traveller], terms: Terms) -> bool:
    """Whether it may join all of these without a person, paid close enough to each."""
    return all(not why_not_together(one, other) and _is_close(one, other, terms.window) for other in everybody)


def _is_close(one: Traveller, other: Traveller, window: timedelta) -> bool:
    if one.order.paid_at is None or other.order.paid_at is None:
        return False
    return abs(one.order.paid_at - other.order.paid_at) <= window


_SAME_ADDRESS = text("""
SELECT f.id FROM contact c JOIN orders o ON o.contact_id = c.id JOIN fulfilment f ON f.order_id = o.id
WHERE c.fingerprint = :fingerprint AND o.id <> :order AND o.cancel_requested_at IS NULL
  AND o.paid_at BETWEEN CAST(:paid AS timestamptz) - :window AND CAST(:paid AS timestamptz) + :window
  AND f.stage IN ('received', 'reserved', 'approved', 'produced')
ORDER BY o.paid_at, f.id LIMIT :limit
""")


def near(session: Session, one: Traveller, window: timedelta, limit: int = 50) -> list[Traveller]:
    """Unshipped fulfilments of other orders to the same address, paid within `window` of this one, oldest first.

    Looked up without a lock: what is to follow from it is asked again under one.
    """
    if not one.contact.fingerprint or one.order.paid_at is None:
        return []
    asked = {
        "fingerprint": one.contact.fingerprint,
        "order": one.fulfilment.order_id,
        "paid": one.order.paid_at,
        "window": window,
        "limit": limit,
    }
    return travellers(session, [id for (id,) in session.connection().execute(_SAME_ADDRESS, asked)])


def could_go_with(session: Session, fulfilment_id: int, days: int = 30) -> list[Traveller]:
    """Fulfilments of other orders that a person may merge with this one, by id."""
    (one,) = travellers(session, [fulfilment_id])
    if not one.fulfilment.warehouse or why_not_free(session, one):
        return []
    own = one.member.shared_parcel_id if one.member is not None else None
    return [
        other
        for other in near(session, one, timedelta(days=days))
        if other.fulfilment.warehouse
        and (other.member is None or other.member.shared_parcel_id != own)
        and not why_not_free(session, other)
        and not any(why_not_together(one, fellow) for fellow in _with_fellows(session, other))
    ]


def _with_fellows(session: Session, one: Traveller) -> list[Traveller]:
    return [one] if one.member is None else travellers_of(session, one.member.shared_parcel_id)
