"""What one kind of rules says of another: recipes that the matrix names, questions that the choice of a recipe needs.

Kinds change one at a time, so what does not fit today may fit tomorrow: these are warnings. Only what would spoil
goods that we sell is a problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from models.decision_table import TableBroken, content_of
from models.form_field import field_of
from models.product import Product, Unit
from models.recipe import RecipeBook
from models.rule_columns import APPROVAL, CHOICE, Table
from models.rule_version import RuleKind, find_version, numbers_in_force
from models.table_cell import read_cell
from models.table_check import Problem

Body = Mapping[str, Any]

#: Facts of a pet → the question that they come from, where it has another name.
_QUESTIONS = {"staple": "staple_preference", "age_months": "birth_date"}


def misfits(session: Session, kind: RuleKind, body: Body, at: datetime) -> list[Problem]:
    """What these rules name that the rules in force at this moment do not have, and the other way round."""
    numbers = numbers_in_force(session, at)
    others = {other: find_version(session, other, numbers[other.value]).body for other in RuleKind if other is not kind}
    match kind:
        case RuleKind.MATRIX:
            return [
                *_names_recipes(body, others[RuleKind.RECIPES]),
                *_names_goods(session, body),
                *_asks(body, APPROVAL, others[RuleKind.FORM]),
            ]
        case RuleKind.RECIPES:
            form = others[RuleKind.FORM]
            return [
                *_names_recipes(others[RuleKind.MATRIX], body),
                *_asks(body, CHOICE, form),
                *_strange_allergens(body, form),
            ]
        case RuleKind.FORM:
            recipes = others[RuleKind.RECIPES]
            return [
                *_asks(recipes, CHOICE, body),
                *_asks(others[RuleKind.MATRIX], APPROVAL, body),
                *_strange_allergens(recipes, body),
            ]


def spoils(session: Session, kind: RuleKind, body: Body) -> list[Problem]:
    """Ingredients whose SKU is goods that we sell: saving them as ingredients would make the goods grams."""
    if kind is not RuleKind.RECIPES:
        return []
    skus = [str(one["sku"]) for one in body["ingredients"]]
    goods = select(Product.sku, Product.title).where(col(Product.sku).in_(skus), Product.unit != Unit.GRAM.value)
    return [
        Problem(f"食材 {sku}", f"这个编码已经是商品「{title}」:食材请另用一个编码")
        for sku, title in session.exec(goods)
    ]


def _names_recipes(matrix: Body, recipes: Body) -> list[Problem]:
    known = {
        "recipes": {str(one["code"]) for one in recipes["recipes"]},
        "ingredients": {str(one["sku"]) for one in recipes["ingredients"]},
    }
    return [
        Problem(
            f"审批矩阵 第 {number} 行", f"「{APPROVAL.inputs[field].name}」写了 {name},配方里没有它:这一行不会因它成立"
        )
        for field, there in known.items()
        for number, name in _named(matrix, APPROVAL, field)
        if name not in there
    ]


def _names_goods(session: Session, matrix: Body) -> list[Problem]:
    named = list(_named(matrix, APPROVAL, "skus"))
    known = set(session.exec(select(Product.sku).where(col(Product.sku).in_([name for _, name in named]))))
    return [
        Problem(f"审批矩阵 第 {number} 行", f"「商品」写了 {name},商品目录里没有它")
        for number, name in named
        if name not in known
    ]


def _asks(rules: Body, table: Table, form: Body) -> list[Problem]:
    """Columns of a pet's facts that the form does not ask about, and choices that it does not have."""
    questions = form["schema"].get("properties", {})
    asked = dict.fromkeys(column.field for column in content_of(rules[table.key]).inputs)
    found = []
    for fact in (each for each in asked if each in CHOICE.inputs and each in table.inputs):
        name, question = table.inputs[fact].name, _QUESTIONS.get(fact, fact)
        if question not in questions:
            why = "订单表单不问这一项,选配方时它总是空的" if table is CHOICE else "订单表单不问这一项,审批时它总是空的"
            found.append(Problem(f"{table.name}「{name}」", why))
            continue
        codes = questions[question].get("enum", ())
        found += [
            Problem(f"{table.name} 第 {number} 行", f"「{name}」写了 {said},订单表单没有这个选项:这一行不会因它成立")
            for number, said in _named(rules, table, fact)
            if codes and said not in codes
        ]
    return found


def _strange_allergens(recipes: Body, form: Body) -> list[Problem]:
    """Allergens that the form offers and neither we nor the recipes know: a person decides about all of these pets."""
    try:
        question, known = field_of("allergens", form["schema"]["properties"]["allergens"], True), RecipeBook(recipes)
    except (KeyError, TypeError, TableBroken):
        return []  # not fit, and told as such
    strange = [each.title() for each in question.choices if each.code not in known.known_allergens]
    why = "配方和食材里都没有这个过敏原:客户选了它,订单就要交给营养师"
    return [Problem(f"订单表单「{question.title()}」的选项 {name}", why) for name in strange]


def _named(body: Body, table: Table, field: str) -> Iterator[tuple[int, str]]:
    """Every word that the cells of a column name, with the number of its row as people count."""
    content = content_of(body[table.key])
    columns = [column.id for column in content.inputs if column.field == field]
    for row in content.rows:
        for column in columns:
            yield from ((row.number, said) for said in read_cell(row.cells.get(column, "")).texts)
