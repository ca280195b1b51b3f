"""`orderloom rules add-… | remove-…`: changes of the rules one step at a time, each a draft."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli import Lang, StateDir, Who, prepare, who_am_i
from deployments.language import tell

edits = typer.Typer()


class TableName(StrEnum):
    """The decision tables: who looks at an order, and which recipes suit a pet."""

    APPROVAL = "approval"
    CHOICE = "choice"


class AnswerKind(StrEnum):
    """The kinds of answer, as `models.form_field.FieldKind` has them."""

    TEXT = "text"
    NUMBER = "number"
    YES_NO = "yes_no"
    CHOICE = "choice"
    MANY = "many"
    DATE = "date"


_KIND_OF = {TableName.APPROVAL: "matrix", TableName.CHOICE: "recipes"}

Note = Annotated[str, typer.Option("--note", help=tell("为什么改,写进记录", "why; is kept"))]

On = Annotated[
    int | None,
    typer.Option("--on", help=tell("照哪一版改(默认最新的草稿,没有就照生效中的)", "the version to change")),
]

AsTable = Annotated[TableName, typer.Option("--table", help=tell("approval 审批矩阵,choice 选配方", "which table"))]


@edits.command("add-row", help=tell(
    "给审批矩阵加一行(同编号则替换):add-row \"金额(元)=> 300\" 新客户=是 谁审核=客服主管 理由=新客大单。",
    "Add a row to the approval matrix, or replace the one of the same id.",
))  # fmt: skip
def add_row(
    cells: Annotated[list[str], typer.Argument(help=tell('列=内容,如 "金额(元)=> 300"', "column=cell"))],
    table: AsTable = TableName.APPROVAL,
    name: Annotated[str, typer.Option("--id", help=tell("行的编号", "the row's id"))] = "",
    on: On = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.rule_columns import APPROVAL, CHOICE
    from models.rule_edits import with_row

    said, kind = _pairs(cells), _KIND_OF[table]
    columns = APPROVAL if kind == "matrix" else CHOICE
    _change(kind, lambda body: with_row(body, columns, said, name, note), on, note, who, state_dir, lang)


@edits.command("remove-row", help=tell("从审批矩阵去掉一行。", "Take a row out of the approval matrix."))
def remove_row(
    name: Annotated[str, typer.Argument(help=tell("行的编号(见 show matrix)", "the row's id"))],
    table: AsTable = TableName.APPROVAL,
    on: On = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.rule_columns import APPROVAL, CHOICE
    from models.rule_edits import without_row

    kind = _KIND_OF[table]
    columns = APPROVAL if kind == "matrix" else CHOICE
    _change(kind, lambda body: without_row(body, columns, name), on, note, who, state_dir, lang)


@edits.command("add-field", help=tell("给订单表单加一问(同名则替换)。", "Add a question to the order form."))
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


@edits.command("remove-field", help=tell("订单表单不再问这一项。", "Take a question out of the order form."))
def remove_field(
    name: Annotated[str, typer.Argument(help=tell("字段名(见 show form)", "the field's name"))],
    on: On = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.form_edits import without_field

    _change("form", lambda body: without_field(body, name), on, note, who, state_dir, lang)


@edits.command("add-ingredient", help=tell(
    "加一种食材;同编码的改它,没有写的不变。", "Add an ingredient, or change it: what is not said stays.",
))  # fmt: skip
def add_ingredient(
    sku: Annotated[str, typer.Argument(help=tell("编码,如 ING-RABBIT", "its SKU"))],
    title: Annotated[str, typer.Argument(help=tell("名称,如 兔肉", "its name"))],
    price: Annotated[float | None, typer.Option("--price", min=0, help=tell("每千克多少元", "yuan per kg"))] = None,
    allergens: Annotated[
        str, typer.Option("--allergens", help=tell("过敏原,如 鸡肉、鱼肉;确实没有写 无", "its allergens; none: 无"))
    ] = "",
    on: On = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.recipe_edits import list_said, with_ingredient

    fen = None if price is None else round(price * 100)
    _change(
        "recipes", lambda body: with_ingredient(body, sku, title, list_said(allergens), fen),
        on, note, who, state_dir, lang,
    )  # fmt: skip


@edits.command("add-recipe", help=tell(
    "加一个配方,并写明给谁吃;同编码的改它,没有写的不变。",
    "Add a recipe, and whom it suits, or change it: what is not said stays.",
))  # fmt: skip
def add_recipe(
    code: Annotated[str, typer.Argument(help=tell("编码,如 DOG-DUCK-DRY", "its code"))],
    title: Annotated[str, typer.Argument(help=tell("名称", "its name"))],
    grams: Annotated[str, typer.Option("--grams", help=tell("每千克用料,如 鸭肉 480、大米 320", "grams per kg"))],
    species: Annotated[str, typer.Option("--species", help=tell("物种:狗、猫", "species"))],
    staple: Annotated[str, typer.Option("--staple", help=tell("干粮、湿粮、混合", "staple"))],
    kcal: Annotated[int | None, typer.Option("--kcal", help=tell("每千克代谢能(千卡)", "kcal per kg"))] = None,
    special: Annotated[
        bool | None, typer.Option("--special/--no-special", help=tell("每单都要营养师看", "always reviewed"))
    ] = None,
    allergens: Annotated[
        str,
        typer.Option("--allergens", help=tell("用料以外的过敏原,如 鸡肉、鱼肉;没有写 无", "its allergens; none: 无")),
    ] = "",
    nutrients: Annotated[
        str, typer.Option("--nutrients", help=tell("营养成分(%),如 粗蛋白 27、粗脂肪 15", "percent, by Chinese name"))
    ] = "",
    flags: Annotated[str, typer.Option("--flags", help=tell("标记,如 GRAIN-FREE;没有写 无", "flags; none: 无"))] = "",
    rank: Annotated[int | None, typer.Option("--rank", help=tell("次序,小的先选", "the lower, the sooner"))] = None,
    suits: Annotated[
        list[str] | None,
        typer.Option("--suits", help=tell("给谁:列=内容,可多次;不限主食写 主食偏好=", "column=cell, repeatable")),
    ] = None,
    on: On = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.recipe_edits import RecipeWish, list_said, nutrients_of, with_recipe

    rows = [_pairs(suits)] if suits else []

    def edit(body: Any) -> Any:
        inside, analysis = list_said(allergens), nutrients_of(nutrients)
        wish = RecipeWish(code, title, species, staple, grams, special, inside, kcal, analysis, list_said(flags), rank)
        return with_recipe(body, wish, rows)

    _change("recipes", edit, on, note, who, state_dir, lang)


@edits.command("remove-recipe", help=tell("去掉一个配方,和选它的行。", "Take a recipe out, and what chooses it."))
def remove_recipe(
    code: Annotated[str, typer.Argument(help=tell("配方编码(见 show recipes)", "its code"))],
    on: On = None,
    note: Note = "",
    who: Who = None,
    state_dir: StateDir = None,
    lang: Lang = None,
) -> None:
    from models.recipe_edits import without_recipe

    _change("recipes", lambda body: without_recipe(body, code), on, note, who, state_dir, lang)


def _pairs(said: list[str]) -> dict[str, str]:
    """`金额(元)=> 300` is a column and its cell: the first equals sign divides them. No column is named twice."""
    cells: dict[str, str] = {}
    for one in said:
        column, equals, cell = (part.strip() for part in one.partition("="))
        if not equals:
            raise typer.BadParameter(tell(f"「{one}」要写成 列=内容", f"write “{one}” as column=cell"))
        if column in cells:
            both = tell("写了两次:都写在一格里", "is there twice: write it all in one cell")
            raise typer.BadParameter(f"「{column}」{both},如「> 300 且 <= 800」")
        cells[column] = cell
    return cells


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
    from models.rule_version import RuleKind
    from tasks.rules import edited

    draft_and_show(lambda s, now: edited(s, RuleKind(kind), edit, on, now), note, who, state_dir, lang)


def draft_and_show(
    wanted: Callable[[Any, datetime], Any], note: str, who: str | None, state_dir: Path | None, lang: str | None
) -> None:
    """Make a draft of what is wanted, and show it; exit code 1 when it has problems."""
    config = prepare(state_dir, lang)
    from deployments.book_access import order_book
    from deployments.showing_rules import show_draft
    from models.database import transact, utcnow
    from tasks.rules import drafted

    name, now = who_am_i(who), utcnow()
    with order_book(config):
        made = transact(lambda session: drafted(session, wanted(session, now), name, note, now))
        fine = show_draft(made)
    raise typer.Exit(0 if fine else 1)
