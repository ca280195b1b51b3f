"""Recipes: every pet gets one that is free of what it must not eat, or a person decides."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from integrations.sandbox.baskets import pet_answers
from integrations.sandbox.history import HistoricPet, customers
from models.product import Product, Unit
from models.recipe import (
    ALLERGENS,
    NoRecipe,
    Pet,
    ProfileIncomplete,
    Recipe,
    RecipeBook,
    choose,
    contains,
    ingredients,
    read_profile,
    save_ingredients,
    starter_recipes,
)

BOOK = RecipeBook(starter_recipes())
RECIPES = list(BOOK.recipes.values())
PETS = [pet for customer in customers().values() for pet in customer.pets]
DOG = {"species": "dog", "weight_kg": "12", "staple_preference": "dry", "allergens": ""}


def test_every_pet_of_the_history_gets_a_recipe_without_its_allergens() -> None:
    outcomes = {"recipe": 0, "none": 0}
    for pet in PETS:
        try:
            recipe = choose(read_profile(pet_answers(pet, timedelta())), BOOK)
        except NoRecipe:
            outcomes["none"] += 1
            continue
        outcomes["recipe"] += 1
        assert recipe.species == pet.species
        assert not set(pet.allergens) & contains(recipe)

    assert outcomes == {"recipe": len(PETS), "none": 0}
    assert len(PETS) > 1_500


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(PETS),
    st.lists(st.sampled_from([*ALLERGENS, *(name for names in ALLERGENS.values() for name in names)]), max_size=8),
    st.sampled_from([",", "\uff0c", "\u3001", "; ", "\uff1b", "/", "\n", " , "]),
)
def test_no_pet_ever_gets_its_allergen_however_it_is_written(
    pet: HistoricPet, allergens: list[str], separator: str
) -> None:
    answers = {**pet_answers(pet, timedelta()), "allergens": separator.join(allergens)}
    codes = {code for code, names in ALLERGENS.items() for said in allergens if said in (code, *names)}

    read = read_profile(answers)

    assert read.allergens == codes
    try:
        recipe = choose(read, BOOK)
    except NoRecipe:
        assert all(codes & contains(recipe) for recipe in RECIPES if recipe.species == pet.species)
        return
    assert not codes & contains(recipe)


def test_an_allergen_nobody_knows_is_never_passed_over() -> None:
    for unknown in ("袋鼠肉", "kangaroo", "鸡肉和牛肉", "chicken beef"):
        with pytest.raises(NoRecipe, match="不认识的过敏原"):
            choose(read_profile({**DOG, "allergens": unknown}), BOOK)


def test_a_pet_that_can_eat_nothing_of_ours_goes_to_the_nutritionist() -> None:
    with pytest.raises(NoRecipe, match="没有适合的配方:dog"):
        choose(Pet("dog", "dry", frozenset({"potato", "pumpkin"})), BOOK)
    with pytest.raises(NoRecipe, match="parrot"):
        choose(read_profile({**DOG, "species": "parrot"}), BOOK)
    with pytest.raises(NoRecipe):
        choose(read_profile(DOG), RecipeBook({**starter_recipes(), "recipes": []}))


@pytest.mark.parametrize("said", ["", "  ", "无", "没有", "None", "不过敏", "n/a", [], ["无"]])
def test_no_allergy_can_be_said_in_many_ways(said: Any) -> None:
    assert read_profile({**DOG, "allergens": said}).allergens == frozenset()


@pytest.mark.parametrize(
    ("said", "allergens"),
    [
        ("鸡肉", {"chicken"}),
        ("对鸡肉过敏", {"chicken"}),
        ("鸡肉\uff0c牛肉、三文鱼", {"chicken", "beef", "fish"}),
        ("Chicken, EGG", {"chicken", "egg"}),
        (["beef", "羊肉"], {"beef", "lamb"}),
    ],
)
def test_allergens_are_read_in_chinese_and_english(said: Any, allergens: set[str]) -> None:
    assert read_profile({**DOG, "allergens": said}).allergens == allergens


def test_chinese_answers_choose_the_same_recipe() -> None:
    chinese = {"species": "犬", "weight_kg": 12, "staple_preference": "干粮", "allergens": "鸡肉"}
    english = {**DOG, "allergens": "chicken"}

    assert choose(read_profile(chinese), BOOK).code == choose(read_profile(english), BOOK).code == "DOG-LAMB-DRY"


@pytest.mark.parametrize(
    ("profile", "missing"),
    [
        ({}, ("species", "weight_kg", "staple_preference", "allergens")),
        ({**DOG, "weight_kg": " "}, ("weight_kg",)),
        ({**DOG, "allergens": None}, ("allergens",)),
        ({**DOG, "species": None, "staple_preference": ""}, ("species", "staple_preference")),
    ],
)
def test_an_incomplete_profile_names_what_is_missing(profile: dict[str, Any], missing: tuple[str, ...]) -> None:
    with pytest.raises(ProfileIncomplete) as incomplete:
        read_profile(profile)
    assert incomplete.value.fields == missing
    assert all(name in str(incomplete.value) for name in missing)


def test_the_preferred_staple_comes_first_then_the_place() -> None:
    assert choose(Pet("dog", "wet", frozenset()), BOOK).code == "DOG-BEEF-WET"
    assert choose(Pet("dog", "wet", frozenset({"beef"})), BOOK).code == "DOG-CHICKEN-DRY"
    assert choose(Pet("cat", "dry", frozenset({"chicken", "lamb"})), BOOK).code == "CAT-HYDRO-DRY"


@pytest.mark.parametrize("recipe", RECIPES, ids=list(BOOK.recipes))
def test_the_grams_of_a_recipe_add_up_to_a_kilogram(recipe: Recipe) -> None:
    assert sum(recipe.grams_per_kg.values()) == 1_000
    assert all(isinstance(grams, int) and grams > 0 for grams in recipe.grams_per_kg.values())


@given(st.sampled_from(RECIPES), st.integers(1, 20_000), st.integers(1, 200))
def test_ingredients_weigh_what_is_made_rounded_up(recipe: Recipe, weight_g: int, quantity: int) -> None:
    grams = ingredients(recipe, weight_g, quantity)

    assert grams.keys() == recipe.grams_per_kg.keys()
    assert weight_g * quantity <= sum(grams.values()) < weight_g * quantity + len(grams)
    for sku, exact in recipe.grams_per_kg.items():
        assert 0 <= grams[sku] - exact * weight_g * quantity / 1000 < 1


def test_the_starter_recipes_bring_their_ingredients_once(session: Session) -> None:
    assert (save_ingredients(session, starter_recipes()), save_ingredients(session, starter_recipes())) == (15, 15)

    grams = set(session.exec(select(Product.sku).where(Product.unit == Unit.GRAM.value)))
    assert {sku for recipe in RECIPES for sku in recipe.grams_per_kg} <= grams
