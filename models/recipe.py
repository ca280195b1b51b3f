"""Recipes: which one a pet gets, and how many grams of what go into an order.

The seller's own table names the recipes that suit a pet, with a rank; the best one without an allergen of the pet is
taken. An allergen in a recipe is an error that nothing overrides, no table and no reviewer: that rule is here, in
code, and an allergen that we do not know by name is decided by a person, never passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from sqlmodel import Session

from models.decision_table import DecisionTable, TableBroken, content_of
from models.pet_answers import day_in, notes_in, number_in, word_in, words_in, yes_or_no_in
from models.privacy import without_numbers
from models.product import Product, Unit, save_products

#: What a new installation starts with: examples of a first seller, plausible and no more. Whoever sells food puts own
#: analyses, prices and recipes in their place.
STARTER = Path(__file__).parent / "starter" / "recipes.json"

#: How customers say that there is no allergy.
NO_ALLERGY = frozenset(("none", "无", "no", "没有", "无过敏", "不过敏", "暂无", "n/a"))

#: The allergens that we know, and what customers call them, the usual name first.
ALLERGENS = {
    "chicken": ("鸡肉", "鸡"),
    "beef": ("牛肉", "牛"),
    "lamb": ("羊肉", "羊", "mutton"),
    "duck": ("鸭肉", "鸭"),
    "fish": ("鱼肉", "鱼", "三文鱼", "金枪鱼", "salmon", "tuna"),
    "egg": ("鸡蛋", "蛋", "eggs"),
    "dairy": ("乳制品", "奶", "牛奶", "milk"),
    "wheat": ("小麦", "麸质", "gluten"),
    "corn": ("玉米",),
    "soy": ("大豆", "黄豆", "soya"),
    "rice": ("大米", "米"),
    "oat": ("燕麦", "oats"),
    "potato": ("薯类", "红薯", "土豆", "sweet potato"),
    "pea": ("豌豆", "peas"),
    "pumpkin": ("南瓜",),
}
SPECIES = {"dog": ("犬", "狗", "狗狗"), "cat": ("猫", "猫咪")}
STAPLES = {"dry": ("干粮", "干"), "wet": ("湿粮", "湿"), "mixed": ("混合", "干湿混合")}

#: What the choice table may ask of a pet, and how people call it. What was not answered is null.
FACTS = {
    "species": "物种",
    "staple": "主食偏好",
    "weight_kg": "体重(kg)",
    "age_months": "年龄(月)",
    "breed": "品种",
    "activity_level": "活动量",
    "neutered": "绝育",
    "body_condition": "体况",
    "health_notes": "健康备注",
    "allergens": "过敏原",
}


class ProfileIncomplete(Exception):
    """The pet profile lacks an answer; `fields` names which."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        super().__init__("宠物档案缺少:" + "、".join(fields))


class NoRecipe(Exception):
    """No recipe fits this pet: a nutritionist decides."""


class AllergenInside(Exception):
    """This recipe has something in it that this pet must not eat; nothing overrides that. `allergens` names it."""

    def __init__(self, recipe: Recipe, allergens: Sequence[str], what_to_do: str) -> None:
        self.recipe = recipe.code
        self.allergens = tuple(sorted(allergens))
        inside = _in_words(self.allergens)
        super().__init__(f"配方 {recipe.code}({recipe.title})含{inside},这只宠物对它过敏:{what_to_do}")


@dataclass(frozen=True)
class Recipe:
    """One recipe: grams of each ingredient per kilogram of food, and the allergens that are declared for it.

    `kcal_per_kg` is metabolisable energy as fed (0: not known), `nutrients` are percent as fed, by name; calcium and
    phosphorus are part of the ash.
    """

    code: str
    title: str
    species: str
    staple: str
    special: bool = False  # a nutritionist looks at every order of it
    grams_per_kg: Mapping[str, int] = field(default_factory=dict)
    allergens: Sequence[str] = ()
    kcal_per_kg: int = 0
    nutrients: Mapping[str, float] = field(default_factory=dict)
    flags: Sequence[str] = ()


class RecipeBook:
    """One version of the recipes, with the table by which one is chosen."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        """`body` is `{"ingredients": […], "recipes": […], "choice": JDM}`. Raises `TableBroken`, `KeyError`."""
        self.recipes = {entry["code"]: _recipe(entry, body["ingredients"]) for entry in body["recipes"]}
        self.inside = {code: frozenset(contains(recipe)) for code, recipe in self.recipes.items()}
        declared = {_code(ALLERGENS, name) for recipe in self.recipes.values() for name in recipe.allergens}
        self.known_allergens = frozenset(ALLERGENS) | declared
        self.prices = {i["sku"]: i["price_fen_per_kg"] for i in body["ingredients"] if "price_fen_per_kg" in i}
        self._choice = DecisionTable(body["choice"])
        self.chosen = _named_in(body["choice"], self.recipes)

    def __getitem__(self, code: str) -> Recipe:
        return self.recipes[code]

    def candidates(self, facts: Mapping[str, Any]) -> list[Recipe]:
        """The recipes that the table names for a pet, best first (rank, then code), whatever is in them.

        Raises `TableBroken` for a rank that is no number.
        """
        ranked: dict[str, float] = {}
        for match in self._choice.matches(facts):
            code, rank = str(match.output.get("recipe")), _rank(match.output.get("rank"), match.row)
            if code in self.recipes:
                ranked[code] = min(rank, ranked.get(code, rank))
        return [self.recipes[code] for code in sorted(ranked, key=lambda code: (ranked[code], code))]

    def cost_fen(self, code: str, weight_g: int) -> int | None:
        """What the ingredients of so many grams cost, in fen, rounded up; None where a price is not known."""
        grams = self.recipes[code].grams_per_kg
        if not grams.keys() <= self.prices.keys():
            return None
        return -(-sum(each * self.prices[sku] for sku, each in grams.items()) * weight_g // 1_000_000)


def _named_in(choice: Mapping[str, Any], recipes: Mapping[str, Recipe]) -> frozenset[str]:
    """The recipes that some row of the choice names; all of them where a row works its recipe out."""
    content = content_of(choice)
    column = next((output.id for output in content.outputs if output.field == "recipe"), "")
    named = {row.cells.get(column, "").strip().strip("\"'`") for row in content.rows}
    return frozenset(named if named <= recipes.keys() else recipes)


def _rank(said: Any, row: str) -> float:
    try:
        return float(said or 0)
    except (TypeError, ValueError):
        raise TableBroken(f"选配方的规则「{row}」的次序不是数字:{said!r}") from None


def _recipe(entry: Mapping[str, Any], ingredients: Sequence[Mapping[str, Any]]) -> Recipe:
    """A recipe with the allergens of its ingredients, declared or not."""
    inside = {i["sku"]: i.get("allergens", ()) for i in ingredients}
    declared = {*entry.get("allergens", ()), *(a for sku in entry["grams_per_kg"] for a in inside.get(sku, ()))}
    return Recipe(**{**entry, "allergens": tuple(sorted(declared)), "flags": tuple(entry.get("flags", ()))})


@dataclass(frozen=True)
class Pet:
    """What the choice of a recipe depends on; None is what was not answered."""

    species: str
    staple: str
    allergens: frozenset[str]
    weight_kg: float | None = None
    birth_date: date | None = None
    breed: str | None = None
    activity_level: str | None = None
    neutered: bool | None = None
    body_condition: str | None = None
    health_notes: str = ""

    def facts(self, today: date | None = None) -> dict[str, Any]:
        """The facts (`FACTS`) for the choice table. Without `today` the age is not known."""
        return {
            "species": self.species,
            "staple": self.staple or None,
            "weight_kg": self.weight_kg,
            "age_months": age_months(self.birth_date, today),
            "breed": self.breed,
            "activity_level": self.activity_level,
            "neutered": self.neutered,
            "body_condition": self.body_condition,
            "health_notes": self.health_notes,
            "allergens": sorted(self.allergens),
        }


def age_months(born: date | None, today: date | None) -> int | None:
    """Whole months of age; None if either day is not known, or the birth lies ahead."""
    if born is None or today is None or born > today:
        return None
    return (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day)


def pet_of(values: Mapping[str, Any]) -> Pet:
    """The pet in the answers of an order form (`FormResult.values`: our codes, real numbers, lists, true or false).

    Raises `ProfileIncomplete` without a species or an answer about allergens: nothing may be chosen blindly. An empty
    list is an answer. Any other answer that is not of its kind counts as none.
    """
    species, said = word_in(values.get("species")), words_in(values.get("allergens"))
    if species is None or said is None:
        raise ProfileIncomplete([name for name, is_so in (("species", species), ("allergens", said)) if is_so is None])
    allergens = [name.strip().lower() for name in said]
    return Pet(
        species=species,
        staple=word_in(values.get("staple_preference")) or "",
        allergens=frozenset(_code(ALLERGENS, name) for name in allergens if name and name not in NO_ALLERGY),
        weight_kg=number_in(values.get("weight_kg")),
        birth_date=day_in(values.get("birth_date")),
        breed=word_in(values.get("breed")),
        activity_level=word_in(values.get("activity_level")),
        neutered=yes_or_no_in(values.get("neutered")),
        body_condition=word_in(values.get("body_condition")),
        health_notes=notes_in(values.get("health_notes")),
    )


def _code(words: Mapping[str, Sequence[str]], said: str) -> str:
    """Our name for what a customer said; what was said if we have none."""
    wanted = said.strip().lower()
    return next((code for code, names in words.items() if wanted in names), wanted)


def choose(pet: Pet, book: RecipeBook, today: date | None = None) -> Recipe:
    """The recipe for this pet: the best that the table names, for its species, without any of its allergens.

    `today` is the day whose age counts (the day of the order, so that asking again gives the same). Raises `NoRecipe`
    when none is left, and when an allergen is none that we know: then nobody can say that a recipe is free of it.
    """
    unknown = unknown_allergens(pet, book)
    if unknown:
        said = without_numbers("、".join(unknown))
        raise NoRecipe(f"不认识的过敏原:{said};请营养师确认后指定配方")
    named = [recipe for recipe in book.candidates(pet.facts(today)) if recipe.species == pet.species]
    for recipe in named:
        if not _conflict(pet, book.inside[recipe.code]):
            return recipe
    why = [f"{recipe.code} 含{_in_words(_conflict(pet, book.inside[recipe.code]))}" for recipe in named]
    raise NoRecipe(
        f"没有适合的配方:{_in_words_of(SPECIES, pet.species)},过敏原 {_in_words(pet.allergens) or '无'};"
        + (",".join(why) or "选配方的规则里没有一条适用")
    )


def unknown_allergens(pet: Pet, book: RecipeBook) -> list[str]:
    """What this pet must not eat by words that nobody here knows: no recipe can be said to be free of it."""
    return sorted({_code(ALLERGENS, name) for name in pet.allergens} - book.known_allergens)


def contains(recipe: Recipe) -> set[str]:
    """The allergens in a recipe: those it declares, and each word of its ingredients' codes (`ING-DUCK` is duck)."""
    words = {word for sku in recipe.grams_per_kg for word in re.split(r"[\W\d_]+", sku.lower()) if word}
    return {_code(ALLERGENS, name) for name in {*recipe.allergens, *words}}


def assert_free_of_allergens(pet: Pet, recipe: Recipe) -> None:
    """The last guard, before anything is made. Raises `AllergenInside`."""
    found = _conflict(pet, contains(recipe))
    if found:
        raise AllergenInside(recipe, sorted(found), "不能生产,请营养师另选配方。没有任何改变。")


def check_reviewer_choice(pet: Pet, recipe: Recipe) -> None:
    """A reviewer may give any recipe but one with an allergen of the pet in it. Raises `AllergenInside`."""
    found = _conflict(pet, contains(recipe))
    if found:
        raise AllergenInside(recipe, sorted(found), "谁都不能选它,请另选一个配方。没有任何改变。")


def _conflict(pet: Pet, inside: Set[str]) -> set[str]:
    return {code for name in pet.allergens for code in _may_mean(name)} & inside


def _may_mean(said: str) -> set[str]:
    """The allergens that a customer may mean: of a word that is none of ours, each whose name is in it (`鸡胸肉`)."""
    code = _code(ALLERGENS, said)
    if code in ALLERGENS:
        return {code}
    words = set(re.split(r"[\W\d_]+", code))
    return {code} | {
        known
        for known, names in ALLERGENS.items()
        if any(name in (words if name.isascii() else code) for name in (known, *names))
    }


def _in_words_of(names: Mapping[str, Sequence[str]], code: str) -> str:
    return names.get(code, (code,))[0]


def _in_words(allergens: Iterable[str]) -> str:
    return "、".join(ALLERGENS.get(name, (name,))[0] for name in sorted(allergens))


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
