"""Feeding: how much energy a pet needs a day, how many grams of its food that is, and how long a pack lasts.

Resting energy is 70 × kg^0.75 kcal a day, for dogs and cats of any weight (Merck Veterinary Manual, "Nutritional
Requirements of Small Animals"). A day's need is that times a factor (`FACTORS`):

- cats: 2021 AAHA Nutrition and Weight Management Guidelines for Dogs and Cats (J Am Anim Hosp Assoc 2021; 57:153-178,
  doi 10.5326/JAAHA-MS-7232), box 1: neutered 1.2-1.4, intact 1.4-1.6, inactive or obese prone 1.0, weight loss 0.8,
  growth 2.5;
- dogs: Ohio State University Veterinary Medical Center, "Basic Calorie Calculator": neutered 1.6, intact 1.8, inactive
  or obese prone 1.2-1.4, weight loss 1.0, weight gain 1.2-1.8, active or working 2.0-5.0, puppies up to 4 months 3.0,
  from then to adult 2.0.

Of a range the end is taken that its row below says. Needs of single animals differ by half and more: the figure is
where feeding begins, and the scales correct it. An ill pet's food is a veterinarian's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from models.pet_answers import day_in, number_in, word_in, yes_or_no_in
from models.recipe import Recipe, age_months

#: Species → the weights in kg for which a plan is made.
WEIGHTS = {"dog": (0.3, 100.0), "cat": (0.3, 15.0)}

#: Adults in ideal condition: species → activity → (neutered, intact). A cat that moves little is inactive whether
#: neutered or not; a dog that does is at the lower end of its range neutered, at the upper intact. Much exercise: cats
#: at the upper ends of their ranges, dogs where the range of active ones begins.
FACTORS = {
    "dog": {"low": (1.2, 1.4), "medium": (1.6, 1.8), "high": (2.0, 2.0)},
    "cat": {"low": (1.0, 1.0), "medium": (1.2, 1.4), "high": (1.4, 1.6)},
}
#: Overweight adults, whatever else. The published factor is for the ideal weight, which nobody tells us.
LOSING = {"dog": 1.0, "cat": 0.8}
#: Underweight adults get the upper end, and never less than in ideal condition: (neutered, intact).
GAINING = {"dog": (1.8, 1.8), "cat": (1.4, 1.6)}
#: The young, whatever else: species → (below so many months, factor), in their order.
GROWING = {"dog": ((4, 3.0), (12, 2.0)), "cat": ((12, 2.5),)}

#: What a plan takes for granted, and how people read it.
ASSUMED_WORDS = {
    "adult": ("没有出生日期,按成年估算", "taken for an adult: no birth date"),
    "neutered": ("没有填是否绝育,按已绝育估算", "taken for neutered: not answered"),
    "medium": ("没有填活动量,按中等估算", "taken for moderately active: not answered"),
    "ideal": ("没有填体况,按正常估算", "taken for ideal condition: not answered"),
    "weight_now": ("按现在的体重估算,不是理想体重", "by the weight now, not the ideal one"),
    "growing": ("还在长身体,不因体况增减", "still growing: not changed for its condition"),
}


@dataclass(frozen=True)
class FeedingPlan:
    """What a pet eats a day, and how many whole days one pack and all packs last. `assumed`: of `ASSUMED_WORDS`."""

    kcal_per_day: int
    grams_per_day: int
    days_per_pack: int
    days: int
    assumed: tuple[str, ...] = ()


def resting_kcal(weight_kg: float) -> float:
    """Energy at rest, kcal a day."""
    return 70.0 * float(weight_kg**0.75)


def feeding_plan(
    values: Mapping[str, Any], recipe: Recipe, pack_g: int, packs: int = 1, *, today: date
) -> FeedingPlan | None:
    """How a pet is fed with so many packs of so many grams each, by the answers of its order form (codes).

    None where nothing sensible can be said: no species that we know, no weight or one out of range (`WEIGHTS`), a
    recipe whose energy is not known, a pack of no weight. `today` is the day whose age counts.
    """
    weight = number_in(values.get("weight_kg"))
    species = str(values.get("species") or "")
    if weight is None or species not in WEIGHTS or recipe.kcal_per_kg <= 0 or pack_g <= 0 or packs <= 0:
        return None
    lightest, heaviest = WEIGHTS[species]
    if not lightest <= weight <= heaviest:
        return None
    factor, assumed = energy_factor(species, values, today)
    kcal = resting_kcal(weight) * factor
    grams = max(1, round(kcal * 1000 / recipe.kcal_per_kg))
    return FeedingPlan(round(kcal), grams, pack_g // grams, pack_g * packs // grams, assumed)


def energy_factor(species: str, values: Mapping[str, Any], today: date) -> tuple[float, tuple[str, ...]]:
    """By what resting energy is multiplied for this pet, and what was taken for granted. Raises `KeyError`."""
    months = age_months(day_in(values.get("birth_date")), today)
    condition = values.get("body_condition")
    for below, factor in GROWING[species]:
        if months is not None and months < below:
            return factor, ("growing",) if condition in ("overweight", "underweight") else ()
    assumed = [] if months is not None else ["adult"]
    if condition == "overweight":
        return LOSING[species], (*assumed, "weight_now")
    neutered, activity = yes_or_no_in(values.get("neutered")), word_in(values.get("activity_level")) or ""
    assumed += [] if neutered is not None else ["neutered"]
    assumed += [] if activity in FACTORS[species] else ["medium"]
    intact = neutered is False
    factor = FACTORS[species].get(activity, FACTORS[species]["medium"])[intact]
    if condition == "underweight":
        return max(factor, GAINING[species][intact]), (*assumed, "weight_now")
    return factor, (*assumed, *([] if condition == "ideal" else ["ideal"]))
