"""What an order's page says of what the customer changed after paying: when, what, from what to what, what we did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.change import ChangeKind, ChangeState, OrderChange
from models.wording import yuan

WHAT = {ChangeKind.LINES: "商品", ChangeKind.ADDRESS: "收货地址", ChangeKind.REFUND: "平台退款"}
#: What became of a change, where there is no more to say than its state.
DID = {
    ChangeState.ASKED: "正在处理",
    ChangeState.DECLINED: "订单已取消,不再单独处理",
    ChangeState.BY_HAND: "包裹已经交出,转人工拦截",
}
DONE = {
    ChangeKind.LINES: "已按改后的商品处理",
    ChangeKind.ADDRESS: "之后的运单用新地址",
    ChangeKind.REFUND: "已入账,我们不再重复退",
}
ONLY_MONEY = "已记下新的金额,要发的商品不变"


@dataclass(frozen=True)
class ChangeView:
    """One change as a row of the table; each text is plain, the template escapes it."""

    at: datetime
    what: str
    was: str
    now: str
    did: str
    done_at: datetime | None


def views_of(changes: Sequence[OrderChange]) -> tuple[ChangeView, ...]:
    """These changes as rows, the newest first."""
    return tuple(_view(change) for change in reversed(changes))


def _view(change: OrderChange) -> ChangeView:
    kind = ChangeKind(change.kind)
    was, now = _words(kind, change.before), _words(kind, change.after)
    if kind is ChangeKind.ADDRESS and was == now:
        now = f"{now}(门牌、收件人或电话有变)"
    return ChangeView(change.at, WHAT[kind], was or "—", now or "—", _did(kind, change), change.applied_at)


def _words(kind: ChangeKind, told: Mapping[str, Any]) -> str:
    if kind is ChangeKind.ADDRESS:
        return str(told.get("region", ""))
    if kind is ChangeKind.REFUND:
        return f"累计已退 {yuan(int(told.get('refunded_fen', 0)))}"
    words = [f"第 {_line(name)} × {pieces}" for name, pieces in told.get("lines", {}).items()]
    words += [f"第 {number} 行的宠物档案是新的" for number in told.get("pets", [])]
    if "total_fen" in told:
        words.append(f"订单金额 {yuan(int(told['total_fen']))}")
    return ";".join(words)


def _line(name: str) -> str:
    """A line as people read it: `1 CAN-400` is `1 行 CAN-400`."""
    number, _, sku = name.partition(" ")
    return f"{number} 行 {sku}"


def _did(kind: ChangeKind, change: OrderChange) -> str:
    state = ChangeState(change.state)
    if state is not ChangeState.APPLIED:
        return DID[state]
    shipments = change.after.get("shipments", [])
    if shipments:
        return f"已撤回运单 {'、'.join(str(number) for number in shipments)},按新地址重出"
    moves = change.after.get("lines") or change.after.get("pets")
    return ONLY_MONEY if kind is ChangeKind.LINES and not moves else DONE[kind]
