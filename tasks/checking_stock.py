"""Steps: the warehouse is asked whether the goods are really there, and has some minutes to say no."""

from __future__ import annotations

import contextlib
import random
import zlib
from datetime import timedelta
from typing import Any

from sqlmodel import Session

from integrations.errors import PlatformError
from models import hold, stock_check
from models.database import in_transaction, utcnow
from models.effect import STAFF_MESSAGE, EffectBusy
from models.fulfilment import Claim, Stage, WaitingOn, hold_on
from models.order import Order
from models.settings import settings
from models.stock_check import CheckState, StockCheck
from models.wording import local
from tasks.outside import platforms
from tasks.step import outward
from tasks.telling import tell_once
from tasks.working import PERSON_LOOK_AGAIN, MustWait


async def ask_warehouse(claim: Claim) -> None:
    """Send the warehouse the checks that it has not heard of: this one, and others that piled up. Never a stop.

    One message for many orders, a few seconds apart, because its robot takes 20 a minute. Twice: nobody is left out,
    and at worst a check is named again. What no message reaches stands in the portal's list all the same.
    """
    if platforms().staff is None or settings().policy.stock_check_minutes <= 0 or claim.stage.reached(Stage.SHIPPED):
        return
    own = await in_transaction(lambda session: stock_check.open_check_of(session, claim.fulfilment_id))
    if own is not None and own.announced_at is None:
        await tell_warehouse(own.warehouse)


async def tell_warehouses() -> int:
    """Send every warehouse the checks that it has not heard of; how many messages. For what a burst left behind."""
    waiting = await in_transaction(stock_check.warehouses_to_tell)
    return sum([await tell_warehouse(code) for code in waiting]) if platforms().staff is not None else 0


async def tell_warehouse(code: str) -> bool:
    """Send one warehouse one message, unless it was just sent another; a robot that does not answer is left alone."""
    checks = await in_transaction(lambda session: _ring(session, code))
    with contextlib.suppress(PlatformError, EffectBusy):
        if checks:
            await send_checks(checks)
    return bool(checks)


def _ring(session: Session, warehouse: str) -> list[tuple[StockCheck, str]]:
    checks = stock_check.ring(session, warehouse, utcnow())
    return [(check, session.get_one(Order, check.order_id).order_no) for check in checks]


@outward("通知仓库核对库存")
async def send_checks(checks: list[tuple[StockCheck, str]]) -> None:
    """Send one message. Twice: the warehouse may read it twice, and nothing else comes of it."""
    staff = platforms().staff
    assert staff is not None
    ids = [check.id for check, _ in checks if check.id is not None]

    async def call(request: bytes) -> dict[str, Any]:
        await staff.send(request)
        return {"checks": ids}

    await tell_once(
        None,
        STAFF_MESSAGE,
        f"stock-check-{checks[0][0].warehouse}-{ids[0]}-{zlib.crc32(repr(ids).encode()):08x}",  # these, and no others
        lambda _: staff.request(message(checks)),
        call,
        lambda session, _: stock_check.announced(session, ids, utcnow()),
    )


def message(checks: list[tuple[StockCheck, str]]) -> str:
    """The Markdown that the warehouse reads: what to look for, until when, and where to say so."""
    due = min(check.due_at for check, _ in checks)
    until = f'<font color="warning">{local(due)} 前</font>答复'
    head = f"**库存核对** {checks[0][0].warehouse} · {len(checks)} 单,{until}"
    rows = [f"> {check.number} {order_no}:{'、'.join(check.skus[:6])}" for check, order_no in checks]
    return "\n".join([head, *rows, "没有货请在员工页面「库存核对」按「没有货」;不答复即按有货发出。"])


async def pass_stock_check(claim: Claim) -> None:
    """Before the parcel: wait until the warehouse has answered or its time is over. Twice: nothing changes."""
    if claim.stage.reached(Stage.SHIPPED):
        return
    check = await in_transaction(lambda session: _look(session, claim))
    if check is None:
        return
    if check.state == CheckState.OPEN.value:
        told = check.announced_at is not None or platforms().staff is None
        again = utcnow() + timedelta(seconds=stock_check.BELL_SECONDS * random.uniform(1.0, 1.5))
        until = check.due_at if told else min(check.due_at, again)
        raise MustWait(WaitingOn.STOCK_CHECK, f"等仓库核对库存({check.number})", until)
    raise MustWait(WaitingOn.PERSON, f"仓库没有答复 {check.number},等人确认", utcnow() + PERSON_LOOK_AGAIN)


def _look(session: Session, claim: Claim) -> StockCheck | None:
    """The check that still stops the fulfilment, or None."""
    check = stock_check.latest_check(session, claim.fulfilment_id)
    if check is None or check.state in (CheckState.THERE.value, CheckState.WITHDRAWN.value):
        return None
    now = utcnow()
    if check.state == CheckState.OPEN.value:
        if check.due_at > now:
            return check
        hold_on(session, claim)
        session.refresh(check, with_for_update=True)
        if check.state == CheckState.OPEN.value:
            stock_check.silence(session, check, now)
    proceed = settings().shadow or settings().policy.stock_check_silence == "proceed"
    if check.state != CheckState.SILENT.value or proceed:
        return None
    if hold.ever_placed(session, claim.order_id, check.unanswered):
        still = {h.code for h in hold.open_holds(session, claim.order_id)}
        return check if check.unanswered in still else None
    how = "问清仓库:有货就解除;没有货在「库存核对」答复"
    reason = f"仓库 {check.warehouse} 没有按时答复 {check.number}"
    hold.place(session, claim.order_id, check.unanswered, reason, "仓库主管", how, "stock-check", now)
    return check
