"""What a change on a channel does to an order that we know: paid, edited, a new address, shipped, cancelled."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, delete

from models import change, hold
from models.cancellation import reopen_if_paid_late, request_cancellation
from models.change import ChangeKind
from models.edited_lines import LinesChange, follow_lines, follow_pets
from models.effect import SHIP_NOTICE, effects_of
from models.entry import SEEN, line_columns, order_columns
from models.form_desk import ask_no_more
from models.fulfilment import FulfilmentLine, Stage, fulfilments_of, interrupt, wake
from models.intake import IncomingLine, IncomingOrder, PlatformStatus, content_of
from models.new_address import follow_receiver
from models.order import Contact, Order, OrderLine, keep_contact, lines_of, lock_order
from models.paid_elsewhere import keep_in_mind
from models.platform_refund import dropped_by_platform, make_room, may_have_been_told
from models.product import Product
from models.revision import revise_without_lane
from models.shadow import shipped_by_people
from models.shipment import NOT_TOLD
from models.timeline import EventKind, note
from models.wanted import standings, taken_away_fen
from models.wording import yuan

#: Orders that are over on the channel; coming in like this for the first time, they are not ours to ship.
OVER = (PlatformStatus.CANCELLED, PlatformStatus.REFUNDED, PlatformStatus.SHIPPED, PlatformStatus.COMPLETE)
BALANCE = "balance_due"
NOTHING_LEFT = "平台上已取消全部商品"
_ENDED = {PlatformStatus.CANCELLED: "取消", PlatformStatus.REFUNDED: "全额退款"}
_FURTHER = {status: -1 if status is PlatformStatus.UNKNOWN else place for place, status in enumerate(PlatformStatus)}


def is_news(incoming: IncomingOrder, order: Order) -> bool:
    """Whether a channel tells something newer.

    Platforms count in seconds: within one, the further status wins, of one status the larger sum paid back, and with
    all of that alike whatever says something else: an order edited in the very second in which it was read.
    """
    told = (incoming.updated_at, _FURTHER[incoming.status], incoming.refunded_fen)
    known = (order.platform_updated_at, _FURTHER[PlatformStatus(order.platform_status)], order.platform_refunded_fen)
    return told > known or (told == known and order.handles.get(SEEN) not in (None, content_of(incoming)))


def follow(
    session: Session, known: Order, incoming: IncomingOrder, catalogue: dict[str, Product], now: datetime
) -> bool:
    """Bring a known order up to what its channel says now; True if that changed anything we go by.

    Older news changes nothing, in whatever order and however often it arrives. What the change asks of stock, factory
    and carrier is done by the lane (`models/revision.py`): whoever works on the order now loses it.
    """
    assert known.id is not None
    order = lock_order(session, known.id)
    if not is_news(incoming, order):
        return False
    before, actor = order.platform_status, f"platform:{order.channel}"
    unpaid = _was_never_paid(session, order)
    order.platform_updated_at, order.platform_status = incoming.updated_at, incoming.status.value
    order.handles = {**order.handles, SEEN: content_of(incoming)}
    session.add(order)
    told = before != incoming.status.value
    if incoming.status in _ENDED:
        cancelled_at = order.cancel_requested_at
        _follow_end(session, order, incoming, actor, now)
        if told and order.cancel_requested_at == cancelled_at:  # nothing else in the timeline says so
            _note_status(session, known.id, before, incoming, actor, now)
        return told
    if incoming.status in OVER:
        _shipped_there(session, known.id, actor, now)
    if not unpaid:
        changed = _follow_paid(session, order, incoming, catalogue, actor, now)
    elif incoming.status in OVER:
        changed = False
    elif _is_paid_late(session, order, incoming, now):
        changed = told = True
    else:
        changed = told = _rewrite_unpaid(session, order, incoming, catalogue) or told
        if all(line.cancelled_quantity >= line.quantity for line in lines_of(session, known.id)):
            request_cancellation(session, order, NOTHING_LEFT, actor, now)
    if told:
        _note_status(session, known.id, before, incoming, actor, now)
    if told and incoming.status is PlatformStatus.HELD:
        interrupt(session, _unfinished(session, known.id), now)
    elif told or changed:
        wake(session, _unfinished(session, known.id), now)
    return told or changed


def _note_status(
    session: Session, order_id: int, before: str, incoming: IncomingOrder, actor: str, now: datetime
) -> None:
    note(session, order_id, EventKind.CHANGED_ON_CHANNEL, actor, now, before=before, after=incoming.status.value)


def _was_never_paid(session: Session, order: Order) -> bool:
    """Whether its lines and prices are still the channel's to rewrite. What was paid and grew waits for money too."""
    assert order.id is not None
    waits = order.platform_status == PlatformStatus.AWAITING_PAYMENT.value and order.payment_verified_at is None
    return waits and not hold.ever_placed(session, order.id, BALANCE)


def _follow_end(session: Session, order: Order, incoming: IncomingOrder, actor: str, now: datetime) -> None:
    """The channel says that the order is cancelled, or that all of its money is back."""
    assert order.id is not None
    order.platform_refunded_fen = max(order.platform_refunded_fen, incoming.refunded_fen)
    if more := keep_in_mind(session, order, actor, now):
        make_room(session, order, more, actor, now)
    if incoming.status is PlatformStatus.REFUNDED and 0 < order.paid_fen <= order.refunded_fen:
        if may_have_been_told(session, order.id) < order.paid_fen:  # somebody paid there what it refused us
            dropped_by_platform(session, order.id, actor, now)
        return  # else the echo of our own refund, which is followed by itself
    request_cancellation(session, order, f"平台上已{_ENDED[incoming.status]}", actor, now)
    if incoming.status is PlatformStatus.REFUNDED:
        dropped_by_platform(session, order.id, actor, now)


def _follow_paid(
    session: Session,
    order: Order,
    incoming: IncomingOrder,
    catalogue: dict[str, Product],
    actor: str,
    now: datetime,
) -> bool:
    """Money, lines and address of an order that was paid. True when something that we go by is different."""
    assert order.id is not None
    over = incoming.status in OVER
    if not over:
        order.handles = {**order.handles, **incoming.handles}
    lines = follow_lines(session, order, incoming, catalogue, over=over) if order.cancel_requested_at is None else None
    changed = _follow_money(session, order, incoming, actor, now)
    if order.cancel_requested_at is not None:
        return changed
    if lines is not None:
        changed = True
        if _take_lines(session, order, lines, actor, now):
            return True  # nothing is left to be sent
    if incoming.receiver is not None and (not over or _is_told_whole(incoming)):
        changed = follow_receiver(session, order, incoming.receiver, actor, now) or changed
    if change.is_asked(session, order.id) and not _unfinished(session, order.id):
        revise_without_lane(session, order, now)
    return changed


def _is_told_whole(incoming: IncomingOrder) -> bool:
    """Whether the receiver of an order that was sent is still told: platforms blank or mask it sooner or later."""
    to = incoming.receiver
    if to is None or to.masked or incoming.status is not PlatformStatus.SHIPPED:
        return False
    return all((to.name, to.phone, to.province, to.city, to.detail))


def _follow_money(session: Session, order: Order, incoming: IncomingOrder, actor: str, now: datetime) -> bool:
    """What was paid and paid back; a balance that is due after an edit holds the order until it is paid."""
    assert order.id is not None
    blank = incoming.status in OVER  # what is over may have lost its amounts
    order.platform_refunded_fen = max(incoming.refunded_fen, order.platform_refunded_fen if blank else 0)
    if incoming.paid_fen > order.paid_fen:
        order.paid_fen, order.paid_at = incoming.paid_fen, order.paid_at or incoming.paid_at
        order.payment_keeper, order.payment_ref = incoming.payment_keeper, incoming.payment_ref
        if any(part.stage == Stage.RECEIVED.value for part in fulfilments_of(session, order.id)):
            order.payment_verified_at = None
    session.add(order)
    more = keep_in_mind(session, order, actor, now)
    if more:
        make_room(session, order, more, actor, now)
    if incoming.status is not PlatformStatus.AWAITING_PAYMENT:
        return bool(hold.lift(session, order.id, actor, now, [BALANCE])) or bool(more)
    lines = lines_of(session, order.id)
    due = order.total_fen - taken_away_fen(lines, order.platform_refunded_fen) - order.paid_fen
    how = "等客户补款,补款后自动继续;客户不要了就在平台上把订单改回去"
    reason = f"改单以后还差 {yuan(due)} 没有付" if due > 0 else "平台显示改单以后还有余款没有付"
    if any(held.code == BALANCE and held.reason != reason for held in hold.open_holds(session, order.id)):
        hold.lift(session, order.id, actor, now, [BALANCE])  # another edit: another sum is due
    hold.place(session, order.id, BALANCE, reason, "客服", how, actor, now)
    interrupt(session, _unfinished(session, order.id), now)
    return True


def _take_lines(session: Session, order: Order, lines: LinesChange, actor: str, now: datetime) -> bool:
    """Write down that the lines are different and have that carried out; True when nothing of the order is left."""
    assert order.id is not None
    unfinished = _unfinished(session, order.id)
    stoppable = [f for f in fulfilments_of(session, order.id) if not Stage(f.stage).reached(Stage.SHIPPED)]
    empty = bool(stoppable) and not any(line.wanted for line in standings(session, order.id).values())
    change.record(
        session, order.id, ChangeKind.LINES, lines.before, lines.after, actor, now,
        applied=empty or not lines.moves, grew=lines.grew,
    )  # fmt: skip
    note(session, order.id, EventKind.LINES_CHANGED, actor, now, changes=lines.in_words())
    ask_no_more(session, order, actor, now, another_pet=lines.repet)
    if empty:
        request_cancellation(session, order, NOTHING_LEFT, actor, now)
    else:
        interrupt(session, unfinished, now)
    return empty


def _rewrite_unpaid(session: Session, order: Order, incoming: IncomingOrder, catalogue: dict[str, Product]) -> bool:
    """Until it is paid, prices, lines and address are the channel's to change. True when money or lines did."""
    assert order.id is not None and incoming.receiver is not None
    total, lines = order.total_fen, lines_of(session, order.id)
    for name, value in order_columns(incoming).items():
        setattr(order, name, value)
    keep_contact(session, incoming.receiver, session.get_one(Contact, order.contact_id))
    told = line_columns(incoming, catalogue)
    if [_told(line) for line in lines] == [_told(line) for line in incoming.lines]:
        follow_pets(session, order, lines, told)
        return total != order.total_fen
    answers = {(line.channel_line_id, line.sku): line.answers for line in lines}
    (fulfilment,) = fulfilments_of(session, order.id)
    assert fulfilment.id is not None
    session.execute(delete(FulfilmentLine).where(FulfilmentLine.fulfilment_id == fulfilment.id))  # type: ignore[arg-type]
    session.execute(delete(OrderLine).where(OrderLine.order_id == order.id))  # type: ignore[arg-type]
    session.expire_all()
    written = [
        OrderLine(
            order_id=order.id,
            line_no=number,
            answers=answers.get((line["channel_line_id"], line["sku"]), {}),
            **line,
        )
        for number, line in enumerate(told, 1)
    ]
    session.add_all(written)
    session.flush()
    session.add_all(
        FulfilmentLine(fulfilment_id=fulfilment.id, order_line_id=line.id or 0, quantity=left)
        for line in written
        if (left := line.quantity - line.cancelled_quantity) > 0
    )
    session.flush()
    return True


def _is_paid_late(session: Session, order: Order, incoming: IncomingOrder, now: datetime) -> bool:
    """Whether this is money for an order that we have ended: it goes back (models/cancellation.py)."""
    if order.cancel_requested_at is None or incoming.status is PlatformStatus.AWAITING_PAYMENT:
        return False
    order.paid_fen, order.paid_at = incoming.paid_fen, incoming.paid_at
    order.payment_keeper, order.payment_ref = incoming.payment_keeper, incoming.payment_ref
    session.add(order)
    return reopen_if_paid_late(session, order, f"platform:{order.channel}", now)


def _told(line: OrderLine | IncomingLine) -> tuple[str, str, int, int, int, int]:
    cancelled = line.cancelled_quantity
    return line.channel_line_id, line.sku, line.quantity, cancelled, line.unit_price_fen, line.paid_fen


def _shipped_there(session: Session, order_id: int, actor: str, now: datetime) -> None:
    """The channel says shipped. If that was not us, somebody else sends it: no second parcel before a person looked."""
    if shipped_by_people(session, order_id, now):
        return
    shipped = any(Stage(f.stage).reached(Stage.SHIPPED) for f in fulfilments_of(session, order_id))
    announced = any(e.kind == SHIP_NOTICE.name and e.state not in NOT_TOLD for e in effects_of(session, order_id))
    if shipped or announced:
        return
    how = "确认已由他人发出就取消本单,否则解除,订单会继续"
    reason = "平台显示已发货,但不是由本系统发出"
    hold.place(session, order_id, "shipped_elsewhere", reason, "仓库主管", how, actor, now)
    interrupt(session, _unfinished(session, order_id), now)


def _unfinished(session: Session, order_id: int) -> list[int]:
    parts = fulfilments_of(session, order_id)
    return [part.id for part in parts if part.id is not None and not Stage(part.stage).final]
