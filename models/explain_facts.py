"""How `explain` says single facts of an order: an event, a hold, a review, a work order, a parcel, an effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from models import explain_words as words
from models.effect import Effect, EffectState
from models.hold import Hold
from models.matrix import ROLES
from models.notification import Notification, NotificationState
from models.parcel import Parcel
from models.production import WorkState, work_orders_of
from models.quarantine import Quarantined
from models.refund import STEP_WORDS
from models.review import CaseState, ReviewCase, Verdict
from models.timeline import EventKind, OrderEvent
from models.wording import CHANNEL_WORDS, PLATFORM_STATUS_WORDS, STOPPED_WORDS, local

#: Chooses between what is said in Chinese and in English.
Tell = Callable[[str, str], str]


def teller(language: str) -> Tell:
    """What chooses for `zh` or `en`."""
    return (lambda zh, en: zh) if language == "zh" else (lambda zh, en: en)


def channel_name(channel: str, tell: Tell) -> str:
    """The channel as people call it."""
    return tell(*CHANNEL_WORDS.get(channel, (channel, channel)))


def happened(event: OrderEvent, tell: Tell) -> str:
    """One row of the timeline as a sentence."""
    detail = _Detail({name: _short(value) for name, value in event.detail.items()})
    if event.kind in (EventKind.REVIEW_OPENED, EventKind.REVIEW_DECIDED):
        detail["role"] = reviewing(str(event.detail.get("role", "")), tell)
    if event.kind == EventKind.REVIEW_DECIDED and "verdict" in detail:
        detail["verdict"] = tell(*words.VERDICTS[Verdict(detail["verdict"])])
    if event.kind == EventKind.PRODUCTION_REPORTED and "state" in detail:
        detail["state"] = tell(*words.WORK[WorkState(detail["state"])])
    if event.kind == EventKind.CHANGED_ON_CHANNEL:
        known = PLATFORM_STATUS_WORDS
        detail |= {name: tell(*known[value]) for name, value in detail.items() if value in known}
    if event.kind == EventKind.CALLED_BACK:
        detail["stopped"] = tell(*STOPPED_WORDS[bool(event.detail.get("stopped"))])
    if event.kind == EventKind.REFUND_REPORTED and "state" in detail:
        detail["state"] = tell(*STEP_WORDS[detail["state"]])
    if event.kind in (EventKind.NOTIFIED, EventKind.NOTIFY_FAILED) and "node" in detail:
        detail["node"] = tell(*words.NODES.get(detail["node"], (detail["node"], detail["node"])))
    return tell(*words.EVENTS[EventKind(event.kind)]).format_map(detail).strip(" :")


class _Detail(dict[str, str]):
    """An event's detail; what it does not say is empty."""

    def __missing__(self, name: str) -> str:
        return ""


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "、".join(f"{name} {_short(item)}" for name, item in value.items())[:200]
    if isinstance(value, list):
        return ";".join(_short(item) for item in value)[:200]
    return str(value)[:200]


def hold_line(hold: Hold, tell: Tell) -> str:
    """What holds the order, who releases it, and how."""
    english = (hold.reason, hold.who, hold.handle)
    for code, known in words.HOLDS.items():
        if hold.code == code or (code.endswith("_") and hold.code.startswith(code)):
            english = known
    since, who = local(hold.placed_at), hold.who or "客服主管"
    return tell(
        f"- {'暂停' if hold.blocking else '提醒'}({since}):{hold.reason}。由{who}处理:{hold.handle}。",
        f"- {'On hold' if hold.blocking else 'To look at'} ({hold.code}, {since}): {english[0]}."
        f" For {english[1]}: {english[2]}.",
    )


def reviewing(role: str, tell: Tell) -> str:
    """The role of a review as it stands in a sentence; events of long ago do not name it."""
    return tell(ROLES.get(role, role) or "人工", f" by the {role.replace('_', ' ')}" if role else "")


def review_line(case: ReviewCase, now: datetime, tell: Tell) -> str:
    """What became of a review, or until when it is to be decided."""
    line = tell(*words.REVIEWS[CaseState(case.state)]).format(
        role=reviewing(case.role, tell),
        due=local(case.due_at),
        reasons=";".join(str(reason) for reason in case.reasons),
        reviewer=case.reviewer,
        at=local(case.decided_at) if case.decided_at else "",
        verdict=tell(*words.VERDICTS[Verdict(case.verdict)]) if case.verdict else "",
    )
    if case.state == CaseState.OPEN and case.due_at < now:
        minutes = int((now - case.due_at).total_seconds() // 60)
        line += tell(f"(已超时 {minutes} 分钟)", f" ({minutes} minutes overdue)")
    if case.state == CaseState.OPEN and case.run_id is None:
        line += tell("(表单稍后出现在 Prefect 界面)", " (its form will be in the Prefect UI soon)")
    return f"- {line}"


def outside_lines(session: Session, fulfilment_id: int, tell: Tell) -> list[str]:
    """Work orders, parcel and messages of a fulfilment."""
    told = []
    for work in work_orders_of(session, fulfilment_id):
        state = tell(*words.WORK[WorkState(work.state)])
        line = tell(f"- 工单 {work.work_order_no}:{state}", f"- Work order {work.work_order_no}: {state}")
        if work.expected_at is not None and work.completed_at is None:
            at = local(work.expected_at)
            line += tell(f",预计 {at} 完成", f", expected at {at}")
        told.append(line)
    for parcel in session.exec(select(Parcel).where(Parcel.fulfilment_id == fulfilment_id)):
        state = tell(*words.PARCELS.get(parcel.state, (parcel.state, parcel.state)))
        told.append(tell(f"- 运单 {parcel.waybill_no}:{state}", f"- Waybill {parcel.waybill_no}: {state}"))
    messages = select(Notification).where(Notification.fulfilment_id == fulfilment_id).order_by(col(Notification.id))
    for message in session.exec(messages):
        node = tell(*words.NODES.get(message.node, (message.node, message.node)))
        state = tell(*words.NOTIFICATIONS[NotificationState(message.state)]).format(reason=message.reason)
        told.append(tell(f"- 通知客户「{node}」:{state}", f"- Message “{node}”: {state}"))
    return told


def effect_line(effect: Effect, now: datetime, tell: Tell) -> str:
    """What is known of something that was told to the outside."""
    state = EffectState(effect.state)
    pair = words.EFFECTS[state]
    if state is EffectState.CALLING and effect.lease_until is not None and effect.lease_until <= now:
        pair = words.ABANDONED
    until = local(effect.lease_until) if effect.lease_until else ""
    kind = tell(*words.EFFECT_KINDS.get(effect.kind, (effect.kind, effect.kind)))
    return f"- {kind} ({effect.key}): {tell(*pair).format(until=until, error=effect.error[:200])}"


def quarantine_lines(rows: Sequence[Quarantined], tell: Tell) -> list[str]:
    """Why an order is set aside, and how it gets in."""
    told = []
    for row in rows:
        channel, since, id = channel_name(row.channel, tell), local(row.first_at), row.channel_order_id
        told.append(
            tell(
                f"{channel} 订单 {id} 的这个版本被隔离,没有进入订单簿({since} 起,{row.times} 次):",
                f"This version of {channel} order {id} is in quarantine, not in the book"
                f" (since {since}, {row.times} times):",
            )
        )
        for fault in row.faults:
            code, message = str(fault["code"]), str(fault["message"])
            told.append(tell(f"- {message}", f"- {words.FAULTS.get(code, code)} ({message})"))
        told.append(
            tell(
                f"怎么办:在 {channel} 后台改正后等下一次拉单(每 15 分钟);缺的 SKU 先建商品。改好后自动进入。",
                f"What to do: correct it on {channel} and wait for the next pull (every 15 minutes); add a missing SKU"
                " to the catalogue first. It enters by itself.",
            )
        )
    return told
