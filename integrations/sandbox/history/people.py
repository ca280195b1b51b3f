"""The made-up half of the history: who a household is, where it lives, and which pets it feeds.

Nothing here is about a real person. Only the pets' species and staple preference follow what the household bought.
"""

from datetime import date, timedelta
from random import Random
from typing import Any, NamedTuple

from integrations.sandbox.history.places import PLACES

# 160 is a segment that no mainland operator numbers customers in, and four zeros follow: nobody can be called.
PHONE_PATTERN = "1600000####"

ACTIVITY = {"low": 25, "medium": 50, "high": 25}
BODY = {"underweight": 0.88, "ideal": 1.0, "overweight": 1.17}  # weight as a share of the breed's own
ALLERGENS = ("chicken", "beef", "fish", "lamb", "egg", "dairy", "wheat", "corn", "soy")
HEALTH = {
    "dog": ("肠胃敏感，换粮易软便", "皮肤易瘙痒", "泪痕较重", "轻度牙结石", "绝育后易胖"),
    "cat": ("肠胃敏感，偶尔吐毛球", "饮水少，注意泌尿健康", "轻度牙结石", "黑下巴", "绝育后易胖"),
}
SENIOR_NOTE = "年长，关节需养护"


class Breed(NamedTuple):
    """A breed, how often it is drawn, and the adult weight range in kg."""

    name: str
    weight: int
    low_kg: float
    high_kg: float


BREEDS = {
    "dog": (
        Breed("贵宾犬", 16, 3.0, 7.0),
        Breed("中华田园犬", 14, 10.0, 20.0),
        Breed("柯基犬", 12, 9.0, 13.0),
        Breed("金毛寻回犬", 11, 25.0, 34.0),
        Breed("拉布拉多犬", 9, 25.0, 35.0),
        Breed("比熊犬", 9, 4.0, 7.0),
        Breed("柴犬", 7, 8.0, 11.0),
        Breed("边境牧羊犬", 7, 14.0, 20.0),
        Breed("博美犬", 6, 1.8, 3.5),
        Breed("雪纳瑞犬", 5, 5.5, 8.0),
        Breed("法国斗牛犬", 4, 9.0, 13.0),
    ),
    "cat": (
        Breed("中华田园猫", 28, 3.5, 5.5),
        Breed("英国短毛猫", 22, 4.0, 7.0),
        Breed("美国短毛猫", 14, 3.5, 6.5),
        Breed("布偶猫", 12, 4.5, 8.5),
        Breed("暹罗猫", 7, 3.0, 5.0),
        Breed("加菲猫", 6, 3.5, 6.0),
        Breed("缅因猫", 5, 5.5, 9.0),
        Breed("斯芬克斯猫", 3, 3.0, 5.0),
    ),
}
GROWN_AFTER_DAYS = {"dog": 450, "cat": 365}
SENIOR_AFTER_DAYS = 9 * 365


class Bought(NamedTuple):
    """What a household's baskets say about its pets: species → staple forms bought, and the first day seen."""

    staples: dict[str, set[str]]
    first_day: date


def species_of(bought: Bought, rng: Random) -> list[str]:
    """One or two pets: both species if both were bought for, else one species, twice in a quarter of homes."""
    kinds = sorted(bought.staples)
    if len(kinds) == 2:
        return kinds
    kind = kinds[0] if kinds else rng.choice(["cat", "dog"])  # bought only what fits either: made up
    return [kind] * (2 if rng.random() < 0.25 else 1)


def make_pet(species: str, bought: Bought, rng: Random) -> dict[str, Any]:
    """One pet profile; age, weight and notes agree with each other on the household's first day."""
    breed = rng.choices(BREEDS[species], [b.weight for b in BREEDS[species]])[0]
    age_days = rng.randint(90, 330) if rng.random() < 0.08 else rng.randint(331, 13 * 365)
    body = rng.choices(list(BODY), [8, 66, 26])[0] if age_days > 365 else "ideal"
    grown = min(1.0, 0.25 + 0.75 * age_days / GROWN_AFTER_DAYS[species])
    forms = bought.staples.get(species, set()) & {"dry", "wet"}
    notes = [rng.choice(HEALTH[species])] if rng.random() < 0.25 else []
    if age_days > SENIOR_AFTER_DAYS and rng.random() < 0.5:
        notes.append(SENIOR_NOTE)
    neutered = age_days > 240 and rng.random() < (0.55 if species == "dog" else 0.8)
    if not neutered:
        notes = [note for note in notes if "绝育" not in note]
    return {
        "species": species,
        "breed": breed.name,
        "birth_date": (bought.first_day - timedelta(days=age_days)).isoformat(),
        "weight_kg": round(rng.uniform(breed.low_kg, breed.high_kg) * grown * BODY[body], 1),
        "activity_level": rng.choices(list(ACTIVITY), list(ACTIVITY.values()))[0],
        "staple_preference": forms.pop() if len(forms) == 1 else "mixed",
        "allergens": sorted(rng.sample(ALLERGENS, rng.choices([1, 2], [4, 1])[0])) if rng.random() < 0.18 else [],
        "neutered": neutered,
        "body_condition": body,
        "health_notes": "；".join(notes),
    }


def make_customer(household: int, bought: Bought, fake: Any, rng: Random) -> dict[str, Any]:
    """A customer with an address whose district lies in its city. `fake` is a Faker of locale zh_CN.

    The phone is unique as long as one Faker makes all customers.
    """
    place = rng.choices(PLACES, [place.weight for place in PLACES])[0]
    street = f"{fake.street_name()}{rng.randint(1, 399)}号"
    home = f"{rng.randint(1, 28)}栋{rng.randint(1, 4)}单元{rng.randint(1, 26)}{rng.randint(1, 4):02d}室"
    return {
        "id": f"H{household:04d}",
        "name": fake.name(),
        "phone": fake.unique.numerify(PHONE_PATTERN),
        "province": place.province,
        "city": place.city,
        "district": rng.choice(place.districts),
        "street": street + home,
        "pets": [make_pet(species, bought, rng) for species in species_of(bought, rng)],
    }
