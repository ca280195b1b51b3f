"""Recipes and ingredients that are changed by words: what is said is so, and what is not said stays."""

from __future__ import annotations

from typing import Any

import pytest

from models.recipe import starter_recipes
from models.recipe_edits import RecipeWish, list_said, nutrients_of, with_ingredient, with_recipe
from models.rule_version import RulesRefused

Body = dict[str, Any]
RECIPES = starter_recipes()


def entry(body: Body, part: str, key: str, name: str) -> Body:
    (found,) = [one for one in body[part] if one[key] == name]
    return dict(found)


def test_an_ingredient_keeps_what_is_not_said_of_it_again() -> None:
    declared = with_ingredient(RECIPES, "ING-LIVER", "动物肝", ("鸡肉", "牛肉"), 4000)

    dearer = with_ingredient(declared, "ING-LIVER", "动物肝", price_fen_per_kg=4200)
    none = with_ingredient(dearer, "ING-LIVER", "动物肝", list_said("无"))

    liver = {"sku": "ING-LIVER", "title": "动物肝", "allergens": ["beef", "chicken"], "price_fen_per_kg": 4200}
    assert entry(dearer, "ingredients", "sku", "ING-LIVER") == liver
    assert entry(none, "ingredients", "sku", "ING-LIVER") == {**liver, "allergens": []}
    unsaid = with_ingredient(RECIPES, "ING-X", "甲")
    assert entry(unsaid, "ingredients", "sku", "ING-X") == {"sku": "ING-X", "title": "甲"}


def test_a_recipe_keeps_what_is_not_said_of_it_again() -> None:
    full = RecipeWish(
        "R1", "配方一", "猫", "湿粮", "鸡肉 1000", True, ("鱼肉",), 900, {"protein": 11, "fat": 4.5}, ("GRAIN-FREE",)
    )
    before = with_recipe(RECIPES, full)

    changed = with_recipe(before, RecipeWish("R1", "配方一", "猫", "湿粮", "鸡肉 600、大米 400", nutrients={"fat": 5}))
    emptied = with_recipe(before, RecipeWish("R1", "配方一", "猫", "湿粮", "鸡肉 1000", False, (), 800, {}, ()))

    kept = entry(changed, "recipes", "code", "R1")
    assert (kept["special"], kept["allergens"], kept["kcal_per_kg"]) == (True, ["fish"], 900)
    assert (kept["nutrients"], kept["flags"]) == ({"protein": 11, "fat": 5}, ["GRAIN-FREE"])
    assert kept["grams_per_kg"] == {"ING-CHICKEN": 600, "ING-RICE": 400}
    said = entry(emptied, "recipes", "code", "R1")
    assert [said[key] for key in ("special", "allergens", "kcal_per_kg", "nutrients", "flags")] == [
        False,
        [],
        800,
        {},
        [],
    ]
    new = entry(with_recipe(RECIPES, RecipeWish("R2", "二", "猫", "湿粮", "鸡肉 1000")), "recipes", "code", "R2")
    assert (new["special"], new["allergens"], new["flags"], "kcal_per_kg" in new) == (False, [], [], False)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("", None),
        (" 、", None),
        ("无", []),
        ("没有", []),
        ("鸡肉、 鱼肉,蛋", ["鸡肉", "鱼肉", "蛋"]),
        ("无、鸡", ["无", "鸡"]),
    ],
)
def test_nothing_said_is_not_the_same_as_none(said: str, meant: list[str] | None) -> None:
    assert list_said(said) == meant


def test_an_analysis_is_read_in_words() -> None:
    assert nutrients_of("粗蛋白 11、粗脂肪4.5%") == {"protein": 11, "fat": 4.5}
    assert (nutrients_of(""), nutrients_of("无")) == (None, {})
    with pytest.raises(RulesRefused, match="营养成分「糖 3」读不懂:可以写 粗蛋白"):
        nutrients_of("糖 3")
