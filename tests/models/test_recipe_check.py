"""Drafts of recipes: what is wrong is named with its place and its reason; what is fit gives nobody an allergen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.recipe import ALLERGENS, SPECIES, STAPLES, RecipeBook, contains, starter_recipes
from models.recipe_check import atwater_kcal_per_kg, check_recipes, remarks_on
from models.recipe_choice_check import pets_of_every_kind, slips

Body = dict[str, Any]


def changed(change: Callable[[Body], object]) -> Body:
    """The starter recipes with one change."""
    body = copy.deepcopy(starter_recipes())
    change(body)
    return body


def rows(body: Body) -> list[dict[str, str]]:
    found: list[dict[str, str]] = body["choice"]["nodes"][1]["content"]["rules"]
    return found


def table(body: Body) -> dict[str, Any]:
    found: dict[str, Any] = body["choice"]["nodes"][1]["content"]
    return found


def said(body: Body) -> list[str]:
    return [str(problem) for problem in check_recipes(body)]


def test_the_starter_recipes_are_fit_and_leave_no_single_allergy_without_a_recipe() -> None:
    assert said(starter_recipes()) == []
    assert remarks_on(starter_recipes()) == []


def recipe(body: Body, index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = body["recipes"][index]
    return found


def grams(**changes: Any) -> Callable[[Body], object]:
    return lambda body: recipe(body)["grams_per_kg"].update({f"ING-{sku}": each for sku, each in changes.items()})


def nutrients(**changes: Any) -> Callable[[Body], object]:
    return lambda body: recipe(body)["nutrients"].update(changes)


def first(**changes: Any) -> Callable[[Body], object]:
    return lambda body: recipe(body).update(changes)


def ingredient(**changes: Any) -> Callable[[Body], object]:
    return lambda body: body["ingredients"][0].update(changes)


DRY = "配方 DOG-CHICKEN-DRY:"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (grams(OIL=41), f"{DRY}每千克的克数加起来是 1001,要正好 1000"),
        (grams(OIL=0), f"{DRY}ING-OIL 要是 1 到 1000 的整数克,这里是 0"),
        (grams(OIL=40.0), f"{DRY}ING-OIL 要是 1 到 1000 的整数克,这里是 40.0"),
        (grams(OIL=True), f"{DRY}ING-OIL 要是 1 到 1000 的整数克,这里是 True"),
        (grams(OIL=10**400), f"{DRY}ING-OIL 要是 1 到 1000 的整数克,这里是 1000000000"),
        (grams(GOLD=1), f"{DRY}食材 ING-GOLD 不在食材表里"),
        (first(grams_per_kg={}), f"{DRY}没有写每千克各用多少克食材(grams_per_kg)"),
        (first(kcal_per_kg=0), f"{DRY}每千克的代谢能(千卡)要大于 0、不超过 9000,这里是 0"),
        (first(kcal_per_kg=9_001), f"{DRY}每千克的代谢能(千卡)要大于 0、不超过 9000,这里是 9001"),
        (first(kcal_per_kg="3500"), f"{DRY}每千克的代谢能(千卡)要大于 0、不超过 9000,这里是 '3500'"),
        (first(kcal_per_kg=None), f"{DRY}每千克的代谢能(千卡)要大于 0、不超过 9000,这里是 None"),
        (first(kcal_per_kg=10**5000), f"{DRY}每千克的代谢能(千卡)要大于 0、不超过 9000,这里是 太大的内容"),
        (nutrients(protein=10**400), f"{DRY}粗蛋白要是 0 到 100 之间的百分比,这里是 1000000000"),
        (nutrients(protein=70), f"{DRY}粗蛋白、粗脂肪、粗纤维、水分、粗灰分加起来是 104%,超过 100%"),
        (nutrients(protein=-1), f"{DRY}粗蛋白要是 0 到 100 之间的百分比,这里是 -1"),
        (nutrients(calcium=6.5), f"{DRY}钙和磷加起来是 7.5%,比粗灰分 7% 还多"),
        (nutrients(gold=1), f"{DRY}不认识的营养成分 gold"),
        (first(allergens=["chicken", "kangaroo"]), f"{DRY}不认识的过敏原 'kangaroo',可用的有 {'、'.join(ALLERGENS)}"),
        (first(species="parrot"), f"{DRY}species 要是 dog、cat 之一,这里是 'parrot'"),
        (first(staple=["dry"]), f"{DRY}staple 要是 dry、wet、mixed 之一,这里是 ['dry']"),
        (first(special="yes"), f"{DRY}special 要是 true 或 false,这里是 'yes'"),
        (first(flags="special"), f"{DRY}flags 要是一张列表,每项是 1 到 40 个字母、数字、- 或 _"),
        (first(title=" "), f"{DRY}要有名称(title),不超过 80 个字"),
        (ingredient(allergens=["鸡肉"]), f"食材 ING-CHICKEN:不认识的过敏原 '鸡肉',可用的有 {'、'.join(ALLERGENS)}"),
        (ingredient(allergens=[]), "食材 ING-CHICKEN:名称「鸡肉」里有鸡肉,allergens 里却没有 chicken"),
        (
            ingredient(title="无谷鸡肉粉", allergens=[]),
            "食材 ING-CHICKEN:名称「无谷鸡肉粉」里有鸡肉,allergens 里却没有 chicken",
        ),
        (ingredient(price_fen_per_kg=-1), "食材 ING-CHICKEN:每千克价格(分)要是不小于 0 的整数,这里是 -1"),
        (ingredient(price_fen_per_kg=None), "食材 ING-CHICKEN:每千克价格(分)要是不小于 0 的整数,这里是 None"),
        (ingredient(price_fen_per_kg=10**400), "食材 ING-CHICKEN:每千克价格(分)不超过 10000000,这里是 1000000000"),
        (ingredient(alergens=["egg"]), "食材第 1 行:不认识的字段:alergens"),
        (ingredient(sku="ING CHICKEN"), "食材第 1 行:sku 要是 1 到 40 个字母、数字、- 或 _,这里是 'ING CHICKEN'"),
        (lambda body: body["recipes"].append(recipe(body)), "配方 DOG-CHICKEN-DRY:出现了 2 次"),
        (lambda body: body["ingredients"].append(body["ingredients"][0]), "食材 ING-CHICKEN:出现了 2 次"),
        (first(code=""), "配方第 1 行:code 要是 1 到 40 个字母、数字、- 或 _,这里是 ''"),
        (
            lambda body: rows(body)[0].update(recipe='"NO-SUCH"'),
            '选配方第 1 行「配方」:「"NO-SUCH"」得出「NO-SUCH」:可以写 "DOG-CHICKEN-DRY"',
        ),
        (
            lambda body: rows(body)[0].update(recipe="staple"),
            "选配方第 1 行「配方」:「staple」在 主食偏好 = 干粮 时得出「dry」:可以写",
        ),
        (lambda body: rows(body)[0].update(rank='"first"'), '选配方第 1 行「次序」:「"first"」得出的不是数字'),
        (
            lambda body: rows(body)[0].update(recipe='"DOG-CHICKEN-DRY"'),
            "选配方第 1 行:DOG-CHICKEN-DRY 是给犬的,这一行却不会用于犬",
        ),
        (
            lambda body: rows(body)[0].update(staple='"dyr"'),
            '选配方第 1 行「主食偏好」:「"dyr"」里的「dyr」不是「主食偏好」会有的值',
        ),
        (
            lambda body: table(body)["inputs"].append({"id": "age", "name": "岁数", "field": "age"}),
            "选配方列「岁数」:没有事实 age",
        ),
        (
            lambda body: table(body).update(hitPolicy="first"),
            "选配方:要收集所有符合的行(hitPolicy: collect),否则第一个有过敏原时就没有别的可选",
        ),
        (lambda body: table(body)["outputs"].pop(), "选配方:缺少输出列「次序」(rank)"),
        (lambda body: body.pop("choice"), "选配方:这不是决策表的 JSON(JDM):缺少 nodes"),
        (lambda body: body.update(recipes={}), "recipes:要是一张列表,每行一个配方"),
        (lambda body: body.update(recipes=[]), "recipes:至少要有一个配方"),
    ],
)
def test_each_mistake_is_named_with_its_place_and_what_it_should_be(
    change: Callable[[Body], object], sentence: str
) -> None:
    assert any(each.startswith(sentence) for each in said(changed(change)))


def test_a_mistake_is_named_alone() -> None:
    assert said(changed(grams(OIL=41))) == [f"{DRY}每千克的克数加起来是 1001,要正好 1000"]


@pytest.mark.parametrize("body", [None, [], "recipes", 5, {}, {"recipes": 1}, {"recipes": [1], "ingredients": [None]}])
def test_whatever_is_no_recipes_is_told_so(body: object) -> None:
    assert check_recipes(body) != []


@pytest.mark.parametrize(
    "title", ["无麸质燕麦粉", "去鸡肉蔬菜", "不含大豆的油", "亚麻籽油", "猫用预混料(含牛磺酸)", "无大米鸡蛋白"]
)
def test_a_title_that_names_what_is_left_out_names_no_allergen(title: str) -> None:
    body = changed(ingredient(title=title, allergens=["chicken", "oat", "egg"]))

    assert said(body) == []


@pytest.mark.parametrize(
    ("title", "word", "allergen"),
    [
        ("鸡胸", "鸡", "鸡肉(chicken)"),
        ("鸡肝", "鸡", "鸡肉(chicken)"),
        ("牛肝", "牛", "牛肉(beef)"),
        ("蛋黄粉", "蛋", "鸡蛋(egg)"),
        ("蛋白粉", "蛋", "鸡蛋(egg)"),
        ("鱼油", "鱼", "鱼肉(fish)"),
        ("羊奶", "奶", "乳制品(dairy)"),
        ("鸭胗", "鸭", "鸭肉(duck)"),
        ("牛肝(含牛磺酸)", "牛", "牛肉(beef)"),
    ],
)
def test_one_letter_of_a_title_is_an_allergen_unless_what_is_inside_was_said(
    title: str, word: str, allergen: str
) -> None:
    unsaid = changed(lambda body: body["ingredients"].append({"sku": "ING-X", "title": title}))
    none = changed(lambda body: body["ingredients"].append({"sku": "ING-X", "title": title, "allergens": []}))

    named = f"食材 ING-X:名称「{title}」里有「{word}」,可能含{allergen}:"
    assert f"{named}要写明过敏原(allergens),确实没有就写 无" in said(unsaid)
    assert said(none) == []
    assert f"{named}写明过敏原(allergens)没有它,请核对" in [str(remark) for remark in remarks_on(none)]


@pytest.mark.parametrize(
    "title", ["牛磺酸", "牛油果", "水解蛋白", "豌豆蛋白质", "蛋氨酸", "椰奶", "无奶配料", "不含蛋的酱", "玉米"]
)
def test_a_letter_that_is_part_of_another_word_is_no_allergen(title: str) -> None:
    body = changed(lambda body: body["ingredients"].append({"sku": "ING-X", "title": title}))

    assert [each for each in said(body) if "可能含" in each] == []


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_junk_anywhere_is_a_problem_or_fit_but_never_an_error(data: st.DataObject) -> None:
    body = copy.deepcopy(starter_recipes())
    where: Any = body
    for _ in range(data.draw(st.integers(0, 5))):
        keys = list(where) if isinstance(where, dict) else list(range(len(where)))
        chosen = data.draw(st.sampled_from(keys))
        if not isinstance(where[chosen], dict | list) or not where[chosen]:
            break
        where = where[chosen]
    keys = list(where) if isinstance(where, dict) else list(range(len(where)))
    where[data.draw(st.sampled_from(keys))] = data.draw(JUNK)

    problems = check_recipes(body)

    assert all(problem.where and problem.why for problem in problems)
    if not problems:
        RecipeBook(body)
        remarks_on(body)


def test_every_species_staple_and_single_allergen_is_tried() -> None:
    tried = [(pet.species, pet.staple, pet.allergens) for pet in pets_of_every_kind()]

    assert len(tried) == 2 * len(SPECIES) * len(STAPLES) * (len(ALLERGENS) + 1) == 192
    assert len(set(tried)) == 96


def test_a_choice_that_let_an_allergen_through_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    book = RecipeBook(starter_recipes())
    monkeypatch.setattr(book, "inside", dict.fromkeys(book.inside, frozenset[str]()))  # as if the guard were gone

    found = {str(problem) for problem in slips(book)}

    assert "配方 DOG-CHICKEN-DRY:会给对鸡肉过敏的宠物" in found
    assert len(found) == sum(len(contains(book[code]) & ALLERGENS.keys()) for code in ONES_OWN)


#: The best recipe of each species and staple: what it would be for everybody if nobody looked at allergens.
ONES_OWN = [f"{species}-{kind}" for species in ("DOG", "CAT") for kind in ("CHICKEN-DRY", "BEEF-WET", "FISH-MIXED")]


def test_what_is_worth_knowing_is_remarked_and_forbids_nothing() -> None:
    def change(body: Body) -> None:
        recipe(body).pop("kcal_per_kg")
        recipe(body, 1)["kcal_per_kg"] = 2_000
        cat = next(each for each in body["recipes"] if each["code"] == "CAT-CHICKEN-DRY")
        cat["nutrients"].pop("taurine")
        body["ingredients"][0].pop("price_fen_per_kg")
        table(body)["rules"] = [row for row in rows(body) if "DOG-HYDRO" not in row["recipe"]]

    body = changed(change)

    assert said(body) == []
    assert [str(remark) for remark in remarks_on(body)] == [
        "配方 DOG-HYDRO-DRY:没有一条规则会选它,只有审核人能指定",
        f"{DRY}没有写每千克的代谢能(kcal_per_kg),算不出每天喂多少",
        "配方 DOG-BEEF-WET:代谢能 2000 千卡/千克,按营养成分估算约 1010,请核对",
        "配方 CAT-CHICKEN-DRY:没有写牛磺酸含量,猫必须从食物里得到它",
        "食材:没有价格,试算不出成本:ING-CHICKEN",
    ]


def test_pets_for_which_no_recipe_is_left_are_remarked() -> None:
    def change(body: Body) -> None:
        kept = ('"DOG-CHICKEN-DRY"', '"CAT-CHICKEN-DRY"', '"CAT-BEEF-WET"')
        table(body)["rules"] = [row for row in rows(body) if row["recipe"] in kept and row["staple"]]

    found = [str(remark) for remark in remarks_on(changed(change)) if remark.where == "选配方"]

    assert "选配方:犬,不过敏(主食偏好 湿粮、混合):没有配方,订单会交给人决定" in found
    assert "选配方:犬,对鸡肉过敏:没有配方,订单会交给人决定" in found
    assert "选配方:猫,对鸡肉过敏(主食偏好 干粮、混合):没有配方,订单会交给人决定" in found


def test_energy_by_analysis_is_that_of_protein_fat_and_what_is_left() -> None:
    # 27 × 3.5 + 15 × 8.5 + (100 - 27 - 15 - 3 - 9 - 7) × 3.5 = 94.5 + 127.5 + 136.5 = 358.5 kcal per 100 g
    analysis = {"protein": 27, "fat": 15, "fibre": 3, "moisture": 9, "ash": 7}

    assert atwater_kcal_per_kg(analysis) == pytest.approx(3_585)
