"""What two versions say otherwise, in people's words; nothing for what is equal."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from models.form_edits import FieldWish, with_field, without_field
from models.form_field import FieldKind
from models.recipe import STARTER
from models.recipe_edits import RecipeWish, with_ingredient, with_recipe, without_recipe
from models.rule_columns import APPROVAL
from models.rule_diff import differences
from models.rule_edits import with_row, without_row
from models.rule_version import RuleKind

BODIES: dict[RuleKind, dict[str, Any]] = {
    kind: json.loads((STARTER.parent / f"{kind.value}.json").read_text(encoding="utf-8")) for kind in RuleKind
}
MATRIX, RECIPES, FORM = BODIES[RuleKind.MATRIX], BODIES[RuleKind.RECIPES], BODIES[RuleKind.FORM]


@pytest.mark.parametrize("kind", RuleKind)
def test_equal_rules_differ_in_nothing(kind: RuleKind) -> None:
    assert differences(kind, BODIES[kind], copy.deepcopy(BODIES[kind])) == []


def test_rows_are_told_by_what_they_say() -> None:
    cells = {"金额(元)": "> 300", "新客户": "是", "谁审核": "客服主管", "理由": "新客户"}
    changed = without_row(with_row(MATRIX, APPROVAL, cells, name="new"), APPROVAL, "special")
    changed["approval"]["nodes"][1]["content"]["rules"][0]["amount"] = "> 800"

    assert differences(RuleKind.MATRIX, MATRIX, changed) == [
        "新增审批矩阵的行 new:金额(元) > 300,新客户 是,谁审核 客服主管,理由 新客户",
        "去掉审批矩阵的行 special:特殊食材 是,谁审核 营养师,理由 特殊配方:{特殊配方的名称},时限(分钟) 22",
        "改动审批矩阵的行 amount:金额(元) > 500 → > 800",
        "新列「新客户」",
    ]


def test_order_hit_policy_and_layout_are_told() -> None:
    content = (changed := copy.deepcopy(MATRIX))["approval"]["nodes"][1]["content"]
    content["rules"].reverse()
    content["hitPolicy"] = "first"
    moved = copy.deepcopy(MATRIX)
    moved["approval"]["nodes"][0]["position"]["x"] = 7

    assert differences(RuleKind.MATRIX, MATRIX, changed) == ["审批矩阵改为只算第一个成立的行", "审批矩阵的行换了次序"]
    assert differences(RuleKind.MATRIX, MATRIX, moved) == ["审批矩阵只有编排(列名、说明、位置)不同"]


def test_recipes_and_ingredients_are_told_with_what_changed() -> None:
    wish = RecipeWish("CAT-RABBIT-WET", "兔肉猫粮", "猫", "湿粮", "兔肉 1000", rank=5)
    changed = with_recipe(with_ingredient(RECIPES, "ING-RABBIT", "兔肉", (), 4200), wish)
    changed = without_recipe(changed, "CAT-HYDRO-DRY")
    changed["recipes"][0]["special"] = True

    said = differences(RuleKind.RECIPES, RECIPES, changed)

    assert said[:5] == [
        "新增食材 ING-RABBIT:兔肉,过敏原 无,每千克价格(元) 42",
        "新增配方 CAT-RABBIT-WET:兔肉猫粮,过敏原 无,特殊配方 否,物种 猫,主食 湿粮,兔肉(克/kg) 1000",
        "去掉配方 CAT-HYDRO-DRY:猫粮 水解蛋白(敏感体质)",
        "改动配方 DOG-CHICKEN-DRY:特殊配方 否 → 是",
        "新增选配方的行 CAT-RABBIT-WET:物种 猫,主食偏好 湿粮,配方 CAT-RABBIT-WET,次序 5",
    ]
    assert all(line.startswith("去掉选配方的行 CAT-HYDRO-DRY") for line in said[5:])


def test_what_is_inside_is_told_of_new_and_changed_entries() -> None:
    liver = with_ingredient(RECIPES, "ING-LIVER", "动物肝", ("鸡肉", "牛肉"), 4050)
    unsaid = with_ingredient(RECIPES, "ING-LIVER", "动物肝")
    less = with_ingredient(liver, "ING-LIVER", "动物肝", (), 4200)
    changed = copy.deepcopy(RECIPES)
    changed["recipes"][0]["grams_per_kg"] |= {"ING-CHICKEN": 380, "ING-LAMB": 100}
    changed["recipes"][0]["nutrients"]["fat"] = 16
    changed["recipes"][0]["allergens"] = []

    assert differences(RuleKind.RECIPES, RECIPES, liver) == [
        "新增食材 ING-LIVER:动物肝,过敏原 牛肉、鸡肉,每千克价格(元) 40.5"
    ]
    assert differences(RuleKind.RECIPES, RECIPES, unsaid) == [
        "新增食材 ING-LIVER:动物肝,过敏原 没有写,每千克价格(元) 没有写"
    ]
    assert differences(RuleKind.RECIPES, liver, less) == [
        "改动食材 ING-LIVER:过敏原 牛肉、鸡肉 → 无;每千克价格(元) 40.5 → 42"
    ]
    assert differences(RuleKind.RECIPES, RECIPES, changed) == [
        "改动配方 DOG-CHICKEN-DRY:鸡肉(克/kg) 480 → 380;过敏原 鸡肉 → 无;粗脂肪(%) 15 → 16;羊肉(克/kg) (空) → 100"
    ]


def test_columns_of_one_name_are_told_apart() -> None:
    before = copy.deepcopy(MATRIX)
    content = before["approval"]["nodes"][1]["content"]
    content["inputs"].append({"id": "amount-2", "name": "金额(元)", "field": "amount"})
    content["rules"][0]["amount-2"] = "< 5000"
    after = copy.deepcopy(before)
    after["approval"]["nodes"][1]["content"]["rules"][0]["amount"] = "> 4000"

    assert differences(RuleKind.MATRIX, before, after) == ["改动审批矩阵的行 amount:金额(元) #amount > 500 → > 4000"]
    assert "新列「金额(元) #amount-2」" in differences(RuleKind.MATRIX, MATRIX, before)


def test_questions_are_told_with_their_kind() -> None:
    changed = with_field(FORM, FieldWish("indoor", "只在室内", FieldKind.YES_NO, required=True))
    changed = without_field(changed, "health_notes")
    changed["schema"]["properties"]["weight_kg"]["maximum"] = 90
    changed["schema"]["required"].remove("allergens")
    changed["schema"]["allOf"].pop()

    assert differences(RuleKind.FORM, FORM, changed) == [
        "新增字段 indoor:只在室内(是否,必填)",
        "去掉字段 health_notes:健康备注",
        "改动字段 weight_kg:最大 120 → 90",
        "改动字段 allergens:必填 是 → 否",
        "字段之间的条件有改动",
    ]


@pytest.mark.parametrize("kind", RuleKind)
@pytest.mark.parametrize("body", [{}, {"approval": 1, "schema": [], "recipes": 3, "ingredients": 4, "choice": 5}])
def test_what_cannot_be_taken_apart_is_told_as_a_whole(kind: RuleKind, body: dict[str, Any]) -> None:
    assert differences(kind, BODIES[kind], body) == ["内容不同,但这一版有问题,没法逐行比较"]
