"""`orderloom rules …` on the screen: versions, their content in words, what is wrong with them, and try-outs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from sqlmodel import Session

from deployments.language import in_english, tell
from deployments.rules_file import chosen
from models.decision_table import TableBroken, content_of
from models.form_edits import FIELD_KINDS
from models.order_form import OrderForm
from models.rule_columns import APPROVAL, CHOICE
from models.rule_columns import Table as Columns
from models.rule_desk import check_again
from models.rule_diff import headings, row_words
from models.rule_history import listed, when
from models.rule_step import name_of
from models.rule_version import KIND_WORDS, RuleKind, RuleVersion
from models.table_check import Problem
from tasks.rules import Draft


def show_versions(session: Session, kind: str | None, now: datetime, as_json: bool) -> bool:
    """Every version of one kind, or of all, the newest first."""
    found = [
        (each, standing) for each in ([RuleKind(kind)] if kind else RuleKind) for standing in listed(session, each, now)
    ]
    if as_json:
        rows = [
            {
                "kind": each.value,
                "number": standing.version.number,
                "state": standing.state[1],
                "in_force": standing.in_force,
                "from_at": standing.from_at.isoformat() if standing.from_at else None,
                "made_by": standing.version.made_by,
                "made_at": standing.version.made_at.isoformat(),
                "note": standing.version.note,
                "problems": standing.version.problems,
                "tried": standing.version.tried,
            }
            for each, standing in found
        ]
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return True
    headings = (("规则", "Rules"), ("版", "No."), ("状态", "State"), ("谁", "By"), ("何时", "At"), ("说明", "Note"))
    table = Table(*(tell(*heading) for heading in headings), box=None)
    for each, standing in found:
        version, style = standing.version, "bold green" if standing.in_force else None
        cells = (KIND_WORDS[each][in_english()], str(version.number), standing.state[in_english()], version.made_by)
        table.add_row(*map(Text, (*cells, when(version.made_at), version.note)), style=style)
    Console().print(table)
    return True


def show_version(session: Session, kind: str, number: int | None, now: datetime, as_json: bool) -> bool:
    """What is in a version."""
    version = chosen(session, RuleKind(kind), number, now)
    if as_json:
        print(json.dumps(version.body, ensure_ascii=False, indent=1))
        return True
    console = Console()
    console.print(Text(f"{name_of(RuleKind(kind), version.number)} {version.note}".strip()))
    try:
        for table in list(_tables(version)):
            console.print(table)
    except (TableBroken, KeyError, TypeError, AttributeError, ValueError):
        console.print(tell("内容有问题,排不成表:加 --json 看原文。", "It cannot be laid out: see it with --json."))
    _say_problems(console, [Problem(p["where"], p["why"]) for p in version.problems], [])
    return True


def show_draft(draft: Draft) -> bool:
    """What became of a step: the draft, what is wrong with it, or what comes next. False when it has problems."""
    console, kind = Console(), draft.kind.value
    made = tell("起草好了", "is drafted") if draft.new else tell("已经有这份草稿", "was drafted before")
    console.print(f"{name_of(draft.kind, draft.number)} {made}。", highlight=False)
    against = tell(f"和生效中的第 {draft.in_force} 版相比:", f"Against version {draft.in_force}, which is in force:")
    console.print(against if draft.differences else tell("没有不同。", "No difference."), highlight=False)
    for said in draft.differences:
        console.print(Text(f"  {said}"))
    _say_problems(console, draft.problems, draft.warnings)
    if draft.problems:
        console.print(tell("改好以后再试算。", "Mend these, then try it."), highlight=False)
        return False
    steps = (f"orderloom rules try {kind} {draft.number}", f"orderloom rules activate {kind} {draft.number}")
    console.print(tell(f"下一步:{steps[0]},再 {steps[1]}。", f"Next: {steps[0]}, then {steps[1]}."), highlight=False)
    return True


def show_check(session: Session, kind: str, number: int, now: datetime) -> bool:
    """What is wrong with a version now; False when anything is."""
    problems, warnings = check_again(session, RuleKind(kind), number, now)
    console = Console()
    _say_problems(console, problems, warnings)
    if not problems:
        console.print(tell(f"{name_of(RuleKind(kind), number)}没有问题。", "Nothing is wrong."), highlight=False)
    return not problems


def try_and_show(kind: str, number: int, days: int, by: str) -> None:
    """Try a version on the past, with a bar, and say what would change. Raises `RulesRefused`, `TryoutFailed`."""
    from tasks.trying import try_rules  # the tasks bring Prefect, which takes seconds to load
    from tasks.tryout_board import CHANGE_WORDS, headline

    console = Console()
    with Progress(console=console, transient=True) as bar:
        shown = bar.add_task(tell("试算", "Trying"), total=None)

        async def progress(done: int, orders: int) -> None:
            bar.update(shown, completed=done, total=orders)

        tryout = asyncio.run(try_rules(RuleKind(kind), number, days, by, progress))
    console.print(headline(tryout), highlight=False)
    for change, count in tryout.tally.changes.most_common():
        console.print(f"  {CHANGE_WORDS.get(change, change)} {count:,}", highlight=False)  # type: ignore[call-overload]
    for change, orders in tryout.tally.named.items():
        for named in orders[:5]:
            words = CHANGE_WORDS.get(change, change)  # type: ignore[call-overload]
            console.print(Text(f"    {named.order_no} {words}:{named.words}"))
    console.print(tell(f"用时 {tryout.seconds:.1f} 秒。", f"{tryout.seconds:.1f} s."), highlight=False)


def _say_problems(console: Console, problems: Sequence[Problem], warnings: Sequence[Problem]) -> None:
    for problem in problems:
        console.print(Text(f"✗ {problem}", style="red"))
    for warning in warnings:
        console.print(Text(f"! {warning}", style="yellow"))


def _tables(version: RuleVersion) -> Iterator[Table]:
    if version.kind == RuleKind.MATRIX.value:
        yield _decisions(version.body["approval"], APPROVAL)
    elif version.kind == RuleKind.RECIPES.value:
        yield _recipes(version.body)
        yield _decisions(version.body["choice"], CHOICE)
    else:
        yield _questions(version.body)


def _decisions(model: Mapping[str, Any], columns: Columns) -> Table:
    content = content_of(model)
    names = list(headings(content).values())
    table = Table("编号", *map(escape, names))
    for row in content.rows:
        told = row_words(columns, content, row)
        table.add_row(*map(Text, (row.id, *(told.get(name, "") for name in names))))
    return table


def _recipes(body: Mapping[str, Any]) -> Table:
    names = {i["sku"]: i["title"] for i in body["ingredients"]}
    table = Table("编码", "名称", "物种", "主食", "千卡/千克", "用料(克/千克)")
    for recipe in body["recipes"]:
        grams = "、".join(f"{names.get(sku, sku)} {each}" for sku, each in recipe["grams_per_kg"].items())
        special = "(特殊)" if recipe.get("special") else ""
        words = [CHOICE.inputs[fact].word_of(recipe[fact]) for fact in ("species", "staple")]
        cells = (recipe["code"], recipe["title"] + special, *words, str(recipe.get("kcal_per_kg", "")), grams)
        table.add_row(*map(Text, cells))
    return table


def _questions(body: Mapping[str, Any]) -> Table:
    table = Table("字段", "标题", "怎么回答", "必填", "说明")
    for field in OrderForm(body).fields:
        cells = (field.name, field.title(), FIELD_KINDS[field.kind], "是" if field.required else "", field.help())
        table.add_row(*map(Text, cells))
    return table
