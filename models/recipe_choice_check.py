"""Whether the table that chooses recipes is fit to choose: what its rows name, and what each kind of pet would get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from models.decision_table import DecisionTable, TableBroken, content_of, table_of
from models.recipe import ALLERGENS, FACTS, SPECIES, STAPLES, NoRecipe, Pet, RecipeBook, choose, contains
from models.table_cell import read_cell
from models.table_check import Problem, check_table
from models.table_column import Kind, TableColumn, TableColumns

#: What an ordinary pet of a species weighs, in kg.
_USUAL_KG = {"dog": 10.0, "cat": 4.0}
_OLDEST_MONTHS = 480


def _chosen(fact: str, words: Mapping[str, str], optional: bool = True, kind: Kind = Kind.TEXT) -> TableColumn:
    return TableColumn(FACTS[fact], kind, words, closed=True, optional=optional)


#: The facts of a pet, and what they may be.
_FACTS = {
    "species": _chosen("species", {code: names[0] for code, names in SPECIES.items()}, optional=False),
    "staple": _chosen("staple", {code: names[0] for code, names in STAPLES.items()}),
    "weight_kg": TableColumn(FACTS["weight_kg"], Kind.NUMBER, optional=True, least=0),
    "age_months": TableColumn(FACTS["age_months"], Kind.NUMBER, optional=True, least=0, most=_OLDEST_MONTHS, step=1),
    "breed": TableColumn(FACTS["breed"], Kind.TEXT, optional=True),
    "activity_level": _chosen("activity_level", {"low": "低", "medium": "中", "high": "高"}),
    "neutered": TableColumn(FACTS["neutered"], Kind.YES_NO, optional=True),
    "body_condition": _chosen("body_condition", {"underweight": "偏瘦", "ideal": "正常", "overweight": "偏胖"}),
    "health_notes": TableColumn(FACTS["health_notes"], Kind.TEXT),
    "allergens": _chosen("allergens", {code: names[0] for code, names in ALLERGENS.items()}, False, Kind.LIST),
}


def columns_for(titles: Mapping[str, str]) -> TableColumns:
    """What the table may ask for, and put out: one of these recipes (code → title), and its rank."""
    outputs = {
        "recipe": TableColumn("配方", Kind.TEXT, titles, closed=True),
        "rank": TableColumn("次序", Kind.NUMBER),
    }
    return TableColumns(_FACTS, outputs)


def check_choice(choice: object, recipes: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Everything that is wrong with the table that chooses among these recipes. Never raises."""
    titles = {recipe["code"]: str(recipe.get("title")) for recipe in recipes}
    try:
        if not content_of(choice).collects:
            return [Problem("选配方", "要收集所有符合的行(hitPolicy: collect),否则第一个有过敏原时就没有别的可选")]
    except TableBroken as broken:
        return [Problem("选配方", str(broken))]
    wrong = check_table(choice, columns_for(titles))
    if wrong:
        return [Problem(f"选配方{problem.where.removeprefix('决策表')}", problem.why) for problem in wrong]
    content = table_of(choice)
    species = {recipe["code"]: str(recipe.get("species")) for recipe in recipes}
    found = []
    for number, rule, codes in _rows(choice, species):
        for code in sorted(codes):
            if not _may_be(species[code], rule, content):
                animal = _title(species[code])
                found.append(Problem(f"选配方第 {number} 行", f"{code} 是给{animal}的,这一行却不会用于{animal}"))
    return found


def _rows(choice: object, codes: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any], set[str]]]:
    """Each row with its number, and the recipes that it names."""
    content, known = content_of(choice), set(codes)
    column = next(output.id for output in content.outputs if output.field == "recipe")
    for row, rule in zip(content.rows, table_of(choice)["rules"], strict=True):
        yield row.number, rule, known & set(read_cell(row.cells.get(column, "")).texts)


def _may_be(species: str, rule: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    """Whether the row's cells on the species let this one pass, whatever its other cells ask."""
    asked = [each for each in content["inputs"] if each.get("field") == "species"]
    alone = {"hitPolicy": "collect", "inputs": asked, "outputs": [], "rules": [rule]}
    try:
        table = DecisionTable({"nodes": [{"type": "decisionTableNode", "content": alone}]})
        return bool(table.matches({"species": species}))
    except TableBroken:
        return True  # it asks for more than the species


def unused(choice: Mapping[str, Any], codes: Sequence[str]) -> list[Problem]:
    """The recipes that no row names."""
    named = {code for _, _, some in _rows(choice, codes) for code in some}
    return [Problem(f"配方 {code}", "没有一条规则会选它,只有审核人能指定") for code in codes if code not in named]


def pets_of_every_kind() -> Iterator[Pet]:
    """Pets of each species and staple, without an allergy and with each single one; described fully, and barely."""
    for species in SPECIES:
        for staple in STAPLES:
            for allergens in (frozenset[str](), *(frozenset((name,)) for name in ALLERGENS)):
                yield _described(species, staple, allergens)
                yield Pet(species, staple, allergens)


def slips(book: RecipeBook) -> list[Problem]:
    """Kinds of pets that would be given what they must not have, or for which the choice breaks; none is to be."""
    found = []
    for pet in pets_of_every_kind():
        try:
            recipe = choose(pet, book)
        except NoRecipe:
            continue
        except TableBroken as broken:
            return [Problem("选配方", str(broken))]
        if inside := pet.allergens & contains(recipe):
            found.append(Problem(f"配方 {recipe.code}", f"会给对{ALLERGENS[min(inside)][0]}过敏的宠物"))
    return found


def without_recipe(book: RecipeBook) -> list[Problem]:
    """Species and single allergens for which no recipe is left, of ordinary pets: those orders go to a person."""
    found = []
    for species in SPECIES:
        for allergen in ("", *ALLERGENS):
            allergens = frozenset({allergen} - {""})
            lacking = [staple for staple in STAPLES if not _gets_one(_described(species, staple, allergens), book)]
            if lacking:
                found.append(Problem("选配方", _lacks(species, allergen, lacking)))
    return found


def _described(species: str, staple: str, allergens: frozenset[str]) -> Pet:
    return Pet(
        species,
        staple,
        allergens,
        weight_kg=_USUAL_KG[species],
        activity_level="medium",
        neutered=True,
        body_condition="ideal",
    )


def _gets_one(pet: Pet, book: RecipeBook) -> bool:
    try:
        choose(pet, book)
    except NoRecipe:
        return False
    return True


def _lacks(species: str, allergen: str, staples: Sequence[str]) -> str:
    who = f"{_title(species)},{f'对{ALLERGENS[allergen][0]}过敏' if allergen else '不过敏'}"
    which = "" if len(staples) == len(STAPLES) else f"(主食偏好 {'、'.join(STAPLES[name][0] for name in staples)})"
    return f"{who}{which}:没有配方,订单会交给人决定"


def _title(species: str) -> str:
    return SPECIES[species][0] if species in SPECIES else species
