"""Why is this order where it is: what happened, why it waits, who can move it and how, and what will wake it.

Also for orders that never got in (quarantine), and for numbers that nobody knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from models import explain_words as words
from models.board import OVERDUE_AFTER
from models.effect import EffectState, effects_of
from models.explain_facts import (
    Tell,
    channel_name,
    effect_line,
    happened,
    hold_line,
    outside_lines,
    quarantine_lines,
    review_line,
    teller,
)
from models.fulfilment import Fulfilment, Stage, WaitingOn, fulfilments_of
from models.hold import open_holds
from models.lane import live_lanes
from models.order import Order, lines_of
from models.privacy import unseal
from models.quality import plain
from models.quarantine import Quarantined, waiting_list
from models.review import ReviewCase
from models.shared_parcel import effects_shared_with
from models.timeline import OrderEvent, timeline
from models.window import PullMark
from models.wording import STAGE_WORDS, local, yuan

#: How much of a long history is told.
LAST_EVENTS = 40

_PHONE = re.compile(r"(?<![0-9A-Za-z])(1[0-9]{2})[0-9]{4}([0-9]{4})(?![0-9])")


@dataclass(frozen=True)
class Explanation:
    """What is to be said of an order, line by line. `found` False: neither in the book nor in quarantine."""

    order_no: str
    found: bool
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All lines as one text."""
        return "\n".join(self.lines)


def explain(session: Session, order_no: str, now: datetime, language: str = "zh") -> Explanation:
    """Explain an order by its number, or by the channel's own id or name of it, in `zh` or `en`."""
    tell, asked = teller(language), order_no.strip()
    if not asked or not plain(asked):
        return _explanation(repr(asked[:64]), False, _unknown(session, asked, tell))
    orders = _orders(session, asked)
    if len(orders) > 1:
        numbers = "、".join(order.order_no for order in orders)
        line = tell(
            f"有 {len(orders)} 个订单叫 {asked}:{numbers}。请用订单号再查。",
            f"{len(orders)} orders are called {asked}: {numbers}. Ask again by number.",
        )
        return _explanation(asked, True, [line])
    aside = quarantine_lines(_quarantined(session, orders[0] if orders else None, asked), tell)
    if orders:
        return _explanation(orders[0].order_no, True, [*_order(session, orders[0], now, tell), *aside])
    return _explanation(asked, bool(aside), aside or _unknown(session, asked, tell))


def _explanation(order_no: str, found: bool, lines: Sequence[str]) -> Explanation:
    # a platform's own words may name a phone, which nobody needs here
    return Explanation(order_no, found, tuple(_PHONE.sub(r"\1****\2", line) for line in lines))


def _orders(session: Session, asked: str) -> list[Order]:
    by_number = session.exec(select(Order).where(Order.order_no == asked.upper())).first()
    if by_number is not None:
        return [by_number]
    for column in (col(Order.channel_order_id), col(Order.channel_order_name)):
        found = list(session.exec(select(Order).where(column == asked).order_by(col(Order.id).desc()).limit(5)))
        if found:
            return found
    return []


def _quarantined(session: Session, order: Order | None, asked: str) -> list[Quarantined]:
    statement = select(Quarantined).where(col(Quarantined.resolved_at).is_(None))
    if order is not None:
        same = (col(Quarantined.channel) == order.channel, col(Quarantined.shop) == order.shop)
        return list(session.exec(statement.where(*same, Quarantined.channel_order_id == order.channel_order_id)))
    by_id = list(session.exec(statement.where(Quarantined.channel_order_id == asked)))
    return by_id or [row for row in waiting_list(session) if _is_called(row, asked)]


def _is_called(row: Quarantined, asked: str) -> bool:
    """Whether the payload that was set aside says `asked` among its own values, as Shopify's `"name": "#1001"`."""
    payload = json.loads(unseal(row.raw))
    return isinstance(payload, dict) and asked in [value for value in payload.values() if isinstance(value, str)]


def _order(session: Session, order: Order, now: datetime, tell: Tell) -> list[str]:
    assert order.id is not None
    channel, name = channel_name(order.channel, tell), order.channel_order_name or order.channel_order_id
    lines, placed = len(lines_of(session, order.id)), local(order.placed_at)
    amount = f"{order.total_fen / 100:,.2f} {order.currency}"
    told = [
        tell(
            f"订单 {order.order_no}({channel} {name}),{placed} 下单,{yuan(order.total_fen)},{lines} 行商品。",
            f"Order {order.order_no} ({channel} {name}), placed {placed}, {amount}, {lines} lines.",
        ),
        tell("发生过什么:", "What happened:"),
        *_history(timeline(session, order.id), tell),
        tell("现在:", "Now:"),
    ]
    if order.cancel_requested_at is not None:
        at, why = local(order.cancel_requested_at), order.cancel_reason
        told.append(tell(f"- {at} 要求取消:{why}", f"- {at} cancellation asked for: {why}"))
    parts = fulfilments_of(session, order.id)
    for part in parts:
        told += _fulfilment(session, order, part, now, tell)
    told += [hold_line(hold, tell) for hold in open_holds(session, order.id)]
    cases = select(ReviewCase).where(ReviewCase.order_id == order.id).order_by(col(ReviewCase.id))
    told += [review_line(case, now, tell) for case in session.exec(cases)]
    for part in parts:
        assert part.id is not None
        told += outside_lines(session, part.id, tell)
    effects = [*effects_of(session, order.id), *effects_shared_with(session, order.id)]
    return told + [effect_line(effect, now, tell) for effect in effects if effect.state != EffectState.DONE]


def _history(events: Sequence[OrderEvent], tell: Tell) -> list[str]:
    told = [f"- {local(event.at)} {happened(event, tell)}" for event in events[-LAST_EVENTS:]]
    left_out = len(events) - len(told)
    if left_out:
        told.insert(0, tell(f"- (更早的 {left_out} 条略)", f"- ({left_out} earlier ones left out)"))
    return told


def _fulfilment(session: Session, order: Order, part: Fulfilment, now: datetime, tell: Tell) -> list[str]:
    number, stage, since = f"{order.order_no}-{part.number}", Stage(part.stage), local(part.stage_since)
    zh, en = STAGE_WORDS[stage.value]
    told = [tell(f"- {number}:{zh}(自 {since})", f"- {number}: {en} since {since}")]
    if part.ready_at is None:
        return [*told, tell("  已经结束,不需要再做什么。", "  It has ended; nothing is left to do.")]
    if part.claim_until is not None and part.claim_until > now:
        until = local(part.claim_until)
        zh, en = f"正在由 {part.claimed_by} 处理,最迟 {until} 交还。", f"{part.claimed_by} works on it until {until}."
        return [*told, tell(f"  {zh}", f"  {en}")]
    wakes = tell("定时", "the clock")
    if part.waiting_on is not None:
        wait = wait_of(stage, WaitingOn(part.waiting_on))
        move, wakes = tell(*wait.move).format(order_no=order.order_no), tell(*wait.wakes)
        told.append(f"  {tell(*wait.means)} {part.waiting_why}".rstrip())
        told.append(tell(f"  谁来推动:{move}", f"  Who can move it: {move}"))
    if part.ready_at <= now:
        return [*told, _ready(session, order, now - part.ready_at, tell)]
    by = local(part.ready_at)
    zh = f"  什么会唤醒它:{wakes};最迟 {by} 会自动再看一次。"
    return [*told, tell(zh, f"  What wakes it: {wakes}; looked at again by itself at {by} at the latest.")]


def wait_of(stage: Stage, waiting_on: WaitingOn) -> words.Wait:
    """What waiting for this means at this stage."""
    after_sales = stage is Stage.DELIVERED and waiting_on is WaitingOn.CUSTOMER
    return words.AFTER_SALES if after_sales else words.WAITS[waiting_on]


def _ready(session: Session, order: Order, since: timedelta, tell: Tell) -> str:
    if since <= OVERDUE_AFTER:
        return tell("  已经就绪,马上会被处理。", "  It is ready and taken up in a moment.")
    minutes, lanes = int(since.total_seconds() // 60), live_lanes(session)
    if not lanes:
        why = tell("订单通道好像没有在运行:运行 `orderloom up`", "no lane seems to run: start it with `orderloom up`")
    elif any(lane.paused for lane in lanes):
        why = tell("订单通道被暂停了:在 Prefect 界面恢复它", "the lanes are paused: resume them in the Prefect UI")
    else:
        why = tell(
            "通道在运行却没有轮到它:用 `orderloom status` 看积压", "lanes run but are behind: `orderloom status`"
        )
    rerun = f"`orderloom rerun {order.order_no} --reason …`"
    return tell(
        f"  已就绪 {minutes} 分钟却没有人处理;{why},或运行 {rerun}。",
        f"  Ready for {minutes} minutes and nobody has taken it; {why}, or run {rerun}.",
    )


def _unknown(session: Session, asked: str, tell: Tell) -> list[str]:
    told = [
        tell(
            f"没有订单 {asked[:64]!r},隔离区里也没有。请核对订单号(例如 SH-1001)或渠道订单号。",
            f"There is no order {asked[:64]!r}, nor one in quarantine. Check the number (such as SH-1001) or the"
            " channel's order id.",
        )
    ]
    for mark in session.exec(select(PullMark).order_by(col(PullMark.channel), col(PullMark.shop))):
        channel, until = channel_name(mark.channel, tell), local(mark.until)
        zh = f"- {channel} 已读到 {until};之后的订单等下一次拉单。"
        en = f"- {channel} has been read up to {until}; later orders come with the next pull."
        told.append(f"{tell(zh, en)} {mark.error}".rstrip())
    return told
