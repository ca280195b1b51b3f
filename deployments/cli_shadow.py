"""`orderloom shadow report`: what shadow mode would have done, beside what people did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli import Lang, StateDir, prepare
from deployments.language import tell

app = typer.Typer()
shadow = typer.Typer(no_args_is_help=True, help=tell("影子模式", "Shadow mode"))
app.add_typer(shadow, name="shadow")


@shadow.callback()
def about_the_shadow() -> None:
    """Keep `report` a command of its own: a single one would be taken for the whole."""


@shadow.command(help=tell("影子模式本应做什么,和人做的有何不同。", "What the shadow would have done, and people did."))
def report(
    days: Annotated[int, typer.Option(min=1, max=366, help=tell("最近多少天", "of how many days"))] = 7,
    xlsx: Annotated[
        Path | None, typer.Option(dir_okay=False, help=tell("另存为表格文件", "write a workbook too"))
    ] = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang, shadow=True)
    import asyncio

    from deployments.book_access import order_book
    from models.database import transact
    from models.shadow import BookMixed, is_shadow_book
    from tasks.shadow_report import as_markdown, shadow_report, write_workbook

    with order_book(config):
        if not transact(is_shadow_book):
            raise BookMixed(False)
        found = asyncio.run(shadow_report(days))
        typer.echo(as_markdown(found))
        if xlsx is not None:
            write_workbook(found, xlsx)
            typer.echo(tell(f"\n已写入 {xlsx}", f"\nwritten: {xlsx}"))
