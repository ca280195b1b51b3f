"""The virtual pool: what channels are shown of what is there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from models.pool import (
    StockRule,
    buffer_of,
    in_buffer,
    makeable,
    never_stocked,
    published,
    sellable,
    set_rule,
    set_share,
    shown,
    when_short,
)
from models.product import Product, save_products
from models.recipe import Recipe, ingredients, save_ingredients, starter_recipes
from models.recipe_edits import RecipeWish, with_recipe
from models.reservation import reserve
from models.rule_activation import activate_when_fit
from models.rule_desk import make_draft
from models.rule_version import RuleKind
from models.rules_in_force import recipes_now
from models.stock import receive, shelve
from tests.models.build import DRY, NOW
from tests.models.stockroom import SH, SZ, id_of, open_stockroom, part_of


def test_a_hundred_with_a_buffer_of_ten_percent_show_ninety(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 100}})

    assert sellable(session, 10) == {"A": 90}
    assert published(session, "shopify", 10) == {"A": 90}


def test_what_is_promised_is_not_for_sale_and_the_buffer_stays_that_of_what_is_on_hand(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 100}})
    reserve(session, id_of(part_of(session, "1", {"A": 30})), SZ, {"A": 30}, "test", NOW)
    assert sellable(session, 10) == {"A": 60}
    assert in_buffer(session, SZ, ["A"], 10) == []

    reserve(session, id_of(part_of(session, "2", {"A": 65})), SZ, {"A": 65}, "test", NOW)

    assert sellable(session, 10) == {"A": 0}
    assert in_buffer(session, SZ, ["A"], 10) == ["A"]


def test_every_warehouse_keeps_a_buffer_of_its_own(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 5, "B": 0}, SH: {"A": 95}})

    # one of 5 (rounded up) and ten of 95
    assert sellable(session, 10) == {"A": 4 + 85, "B": 0}
    assert sellable(session, 10, ["B", "NONE"]) == {"B": 0}


def test_a_sku_may_have_its_own_percentage_or_so_many_pieces(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 100, "B": 100, "C": 100, "D": 3}})
    set_rule(session, StockRule(sku="A", buffer_percent=25, set_at=NOW))
    set_rule(session, StockRule(sku="B", buffer_pieces=7, set_at=NOW))
    set_rule(session, StockRule(sku="C", buffer_pieces=7, set_at=NOW))
    set_rule(session, StockRule(sku="C", buffer_percent=0, set_at=NOW))
    set_rule(session, StockRule(sku="D", buffer_pieces=7, set_at=NOW))

    assert sellable(session, 10) == {"A": 75, "B": 93, "C": 100, "D": 0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"buffer_percent": 10, "buffer_pieces": 1},
        {"buffer_percent": 101},
        {"buffer_percent": -1},
        {"buffer_pieces": -1},
        {"when_short": "shrug"},
    ],
)
def test_a_rule_that_means_nothing_is_refused(session: Session, wrong: dict[str, Any]) -> None:
    open_stockroom(session, {SZ: {"A": 1}})
    with pytest.raises(IntegrityError), session.begin_nested():
        set_rule(session, StockRule(sku="A", set_at=NOW, **wrong))


def test_a_channel_is_shown_its_share_in_whole_pieces(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 100, "B": 100, "C": 11}})
    set_share(session, "douyin", 50)
    set_share(session, "douyin", 20, sku="B")
    set_share(session, "wechat_shop", 0, sku="B")

    assert published(session, "shopify", 10) == {"A": 90, "B": 90, "C": 9}
    assert published(session, "douyin", 10) == {"A": 45, "B": 18, "C": 4}
    assert published(session, "wechat_shop", 10) == {"A": 90, "B": 0, "C": 9}


def test_made_to_order_shows_what_the_scarcest_ingredient_allows(session: Session) -> None:
    # given: enough of everything for a hundred packs of every usual recipe, but for seven of one ingredient
    open_stockroom(session, {SZ: {}})
    save_products(session, [Product(sku=DRY, title="定制犬粮", weight_g=1500, made_to_order=True)])
    save_ingredients(session, starter_recipes())
    book = list(recipes_now(session).recipes.values())
    usual = [recipe for recipe in book if not recipe.special]
    one_pack = [ingredients(recipe, 1500, 1) for recipe in usual]
    scarce = max(one_pack[0], key=lambda sku: one_pack[0][sku])
    for sku in sorted({sku for needs in one_pack for sku in needs}):
        most = max(needs.get(sku, 0) for needs in one_pack)
        shelve(session, SZ, sku)
        receive(session, SZ, sku, most * (7 if sku == scarce else 100), "到货", "test", NOW)

    assert published(session, "shopify", 0) == {DRY: 7}
    set_share(session, "shopify", 50)
    assert published(session, "shopify", 0) == {DRY: 3}


def test_a_new_recipe_whose_ingredient_never_came_takes_nothing_off_sale(session: Session) -> None:
    # given enough of everything for ten packs by any recipe, and a new recipe of something that never came
    open_stockroom(session, {SZ: {}})
    save_products(session, [Product(sku=DRY, title="定制犬粮", weight_g=1000, made_to_order=True)])
    old = starter_recipes()
    save_ingredients(session, old)
    for sku in sorted({sku for recipe in old["recipes"] for sku in recipe["grams_per_kg"]}):
        shelve(session, SZ, sku)
        receive(session, SZ, sku, 10_000, "到货", "test", NOW)
    before = published(session, "shopify", 0)
    wish = RecipeWish("CAT-RABBIT", "猫粮 兔肉", "猫", "干粮", "ING-RABBIT 500、大米 500", kcal_per_kg=3600)
    rabbit = {"sku": "ING-RABBIT", "title": "兔肉", "allergens": []}
    new = with_recipe({**old, "ingredients": [*old["ingredients"], rabbit]}, wish, [{"species": "猫"}])
    # when it is drafted, then it is said; and when it holds, everything is for sale as before
    assert [str(remark).partition(":")[0] for remark in never_stocked(session, new)] == ["食材 ING-RABBIT 兔肉"]
    number = make_draft(session, RuleKind.RECIPES, new, "王敏", "", NOW, 1).version.number
    activate_when_fit(session, RuleKind.RECIPES, number, None, "王敏", "", NOW, "急")
    assert before[DRY] > 0
    assert published(session, "shopify", 0) == before
    # and once some has come, it counts
    receive(session, SZ, "ING-RABBIT", 500, "到货", "test", NOW)
    assert published(session, "shopify", 0) == {DRY: 1}
    assert never_stocked(session, new) == []


def test_what_can_be_made_is_the_least_of_all_usual_recipes() -> None:
    beef = Recipe(code="beef", title="", species="dog", staple="dry", grams_per_kg={"BEEF": 600, "RICE": 400})
    duck = Recipe(code="duck", title="", species="dog", staple="dry", grams_per_kg={"DUCK": 600, "RICE": 400})
    there = {"BEEF": 6_000, "DUCK": 1_800, "RICE": 100_000}

    assert makeable([beef, duck], 1_000, there) == 3
    assert makeable([beef], 1_000, there) == 10
    assert makeable([beef], 1_000, {"BEEF": 6_000}) == 0
    assert makeable([], 1_000, there) == 0


def test_what_becomes_of_a_short_order_is_the_sku_s_own_rule_else_the_seller_s(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 1, "B": 1, "C": 1}})
    set_rule(session, StockRule(sku="A", when_short="compensate", set_at=NOW))
    set_rule(session, StockRule(sku="B", when_short="backorder", set_at=NOW))

    assert when_short(session, ["B", "C"], "backorder") == "backorder"
    assert when_short(session, ["A", "B"], "backorder") == "compensate"
    assert when_short(session, ["C"], "compensate") == "compensate"
    assert when_short(session, ["B"], "compensate") == "backorder"


@given(st.integers(0, 10_000), st.integers(0, 100), st.integers(0, 10_000), st.integers(0, 100))
def test_nothing_below_nothing_and_never_more_than_there_is(
    on_hand: int, percent: int, reserved: int, share: int
) -> None:
    buffer = buffer_of(on_hand, percent)
    assert 0 <= buffer <= on_hand
    assert buffer * 100 >= on_hand * percent > (buffer - 1) * 100 or not buffer
    free = on_hand - min(reserved, on_hand)
    assert 0 <= shown(free, buffer, share) <= max(0, free - buffer)
    assert buffer_of(on_hand, percent, pieces=3) == 3
