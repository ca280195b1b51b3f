"""What a version of the recipes no longer says that kept pets safe: worth a look before it is activated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from models.recipe import ALLERGENS, RecipeBook
from models.table_check import Problem

Body = Mapping[str, Any]


def losses(before: Body, after: Body) -> list[Problem]:
    """Allergens that are declared no more, and recipes that nobody has to look at any more, of what is in both.

    `after` is fit (`models.recipe_check.check_recipes`). An allergen that a recipe still has by its ingredients is not
    lost.
    """
    old = {part: {one[key]: one for one in before[part]} for part, key in (("ingredients", "sku"), ("recipes", "code"))}
    found = [
        Problem(f"食材 {one['sku']}", f"不再声明过敏原{name}:真的没有才去掉,对它过敏的宠物可能会吃到")
        for one in after["ingredients"]
        for name in _given_up(old["ingredients"].get(one["sku"], {}), one)
    ]
    inside = RecipeBook(after).inside
    for one in after["recipes"]:
        was, where = old["recipes"].get(one["code"], {}), f"配方 {one['code']}"
        found += [
            Problem(where, f"不再声明过敏原{name}:真的没有才去掉,对它过敏的宠物可能会吃到")
            for name in _given_up(was, {"allergens": inside[one["code"]]})
        ]
        if was.get("special") and not one.get("special"):
            found.append(Problem(where, "不再是特殊配方:用它的订单不再因此送营养师审核"))
    return found


def _given_up(before: Body, after: Body) -> Iterator[str]:
    for code in sorted({*before.get("allergens", ())} - {*after.get("allergens", ())}):
        yield ALLERGENS.get(code, (code,))[0]
