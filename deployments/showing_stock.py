"""`orderloom stock show | ledger | waiting`: the shelves as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlmodel import Session

from deployments.language import in_english, tell
from models import stock_page
from models.pool import StockRule
from models.product import Product
from models.stock_desk import known_sku
from models.stock_page import Shelf
from models.stock_setting import buffer_words, short_words
from models.wording import CHANNEL_WORDS, local, say

_LANGUAGE = {True: "en", False: "zh"}


def show_shelves(session: Session, query: str, default_percent: int, limit: int) -> bool:
    """SKUs that have `query` in code or title, by warehouse; False when there are none."""
    shelves, found = stock_page.shelves(session, default_percent, query, limit=limit)
    console = Console()
    if not shelves:
        said = tell(f"没有商品 {query}:请核对编码或名称。", f"No product {query}.") if query else _no_products()
        console.print(said, highlight=False)
        return False
    table = _places_table(with_title=True)
    for shelf in shelves:
        _add_places(table, shelf, with_title=True)
    console.print(table)
    if found > len(shelves):
        more = tell(f"共 {found} 个商品,只列出 {len(shelves)} 个:写出编码或名称,或加 --lines。",
                    f"{found} products, {len(shelves)} shown: name a SKU, or add --lines.")  # fmt: skip
        console.print(more, highlight=False)
    return True


def show_sku(session: Session, product: Product, default_percent: int) -> bool:
    """Everything about one SKU."""
    shelf = stock_page.shelf_of(session, product, default_percent)
    rule = session.get(StockRule, product.sku)
    console = Console()
    console.print(Text(f"{product.sku} {product.title}"))
    if product.made_to_order:
        console.print(tell("按单生产,没有自己的库存:渠道显示的是原料够做多少。", "Made to order: see its ingredients."))
    else:
        table = _places_table(with_title=False)
        _add_places(table, shelf, with_title=False)
        console.print(table)
    console.print(
        tell(
            f"可售合计 {shelf.sellable};缓冲 {buffer_words(rule)};缺货时 {short_words(rule)};{shelf.waiting} 单在等",
            f"sellable {shelf.sellable}; buffer {buffer_words(rule)}; when short {short_words(rule)}; "
            f"{shelf.waiting} waiting",
        ),
        highlight=False,
    )
    _show_channels(console, session, product.sku, default_percent)
    for row in stock_page.expected(session, product.sku):
        console.print(
            tell(
                f"预计到货 #{row.id}:{row.expected_on} {row.warehouse} {row.quantity}({row.note})",
                f"expected #{row.id}: {row.expected_on} {row.warehouse} {row.quantity} ({row.note})",
            ),
            highlight=False, markup=False,
        )  # fmt: skip
    return True


def _show_channels(console: Console, session: Session, sku: str, default_percent: int) -> None:
    language = _LANGUAGE[in_english()]
    for one in stock_page.shown_on(session, sku, list(CHANNEL_WORDS), default_percent):
        wanted = "-" if one.wanted is None else str(one.wanted)
        seen = "?" if one.seen is None else f"{one.seen}({local(one.seen_at)})" if one.seen_at else str(one.seen)
        name = say(CHANNEL_WORDS, one.channel, language)
        said = tell(f"{name} 应显示 {wanted},上次看到 {seen}", f"{name} is to show {wanted}, last seen {seen}")
        console.print(Text(said + (f"  {one.error}" if one.error else "")))


def show_ledger(session: Session, sku: str, warehouse: str, limit: int) -> None:
    """The last movements of a SKU, newest first. Raises `StockRefused` for an unknown SKU."""
    known_sku(session, sku)
    table = _table(
        tell("时间", "at"), tell("仓库", "warehouse"), tell("事由", "what"), tell("在库", "on hand"), "=",
        tell("预留", "reserved"), "=", tell("订单", "order"), tell("谁", "who"), tell("原因", "why"),
    )  # fmt: skip
    rows = stock_page.ledger(session, sku, limit, warehouse=warehouse)
    for row in rows:
        table.add_row(
            local(row.at), row.warehouse, tell(row.word, row.kind), _signed(row.on_hand_change), str(row.on_hand),
            _signed(row.reserved_change), str(row.reserved), row.fulfilment_no or "", Text(row.actor), Text(row.reason),
        )  # fmt: skip
    console = Console()
    console.print(table if rows else tell("还没有流水。", "No movements yet."))


def show_waiting(session: Session, sku: str, limit: int) -> None:
    """Who waits for goods, first paid first."""
    rows = stock_page.waiters(session, sku, limit)
    table = _table(tell("订单", "order"), tell("等什么", "for"), tell("付款", "paid"), tell("告知的日期", "told"))
    for row in rows:
        table.add_row(row.fulfilment_no, Text("、".join(row.skus)), local(row.paid_at), str(row.expected_on))
    Console().print(table if rows else tell("没有人在等货。", "Nobody waits for goods."))


def _places_table(*, with_title: bool) -> Table:
    names = ["SKU", tell("商品", "title")] if with_title else []
    table = _table(*names, tell("仓库", "warehouse"))
    for name in (tell("在库", "on hand"), tell("预留", "reserved"), tell("缓冲", "buffer"), tell("可售", "sellable")):
        table.add_column(name, justify="right")
    if with_title:
        table.add_column(tell("在等", "waiting"), justify="right")
    return table


def _add_places(table: Table, shelf: Shelf, *, with_title: bool) -> None:
    head: list[Any] = [shelf.sku, Text(shelf.title)] if with_title else []
    last = [str(shelf.waiting or "")] if with_title else []
    for place in shelf.places:
        figures = (place.on_hand, place.reserved, place.buffer, place.sellable)
        table.add_row(*head, place.warehouse, *map(str, figures), *last)
        head, last = ["", ""] if with_title else [], [""] if with_title else []
    if not shelf.places:
        none = tell("(按单生产)", "(made to order)") if shelf.made_to_order else tell("(没有库存)", "(no stock)")
        table.add_row(*head, none, *[""] * 4, *last)


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _signed(change: int) -> str:
    return f"{change:+d}" if change else ""


def _no_products() -> str:
    return tell("还没有商品:`orderloom catalogue load`。", "No products yet: `orderloom catalogue load`.")
