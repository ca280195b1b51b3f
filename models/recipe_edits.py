"""Changes to the recipes: one more recipe or ingredient, or one less; a body goes in, a new one comes out."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from models.decision_table import TableBroken, content_of
from models.recipe import NO_ALLERGY
from models.recipe_check import NUTRIENTS
from models.rule_columns import CHOICE
from models.rule_edits import Body, column_meant, raw_content, said_twice, with_row, without_row
from models.rule_version import RulesRefused

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_GRAMS = re.compile(r"(.+?)[\s:=\uff1a]*(\d+(?:\.\d+)?)\s*(kg|g|克|千克|公斤)?")
_PERCENT = re.compile(r"(\S+?)\s*(\d{1,3}(?:\.\d{1,4})?)\s*%?")
_BETWEEN = re.compile(r"[、,;\n\uff0c\uff1b]")
_KILO = frozenset(("kg", "千克", "公斤"))


@dataclass(frozen=True)
class RecipeWish:
    """A recipe as people say it. `grams`: `鸡肉 480、大米 320` (per kilogram of food; SKU or name of the ingredient).

    `nutrients` are percent as fed, such as `{"protein": 27}`; `rank`: the lower, the sooner it is chosen. None is not
    said: a recipe that is there keeps what it has. Of nutrients, those that are not named stay; `{}` is none at all.
    """

    code: str
    title: str
    species: str
    staple: str
    grams: str
    special: bool | None = None
    allergens: Sequence[str] | None = None
    kcal_per_kg: int | None = None
    nutrients: Mapping[str, float] | None = None
    flags: Sequence[str] | None = None
    rank: int | None = None


def with_recipe(body: Body, wish: RecipeWish, choice: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """The rules with this recipe, and with rows that choose it.

    `choice` are rows of the choice table in people's words, without the recipe; where they say no species or staple, it
    is the recipe's (an empty staple: whatever the staple). None for a new recipe is one row. A recipe of the same code
    is replaced, and keeps its rows, and what the wish does not say. Raises `RulesRefused`.
    """
    changed = _copied(body)
    if _CODE.fullmatch(wish.code) is None:
        raise RulesRefused(f"配方编码「{wish.code[:70]}」不行:用字母、数字、点和横线,最多 64 个。没有任何改变。")
    if not wish.title.strip():
        raise RulesRefused("配方要有名称。没有任何改变。")
    species, staple = _one_of("species", wish.species), _one_of("staple", wish.staple)
    recipe: dict[str, Any] = {
        "code": wish.code,
        "title": wish.title.strip(),
        "species": species,
        "staple": staple,
        "special": wish.special,
        "grams_per_kg": grams_of(changed["ingredients"], wish.grams),
        "allergens": None if wish.allergens is None else _codes(wish.allergens),
        "kcal_per_kg": wish.kcal_per_kg,
        "nutrients": None if wish.nutrients is None else dict(wish.nutrients),
        "flags": None if wish.flags is None else list(wish.flags),
    }
    old: Body = next((one for one in changed["recipes"] if one.get("code") == wish.code), {})
    if wish.nutrients and isinstance(old.get("nutrients"), Mapping):
        recipe["nutrients"] = {**old["nutrients"], **wish.nutrients}
    known = _put(changed["recipes"], "code", recipe, {"special": False, "allergens": [], "nutrients": {}, "flags": []})
    if not known and not choice:
        choice = [{}]
    for number, row in enumerate(choice, 1):
        rank = wish.rank if wish.rank is not None else _last_rank(changed) + 10
        usual = {"species": species, "staple": staple, "rank": str(rank)}
        cells = {**usual, **_by_field(changed, row), "recipe": wish.code}
        changed = with_row(changed, CHOICE, cells, name=wish.code if number == 1 else f"{wish.code}-{number}")
    return changed


def without_recipe(body: Body, code: str) -> dict[str, Any]:
    """The rules without this recipe and the rows that choose it. Raises `RulesRefused`."""
    changed = _copied(body)
    kept = [recipe for recipe in changed["recipes"] if recipe.get("code") != code]
    if len(kept) == len(changed["recipes"]):
        raise RulesRefused(f"没有配方「{code}」:有 {_some(changed['recipes'], 'code')}。没有任何改变。")
    changed["recipes"] = kept
    content = content_of(changed["choice"])
    chosen = next((column.id for column in content.outputs if column.field == "recipe"), "")
    for row in content.rows:
        if row.cells.get(chosen) in (f'"{code}"', f"'{code}'"):
            changed = without_row(changed, CHOICE, row.id)
    return changed


def with_ingredient(
    body: Body, sku: str, title: str, allergens: Sequence[str] | None = None, price_fen_per_kg: int | None = None
) -> dict[str, Any]:
    """The rules with this ingredient; one of the same SKU is replaced, and keeps what is not said (None).

    Allergens by code or name; none at all (`[]`) is a statement, too. Raises `RulesRefused`.
    """
    changed = _copied(body)
    if _CODE.fullmatch(sku) is None or not title.strip():
        raise RulesRefused("食材要有编码(字母、数字、点和横线,最多 64 个)和名称。没有任何改变。")
    codes = None if allergens is None else _codes(allergens)
    ingredient = {"sku": sku, "title": title.strip(), "allergens": codes, "price_fen_per_kg": price_fen_per_kg}
    _put(changed["ingredients"], "sku", ingredient)
    return changed


def list_said(said: str) -> list[str] | None:
    """What a field or an option says of a list such as `鸡肉、鱼肉`: None for nothing, empty for `无`."""
    words = [word.strip() for word in _BETWEEN.split(said) if word.strip()]
    if not words:
        return None
    return [] if all(word.lower() in NO_ALLERGY for word in words) else words


def nutrients_of(said: str) -> dict[str, float] | None:
    """Percent by code, of `粗蛋白 11、粗脂肪 4.5`; None for nothing, empty for `无`. Raises `RulesRefused`."""
    words = list_said(said)
    if words is None:
        return None
    codes = {name: code for code, name in NUTRIENTS.items()}
    found: dict[str, float] = {}
    for word in words:
        read = _PERCENT.fullmatch(word)
        if read is None or read[1] not in codes:
            raise RulesRefused(f"营养成分「{word[:60]}」读不懂:可以写 {'、'.join(codes)}。没有任何改变。")
        found[codes[read[1]]] = float(read[2])
    return found


def grams_of(ingredients: Sequence[Mapping[str, Any]], said: str) -> dict[str, int]:
    """SKU → grams in a kilogram of food, of `鸡肉 480、大米 0.32kg`. Raises `RulesRefused`."""
    known = {str(one["title"]): str(one["sku"]) for one in ingredients} | {
        str(one["sku"]): str(one["sku"]) for one in ingredients
    }
    grams: dict[str, int] = {}
    for part in _BETWEEN.split(said):
        if not part.strip():
            continue
        found = _GRAMS.fullmatch(part.strip())
        sku = known.get(found[1].strip()) if found else None
        if found is None or sku is None:
            there = _some(ingredients, "title")
            raise RulesRefused(f"「{part.strip()[:60]}」读不懂:写食材和克数,如 鸡肉 480;有 {there}。没有任何改变。")
        amount = Decimal(found[2]) * (1000 if found[3] in _KILO else 1)
        if amount != int(amount) or sku in grams:
            raise RulesRefused(f"「{part.strip()[:60]}」:克数要是整数,一种食材只写一次。没有任何改变。")
        grams[sku] = int(amount)
    if not grams:
        raise RulesRefused("配方要写出每千克用哪些食材、各多少克,如 鸡肉 480、大米 320。没有任何改变。")
    return grams


def _copied(body: Body) -> dict[str, Any]:
    changed = copy.deepcopy(dict(body))
    try:
        content_of(changed.get("choice"))
        whole = all(isinstance(changed.get(part), list) for part in ("ingredients", "recipes"))
    except TableBroken:
        whole = False
    if not whole:
        raise RulesRefused("这份配方不完整(要有 ingredients、recipes、choice):请先导入一份好的。没有任何改变。")
    return changed


def _one_of(fact: str, said: str) -> str:
    column = CHOICE.inputs[fact]
    code = column.code_of(said.strip())
    if code not in column.names:
        there = "、".join(names[0] for names in column.names.values())
        raise RulesRefused(f"「{column.name}」没有「{said}」:可以写 {there}。没有任何改变。")
    return code


def _by_field(body: Body, row: Mapping[str, str]) -> dict[str, str]:
    """A row of the choice by the fields of its columns. Raises `RulesRefused`."""
    said: dict[str, str] = {}
    for heading, cell in row.items():
        column = column_meant(CHOICE, raw_content(body[CHOICE.key]), heading.strip())
        if column.field in said:
            raise RulesRefused(said_twice(column))
        said[column.field] = cell
    return said


def _codes(allergens: Sequence[str]) -> list[str]:
    return sorted({CHOICE.inputs["allergens"].code_of(said.strip()) for said in allergens if said.strip()})


def _put(entries: list[dict[str, Any]], key: str, entry: Mapping[str, Any], new: Body | None = None) -> bool:
    """Replace the entry of the same key, or add it; whether it was there. What is None stays, in a new one as `new`."""
    said = {name: value for name, value in entry.items() if value is not None}
    for at, old in enumerate(entries):
        if old.get(key) == entry[key]:
            entries[at] = {**old, **said}
            return True
    entries.append({**(new or {}), **said})
    return False


def _last_rank(body: Body) -> int:
    content = content_of(body["choice"])
    rank = next((column.id for column in content.outputs if column.field == "rank"), "")
    said = [row.cells.get(rank, "") for row in content.rows]
    return max((int(number) for number in said if number.isdecimal()), default=0)


def _some(entries: Sequence[Mapping[str, Any]], key: str) -> str:
    return "、".join(str(entry.get(key)) for entry in entries[:60])
