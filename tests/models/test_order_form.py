"""The order form: answers in anybody's words are read, judged by the schema, and named when they cannot be."""

from __future__ import annotations

import copy
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from integrations.sandbox.baskets import pet_answers
from integrations.sandbox.history import customers
from models.form_field import Field
from models.order_form import OrderForm, starter_form

NOW = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)
FORM = OrderForm(starter_form())
WHOLE_BUT_ALLERGENS = {"species": "狗", "weight_kg": "12", "staple_preference": "干粮"}
WHOLE = {**WHOLE_BUT_ALLERGENS, "allergens": "无"}


def changed(**questions: Any) -> OrderForm:
    """The starter form with other or more questions."""
    body = copy.deepcopy(starter_form())
    body["schema"]["properties"].update(questions)
    return OrderForm(body)


def test_the_starter_asks_the_ten_questions_in_their_order() -> None:
    assert [(field.name, field.title(), field.title("en")) for field in FORM.fields] == [
        ("species", "物种", "Species"),
        ("breed", "品种", "Breed"),
        ("birth_date", "出生日期或年龄", "Birth date or age"),
        ("weight_kg", "体重", "Weight"),
        ("activity_level", "活动量", "Activity"),
        ("staple_preference", "主食偏好", "Staple food"),
        ("allergens", "过敏原", "Allergens"),
        ("neutered", "绝育", "Neutered"),
        ("body_condition", "体况", "Body condition"),
        ("health_notes", "健康备注", "Health notes"),
    ]
    assert [field.name for field in FORM.fields if field.required] == [
        "species", "weight_kg", "staple_preference", "allergens",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "said", "read"),
    [
        ("species", "犬", "dog"), ("species", "狗狗", "dog"), ("species", " DOG ", "dog"), ("species", "猫咪", "cat"),
        ("species", ["猫"], "cat"),
        ("breed", "金毛", "golden_retriever"), ("breed", "藏獒", "other"),
        ("breed", "Golden Retriever", "golden_retriever"),
        ("weight_kg", "12公斤", 12.0), ("weight_kg", "24斤", 12.0), ("weight_kg", "１２．５ｋｇ", 12.5),
        ("weight_kg", "约 12 千克", 12.0), ("weight_kg", "12kg左右", 12.0), ("weight_kg", "9500克", 9.5),
        ("weight_kg", 12, 12.0), ("weight_kg", 12.3456, 12.346),
        ("allergens", "无", []), ("allergens", "N/A", []), ("allergens", [], []),
        ("allergens", "鸡肉、牛肉", ["chicken", "beef"]), ("allergens", "对鸡肉过敏", ["chicken"]),
        ("allergens", "鸡肉和三文鱼", ["chicken", "fish"]), ("allergens", "sweet potato", ["potato"]),
        ("allergens", "鸡肉 牛肉", ["chicken", "beef"]), ("allergens", "chicken and Beef", ["chicken", "beef"]),
        ("allergens", ["鸡", "chicken", "鸭/鹅"], ["chicken", "duck", "鹅"]),
        ("allergens", "花生", ["花生"]),
        ("neutered", "是", True), ("neutered", "已绝育", True), ("neutered", "未绝育", False), ("neutered", 0, False),
        ("neutered", "yes", True), ("neutered", False, False),
        ("birth_date", "2022年6月1日", "2022-06-01"), ("birth_date", "2022-6", "2022-06-01"),
        ("birth_date", "20220601", "2022-06-01"), ("birth_date", "2022-06-01T08:00:00Z", "2022-06-01"),
        ("birth_date", "3岁", "2023-11-11"), ("birth_date", "三岁半", "2023-05-11"),
        ("birth_date", "8个月", "2026-03-11"),
        ("birth_date", "2 years", "2024-11-11"), ("birth_date", "十二岁", "2014-11-11"),
        ("birth_date", "半岁", "2026-05-11"),
        ("health_notes", "无", ""), ("health_notes", "肠胃\x00敏感\r\n易吐", "肠胃 敏感\n易吐"),
    ],
)  # fmt: skip
def test_what_people_say_is_read_into_codes(question: str, said: Any, read: Any) -> None:
    result = FORM.check({question: said}, NOW)
    assert result.values == {question: read}
    assert result.wrong == ()


@pytest.mark.parametrize(
    "said", ["很胖", "10-12", "12 年", "nan", "", None, [], {}, True, math.inf, "9" * 5000, "12磅重"]
)
def test_a_weight_that_is_none_is_not_one(said: Any) -> None:
    result = FORM.check({**WHOLE, "weight_kg": said}, NOW)
    assert "weight_kg" not in result.values
    assert result.asked == ("weight_kg",)


def test_channels_call_questions_by_names_of_their_own() -> None:
    told = {
        "宠物物种": "猫",
        "体重": "4.2",
        "主食偏好": "湿粮",
        "忌口": "鱼",
        "年龄": "2岁",
        "是否绝育": "是",
        "备注": "快点",
    }
    result = FORM.check(told, NOW)
    assert result.complete
    assert result.values == {
        "species": "cat", "weight_kg": 4.2, "staple_preference": "wet", "allergens": ["fish"],
        "birth_date": "2024-11-11", "neutered": True,
    }  # fmt: skip


def test_the_questions_own_name_counts_before_what_channels_call_it() -> None:
    assert FORM.check({"species": "dog", "物种": "猫"}, NOW).values == {"species": "dog"}


@pytest.mark.parametrize("blank", ["", "  ", "-", "\u3000", "\n", ",,", ["", " "]])
def test_a_blank_is_no_answer_about_allergens(blank: object) -> None:
    assert FORM.check({**WHOLE, "allergens": blank}, NOW).missing == ("allergens",)


@pytest.mark.parametrize(
    ("said", "allergens"),
    [
        ({"allergens": "", "过敏原": "鸡肉"}, ["chicken"]),
        ({"忌口": "", "过敏原": "鸡肉"}, ["chicken"]),
        ({"忌口": " ", "过敏": "-", "过敏食材": "牛肉"}, ["beef"]),
        ({"allergens": "无", "过敏原": "鸡肉"}, ["chicken"]),
        ({"忌口": "牛肉", "过敏原": "鸡肉"}, ["chicken", "beef"]),
        ({"allergens": [], "过敏原": "鸡肉"}, []),  # answered on our own form
        ({"allergens": "无," * 26 + "鸡肉"}, ["chicken"]),
        ({"allergens": ["无"] * 30 + ["鸡肉"]}, ["chicken"]),
        ({"allergens": "鸡肉," * 30 + "牛肉"}, ["chicken", "beef"]),
    ],
)
def test_no_allergen_is_lost_to_a_blank_or_to_another_name(said: dict[str, object], allergens: list[str]) -> None:
    for answers in ({**WHOLE_BUT_ALLERGENS, **said}, dict(reversed({**WHOLE_BUT_ALLERGENS, **said}.items()))):
        assert FORM.check(answers, NOW).values["allergens"] == allergens


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("牛肉 " * 1_300, ["beef"]),
        ("鸡肉和牛肉和羊肉和鸭肉 chicken and beef and lamb and duck and 鸡肉", ["chicken", "beef", "lamb", "duck"]),
        ("对" * 3_999, None),
        ("过敏" * 1_999, None),
        (" ".join(f"肉{number}" for number in range(900)), None),
        ("、".join(["对" * 3_999] * 4), None),
    ],
    ids=["one many times", "many in a row", "a prefix", "a suffix", "unknown ones", "several"],
)
def test_a_long_answer_about_allergens_is_read_or_refused_with_few_looks_at_the_list(
    said: str, read: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    code_of = Field.code_of
    monkeypatch.setattr(Field, "code_of", lambda field, said: (looks.append(said), code_of(field, said))[1])
    result = FORM.check({**WHOLE, "allergens": said}, NOW)
    assert result.values.get("allergens") == read
    assert [wrong.field for wrong in result.wrong] == ([] if read else ["allergens"])
    assert len(looks) < 40


def test_more_allergens_than_the_form_takes_are_refused_and_not_cut() -> None:
    many = ",".join(f"食材{chr(0x4E00 + number)}" for number in range(25)) + ",鸡肉"
    (wrong,) = FORM.check({**WHOLE, "allergens": many}, NOW).wrong
    assert wrong.field == "allergens"


def test_what_is_not_answered_is_missing_and_an_empty_list_is_an_answer() -> None:
    assert FORM.check({}, NOW).missing == ("species", "weight_kg", "staple_preference", "allergens")
    assert FORM.check({**WHOLE, "allergens": []}, NOW).complete
    assert FORM.check({**WHOLE, "allergens": None}, NOW).missing == ("allergens",)


def test_a_weight_is_judged_by_the_breed_and_the_sentence_says_from_where_to_where() -> None:
    (wrong,) = FORM.check({**WHOLE, "breed": "吉娃娃", "weight_kg": "80"}, NOW).wrong
    assert (wrong.field, wrong.why) == ("weight_kg", "体重 80 kg 对吉娃娃不合理,请填 1 到 6 kg 之间")
    (wrong,) = FORM.check({**WHOLE, "breed": "吉娃娃", "weight_kg": "80"}, NOW, "en").wrong
    assert wrong.why == "Weight 80 kg is not plausible for chihuahua: please give 1 to 6 kg"
    (wrong,) = FORM.check({**WHOLE, "species": "猫", "weight_kg": "40"}, NOW).wrong
    assert wrong.why == "体重 40 kg 对猫不合理,请填 0.3 到 15 kg 之间"


def test_a_breed_of_the_other_species_is_named() -> None:
    result = FORM.check({**WHOLE, "species": "猫", "weight_kg": 4, "breed": "金毛"}, NOW)
    assert [wrong.field for wrong in result.wrong] == ["breed"]
    assert result.wrong[0].why.startswith("品种「金毛寻回犬」与猫不符,请从 中华田园猫、")
    assert result.values["weight_kg"] == 4.0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("2026-11-12", "还没有到"),
        ("1986-01-01", "超过 40 年"),
        ("41岁", "超过 40 年"),
        ("2022-13-01", "看不懂"),
        ("不知道", "看不懂"),
    ],
)
def test_a_birthday_that_cannot_be_is_named(said: str, words: str) -> None:
    (wrong,) = FORM.check({**WHOLE, "birth_date": said}, NOW).wrong
    assert wrong.field == "birth_date"
    assert words in wrong.why


def test_today_is_a_birthday_where_the_customer_is() -> None:
    late = datetime(2026, 11, 11, 17, 0, tzinfo=UTC)  # 1 o'clock of the 12th in Shanghai
    assert FORM.check({**WHOLE, "birth_date": "2026-11-12"}, late).complete


def test_a_species_that_is_none_of_ours_is_wrong_and_not_missing() -> None:
    result = FORM.check({**WHOLE, "species": "仓鼠"}, NOW)
    assert result.missing == ()
    assert [wrong.why for wrong in result.wrong] == ["物种「仓鼠」不在可选项里,请从 狗、猫 中选"]


def test_a_pet_is_told_by_the_forms_titles_and_words() -> None:
    pet = {"species": "dog", "breed": "藏獒", "weight_kg": 12.0, "allergens": ["chicken", "花生"], "neutered": "false",
           "birth_date": "不清楚", "health_notes": "", "source": "live"}  # fmt: skip
    assert FORM.told(pet, now=NOW) == {
        "物种": "狗", "品种": "其他(藏獒)", "出生日期或年龄": "不清楚", "体重": "12 kg", "过敏原": "鸡肉、花生",
        "绝育": "未绝育",
    }  # fmt: skip
    assert FORM.told({"allergens": [], "neutered": True, "staple_preference": "wet"}, "en", NOW) == {
        "Staple food": "wet", "Allergens": "none", "Neutered": "yes",
    }  # fmt: skip


def test_a_question_that_was_added_is_read_judged_and_told() -> None:
    form = changed(
        picky={"title": "挑食", "type": "boolean", "x-order": 4.5},
        meals={"title": "每天几餐", "type": "integer", "minimum": 1, "maximum": 6, "x-unit": "餐", "x-order": 11},
    )
    result = form.check({**WHOLE, "挑食": "是", "meals": "9餐"}, NOW)
    assert result.values["picky"] is True
    assert [wrong.why for wrong in result.wrong] == ["每天几餐 9 餐 不合理,请填 1 到 6 餐 之间"]
    assert list(form.told({"picky": True, "meals": 2, "weight_kg": 3}, now=NOW).items()) == [
        ("体重", "3 kg"), ("挑食", "是"), ("每天几餐", "2 餐"),
    ]  # fmt: skip
    assert form.check({**WHOLE, "meals": 2.5}, NOW).asked == ("meals",)


def test_limits_follow_the_answers() -> None:
    assert (FORM.limits({})["weight_kg"].low, FORM.limits({})["weight_kg"].high) == (0.3, 120)
    of_a_cat = FORM.limits({"species": "cat"})
    assert of_a_cat["weight_kg"].high == 15
    assert "ragdoll" in of_a_cat["breed"].choices and "corgi" not in of_a_cat["breed"].choices
    assert of_a_cat["breed"].because == ("猫", "cat")
    assert len(FORM.rules) == 39


def test_every_pet_of_the_history_is_complete_and_none_of_its_answers_is_changed() -> None:
    for customer in customers().values():
        for pet in customer.pets:
            told = pet_answers(pet, timedelta(days=600))
            result = FORM.check(told, NOW)
            assert result.complete, (told, result)
            assert result.values["species"] == pet.species
            assert result.values["allergens"] == list(pet.allergens)
            assert result.values["weight_kg"] == pet.weight_kg
            assert result.values["neutered"] == pet.neutered
            assert result.values["breed"] != "other"


words = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "狗",
            "猫",
            "金毛",
            "布偶",
            "对对鸡肉过敏过敏",
            "无",
            "对无过敏",
            "鸡,牛",
            "三岁",
            "12斤",
            "是",
            "干",
            "İ",
            "ß",
            "n/a",
        ]
    ),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words, st.binary(max_size=4)),
    lambda inside: st.one_of(st.lists(inside, max_size=4), st.dictionaries(words, inside, max_size=3)),
    max_leaves=6,
)
names = st.one_of(st.sampled_from([field.name for field in FORM.fields]), st.sampled_from(["体重", "物种", ""]), words)


@settings(max_examples=400, deadline=None)
@given(answers=st.dictionaries(names, anything, max_size=8))
@example(
    answers={"allergens": "x" * 100_000, "weight_kg": 10**400, "breed": [[[[]]]], "health_notes": "\ud800\x00" * 9}
)
@example(answers={"allergens": [f"{number}号" for number in range(500)], "birth_date": "9" * 9000})
def test_whatever_is_answered_is_judged_and_judging_again_changes_nothing(answers: dict[str, Any]) -> None:
    result = FORM.check(answers, NOW)
    again = FORM.check(result.values, NOW)
    assert again.values == result.values
    assert again.wrong == ()
    assert FORM.told(answers, now=NOW) is not None
    assert all(len(wrong.why) < 300 and wrong.why.isprintable() for wrong in result.wrong)
    assert "\x00" not in str(result.values)
