"""`orderloom stock import`: what a sheet of counted goods would change, and changing it."""

from __future__ import annotations

from pathlib import Path

import typer

from deployments.language import tell
from integrations.spreadsheets.cells import MOST_BYTES
from integrations.spreadsheets.count_sheet import read_count_sheet
from models import stock_count, stock_count_apply
from models.compensation import Limits
from models.database import transact, utcnow
from models.settings import Settings
from models.stock_count import StockCount, StockCountLine


def import_sheet(file: Path, warehouse: str | None, reason: str, who: str, apply: bool, config: Settings) -> int:
    """Show what the sheet would change; carry it out if `apply`. The exit code: 1 when something was set aside."""
    with open(file, "rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    sheet = read_count_sheet(data)
    count = transact(
        lambda session: stock_count.preview(
            session, sheet.rows, sheet.bad, file.name, sheet.sha256, warehouse, who, utcnow()
        )
    )
    assert count.id is not None
    number = count.id
    lines = transact(lambda session: stock_count.lines(session, number))
    same = transact(lambda session: stock_count.unchanged(session, number))
    _show(count, lines, same)
    if apply and lines:
        _, sentence = transact(lambda session: stock_count_apply.begin(session, number, reason, who, utcnow()))
        typer.echo(sentence)
        over = stock_count_apply.carry_out(number, who, Limits.of(config.policy), _tell_line)
        typer.echo(_end(over, number))
        return 0 if over and not count.bad_count and not _problems(number) else 1
    if lines:
        typer.echo(tell("没有写入;确认无误后加 --apply 再来一次。", "Nothing written; to write it add --apply."))
    return 1 if count.bad_count else 0


def _show(count: StockCount, lines: list[StockCountLine], same: int) -> None:
    for bad in count.bad_rows:
        typer.echo(tell(f"第 {bad.row} 行 {bad.sku}:{bad.why}", f"row {bad.row} {bad.sku}: {bad.why}"), err=True)
    for line in lines:
        said = f"{line.sku}:{line.on_hand} → {line.counted}({line.difference:+d})"
        losing = "、".join(line.losing)
        lost = tell(f" ⚠ {len(line.losing)} 单会失去预留:{losing}", f" ⚠ {len(line.losing)} lose theirs: {losing}")
        typer.echo(said + (lost if line.losing else ""))
    orders = len({number for line in lines for number in line.losing})
    typer.echo(
        tell(
            f"{count.warehouse}:{len(lines)} 个商品会变,{same} 个相同,{count.bad_count} 行搁置,{orders} 单会失去预留。",
            f"{count.warehouse}: {len(lines)} change, {same} are the same, {count.bad_count} rows set aside, "
            f"{orders} orders lose their promise.",
        )
    )


def _tell_line(line: StockCountLine) -> None:
    typer.echo(f"{line.sku}:{line.result}")


def _end(over: bool, number: int) -> str:
    if over:
        return tell(f"盘点 #{number} 已全部写入。", f"Count #{number} is written.")
    page = f"/stock/import/{number}"
    return tell(
        f"盘点 #{number} 还有没写入的行(原因见上):稍后在员工页面 {page} 按「继续」。",
        f"Count #{number} has lines left (see above): go on later on the staff page {page}.",
    )


def _problems(number: int) -> bool:
    return any(line.problem for line in transact(lambda session: stock_count.lines(session, number)))
