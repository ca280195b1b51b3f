"""Orders of the past with the rulings that the starter rules gave them: for try-outs, few or a hundred thousand.

What an order is about is one of some hundreds of variants, each decided by the real rules; which one follows from its
number, so that every run is alike. Written set by set.
"""

from __future__ import annotations

import copy
import json
import random
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from models.database import transact, utcnow
from models.fulfilment import Stage
from models.matrix import FACTS, Matrix
from models.matrix_route import whom_to_ask, why_no_recipe
from models.order_facts import facts_of_recipes
from models.order_form import OrderForm, starter_form
from models.recipe import STARTER as RECIPES
from models.recipe import NoRecipe, RecipeBook, choose, pet_of, starter_recipes
from models.rule_version import RuleKind, draft
from tests.many_orders import place_many

STARTERS = RECIPES.parent
VARIANTS = 600
TODAY = date(2026, 11, 1)  # what the pets' ages are counted at
_WORDS = {"dog": "狗狗", "cat": "猫", "dry": "干粮", "wet": "湿粮", "mixed": "干湿混合"}
_ALLERGENS = ("chicken", "beef", "fish", "lamb", "duck", "rice")
_PROVINCES = ("广东省", "浙江省", "江苏省", "四川省", "北京市", "上海市")


@dataclass(frozen=True)
class Variant:
    """What an order is about, and what was decided: as in `models.ruling.Ruling`. `answers`: of each made line."""

    facts: dict[str, Any]
    pets: list[dict[str, Any]]
    route: list[dict[str, Any]]
    answers: list[dict[str, Any]]


def starter_bodies() -> dict[str, dict[str, Any]]:
    """Kind → the rules that a new installation starts with."""
    return {"form": starter_form(), "recipes": starter_recipes(), "matrix": starter_matrix()}


@cache
def variants(count: int = VARIANTS, seed: int = 5) -> tuple[Variant, ...]:
    """Two thirds are made to order, one in ten of these for two pets; one in eight is over 500 yuan."""
    rng, bodies = random.Random(seed), starter_bodies()
    form, book, matrix = OrderForm(bodies["form"]), RecipeBook(bodies["recipes"]), Matrix(bodies["matrix"])
    return tuple(_variant(rng, form, book, matrix) for _ in range(count))


def _variant(rng: random.Random, form: OrderForm, book: RecipeBook, matrix: Matrix) -> Variant:
    made = rng.random() < 0.66
    answers = [_answers(rng, form) for _ in range(2 if rng.random() < 0.1 else 1)] if made else []
    pets: list[dict[str, Any]] = []
    lacking = []
    for line_no, said in enumerate(answers, 1):
        result = form.check(said)
        assert result.complete, result
        pet = pet_of(result.values)
        try:
            code = choose(pet, book, TODAY).code
        except NoRecipe as none:
            code = ""
            lacking.append((line_no, str(none)))
        grams = rng.choice((1500, 2000, 3000, 6000))
        kept: dict[str, Any] = {"facts": pet.facts(TODAY), "allergens": sorted(pet.allergens), "recipe": code}
        pets.append({"line_no": line_no, "sku": "CUSTOM-FOOD", "grams": grams, **kept})
    amount = rng.randrange(50_000, 120_000) if rng.random() < 0.125 else rng.randrange(3_000, 50_000)
    facts = {
        "amount": amount / 100,
        "channel": rng.choice(("shopify", "wechat_shop", "douyin")),
        "shop": "many",
        "province": rng.choice(_PROVINCES),
        "quantity": rng.randrange(1, 5),
        "made_to_order": made,
        "skus": ["CUSTOM-FOOD"] if made else ["SNACK-01", "TOY-02"],
        "species": sorted({pet["facts"]["species"] for pet in pets}),
        "allergens": sorted({name for pet in pets for name in pet["allergens"]}),
        "health_notes": rng.choice(("", "", "", "肠胃敏感")) if made else "",
        "new_customer": rng.random() < 0.4,
        "address_risk": "",
        **facts_of_recipes([book[pet["recipe"]] for pet in pets if pet["recipe"]], why_no_recipe(lacking)),
    }
    assert facts.keys() == FACTS.keys()
    route = [{**asdict(asked), "rows": list(asked.rows)} for asked in whom_to_ask(matrix, facts).asked]
    return Variant(facts, pets, route, answers)


def _answers(rng: random.Random, form: OrderForm) -> dict[str, Any]:
    """A pet as customers tell it: in words, some questions left out."""
    species = rng.choice(("dog", "dog", "dog", "cat"))
    breed = rng.choice([code for code in form.limits({"species": species})["breed"].choices if code != "other"])
    limits = form.limits({"species": species, "breed": breed})["weight_kg"]
    assert limits.low is not None and limits.high is not None
    said: dict[str, Any] = {
        "species": _WORDS[species],
        "breed": form["breed"].choice_title(breed, "zh"),
        "weight_kg": f"{rng.uniform(limits.low, limits.high):.1f} kg",
        "birth_date": f"{rng.randrange(2013, 2026)}-{rng.randrange(1, 13):02}-15",
        "staple_preference": _WORDS[rng.choice(("dry", "dry", "dry", "wet", "mixed"))],
        "allergens": rng.sample(_ALLERGENS, rng.choice((1, 1, 2))) if rng.random() < 0.25 else "无",
        "activity_level": rng.choice(("低", "中", "高")),
    }
    if rng.random() < 0.7:
        said |= {"neutered": rng.choice(("是", "否")), "body_condition": rng.choice(("正常", "偏瘦", "偏胖"))}
    return said


_VARIANTS = """
CREATE TEMPORARY TABLE variant ON COMMIT DROP AS
SELECT n - 1 AS n, told -> 'facts' AS facts, told -> 'pets' AS pets, told -> 'route' AS route,
  told -> 'answers' AS answers
FROM jsonb_array_elements(CAST(:told AS jsonb)) WITH ORDINALITY AS each(told, n)
"""
_SPREAD = """
UPDATE orders SET placed_at = CAST(:now AS timestamptz) - make_interval(secs => (:last - id + 0.5) * :seconds),
  rules = CAST(:versions AS jsonb)
WHERE id BETWEEN :first AND :last
"""
_RULINGS = """
INSERT INTO ruling (order_id, at, versions, facts, pets, route)
SELECT o.id, o.placed_at, CAST(:versions AS jsonb), v.facts, v.pets, v.route
FROM orders o JOIN variant v ON v.n = o.id % :variants WHERE o.id BETWEEN :first AND :last
"""
_LINES = """
INSERT INTO order_line (order_id, line_no, channel_line_id, sku, title, quantity, cancelled_quantity, unit_price_fen,
  paid_fen, made_to_order, profile)
SELECT o.id, line.n, line.n::text, 'CUSTOM-FOOD', '', 1, 0, 0, 0, true, line.said
FROM orders o JOIN variant v ON v.n = o.id % :variants,
  jsonb_array_elements(v.answers) WITH ORDINALITY AS line(said, n)
WHERE o.id BETWEEN :first AND :last
"""


def place_past(session: Session, count: int, now: datetime, days: int) -> list[tuple[int, Variant]]:
    """Write `count` closed orders of the last `days` days, evenly, with their rulings; their ids and what they are."""
    known = variants()
    ids = place_many(session, count, now, Stage.CLOSED)
    span = {"first": ids.start, "last": ids.stop - 1}
    versions = json.dumps({kind.value: 1 for kind in RuleKind})
    connection = session.connection()
    connection.execute(text(_VARIANTS), {"told": json.dumps([asdict(variant) for variant in known])})
    step = {"now": now, "seconds": days * 86_400 / count}
    connection.execute(text(_SPREAD), {**span, **step, "versions": versions})
    connection.execute(text(_RULINGS), {**span, "versions": versions, "variants": len(known)})
    connection.execute(text(_LINES), {**span, "variants": len(known)})
    return [(number, known[number % len(known)]) for number in ids]


def starter_matrix() -> dict[str, Any]:
    """The approval matrix that a new installation starts with."""
    body: dict[str, Any] = json.loads((STARTERS / "matrix.json").read_text(encoding="utf-8"))
    return body


def a_draft(kind: RuleKind, body: dict[str, Any]) -> int:
    """The number of a new draft with these rules."""
    return transact(lambda session: draft(session, kind, body, "王敏", "试", utcnow()).number)


def table_in(model: dict[str, Any]) -> dict[str, Any]:
    """The content of a model's table, to be changed."""
    [content] = [node["content"] for node in model["nodes"] if node["type"] == "decisionTableNode"]
    found: dict[str, Any] = content
    return found


def stricter_matrix(over: int = 200) -> dict[str, Any]:
    """The starter matrix, with another sum from which a nutritionist is asked."""
    body = copy.deepcopy(starter_matrix())
    [row] = [row for row in table_in(body["approval"])["rules"] if row["_id"] == "amount"]
    row["amount"] = f"> {over}"
    return body
