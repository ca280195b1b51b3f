"""What a change on a channel does to an order that we know: paid, edited, a new address, shipped, cancelled."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from models import hold
from models.cancellation import reopen_if_paid_late, request_cancellation
from models.effect import SHIP_NOTICE, WAYBILL, EffectKind, EffectState, effects_of
from models.fulfilment import FulfilmentLine, Stage, carried_by, fulfilments_of, interrupt, wake
from models.intake import IncomingLine, IncomingOrder, PlatformStatus, Receiver
from models.order import Contact, Order, OrderLine, keep_contact, lines_of, lock_order, reveal
from models.product import Product
from models.refund import dropped_by_platform, may_have_been_told
from models.timeline import EventKind, note

#: Orders that are over on the channel; coming in like this for the first time, they are not ours to ship.
OVER = (PlatformStatus.CANCELLED, PlatformStatus.REFUNDED, PlatformStatus.SHIPPED, PlatformStatus.COMPLETE)
_ENDED = {PlatformStatus.CANCELLED: "取消", PlatformStatus.REFUNDED: "全额退款"}
_FURTHER = {status: -1 if status is PlatformStatus.UNKNOWN else place for place, status in enumerate(PlatformStatus)}
_NOT_TOLD = (EffectState.INTENDED.value, EffectState.REFUSED.value)


def is_news(incoming: IncomingOrder, order: Order) -> bool:
    """Whether a channel tells something newer. Platforms count in seconds: within one, the further status wins."""
    told = (incoming.updated_at, _FURTHER[incoming.status])
    return told > (order.platform_updated_at, _FURTHER[PlatformStatus(order.platform_status)])


def follow(
    session: Session, known: Order, incoming: IncomingOrder, catalogue: dict[str, Product], now: datetime
) -> bool:
    """Bring a known order up to what its channel says now; True if that changed anything we go by.

    Older news changes nothing, in whatever order and however often it arrives.
    """
    assert known.id is not None
    order = lock_order(session, known.id)
    if not is_news(incoming, order):
        return False
    before, actor = order.platform_status, f"platform:{order.channel}"
    unpaid = before == PlatformStatus.AWAITING_PAYMENT.value
    order.platform_updated_at, order.platform_status = incoming.updated_at, incoming.status.value
    session.add(order)
    changed = before != incoming.status.value
    if incoming.status in _ENDED:
        if incoming.status is PlatformStatus.REFUNDED and 0 < order.paid_fen <= order.refunded_fen:
            if may_have_been_told(session, known.id) < order.paid_fen:  # somebody paid there what it refused us
                dropped_by_platform(session, known.id, actor, now)
            return changed  # else the echo of our own refund, which is followed by itself
        request_cancellation(session, order, f"平台上已{_ENDED[incoming.status]}", actor, now)
        if incoming.status is PlatformStatus.REFUNDED:
            dropped_by_platform(session, known.id, actor, now)
        return changed
    if incoming.status in OVER:
        _shipped_there(session, known.id, actor, now)
    elif unpaid and _is_paid_late(session, order, incoming, now):
        changed = True
    elif unpaid:
        changed = _rewrite_unpaid(session, order, incoming, catalogue) or changed
    else:
        order.handles = {**order.handles, **incoming.handles}
        changed = _follow_address(session, order, incoming.receiver, actor, now) or changed
    if changed:
        note(session, known.id, EventKind.CHANGED_ON_CHANNEL, actor, now, before=before, after=incoming.status.value)
        wake(session, _unfinished(session, known.id), now)
    return changed


def copy(order: Order, incoming: IncomingOrder) -> None:
    """Write what the channel says of the order itself."""
    order.channel_order_name = incoming.channel_order_name
    order.platform_status = incoming.status.value
    order.placed_at, order.paid_at = incoming.placed_at, incoming.paid_at
    order.platform_updated_at = incoming.updated_at
    order.currency, order.total_fen, order.paid_fen = incoming.currency, incoming.total_fen, incoming.paid_fen
    order.freight_fen, order.discount_fen = incoming.freight_fen, incoming.discount_fen
    order.payment_keeper, order.payment_ref = incoming.payment_keeper, incoming.payment_ref
    order.buyer, order.note = incoming.buyer, incoming.note
    order.attributes, order.handles = dict(incoming.attributes), dict(incoming.handles)


def write_lines(
    session: Session, order_id: int, fulfilment_id: int, incoming: IncomingOrder, catalogue: dict[str, Product]
) -> None:
    """Write the order's lines, all of them carried by one fulfilment."""
    lines = [
        OrderLine(
            order_id=order_id,
            line_no=number,
            channel_line_id=line.channel_line_id,
            sku=line.sku,
            title=line.title,
            quantity=line.quantity,
            unit_price_fen=line.unit_price_fen,
            paid_fen=line.paid_fen,
            made_to_order=catalogue[line.sku].made_to_order,
            profile={**incoming.attributes, **line.attributes},
        )
        for number, line in enumerate(incoming.lines, 1)
    ]
    session.add_all(lines)
    session.flush()
    for line in lines:
        assert line.id is not None
        session.add(FulfilmentLine(fulfilment_id=fulfilment_id, order_line_id=line.id, quantity=line.quantity))
    session.flush()


def _rewrite_unpaid(session: Session, order: Order, incoming: IncomingOrder, catalogue: dict[str, Product]) -> bool:
    """Until it is paid, prices, lines and address are the channel's to change. True when money or lines did."""
    assert order.id is not None and incoming.receiver is not None
    total, lines = order.total_fen, lines_of(session, order.id)
    copy(order, incoming)
    keep_contact(session, incoming.receiver, session.get_one(Contact, order.contact_id))
    if [_told(line) for line in lines] == [_told(line) for line in incoming.lines]:
        return total != order.total_fen
    (fulfilment,) = fulfilments_of(session, order.id)
    assert fulfilment.id is not None
    for part in carried_by(session, fulfilment.id):
        session.delete(part)
    session.flush()
    for line in lines:
        session.delete(line)
    session.flush()
    write_lines(session, order.id, fulfilment.id, incoming, catalogue)
    return True


def _is_paid_late(session: Session, order: Order, incoming: IncomingOrder, now: datetime) -> bool:
    """Whether this is money for an order that we have ended: it goes back (models/cancellation.py)."""
    if order.cancel_requested_at is None or incoming.status is PlatformStatus.AWAITING_PAYMENT:
        return False
    order.paid_fen, order.paid_at = incoming.paid_fen, incoming.paid_at
    order.payment_keeper, order.payment_ref = incoming.payment_keeper, incoming.payment_ref
    session.add(order)
    return reopen_if_paid_late(session, order, f"platform:{order.channel}", now)


def _told(line: OrderLine | IncomingLine) -> tuple[str, str, int, int, int]:
    return line.channel_line_id, line.sku, line.quantity, line.unit_price_fen, line.paid_fen


def _follow_address(session: Session, order: Order, receiver: Receiver | None, actor: str, now: datetime) -> bool:
    """Take over a new receiver; True when it is one. Once the carrier knows the old one, a person has to act."""
    assert order.id is not None
    contact = session.get_one(Contact, order.contact_id)
    if receiver is None or (receiver.masked and not contact.only_masked) or reveal(contact) == receiver:
        return False
    unmasked = contact.only_masked and not receiver.masked
    keep_contact(session, receiver, contact)
    unfinished = _unfinished(session, order.id)
    if unmasked or not unfinished:
        return False
    if _told_already(session, order.id, WAYBILL):
        how = "联系快递改派,或取消运单后重新出单;处理后解除"
        hold.place(session, order.id, "address_changed", "出了运单以后客户改了地址", "客服", how, actor, now)
    interrupt(session, unfinished, now)
    return True


def _shipped_there(session: Session, order_id: int, actor: str, now: datetime) -> None:
    """The channel says shipped. If that was not us, somebody else sends it: no second parcel before a person looked."""
    shipped = any(Stage(f.stage).reached(Stage.SHIPPED) for f in fulfilments_of(session, order_id))
    if shipped or _told_already(session, order_id, SHIP_NOTICE):
        return
    how = "确认已由他人发出就取消本单,否则解除,订单会继续"
    reason = "平台显示已发货,但不是由本系统发出"
    hold.place(session, order_id, "shipped_elsewhere", reason, "仓库主管", how, actor, now)
    interrupt(session, _unfinished(session, order_id), now)


def _told_already(session: Session, order_id: int, kind: EffectKind) -> bool:
    """Whether this was told to the outside, or may have been."""
    return any(e.kind == kind.name and e.state not in _NOT_TOLD for e in effects_of(session, order_id))


def _unfinished(session: Session, order_id: int) -> list[int]:
    parts = fulfilments_of(session, order_id)
    return [part.id for part in parts if part.id is not None and not Stage(part.stage).final]
