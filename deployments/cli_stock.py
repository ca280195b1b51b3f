"""`orderloom stock …`: what is on the shelves, and what people do to it, by name and with a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli import Lang, StateDir, Who, prepare, who_am_i
from deployments.language import tell

app = typer.Typer()
stock = typer.Typer(no_args_is_help=True, help=tell("库存:查看、到货、盘点、调拨、缓冲和渠道份额", "Stock and shelves"))
app.add_typer(stock, name="stock")

Sku = Annotated[str, typer.Argument(help=tell("商品编码", "the SKU"))]
Quantity = Annotated[int, typer.Argument(help=tell("数量(件,原料为克)", "pieces, or grams of an ingredient"))]
Reason = Annotated[str, typer.Option("--reason", help=tell("原因,写进流水", "why; goes into the ledger"))]
Warehouse = Annotated[
    str | None,
    typer.Option("--warehouse", help=tell("仓库(只有一个时可省)", "the warehouse, if there are several")),
]
Lines = Annotated[int, typer.Option("--lines", min=1, max=1000, help=tell("最多多少行", "how many lines at most"))]
#: Negative numbers are arguments here, not options.
NEGATIVE = {"ignore_unknown_options": True}


@stock.command(help=tell("各仓:在库、预留、缓冲、可售,和各渠道显示多少。", "By warehouse, and what channels show."))
def show(
    sku: Annotated[str, typer.Argument(help=tell("商品编码或名称的一部分", "part of a SKU or title"))] = "",
    lines: Lines = 50,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.showing_stock import show_shelves, show_sku
    from models.database import transact
    from models.product import Product

    with order_book(config):
        percent = config.policy.default_buffer_percent
        product = transact(lambda session: session.get(Product, sku)) if sku else None
        if product is not None:
            found = transact(lambda session: show_sku(session, product, percent))
        else:
            found = transact(lambda session: show_shelves(session, sku, percent, lines))
    raise typer.Exit(0 if found else 1)


@stock.command(help=tell("到货入库,唤醒等货的订单。", "Goods arrived; who waits for them is woken."))
def receive(
    sku: Sku,
    quantity: Quantity,
    reason: Reason,
    warehouse: Warehouse = None,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models import stock_desk

    _do(
        lambda s, name, now, _: stock_desk.receive(s, warehouse, sku, quantity, reason, name, now), who, state_dir, lang
    )


@stock.command(
    help=tell("按差额更正在库(多了写负数)。", "Correct what is on hand by a difference."), context_settings=NEGATIVE
)
def adjust(
    sku: Sku,
    change: Annotated[int, typer.Argument(help=tell("差额,如 -3", "the difference, such as -3"))],
    reason: Reason,
    warehouse: Warehouse = None,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models import stock_desk

    _do(lambda s, name, now, _: stock_desk.adjust(s, warehouse, sku, change, reason, name, now), who, state_dir, lang)


@stock.command(help=tell("在仓库之间调拨未预留的货。", "Move what is not promised to another warehouse."))
def transfer(
    sku: Sku,
    quantity: Quantity,
    from_: Annotated[str, typer.Option("--from", help=tell("调出仓库", "from"))],
    to: Annotated[str, typer.Option("--to", help=tell("调入仓库", "to"))],
    reason: Reason,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models import stock_desk

    _do(
        lambda s, name, now, _: stock_desk.transfer(s, sku, quantity, from_, to, reason, name, now),
        who, state_dir, lang,
    )  # fmt: skip


@stock.command(
    help=tell(
        "盘点一个商品:实物有多少。少于预留时,最晚付款的订单放回等货或补偿。",
        "What was counted of one SKU. Below what is promised, the latest to pay give theirs back.",
    )
)
def count(
    sku: Sku,
    counted: Quantity,
    reason: Reason,
    warehouse: Warehouse = None,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models import stock_desk
    from models.compensation import Limits

    _do(
        lambda s, name, now, config: stock_desk.count(
            s, warehouse, sku, counted, reason, name, now, Limits.of(config.policy)
        ),
        who, state_dir, lang,
    )  # fmt: skip


@stock.command(help=tell("一个商品最近的流水,和每行之后的数。", "The last movements of a SKU, with running sums."))
def ledger(
    sku: Sku, warehouse: Warehouse = None, lines: Lines = 30, state_dir: StateDir = None, lang: Lang = None
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.showing_stock import show_ledger
    from models.database import transact

    with order_book(config):
        transact(lambda session: show_ledger(session, sku, warehouse or "", lines))


@stock.command(
    help=tell(
        "记下预计到货(客户被告知的日期据此算);--drop 编号 取消一笔。",
        "Goods on their way, which the date told to customers rests on; --drop ID takes one back.",
    )
)
def expect(
    reason: Reason,
    sku: Annotated[str, typer.Argument(help=tell("商品编码", "the SKU"))] = "",
    quantity: Annotated[int, typer.Argument(help=tell("数量", "how many"))] = 0,
    day: Annotated[
        datetime | None,
        typer.Argument(formats=["%Y-%m-%d"], help=tell("哪天到,如 2026-12-01", "when, such as 2026-12-01")),
    ] = None,
    drop: Annotated[int, typer.Option("--drop", help=tell("取消这笔预计到货", "take this one back"))] = 0,
    warehouse: Warehouse = None,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models import stock_desk

    if drop:
        _do(lambda s, name, now, _: stock_desk.drop_expected(s, drop, reason, name, now), who, state_dir, lang)
        return
    if not sku or day is None:
        raise typer.BadParameter(tell("要写商品编码、数量和日期", "give a SKU, a quantity and a date"))
    _do(
        lambda s, name, now, _: stock_desk.expect(s, warehouse, sku, quantity, day.date(), reason, name, now),
        who, state_dir, lang,
    )  # fmt: skip


@stock.command(help=tell("一个商品留多少缓冲不给渠道卖。", "How much of a SKU is held back from the channels."))
def buffer(
    sku: Sku,
    reason: Reason,
    percent: Annotated[
        int | None, typer.Option("--percent", min=0, max=100, help=tell("在库的百分比", "percent"))
    ] = None,
    pieces: Annotated[
        int | None, typer.Option("--pieces", min=0, help=tell("每仓多少件", "so many a warehouse"))
    ] = None,
    default: Annotated[bool, typer.Option("--default", help=tell("用默认缓冲", "the default"))] = False,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models import stock_setting

    if sum((percent is not None, pieces is not None, default)) != 1:
        raise typer.BadParameter(tell("--percent、--pieces、--default 写且只写一个", "give exactly one of the three"))
    _do(
        lambda s, name, now, _: stock_setting.set_buffer(s, sku, percent, pieces, reason, name, now),
        who, state_dir, lang,
    )  # fmt: skip


@stock.command(help=tell("一个渠道显示可售量的百分之几。", "What percentage of what is sellable a channel shows."))
def share(
    channel: Annotated[str, typer.Argument(help=tell("渠道,如 douyin", "the channel, such as douyin"))],
    percent: Annotated[int, typer.Argument(min=0, max=100, help=tell("百分比", "percent"))],
    reason: Reason,
    sku: Annotated[str, typer.Option("--sku", help=tell("只对这个商品", "only this SKU"))] = "*",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models import stock_setting

    _do(
        lambda s, name, now, _: stock_setting.share(s, channel, percent, sku, reason, name, now),
        who, state_dir, lang,
    )  # fmt: skip


@stock.command(
    help=tell("缺货时这个商品的订单怎么办:backorder 等货,compensate 退款补偿,default 默认。",
              "What becomes of orders that a SKU lacks for: backorder, compensate or default.")
)  # fmt: skip
def short(
    sku: Sku,
    what: Annotated[str, typer.Argument(help="backorder | compensate | default")],
    reason: Reason,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models import stock_setting

    if what not in ("backorder", "compensate", "default"):
        raise typer.BadParameter(tell("只有 backorder、compensate、default", "backorder, compensate or default"))
    chosen = None if what == "default" else what
    _do(lambda s, name, now, _: stock_setting.set_when_short(s, sku, chosen, reason, name, now), who, state_dir, lang)


@stock.command(
    help=tell("新增或修改一个仓库:名称和所在省份,订单由最近的仓库发。", "Add a warehouse, or change where it is.")
)
def warehouse(
    code: Annotated[str, typer.Argument(help=tell("仓库代码,如 WH-EAST", "its code, such as WH-EAST"))],
    name: Annotated[str, typer.Argument(help=tell("名称", "its name"))],
    province: Annotated[str, typer.Option("--province", help=tell("所在省份,如 浙江省", "its province, in Chinese"))],
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models import stock_setting

    _do(lambda s, who, now, _: stock_setting.set_warehouse(s, code, name, province), None, state_dir, lang)


@stock.command(help=tell("谁在等货,先付款的在前。", "Who waits for goods, first paid first."))
def waiting(
    sku: Annotated[str, typer.Argument(help=tell("只看等这个商品的", "only for this SKU"))] = "",
    lines: Lines = 200,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.showing_stock import show_waiting
    from models.database import transact

    with order_book(config):
        transact(lambda session: show_waiting(session, sku, lines))


@stock.command(
    "import",
    help=tell(
        "导入盘点表(CSV 或 XLSX,要有「SKU」和「实盘数量」列):先显示会改变什么,加 --apply 才写入。",
        "Import a count (CSV or XLSX with SKU and counted columns): shows what would change; --apply writes it.",
    ),
)
def import_count(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=tell("盘点表", "the sheet"))],
    reason: Reason,
    warehouse: Warehouse = None,
    apply: Annotated[bool, typer.Option("--apply", help=tell("写入", "write it"))] = False,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.count_import import import_sheet

    with order_book(config):
        code = import_sheet(file, warehouse, reason, who_am_i(who), apply, config)
    raise typer.Exit(code)


def _do(
    work: Callable[[Any, str, datetime, Any], str], who: str | None, state_dir: Path | None, lang: str | None
) -> None:
    """Do one thing in one transaction under a name, and print the sentence that says what changed."""
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from models.database import transact, utcnow

    name = who_am_i(who)
    with order_book(config):
        typer.echo(transact(lambda session: work(session, name, utcnow(), config)))
