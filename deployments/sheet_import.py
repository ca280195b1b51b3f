"""`orderloom import FILE`: the columns shown before they are used, then the orders taken in, in this process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlmodel import Session

from deployments.language import tell
from deployments.showing_sheet import show_proposal
from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.arriving import Seen, digest_of, remember, see
from integrations.spreadsheets.order_sheet import EncodingUnclear
from integrations.spreadsheets.preview import Preview, preview
from integrations.spreadsheets.rejecting import write_report
from integrations.spreadsheets.waybill_sheet import waybill_sheet
from models import order_sheet, sheet_run
from models.database import transact, utcnow
from models.order_sheet import OrderSheet, Place, SheetState
from models.sheet_wording import outcomes, reasons, sentence
from models.waybill_return import returned, shops_with_orders
from models.wording import TZ
from tasks.importing import import_sheet

_DATE_ORDERS = {"1": "day_first", "2": "month_first"}


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line."""

    file: Path
    shop: str
    opening: dict[str, Any]
    mapping: Path | None
    save_mapping: Path | None
    date_order: str
    dry_run: bool
    yes: bool
    rejected: Path
    who: str
    language: str


def run_import(wish: Wish) -> int:
    """Show, ask, import, report. The exit code: 0 when all was taken in, 1 when something was set aside or wrong."""
    console = Console(highlight=False)
    try:
        seen = see(wish.file, wish.opening)
    except EncodingUnclear as unclear:
        typer.echo(str(unclear), err=True)
        for name, sample in unclear.samples.items():
            typer.echo(f"--encoding {name}:\n{sample}", err=True)
        return 1
    number = transact(lambda session: _add(session, wish, seen))
    row = transact(lambda session: order_sheet.find(session, number))
    try:
        chosen = _chosen(wish, row)
    except SheetWrong:
        _left(number, 1)
        raise
    look = preview(seen.head, chosen, wish.shop, utcnow())
    if wish.save_mapping is not None:
        wish.save_mapping.write_text(json.dumps(chosen, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        typer.echo(tell(f"已写入 {wish.save_mapping}。", f"Written: {wish.save_mapping}."))
        return _left(number, 0)
    show_proposal(console, row, seen.head, chosen, look)
    if look.questions and not look.problems and not wish.yes:
        chosen = {**chosen, "date_order": _asked_about_dates(look)}
        look = preview(seen.head, chosen, wish.shop, utcnow())
    if look.problems or look.questions:
        for problem in (*look.problems, *look.questions):
            typer.echo(problem, err=True)
        typer.echo(_how_to_mend(), err=True)
        return _left(number, 1)
    doing = tell("试算(不入库)", "try it (nothing is written)") if wish.dry_run else tell("导入", "import it")
    if not wish.yes and not typer.confirm(tell(f"按这样{doing}?", f"Take it like this and {doing}?")):
        typer.echo(tell("没有导入,没有任何改变。", "Nothing was imported."))
        return _left(number, 1)
    return _work(console, wish, _confirmed(number, wish, chosen, row))


def _add(session: Session, wish: Wish, seen: Seen) -> int:
    digest, size = digest_of(wish.file)
    row = OrderSheet(
        shop=order_sheet.shop_named(wish.shop),
        file_name=wish.file.name[:200],
        digest=digest,
        size_bytes=size,
        place=Place.COMMAND.value,
        by=wish.who,
        at=utcnow(),
    )
    remember(session, row, seen, wish.opening, wish.who)
    session.flush()
    assert row.id is not None
    return row.id


def _chosen(wish: Wish, row: OrderSheet) -> dict[str, Any]:
    """The mapping to begin with: the file's, over what is proposed. Raises `SheetWrong`."""
    chosen = dict(row.mapping)
    if wish.mapping is not None:
        try:
            told = json.loads(wish.mapping.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise SheetWrong(f"{wish.mapping} 不是 JSON:{error}。用 --save-mapping 可以得到一份样子。") from error
        if not isinstance(told, dict) or not isinstance(told.get("columns", {}), dict):
            raise SheetWrong(f"{wish.mapping} 应是一个带 columns 的 JSON 对象。用 --save-mapping 可以得到一份样子。")
        chosen = {**chosen, **told, "columns": {**chosen["columns"], **told.get("columns", {})}}
    return {**chosen, "confirmed_by": wish.who, **({"date_order": wish.date_order} if wish.date_order else {})}


def _asked_about_dates(look: Preview) -> str:
    for question in look.questions:
        typer.echo(question)
    asked = tell("1 日在前(3 日 4 月),2 月在前", "1 day first, 2 month first")
    return _DATE_ORDERS.get(typer.prompt(asked, default=""), "")


def _how_to_mend() -> str:
    return tell(
        "没有导入。用 --save-mapping 写出对应关系,改好后用 --mapping 带上;日期用 --date-order。",
        "Nothing was imported. Write the mapping with --save-mapping, mend it, give it with --mapping.",
    )


def _left(number: int, code: int) -> int:
    transact(lambda session: order_sheet.discard(session, number))
    return code


def _confirmed(number: int, wish: Wish, chosen: dict[str, Any], row: OrderSheet) -> int:
    """The sheet to work through: this one, or the one that was left half way with the same file and columns."""

    def work(session: Session) -> int:
        now = utcnow()
        left = None if wish.dry_run else sheet_run.unfinished(session, row.digest, row.shop, chosen, now)
        if left is None:
            order_sheet.confirm(session, number, chosen, wish.dry_run, wish.who, now)
            return number
        known = order_sheet.find(session, left)
        typer.echo(
            tell(
                f"接着上次没有导完的 #{left},从第 {known.orders_done + 1} 单起。",
                f"Going on with #{left}, which was not finished, from order {known.orders_done + 1} on.",
            )
        )
        if known.state == SheetState.FAILED.value:
            order_sheet.confirm(session, left, chosen, False, wish.who, now)
        order_sheet.discard(session, number)
        return left

    return transact(work)


def _work(console: Console, wish: Wish, number: int) -> int:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(tell("读取", "reading"), total=1.0, done="")

            async def told(sheet: OrderSheet) -> None:
                orders = f"{sheet.orders_done}/{sheet.orders} {tell('单', 'orders')}"
                rows = f"{sheet.rows_read} {tell('行', 'rows')}"
                doing = tell("入库", "taking in") if sheet.orders else tell("读取", "reading")
                bar.update(task, completed=sheet.share_done, description=doing, done=orders if sheet.orders else rows)

            sheet = asyncio.run(import_sheet(number, told, path=wish.file))
    except KeyboardInterrupt:
        typer.echo(transact(lambda session: sheet_run.stop(session, number, wish.who, utcnow())))
        typer.echo(tell("再运行同样的命令会接着做。", "Run the same command again to go on."))
        raise
    return _report(console, wish, sheet)


def _report(console: Console, wish: Wish, sheet: OrderSheet) -> int:
    if sheet.error:
        typer.echo(sheet.error, err=True)
        return 1
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(tell("结果", "outcome"))
    table.add_column(tell("单数", "orders"), justify="right")
    for said, count in outcomes(sheet, wish.language):
        table.add_row(said, str(count))
    console.print(sentence(sheet, wish.language), markup=False, soft_wrap=True)
    console.print(table)
    if not sheet.counts.get("rows_aside"):
        return 0
    for said, count in reasons(sheet, wish.language):
        console.print(f"  {said}: {count}", markup=False)
    rows = write_report(wish.rejected, sheet)
    where = f"{rows} 行没有导入,原样和原因写在 {wish.rejected};改好后可以直接再导入这个文件。"
    console.print(
        tell(where, f"{rows} rows were not imported: see {wish.rejected}; mend that file and import it."),
        markup=False,
        soft_wrap=True,
    )
    return 1


def write_waybills(shop: str, since: datetime | None, path: Path) -> None:
    """Write the parcels of a shop since a day (Shanghai; the last week if none is said) to a file, and say how many."""
    now = utcnow()
    start = now - timedelta(days=7) if since is None else since.replace(tzinfo=TZ)
    rows = transact(lambda session: returned(session, shop, start, now))
    known = transact(shops_with_orders)
    if not rows and shop not in known:
        names = "、".join(known) or tell("还没有", "none yet")
        raise order_sheet.SheetRefused(f"没有店铺「{shop}」的表格订单。有的店铺:{names}。")
    path.write_bytes(waybill_sheet(rows, path.suffix[1:]))
    typer.echo(tell(f"{len(rows)} 个包裹写入 {path}。", f"{len(rows)} parcels written to {path}."))
