"""A factory that says nothing of what should be done: a person is asked, and nobody waits for it in silence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func
from sqlmodel import Session, select

from models import hold
from models.hold import Hold
from models.production import MAKING, SILENT, ProductionReport, WorkOrder
from models.wording import local


def ask_if_silent(session: Session, works: Sequence[WorkOrder], patience: timedelta, now: datetime) -> None:
    """Ask a person about each of these work orders that should be done, and of which the factory says nothing since.

    It is silent once `patience` has passed since it was expected, and since its last report. Asked once for each
    silence, however often this looks and whoever releases the hold; the next report lifts it. The order goes on.
    """
    for work in works:
        if work.state not in MAKING or work.expected_at is None or work.expected_at + patience > now:
            continue
        since = max(work.expected_at, _last_heard(session, work) or work.expected_at)
        if since + patience > now or _asked_since(session, work, since):
            continue
        hours = (now - since) // timedelta(hours=1)
        reason = f"{work.work_order_no} 应在 {local(work.expected_at)} 做好,工厂已 {hours} 小时没有回报"
        how = "问工厂:做好或做坏了,让 MES 重发回报,收到后自动解除;没有在做,就取消订单,或让 MES 回报失败后返工"
        code = f"{SILENT}{work.id}"
        hold.place(session, work.order_id, code, reason, "生产主管", how, "production", now, blocking=False)


def _last_heard(session: Session, work: WorkOrder) -> datetime | None:
    """When its last report came, by our clock: the factory's own may be wrong."""
    newest = select(func.max(ProductionReport.received_at))
    return session.exec(newest.where(ProductionReport.work_order_no == work.work_order_no)).one()


def _asked_since(session: Session, work: WorkOrder, since: datetime) -> bool:
    asked = select(Hold.id).where(
        Hold.order_id == work.order_id, Hold.code == f"{SILENT}{work.id}", Hold.placed_at >= since
    )
    return session.exec(asked).first() is not None
