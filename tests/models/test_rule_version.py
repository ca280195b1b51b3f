"""Versions of the rules: which holds when, what an order keeps, and what the database is not asked to keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from models.matrix import Matrix
from models.order import Order
from models.rule_columns import APPROVAL
from models.rule_edits import with_row
from models.rule_history import at_moment, earlier, listed, turns
from models.rule_version import (
    RuleActivation,
    RuleKind,
    RulesRefused,
    RuleVersion,
    activate,
    digest_of,
    draft,
    find_version,
    numbers_in_force,
    versions,
)
from models.rules_in_force import matrix_of
from tests.models.build import NOW, cans, incoming, open_shop, taken

MATRIX, FORM, RECIPES = RuleKind.MATRIX, RuleKind.FORM, RuleKind.RECIPES
HOUR = timedelta(hours=1)


def body_over(session: Session, amount: int) -> dict[str, Any]:
    """The matrix that a new installation starts with, with another threshold."""
    cells = {"金额(元)": f"> {amount}", "谁审核": "营养师", "理由": "大额"}
    return with_row(find_version(session, MATRIX, 1).body, APPROVAL, cells, name="amount")


def made(session: Session, amount: int) -> RuleVersion:
    return draft(session, MATRIX, body_over(session, amount), "王敏", "试", NOW)


def test_a_new_installation_has_one_version_of_each_kind_that_has_always_held(session: Session) -> None:
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)

    assert numbers_in_force(session, long_ago) == {"form": 1, "recipes": 1, "matrix": 1}
    assert [[version.number for version in versions(session, kind)] for kind in RuleKind] == [[1], [1], [1]]
    for kind in RuleKind:
        assert find_version(session, kind, 1).digest == digest_of(find_version(session, kind, 1).body)


def test_what_holds_is_the_last_activation_before_the_moment(session: Session) -> None:
    second, third = made(session, 300), made(session, 400)
    activate(session, second, NOW + HOUR, "王敏", "", NOW)
    activate(session, third, NOW - HOUR, "王敏", "", NOW)  # a time in the past is now

    held = [numbers_in_force(session, NOW + shift)["matrix"] for shift in (-HOUR, 0 * HOUR, HOUR / 2, HOUR, 2 * HOUR)]

    assert held == [1, 3, 3, 2, 2]


def test_of_two_activations_at_one_moment_the_one_made_later_counts(session: Session) -> None:
    second, third = made(session, 300), made(session, 400)
    for version in (third, second):
        activate(session, version, NOW + HOUR, "王敏", "", NOW)

    assert numbers_in_force(session, NOW + HOUR)["matrix"] == 2
    assert [turn.number for turn in turns(session, MATRIX)] == [1, 2]


def test_an_activation_that_was_withdrawn_does_not_count(session: Session) -> None:
    activation = activate(session, made(session, 300), NOW + HOUR, "王敏", "", NOW)
    activation.withdrawn_at = NOW
    session.add(activation)
    session.flush()

    assert numbers_in_force(session, NOW + 2 * HOUR)["matrix"] == 1


def test_drafting_the_same_twice_makes_one_draft_and_other_rules_another(session: Session) -> None:
    numbers = [made(session, amount).number for amount in (300, 300, 400, 300)]

    assert numbers == [2, 2, 3, 4]


def test_orders_in_flight_keep_the_versions_they_came_under(session: Session) -> None:
    # given an order under version 1
    open_shop(session)
    before = taken(session, incoming("1", cans(20)))
    # when a lower threshold holds, and another order of the same amount comes
    activate(session, made(session, 300), NOW + HOUR, "王敏", "", NOW)
    after = taken(session, incoming("2", cans(20)), NOW + HOUR)
    # then each is decided by its own version, however often it is read
    session.expire_all()
    assert [order.rules["matrix"] for order in session.exec(select(Order).order_by(Order.id))] == [1, 2]  # type: ignore[arg-type]
    facts = {"amount": 400.0, "special": False, "no_recipe": False}
    assert [bool(matrix_of(session, order).route(facts)) for order in (before, after)] == [False, True]


def test_the_way_back_is_taken_out_of_the_way_that_led_here(session: Session) -> None:
    # given 1, 2, 3, back to 2, then 4
    by_number = {number: made(session, 100 * number) for number in (2, 3, 4)}
    by_number[1] = find_version(session, MATRIX, 1)
    led, back = [2, 3, 2, 4], []
    for step, number in enumerate(led):
        at = NOW + step * HOUR
        activate(session, by_number[number], at, "王敏", "", at)
        back.append(earlier(turns(session, MATRIX), at))
    # then back from 2 is 1, from 3 is 2, from 2 again is 1 (not 3), and from 4 is 2
    assert back == [1, 2, 1, 2]
    holds = at_moment(turns(session, MATRIX), NOW + 9 * HOUR)
    assert holds is not None and holds.number == 4


def test_every_version_says_where_it_is(session: Session) -> None:
    second, third, fourth = (made(session, amount) for amount in (200, 300, 400))
    activate(session, second, NOW, "王敏", "", NOW)
    activate(session, third, NOW + HOUR, "王敏", "", NOW)
    fourth.problems = [{"where": "第 1 行", "why": "读不懂"}]
    made(session, 500)

    said = {one.version.number: one.state for one in listed(session, MATRIX, NOW)}

    assert said == {
        5: ("草稿", "draft"),
        4: ("草稿(1 个问题)", "draft (1 problems)"),
        3: ("将于 2026-11-11 13:00 生效", "in force from 2026-11-11 13:00"),
        2: ("生效中(至 2026-11-11 13:00)", "in force (until 2026-11-11 13:00)"),
        1: ("曾生效", "was in force"),
    }


def test_a_version_that_is_not_there_is_said(session: Session) -> None:
    with pytest.raises(RulesRefused, match="审批矩阵没有第 9 版:用 orderloom rules list 看有哪些"):
        find_version(session, MATRIX, 9)


def _deep() -> dict[str, Any]:
    body: dict[str, Any] = {}
    for _ in range(100_000):
        body = {"a": body}
    return body


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"a": float("nan")}, "不能保存的内容"),
        ({"a": {1, 2}}, "不能保存的内容"),
        ({"a": "\ud800"}, "不能保存的内容"),
        ({"a": "x\x00y"}, "空字符"),
        ({"a": "x" * 5_000_001}, "超过 5 百万字"),
        (_deep(), "不能保存的内容"),
    ],
    ids=["nan", "set", "surrogate", "nul", "long", "deep"],
)
def test_what_cannot_be_kept_is_refused_before_the_database_is_asked(
    session: Session, body: dict[str, Any], why: str
) -> None:
    with pytest.raises(RulesRefused, match=why):
        draft(session, MATRIX, body, "王敏", "", NOW)
    assert len(versions(session, MATRIX)) == 1
    assert len(session.exec(select(RuleActivation)).all()) == 3


def test_rules_are_the_same_when_they_are_read_again(session: Session) -> None:
    body = {"approval": {"a": [1, 1.0, 1e3, -0.5, 1e-7, True, None, "中文\n\"'`"], "b": {}}}
    version = draft(session, MATRIX, body, "王敏", "", NOW)
    session.commit()
    session.expire_all()

    assert digest_of(find_version(session, MATRIX, version.number).body) == version.digest


def test_the_starter_matrix_asks_nobody_for_a_plain_order(session: Session) -> None:
    matrix = Matrix(find_version(session, MATRIX, 1).body)
    assert matrix.route({"amount": 500.0, "special": False, "no_recipe": False}) == ()
