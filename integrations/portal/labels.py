"""What the pages call things that have no word elsewhere yet."""

from __future__ import annotations

from models import explain_words
from models.compensation import CompensationState
from models.effect import EffectState
from models.explain_facts import happened, teller
from models.order_page import EventView
from models.stock_check import CheckState
from models.timeline import EventKind, OrderEvent
from models.wording import CHANNEL_WORDS, FAULT_WORDS, PLATFORM_STATUS_WORDS, say

EFFECT_STATES = {
    EffectState.CALLING: "进行中",
    EffectState.INTENDED: "待发出",
    EffectState.UNCLEAR: "不确定,会先问",
    EffectState.DONE: "已完成",
    EffectState.SHADOW: "影子:本应发出",
    EffectState.REFUSED: "被拒绝",
    EffectState.GIVEN_UP: "请人工确认",
}
PLATFORM_STATUS = {name: zh for name, (zh, _) in PLATFORM_STATUS_WORDS.items()}
RESERVATIONS = {"held": "已预留", "consumed": "已出库", "released": "已释放"}

COMPENSATIONS = {
    CompensationState.DUE: "正在办理",
    CompensationState.STOPPED: "等人批准",
    CompensationState.DONE: "已完成",
    CompensationState.DECLINED: "已驳回",
}
CHECKS = {
    CheckState.OPEN: "等仓库答复",
    CheckState.THERE: "有货",
    CheckState.NOT_THERE: "没有货",
    CheckState.SILENT: "没有答复,已放行",
    CheckState.WITHDRAWN: "不再需要",
}

_OUTSIDE = {"mes": "工厂", "carrier": "快递", "alipay": "支付宝", "wechat_pay": "微信支付"}

#: Our own steps, as people call them.
_STEPS = {
    "verify-payment": "核实付款",
    "match-recipe": "匹配配方",
    "reserve-stock": "预留库存",
    "feed-backorders": "到货分配",
    "follow-changes": "按改单处理",
    "expire-reservations": "预留到期",
    "stock-check": "库存核对",
    "review": "送审",
    "straight-through": "自动放行",
    "release": "下发生产",
    "production": "生产",
    "stocked": "现货",
    "rework": "返工",
    "merge": "合并发货",
    "split": "随拆分带来",
    "create-waybill": "出运单",
    "tell-channel": "回传发货",
    "ship": "发货",
    "notify-customer": "通知客户",
    "notify": "通知客户",
    "after-sales": "售后期",
    "wind-up": "了结订单",
    "cancel": "取消",
    "refund": "退款",
    "fulfil-order": "履约",
    "shadow": "影子模式(假设)",
}


def node(name: str) -> str:
    """The moment that a customer was told of."""
    return explain_words.NODES.get(name, (name, name))[0]


def actor(name: str) -> str:
    """Who did it: a person by name; a step, a platform, the customer, or somebody in the warehouse in words."""
    kind, named, rest = name.partition(":")
    if kind == "warehouse":
        return f"仓库 {rest}".strip()
    if name == "customer":
        return "客户"
    return keeper(rest) if named and kind == "platform" else _STEPS.get(name, name)


def keeper(name: str) -> str:
    """Who holds the money, or another platform, in words."""
    return _OUTSIDE.get(name, say(CHANNEL_WORDS, name))


def event_words(event: EventView) -> str:
    """One row of the timeline as a sentence."""
    detail = dict(event.detail)
    if event.kind == EventKind.ROUTE_REPORTED:
        detail["state"] = parcel(str(detail.get("state", "")))
    row = OrderEvent(order_id=0, at=event.at, actor=event.actor, kind=event.kind, detail=detail)
    return happened(row, teller("zh"))


def effect_kind(name: str) -> str:
    """What was told to the outside."""
    return explain_words.EFFECT_KINDS.get(name, (name, name))[0]


def parcel(state: str) -> str:
    """Where a parcel is."""
    return explain_words.PARCELS.get(state, (state, state))[0]


def fault(code: str) -> str:
    """Why an order is in quarantine."""
    return FAULT_WORDS.get(code, (code, code))[0]
