"""A sheet of orders on the terminal: what each column is taken for and why, and its first orders."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from deployments.language import in_english, tell
from integrations.spreadsheets.preview import Head, Preview, samples_of
from integrations.spreadsheets.sheet_fields import ATTRIBUTE, IGNORE, ORDER_ATTRIBUTE, target_field
from models.intake import Incoming, IncomingOrder, PlatformStatus
from models.order_sheet import OrderSheet
from models.privacy import mask_name, mask_phone
from models.wording import PLATFORM_STATUS_WORDS, local, yuan


def show_proposal(console: Console, row: OrderSheet, head: Head, chosen: dict[str, Any], look: Preview) -> None:
    """How the file is read, every column with a few values, and what became of the first orders."""
    for said in row.said:
        console.print(said, markup=False)
    if row.proposal.get("known_by"):
        told = tell("按上次确认的对应关系", "as it was confirmed last time by")
        console.print(f"{told}({row.proposal['known_by']})", markup=False)
    why = {guess["header"]: guess["reason"] for guess in row.proposal["guesses"]}
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in (tell("列", "column"), tell("样例", "sample"), tell("当作", "taken as"), tell("为什么", "why")):
        table.add_column(title, overflow="fold")
    for header, samples in samples_of(head).items():
        target = chosen["columns"].get(header, IGNORE)
        table.add_row(_plain(header), _plain(" · ".join(samples)[:40]), field_words(target), why.get(header, ""))
    console.print(table)
    for note in row.proposal["notes"]:
        console.print(f"! {note}", style="yellow", markup=False)
    for word in look.unknown_statuses:
        console.print(f"! {tell('不认识的状态', 'unknown status')}:{word}", style="yellow", markup=False)
    for order in look.orders:
        console.print(f"· {order_words(order)}", markup=False)


def field_words(target: str) -> str:
    """What a column is taken for, in words."""
    try:
        found = target_field(target)
    except KeyError:
        return f"?{target}"
    if found is None:
        return tell("(不采用)", "(not used)")
    kept = tell("附加信息 ", "kept as ") if target.startswith((ATTRIBUTE, ORDER_ATTRIBUTE)) else ""
    return f"{kept}{found.zh}" if not in_english() or kept else target


def order_words(order: Incoming) -> str:
    """An order as it would be taken, in one line, its receiver masked."""
    if not isinstance(order, IncomingOrder):
        return tell(f"{order.channel_order_id} 会搁置:", f"{order.channel_order_id} set aside: ") + order.reason
    lines = tell("、", ", ").join(f"{line.sku}×{line.quantity}" for line in order.lines)
    to = order.receiver
    where = f"{mask_name(to.name)} {mask_phone(to.phone)} {to.province}{to.city}{to.district}" if to else ""
    said = f"{order.channel_order_id} {_status(order.status)} {local(order.placed_at)} {yuan(order.total_fen)}"
    return f"{said} {lines} {where}"


def _status(status: PlatformStatus) -> str:
    zh, en = PLATFORM_STATUS_WORDS[status.value]
    return tell(zh, en)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).replace("[", "\\[")
