"""`orderloom channels …` and `orderloom quarantine …`: whether every order is here, and what could not enter."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli import Lang, StateDir, Who, prepare, who_am_i
from deployments.language import tell

app = typer.Typer()
channels = typer.Typer(help=tell("渠道:读到哪里、缺不缺、推送、补拉", "Channels: how far they are read, and backfill"))
quarantine = typer.Typer(help=tell("隔离区:没有进订单簿的订单", "Orders that could not enter the book"))
app.add_typer(channels, name="channels")
app.add_typer(quarantine, name="quarantine")

Channels = Annotated[
    list[str] | None, typer.Option("--channel", help=tell("只这个渠道,可以写几次", "only this one; may be repeated"))
]
Fault = Annotated[str, typer.Option("--fault", help=tell("只有这个问题的,如 unknown_sku", "only with this fault"))]


@channels.callback(invoke_without_command=True)
def show(context: typer.Context, state_dir: StateDir = None, lang: Lang = None) -> None:
    if context.invoked_subcommand is not None:
        return
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.showing_channels import as_it_runs, show_channels
    from models.database import transact, utcnow

    with order_book(config):
        fine = transact(lambda session: show_channels(session, as_it_runs(config), utcnow()))
    raise typer.Exit(0 if fine else 1)


@channels.command(
    help=tell(
        "补拉一段时间的订单,逐段与平台核对。已有的不变,可以重复运行。时间不写时区就是北京时间。",
        "Read a stretch of the past again, each slice proved. Times without a zone are Shanghai's.",
    )
)
def backfill(
    since: Annotated[str, typer.Option(help=tell("起点,如 2026-11-01 或 2026-11-01T08:00", "from, e.g. 2026-11-01"))],
    until: Annotated[str, typer.Option(help=tell("终点(默认现在)", "to (default: now)"))] = "",
    channel: Channels = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    start, stop = moment(since), moment(until) if until else None
    config = prepare(state_dir, lang)
    from deployments.backfilling import backfill_and_wait
    from deployments.showing_channels import as_it_runs
    from integrations.channels.connecting import connected_shops

    connected = [name for name, _ in connected_shops(as_it_runs(config))]
    if not connected:
        typer.echo(tell("还没有接好任何渠道:`orderloom channels`。", "No channel is connected: `orderloom channels`."))
        raise typer.Exit(1)
    wanted = known_channels(channel or [], connected)
    raise typer.Exit(backfill_and_wait(config, start, stop, wanted))


@quarantine.callback(invoke_without_command=True)
def overview(context: typer.Context, state_dir: StateDir = None, lang: Lang = None) -> None:
    if context.invoked_subcommand is None:
        _list("", [], 50, state_dir, lang)


@quarantine.command("list", help=tell("列出隔离的订单和原因,不含个人资料。", "What is set aside, and why."))
def list_(
    fault: Fault = "",
    channel: Channels = None,
    lines: Annotated[int, typer.Option("--lines", min=1, max=1000, help=tell("最多多少行", "at most"))] = 50,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    _list(fault, channel or [], lines, state_dir, lang)


@quarantine.command("show", help=tell("一件的全部原因,和怎么处理。", "Every reason of one, and what to do."))
def show_one(
    number: Annotated[int, typer.Argument(min=1, help=tell("编号", "its number"))],
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.showing_quarantine import show_set_aside
    from models.database import transact

    with order_book(config):
        found = transact(lambda session: show_set_aside(session, number))
    raise typer.Exit(0 if found else 1)


@quarantine.command(
    help=tell(
        "重新提交:写编号,或用 --fault 选(如建好商品后 --fault unknown_sku)。规则和原来一样。",
        "Submit again, by number or by --fault, past the same rules.",
    )
)
def resubmit(
    numbers: Annotated[list[int] | None, typer.Argument(min=1, help=tell("编号", "their numbers"))] = None,
    fault: Fault = "",
    channel: Channels = None,
    fetch_again: Annotated[
        bool, typer.Option("--fetch-again", help=tell("先从渠道重新读(在渠道后台改过)", "read them anew first"))
    ] = False,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    if not numbers and not fault:
        raise typer.BadParameter(tell("请写编号,或用 --fault 选一种问题", "give numbers, or --fault"))
    if numbers and (fault or channel):
        raise typer.BadParameter(tell("写了编号就不用 --fault 和 --channel", "numbers, or --fault and --channel"))
    config = prepare(state_dir, lang)
    from deployments.cli_orders import run_and_wait

    parameters: dict[str, Any] = {"your_name": who_am_i(who), "fetch_again": fetch_again}
    if numbers:
        parameters["numbers"] = numbers
    else:
        parameters |= {"faults": [known_fault(fault)], "channels": known_channels(channel or [])}
    run_and_wait("resubmit-orders/resubmit", parameters, config)


def _list(fault: str, wanted: list[str], lines: int, state_dir: Path | None, lang: str | None) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.showing_quarantine import show_quarantine
    from models.database import transact

    codes = [known_fault(fault)] if fault else []
    of = known_channels(wanted)
    with order_book(config):
        transact(lambda session: show_quarantine(session, codes, of, lines))


def moment(said: str) -> datetime:
    """A moment as people write it; without a zone it is Shanghai's."""
    from models.wording import TZ

    try:
        at = datetime.fromisoformat(said.strip())
    except ValueError as error:
        wrong = tell(f"「{said}」不是时间:请写成 2026-11-01 或 2026-11-01T08:00", f"{said!r} is no time")
        raise typer.BadParameter(wrong) from error
    return at if at.tzinfo is not None else at.replace(tzinfo=TZ)


def known_channels(wanted: list[str], connected: list[str] | None = None) -> list[str]:
    """These channels; none means all. Each has to be one that there is, or one of `connected`."""
    from models.wording import CHANNEL_WORDS

    for name in wanted:
        if name not in (connected or CHANNEL_WORDS):
            names = "、".join(connected or CHANNEL_WORDS)
            raise typer.BadParameter(tell(f"没有接好渠道 {name}。可选:{names}", f"{name} is not one of {names}"))
    return wanted


def known_fault(code: str) -> str:
    """A fault's code, as it was given or by its Chinese word."""
    from models.wording import FAULT_WORDS

    for known, words in FAULT_WORDS.items():
        if code in (known, *words):
            return known
    codes = "、".join(FAULT_WORDS)
    raise typer.BadParameter(tell(f"没有问题 {code}。可选:{codes}", f"{code} is not one of {codes}"))
