"""Feeding: grams a day and days a pack lasts, against sums done by hand, and what is said of an order's pets."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, select

from models.feeding import FACTORS, WEIGHTS, FeedingPlan, feeding_plan, resting_kcal
from models.feeding_page import feeding_lines
from models.fulfilment import Fulfilment, FulfilmentLine
from models.product import Product
from models.recipe import Recipe
from tests.models.build import DRY, PET, cans, incoming, made, open_shop, taken

TODAY = date(2026, 11, 11)
FOOD = Recipe("FOOD", "粮", "dog", "dry", kcal_per_kg=3_500)
GROWN = {
    "birth_date": "2022-05-01",
    "neutered": True,
    "activity_level": "medium",
    "body_condition": "ideal",
}


def plan_of(food: Recipe = FOOD, pack_g: int = 3_200, packs: int = 1, **values: Any) -> FeedingPlan | None:
    return feeding_plan({**GROWN, **values}, food, pack_g, packs, today=TODAY)


@pytest.mark.parametrize(("weight_kg", "kcal"), [(1, 70.0), (16, 560.0), (81, 1_890.0), (10, 393.64), (4, 197.99)])
def test_resting_energy_is_seventy_times_the_weight_to_three_quarters(weight_kg: float, kcal: float) -> None:
    assert resting_kcal(weight_kg) == pytest.approx(kcal, abs=0.005)


#: 16^0.75 = 8 and 81^0.75 = 27: these can be followed on paper.
BY_HAND = [
    # an adult dog: 560 × 1.6 = 896 kcal; 896 / 3.5 = 256 g; 3200 / 256 = 12.5
    ({"species": "dog", "weight_kg": 16}, (896, 256, 12)),
    # intact: 560 × 1.8 = 1008; 288 g; 11.1
    ({"species": "dog", "weight_kg": 16, "neutered": False}, (1_008, 288, 11)),
    # moves little: 560 × 1.2 = 672; 192 g; 16.7; intact 560 × 1.4 = 784; 224 g; 14.3
    ({"species": "dog", "weight_kg": 16, "activity_level": "low"}, (672, 192, 16)),
    ({"species": "dog", "weight_kg": 16, "activity_level": "low", "neutered": False}, (784, 224, 14)),
    # works: 560 × 2 = 1120; 320 g; exactly 10
    ({"species": "dog", "weight_kg": 16, "activity_level": "high"}, (1_120, 320, 10)),
    # a puppy of 3 months: 560 × 3 = 1680; 480 g; 6.7; of 8 months: 560 × 2
    ({"species": "dog", "weight_kg": 16, "birth_date": "2026-08-11"}, (1_680, 480, 6)),
    ({"species": "dog", "weight_kg": 16, "birth_date": "2026-03-11"}, (1_120, 320, 10)),
    # a year old on the day: an adult
    ({"species": "dog", "weight_kg": 16, "birth_date": "2025-11-11"}, (896, 256, 12)),
    ({"species": "dog", "weight_kg": 81, "neutered": False}, (3_402, 972, 3)),
    # a kitten of 1 kg: 70 × 2.5 = 175; 50 g; 64
    ({"species": "cat", "weight_kg": 1, "birth_date": "2026-06-01"}, (175, 50, 64)),
    # an adult cat of 4 kg: 4^0.75 = 2.8284; 197.99 × 1.2 = 237.6; 67.9 g; 47.06
    ({"species": "cat", "weight_kg": 4}, (238, 68, 47)),
    ({"species": "cat", "weight_kg": 4, "activity_level": "high", "neutered": False}, (317, 91, 35)),
]


@pytest.mark.parametrize(("values", "expected"), BY_HAND)
def test_plans_are_as_reckoned_by_hand(values: dict[str, Any], expected: tuple[int, int, int]) -> None:
    plan = plan_of(**values)

    assert plan is not None
    assert (plan.kcal_per_day, plan.grams_per_day, plan.days_per_pack) == expected
    assert plan.assumed == ()


@pytest.mark.parametrize(
    ("values", "kcal"),
    [
        ({"species": "dog", "weight_kg": 16, "body_condition": "overweight"}, 560),
        ({"species": "dog", "weight_kg": 16, "body_condition": "overweight", "activity_level": "high"}, 560),
        ({"species": "dog", "weight_kg": 16, "body_condition": "underweight"}, 1_008),
        ({"species": "dog", "weight_kg": 16, "body_condition": "underweight", "activity_level": "high"}, 1_120),
        ({"species": "cat", "weight_kg": 5, "body_condition": "overweight"}, 187),  # 234.06 × 0.8
        ({"species": "cat", "weight_kg": 5, "body_condition": "underweight"}, 328),  # 234.06 × 1.4
    ],
)
def test_who_is_to_lose_or_gain_weight_is_fed_for_it_by_the_weight_now(values: dict[str, Any], kcal: int) -> None:
    plan = plan_of(**values)

    assert plan is not None
    assert (plan.kcal_per_day, plan.assumed) == (kcal, ("weight_now",))


def test_a_growing_pet_is_not_put_on_a_diet() -> None:
    puppy: dict[str, Any] = {"species": "dog", "weight_kg": 16, "birth_date": date(2026, 3, 11)}

    ideal, heavy = plan_of(**puppy), plan_of(**puppy, body_condition="overweight")

    assert ideal is not None and heavy is not None
    assert (ideal.kcal_per_day, ideal.assumed) == (1_120, ())
    assert (heavy.kcal_per_day, heavy.assumed) == (1_120, ("growing",))


def test_wet_food_weighs_more_for_the_same_energy_and_all_packs_are_counted_together() -> None:
    wet = Recipe("WET", "湿粮", "cat", "wet", kcal_per_kg=1_040)

    plan = plan_of(wet, pack_g=400, packs=12, species="cat", weight_kg=4)

    # 237.6 / 1.04 = 228.4 g; 400 / 228 = 1.75; 4800 / 228 = 21.05
    assert plan == FeedingPlan(238, 228, 1, 21)


def test_what_was_not_answered_is_assumed_and_said() -> None:
    plan = feeding_plan({"species": "dog", "weight_kg": 16}, FOOD, 3_200, today=TODAY)

    assert plan == FeedingPlan(896, 256, 12, 12, ("adult", "neutered", "medium", "ideal"))


@pytest.mark.parametrize(
    "values",
    [
        {"species": "dog"},
        {"weight_kg": 5},
        {"species": "parrot", "weight_kg": 1},
        {"species": "dog", "weight_kg": 0},
        {"species": "dog", "weight_kg": 100.5},
        {"species": "cat", "weight_kg": 15.5},
        {"species": "cat", "weight_kg": float("nan")},
    ],
)
def test_nothing_is_said_where_nothing_sensible_can_be(values: dict[str, Any]) -> None:
    assert plan_of(**values) is None


def test_food_of_unknown_energy_or_weight_has_no_plan() -> None:
    assert plan_of(Recipe("OLD", "旧", "dog", "dry"), species="dog", weight_kg=16) is None
    assert plan_of(pack_g=0, species="dog", weight_kg=16) is None
    assert plan_of(packs=0, species="dog", weight_kg=16) is None


PETS = st.fixed_dictionaries(
    {
        "neutered": st.sampled_from([None, True, False]),
        "activity_level": st.sampled_from([None, "low", "medium", "high", "some other word"]),
        "body_condition": st.sampled_from([None, "underweight", "ideal", "overweight"]),
        "birth_date": st.one_of(st.none(), st.dates(date(2006, 1, 1), date(2027, 1, 1)).map(date.isoformat)),
    }
)


@given(
    st.sampled_from(sorted(WEIGHTS)),
    PETS,
    st.floats(0.3, 15),
    st.floats(0.3, 15),
    st.integers(800, 4_500),
    st.integers(1, 20_000),
    st.integers(1, 50),
)
def test_the_heavier_eats_no_less_and_what_it_eats_is_never_more_than_there_is(
    species: str, pet: dict[str, Any], one: float, other: float, kcal_per_kg: int, pack_g: int, packs: int
) -> None:
    food = Recipe("F", "粮", species, "dry", kcal_per_kg=kcal_per_kg)
    light, heavy = (
        feeding_plan({**pet, "species": species, "weight_kg": kg}, food, pack_g, packs, today=TODAY)
        for kg in sorted((one, other))
    )

    assert light is not None and heavy is not None
    assert light.kcal_per_day <= heavy.kcal_per_day
    assert 1 <= light.grams_per_day <= heavy.grams_per_day
    assert light.days >= heavy.days >= heavy.days_per_pack
    assert heavy.days * heavy.grams_per_day <= pack_g * packs < (heavy.days + 1) * heavy.grams_per_day
    assert light.assumed == heavy.assumed


@given(PETS, st.sampled_from(sorted(WEIGHTS)), st.floats(0.5, 14))
def test_more_activity_never_feeds_less_nor_a_thin_pet_less_than_a_fat_one(
    pet: dict[str, Any], species: str, weight_kg: float
) -> None:
    def grams(**changes: Any) -> int:
        plan = feeding_plan({**pet, "species": species, "weight_kg": weight_kg, **changes}, FOOD, 1_000, today=TODAY)
        assert plan is not None
        return plan.grams_per_day

    assert grams(activity_level="low") <= grams(activity_level="medium") <= grams(activity_level="high")
    assert grams(body_condition="overweight") <= grams(body_condition="ideal") <= grams(body_condition="underweight")
    assert grams(neutered=True) <= grams(neutered=False)


def test_factors_are_given_for_every_activity_of_every_species() -> None:
    assert FACTORS.keys() == WEIGHTS.keys()
    assert all(rows.keys() == {"low", "medium", "high"} for rows in FACTORS.values())


def part_of(session: Session, order_id: int | None) -> FulfilmentLine:
    carried = select(FulfilmentLine).join(Fulfilment).where(Fulfilment.order_id == order_id)
    return session.exec(carried).one()


def test_an_orders_page_says_how_its_pet_is_fed(session: Session) -> None:
    open_shop(session)
    pet = {**PET, "weight_kg": "16", "birth_date": "2022-05-01", "neutered": "是", "activity_level": "中"}
    order = taken(session, incoming("1", made(2, pet=pet)))
    assert feeding_lines(session, order) == []  # no recipe yet

    part = part_of(session, order.id)
    part.recipe = "DOG-CHICKEN-DRY"
    session.add(part)
    session.flush()
    (line,) = feeding_lines(session, order)

    # 896 / 3.58 = 250.3 g; 2 × 1500 g / 250 = 12
    assert (line.line_no, line.recipe, line.packs, line.pack_g) == (1, "DOG-CHICKEN-DRY", 2, 1_500)
    assert line.plan == FeedingPlan(896, 250, 6, 12, ("ideal",))
    assert line.said() == "每天约 250 克(896 千卡),大约够吃 12 天(没有填体况,按正常估算)。"
    assert (
        line.said("en")
        == "About 250 g a day (896 kcal): lasts about 12 days (taken for ideal condition: not answered)."
    )


def test_an_answer_of_another_kind_counts_as_none() -> None:
    dog: dict[str, Any] = {"species": "dog", "weight_kg": 16}
    said: dict[str, Any] = {"birth_date": "3岁", "neutered": "已绝育", "activity_level": ["high"]}

    # as where nothing was answered: 896 kcal, an adult, neutered, moderately active
    nothing: dict[str, Any] = dict.fromkeys(said)
    assert plan_of(**dog, **said) == plan_of(**dog, **nothing)
    assert plan_of(species="dog", weight_kg="十六") is None


def test_the_page_says_nothing_of_goods_of_a_pet_not_described_or_of_parts_given_up(session: Session) -> None:
    open_shop(session)
    assert feeding_lines(session, taken(session, incoming("1", cans()))) == []

    undescribed = taken(session, incoming("2", made(pet={**PET, "weight_kg": ""})))
    order = taken(session, incoming("3", made()))
    for each in (undescribed, order):
        part_of(session, each.id).recipe = "DOG-CHICKEN-DRY"
    session.flush()
    assert feeding_lines(session, undescribed) == []
    assert len(feeding_lines(session, order)) == 1

    part = session.exec(select(Fulfilment).where(Fulfilment.order_id == order.id)).one()
    part.stage = "cancelled"
    part.ready_at = None
    session.flush()
    assert feeding_lines(session, order) == []


def test_the_page_says_nothing_where_the_weight_of_a_piece_is_not_known(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1", made()))
    part_of(session, order.id).recipe = "DOG-CHICKEN-DRY"
    session.get_one(Product, DRY).weight_g = 0
    session.flush()

    assert feeding_lines(session, order) == []
