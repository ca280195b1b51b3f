"""Recipes as pages of a workbook: recipes with a column for each ingredient, the ingredients, and the choice."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from integrations.spreadsheets.rules_book import Grid, Line, Page, Value, as_read
from integrations.spreadsheets.rules_table_page import read_table_page, table_page
from models.recipe_check import NUTRIENTS
from models.recipe_edits import list_said
from models.rule_columns import CHOICE, Column

Entry = Mapping[str, Any]

RECIPES, INGREDIENTS = "配方", "食材"
CODE, TITLE, SPECIES, STAPLE, SPECIAL = "配方编码", "名称", "物种", "主食", "特殊配方"
ALLERGENS, KCAL, FLAGS = "过敏原", "千卡/kg", "标记"
SKU, PRICE = "食材编码", "价格(元/kg)"
_FIXED = (CODE, TITLE, SPECIES, STAPLE, SPECIAL, ALLERGENS, KCAL, FLAGS)
_GRAMS = "(克/kg)"
_YES = {"是": True, "true": True, "yes": True, "否": False, "false": False, "no": False, "": False}
_NUTRIENT_HEADERS = {f"{name}(%)": code for code, name in NUTRIENTS.items()}


def recipe_pages(body: Entry) -> list[Page]:
    """The three pages of these recipes. Raises `TableBroken`, `KeyError`, `TypeError` for what has problems."""
    skus = _columns_of(body["ingredients"])
    shown = [_recipe_cells(recipe, skus) for recipe in body["recipes"]]
    header = [*_FIXED, *_NUTRIENT_HEADERS, *skus.values()]
    ingredients = [_ingredient_cells(one) for one in body["ingredients"]]
    return [
        Page(RECIPES, header, [[cells.get(title, "") for title in header] for cells in shown]),
        Page(INGREDIENTS, [SKU, TITLE, ALLERGENS, PRICE], [list(cells.values()) for cells in ingredients]),
        table_page(CHOICE, body[CHOICE.key]),
    ]


def read_recipe_pages(grids: Mapping[str, Grid], base: Entry) -> dict[str, Any]:
    """The recipes that these pages say, where `base` are those that they were made of. Raises `SheetWrong`."""
    body = copy.deepcopy(dict(base))
    body["ingredients"] = _read(grids[INGREDIENTS], SKU, "sku", base["ingredients"], _ingredient_cells, _INGREDIENT)
    skus = _columns_of(body["ingredients"])
    old = _columns_of(base["ingredients"])
    grid = grids[RECIPES]
    by_header = {header: sku for part in (old, skus) for sku, header in part.items() if sku in skus}
    by_header |= {str(one["title"]): str(one["sku"]) for one in body["ingredients"] if one["title"] not in _FIXED}
    by_header |= {sku: sku for sku in skus}
    for header in grid.header:
        if header not in _FIXED and header not in _NUTRIENT_HEADERS and header not in by_header:
            raise grid.wrong(f"不认识列「{header}」:食材的列用它在「{INGREDIENTS}」表里的名称或编码。", 1)
    grams = {header: by_header[header] for header in grid.header if header in by_header}
    body["recipes"] = _read(
        grid,
        CODE,
        "code",
        base["recipes"],
        lambda recipe: _recipe_cells(recipe, old),
        {**_RECIPE, **{header: _part("nutrients", code) for header, code in _NUTRIENT_HEADERS.items()}},
        {header: _part("grams_per_kg", sku, whole=True) for header, sku in grams.items()},
    )
    given_up = old.keys() - grams.values()  # a column that was taken away
    for recipe in body["recipes"]:
        left = {sku: grams for sku, grams in recipe["grams_per_kg"].items() if sku not in given_up}
        recipe["grams_per_kg"] = left
    body[CHOICE.key] = read_table_page(CHOICE, grids[CHOICE.name], base[CHOICE.key])
    return body


def _columns_of(ingredients: Sequence[Entry]) -> dict[str, str]:
    """SKU → header of its column: its name, or its SKU where the name is another's too."""
    titles = [as_read(str(one["title"])) for one in ingredients]
    return {
        str(one["sku"]): (title if titles.count(title) == 1 else str(one["sku"])) + _GRAMS
        for one, title in zip(ingredients, titles, strict=True)
    }


def _recipe_cells(recipe: Entry, skus: Mapping[str, str]) -> dict[str, Value]:
    cells: dict[str, Value] = {
        CODE: recipe["code"],
        TITLE: recipe["title"],
        SPECIES: CHOICE.inputs["species"].word_of(str(recipe["species"])),
        STAPLE: CHOICE.inputs["staple"].word_of(str(recipe["staple"])),
        SPECIAL: "是" if recipe.get("special") else "否",
        ALLERGENS: _words(recipe.get("allergens", ())),
        KCAL: recipe.get("kcal_per_kg", ""),
        FLAGS: "、".join(map(str, recipe.get("flags", ()))),
    }
    nutrients = recipe.get("nutrients", {})
    cells |= {header: nutrients[code] for header, code in _NUTRIENT_HEADERS.items() if code in nutrients}
    return cells | {skus[sku]: grams for sku, grams in recipe["grams_per_kg"].items() if sku in skus}


def _ingredient_cells(one: Entry) -> dict[str, Value]:
    price = one.get("price_fen_per_kg")
    return {
        SKU: one["sku"],
        TITLE: one["title"],
        ALLERGENS: _words(one.get("allergens", ())),
        PRICE: "" if price is None else _number(str(Decimal(str(price)) / 100)),
    }


def _words(allergens: Sequence[str]) -> str:
    return "、".join(CHOICE.inputs["allergens"].word_of(str(one)) for one in allergens)


#: Puts what a cell says into an entry; raises `ValueError` with the reason.
Put = Callable[[dict[str, Any], str], None]


def _read(
    grid: Grid,
    header: str,
    key: str,
    base: Sequence[Entry],
    shown: Callable[[Entry], Mapping[str, Value]],
    puts: Mapping[str, Put],
    more: Mapping[str, Put] | None = None,
) -> list[dict[str, Any]]:
    """The entries that a page says: an unchanged cell stays as it was in the entry of the same key."""
    puts = {**puts, **(more or {})}
    if header not in grid.header:
        raise grid.wrong(f"缺少列「{header}」:表头要在第一行。")
    if strange := [title for title in grid.header if title not in puts and title != header]:
        raise grid.wrong(f"不认识列「{strange[0]}」:可以用 {'、'.join([header, *puts])}。", 1)
    old = {as_read(str(entry[key])): entry for entry in base}
    found: dict[str, dict[str, Any]] = {}
    for line in grid.lines:
        name = line.cells.get(header, "")
        if not name or name in found:
            raise grid.wrong("没有填。" if not name else f"「{name}」用了不止一次。", line.number, header)
        before = old.get(name)
        entry = copy.deepcopy(dict(before)) if before is not None else {key: name}
        was = {title: _said(value) for title, value in shown(before).items()} if before is not None else None
        _fill(grid, line, entry, was, puts)
        found[name] = entry
    if not found:
        raise grid.wrong("没有一行内容。")
    return list(found.values())


def _fill(
    grid: Grid, line: Line, entry: dict[str, Any], was: Mapping[str, str] | None, puts: Mapping[str, Put]
) -> None:
    for title, put in puts.items():
        said = line.cells.get(title, "")
        if was is not None and (title not in grid.header or said == was.get(title, "")):
            continue
        try:
            put(entry, said)
        except ValueError as why:
            raise grid.wrong(f"{why}。", line.number, title) from None


def _said(value: Value) -> str:
    """A cell as it is read again."""
    if isinstance(value, float):
        return _number(repr(value))
    return "" if value is None else as_read(str(value))


def _number(said: str) -> str:
    return said.rstrip("0").rstrip(".") if "." in said and "e" not in said else said


def _text(key: str) -> Put:
    def put(entry: dict[str, Any], said: str) -> None:
        if not said:
            raise ValueError("没有填")
        entry[key] = said

    return put


def _choice(key: str, column: Column) -> Put:
    def put(entry: dict[str, Any], said: str) -> None:
        code = column.code_of(said)
        if code not in column.names:
            raise ValueError(f"没有「{said}」,可以写 {'、'.join(names[0] for names in column.names.values())}")
        entry[key] = code

    return put


def _yes_no(key: str) -> Put:
    def put(entry: dict[str, Any], said: str) -> None:
        if said.lower() not in _YES:
            raise ValueError(f"「{said}」应写 是 或 否")
        entry[key] = _YES[said.lower()]

    return put


def _list(key: str) -> Put:
    def put(entry: dict[str, Any], said: str) -> None:
        entry[key] = [one.strip() for one in re.split(r"[、,;\uff0c\uff1b]", said) if one.strip()]

    return put


def _allergens(entry: dict[str, Any], said: str) -> None:
    """An empty cell says nothing, and 无 that there are none: `check_recipes` tells the two apart."""
    words = list_said(said)
    entry.pop("allergens", None)
    if words is not None:
        entry["allergens"] = [CHOICE.inputs["allergens"].code_of(word) for word in words]


def _amount(said: str, *, whole: bool) -> int | float:
    try:
        amount = Decimal(said.replace(",", ""))
    except InvalidOperation:
        raise ValueError(f"「{said}」应为一个数") from None
    if not amount.is_finite() or abs(amount) > 10**9 or (whole and amount != int(amount)):
        raise ValueError(f"「{said}」应为{'整数' if whole else '一个数'}")
    return int(amount) if amount == int(amount) else float(amount)


def _whole(key: str) -> Put:
    def put(entry: dict[str, Any], said: str) -> None:
        entry[key] = _amount(said, whole=True) if said else 0

    return put


def _price(entry: dict[str, Any], said: str) -> None:
    if not said:
        entry.pop("price_fen_per_kg", None)
        return
    try:
        fen = Decimal(said.replace(",", "")) * 100
    except InvalidOperation:
        raise ValueError(f"「{said}」应为价格,如 16.00") from None
    entry["price_fen_per_kg"] = _amount(str(fen), whole=True)


def _part(key: str, name: str, *, whole: bool = False) -> Put:
    """One number of a mapping in the entry; an empty cell takes it out."""

    def put(entry: dict[str, Any], said: str) -> None:
        parts = entry.setdefault(key, {})
        if said:
            parts[name] = _amount(said, whole=whole)
        else:
            parts.pop(name, None)

    return put


_RECIPE: dict[str, Put] = {
    TITLE: _text("title"),
    SPECIES: _choice("species", CHOICE.inputs["species"]),
    STAPLE: _choice("staple", CHOICE.inputs["staple"]),
    SPECIAL: _yes_no("special"),
    ALLERGENS: _allergens,
    KCAL: _whole("kcal_per_kg"),
    FLAGS: _list("flags"),
}
_INGREDIENT: dict[str, Put] = {
    TITLE: _text("title"),
    ALLERGENS: _allergens,
    PRICE: _price,
}
