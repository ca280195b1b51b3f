"""Refunds on platforms that know only after-sales, one per line of the order: a sum split up, and put together."""

from __future__ import annotations

from collections.abc import Sequence

from integrations.errors import Refused
from integrations.payments import RefundAnswer, RefundState, RefundWish


def shares(keeper: str, wish: RefundWish) -> list[tuple[str, int, int]]:
    """(line, count, fen) of each line of the refund, in the wish's order; lines that cost nothing are left out.

    A line's share follows what was paid for it (`handles["paid"]`); what the shares do not explain, such as the
    freight, is the first line's. Raises `Refused` when the refund names no line, or more than was bought.
    """
    paid = wish.handles.get("paid", {})
    wanted: dict[str, int] = {}
    for line, count in wish.lines:
        wanted[line] = wanted.get(line, 0) + count
    worth: dict[str, int] = {}
    for line, count in wanted.items():
        bought = paid.get(line, {"count": 0, "fen": 0})
        if not 0 < count <= bought["count"]:
            said = f"商品行 {line} 买了 {bought['count']} 件,不能退 {count} 件:请核对订单"
            raise Refused(keeper, "unknown_line", said)
        worth[line] = bought["fen"] * count // bought["count"]
    total = sum(worth.values())
    if not total:
        raise Refused(keeper, "no_lines", "这个平台按商品退款:退款要写明商品行,或者请在平台后台主动退款")
    fen = {line: min(value, wish.amount_fen * value // total) for line, value in worth.items() if value}
    left = wish.amount_fen - sum(fen.values())
    for line in fen:  # what rounding down left over, where there is room
        more = min(left, worth[line] - fen[line])
        fen[line] += more
        left -= more
    fen[next(iter(fen))] += left
    return [(line, wanted[line], value) for line, value in fen.items() if value]


def together(parts: Sequence[tuple[RefundState, str, int, str]]) -> RefundAnswer:
    """One answer of several after-sales, each (state, id, fen, what the platform calls it).

    Paid when all are paid. When some ended without paying, the rest is a person's: abnormal, unless none paid.
    """
    states = {state for state, _, _, _ in parts}
    moving = sum(fen for state, _, fen, _ in parts if state in (RefundState.PAID, RefundState.PROCESSING))
    ids = ",".join(name for _, name, _, _ in parts)
    if states <= {RefundState.PAID, RefundState.PROCESSING}:
        state = RefundState.PAID if states == {RefundState.PAID} else RefundState.PROCESSING
        return RefundAnswer(state, ids, moving)
    stopped = [
        f"{name} {said}" for state, name, _, said in parts if state in (RefundState.ABNORMAL, RefundState.CLOSED)
    ]
    state = RefundState.CLOSED if states == {RefundState.CLOSED} else RefundState.ABNORMAL
    reason = f"售后单 {'、'.join(stopped)} 没有退成:请在平台后台核对,剩下的用其他方式退给顾客"
    return RefundAnswer(state, ids, moving, reason)
