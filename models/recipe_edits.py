"""Changes to the recipes: one more recipe or ingredient, or one less; a body goes in, a new one comes out."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from models.decision_table import TableBroken, content_of
from models.rule_columns import CHOICE
from models.rule_edits import Body, with_row, without_row
from models.rule_version import RulesRefused

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_GRAMS = re.compile(r"(.+?)[\s:=\uff1a]*(\d+(?:\.\d+)?)\s*(kg|g|克|千克|公斤)?")
_KILO = frozenset(("kg", "千克", "公斤"))


@dataclass(frozen=True)
class RecipeWish:
    """A recipe as people say it. `grams`: `鸡肉 480、大米 320` (per kilogram of food; SKU or name of the ingredient).

    `nutrients` are percent as fed, such as `{"protein": 27}`; `rank`: the lower, the sooner it is chosen.
    """

    code: str
    title: str
    species: str
    staple: str
    grams: str
    special: bool = False
    allergens: Sequence[str] = ()
    kcal_per_kg: int = 0
    nutrients: Mapping[str, float] = field(default_factory=dict)
    flags: Sequence[str] = ()
    rank: int | None = None


def with_recipe(body: Body, wish: RecipeWish, choice: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """The rules with this recipe, and with rows that choose it.

    `choice` are rows of the choice table in people's words, without the recipe; none for a new recipe is one row: its
    species and staple. A recipe of the same code is replaced, and keeps its rows. Raises `RulesRefused`.
    """
    changed = _copied(body)
    if _CODE.fullmatch(wish.code) is None:
        raise RulesRefused(f"配方编码「{wish.code[:70]}」不行:用字母、数字、点和横线,最多 64 个。没有任何改变。")
    if not wish.title.strip():
        raise RulesRefused("配方要有名称。没有任何改变。")
    species, staple = _one_of("species", wish.species), _one_of("staple", wish.staple)
    recipe = {
        "code": wish.code,
        "title": wish.title.strip(),
        "species": species,
        "staple": staple,
        "special": wish.special,
        "grams_per_kg": grams_of(changed["ingredients"], wish.grams),
        "allergens": sorted({CHOICE.inputs["allergens"].code_of(said.strip()) for said in wish.allergens}),
        "kcal_per_kg": wish.kcal_per_kg,
        "nutrients": dict(wish.nutrients),
        "flags": list(wish.flags),
    }
    known = _put(changed["recipes"], "code", recipe)
    if not known and not choice:
        choice = [{"species": species, "staple": staple}]
    for number, row in enumerate(choice, 1):
        rank = wish.rank if wish.rank is not None else _last_rank(changed) + 10
        cells = {"rank": str(rank), **row, "recipe": wish.code}
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
    body: Body, sku: str, title: str, allergens: Sequence[str] = (), price_fen_per_kg: int | None = None
) -> dict[str, Any]:
    """The rules with this ingredient; one of the same SKU is replaced. Allergens by code or name. `RulesRefused`."""
    changed = _copied(body)
    if _CODE.fullmatch(sku) is None or not title.strip():
        raise RulesRefused("食材要有编码(字母、数字、点和横线,最多 64 个)和名称。没有任何改变。")
    codes = sorted({CHOICE.inputs["allergens"].code_of(said.strip()) for said in allergens if said.strip()})
    ingredient: dict[str, Any] = {"sku": sku, "title": title.strip(), "allergens": codes}
    if price_fen_per_kg is not None:
        ingredient["price_fen_per_kg"] = price_fen_per_kg
    _put(changed["ingredients"], "sku", ingredient)
    return changed


def grams_of(ingredients: Sequence[Mapping[str, Any]], said: str) -> dict[str, int]:
    """SKU → grams in a kilogram of food, of `鸡肉 480、大米 0.32kg`. Raises `RulesRefused`."""
    known = {str(one["title"]): str(one["sku"]) for one in ingredients} | {
        str(one["sku"]): str(one["sku"]) for one in ingredients
    }
    grams: dict[str, int] = {}
    for part in re.split(r"[、,;\n\uff0c\uff1b]", said):
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


def _put(entries: list[dict[str, Any]], key: str, entry: dict[str, Any]) -> bool:
    """Replace the entry of the same key, or add it; whether it was there. What it does not say of itself stays."""
    for at, old in enumerate(entries):
        if old.get(key) == entry[key]:
            entries[at] = {**old, **entry}
            return True
    entries.append(entry)
    return False


def _last_rank(body: Body) -> int:
    content = content_of(body["choice"])
    rank = next((column.id for column in content.outputs if column.field == "rank"), "")
    said = [row.cells.get(rank, "") for row in content.rows]
    return max((int(number) for number in said if number.isdecimal()), default=0)


def _some(entries: Sequence[Mapping[str, Any]], key: str) -> str:
    return "、".join(str(entry.get(key)) for entry in entries[:60])
