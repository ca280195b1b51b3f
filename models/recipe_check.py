"""Whether a draft of the recipes is fit to be made by: everything that is wrong with it, in sentences.

What is merely worth knowing (`remarks_on`) keeps nothing from being activated: a pet without a recipe is decided by a
person, and a recipe that nothing chooses may be a reviewer's to give.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from models.recipe import ALLERGENS, SPECIES, STAPLES, Recipe, RecipeBook
from models.recipe_choice_check import check_choice, slips, unused, without_recipe
from models.table_check import Problem

#: What a recipe says of its analysis, in percent as fed. The first five together are no more than all of it; calcium
#: and phosphorus are part of the ash.
NUTRIENTS = {
    "protein": "粗蛋白",
    "fat": "粗脂肪",
    "fibre": "粗纤维",
    "moisture": "水分",
    "ash": "粗灰分",
    "calcium": "钙",
    "phosphorus": "磷",
    "taurine": "牛磺酸",
}
_PARTS = ("protein", "fat", "fibre", "moisture", "ash")
_MINERALS = ("calcium", "phosphorus")
_ALL_OF_IT = 100.0
#: Pure fat has 9,000 kcal a kilogram, and nothing has more.
MOST_KCAL = 9_000
#: Energy that is further than this from what the analysis comes to is worth a look.
_FAR_OFF = 0.25

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_KEYS = {
    "ingredients": {"sku", "title", "allergens", "price_fen_per_kg"},
    "recipes": {
        "code",
        "title",
        "species",
        "staple",
        "special",
        "grams_per_kg",
        "allergens",
        "kcal_per_kg",
        "nutrients",
        "flags",
    },
}
_KINDS = {"ingredients": ("食材", "sku"), "recipes": ("配方", "code")}
LONGEST_TITLE = 80
#: 100,000 yuan a kilogram, in fen.
MOST_PRICE = 10_000_000
_LONGEST_SEEN = 60
#: What titles call allergens, the longest first; a word of one letter may be part of another word.
_NAMES = {name: code for code, names in ALLERGENS.items() for name in sorted(names, key=len, reverse=True)}
_WORDS = {name: code for name, code in _NAMES.items() if len(name) > 1}
_LETTERS = {name: code for name, code in _NAMES.items() if len(name) == 1}
_LEFT_OUT = re.compile(rf"(?:不含|无|去)(?:{'|'.join(sorted(_NAMES, key=len, reverse=True))})")
#: Words with such a letter in them that are nothing of the kind: taurine, mushrooms, herbs, protein of something else.
_HARMLESS = re.compile(
    "牛磺酸|牛油果|牛蒡|牛至|牛肝菌|羊肚菌|羊栖菜|鱼腥草|鸡枞|鸡毛菜|奶蓟|椰奶|蛋氨酸|蛋白质|蛋白酶|小米|薏米|(?<=[^鸡鸭鹅鹑鸽])蛋白"
)


def check_recipes(body: object) -> list[Problem]:
    """Everything that is wrong with these recipes (`{"ingredients", "recipes", "choice"}`). Never raises.

    Empty when they are fit: then every recipe weighs a kilogram, and for each species, staple and allergen that we
    know, alone, what is chosen was found to be free of it.
    """
    if not isinstance(body, Mapping):
        return [Problem("配方", "要写成 {ingredients, recipes, choice}")]
    problems = [problem for part in _KINDS for problem in _entries(body.get(part), part)]
    if problems:
        return problems  # what follows needs the entries to be readable
    ingredients, recipes = body["ingredients"], body["recipes"]
    for ingredient in ingredients:
        problems += _ingredient(ingredient)
    known = {ingredient["sku"] for ingredient in ingredients}
    for recipe in recipes:
        problems += _recipe(recipe, known)
    problems += check_choice(body.get("choice"), recipes)
    return problems or slips(RecipeBook(body))


def remarks_on(body: Mapping[str, Any]) -> list[Problem]:
    """What is worth knowing about recipes that are fit (`check_recipes`): nothing here forbids them."""
    book = RecipeBook(body)
    found = unused(body["choice"], list(book.recipes))
    found += [remark for recipe in book.recipes.values() for remark in _remarks(recipe)]
    found += [Problem(f"食材 {i['sku']}", why) for i in body["ingredients"] for why in _undeclared(i, _LETTERS)]
    unpriced = sorted(i["sku"] for i in body["ingredients"] if i["sku"] not in book.prices)
    if unpriced:
        found.append(Problem("食材", f"没有价格,试算不出成本:{'、'.join(unpriced)}"))
    return [*found, *without_recipe(book)]


def _entries(entries: object, part: str) -> list[Problem]:
    """What keeps a list of ingredients or recipes from being read at all."""
    name, key = _KINDS[part]
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        return [Problem(part, f"要是一张列表,每行一个{name}")]
    found = [] if entries else [Problem(part, f"至少要有一个{name}")]
    for number, entry in enumerate(entries, 1):
        code = entry.get(key)
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            found.append(
                Problem(f"{name}第 {number} 行", f"{key} 要是 1 到 40 个字母、数字、- 或 _,这里是 {_seen(code)}")
            )
        unknown = sorted(str(each) for each in entry.keys() - _KEYS[part])
        if unknown:
            found.append(Problem(f"{name}第 {number} 行", f"不认识的字段:{'、'.join(unknown)}"))
    counted = Counter(str(entry.get(key)) for entry in entries)
    return found + [Problem(f"{name} {code}", f"出现了 {times} 次") for code, times in counted.items() if times > 1]


def _ingredient(entry: Mapping[str, Any]) -> list[Problem]:
    where = f"食材 {entry['sku']}"
    found = [*_title(where, entry), *_allergens(where, entry)]
    price = entry.get("price_fen_per_kg", 0)
    if not _whole(price, 0):
        found.append(Problem(where, f"每千克价格(分)要是不小于 0 的整数,这里是 {_seen(price)}"))
    elif price > MOST_PRICE:
        found.append(Problem(where, f"每千克价格(分)不超过 {MOST_PRICE},这里是 {_seen(price)}"))
    if found:
        return found
    may_be = () if "allergens" in entry else _undeclared(entry, _LETTERS)
    return [Problem(where, why) for why in (*_undeclared(entry, _WORDS), *may_be)]


def _undeclared(entry: Mapping[str, Any], words: Mapping[str, str]) -> list[str]:
    """A sentence for each allergen that the title names in these words, not as left out, and that is not declared.

    One letter is part of many words: whoever has said what is inside (`allergens`) is believed, and told.
    """
    title, declared = _LEFT_OUT.sub(" ", entry["title"]), entry.get("allergens", ())
    if words is _LETTERS:
        title = _HARMLESS.sub(" ", re.sub("|".join(_WORDS), " ", title))
    hits = {code: word for word, code in words.items() if word in title and code not in declared}
    named = f"名称「{entry['title']}」里有"
    if words is _WORDS:
        return [f"{named}{ALLERGENS[code][0]},allergens 里却没有 {code}" for code in sorted(hits)]
    how = "写明过敏原(allergens)没有它,请核对" if "allergens" in entry else "要写明过敏原(allergens),确实没有就写 无"
    return [f"{named}「{hits[code]}」,可能含{ALLERGENS[code][0]}({code}):{how}" for code in sorted(hits)]


def _recipe(entry: Mapping[str, Any], known: set[str]) -> list[Problem]:
    where = f"配方 {entry['code']}"
    found = [*_title(where, entry), *_allergens(where, entry)]
    for key, words in (("species", SPECIES), ("staple", STAPLES)):
        if entry.get(key) not in [*words]:
            found.append(Problem(where, f"{key} 要是 {'、'.join(words)} 之一,这里是 {_seen(entry.get(key))}"))
    if not isinstance(entry.get("special", False), bool):
        found.append(Problem(where, f"special 要是 true 或 false,这里是 {_seen(entry['special'])}"))
    flags = entry.get("flags", [])
    if not isinstance(flags, list) or not all(isinstance(flag, str) and _CODE.fullmatch(flag) for flag in flags):
        found.append(Problem(where, "flags 要是一张列表,每项是 1 到 40 个字母、数字、- 或 _"))
    kcal = entry.get("kcal_per_kg", MOST_KCAL)
    if not (_number(kcal) and 0 < kcal <= MOST_KCAL):
        found.append(Problem(where, f"每千克的代谢能(千卡)要大于 0、不超过 {MOST_KCAL},这里是 {_seen(kcal)}"))
    return [*found, *_grams(where, entry.get("grams_per_kg"), known), *_nutrients(where, entry.get("nutrients", {}))]


def _grams(where: str, grams: object, known: set[str]) -> list[Problem]:
    if not isinstance(grams, Mapping) or not grams:
        return [Problem(where, "没有写每千克各用多少克食材(grams_per_kg)")]
    found = [
        Problem(where, f"{sku} 要是 1 到 1000 的整数克,这里是 {_seen(each)}")
        for sku, each in grams.items()
        if not (_whole(each, 1) and each <= 1000)
    ]
    found += [Problem(where, f"食材 {sku} 不在食材表里") for sku in grams if sku not in known]
    if not found and (total := sum(grams.values())) != 1000:
        found.append(Problem(where, f"每千克的克数加起来是 {total},要正好 1000"))
    return found


def _nutrients(where: str, said: object) -> list[Problem]:
    if not isinstance(said, Mapping):
        return [Problem(where, "nutrients 要写成 {名称: 百分比}")]
    found = [Problem(where, f"不认识的营养成分 {name}") for name in said if name not in NUTRIENTS]
    found += [
        Problem(where, f"{NUTRIENTS[name]}要是 0 到 100 之间的百分比,这里是 {_seen(value)}")
        for name, value in said.items()
        if name in NUTRIENTS and not (_number(value) and 0 <= value <= _ALL_OF_IT)
    ]
    if found:
        return found
    total = math.fsum(said.get(name, 0) for name in _PARTS)
    if total > _ALL_OF_IT + 1e-9:
        words = "、".join(NUTRIENTS[name] for name in _PARTS)
        found.append(Problem(where, f"{words}加起来是 {total:g}%,超过 100%"))
    minerals = math.fsum(said.get(name, 0) for name in _MINERALS)
    if "ash" in said and minerals > said["ash"] + 1e-9:
        found.append(Problem(where, f"钙和磷加起来是 {minerals:g}%,比粗灰分 {said['ash']:g}% 还多"))
    return found


def _title(where: str, entry: Mapping[str, Any]) -> list[Problem]:
    title = entry.get("title")
    if isinstance(title, str) and title.strip() and len(title) <= LONGEST_TITLE:
        return []
    return [Problem(where, f"要有名称(title),不超过 {LONGEST_TITLE} 个字")]


def _allergens(where: str, entry: Mapping[str, Any]) -> list[Problem]:
    said = entry.get("allergens", [])
    if not isinstance(said, list):
        return [Problem(where, "allergens 要是一张列表,没有就写 []")]
    words = "、".join(ALLERGENS)
    return [
        Problem(where, f"不认识的过敏原 {_seen(each)},可用的有 {words}") for each in said if each not in [*ALLERGENS]
    ]


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)  # an integer may be too large for a float


def _seen(value: object) -> str:
    """A value as it is told in a sentence, cut where it is long."""
    try:
        said = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits; lists in lists
        return "太大的内容"
    return said if len(said) <= _LONGEST_SEEN else said[:_LONGEST_SEEN] + "…"


def _remarks(recipe: Recipe) -> Iterable[Problem]:
    where = f"配方 {recipe.code}"
    if recipe.kcal_per_kg <= 0:
        yield Problem(where, "没有写每千克的代谢能(kcal_per_kg),算不出每天喂多少")
    elif all(name in recipe.nutrients for name in _PARTS):
        expected = atwater_kcal_per_kg(recipe.nutrients)
        if abs(recipe.kcal_per_kg - expected) > _FAR_OFF * expected:
            yield Problem(where, f"代谢能 {recipe.kcal_per_kg} 千卡/千克,按营养成分估算约 {expected:.0f},请核对")
    if recipe.species == "cat" and not recipe.nutrients.get("taurine"):
        yield Problem(where, "没有写牛磺酸含量,猫必须从食物里得到它")


def atwater_kcal_per_kg(nutrients: Mapping[str, float]) -> float:
    """Metabolisable energy by the analysis: 3.5 kcal for a gram of protein and of carbohydrate, 8.5 for one of fat.

    "Modified Atwater" factors (AAFCO Model Regulation PF9). Carbohydrate is what the five named parts leave.
    """
    carbohydrate = _ALL_OF_IT - math.fsum(nutrients[name] for name in _PARTS)
    return 10 * (3.5 * nutrients["protein"] + 8.5 * nutrients["fat"] + 3.5 * carbohydrate)
