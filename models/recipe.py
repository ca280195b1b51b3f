"""Recipes: which one a pet gets, and how many grams of what go into an order.

A first, simple table: recipes by species in order of preference; the first one without an allergen of the pet and
with the staple it prefers, or the first without an allergen, is taken. An allergen in a recipe is an error that
nothing overrides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Field, Session, SQLModel, select

from models.product import Product, Unit, save_products
from models.table import document

#: The recipes and ingredients that a new installation starts with.
STARTER = Path(__file__).with_name("starter_recipes.json")

#: What a pet profile must say before a recipe can be chosen (in the order a person is asked).
REQUIRED = ("species", "weight_kg", "staple_preference", "allergens")


class ProfileIncomplete(Exception):
    """The pet profile lacks an answer; `fields` names which."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        super().__init__("宠物档案缺少:" + "、".join(fields))


class NoRecipe(Exception):
    """No recipe fits this pet: a nutritionist decides."""


class Recipe(SQLModel, table=True):
    """One recipe: grams of each ingredient per kilogram of food, and the allergens that are in it."""

    __tablename__ = "recipe"

    code: str = Field(primary_key=True)
    title: str
    species: str
    staple: str
    place: int = 100  # lower is preferred
    special: bool = False  # a nutritionist looks at every order of it
    grams_per_kg: dict[str, Any] = document()
    allergens: list[Any] = Field(default_factory=list, sa_type=document().sa_type, nullable=False)


@dataclass(frozen=True)
class Pet:
    """What the choice of a recipe depends on."""

    species: str
    staple: str
    allergens: frozenset[str]


def read_profile(profile: dict[str, Any]) -> Pet:
    """The pet in a profile as customers fill it in. Raises `ProfileIncomplete`."""
    missing = [name for name in REQUIRED if name not in profile or str(profile[name]).strip() == ""]
    if "allergens" in missing and "allergens" in profile:
        missing.remove("allergens")  # an empty answer is an answer: no allergies
    if missing:
        raise ProfileIncomplete(missing)
    allergens = profile["allergens"]
    names = allergens if isinstance(allergens, list) else str(allergens).replace(",", ",").split(",")
    return Pet(
        species=str(profile["species"]).strip().lower(),
        staple=str(profile["staple_preference"]).strip().lower(),
        allergens=frozenset(n for n in (str(name).strip().lower() for name in names) if n and n not in NO_ALLERGY),
    )


NO_ALLERGY = frozenset({"none", "无", "no", "没有"})


def choose(pet: Pet, recipes: Sequence[Recipe]) -> Recipe:
    """The recipe for this pet. Raises `NoRecipe` when every recipe of its species has one of its allergens."""
    safe = [r for r in recipes if r.species == pet.species and not pet.allergens & set(r.allergens)]
    if not safe:
        raise NoRecipe(f"没有适合的配方:{pet.species},过敏原 {'、'.join(sorted(pet.allergens)) or '无'}")
    return min(safe, key=lambda r: (r.staple != pet.staple, r.place, r.code))


def ingredients(recipe: Recipe, weight_g: int, quantity: int) -> dict[str, int]:
    """Grams of each ingredient for `quantity` packs of `weight_g` grams, rounded up to whole grams."""
    return {sku: -(-int(grams) * weight_g * quantity // 1000) for sku, grams in recipe.grams_per_kg.items()}


def recipes(session: Session) -> list[Recipe]:
    """All recipes."""
    return list(session.exec(select(Recipe)))


def save_starter_recipes(session: Session) -> int:
    """Put the starter ingredients and recipes into an empty book; a book that has recipes is left alone."""
    if session.exec(select(Recipe.code)).first() is not None:
        return 0
    book = json.loads(STARTER.read_text(encoding="utf-8"))
    save_products(session, [Product(sku=i["sku"], title=i["title"], unit=Unit.GRAM.value) for i in book["ingredients"]])
    for entry in book["recipes"]:
        session.add(Recipe(**entry))
    session.flush()
    return len(book["recipes"])
