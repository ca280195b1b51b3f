"""Re-submitting what was set aside: as it was read, with what a person corrected, past the same rules as before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from models import correction
from models.book import Taken, take_orders
from models.entry import name_of
from models.order import Order
from models.quarantine import Quarantined
from models.timeline import EventKind, note


@dataclass(frozen=True)
class Resubmitted:
    """What re-submitting came to. `taken` is None where nothing could be submitted; `faults` are still wrong."""

    taken: Taken | None
    order_no: str = ""
    faults: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """One line for the person who pressed the button."""
        if self.taken is None:
            return "这一件没有读成订单的内容，不能在这里改：请在渠道后台改正后再取一次。"
        if self.taken is Taken.QUARANTINED:
            return f"还不能入库：{' '.join(self.faults)}"
        if self.taken is Taken.OVER:
            return "平台上这个订单已经结束，不需要入库，已移出隔离区。"
        return f"已入库，订单号 {self.order_no}。"


def resubmit(
    session: Session, quarantined_id: int, new: Mapping[str, Any], actor: str, now: datetime
) -> Resubmitted | None:
    """Submit an order that is set aside, with new values for some of its fields; None when it is not (any more).

    `new` is by field (models/correction.py); money in fen. Raises `NotCorrectable`. Pressed twice, the second finds
    nothing to do.
    """
    statement = select(Quarantined).where(Quarantined.id == quarantined_id).with_for_update()
    row = session.exec(statement.execution_options(populate_existing=True)).first()
    if row is None or row.resolved_at is not None:
        return None
    order = correction.thaw(row.reading)
    if order is None:
        return Resubmitted(None)
    changes = correction.wanted(order, new)
    if changes:
        correction.keep(session, order, changes, actor, now)
    ((taken, _),) = take_orders(session, [order], now).items()
    if taken is Taken.QUARANTINED:
        session.refresh(row)
        return Resubmitted(taken, faults=tuple(str(fault["message"]) for fault in row.faults))
    channel, shop, channel_order_id = name_of(order)
    statement_of_order = select(Order).where(
        Order.channel == channel, Order.shop == shop, Order.channel_order_id == channel_order_id
    )
    entered = session.exec(statement_of_order).first()
    if entered is not None and entered.id is not None and changes:
        note(session, entered.id, EventKind.CORRECTED, actor, now, fields=sorted(changes))
    return Resubmitted(taken, entered.order_no if entered is not None else "")


def waiting_with(session: Session, codes: Sequence[str] = (), channels: Sequence[str] = ()) -> list[int]:
    """Ids of what is set aside with one of these faults, of these channels; all of it without either, oldest first."""
    # without the payloads: thousands of them are no question of memory
    rows = session.exec(
        select(Quarantined.id, Quarantined.channel, Quarantined.faults)
        .where(col(Quarantined.resolved_at).is_(None))
        .order_by(col(Quarantined.id))
    )
    return [
        id
        for id, channel, faults in rows
        if id is not None
        and (not channels or channel in channels)
        and (not codes or any(fault["code"] in codes for fault in faults))
    ]
