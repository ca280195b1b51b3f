"""Whether a draft of the form is fit to be asked: every mistake is a sentence, and nothing that is written raises."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.form_check import check_form
from models.order_form import OrderForm, starter_form

Schema = dict[str, Any]
PICKY = {"title": "挑食", "x-en": "Picky", "type": "boolean", "x-order": 11}


def problems(change: Callable[[Schema], object]) -> list[str]:
    """What is wrong with the starter form after this change."""
    body = copy.deepcopy(starter_form())
    change(body["schema"])
    return [str(problem) for problem in check_form(body)]


def question(name: str, **changes: Any) -> Callable[[Schema], object]:
    """A question is changed, or added."""
    return lambda schema: schema["properties"].setdefault(name, {}).update(changes)


def coat(*codes: str, **names: list[str]) -> Callable[[Schema], object]:
    """A question with these choices is added."""
    return question("coat", title="毛长", type="string", enum=list(codes), **{"x-order": 11, "x-names": names})


def when(name: str, value: Any, **then: Any) -> Callable[[Schema], object]:
    """A condition is added: this answer has these consequences."""
    return condition(**{"if": {"properties": {name: {"const": value}}, "required": [name]}, "then": then})


def condition(**part: Any) -> Callable[[Schema], object]:
    """A condition is added."""
    return lambda schema: schema["allOf"].append(part)


def test_the_starter_form_is_fit() -> None:
    assert check_form(starter_form()) == []


@pytest.mark.parametrize(
    "change",
    [
        question("picky", **PICKY),
        coat("long", "short", long=["长毛"], short=["短毛"]),
        question("meals", title="每天几餐", type="integer", minimum=1, maximum=6, **{"x-order": 3.5, "x-unit": "餐"}),
        question("last_visit", title="最近就诊", type="string", format="date", **{"x-order": 12, "x-past-years": 2}),
        when("neutered", True, required=["birth_date"]),
    ],
    ids=range(5),
)  # fmt: skip
def test_a_sound_change_is_fit(change: Callable[[Schema], object]) -> None:
    assert problems(change) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda schema: schema["properties"].pop("allergens"), "选配方需要这个字段"),
        (lambda schema: schema["required"].remove("weight_kg"), "选配方需要这个字段"),
        (question("species", type="number"), "species"),
        (question("picky", **{**PICKY, "title": ""}), "要有中文名称 title"),
        (question("picky", **{**PICKY, "x-order": 1}), "x-order 1 与别的字段相同"),
        (question("picky", title="挑食", type="boolean"), "要有顺序 x-order"),
        (question("picky", **{**PICKY, "type": "object"}), "类型 type 只能是"),
        (question("picky", **{**PICKY, "title": "体重"}), "属于多个字段,分不清:体重"),
        (question("Picky!", **PICKY), "字段名要用小写英文"),
        (question("breed", pattern="^(a+)+$"), "不支持正则表达式"),
        (question("breed", **{"$ref": "https://example.com/breeds.json"}), "不支持引用"),
        (question("breed", oneOf=[{"const": "x"}]), "表单不支持这个关键字"),
        (coat("long"), "没有叫法:long"),
        (coat("长", 长=["长"]), "代码要用英文"),
        (coat("a", "b", a=["长"], b=["长"]), "属于多个可选项"),
        (question("species", items={"type": "string"}), "items 只能用在多选"),
        (question("weight_kg", enum=["a"]), "enum 只能用在文字"),
        (question("weight_kg", minimum=200), "最小值 200 大于最大值 120"),
        (question("birth_date", format="uri"), "格式 format 只支持 date"),
        (question("birth_date", **{"x-past-years": -1}), "x-past-years"),
        (question("species", type="strnig"), "不是有效的 JSON Schema"),
        (lambda schema: schema.update(type="array"), "最外层要是"),
        (lambda schema: schema.update({"$defs": {}}), "不支持引用"),
        (lambda schema: schema["required"].append("color"), "必填的 color 不在 properties 里"),
        (condition(**{"if": {"properties": {"breed": {"const": "pug"}}}, "then": {}}), "也要写进 required"),
        (when("breed", "yak"), "没有这些可选项:yak"),
        (when("coat", "x"), "没有字段 coat"),
        (condition(then={}), "要写成"),
        (when("species", "cat", properties={"weight_kg": {"minimum": 500}}), "没有可以填的范围"),
        (lambda schema: [question(f"q{n}", title=f"问{n}", type="boolean")(schema) for n in range(60)], "字段太多"),
        (lambda schema: schema["allOf"].extend([{"if": {}, "then": {}}] * 700), "条件太多"),
        (question("health_notes", description="长" * 100_000), "太大"),
    ],
    ids=range(32),
)  # fmt: skip
def test_every_mistake_is_named(change: Callable[[Schema], object], said: str) -> None:
    told = problems(change)
    assert any(said in sentence for sentence in told), told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda schema: schema["properties"]["birth_date"].pop("format"), "类型只能是日期"),
        (question("neutered", type="string"), "类型只能是是否"),
        (lambda schema: schema["properties"].update(activity_level={**PICKY, "x-order": 5}), "类型只能是单选"),
        (lambda schema: schema["properties"]["body_condition"].pop("enum"), "类型只能是单选"),
        (question("health_notes", type="boolean"), "类型只能是文字"),
        (lambda schema: schema["properties"].update(breed={**PICKY, "x-order": 2}), "类型只能是单选"),
        (question("weight_kg", **{"x-unit": "斤"}), "单位 x-unit 只能是 kg"),
        (lambda schema: schema["properties"]["weight_kg"].pop("x-unit"), "单位 x-unit 只能是 kg"),
        (question("activity_level", enum=["low", "some"], **{"x-names": {"low": ["低"], "some": ["中"]}}), "代码 some"),
        (question("body_condition", enum=["fat"], **{"x-names": {"fat": ["胖"]}}), "代码 fat"),
        (question("staple_preference", enum=["raw"], **{"x-names": {"raw": ["生"]}}), "只能用 dry(干粮)、wet(湿粮)"),
        (question("species", **{"x-names": {"dog": ["猫"], "cat": ["狗"]}}), "「猫」的代码要是 cat,现在写成了 dog"),
        (question("allergens", items={"type": "string", "examples": ["c1"]}, **{"x-names": {"c1": ["鸡肉"]}}),
         "「鸡肉」的代码要是 chicken,现在写成了 c1"),
        (question("allergens", **{"x-none": ["没有", "鸡肉"]}), "x-none 里的「鸡肉」是一个选项"),
    ],
    ids=range(14),
)  # fmt: skip
def test_a_question_that_recipes_go_by_cannot_become_another(change: Callable[[Schema], object], said: str) -> None:
    told = problems(change)
    assert any(said in sentence for sentence in told), told


def test_a_form_need_not_ask_what_recipes_can_do_without_and_may_name_allergens_of_its_own() -> None:
    def less(schema: Schema) -> None:
        for name in ("birth_date", "neutered", "activity_level", "body_condition", "health_notes"):
            del schema["properties"][name]
        schema["properties"]["allergens"]["items"]["examples"].append("rabbit")
        schema["properties"]["allergens"]["x-names"]["rabbit"] = ["兔肉"]

    assert problems(less) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (question("breed", **{"x-order": 10**400}), "有的数字太大:最大 1000000000"),
        (question("weight_kg", minimum=10**400), "有的数字太大"),
        (when("species", "cat", properties={"weight_kg": {"minimum": 10**400}}), "有的数字太大"),
        (question("breed", pattern="a{99999999999999999999}"), "不支持正则表达式"),
        (question("breed", pattern="(" * 5_000 + ")" * 5_000), "不支持正则表达式"),
        (lambda schema: schema.update({5: 2, "a": 3}), "都要是文字"),
        (question("breed", **{"x-aliases": None}), "x-aliases"),
        (question("breed", title=None), "不是有效的 JSON Schema"),
    ],
    ids=range(8),
)  # fmt: skip
def test_what_no_form_can_hold_is_answered_in_words(change: Callable[[Schema], object], said: str) -> None:
    told = problems(change)
    assert any(said in sentence for sentence in told), told


@pytest.mark.parametrize("body", [None, [], {}, {"schema": None}, {"schema": []}, {"schema": {}}])
def test_what_is_no_form_at_all_is_answered(body: object) -> None:
    assert len(check_form(body)) == 1


@pytest.mark.parametrize(
    ("word", "value"), [("x-order", 10**400), ("x-order", None), ("x-aliases", [5, None]), ("x-aliases", None)]
)
def test_a_draft_that_is_not_fit_can_be_shown(word: str, value: object) -> None:
    body = copy.deepcopy(starter_form())
    body["schema"]["properties"]["breed"][word] = value

    assert check_form(body) != []
    assert OrderForm(body)["breed"].title() == "品种"


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inside: st.one_of(
        st.lists(inside, max_size=3),
        st.dictionaries(
            st.one_of(
                st.text(max_size=5),
                st.sampled_from(["type", "enum", "items", "if", "then", "allOf", "properties", "required", "title",
                                 "x-names", "x-none", "x-order", "x-aliases", "x-other", "x-past-years", "minimum"]),
            ),
            inside,
            max_size=5,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(body=anything, name=st.sampled_from(["species", "breed", "weight_kg", "allergens", "neutered", "new"]))
def test_whatever_is_written_is_answered_and_what_is_fit_can_be_asked(body: Any, name: str) -> None:
    assert all(str(problem) for problem in check_form(body))
    assert all(str(problem) for problem in check_form({"schema": body}))
    form = copy.deepcopy(starter_form())
    form["schema"]["properties"][name] = body
    if check_form(form) == []:
        OrderForm(form).check({"species": "dog"})


words = ["x-names", "x-none", "x-order", "x-aliases", "x-other", "x-past-years", "x-unit", "x-en", "enum", "minimum",
         "items", "examples", "maxLength", "format", "uniqueItems", "const", "maxItems"]  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    word=st.sampled_from(words),
    value=anything,
    name=st.sampled_from(["species", "breed", "birth_date", "weight_kg", "allergens", "neutered"]),
)
def test_a_word_that_is_written_wrong_is_answered(word: str, value: Any, name: str) -> None:
    form = copy.deepcopy(starter_form())
    form["schema"]["properties"][name][word] = value
    if check_form(form) == []:
        fit = OrderForm(form)
        fit.check(
            {
                "species": "dog",
                "weight_kg": 12,
                "birth_date": "3岁",
                "allergens": "鸡",
                "neutered": "是",
                "breed": "金毛",
            }
        )
        fit.told({"weight_kg": 12, "allergens": ["鸡"]})
        assert fit.limits({"species": "dog"})
