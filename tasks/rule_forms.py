"""What people fill in to change the rules, as forms of the Prefect UI: every field has a title and an example.

Each form knows which rules are wanted: `wanted(session, now)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from sqlmodel import Session

from models.form_edits import FIELD_KINDS, FieldWish, with_field, without_field
from models.recipe import SPECIES, STAPLES
from models.recipe_edits import RecipeWish, list_said, nutrients_of, with_ingredient, with_recipe, without_recipe
from models.rule_columns import APPROVAL, CHOICE, Column
from models.rule_edits import Body, with_row, without_row
from models.rule_version import KIND_WORDS, RuleKind, RulesRefused
from models.table_column import Kind
from tasks.rules import Wanted, edited, file_in_folder, pasted, sent_in

#: How a condition is written, by what its fact is.
_HOW = {
    Kind.NUMBER: "例如 > 500、500 ~ 1000;留空表示都算",
    Kind.YES_NO: "是 或 否;留空表示都算",
    Kind.TEXT: "例如 甲、乙;不是 甲;含 甲;有;无;留空表示都算",
    Kind.LIST: "例如 含 甲、乙;不含 甲;有;无;留空表示都算",
}
_ROLES = tuple(dict.fromkeys(names[0] for names in APPROVAL.outputs["role"].names.values()))
_SPECIES = tuple(names[0] for names in SPECIES.values())
_STAPLES = tuple(names[0] for names in STAPLES.values())
_KIND_CODES = {KIND_WORDS[kind][0]: kind for kind in RuleKind}


def titled(title: str, description: str = "", *, at: int, default: Any = ..., **limits: Any) -> Any:
    """A field of a form, in its place."""
    return Field(
        default=default, title=title, description=description or None, json_schema_extra={"position": at}, **limits
    )


KindWord = Literal["审批矩阵", "配方", "订单表单"]
YesNo = Literal["是", "否"]


def kind_named(word: str) -> RuleKind:
    """The kind of rules that is called so."""
    return _KIND_CODES[word]


def shown(title: str, description: str) -> ConfigDict:
    """How a form is called in the list of forms."""
    return ConfigDict(title=title, extra="forbid", json_schema_extra={"description": description})


class Form(BaseModel):
    """What every form asks. Each is told from the others by the fields that it must have."""

    model_config = ConfigDict(extra="forbid")

    your_name: str = titled("谁", "你的姓名,写进规则历史", at=90, min_length=1, max_length=64)
    note: str = titled("说明", "为什么改,写进规则历史", at=91, default="", max_length=1000)
    based_on: int = titled("照哪一版改", "0 就是最新的草稿,没有草稿就是生效中的那一版", at=92, default=0, ge=0)

    def wanted(self, session: Session, now: datetime) -> Wanted:
        """The rules that are wanted. Raises `RulesRefused`, `SheetWrong`."""
        raise NotImplementedError

    def _edited(self, session: Session, kind: RuleKind, edit: Callable[[Body], Body], now: datetime) -> Wanted:
        return edited(session, kind, edit, self.based_on or None, now)


class _MatrixRow(Form):
    model_config = shown("矩阵加一行", "审批矩阵里加一行,或替换一行:同一行的条件要同时成立,留空的都算;所有成立的行都算")

    row: str = titled("行的编号", "新行留空;要替换就填那一行的编号", at=1, default="", max_length=64)
    role: Literal[_ROLES] = titled("谁审核", "「直通」表示这样的订单不用审核", at=60)  # type: ignore[valid-type]
    reason: str = titled("理由", "审核的人会看到;可以带列名,例如 金额 {金额(元)} 元", at=61, max_length=500)
    minutes: int = titled("时限(分钟)", "多久内要审完", at=62, default=22, ge=1, le=10_080)
    remark: str = titled("备注", "只写在表里", at=63, default="", max_length=500)

    def wanted(self, session: Session, now: datetime) -> Wanted:
        cells = {fact: getattr(self, fact) for fact in APPROVAL.inputs if getattr(self, fact)}
        cells |= {"role": self.role, "reason": self.reason, "sla_minutes": str(self.minutes)}
        return self._edited(
            session, RuleKind.MATRIX, lambda body: with_row(body, APPROVAL, cells, self.row, self.remark), now
        )


def _cell(column: Column, at: int) -> Any:
    values = "、".join(dict.fromkeys(names[0] for names in column.names.values()))
    how = f"{_HOW[column.kind]}{f'。有 {values}' if values else ''}"
    return (str, titled(column.name, how, at=at, default="", max_length=2000))


#: One row of the matrix, with a field for every fact that there is.
MatrixRow = create_model(
    "MatrixRow",
    __base__=_MatrixRow,
    **{fact: _cell(c, 10 + at) for at, (fact, c) in enumerate(APPROVAL.inputs.items())},
)


class DropRow(Form):
    """Takes a row away."""

    model_config = shown("去一行", "审批矩阵或选配方的表里,按编号去掉一行")

    drop_row: str = titled("行的编号", "那一行的编号", at=1, min_length=1, max_length=200)
    table: Literal["审批矩阵", "选配方"] = titled("哪张表", at=2, default="审批矩阵")

    def wanted(self, session: Session, now: datetime) -> Wanted:
        table, kind = (APPROVAL, RuleKind.MATRIX) if self.table == APPROVAL.name else (CHOICE, RuleKind.RECIPES)
        return self._edited(session, kind, lambda body: without_row(body, table, self.drop_row), now)


class FormField(Form):
    """Adds a question."""

    model_config = shown("表单加字段", "订单表单里加一个字段,或替换一个:客户和客服要填的一个问题")

    field: str = titled("字段名", "小写字母、数字、下划线,如 litter;已有的会被替换", at=1, min_length=1, max_length=40)
    title: str = titled("标题", "客户看到的问题", at=2, min_length=1, max_length=40)
    answer: Literal["文字", "数", "是否", "单选", "多选", "日期"] = titled("类型", at=3)
    required: YesNo = titled("必填", "必填的没有答,订单会搁置并请客户补", at=4, default="否")
    choices: str = titled("选项", "单选、多选才写:indoor=室内、outdoor=室外;也可以只写名称", at=5, default="")
    help: str = titled("提示", "写在问题下面", at=6, default="", max_length=200)
    unit: str = titled("单位", "数才写,例如 kg", at=7, default="", max_length=20)
    limits: str = titled("范围", "数才写,例如 0 ~ 30", at=8, default="", max_length=40)

    def wanted(self, session: Session, now: datetime) -> Wanted:
        least, most = _limits(self.limits)
        wish = FieldWish(
            name=self.field,
            title=self.title,
            kind=next(kind for kind, word in FIELD_KINDS.items() if word == self.answer),
            required=self.required == "是",
            help=self.help,
            unit=self.unit,
            choices=self.choices,
            minimum=least,
            maximum=most,
        )
        return self._edited(session, RuleKind.FORM, lambda body: with_field(body, wish), now)


class DropField(Form):
    """Takes a question away."""

    model_config = shown("表单去字段", "从订单表单里去掉一个字段:以后不再问;已有的回答留着")

    drop_field: str = titled("字段名", at=1, min_length=1, max_length=40)

    def wanted(self, session: Session, now: datetime) -> Wanted:
        return self._edited(session, RuleKind.FORM, lambda body: without_field(body, self.drop_field), now)


class RecipeCard(Form):
    """Adds a recipe."""

    model_config = shown("加配方", "加一个配方,或替换一个:含有宠物过敏原的配方永远不会给它;已有的配方,没有填的都不变")

    code: str = titled("配方编码", "例如 CAT-RABBIT-WET;已有的会被替换", at=1, min_length=1, max_length=40)
    title: str = titled("名称", "例如 猫粮 兔肉(湿)", at=2, min_length=1, max_length=80)
    species: Literal[_SPECIES] = titled("物种", at=3)  # type: ignore[valid-type]
    staple: Literal[_STAPLES] = titled("主食", at=4)  # type: ignore[valid-type]
    grams: str = titled("每千克用料", "合计 1000 克,例如 鸡肉 480、大米 320、南瓜 200", at=5, min_length=1)
    new_ingredients: str = titled(
        "新食材",
        "用料里还没有的食材:编码 名称 每千克价格(元) 过敏原,一行一种,例如 ING-RABBIT 兔肉 42.5 无;"
        "已有的不写价格、过敏原就不变",
        at=6,
        default="",
    )
    kcal_per_kg: int = titled("每千克千卡", "代谢能,0 表示不知道;已有的配方,0 就不变", at=7, default=0, ge=0, le=9_000)
    nutrients: str = titled(
        "营养成分(%)",
        "例如 粗蛋白 11、粗脂肪 4.5、粗纤维 1、水分 78、粗灰分 2;已有的配方,没有写的不变,全部去掉写 无",
        at=8,
        default="",
    )
    special: Literal["不变", "是", "否"] = titled(
        "特殊配方", "「是」表示每个用它的订单都要营养师看;新的配方,「不变」就是「否」", at=13, default="不变"
    )
    allergens: str = titled(
        "过敏原", "用料本身的过敏原不用写,例如 鸡肉、鱼肉;已有的配方,空着就不变,确实没有写 无", at=14, default=""
    )
    rank: int = titled("次序", "数小的先选;0 就排在最后", at=15, default=0, ge=0)
    only_when: dict[str, str] = titled(
        "什么时候选它", '除物种和主食以外的条件,例如 {"体重(kg)": "> 8"};已有的配方不填就不变', at=16, default={}
    )

    def wanted(self, session: Session, now: datetime) -> Wanted:
        wish = RecipeWish(
            code=self.code,
            title=self.title,
            species=self.species,
            staple=self.staple,
            grams=self.grams,
            special={"是": True, "否": False}.get(self.special),
            allergens=list_said(self.allergens),
            kcal_per_kg=self.kcal_per_kg or None,
            nutrients=nutrients_of(self.nutrients),
            rank=self.rank or None,
        )
        rows = [self.only_when] if self.only_when else []

        def edit(body: Body) -> Body:
            for line in self.new_ingredients.splitlines():
                if line.strip():
                    body = with_ingredient(body, *_ingredient(line))
            return with_recipe(body, wish, rows)

        return self._edited(session, RuleKind.RECIPES, edit, now)


class DropRecipe(Form):
    """Takes a recipe away, with the rows that choose it."""

    model_config = shown("去配方", "去掉一个配方,连同选它的行")

    drop_recipe: str = titled("配方编码", at=1, min_length=1, max_length=64)

    def wanted(self, session: Session, now: datetime) -> Wanted:
        return self._edited(session, RuleKind.RECIPES, lambda body: without_recipe(body, self.drop_recipe), now)


class RulesFile(Form):
    """A file that somebody has put into the folder."""

    model_config = shown("用文件", "XLSX、CSV 或 JSON:用 orderloom rules export 导出的文件改好后放进文件夹")

    file: str = titled("文件名", "状态目录下 rules 文件夹里的文件,只写文件名,例如 矩阵.xlsx", at=1, min_length=1)

    def wanted(self, session: Session, now: datetime) -> Wanted:
        return sent_in(session, None, self.file, file_in_folder(self.file), now)


class WholeRules(Form):
    """The whole of it as JSON."""

    model_config = shown("粘贴 JSON", "整份替换")

    kind: KindWord = titled("种类", at=1)
    json_text: str = titled("JSON", "整份规则;决策表编辑器存的 JDM 也可以", at=2, min_length=2)

    def wanted(self, session: Session, now: datetime) -> Wanted:
        return pasted(session, kind_named(self.kind), self.json_text, now)


def _ingredient(line: str) -> tuple[str, str, list[str] | None, int | None]:
    """SKU, title, allergens and price in fen of `ING-RABBIT 兔肉 42.5 鸡肉、鱼肉`. Raises `RulesRefused`.

    None is not said; `无` is no allergens.
    """
    parts = line.split()
    try:
        price = round(float(parts[2]) * 100) if len(parts) > 2 else None
        sku, title = parts[0], parts[1]
    except (ValueError, OverflowError, IndexError):
        how = "编码、名称、每千克价格(元)、过敏原用空格隔开,例如 ING-RABBIT 兔肉 42.5"
        raise RulesRefused(f"新食材「{line.strip()[:60]}」读不懂:{how}。没有任何改变。") from None
    return sku, title, list_said("、".join(parts[3:])), price


def _limits(said: str) -> tuple[float | None, float | None]:
    """Least and most, of `0 ~ 30`; None where there is none. Raises `RulesRefused`."""
    if not said.strip():
        return None, None
    read = re.fullmatch(r"\s*(-?\d{1,9}(?:\.\d{1,6})?)?\s*(?:~|到|至)\s*(-?\d{1,9}(?:\.\d{1,6})?)?\s*", said)
    if read is None:
        raise RulesRefused(f"范围「{said[:40]}」读不懂:写成 0 ~ 30,一边可以空着。没有任何改变。")
    least, most = (None if end is None else float(end) if "." in end else int(end) for end in read.groups())
    return least, most
