"""Recipes: which one a pet gets, and how many grams of what go into an order.

The seller's own table names the recipes that suit a pet, with a rank; the best one without an allergen of the pet is
taken. An allergen in a recipe is an error that no table overrides: that rule is here, in code, and an allergen that we
do not know by name is decided by a person, never passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session

from models.decision_table import DecisionTable
from models.product import Product, Unit, save_products

#: The recipes and ingredients that a new installation starts with.
STARTER = Path(__file__).parent / "starter" / "recipes.json"

#: What a pet profile must say before a recipe can be chosen (in the order a person is asked).
REQUIRED = ("species", "weight_kg", "staple_preference", "allergens")


#: How customers say that there is no allergy.
NO_ALLERGY = frozenset(("none", "无", "no", "没有", "无过敏", "不过敏", "暂无", "n/a"))

#: The allergens that we know, and what customers call them.
ALLERGENS = {
    "chicken": ("鸡", "鸡肉"),
    "beef": ("牛", "牛肉"),
    "lamb": ("羊", "羊肉", "mutton"),
    "duck": ("鸭", "鸭肉"),
    "fish": ("鱼", "鱼肉", "三文鱼", "金枪鱼", "salmon", "tuna"),
    "egg": ("蛋", "鸡蛋", "eggs"),
    "dairy": ("奶", "牛奶", "乳制品", "milk"),
    "wheat": ("小麦", "麸质", "gluten"),
    "corn": ("玉米",),
    "soy": ("大豆", "黄豆", "soya"),
    "rice": ("大米", "米"),
    "oat": ("燕麦", "oats"),
    "potato": ("红薯", "土豆", "sweet potato"),
    "pea": ("豌豆", "peas"),
    "pumpkin": ("南瓜",),
}
SPECIES = {"dog": ("犬", "狗", "狗狗"), "cat": ("猫", "猫咪")}
STAPLES = {"dry": ("干粮", "干"), "wet": ("湿粮", "湿"), "mixed": ("混合", "干湿混合")}


class ProfileIncomplete(Exception):
    """The pet profile lacks an answer; `fields` names which."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        super().__init__("宠物档案缺少:" + "、".join(fields))


class NoRecipe(Exception):
    """No recipe fits this pet: a nutritionist decides."""


@dataclass(frozen=True)
class Recipe:
    """One recipe: grams of each ingredient per kilogram of food, and the allergens that are declared for it."""

    code: str
    title: str
    species: str
    staple: str
    special: bool = False  # a nutritionist looks at every order of it
    grams_per_kg: Mapping[str, int] = field(default_factory=dict)
    allergens: Sequence[str] = ()


class RecipeBook:
    """One version of the recipes, with the table by which one is chosen."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        """`body` is `{"ingredients": […], "recipes": […], "choice": JDM}`. Raises `TableBroken`, `KeyError`."""
        self.recipes = {entry["code"]: _recipe(entry, body["ingredients"]) for entry in body["recipes"]}
        self._choice = DecisionTable(body["choice"])

    def __getitem__(self, code: str) -> Recipe:
        return self.recipes[code]

    def candidates(self, facts: Mapping[str, Any]) -> list[Recipe]:
        """The recipes that the table names for a pet, best first (rank, then code), whatever is in them."""
        ranked: dict[str, float] = {}
        for match in self._choice.matches(facts):
            code, rank = str(match.output["recipe"]), float(match.output.get("rank") or 0)
            if code in self.recipes:
                ranked[code] = min(rank, ranked.get(code, rank))
        return [self.recipes[code] for code in sorted(ranked, key=lambda code: (ranked[code], code))]


def _recipe(entry: Mapping[str, Any], ingredients: Sequence[Mapping[str, Any]]) -> Recipe:
    """A recipe with the allergens of its ingredients, declared or not."""
    inside = {i["sku"]: i.get("allergens", ()) for i in ingredients}
    declared = {*entry.get("allergens", ()), *(a for sku in entry["grams_per_kg"] for a in inside.get(sku, ()))}
    return Recipe(**{**entry, "allergens": tuple(sorted(declared))})


@dataclass(frozen=True)
class Pet:
    """What the choice of a recipe depends on."""

    species: str
    staple: str
    allergens: frozenset[str]


def read_profile(profile: dict[str, Any]) -> Pet:
    """The pet in a profile as customers fill it in. Raises `ProfileIncomplete`."""
    missing = [name for name in REQUIRED if profile.get(name) is None or str(profile[name]).strip() == ""]
    if "allergens" in missing and profile.get("allergens") is not None:
        missing.remove("allergens")  # an empty answer is an answer: no allergies
    if missing:
        raise ProfileIncomplete(missing)
    answer = profile["allergens"]
    if str(answer).strip().lower() in NO_ALLERGY:
        answer = []
    names = answer if isinstance(answer, list) else re.split(r"[,\uff0c\u3001;\uff1b/|\n]", str(answer))
    allergens = [name for name in (str(name).strip().lower() for name in names) if name and name not in NO_ALLERGY]
    return Pet(
        species=_code(SPECIES, str(profile["species"])),
        staple=_code(STAPLES, str(profile["staple_preference"])),
        allergens=frozenset(_code(ALLERGENS, name.removeprefix("对").removesuffix("过敏")) for name in allergens),
    )


def _code(words: Mapping[str, Sequence[str]], said: str) -> str:
    """Our name for what a customer said; what was said if we have none."""
    wanted = said.strip().lower()
    return next((code for code, names in words.items() if wanted in names), wanted)


def choose(pet: Pet, book: RecipeBook) -> Recipe:
    """The recipe for this pet. Raises `NoRecipe` when every recipe for it has one of its allergens,
    and when one of its allergens is none that we know: then nobody can say that a recipe is free of it."""
    declared = {allergen for recipe in book.recipes.values() for allergen in recipe.allergens}
    unknown = pet.allergens - ALLERGENS.keys() - declared
    if unknown:
        raise NoRecipe(f"不认识的过敏原:{'、'.join(sorted(unknown))};请营养师确认后指定配方")
    facts = {"species": pet.species, "staple": pet.staple, "allergens": sorted(pet.allergens)}
    safe = [r for r in book.candidates(facts) if r.species == pet.species and not pet.allergens & contains(r)]
    if not safe:
        raise NoRecipe(f"没有适合的配方:{pet.species},过敏原 {'、'.join(sorted(pet.allergens)) or '无'}")
    return safe[0]


def contains(recipe: Recipe) -> set[str]:
    """The allergens in a recipe: those it declares, and its ingredients by name (`ING-DUCK` is duck)."""
    return set(recipe.allergens) | {_code(ALLERGENS, sku.removeprefix("ING-")) for sku in recipe.grams_per_kg}


def ingredients(recipe: Recipe, weight_g: int, quantity: int) -> dict[str, int]:
    """Grams of each ingredient for `quantity` packs of `weight_g` grams, rounded up to whole grams."""
    return {sku: -(-int(grams) * weight_g * quantity // 1000) for sku, grams in recipe.grams_per_kg.items()}


def starter_recipes() -> dict[str, Any]:
    """The recipes that a new installation starts with."""
    book: dict[str, Any] = json.loads(STARTER.read_text(encoding="utf-8"))
    return book


def save_ingredients(session: Session, body: Mapping[str, Any]) -> int:
    """Have every ingredient of these recipes among the stock-keeping units; returns how many there are."""
    wanted = body["ingredients"]
    return save_products(session, [Product(sku=i["sku"], title=i["title"], unit=Unit.GRAM.value) for i in wanted])
