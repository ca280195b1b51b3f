"""What a draft of the recipes takes away from what kept pets safe is warned of; what it adds is not."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

from sqlmodel import Session

from models.recipe import starter_recipes
from models.recipe_edits import RecipeWish, with_ingredient, with_recipe
from models.recipe_losses import losses
from models.rule_desk import make_draft
from models.rule_version import RuleKind

LIVER = with_ingredient(starter_recipes(), "ING-LIVER", "动物肝", ("鸡肉", "牛肉"), 4000)
GRAMS = "动物肝 960、猫用预混料(含牛磺酸) 40"
BEFORE = with_recipe(LIVER, RecipeWish("R1", "一", "猫", "湿粮", GRAMS, special=True, allergens=("鱼肉", "鸡肉")))


def test_allergens_and_reviews_that_are_given_up_are_named() -> None:
    after = with_ingredient(BEFORE, "ING-LIVER", "动物肝", ("牛肉",))
    after = with_recipe(after, RecipeWish("R1", "一", "猫", "湿粮", GRAMS, special=False, allergens=()))

    assert [str(each) for each in losses(BEFORE, after)] == [
        "食材 ING-LIVER:不再声明过敏原鸡肉:真的没有才去掉,对它过敏的宠物可能会吃到",
        "配方 R1:不再声明过敏原鸡肉:真的没有才去掉,对它过敏的宠物可能会吃到",
        "配方 R1:不再声明过敏原鱼肉:真的没有才去掉,对它过敏的宠物可能会吃到",
        "配方 R1:不再是特殊配方:用它的订单不再因此送营养师审核",
    ]


def test_what_is_added_or_still_inside_by_the_ingredients_is_no_loss() -> None:
    kept = with_recipe(BEFORE, RecipeWish("R1", "一", "猫", "湿粮", GRAMS, allergens=("鱼肉",)))

    assert losses(BEFORE, kept) == []
    assert losses(starter_recipes(), BEFORE) == losses(BEFORE, starter_recipes()) == []


def test_a_draft_that_gives_up_a_review_is_warned_of_against_the_version_in_force(session: Session) -> None:
    body = copy.deepcopy(starter_recipes())
    special = next(one for one in body["recipes"] if one["special"])
    special["special"] = False

    made = make_draft(session, RuleKind.RECIPES, body, "王敏", "", datetime(2026, 11, 23, tzinfo=UTC))

    assert made.problems == []
    words = f"配方 {special['code']}:不再是特殊配方:用它的订单不再因此送营养师审核"
    assert words in [str(warning) for warning in made.warnings]
