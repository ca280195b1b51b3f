"""Kinds of rules that do not fit each other: said from both sides, whichever of them changes."""

from __future__ import annotations

import copy
from typing import Any

from sqlmodel import Session

from models.form_edits import FieldWish, with_field, without_field
from models.form_field import FieldKind
from models.rule_activation import activate_when_fit
from models.rule_columns import APPROVAL
from models.rule_desk import make_draft
from models.rule_edits import with_row
from models.rule_version import RuleKind, find_version
from tests.models.build import NOW

MATRIX, FORM, RECIPES = RuleKind.MATRIX, RuleKind.FORM, RuleKind.RECIPES
NOT_ASKED = "审批矩阵「健康备注」:订单表单不问这一项,审批时它总是空的"


def body_of(session: Session, kind: RuleKind) -> dict[str, Any]:
    return copy.deepcopy(find_version(session, kind, 1).body)


def warned(session: Session, kind: RuleKind, body: dict[str, Any]) -> list[str]:
    """What a draft is warned of; it has no problems."""
    made = make_draft(session, kind, body, "王敏", "", NOW)
    assert made.problems == []
    return [str(warning) for warning in made.warnings]


def activated(session: Session, kind: RuleKind, body: dict[str, Any]) -> None:
    number = make_draft(session, kind, body, "王敏", "", NOW).version.number
    activate_when_fit(session, kind, number, None, "王敏", "", NOW, untried_why="试")


def by_health(session: Session) -> dict[str, Any]:
    """A matrix that asks about what is said of a pet's health."""
    row = {"健康备注": "含 肾", "谁审核": "营养师", "理由": "病史"}
    return with_row(body_of(session, MATRIX), APPROVAL, row)


def test_a_form_without_a_question_that_the_matrix_asks_for_is_warned_of(session: Session) -> None:
    activated(session, MATRIX, by_health(session))
    form = body_of(session, FORM)

    assert NOT_ASKED in warned(session, FORM, without_field(form, "health_notes"))
    form["schema"]["title"] = "宠物"
    assert NOT_ASKED not in warned(session, FORM, form)


def test_a_matrix_that_asks_for_what_the_form_does_not_is_warned_of(session: Session) -> None:
    assert NOT_ASKED not in warned(session, MATRIX, by_health(session))
    activated(session, FORM, without_field(body_of(session, FORM), "health_notes"))

    assert NOT_ASKED in warned(session, MATRIX, by_health(session))


def test_a_choice_of_breed_that_the_form_no_longer_has_is_warned_of(session: Session) -> None:
    recipes = body_of(session, RECIPES)
    content = next(node["content"] for node in recipes["choice"]["nodes"] if "content" in node)
    content["inputs"].append({"id": "breed", "name": "品种", "field": "breed"})
    content["rules"][0]["breed"] = '"corgi"'
    activated(session, RECIPES, recipes)
    form = body_of(session, FORM)
    del form["schema"]["allOf"]
    changed = with_field(form, FieldWish("breed", "品种", FieldKind.CHOICE, choices="金毛、其他"))

    said = "选配方 第 1 行:「品种」写了 corgi,订单表单没有这个选项:这一行不会因它成立"
    assert said in warned(session, FORM, changed)
    assert said not in warned(session, FORM, form)


def test_an_allergen_that_nobody_knows_is_warned_of(session: Session) -> None:
    form = body_of(session, FORM)
    form["schema"]["properties"]["allergens"]["items"]["examples"].append("rabbit")
    form["schema"]["properties"]["allergens"]["x-names"]["rabbit"] = ["兔肉"]

    said = "订单表单「过敏原」的选项 兔肉:配方和食材里都没有这个过敏原:客户选了它,订单就要交给营养师"
    assert said in warned(session, FORM, form)
