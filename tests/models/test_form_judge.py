"""What a form does not allow is told as fast as can be, and always as the general validator tells it."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.form_check import check_form
from models.form_judge import FormJudge, condition_of
from models.order_form import OrderForm, starter_form
from tests.past_orders import variants

STARTER = starter_form()["schema"]
CODES = ("a", "b", "c", "other")

number = st.one_of(st.integers(-3, 9), st.floats(-3, 9, allow_nan=False).map(lambda value: round(value, 1)))
lengths = st.fixed_dictionaries({}, optional={"minLength": st.integers(0, 3), "maxLength": st.integers(0, 4)})
limit = st.fixed_dictionaries(
    {},
    optional={
        "enum": st.lists(st.one_of(st.sampled_from(CODES), st.booleans()), min_size=1, max_size=3),
        "const": st.one_of(st.sampled_from(CODES), st.booleans()),
        "minimum": number,
        "maximum": number,
        "minLength": st.integers(0, 4),
        "maxLength": st.integers(0, 4),
        "minItems": st.integers(0, 3),
        "maxItems": st.integers(0, 3),
        "type": st.sampled_from(["string", "number", "integer", "boolean", "array"]),
        "$comment": st.just("x"),
    },
)
question = st.one_of(
    limit,
    st.builds(lambda said, more: {"type": "string", **said, **more}, st.just({"format": "date"}), lengths),
    st.builds(
        lambda items, more, each: {
            "items": {"type": "string", **items},
            "uniqueItems": more,
            "title": "x",
            **each,
        },
        lengths,
        st.booleans(),
        st.fixed_dictionaries({}, optional={"maxItems": st.integers(0, 3)}),
    ),
)
NAMES = ("one", "two", "three", "four")
names = st.lists(st.sampled_from(NAMES), max_size=3, unique=True)
condition = st.fixed_dictionaries(
    {}, optional={"properties": st.dictionaries(st.sampled_from(NAMES), limit, max_size=2), "required": names}
)


def branches(inside: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """What is said under a condition: limits, required questions, further conditions; in any order."""
    part = st.fixed_dictionaries({"if": condition}, optional={"then": inside, "else": inside})
    said = {
        "properties": st.dictionaries(st.sampled_from(NAMES), limit, max_size=3),
        "required": names,
        "allOf": st.lists(part, max_size=4),
    }
    return st.fixed_dictionaries({}, optional=said).flatmap(
        lambda branch: st.permutations(list(branch.items())).map(dict)
    )


forms = st.builds(
    lambda questions, branch: {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "title": "x", **branch,
        "properties": questions,
    },
    st.dictionaries(st.sampled_from(NAMES), question, max_size=4),
    branches(branches(branches(st.just({})))),
)  # fmt: skip
answer = st.one_of(
    st.sampled_from(CODES),
    st.text(max_size=5),
    st.booleans(),
    number,
    st.dates().map(str),
    st.lists(st.sampled_from(CODES), max_size=4),
)


@settings(max_examples=400, deadline=None)
@given(form=forms, answers=st.lists(st.dictionaries(st.sampled_from(NAMES), answer), min_size=1, max_size=4))
def test_any_form_is_judged_as_the_library_judges_it(form: dict[str, Any], answers: list[dict[str, Any]]) -> None:
    judge = FormJudge(form)
    assert judge.is_ready
    for values in answers:
        assert judge.judge(values) == judge.by_library(values)


def test_the_starter_form_is_judged_as_the_library_judges_it() -> None:
    # given pets as customers tell them, of which many get the breed and the weight of the next one
    form, judge = OrderForm({"schema": STARTER}), FormJudge(STARTER)
    pets = [form.check(said).values for variant in variants() for said in variant.answers]
    mixed = [{**pet, "breed": other["breed"], "weight_kg": other["weight_kg"] * 3} for pet, other in pairwise(pets)]
    lacking = [{name: value for name, value in pet.items() if name != "species"} for pet in pets]
    # when they are judged
    judged = [judge.judge(values) for values in (*pets, *mixed, *lacking)]
    # then in each way alike
    assert judge.is_ready
    assert judged == [judge.by_library(values) for values in (*pets, *mixed, *lacking)]
    assert sum(bool(each.broken) for each in judged) > 100 and sum(bool(each.missing) for each in judged) == len(pets)


@pytest.mark.parametrize(
    "said",
    [
        {"pattern": "^a+$"}, {"oneOf": [{"const": "a"}]}, {"not": {"const": "a"}}, {"type": ["string", "null"]},
        {"enum": ["a", 1]}, {"const": None}, {"items": {"enum": ["a", 2]}}, {"$ref": "#/properties/two"},
        {"multipleOf": 2}, {"items": True}, {"$schema": "http://json-schema.org/draft-07/schema#"},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_form_may_not_say_is_left_to_the_library(said: dict[str, Any]) -> None:
    judge = FormJudge({"properties": {"one": said, "two": {"type": "string"}}, "required": ["two"]})
    assert not judge.is_ready
    judged = judge.judge({"one": 3})
    assert judged.missing == {"two"}
    assert judged == judge.by_library({"one": 3})


def test_every_form_that_is_fit_is_judged_here() -> None:
    # given the starter form with a condition of two answers, one for those that do not fulfil it, and one within
    form = copy.deepcopy(STARTER)
    small = {"properties": {"weight_kg": {"maximum": 3}}, "required": ["weight_kg"]}
    grown = {"properties": {"neutered": {"const": True}}, "required": ["neutered"]}
    form["allOf"] += [{"if": small, "then": {"allOf": [{"if": grown, "then": {"required": ["health_notes"]}}]}}]
    form["allOf"] += [{"if": {"required": ["birth_date"]}, "else": {"required": ["activity_level"]}}]
    # then it is fit, and asks for what it should
    assert check_form({"schema": form}) == []
    judge = FormJudge(form)
    assert judge.is_ready
    assert judge.judge({"weight_kg": 2, "neutered": True}).missing >= {"health_notes", "activity_level"}
    assert "health_notes" not in judge.judge({"weight_kg": 4, "neutered": True}).missing
    assert "activity_level" not in judge.judge({"birth_date": "2022-01-01"}).missing


@pytest.mark.parametrize(
    ("schema", "values", "holds"),
    [
        ({}, {}, True),
        ({"required": ["one"]}, {}, False),
        ({"properties": {"one": {"const": True}}, "required": ["one"]}, {"one": True}, True),
        ({"properties": {"one": {"const": True}}, "required": ["one"]}, {"one": 1.0}, False),
        ({"properties": {"one": {"const": "a"}}}, {}, True),
        ({"properties": {"one": {"const": "a"}}, "type": "object"}, {"one": ["a"]}, False),
        ({"not": {"required": ["one"]}}, {}, True),
        ({"not": {"required": ["one"]}}, {"one": "a"}, False),
    ],
)
def test_a_condition_holds_or_does_not(schema: dict[str, Any], values: dict[str, Any], holds: bool) -> None:
    assert condition_of(schema)(values) is holds
