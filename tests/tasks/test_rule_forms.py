"""Forms of the Prefect UI that change the rules: what is left empty stays, what is written is what comes out."""

from __future__ import annotations

from typing import Any

from models.database import rehearse, utcnow
from tasks.rule_forms import RecipeCard
from tests.house import House

CHICKEN: dict[str, Any] = {
    "code": "DOG-CHICKEN-DRY",
    "title": "犬粮 鸡肉大米(干)",
    "species": "犬",
    "staple": "干粮",
    "grams": "鸡肉 500、大米 500",
    "your_name": "王敏",
}


def wanted(**said: Any) -> dict[str, Any]:
    """The recipes that the form for a recipe asks for."""
    card = RecipeCard(**CHICKEN | said)
    return dict(rehearse(lambda session: card.wanted(session, utcnow())).body)


def test_what_is_left_empty_of_a_known_recipe_stays_and_none_is_said_as_such(home: House) -> None:
    kept = next(one for one in wanted()["recipes"] if one["code"] == "DOG-CHICKEN-DRY")
    emptied = wanted(allergens="无", nutrients="无", special="是")["recipes"][0]

    assert (kept["allergens"], kept["kcal_per_kg"], kept["nutrients"]["protein"]) == (["chicken"], 3580, 27)
    assert kept["grams_per_kg"] == {"ING-CHICKEN": 500, "ING-RICE": 500}
    assert (emptied["allergens"], emptied["nutrients"], emptied["special"]) == ([], {}, True)


def test_ingredients_of_the_form_keep_what_their_line_does_not_say(home: House) -> None:
    lines = "ING-CHICKEN 鸡肉\nING-RABBIT 兔肉 42.5\nING-OIL 亚麻籽油 25 无\nING-MIX 肉泥 9 鸡肉、牛肉"

    entries = {one["sku"]: one for one in wanted(new_ingredients=lines)["ingredients"]}

    assert entries["ING-CHICKEN"] == {
        "sku": "ING-CHICKEN",
        "title": "鸡肉",
        "allergens": ["chicken"],
        "price_fen_per_kg": 1600,
    }
    assert entries["ING-RABBIT"] == {"sku": "ING-RABBIT", "title": "兔肉", "price_fen_per_kg": 4250}
    assert (entries["ING-OIL"]["allergens"], entries["ING-MIX"]["allergens"]) == ([], ["beef", "chicken"])
