"""`orderloom check`: what is wrong in the whole book, what wakes everything that waits, and mending what is safe."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from deployments.cli import Lang, StateDir, Who, prepare, who_am_i
from deployments.language import in_english, tell

app = typer.Typer()


@app.command(
    help=tell(
        "检查整个数据库的不变量;有违反时列出并以 1 退出。不加 --repair 不改任何内容。",
        "Check the invariants of the whole database; 1 if any is broken. Changes nothing without --repair.",
    )
)
def check(
    as_json: Annotated[bool, typer.Option("--json", help=tell("输出 JSON", "print JSON"))] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help=tell("修复能安全修复的库存账目,写进流水", "mend the stock's book where it is safe")
        ),
    ] = False,
    wakers: Annotated[
        bool, typer.Option("--wakers", help=tell("还列出未完成的订单各由什么唤醒", "also list what wakes what waits"))
    ] = False,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from dataclasses import asdict

    from deployments.book_access import order_book
    from models import checks
    from models.database import transact, utcnow

    with order_book(config):
        if repair:
            _repair(who_am_i(who), quiet=as_json)
        broken = transact(lambda session: checks.check(session, utcnow()))
        waking = transact(lambda s: checks.wakers(s, utcnow(), config.language)) if wakers else []
    if as_json:
        found: list[Any] = [asdict(one) for one in broken]
        said: Any = {"broken": found, "wakers": [asdict(one) for one in waking]} if wakers else found
        typer.echo(json.dumps(said, ensure_ascii=False, indent=2, default=str))
    else:
        _print(broken)
        _print_wakers(waking)
    raise typer.Exit(1 if any(one.severity == "error" for one in broken) else 0)


def _repair(who: str, *, quiet: bool) -> None:
    """Mend what can be mended, each finding in a transaction of its own, and say what became of it."""
    from functools import partial

    from models import repair
    from models.database import transact, utcnow

    done = left = 0
    for finding in transact(repair.findings):
        mended = transact(partial(repair.mend, finding=finding, who=who, now=utcnow()))
        if mended is None:
            continue
        done, left = done + mended.done, left + (not mended.done)
        word = tell("已修复", "mended") if mended.done else tell("要人处理", "left to you")
        typer.echo(f"[{word}] {mended.sentence}", err=quiet)
    nothing = tell("没有可修复的账目。", "Nothing to mend.")
    counts = tell(f"修复了 {done} 处,{left} 处要人处理。", f"{done} mended, {left} left to you.")
    typer.echo(counts if done or left else nothing, err=quiet)


def _print(broken: list[Any]) -> None:
    for one in broken:
        typer.echo(f"[{one.severity}] {one.code}: {one.sentence}")
        for row in one.rows:
            typer.echo("    " + "  ".join(f"{name}={value}" for name, value in row.items()))
        if one.mended:
            typer.echo(
                tell("    → `orderloom check --repair` 可以修复", "    → `orderloom check --repair` can mend it")
            )
    if not broken:
        typer.echo(tell("全部规则成立。", "Every rule holds."))


def _print_wakers(waking: list[Any]) -> None:
    from models.wording import STAGE_WORDS, WAITING_WORDS, local, say

    language = "en" if in_english() else "zh"
    for one in waking:
        place = say(STAGE_WORDS, one.stage, language)
        waits = say(WAITING_WORDS, one.waiting_on, language) or tell("处理中或就绪", "moving")
        span = f"{local(one.first)} – {local(one.last)}"
        typer.echo(tell(f"{place} · {waits}:{one.count} 件,由 {one.wakes} 唤醒,最迟 {span}",
                        f"{place} · {waits}: {one.count}, woken by {one.wakes}, at the latest {span}"))  # fmt: skip
