"""`orderloom rules …`: the order form, the recipes and the approval matrix, changed with safety and without code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli import Lang, StateDir, Who, prepare, who_am_i
from deployments.cli_rule_edits import Note, draft_and_show, edits
from deployments.language import tell

app = typer.Typer()
rules = typer.Typer(
    no_args_is_help=True,
    help=tell(
        "业务规则:表单、配方、审批矩阵。改(草稿)→ 试算 → 启用 → 退回;在途订单仍按原来的版本。",
        "The form, recipes and approval matrix: draft, try, activate, go back.",
    ),
)
rules.add_typer(edits)
app.add_typer(rules, name="rules")


class Kind(StrEnum):
    """The kinds, as `models.rule_version.RuleKind` has them: spelled out, so that `--help` imports nothing."""

    FORM = "form"
    RECIPES = "recipes"
    MATRIX = "matrix"


KindOf = Annotated[Kind, typer.Argument(help=tell("form 表单、recipes 配方、matrix 审批矩阵", "which rules"))]
Number = Annotated[int, typer.Argument(min=1, help=tell("第几版", "which version"))]
AsJson = Annotated[bool, typer.Option("--json", help=tell("输出 JSON", "as JSON"))]


@rules.command("list", help=tell("有哪些版本,哪一版生效。", "Which versions there are, and which one holds."))
def list_versions(
    kind: Annotated[Kind | None, typer.Argument(help=tell("只看一种", "only one kind"))] = None,
    as_json: AsJson = False,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from deployments.showing_rules import show_versions

    _read(lambda s, now: show_versions(s, None if kind is None else kind.value, now, as_json), state_dir, lang)


@rules.command(help=tell("一版的内容,用平常话。", "One version, in words."))
def show(
    kind: KindOf,
    number: Annotated[int | None, typer.Argument(min=1, help=tell("第几版(默认生效中的)", "default: in force"))] = None,
    as_json: AsJson = False,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from deployments.showing_rules import show_version

    _read(lambda s, now: show_version(s, kind.value, number, now, as_json), state_dir, lang)


@rules.command("import", help=tell("用一个文件(JSON 或 XLSX)起草一版。", "Make a draft of a JSON or XLSX file."))
def import_file(
    kind: KindOf,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=tell("文件", "the file"))],
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.rule_version import RuleKind
    from tasks.rules import MOST_BYTES, sent_in

    with file.open("rb") as opened:
        data = opened.read(MOST_BYTES + 1)
    draft_and_show(lambda s, now: sent_in(s, RuleKind(kind.value), file.name, data, now), note, who, state_dir, lang)


@rules.command("export", help=tell("把一版写成文件(.json 或 .xlsx)。", "Write a version to a .json or .xlsx file."))
def export_file(
    kind: KindOf,
    file: Annotated[Path, typer.Argument(dir_okay=False, help=tell("写到哪个文件", "the file"))],
    number: Annotated[int | None, typer.Option("--number", help=tell("第几版(默认生效中的)", "which version"))] = None,
    force: Annotated[bool, typer.Option("--force", help=tell("覆盖已有文件", "overwrite"))] = False,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from deployments.rules_file import write_rules

    _read(lambda s, now: write_rules(s, kind.value, number, file, force, now), state_dir, lang)


@rules.command(help=tell("检查一版:缺口、重叠、读不懂的格子……", "Check a version."))
def check(kind: KindOf, number: Number, state_dir: StateDir = None, lang: Lang = None) -> None:
    from deployments.showing_rules import show_check

    _read(lambda s, now: show_check(s, kind.value, number, now), state_dir, lang)


@rules.command("try", help=tell("在最近几天的订单上试算:会有什么不同。", "Try it on the orders of the last days."))
def try_version(
    kind: KindOf,
    number: Number,
    days: Annotated[int, typer.Option("--days", min=1, max=365, help=tell("最近几天", "how many days"))] = 30,
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.showing_rules import try_and_show

    with order_book(config):
        try_and_show(kind.value, number, days, who_am_i(who))


@rules.command(help=tell("启用一版:现在,或从某个时间起。", "Activate a version, now or from a time on."))
def activate(
    kind: KindOf,
    number: Number,
    at: Annotated[
        datetime | None, typer.Option("--at", help=tell("从何时起(北京时间),默认现在", "from when on; default now"))
    ] = None,
    untried: Annotated[str, typer.Option("--untried", help=tell("不试算的理由", "why it was not tried"))] = "",
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.rule_activation import activate_when_fit
    from models.rule_version import RuleKind
    from models.wording import TZ

    moment = None if at is None else at.replace(tzinfo=TZ)
    _do(
        lambda s, name, now: activate_when_fit(s, RuleKind(kind.value), number, moment, name, note, now, untried),
        who, state_dir, lang,
    )  # fmt: skip


@rules.command(help=tell("退回上一个生效过的版本。", "Go back to the version before."))
def rollback(
    kind: KindOf,
    leaving: Annotated[
        int | None,
        typer.Option("--from", min=1, help=tell("不用第几版了:它不在生效就什么也不做", "only if this version holds")),
    ] = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from models.database import transact, utcnow
    from models.rule_activation import roll_back
    from models.rule_changing import in_force
    from models.rule_version import RuleKind

    name, which = who_am_i(who), RuleKind(kind.value)
    with order_book(config):
        # seen before anything is locked: of two who go back at once the second finds another version in force
        seen = leaving or transact(lambda session: in_force(session, which, utcnow()).number)
        typer.echo(str(transact(lambda session: roll_back(session, which, name, note, utcnow(), seen))))


@rules.command(help=tell("撤回还没到时间的启用。", "Take back an activation that has not begun."))
def withdraw(
    kind: KindOf, number: Number, note: Note = "", who: Who = None, state_dir: StateDir = None, lang: Lang = None
) -> None:
    from models import rule_activation
    from models.rule_version import RuleKind

    _do(lambda s, name, now: rule_activation.withdraw(s, RuleKind(kind.value), number, name, note, now),
        who, state_dir, lang)  # fmt: skip


@rules.command(help=tell("作废一份草稿(还能看)。", "Discard a draft; it stays to be read."))
def discard(
    kind: KindOf, number: Number, note: Note = "", who: Who = None, state_dir: StateDir = None, lang: Lang = None
) -> None:
    from models import rule_desk
    from models.rule_version import RuleKind

    _do(lambda s, name, now: rule_desk.discard(s, RuleKind(kind.value), number, name, note, now),
        who, state_dir, lang)  # fmt: skip


def _read(work: Callable[[Any, datetime], bool], state_dir: Path | None, lang: str | None) -> None:
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from models.database import transact, utcnow

    with order_book(config):
        fine = transact(lambda session: work(session, utcnow()))
    raise typer.Exit(0 if fine else 1)


def _do(
    work: Callable[[Any, str, datetime], object], who: str | None, state_dir: Path | None, lang: str | None
) -> None:
    """Do one thing in one transaction under a name, and print the sentence that says what changed."""
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from models.database import transact, utcnow

    name = who_am_i(who)
    with order_book(config):
        typer.echo(str(transact(lambda session: work(session, name, utcnow()))))
