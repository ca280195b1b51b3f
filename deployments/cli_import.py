"""`orderloom import`: a spreadsheet of orders into the book; and the waybills back as a spreadsheet."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from deployments.cli import Lang, StateDir, Who, prepare, who_am_i
from deployments.language import tell

FILE = "file"


class FileOrCommand(TyperGroup):
    """`orderloom import a.csv …` is `orderloom import file a.csv …`; any other word is a command of the group."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with the command put in that is left out."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [FILE, *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer()
imports = typer.Typer(
    cls=FileOrCommand,
    no_args_is_help=True,
    help=tell(
        "导入表格订单:orderloom import 订单.csv --shop 店铺名;导出发货回单:orderloom import waybills --shop 店铺名",
        "Import orders: orderloom import FILE --shop NAME; waybills back: orderloom import waybills --shop NAME",
    ),
)
app.add_typer(imports, name="import")

Shop = Annotated[str, typer.Option("--shop", help=tell("店铺名,同一家店每次写一样", "the shop, always the same name"))]


@imports.command(
    FILE,
    help=tell(
        "导入一份订单表格(CSV 或 XLSX):先列出每一列当作什么,确认后才用。同一份导入两次,第二次什么也不变。",
        "Import a file of orders (CSV or XLSX): shows what each column is taken for, and asks before it is used.",
    ),
)
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=tell("订单表格", "the file"))],
    shop: Shop,
    mapping: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help=tell("列的对应关系(JSON)", "which column is what (JSON)")),
    ] = None,
    save_mapping: Annotated[
        Path | None, typer.Option(help=tell("把建议的对应关系写成 JSON,不导入", "write the proposal as JSON and end"))
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=tell("只试算会怎样,不入库", "only tell what would happen"))
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help=tell("不询问", "do not ask"))] = False,
    sheet: Annotated[str | None, typer.Option(help=tell("工作表名(默认第一张)", "which sheet of a workbook"))] = None,
    encoding: Annotated[
        str | None, typer.Option(help=tell("编码:utf-8-sig、gb18030、utf-16、big5", "utf-8-sig, gb18030, …"))
    ] = None,
    header_row: Annotated[
        int | None, typer.Option(min=1, help=tell("表头在第几行", "the row that the header is in"))
    ] = None,
    date_order: Annotated[
        str, typer.Option(help=tell("03/04/2026 怎么读:day_first 或 month_first", "day_first or month_first"))
    ] = "",
    rejected: Annotated[
        Path | None, typer.Option(help=tell("搁置的行写到这个 CSV(默认在原文件旁边)", "where rejected rows go"))
    ] = None,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    if date_order not in ("", "day_first", "month_first"):
        raise typer.BadParameter(tell("--date-order 只有 day_first 和 month_first", "day_first or month_first"))
    from deployments.book_access import order_book
    from deployments.sheet_import import Wish, run_import

    chosen = {"sheet": sheet, "encoding": encoding, "header_row": header_row}
    wish = Wish(
        file=file,
        shop=shop,
        opening={name: value for name, value in chosen.items() if value is not None},
        mapping=mapping,
        save_mapping=save_mapping,
        date_order=date_order,
        dry_run=dry_run,
        yes=yes,
        rejected=rejected or file.with_name(f"{file.stem}-{tell('未导入', 'rejected')}.csv"),
        who=who_am_i(who),
        language=config.language,
    )
    with order_book(config):
        code = run_import(wish)
    raise typer.Exit(code)


@imports.command(
    help=tell(
        "发货回单:已发出的表格订单的单号和运单号,写成 CSV 或 XLSX,上传回原平台。",
        "The parcels of orders that came as spreadsheets, as CSV or XLSX, to be uploaded where they are from.",
    )
)
def waybills(
    shop: Shop,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help=tell("从哪天起(默认最近 7 天)", "from which day on"))
    ] = None,
    out: Annotated[Path | None, typer.Option(help=tell("写到这个文件(.csv 或 .xlsx)", "the file to write"))] = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.sheet_import import write_waybills

    path = out or Path(tell(f"发货回单-{shop}.csv", f"waybills-{shop}.csv"))
    if path.suffix not in (".csv", ".xlsx"):
        raise typer.BadParameter(tell("--out 应以 .csv 或 .xlsx 结尾", "--out must end in .csv or .xlsx"))
    with order_book(config):
        write_waybills(shop, since, path)
