"""`orderloom quarantine list | show`: what could not enter the book and why, without anybody's personal data."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlmodel import Session

from deployments.language import in_english, tell
from models.quarantine import Quarantined, waiting_list
from models.settings import settings
from models.wording import CHANNEL_WORDS, FAULT_WORDS, local, say

#: Rows that are looked through.
MOST = 10_000


def show_quarantine(session: Session, codes: Sequence[str], channels: Sequence[str], lines: int) -> None:
    """A line for each, newest first; only with one of these faults, only of these channels, if any are given."""
    rows = [
        row
        for row in waiting_list(session, MOST)
        if (not codes or codes_of(row) & set(codes)) and (not channels or row.channel in channels)
    ]
    console = Console()
    if not rows:
        console.print(tell("没有隔离的订单。", "Nothing is set aside."))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in (
        tell("编号", "number"),
        tell("渠道", "channel"),
        tell("渠道单号", "order there"),
        tell("原因", "why"),
        tell("最近", "last seen"),
    ):
        table.add_column(name, overflow="fold")
    for row in rows[:lines]:
        why = "、".join(_word(code) for code in sorted(codes_of(row)))
        name = say(CHANNEL_WORDS, row.channel, _language())
        cells = (row.channel_order_id.removeprefix("gid://shopify/Order/"), why, local(row.last_at))
        table.add_row(str(row.id), name, *map(Text, cells))
    console.print(table)
    if len(rows) > lines:
        console.print(tell(f"共 {len(rows)} 件,只列出 {lines} 件:加 --lines。", f"{len(rows)} in all, {lines} shown."))


def show_set_aside(session: Session, number: int) -> bool:
    """Every reason of one that is set aside, and what can be done about it; False when there is none."""
    row, console = session.get(Quarantined, number), Console()
    if row is None:
        console.print(tell(f"隔离区里没有编号 {number}。", f"There is no number {number} in quarantine."))
        return False
    name = say(CHANNEL_WORDS, row.channel, _language())
    console.print(Text(f"{row.id} · {name} {row.shop} · {row.channel_order_id}"))
    seen = f"{local(row.first_at)} – {local(row.last_at)}"
    console.print(tell(f"{seen},共 {row.times} 次", f"{seen}, {row.times} times"), highlight=False)
    if row.resolved_at is not None:
        console.print(tell(f"{local(row.resolved_at)} 已处理", f"settled {local(row.resolved_at)}"), highlight=False)
        return True
    for fault in row.faults:
        console.print(Text(f"- {_word(fault['code'])} ({fault['code']})"))
    page = f"{settings().staff_url()}/quarantine/{row.id}"
    lines = [
        tell(f"看内容、改正:{page}", f"to see and correct it: {page}"),
        tell(
            f"建好商品以后:orderloom quarantine resubmit {row.id}",
            f"once the product is there: orderloom quarantine resubmit {row.id}",
        ),
        tell("在渠道后台改过:再加 --fetch-again", "mended on the channel: add --fetch-again"),
    ]
    if not row.reading:
        lines = lines[2:]
        lines[0] = tell(
            f"平台给的读不成订单,请在渠道后台改正,然后 orderloom quarantine resubmit {row.id} --fetch-again",
            f"It cannot be read: mend it on the channel, then orderloom quarantine resubmit {row.id} --fetch-again",
        )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return True


def codes_of(row: Quarantined) -> set[str]:
    """What is wrong with an order, by the rules' codes."""
    return {str(fault["code"]) for fault in row.faults}


def _word(code: str) -> str:
    return say(FAULT_WORDS, code, _language())


def _language() -> str:
    return "en" if in_english() else "zh"
