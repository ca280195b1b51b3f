"""What people do with versions of the rules: refused with a reason, done once, kept with who, when and why."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from models.form_edits import without_field
from models.product import Product, Unit, save_products
from models.recipe_edits import with_ingredient, without_recipe
from models.rule_activation import activate_when_fit, roll_back, withdraw
from models.rule_columns import APPROVAL
from models.rule_desk import check_again, discard, make_draft
from models.rule_edits import with_row
from models.rule_history import listed
from models.rule_version import RuleActivation, RuleKind, RulesRefused, RuleVersion, find_version, numbers_in_force
from tests.models.build import NOW
from tests.models.concurrently import connections, in_threads, transaction

MATRIX, FORM, RECIPES = RuleKind.MATRIX, RuleKind.FORM, RuleKind.RECIPES
HOUR = timedelta(hours=1)
TRIED = {"days": 30, "orders": 100, "changed": 3, "at": "2026-11-11T04:00:00+00:00", "by": "王敏"}


def body_over(session: Session, amount: int, **cells: str) -> dict[str, Any]:
    """The matrix in force, with another threshold."""
    row = {"金额(元)": f"> {amount}", "谁审核": "营养师", "理由": "大额", **cells}
    return with_row(find_version(session, MATRIX, 1).body, APPROVAL, row, name="amount")


def drafted(session: Session, amount: int, tried: bool = True, **cells: str) -> int:
    """The number of a draft without problems."""
    made = make_draft(session, MATRIX, body_over(session, amount, **cells), "王敏", f"改为 {amount}", NOW, based_on=1)
    assert made.problems == []
    if tried:
        made.version.tried = TRIED
        session.add(made.version)
        session.flush()
    return made.version.number


def holds(session: Session, at: datetime = NOW) -> int:
    return numbers_in_force(session, at)["matrix"]


def activation(session: Session) -> RuleActivation:
    """The newest one."""
    return session.exec(select(RuleActivation).order_by(col(RuleActivation.id).desc())).first()  # type: ignore[return-value]


def test_a_draft_is_checked_and_keeps_who_made_it_of_what_and_why(session: Session) -> None:
    made = make_draft(session, MATRIX, body_over(session, 300), " 王敏 ", " 双十一 ", NOW, based_on=1)

    version = made.version
    assert (made.new, made.problems, made.warnings, version.number, version.state) == (True, [], [], 2, "draft")
    assert (version.made_by, version.note, version.made_at, version.based_on) == (
        "王敏", "双十一", NOW, find_version(session, MATRIX, 1).id,
    )  # fmt: skip
    assert holds(session) == 1


def test_a_draft_with_problems_is_kept_with_them_and_cannot_be_activated(session: Session) -> None:
    broken = copy.deepcopy(find_version(session, MATRIX, 1).body)
    broken["approval"]["nodes"][1]["content"]["rules"][0]["amount"] = "> > 5"

    made = make_draft(session, MATRIX, broken, "王敏", "", NOW)

    assert len(made.problems) >= 1
    assert made.version.problems == [{"where": one.where, "why": one.why} for one in made.problems]
    with pytest.raises(RulesRefused, match=r"审批矩阵第 2 版还有 \d+ 个问题,不能启用:"):
        activate_when_fit(session, MATRIX, 2, None, "王敏", "", NOW, untried_why="急")
    assert holds(session) == 1


def test_rules_that_are_in_force_as_they_are_make_no_draft(session: Session) -> None:
    with pytest.raises(RulesRefused, match="和生效中的审批矩阵第 1 版完全一样。没有改变"):
        make_draft(session, MATRIX, find_version(session, MATRIX, 1).body, "王敏", "", NOW)


def test_a_draft_is_activated_now_and_says_what_it_replaces(session: Session) -> None:
    number = drafted(session, 300)

    done = activate_when_fit(session, MATRIX, number, None, "王敏", "双十一", NOW)

    assert (done.changed, str(done)) == (True, "审批矩阵第 2 版现在生效(原来是第 1 版);之前来的订单按原来的版本。")
    row = activation(session)
    assert (row.from_at, row.at, row.by, row.note, row.untried_why) == (NOW, NOW, "王敏", "双十一", "")
    assert (holds(session, NOW - HOUR), holds(session)) == (1, 2)


def test_activating_what_is_in_force_changes_nothing(session: Session) -> None:
    number = drafted(session, 300)
    activate_when_fit(session, MATRIX, number, None, "王敏", "", NOW)

    done = activate_when_fit(session, MATRIX, number, None, "李娜", "", NOW + HOUR)

    assert (done.changed, str(done)) == (False, "没有改变:审批矩阵第 2 版已经生效。")
    assert len(session.exec(select(RuleActivation).where(RuleActivation.kind == "matrix")).all()) == 2


def test_a_version_that_was_not_tried_needs_a_reason_that_is_kept(session: Session) -> None:
    number = drafted(session, 300, tried=False)
    with pytest.raises(RulesRefused, match=r"还没有试算:先试算.*orderloom rules try matrix 2"):
        activate_when_fit(session, MATRIX, number, None, "王敏", "", NOW, untried_why="  ")
    assert holds(session) == 1

    done = activate_when_fit(session, MATRIX, number, None, "王敏", "", NOW, untried_why="线上出错,急")

    assert "没有试算,理由:线上出错,急" in str(done)
    assert (holds(session), activation(session).untried_why) == (2, "线上出错,急")


def test_a_version_that_was_tried_on_no_orders_is_not_tried(session: Session) -> None:
    number = drafted(session, 300, tried=False)
    version = find_version(session, MATRIX, number)
    version.tried = {**TRIED, "orders": 0, "changed": 0}
    session.add(version)
    session.flush()

    with pytest.raises(RulesRefused, match="那几天没有订单,等于没有试算"):
        activate_when_fit(session, MATRIX, number, None, "王敏", "", NOW)
    assert listed(session, MATRIX, NOW)[0].state[0] == "草稿"


def test_a_reason_for_not_trying_is_not_kept_of_what_was_tried(session: Session) -> None:
    activate_when_fit(session, MATRIX, drafted(session, 300), None, "王敏", "", NOW, untried_why="急")
    assert activation(session).untried_why == ""


def test_a_time_in_the_past_is_now_and_said(session: Session) -> None:
    done = activate_when_fit(session, MATRIX, drafted(session, 300), NOW - HOUR, "王敏", "", NOW)

    assert "2026-11-11 11:00 已经过去,按现在算" in str(done)
    assert (activation(session).from_at, holds(session, NOW - HOUR / 2)) == (NOW, 1)


def test_a_version_is_activated_at_a_time_to_come(session: Session) -> None:
    number = drafted(session, 300)

    done = activate_when_fit(session, MATRIX, number, NOW + HOUR, "王敏", "", NOW)
    again = activate_when_fit(session, MATRIX, number, NOW + 2 * HOUR, "王敏", "", NOW)

    assert "将于 2026-11-11 13:00 生效(原来是第 1 版);在那之前来的订单按原来的版本" in str(done)
    assert (again.changed, again.sentence) == (False, "没有改变:审批矩阵第 2 版已经排定于 2026-11-11 13:00 生效")
    assert (holds(session), holds(session, NOW + HOUR)) == (1, 2)


def test_an_earlier_activation_tells_what_is_planned_after_it(session: Session) -> None:
    second, third = drafted(session, 300), drafted(session, 400)
    activate_when_fit(session, MATRIX, second, NOW + HOUR, "王敏", "", NOW)

    done = activate_when_fit(session, MATRIX, third, None, "王敏", "", NOW)

    assert "注意:已排定第 2 版于 2026-11-11 13:00 生效" in str(done)


def test_of_two_that_are_to_begin_at_one_moment_the_later_wins_and_says_so(session: Session) -> None:
    second, third = drafted(session, 300), drafted(session, 400)
    activate_when_fit(session, MATRIX, second, NOW + HOUR, "王敏", "", NOW)

    done = activate_when_fit(session, MATRIX, third, NOW + HOUR, "李娜", "", NOW)

    assert "同一时刻原定的第 2 版不再生效" in str(done)
    assert holds(session, NOW + HOUR) == 3
    states = {one.version.number: one.state[0] for one in listed(session, MATRIX, NOW)}
    assert (states[2], states[3]) == ("草稿(已试算)", "将于 2026-11-11 13:00 生效")
    lost = session.exec(select(RuleActivation).where(col(RuleActivation.withdrawn_at).is_not(None))).one()
    assert (lost.withdrawn_by, lost.withdrawn_why) == ("李娜", "同一时刻改为第 3 版")


def test_a_draft_that_was_made_of_an_older_version_says_that_it_lacks_what_came_between(session: Session) -> None:
    second, third = drafted(session, 300), drafted(session, 400)
    follow_up = make_draft(session, MATRIX, body_over(session, 450), "王敏", "", NOW, based_on=second).version.number
    activate_when_fit(session, MATRIX, second, None, "王敏", "", NOW)

    fits = activate_when_fit(session, MATRIX, follow_up, None, "王敏", "", NOW + HOUR, untried_why="小改")
    lacks = activate_when_fit(session, MATRIX, third, None, "李娜", "", NOW + 2 * HOUR)

    assert "不是照" not in str(fits)
    assert "注意:这一版不是照第 4 版改的,第 4 版的改动不在其中" in str(lacks)


def test_going_back_is_to_what_held_before_and_twice_is_two_versions_back(session: Session) -> None:
    for step, amount in enumerate((300, 400)):
        activate_when_fit(session, MATRIX, drafted(session, amount), None, "王敏", "", NOW + step * HOUR)

    first = roll_back(session, MATRIX, "李娜", "误伤", NOW + 2 * HOUR)
    second = roll_back(session, MATRIX, "李娜", "", NOW + 3 * HOUR)

    assert first.sentence == "审批矩阵第 2 版现在生效(原来是第 3 版);之前来的订单按原来的版本"
    assert (second.number, holds(session, NOW + 4 * HOUR)) == (1, 1)
    with pytest.raises(RulesRefused, match="没有更早的版本可以退回"):
        roll_back(session, MATRIX, "李娜", "", NOW + 4 * HOUR)
    assert [holds(session, NOW + step * HOUR) for step in range(4)] == [2, 3, 2, 1]


def test_going_back_from_a_version_that_holds_no_longer_changes_nothing(session: Session) -> None:
    activate_when_fit(session, MATRIX, drafted(session, 300), None, "王敏", "", NOW)
    roll_back(session, MATRIX, "李娜", "误伤", NOW + HOUR, leaving=2)

    again = roll_back(session, MATRIX, "李娜", "误伤", NOW + HOUR, leaving=2)

    assert (again.changed, str(again)) == (False, "没有改变:生效中的是第 1 版,不是第 2 版。")


def test_a_version_that_held_is_activated_again_without_another_try(session: Session) -> None:
    number = drafted(session, 300, tried=False)
    activate_when_fit(session, MATRIX, number, None, "王敏", "", NOW, untried_why="急")
    activate_when_fit(session, MATRIX, 1, None, "王敏", "", NOW + HOUR)

    assert activate_when_fit(session, MATRIX, number, None, "王敏", "", NOW + 2 * HOUR).changed


def test_an_activation_to_come_is_withdrawn_and_the_version_is_a_draft_again(session: Session) -> None:
    number = drafted(session, 300)
    activate_when_fit(session, MATRIX, number, NOW + HOUR, "王敏", "", NOW)

    done = withdraw(session, MATRIX, number, "李娜", "先不改", NOW + HOUR / 2)
    again = withdraw(session, MATRIX, number, "李娜", "先不改", NOW + HOUR / 2)

    assert str(done) == "审批矩阵第 2 版不再于 2026-11-11 13:00 生效。"
    assert (again.changed, again.sentence) == (False, "没有改变:审批矩阵第 2 版没有排定的生效时间")
    row = activation(session)
    assert (row.withdrawn_at, row.withdrawn_by, row.withdrawn_why) == (NOW + HOUR / 2, "李娜", "先不改")
    assert (holds(session, NOW + HOUR), find_version(session, MATRIX, number).state) == (1, "draft")


def test_what_holds_cannot_be_withdrawn(session: Session) -> None:
    number = drafted(session, 300)
    activate_when_fit(session, MATRIX, number, None, "王敏", "", NOW)
    with pytest.raises(RulesRefused, match="已经生效,撤回不了:要用回原来的,请退回"):
        withdraw(session, MATRIX, number, "王敏", "", NOW + HOUR)


def test_a_discarded_draft_is_kept_and_never_activated(session: Session) -> None:
    number = drafted(session, 300)

    done = discard(session, MATRIX, number, "王敏", "写错了", NOW)
    again = discard(session, MATRIX, number, "李娜", "", NOW + HOUR)

    assert (done.changed, again.changed, again.sentence) == (True, False, "没有改变:审批矩阵第 2 版已由 王敏 作废")
    version = find_version(session, MATRIX, number)
    assert (version.state, version.discarded_at, version.discarded_why) == ("discarded", NOW, "写错了")
    with pytest.raises(RulesRefused, match="第 2 版已由 王敏 作废:先照它起一份新的草稿"):
        activate_when_fit(session, MATRIX, number, None, "王敏", "", NOW)
    assert drafted(session, 300) == 3  # the same rules again are another draft


@pytest.mark.parametrize(("at", "why"), [(None, "生效过,有订单按它办理,不能作废"), (NOW + HOUR, "已排定生效:先撤回")])
def test_what_holds_or_is_going_to_cannot_be_discarded(session: Session, at: datetime | None, why: str) -> None:
    number = drafted(session, 300)
    activate_when_fit(session, MATRIX, number, at, "王敏", "", NOW)
    with pytest.raises(RulesRefused, match=why):
        discard(session, MATRIX, number, "王敏", "", NOW)


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (lambda s: activate_when_fit(s, MATRIX, 9, None, "王敏", "", NOW), "审批矩阵没有第 9 版"),
        (lambda s: discard(s, FORM, 9, "王敏", "", NOW), "订单表单没有第 9 版"),
        (lambda s: roll_back(s, RECIPES, "王敏", "", NOW, leaving=9), "配方没有第 9 版"),
        (lambda s: roll_back(s, RECIPES, "王敏", "", NOW), "没有更早的版本"),
        (lambda s: activate_when_fit(s, MATRIX, 1, None, " ", "", NOW), "要写明是谁"),
        (lambda s: activate_when_fit(s, MATRIX, 1, None, "x" * 65, "", NOW), "要写明是谁"),
        (lambda s: discard(s, MATRIX, 1, "王敏", "y" * 1001, NOW), "说明最多 1000 个字"),
        (
            lambda s: activate_when_fit(s, MATRIX, 1, NOW + timedelta(days=400), "王敏", "", NOW),
            "太远了:最多提前 366 天",
        ),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_in_words(
    session: Session, step: Callable[[Session], object], why: str
) -> None:
    with pytest.raises(RulesRefused, match=why):
        step(session)
    assert numbers_in_force(session, NOW + HOUR) == {"form": 1, "recipes": 1, "matrix": 1}


def test_activated_recipes_bring_their_ingredients_among_the_goods(session: Session) -> None:
    body = with_ingredient(find_version(session, RECIPES, 1).body, "ING-RABBIT", "兔肉", (), 4200)
    number = make_draft(session, RECIPES, body, "王敏", "", NOW).version.number
    assert session.get(Product, "ING-RABBIT") is None

    activate_when_fit(session, RECIPES, number, NOW + HOUR, "王敏", "", NOW, untried_why="新食材,还没有配方用它")

    product = session.get_one(Product, "ING-RABBIT")
    assert (product.title, product.unit) == ("兔肉", Unit.GRAM.value)


def test_an_ingredient_that_is_goods_already_is_a_problem(session: Session) -> None:
    save_products(session, [Product(sku="CAN-400", title="猫罐头")])
    body = with_ingredient(find_version(session, RECIPES, 1).body, "CAN-400", "罐头")

    made = make_draft(session, RECIPES, body, "王敏", "", NOW)

    assert [str(problem) for problem in made.problems] == [
        "食材 CAN-400:这个编码已经是商品「猫罐头」:食材请另用一个编码"
    ]
    with pytest.raises(RulesRefused, match="1 个问题"):
        activate_when_fit(session, RECIPES, made.version.number, None, "王敏", "", NOW, untried_why="急")


def test_a_matrix_that_names_what_the_recipes_lack_is_warned_of_and_may_be_activated(session: Session) -> None:
    body = body_over(session, 300, 配方="CAT-RABBIT-WET、DOG-BEEF-WET", 食材="含 ING-RABBIT", 商品="NO-SUCH")

    made = make_draft(session, MATRIX, body, "王敏", "", NOW)

    assert (made.problems, [str(warning) for warning in made.warnings]) == (
        [],
        [
            "审批矩阵 第 1 行:「配方」写了 CAT-RABBIT-WET,配方里没有它:这一行不会因它成立",
            "审批矩阵 第 1 行:「食材」写了 ING-RABBIT,配方里没有它:这一行不会因它成立",
            "审批矩阵 第 1 行:「商品」写了 NO-SUCH,商品目录里没有它",
        ],
    )
    number = made.version.number
    assert activate_when_fit(session, MATRIX, number, None, "王敏", "", NOW, untried_why="配方明天上").changed
    # and recipes that lose one that the matrix in force names are warned of from the other side
    less = without_recipe(find_version(session, RECIPES, 1).body, "DOG-BEEF-WET")
    warned = make_draft(session, RECIPES, less, "王敏", "", NOW + HOUR).warnings
    assert "审批矩阵 第 1 行:「配方」写了 DOG-BEEF-WET,配方里没有它:这一行不会因它成立" in map(str, warned)


def test_a_form_that_no_longer_asks_what_the_choice_needs_is_warned_of(session: Session) -> None:
    recipes = copy.deepcopy(find_version(session, RECIPES, 1).body)
    content = recipes["choice"]["nodes"][1]["content"]
    content["inputs"].append({"id": "breed", "name": "品种", "field": "breed"})
    number = make_draft(session, RECIPES, recipes, "王敏", "", NOW).version.number
    activate_when_fit(session, RECIPES, number, None, "王敏", "", NOW, untried_why="试")
    form = copy.deepcopy(find_version(session, FORM, 1).body)
    del form["schema"]["allOf"]

    made = make_draft(session, FORM, without_field(form, "breed"), "王敏", "", NOW)

    assert (made.problems, [str(one) for one in made.warnings]) == (
        [], ["选配方「品种」:订单表单不问这一项,选配方时它总是空的"],
    )  # fmt: skip


def test_a_version_is_checked_again_against_what_is_so_now(session: Session) -> None:
    body = with_ingredient(find_version(session, RECIPES, 1).body, "CAN-400", "罐头")
    number = make_draft(session, RECIPES, body, "王敏", "", NOW).version.number
    save_products(session, [Product(sku="CAN-400", title="猫罐头")])

    problems, _ = check_again(session, RECIPES, number, NOW)

    assert len(problems) == 1
    assert len(find_version(session, RECIPES, number).problems) == 1


# at once


def test_the_same_rules_drafted_at_once_are_one_draft(database_url: str) -> None:
    with connections(database_url) as engine:

        def one(_: int) -> tuple[int, bool]:
            with transaction(engine) as session:
                made = make_draft(session, MATRIX, body_over(session, 300), "王敏", "", NOW)
                return made.version.number, made.new

        found = in_threads(6, one)

    assert sorted(found) == [(2, False)] * 5 + [(2, True)]


def test_a_version_activated_at_once_by_many_is_activated_once(database_url: str) -> None:
    with connections(database_url) as engine:
        with transaction(engine) as session:
            number = drafted(session, 300)

        def one(thread: int) -> bool:
            with transaction(engine) as session:
                at = NOW - thread * timedelta(seconds=1)  # their clocks differ
                return activate_when_fit(session, MATRIX, number, None, f"人{thread}", "", at).changed

        changed = in_threads(6, one)
        with transaction(engine) as session:
            rows = session.connection().execute(text("SELECT count(*) FROM rule_activation WHERE kind = 'matrix'"))
            assert (sorted(changed), rows.scalar_one(), holds(session, NOW)) == ([False] * 5 + [True], 2, 2)


def test_of_two_versions_activated_at_once_the_later_in_line_holds(database_url: str) -> None:
    with connections(database_url) as engine:
        with transaction(engine) as session:
            numbers = [drafted(session, 300), drafted(session, 400)]

        def one(thread: int) -> tuple[str, int]:
            with transaction(engine) as session:
                at = NOW - thread * timedelta(seconds=5)
                done = activate_when_fit(session, MATRIX, numbers[thread], None, "王敏", "", at)
                return done.sentence, done.number

        said = dict(in_threads(2, one))
        last = next(number for sentence, number in said.items() if "原来是第 1 版" not in sentence)
        with transaction(engine) as session:
            assert holds(session, NOW) == last


def test_a_draft_discarded_and_activated_at_once_is_one_of_both(database_url: str) -> None:
    with connections(database_url) as engine:
        with transaction(engine) as session:
            number = drafted(session, 300)

        def one(thread: int) -> str:
            try:
                with transaction(engine) as session:
                    if thread:
                        discard(session, MATRIX, number, "王敏", "", NOW)
                        return "discarded"
                    activate_when_fit(session, MATRIX, number, None, "李娜", "", NOW)
                    return "activated"
            except RulesRefused:
                return "refused"

        outcomes = set(in_threads(2, one))
        with transaction(engine) as session:
            version = session.exec(select(RuleVersion).where(RuleVersion.number == 2)).one()
            assert (outcomes, version.state, holds(session, NOW)) in (
                ({"discarded", "refused"}, "discarded", 1),
                ({"activated", "refused"}, "kept", 2),
            )


def test_going_back_pressed_by_many_at_once_goes_back_once(database_url: str) -> None:
    with connections(database_url) as engine:
        with transaction(engine) as session:
            for step, amount in enumerate((300, 400)):
                activate_when_fit(session, MATRIX, drafted(session, amount), None, "王敏", "", NOW + step * HOUR)

        def one(_: int) -> bool:
            with transaction(engine) as session:
                return roll_back(session, MATRIX, "李娜", "", NOW + 2 * HOUR, leaving=3).changed

        changed = in_threads(5, one)
        with transaction(engine) as session:
            assert (sorted(changed), holds(session, NOW + 3 * HOUR)) == ([False] * 4 + [True], 2)
