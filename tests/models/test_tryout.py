"""Rules tried on orders of the past: exactly what would change, and nothing for the rules in force."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decision_table import TableBroken
from models.matrix import Matrix, roles_of
from models.matrix_route import AT_LAST, whom_to_ask
from models.tryout import Change, PastOrder
from models.tryout_tally import MOST_NAMED, Named, Tally
from tests.models.trying_rules import (
    DAY,
    LEAD,
    MOMENT,
    NUTRITIONIST,
    STARTER,
    answered,
    book,
    facts,
    matrix,
    on_trial,
    past,
    pet,
    tried,
)
from tests.past_orders import Variant, variants


def test_a_new_matrix_is_asked_about_every_order_and_compared_with_what_was_decided() -> None:
    # given six orders and a matrix: over 300 yuan a nutritionist in 30 minutes, over 900 the lead as well
    orders = [
        past(1, amount=100),
        past(2, amount=400),
        past(3, {"nutritionist": 22}, amount=200),
        past(4, {"nutritionist": 22}, amount=500),
        past(5, {"nutritionist": 30}, amount=1000),
        past(6, {"nutritionist": 30}, amount=350),
        PastOrder(7, "T-7", DAY, MOMENT),
    ]
    new = matrix(("> 300", "", NUTRITIONIST, "30"), ("> 900", "", LEAD, "60"))
    # when it is tried
    tally = tried(on_trial("matrix", new), orders)
    # then each order changes in its own way, or not at all; one without a ruling is counted, and not judged
    assert tally.changes == {"new_review": 1, "no_review": 1, "other_sla": 1, "other_roles": 1}
    assert (tally.orders, tally.ruled, tally.changed, tally.broken) == (7, 6, 4, 0)
    assert (tally.reviewed_before, tally.reviewed_after) == (4, 4)
    assert tally.roles_before == {"nutritionist": 4}
    assert tally.roles_after == {"nutritionist": 4, "customer_service_lead": 1}
    assert [(kind, order.order_no, order.words) for kind, order in tally.sample()] == [
        ("new_review", "T-2", "直通 → 营养师(30 分钟)"),
        ("no_review", "T-3", "营养师(22 分钟) → 直通"),
        ("other_roles", "T-5", "营养师(30 分钟) → 营养师(30 分钟)、客服主管(60 分钟)"),
        ("other_sla", "T-4", "营养师(22 分钟) → 营养师(30 分钟)"),
    ]


OLD = book(
    [("A", {"MEAT": 500}), ("B", {"FISH": 500})], ('"dry"', '"A"', "1"), ('"wet"', '"B"', "1"), MEAT=4000, FISH=9
)


def test_new_recipes_change_recipes_cost_and_the_reviews_of_those_orders_only() -> None:
    # given recipe A for dry and B for wet, and new ones: A has more meat, wet gets none, mixed gets B
    new = book(
        [("A", {"MEAT": 600}), ("B", {"FISH": 500})], ('"dry"', '"A"', "1"), ('"mixed"', '"B"', "1"), MEAT=4000, FISH=9
    )
    in_force = matrix(("", "true", NUTRITIONIST, "22"), ("> 50", "", LEAD, "60"))
    made: dict[str, Any] = {"made_to_order": True, "special_recipes": ""}
    orders = [
        past(1, pets=[pet("A", grams=2000)], recipes=["A"], ingredients=["MEAT"], **made),
        past(2, pets=[pet("B", "wet")], recipes=["B"], ingredients=["FISH"], **made),
        past(3, {"nutritionist": 22}, [pet("", "mixed")], no_recipe=True, why_no_recipe="x", **made),
        past(4),  # stocked
        past(5, pets=[pet("A"), pet("B", "wet", line_no=2)], recipes=["A", "B"], ingredients=["FISH", "MEAT"], **made),
    ]
    # when they are tried, by a matrix in force that now asks the lead about every order
    tally = tried(on_trial("recipes", new, {"1": OLD}, matrix=in_force), orders)
    # then the lead is asked only about the three orders whose facts changed: the others are as they were decided
    assert tally.roles_after == {"nutritionist": 2, "customer_service_lead": 3}
    assert (tally.reviewed_before, tally.reviewed_after) == (1, 3)
    assert tally.changes == {
        "other_cost": 1, "no_recipe": 2, "recipe_found": 1, "new_review": 2, "other_roles": 1,
    }  # fmt: skip
    assert tally.swaps == {"B → ": 2, " → B": 1}
    assert tally.recipes_before == {"A": 2, "B": 2, "": 1}
    assert tally.recipes_after == {"A": 2, "": 2, "B": 1}
    # and cost is compared where it is known on both sides: 2 kg of A, 500 → 600 g of meat per kg at 40 yuan
    assert (tally.made, tally.priced) == (4, 1)
    assert (tally.cost_before_fen, tally.cost_after_fen) == (4_000, 4_800)


def test_cost_is_unknown_where_an_ingredient_has_no_price() -> None:
    unpriced = book([("A", {"MEAT": 600})], ('"dry"', '"A"', "1"))
    tally = tried(on_trial("recipes", unpriced, {"1": OLD}), [past(1, pets=[pet("A")], recipes=["A"])])
    assert (tally.made, tally.priced, tally.cost_before_fen, tally.changed) == (1, 0, 0, 0)


def test_a_new_form_counts_who_would_be_asked_again_question_by_question() -> None:
    # given a form that newly asks how often a pet is fed, requires "neutered", and allows at most 20 kg
    new = json.loads(json.dumps(STARTER["form"]))
    new["schema"]["required"] += ["neutered", "meals"]
    new["schema"]["properties"]["meals"] = {"title": "每天几餐", "type": "integer", "x-order": 11}
    new["schema"]["properties"]["weight_kg"]["maximum"] = 20
    dog = {"species": "狗", "weight_kg": "12kg", "staple_preference": "干粮", "allergens": "无"}
    said: list[list[dict[str, Any]]] = [
        [dog],
        [{**dog, "neutered": "是", "meals": 2}],
        [{**dog, "neutered": "是", "meals": 2, "weight_kg": 30}, dog],
        [{**dog, "neutered": "是", "meals": 2, "weight_kg": 30}],
        [],
    ]
    orders = [answered(number, each) for number, each in enumerate(said, 1)]
    # when it is tried
    tally = tried(on_trial("form", new, {"1": STARTER["form"]}), orders)
    # then each order counts once for each question
    assert tally.asked == {"meals:missing": 2, "neutered:missing": 2, "weight_kg:wrong": 2}
    assert (tally.changes, tally.changed, tally.answered) == ({"held": 3}, 3, 4)
    assert {order.order_no: order.words for order in tally.named["held"]} == {
        "T-4": "体重", "T-3": "体重、绝育、每天几餐", "T-1": "绝育、每天几餐",
    }  # fmt: skip


def test_what_an_order_lacked_before_is_not_held_against_the_new_form() -> None:
    # given orders that wait for an answer under the form in force: one question of them is dropped
    new = json.loads(json.dumps(STARTER["form"]))
    new["schema"]["required"].remove("staple_preference")
    said = {"species": "狗", "weight_kg": "12kg", "allergens": "无"}
    waiting = [
        answered(1, [said], went_on=False),
        answered(2, [{"species": "狗"}], went_on=False),
        # somebody let this one pass without its weight
        answered(3, [{**said, "weight_kg": ""}]),
    ]
    tally = tried(on_trial("form", new, {"1": STARTER["form"]}), waiting)
    assert (tally.changes, tally.asked, tally.orders - tally.ruled) == ({"freed": 1}, {}, 2)


def test_a_table_that_cannot_judge_an_order_names_it_and_goes_on() -> None:
    # given a row that compares a word with a number
    broken = matrix(("> 300", "", NUTRITIONIST, "22"))
    orders = [past(1, amount=400), past(2, amount="four hundred"), past(3, amount=100)]
    # when it is tried
    tally = tried(on_trial("matrix", broken), orders)
    # then that order would go to a nutritionist, as it does in life, and is named with the reason
    assert (tally.broken, tally.changes) == (1, {"new_review": 2})
    [named] = tally.named["broken"]
    assert named.order_no == "T-2"
    assert "第 1 行" in named.words


def test_a_choice_of_recipe_that_cannot_judge_a_pet_names_its_order() -> None:
    broken = book([("A", {"MEAT": 500})], ("> 3", '"A"', "1"), MEAT=1)
    finding = on_trial("recipes", broken, {"1": OLD}).look(past(1, pets=[pet("A")], recipes=["A"]))
    assert len(finding.broken) == 1
    assert finding.changes.keys() == {Change.NO_RECIPE, Change.NEW_REVIEW}


@pytest.mark.parametrize("kind", ["matrix", "recipes"])
def test_rules_that_cannot_be_read_say_so(kind: str) -> None:
    with pytest.raises((TableBroken, KeyError)):
        on_trial(kind, {"approval": {"nodes": []}})


def test_nothing_passes_unseen_where_there_is_no_recipe() -> None:
    silent = Matrix(matrix(("> 300", "", NUTRITIONIST, "60")))
    # nobody is asked for it by a row: a nutritionist is, with the reason, and chooses
    asking = whom_to_ask(silent, facts(no_recipe=True, why_no_recipe="无"))
    assert (roles_of(asking.asked), asking.choosers) == ((AT_LAST,), {AT_LAST})
    # who is asked for something else as well, has the shorter time
    [asked] = whom_to_ask(silent, facts(amount=400, no_recipe=True, why_no_recipe="无")).asked
    assert (asked.reasons, asked.sla_minutes) == (("r", "无"), 22)
    # and a row that asks for it decides who chooses
    chosen = whom_to_ask(Matrix(matrix(("", "true", LEAD, "60"))), facts(no_recipe=True, why_no_recipe="无"))
    assert (roles_of(chosen.asked), chosen.choosers) == (("customer_service_lead",), {"customer_service_lead"})


def of_variant(number: int, variant: Variant) -> PastOrder:
    """A past order as it is read for a matrix or recipes."""
    day = f"2026-11-{number % 28 + 1:02}"
    return PastOrder(
        number, f"M-{number}", day, f"{day}T04:00:00+00:00", "1", variant.facts, variant.pets, variant.route
    )


PAST = [of_variant(number, variant) for number, variant in enumerate(variants(), 1)]


@pytest.mark.parametrize("kind", ["matrix", "recipes"])
def test_the_rules_in_force_change_nothing(kind: str) -> None:
    tally = tried(on_trial(kind, STARTER[kind], {"1": STARTER[kind]}), PAST)
    assert (tally.orders, tally.changed, tally.broken, tally.swaps) == (len(PAST), 0, 0, {})
    assert tally.reviewed_before == tally.reviewed_after > 0
    assert tally.cost_before_fen == tally.cost_after_fen


def test_the_form_in_force_changes_nothing() -> None:
    orders = [answered(number, variant.answers) for number, variant in enumerate(variants()[:60])]
    tally = tried(on_trial("form", STARTER["form"], {"1": STARTER["form"]}), orders)
    assert (tally.orders, tally.changed, tally.asked) == (60, 0, {})
    assert tally.answered > 20


@settings(max_examples=25, deadline=None)
@given(
    over=st.integers(0, 1200),
    second=st.integers(0, 1200),
    minutes=st.integers(1, 90),
    chunk=st.integers(1, 200),
    seed=st.integers(0, 1000),
)
def test_a_try_out_is_what_asking_every_order_again_would_say(
    over: int, second: int, minutes: int, chunk: int, seed: int
) -> None:
    # given a matrix of three rows, and the orders in pieces that are finished in any order
    new = matrix(
        (f"> {over}", "", NUTRITIONIST, str(minutes)), (f"> {second}", "", LEAD, "60"), ("", "true", NUTRITIONIST, "22")
    )
    trial, plainly = on_trial("matrix", new), Matrix(new)
    pieces = [PAST[start : start + chunk] for start in range(0, len(PAST), chunk)]
    random.Random(seed).shuffle(pieces)
    # when each piece is looked at by itself, and the counts travel as JSON
    tally = Tally()
    for piece in pieces:
        tally.add(Tally.of(json.loads(json.dumps(tried(trial, piece).plain()))))
    # then the sums are those of one pass, whatever the order
    assert tally == tried(trial, PAST)
    # and those of asking the matrix about every order
    kinds: Counter[str] = Counter()
    for order in PAST:
        assert order.facts is not None
        after = {asked.role: asked.sla_minutes for asked in plainly.route(order.facts)}
        before = {asked["role"]: asked["sla_minutes"] for asked in order.route}
        if before != after:
            same_roles = "other_sla" if before.keys() == after.keys() else "other_roles"
            kinds["new_review" if not before else "no_review" if not after else same_roles] += 1
    assert tally.changes == kinds
    assert tally.changed == kinds.total()


def test_the_sample_is_small_and_spread_over_the_kinds_of_change() -> None:
    tally = Tally()
    tally.named = {
        "new_review": [Named(n, f"T-{n}", "") for n in range(100, 60, -1)],
        "other_sla": [Named(n, f"T-{n}", "") for n in (100, 3)],
        "broken": [Named(100, "T-100", "")],
    }
    sample = tally.sample()
    assert len(sample) == MOST_NAMED
    assert len({order.id for _, order in sample}) == MOST_NAMED
    assert Counter(kind for kind, _ in sample) == {"broken": 1, "new_review": 18, "other_sla": 1}
