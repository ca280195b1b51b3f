"""Changes to bodies by words: what comes out works, what went in is as it was, and twice is once."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from models.decision_table import content_of
from models.form_check import check_form
from models.form_edits import FieldWish, with_field, without_field
from models.form_field import FieldKind
from models.matrix import Matrix
from models.order_form import OrderForm
from models.recipe import STARTER, RecipeBook
from models.recipe_edits import RecipeWish, with_ingredient, with_recipe, without_recipe
from models.rule_columns import APPROVAL, CHOICE
from models.rule_edits import with_row, without_row
from models.rule_version import RulesRefused

Body = dict[str, Any]
MATRIX, RECIPES, FORM = (
    json.loads((STARTER.parent / f"{name}.json").read_text(encoding="utf-8")) for name in ("matrix", "recipes", "form")
)
PLAIN = {"amount": 99, "special": False, "no_recipe": False, "special_recipes": "", "why_no_recipe": ""}
ROW = {
    "金额(元)": "> 300",
    "新客户": "是",
    "谁审核": "客服主管",
    "理由": "新客户,金额 {金额(元)} 元",
    "时限(分钟)": "15",
}


def test_a_row_in_peoples_words_asks_the_role_that_it_names() -> None:
    before = copy.deepcopy(MATRIX)

    changed = with_row(MATRIX, APPROVAL, ROW, name="new-customer", note="试行")

    (asked,) = Matrix(changed).route({**PLAIN, "amount": 301, "new_customer": True})
    assert (asked.role, asked.reasons, asked.sla_minutes) == ("customer_service_lead", ("新客户,金额 301 元",), 15)
    assert Matrix(changed).route({**PLAIN, "amount": 301, "new_customer": False}) == ()
    assert before == MATRIX


def test_a_row_that_is_added_twice_is_there_once_and_a_named_one_is_replaced() -> None:
    once = with_row(MATRIX, APPROVAL, ROW)
    named = with_row(MATRIX, APPROVAL, {**ROW, "金额(元)": "> 800"}, name="amount")

    assert with_row(once, APPROVAL, ROW) == once
    assert len(content_of(once["approval"]).rows) == 4
    rows = {row.id: row.cells for row in content_of(named["approval"]).rows}
    assert list(rows) == ["amount", "special", "no-recipe"]
    assert (rows["amount"]["amount"], rows["amount"]["new_customer"]) == ("> 800", "true")
    assert "new_customer" not in rows["special"]


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"amount": "> 300", "金额(元)": "<= 800"}, "「金额\\(元\\)」写了两次:都写在一格里,如「> 300 且 <= 800」"),
        ({"特殊食材": "是", "特殊配方": "否"}, "「特殊配方」写了两次"),
    ],
)
def test_a_column_that_is_named_twice_is_refused(cells: dict[str, str], why: str) -> None:
    with pytest.raises(RulesRefused, match=why):
        with_row(MATRIX, APPROVAL, {**cells, "谁审核": "财务", "理由": "大额"})


def test_a_column_is_known_by_the_header_that_the_table_gives_it() -> None:
    row = {"谁审核": "财务", "理由": "特殊"}

    changed = with_row(MATRIX, APPROVAL, {**row, "特殊食材": "是"}, name="x")

    assert changed == with_row(MATRIX, APPROVAL, {**row, "特殊配方": "是"}, name="x")
    content = (taken := copy.deepcopy(MATRIX))["approval"]["nodes"][1]["content"]
    content["inputs"][0]["name"] = "特殊配方"  # what we call another fact
    with pytest.raises(RulesRefused, match="「特殊配方」在这张表里指不止一列:写字段名 special、amount 中的一个"):
        with_row(taken, APPROVAL, {**row, "特殊配方": "是"})


def test_a_row_that_is_taken_away_asks_nobody_any_more() -> None:
    changed = without_row(MATRIX, APPROVAL, "amount")

    assert Matrix(changed).route({**PLAIN, "amount": 9999}) == ()
    with pytest.raises(RulesRefused, match="没有编号为「amount」的行:有 special、no-recipe"):
        without_row(changed, APPROVAL, "amount")


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({**ROW, "价格": "5"}, "没有「价格」这一列:可以写 金额\\(元\\)、渠道"),
        ({"金额(元)": "> 5"}, "这一行还缺:谁审核"),
        ({**ROW, "金额(元)": "贵"}, "「金额\\(元\\)」:「贵」读不懂"),
        ({**ROW, "谁审核": "老板"}, "「谁审核」:没有「老板」:可以写 营养师、.*、财务、直通。没有"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_in_words(cells: dict[str, str], why: str) -> None:
    with pytest.raises(RulesRefused, match=why):
        with_row(MATRIX, APPROVAL, cells)


@pytest.mark.parametrize("body", [{}, {"approval": None}, {"approval": {}}, {"approval": {"nodes": []}}])
def test_a_body_that_is_no_table_is_refused_in_words(body: Body) -> None:
    with pytest.raises(RulesRefused, match="不是一张完整的决策表"):
        with_row(body, APPROVAL, ROW)


WISH = RecipeWish(
    "CAT-RABBIT-WET",
    "猫粮 兔肉(湿)",
    "猫",
    "湿粮",
    "兔肉 700、南瓜 0.26kg、猫用预混料(含牛磺酸) 40g",
    allergens=("鸡肉",),
    rank=5,
)


def test_a_recipe_with_a_new_ingredient_is_chosen_first_by_its_rank() -> None:
    changed = with_recipe(with_ingredient(RECIPES, "ING-RABBIT", "兔肉", (), 4200), WISH)

    book = RecipeBook(changed)
    assert book["CAT-RABBIT-WET"].grams_per_kg == {"ING-RABBIT": 700, "ING-PUMPKIN": 260, "ING-PREMIX-CAT": 40}
    assert book["CAT-RABBIT-WET"].allergens == ("chicken", "pumpkin")
    assert book.candidates({"species": "cat", "staple": "wet"})[0].code == "CAT-RABBIT-WET"
    assert with_recipe(changed, WISH) == changed


def test_rows_that_choose_a_recipe_are_given_in_words() -> None:
    changed = with_ingredient(RECIPES, "ING-RABBIT", "兔肉")
    rows = [{"物种": "猫", "体重(kg)": "> 8", "主食偏好": ""}, {"绝育": "是"}]

    book = RecipeBook(with_recipe(changed, WISH, rows))
    with pytest.raises(RulesRefused, match="「绝育」写了两次"):
        with_recipe(changed, WISH, [{"绝育": "是", "neutered": "否"}])

    heavy = {"species": "cat", "staple": "dry", "weight_kg": 9, "neutered": False}
    assert book.candidates(heavy)[0].code == "CAT-RABBIT-WET"
    light = {**heavy, "weight_kg": 3}
    assert "CAT-RABBIT-WET" not in [one.code for one in book.candidates(light)]
    # a row that says nothing of the staple is for the recipe's own
    assert "CAT-RABBIT-WET" not in [one.code for one in book.candidates({**light, "neutered": True})]
    assert book.candidates({**light, "neutered": True, "staple": "wet"})[0].code == "CAT-RABBIT-WET"


def test_a_recipe_that_is_taken_away_is_chosen_by_no_row() -> None:
    changed = without_recipe(RECIPES, "CAT-BEEF-WET")

    assert "CAT-BEEF-WET" not in RecipeBook(changed).recipes
    assert "CAT-BEEF-WET" not in json.dumps(changed)
    with pytest.raises(RulesRefused, match="没有配方「CAT-BEEF-WET」:有 DOG-CHICKEN-DRY"):
        without_recipe(changed, "CAT-BEEF-WET")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"grams": "龙肉 5"}, "「龙肉 5」读不懂.*有 鸡肉、"),
        ({"grams": "鸡肉 0.5"}, "克数要是整数"),
        ({"grams": "鸡肉 5、鸡肉 6"}, "一种食材只写一次"),
        ({"grams": " "}, "配方要写出每千克用哪些食材"),
        ({"species": "龙"}, "「物种」没有「龙」:可以写 犬、猫"),
        ({"code": "兔"}, "配方编码「兔」不行"),
        ({"title": " "}, "配方要有名称"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_refused_in_words(changes: dict[str, Any], why: str) -> None:
    wish = RecipeWish(**{"code": "X", "title": "X", "species": "猫", "staple": "湿粮", "grams": "鸡肉 1000", **changes})
    with pytest.raises(RulesRefused, match=why):
        with_recipe(RECIPES, wish)


@pytest.mark.parametrize(
    ("wish", "answers", "wrong"),
    [
        (FieldWish("tooth", "牙齿", FieldKind.CHOICE, choices="good=好、bad=不好"), {"牙齿": "不好"}, "nonsense"),
        (FieldWish("toys", "玩具", FieldKind.MANY, choices="球、绳子"), {"玩具": "球、绳子"}, None),
        (
            FieldWish("walks", "每天遛几次", FieldKind.NUMBER, minimum=0, maximum=9, unit="次"),
            {"每天遛几次": "3"},
            "12",
        ),
        (FieldWish("indoor", "只在室内", FieldKind.YES_NO), {"只在室内": "是"}, "也许"),
        (FieldWish("vaccinated", "接种日期", FieldKind.DATE), {"接种日期": "2026-05-01"}, "哪天"),
        (FieldWish("wish", "心愿", FieldKind.TEXT, help="随便写"), {"心愿": "好吃"}, None),
    ],
)
def test_a_question_is_asked_and_its_answers_are_read(
    wish: FieldWish, answers: dict[str, str], wrong: str | None
) -> None:
    changed = with_field(FORM, wish)

    assert check_form(changed) == []
    assert list(changed["schema"]["properties"])[-1] == wish.name
    assert changed["schema"]["properties"][wish.name]["x-order"] == 11
    assert with_field(changed, wish) == changed
    result = OrderForm(changed).check(answers)
    assert wish.name in result.values
    if wrong is not None:
        assert wish.name in [one.field for one in OrderForm(changed).check({wish.title: wrong}).wrong]


def test_a_required_question_is_missing_until_it_is_answered_and_gone_when_taken_away() -> None:
    changed = with_field(FORM, FieldWish("indoor", "只在室内", FieldKind.YES_NO, required=True))

    assert "indoor" in OrderForm(changed).check({}).missing
    assert without_field(changed, "indoor") == FORM
    with pytest.raises(RulesRefused, match="表单没有字段「indoor」:有 species"):
        without_field(FORM, "indoor")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: with_field(FORM, FieldWish("牙", "牙齿", FieldKind.TEXT)), "字段名「牙」不行"),
        (lambda: with_field(FORM, FieldWish("a", " ", FieldKind.TEXT)), "字段要有标题"),
        (lambda: with_field(FORM, FieldWish("a", "A", FieldKind.CHOICE)), "单选和多选要写选项"),
        (lambda: with_field(FORM, FieldWish("a", "A", FieldKind.TEXT, choices="x")), "其他类型不写选项"),
        (lambda: with_field(FORM, FieldWish("a", "A", FieldKind.MANY, choices="x=1、x=2")), "代码和名称都不能重复"),
        (lambda: with_field(FORM, FieldWish("a", "A", FieldKind.TEXT, minimum=1)), "只有「数」可以写最小和最大"),
        (lambda: with_field({}, FieldWish("a", "A", FieldKind.TEXT)), "这份表单不完整"),
        (lambda: with_recipe({}, WISH), "这份配方不完整"),
        (lambda: with_ingredient(RECIPES, "龙", "龙肉"), "食材要有编码"),
        (lambda: with_row(MATRIX, APPROVAL, ROW, name="第一行"), "行的编号「第一行」不行"),
        (lambda: with_row(RECIPES, CHOICE, {"配方": "X", "次序": "先"}), "「次序」:「先」应为一个数"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_in_words(change: Callable[[], Body], why: str) -> None:
    with pytest.raises(RulesRefused, match=why):
        change()
