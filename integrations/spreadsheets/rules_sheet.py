"""The seller's rules as a workbook for business people, and back: the approval matrix, the recipes, the order form.

    data = rules_sheet(kind, number, body)                 # XLSX: the rules, and a page that explains the columns
    origin = origin_of(data)                               # the version that a file was made of, if it says so
    body = read_rules_sheet(data, kind, base)              # `base`: the body of that version

A file that goes out and comes back unchanged makes the very same rules. Raises `SheetWrong`, whose sentence names the
sheet, the row and the column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.rules_book import GUIDE, Grid, Page, read_book, write_book, write_csv
from integrations.spreadsheets.rules_form_page import FORM, form_page, read_form_page
from integrations.spreadsheets.rules_recipe_pages import INGREDIENTS, RECIPES, read_recipe_pages, recipe_pages
from integrations.spreadsheets.rules_table_page import read_table_page, table_page
from models.decision_table import TableBroken
from models.form_edits import FIELD_KINDS
from models.rule_columns import APPROVAL, CHOICE, Column, Table
from models.rule_version import KIND_WORDS, RuleKind, digest_of
from models.table_column import Kind

Body = Mapping[str, Any]

_ORIGIN = re.compile(r"导出自:(form|recipes|matrix) 第 (\d{1,9}) 版 ([0-9a-f]{64})")
_PAGES = {
    RuleKind.MATRIX: (APPROVAL.name,),
    RuleKind.RECIPES: (RECIPES, INGREDIENTS, CHOICE.name),
    RuleKind.FORM: (FORM,),
}
_EXAMPLES = {
    Kind.NUMBER: "> 500;500 ~ 1000;> 500 且 <= 1000;3 或 5",
    Kind.YES_NO: "是;否",
    Kind.TEXT: "浙江省、江苏省;不是 浙江省;含 肾、心;有;无",
    Kind.LIST: "含 鸡肉、鱼肉(有其中一种);不含 鸡肉;都是 猫;有;无",
}


@dataclass(frozen=True)
class Origin:
    """The version that a file was made of."""

    kind: RuleKind
    number: int
    digest: str


def rules_sheet(kind: RuleKind, number: int, body: Body) -> bytes:
    """These rules as an XLSX file. Raises `SheetWrong` for rules with problems: those are looked at as JSON."""
    pages = _pages(kind, body)
    origin = f"导出自:{kind.value} 第 {number} 版 {digest_of(body)}"
    return write_book(pages, [*_guide(kind), [], ["(请保留下面一行,导入时据此比对)"], [origin]])


def matrix_csv(body: Body) -> bytes:
    """The approval matrix as CSV. Raises `SheetWrong`."""
    return write_csv(_pages(RuleKind.MATRIX, body)[0])


def origin_of(data: bytes) -> Origin | None:
    """The version that a file says it was made of; None where it says nothing. Raises `SheetWrong`."""
    guide = read_book(data).get(GUIDE)
    for line in guide.lines if guide else ():
        if found := _ORIGIN.search(line.cells.get("", "")):
            return Origin(RuleKind(found[1]), int(found[2]), found[3])
    return None


def kind_of(data: bytes) -> RuleKind | None:
    """Which kind of rules is in a file, by its sheets; None for none. Raises `SheetWrong`."""
    names = read_book(data)
    if "" in names:
        return RuleKind.MATRIX
    return next((kind for kind, pages in _PAGES.items() if pages[0] in names), None)


def read_rules_sheet(data: bytes, kind: RuleKind, base: Body) -> dict[str, Any]:
    """The rules in an XLSX file, or in a CSV of the matrix. Raises `SheetWrong`.

    `base` is the body of the version that the file was made of, or the one in force: what the file has no column for
    stays as it is there.
    """
    grids = _wanted(read_book(data), kind)
    try:
        match kind:
            case RuleKind.MATRIX:
                return {**base, APPROVAL.key: read_table_page(APPROVAL, grids[APPROVAL.name], base[APPROVAL.key])}
            case RuleKind.RECIPES:
                return read_recipe_pages(grids, base)
            case RuleKind.FORM:
                return read_form_page(grids[FORM], base)
    except (TableBroken, KeyError, TypeError, AttributeError) as error:
        raise SheetWrong(f"这份文件所依据的版本有问题({error}),不能用表格改:请用 JSON 导入。") from None


def _wanted(found: Mapping[str, Grid], kind: RuleKind) -> dict[str, Grid]:
    """The sheets of this kind. The matrix may be the only sheet, whatever it is called."""
    pages = _PAGES[kind]
    rules = {name: grid for name, grid in found.items() if name != GUIDE}
    if len(pages) == 1 and len(rules) == 1:
        rules = {pages[0]: next(iter(rules.values()))}
    if lacking := [name for name in pages if name not in rules]:
        raise SheetWrong(f"缺少工作表「{lacking[0]}」:{KIND_WORDS[kind][0]}的文件要有 {'、'.join(pages)}。")
    for name in pages:
        if not rules[name].header:
            raise SheetWrong(f"表「{name}」是空的。")
    return {name: rules[name] for name in pages}


def _pages(kind: RuleKind, body: Body) -> list[Page]:
    try:
        match kind:
            case RuleKind.MATRIX:
                return [table_page(APPROVAL, body[APPROVAL.key])]
            case RuleKind.RECIPES:
                return recipe_pages(body)
            case RuleKind.FORM:
                return [form_page(body)]
    except (TableBroken, KeyError, TypeError, AttributeError, ValueError) as error:
        raise SheetWrong(f"这一版有问题({error}),不能写成表格:请导出 JSON。") from None


def _guide(kind: RuleKind) -> list[Sequence[str]]:
    match kind:
        case RuleKind.MATRIX:
            return _table_guide(APPROVAL)
        case RuleKind.RECIPES:
            return [
                [RECIPES, "一行一个配方。每种食材一列,写每千克成品用多少克,合计 1000;营养成分写百分比。"],
                [INGREDIENTS, "一行一种食材。新食材先在这里加一行,再到「配方」表加一列,列名写它的名称或编码。"],
                [],
                *_table_guide(CHOICE),
            ]
        case RuleKind.FORM:
            return [
                [FORM, "一行一个问题。字段名不变就是同一个问题;删掉一行就不再问。字段之间的条件不在表里,保持原样。"],
                ["类型", "、".join(FIELD_KINDS.values())],
                ["选项", "单选、多选才写,一行一个:代码=名称/别的叫法,例如 poodle=贵宾犬/泰迪"],
                ["必填", "是;否"],
            ]


def _table_guide(table: Table) -> list[Sequence[str]]:
    return [
        [table.name, "一行一条规则。条件留空表示都算;同一行的条件要同时成立。编号不变就是同一条,新行的编号留空。"],
        ["以 = 开头的格", "是决策引擎的原文,不懂可以不动。"],
        [],
        ["条件列", "含义", "怎么写"],
        *([column.name, _values(column), _EXAMPLES[column.kind]] for column in table.inputs.values()),
        [],
        ["结果列", "可以写"],
        *([column.name, _outputs(column)] for column in table.outputs.values()),
    ]


def _values(column: Column) -> str:
    names = "、".join(names[0] for names in column.names.values())
    return f"{column.field}:{names}" if names else column.field


def _outputs(column: Column) -> str:
    if column.closed:
        return "、".join(dict.fromkeys(names[0] for names in column.names.values()))
    return "一个数" if column.kind is Kind.NUMBER else "文字;可以带 {列名},如 金额 {金额(元)} 元"
