"""Recipes: every pet gets one that is free of what it must not eat, or a person decides."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from integrations.sandbox.baskets import pet_answers
from integrations.sandbox.history import HistoricPet, customers
from models.decision_table import TableBroken
from models.order_form import OrderForm, starter_form
from models.product import Product, Unit
from models.recipe import (
    ALLERGENS,
    FACTS,
    NoRecipe,
    Pet,
    ProfileIncomplete,
    Recipe,
    RecipeBook,
    age_months,
    choose,
    contains,
    ingredients,
    pet_of,
    save_ingredients,
    starter_recipes,
)
from tests.models.recipe_bodies import a_book, a_recipe

BOOK = RecipeBook(starter_recipes())
RECIPES = list(BOOK.recipes.values())
PETS = [pet for customer in customers().values() for pet in customer.pets]
FORM = OrderForm(starter_form())
NOW = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)
TODAY = date(2026, 11, 11)
DOG = {"species": "dog", "weight_kg": "12", "staple_preference": "dry", "allergens": "无"}


def read_pet(answers: dict[str, Any]) -> Pet:
    """The pet in what a customer answered, read by the order form."""
    return pet_of(FORM.check(answers, NOW).values)


def test_every_pet_of_the_history_gets_a_recipe_without_its_allergens() -> None:
    outcomes = {"recipe": 0, "none": 0}
    for pet in PETS:
        try:
            recipe = choose(read_pet(pet_answers(pet, timedelta())), BOOK)
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
    answers = {**pet_answers(pet, timedelta()), "allergens": separator.join(allergens) or "无"}
    codes = {code for code, names in ALLERGENS.items() for said in allergens if said in (code, *names)}

    read = read_pet(answers)

    assert read.allergens == codes
    try:
        recipe = choose(read, BOOK)
    except NoRecipe:
        assert all(codes & contains(recipe) for recipe in RECIPES if recipe.species == pet.species)
        return
    assert not codes & contains(recipe)


def test_an_allergen_nobody_knows_is_never_passed_over() -> None:
    for unknown in ("袋鼠肉", "kangaroo", "鸡肉和袋鼠肉", "chicken kangaroo"):
        with pytest.raises(NoRecipe, match="不认识的过敏原"):
            choose(read_pet({**DOG, "allergens": unknown}), BOOK)


def test_a_pet_that_can_eat_nothing_of_ours_goes_to_the_nutritionist() -> None:
    with pytest.raises(NoRecipe, match="没有适合的配方:犬"):
        choose(Pet("dog", "dry", frozenset({"potato", "pumpkin"})), BOOK)
    with pytest.raises(NoRecipe, match="parrot"):
        choose(Pet("parrot", "dry", frozenset()), BOOK)
    with pytest.raises(NoRecipe):
        choose(read_pet(DOG), RecipeBook({**starter_recipes(), "recipes": []}))


@pytest.mark.parametrize("said", ["无", "没有", "None", "不过敏", "n/a", [], ["无"]])
def test_no_allergy_can_be_said_in_many_ways(said: Any) -> None:
    assert read_pet({**DOG, "allergens": said}).allergens == frozenset()


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
    assert read_pet({**DOG, "allergens": said}).allergens == allergens


def test_chinese_answers_choose_the_same_recipe() -> None:
    chinese = {"species": "犬", "weight_kg": 12, "staple_preference": "干粮", "allergens": "鸡肉"}
    english = {**DOG, "allergens": "chicken"}

    assert choose(read_pet(chinese), BOOK).code == choose(read_pet(english), BOOK).code == "DOG-LAMB-DRY"


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


ANSWERS = {
    "species": "dog",
    "breed": "corgi",
    "birth_date": "2024-11-12",
    "weight_kg": 12,
    "activity_level": "high",
    "staple_preference": "wet",
    "allergens": ["鸡肉", "Beef"],
    "neutered": False,
    "body_condition": "ideal",
    "health_notes": "肠胃敏感",
}


def test_the_answers_of_the_form_are_the_pet_and_its_facts() -> None:
    pet = pet_of(ANSWERS)

    assert pet.facts(TODAY) == {
        "species": "dog",
        "staple": "wet",
        "weight_kg": 12.0,
        "age_months": 23,
        "breed": "corgi",
        "activity_level": "high",
        "neutered": False,
        "body_condition": "ideal",
        "health_notes": "肠胃敏感",
        "allergens": ["beef", "chicken"],
    }
    assert pet.facts(TODAY).keys() == FACTS.keys()


def test_what_was_not_answered_is_null_and_no_age_is_known_without_a_day() -> None:
    facts = pet_of({"species": "cat", "allergens": []}).facts(TODAY)

    assert {name for name, value in facts.items() if value is None} == FACTS.keys() - {
        "species",
        "health_notes",
        "allergens",
    }
    assert pet_of(ANSWERS).facts()["age_months"] is None


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, ("species", "allergens")),
        ({"species": "dog"}, ("allergens",)),
        ({"species": "dog", "allergens": None}, ("allergens",)),
        ({"species": "", "allergens": []}, ("species",)),
        ({"species": ["dog"], "allergens": True}, ("species", "allergens")),
    ],
)
def test_no_pet_is_read_without_its_species_or_an_answer_about_allergens(
    values: dict[str, Any], missing: tuple[str, ...]
) -> None:
    with pytest.raises(ProfileIncomplete) as incomplete:
        pet_of(values)
    assert incomplete.value.fields == missing


@pytest.mark.parametrize(
    ("question", "said", "fact", "value"),
    [
        ("birth_date", "3岁", "age_months", None),
        ("birth_date", ["2024-11-12"], "age_months", None),
        ("birth_date", 3, "age_months", None),
        ("birth_date", datetime(2024, 11, 11, 9), "age_months", 24),
        ("weight_kg", "12公斤", "weight_kg", None),
        ("weight_kg", True, "weight_kg", None),
        ("weight_kg", 10**400, "weight_kg", None),
        ("weight_kg", float("nan"), "weight_kg", None),
        ("neutered", "已绝育", "neutered", None),
        ("activity_level", ["high"], "activity_level", None),
        ("body_condition", 3, "body_condition", None),
        ("staple_preference", True, "staple", None),
        ("breed", ["corgi"], "breed", None),
        ("health_notes", ["肾病", "在吃药"], "health_notes", "肾病、在吃药"),
        ("health_notes", False, "health_notes", ""),
    ],
    ids=range(15),
)
def test_an_answer_of_another_kind_stops_no_order(question: str, said: Any, fact: str, value: object) -> None:
    assert pet_of({**ANSWERS, question: said}).facts(TODAY)[fact] == value


def test_allergens_in_answers_are_ours_by_any_name_and_never_letters_of_a_word() -> None:
    said = {"species": "dog", "allergens": ["三文鱼", " SALMON ", "none", "袋鼠肉"]}

    assert pet_of(said).allergens == {"fish", "袋鼠肉"}
    assert pet_of({**said, "allergens": "牛奶"}).allergens == {"dairy"}


@pytest.mark.parametrize(
    ("born", "months"),
    [
        (date(2026, 11, 11), 0),
        (date(2026, 10, 12), 0),
        (date(2026, 10, 11), 1),
        (date(2025, 11, 11), 12),
        (date(2026, 11, 12), None),
        (None, None),
    ],
)
def test_age_is_counted_in_whole_months(born: date | None, months: int | None) -> None:
    assert age_months(born, TODAY) == months


def test_a_puppy_gets_what_the_table_says_for_its_age_weight_and_health() -> None:
    book = RecipeBook(
        a_book(
            [a_recipe("ADULT"), a_recipe("PUPPY"), a_recipe("GUT")],
            [
                {"species": '"dog"', "recipe": '"ADULT"', "rank": "50"},
                {"age_months": "< 12", "weight_kg": "[1..20]", "recipe": '"PUPPY"', "rank": "20"},
                {"health_notes": 'contains($, "肠胃")', "recipe": '"GUT"', "rank": "10"},
            ],
            {},
        )
    )
    puppy = Pet("dog", "dry", frozenset(), weight_kg=5, birth_date=date(2026, 3, 1))
    grown = Pet("dog", "dry", frozenset(), weight_kg=5, birth_date=date(2020, 3, 1))
    unwell = Pet("dog", "dry", frozenset(), weight_kg=5, birth_date=date(2020, 3, 1), health_notes="肠胃敏感")

    assert [choose(pet, book, TODAY).code for pet in (puppy, grown, unwell)] == ["PUPPY", "ADULT", "GUT"]


def test_a_cell_on_what_was_not_answered_does_not_hold_unless_it_asks_for_just_that() -> None:
    rows = [
        {"weight_kg": "> 5", "recipe": '"HEAVY"', "rank": "1"},
        {"age_months": "[0..12]", "recipe": '"YOUNG"', "rank": "2"},
        {"breed": "null", "recipe": '"NOBODY-KNOWS"', "rank": "3"},
        {"species": '"dog"', "recipe": '"ANY"', "rank": "4"},
    ]
    recipes = [a_recipe(code) for code in ("HEAVY", "YOUNG", "NOBODY-KNOWS", "ANY")]
    book = RecipeBook(a_book(recipes, rows, {}))

    named = [recipe.code for recipe in book.candidates(Pet("dog", "dry", frozenset()).facts(TODAY))]

    assert named == ["NOBODY-KNOWS", "ANY"]


def test_a_rank_that_is_no_number_breaks_the_table() -> None:
    book = RecipeBook(a_book([a_recipe("A")], [{"recipe": '"A"', "rank": '"first"'}], {}))

    with pytest.raises(TableBroken, match="次序不是数字"):
        choose(Pet("dog", "dry", frozenset()), book)


def test_what_a_kilogram_costs_is_the_sum_of_its_ingredients() -> None:
    # in yuan: 0.48 × 16 + 0.32 × 5.20 + 0.12 × 3.20 + 0.04 × 24 + 0.04 × 48 = 12.608
    assert BOOK.cost_fen("DOG-CHICKEN-DRY", 1_000) == 1_261
    assert BOOK.cost_fen("DOG-CHICKEN-DRY", 0) == 0
    assert RecipeBook(a_book([a_recipe("A")], [], {})).cost_fen("A", 1_000) is None
