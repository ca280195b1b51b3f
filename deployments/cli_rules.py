"""`orderloom rules …`: the order form, the recipes and the approval matrix, changed with safety and without code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli import Lang, StateDir, Who, prepare, who_am_i
from deployments.language import tell

app = typer.Typer()
rules = typer.Typer(
    no_args_is_help=True,
    help=tell(
        "业务规则:表单、配方、审批矩阵。改(草稿)→ 试算 → 启用 → 退回;在途订单仍按原来的版本。",
        "The form, recipes and approval matrix: draft, try, activate, go back.",
    ),
)
app.add_typer(rules, name="rules")


class Kind(StrEnum):
    """The kinds, as `models.rule_version.RuleKind` has them: spelled out, so that `--help` imports nothing."""

    FORM = "form"
    RECIPES = "recipes"
    MATRIX = "matrix"


class AnswerKind(StrEnum):
    """The kinds of answer, as `models.form_field.FieldKind` has them."""

    TEXT = "text"
    NUMBER = "number"
    YES_NO = "yes_no"
    CHOICE = "choice"
    MANY = "many"
    DATE = "date"


KindOf = Annotated[Kind, typer.Argument(help=tell("form 表单、recipes 配方、matrix 审批矩阵", "which rules"))]
Number = Annotated[int, typer.Argument(min=1, help=tell("第几版", "which version"))]
Note = Annotated[str, typer.Option("--note", help=tell("为什么改,写进记录", "why; is kept"))]
On = Annotated[
    int | None,
    typer.Option("--on", help=tell("照哪一版改(默认最新的草稿,没有就照生效中的)", "the version to change")),
]
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


@rules.command("add-row", help=tell(
    "给审批矩阵加一行(同编号则替换):add-row \"金额(元)=> 300\" 新客户=是 谁审核=客服主管 理由=新客大单。",
    "Add a row to the approval matrix, or replace the one of the same id.",
))  # fmt: skip
def add_row(
    cells: Annotated[list[str], typer.Argument(help=tell('列=内容,如 "金额(元)=> 300"', "column=cell"))],
    name: Annotated[str, typer.Option("--id", help=tell("行的编号", "the row's id"))] = "",
    on: On = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.rule_columns import APPROVAL
    from models.rule_edits import with_row

    said = _pairs(cells)
    _change("matrix", lambda body: with_row(body, APPROVAL, said, name, note), on, note, who, state_dir, lang)


@rules.command("remove-row", help=tell("从审批矩阵去掉一行。", "Take a row out of the approval matrix."))
def remove_row(
    name: Annotated[str, typer.Argument(help=tell("行的编号(见 show matrix)", "the row's id"))],
    on: On = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.rule_columns import APPROVAL
    from models.rule_edits import without_row

    _change("matrix", lambda body: without_row(body, APPROVAL, name), on, note, who, state_dir, lang)


@rules.command("add-field", help=tell("给订单表单加一问(同名则替换)。", "Add a question to the order form."))
def add_field(
    name: Annotated[str, typer.Argument(help=tell("字段名(小写字母),如 living_space", "the field's name"))],
    title: Annotated[str, typer.Argument(help=tell("客户看到的标题,如 居住环境", "what customers read"))],
    kind: Annotated[AnswerKind, typer.Option("--kind", help=tell("怎么回答", "how it is answered"))] = AnswerKind.TEXT,
    choices: Annotated[
        str, typer.Option("--choices", help=tell("选项,如 indoor=室内、outdoor=室外", "choices: code=name, …"))
    ] = "",
    required: Annotated[bool, typer.Option("--required", help=tell("必填", "must be answered"))] = False,
    help_: Annotated[str, typer.Option("--explain", help=tell("说明,写在标题下面", "help under the title"))] = "",
    unit: Annotated[str, typer.Option("--unit", help=tell("单位", "unit"))] = "",
    minimum: Annotated[float | None, typer.Option("--min", help=tell("最小", "least"))] = None,
    maximum: Annotated[float | None, typer.Option("--max", help=tell("最大", "most"))] = None,
    order: Annotated[float | None, typer.Option("--order", help=tell("排第几", "its place"))] = None,
    on: On = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.form_edits import FieldWish, with_field
    from models.form_field import FieldKind

    wish = FieldWish(name, title, FieldKind(kind.value), required, help_, unit, choices, minimum, maximum, order)
    _change("form", lambda body: with_field(body, wish), on, note, who, state_dir, lang)


@rules.command("add-recipe", help=tell("加一个配方(同编码则替换),并写明给谁吃。", "Add a recipe, and whom it suits."))
def add_recipe(
    code: Annotated[str, typer.Argument(help=tell("编码,如 DOG-DUCK-DRY", "its code"))],
    title: Annotated[str, typer.Argument(help=tell("名称", "its name"))],
    grams: Annotated[str, typer.Option("--grams", help=tell("每千克用料,如 鸭肉 480、大米 320", "grams per kg"))],
    species: Annotated[str, typer.Option("--species", help=tell("物种:狗、猫", "species"))],
    staple: Annotated[str, typer.Option("--staple", help=tell("干粮、湿粮、混合", "staple"))],
    kcal: Annotated[int, typer.Option("--kcal", help=tell("每千克代谢能(千卡)", "kcal per kg"))] = 0,
    special: Annotated[bool, typer.Option("--special", help=tell("每单都要营养师看", "always reviewed"))] = False,
    rank: Annotated[int | None, typer.Option("--rank", help=tell("次序,小的先选", "the lower, the sooner"))] = None,
    suits: Annotated[
        list[str] | None, typer.Option("--suits", help=tell("给谁:列=内容,可多次", "column=cell, repeatable"))
    ] = None,
    on: On = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.recipe_edits import RecipeWish, with_recipe

    wish = RecipeWish(code, title, species, staple, grams, special, kcal_per_kg=kcal, rank=rank)
    choice = [{"species": species, **_pairs(suits)}] if suits else []
    _change("recipes", lambda body: with_recipe(body, wish, choice), on, note, who, state_dir, lang)


@rules.command("import", help=tell("用一个文件(JSON 或 XLSX)起草一版。", "Make a draft of a JSON or XLSX file."))
def import_file(
    kind: KindOf,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=tell("文件", "the file"))],
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from deployments.rules_file import made_of, read_rules

    on = made_of(kind.value, file)
    _change(kind.value, lambda body: read_rules(kind.value, file, body), on, note, who, state_dir, lang)


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
def rollback(kind: KindOf, note: Note = "", who: Who = None, state_dir: StateDir = None, lang: Lang = None) -> None:
    from models.rule_activation import roll_back
    from models.rule_version import RuleKind

    _do(lambda s, name, now: roll_back(s, RuleKind(kind.value), name, note, now), who, state_dir, lang)


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


def _pairs(said: list[str]) -> dict[str, str]:
    """`金额(元)=> 300` is a column and its cell: the first equals sign divides them."""
    for one in said:
        if "=" not in one:
            raise typer.BadParameter(tell(f"「{one}」要写成 列=内容", f"write “{one}” as column=cell"))
    return {column.strip(): cell.strip() for column, _, cell in (one.partition("=") for one in said)}


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


def _change(
    kind: str,
    edit: Callable[[Any], Any],
    on: int | None,
    note: str,
    who: str | None,
    state_dir: Path | None,
    lang: str | None,
) -> None:
    """Make a draft with one step more, and say what is wrong with it, or what comes next; exit code 1 for problems."""
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.showing_rules import show_draft
    from models.database import transact, utcnow
    from models.rule_changing import change
    from models.rule_version import RuleKind

    name = who_am_i(who)
    with order_book(config):
        fine = transact(lambda s: show_draft(change(s, RuleKind(kind), edit, name, note, utcnow(), on)))
    raise typer.Exit(0 if fine else 1)
