"""A question that is replaced keeps what recipes know it by: the codes of its choices, its unit, its "nothing"."""

from __future__ import annotations

from typing import Any

import pytest

from models.form_check import check_form
from models.form_edits import FieldWish, with_field, without_field
from models.form_field import FieldKind
from models.order_form import OrderForm, starter_form

FORM = starter_form()
DOG = {"species": "狗", "weight_kg": "12公斤", "staple_preference": "干粮", "allergens": "无", "birth_date": "3岁"}


def asked(wish: FieldWish, body: dict[str, Any] = FORM, **answers: Any) -> Any:
    """The answer as the form reads it after this change; the form is fit."""
    changed = with_field(body, wish)
    assert check_form(changed) == []
    result = OrderForm(changed).check({**DOG, **answers})
    assert result.complete, result
    return result.values[wish.name]


@pytest.mark.parametrize(
    ("name", "title", "choices", "said", "code"),
    [
        ("activity_level", "运动量", "低、中等、高", "高", "high"),
        ("body_condition", "体况", "偏瘦、正常、偏胖", "超重", "overweight"),
        ("staple_preference", "主食", "干粮、湿粮、混合", "混合", "mixed"),
        ("activity_level", "运动量", "low=不太动、high=很爱动", "不太动", "low"),
    ],
)
def test_choices_keep_the_codes_of_their_names(name: str, title: str, choices: str, said: str, code: str) -> None:
    required = name == "staple_preference"
    answer: dict[str, Any] = {name: said}
    assert asked(FieldWish(name, title, FieldKind.CHOICE, required, choices=choices), **answer) == code


def test_a_question_that_is_asked_again_has_the_codes_that_recipes_know() -> None:
    wish = FieldWish("activity_level", "活动量", FieldKind.CHOICE, choices="低、中、高")
    assert asked(wish, without_field(FORM, "activity_level"), activity_level="中") == "medium"


def test_allergens_stay_what_they_were_and_nothing_stays_nothing() -> None:
    wish = FieldWish("allergens", "忌口", FieldKind.MANY, required=True, choices="无、没有、鸡肉、牛肉、兔肉")

    assert asked(wish, allergens="没有") == []
    assert asked(wish, allergens="鸡、牛肉") == ["chicken", "beef"]
    assert asked(wish, allergens="袋鼠") == ["袋鼠"]  # others may still be named


def test_a_weight_keeps_its_unit_and_a_birthday_may_still_be_an_age() -> None:
    assert asked(FieldWish("weight_kg", "体重", FieldKind.NUMBER, required=True, maximum=90), weight_kg="20斤") == 10.0
    assert asked(FieldWish("birth_date", "年龄", FieldKind.DATE), birth_date="3岁")
    assert asked(FieldWish("neutered", "绝育了吗", FieldKind.YES_NO), neutered="已绝育") is True
    assert asked(FieldWish("health_notes", "病史", FieldKind.TEXT), health_notes="健康") == ""


def test_an_age_as_text_or_a_weight_in_another_unit_is_not_fit() -> None:
    text = with_field(FORM, FieldWish("birth_date", "年龄", FieldKind.TEXT, help="例如 3岁"))
    assert any("类型只能是日期" in str(problem) for problem in check_form(text))
    jin = with_field(FORM, FieldWish("weight_kg", "体重", FieldKind.NUMBER, required=True, unit="斤"))
    assert any("单位 x-unit 只能是 kg" in str(problem) for problem in check_form(jin))
