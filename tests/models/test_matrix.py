"""The approval matrix: every order gets one route, nothing passes by mistake, and a matrix that is not fit is told."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decision_table import TableBroken
from models.matrix import COLUMNS, FACTS, ROLES, USUAL_MINUTES, Matrix, check_matrix, remarks_on_matrix, roles_of
from models.matrix_route import whom_to_ask
from models.recipe import STARTER
from models.table_column import Kind
from tests.models.tables import jdm

BODY = json.loads((STARTER.parent / "matrix.json").read_text(encoding="utf-8"))
MATRIX = Matrix(BODY)
PLAIN: dict[str, Any] = {"amount": 99.0, "special": False, "special_recipes": "", "no_recipe": False}
OUTPUTS = ["role", "reason", "sla_minutes"]
NUTRITIONIST = ['"nutritionist"', '"大额"', "22"]


def body(inputs: list[str], rows: list[list[str]], **content: Any) -> dict[str, Any]:
    """A matrix of these rows: a cell for each input, then role, reason and minutes."""
    return {"approval": jdm(inputs, OUTPUTS, rows, **content)}


def told(inputs: list[str], rows: list[list[str]], **content: Any) -> list[str]:
    return [str(problem) for problem in check_matrix(body(inputs, rows, **content))]


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        ({"amount": 500.0}, ()),
        ({"amount": 500.01}, ("金额 500.01 元,超过 500 元",)),
        ({"special": True, "special_recipes": "水解蛋白"}, ("特殊配方:水解蛋白",)),
        (
            {"amount": 999.0, "special": True, "special_recipes": "水解蛋白"},
            ("金额 999 元,超过 500 元", "特殊配方:水解蛋白"),
        ),
        ({"no_recipe": True, "why_no_recipe": "没有适合的配方"}, ("没有适合的配方",)),
    ],
)
def test_costly_and_special_orders_are_reviewed(facts: dict[str, Any], reasons: tuple[str, ...]) -> None:
    route = MATRIX.route({**PLAIN, **facts})

    assert [asked.reasons for asked in route] == ([reasons] if reasons else [])
    assert {(asked.role, asked.sla_minutes) for asked in route} <= {("nutritionist", 22)}


def test_the_starter_is_fit_and_asks_of_nothing_to_think() -> None:
    assert check_matrix(BODY) == []
    assert remarks_on_matrix(BODY) == []


def test_several_rows_of_a_role_are_one_request_with_all_reasons_and_the_shortest_time() -> None:
    rows = [
        ["> 100", '"finance"', '"大额"', "60"],
        ["> 200", '"nutritionist"', '"超过 200"', ""],
        ["> 300", '"finance"', '"更大额"', "30"],
        ["> 400", '"finance"', '"大额"', "45"],
    ]
    route = Matrix(body(["amount"], rows)).route({"amount": 999})

    assert [(a.role, a.reasons, a.sla_minutes, a.rows) for a in route] == [
        ("finance", ("大额", "更大额"), 30, ("r1", "r3", "r4")),
        ("nutritionist", ("超过 200",), USUAL_MINUTES, ("r2",)),
    ]
    assert roles_of(route) == ("finance", "nutritionist")


def test_a_straight_row_that_has_no_effect_and_a_matrix_that_asks_nobody_are_remarked_on() -> None:
    straight = ["false", '"straight"', "", ""]
    collecting = body(["new_customer"], [["true", *NUTRITIONIST], straight], hitPolicy="collect")
    first = body(["new_customer"], [["true", *NUTRITIONIST], straight], hitPolicy="first")
    nobody = body(["new_customer"], [straight], hitPolicy="first")

    assert [str(remark) for remark in remarks_on_matrix(first)] == []
    (remark,) = remarks_on_matrix(collecting)
    assert "不起作用" in remark.why and "第 2 行" in remark.where
    (remark,) = remarks_on_matrix(nobody)
    assert "没有一行要人审核" in remark.why


@pytest.mark.parametrize("straight", ['""', '"直通"', '"straight"'])
def test_a_straight_row_lets_pass_in_a_first_table_and_takes_nobody_away_in_a_collecting_one(straight: str) -> None:
    rows = [['"douyin"', straight, "", ""], ["", *NUTRITIONIST]]
    first, collecting = body(["channel"], rows, hitPolicy="first"), body(["channel"], rows)

    assert Matrix(first).route({"channel": "douyin"}) == ()
    assert roles_of(Matrix(first).route({"channel": "jd"})) == ("nutritionist",)
    assert roles_of(Matrix(collecting).route({"channel": "douyin"})) == ("nutritionist",)
    assert check_matrix(first) == check_matrix(collecting) == []


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (['"boss"', '"x"', "22"], "没有写明谁审核"),
        (["", '"x"', "22"], "没有写明谁审核"),
        (["null", '"x"', "22"], "没有写明谁审核"),
        (["5", '"x"', "22"], "没有写明谁审核"),
        (['["nutritionist"]', '"x"', "22"], "没有写明谁审核"),
        (['"finance"', '"x"', "0"], "1 到 10080 分钟的整数"),
        (['"finance"', '"x"', "2.5"], "1 到 10080 分钟的整数"),
        (['"finance"', '"x"', "true"], "1 到 10080 分钟的整数"),
        (['"finance"', '"x"', '"soon"'], "1 到 10080 分钟的整数"),
        (['"finance"', "amount * special", "22"], "无法计算"),
    ],
)
def test_a_row_that_asks_nobody_who_exists_lets_nothing_pass(row: list[str], why: str) -> None:
    with pytest.raises(TableBroken) as broken:
        Matrix(body(["amount"], [["", *row]])).route({"amount": 5, "special": True})

    assert why in str(broken.value)


def test_an_order_that_the_matrix_cannot_judge_goes_to_the_nutritionist() -> None:
    matrix = Matrix(body(["amount"], [["> 500", *NUTRITIONIST]]))

    asking = whom_to_ask(matrix, {"amount": "很多", "no_recipe": False})

    assert [(asked.role, asked.sla_minutes) for asked in asking.asked] == [("nutritionist", USUAL_MINUTES)]
    assert "第 1 行「amount」的「> 500」无法判断" in asking.asked[0].reasons[0]


@pytest.mark.parametrize("reason", ["", '""', "why_no_recipe", "null", "5"])
def test_a_reason_that_turns_out_empty_names_the_row(reason: str) -> None:
    route = Matrix(body(["amount"], [["", '"finance"', reason, ""]])).route({"amount": 5, "why_no_recipe": " "})

    assert route[0].reasons == ("审批矩阵的规则「r1」",)


@pytest.mark.parametrize("matrix", [{}, {"approval": None}, {"approval": {}}, {"approval": []}])
def test_what_is_no_matrix_is_a_broken_table_and_a_problem(matrix: Any) -> None:
    with pytest.raises(TableBroken):
        Matrix(matrix)
    assert len(check_matrix(matrix)) == 1
    assert remarks_on_matrix(matrix) == []


@pytest.mark.parametrize("matrix", [None, 5, "approval", [1]])
def test_what_is_no_object_is_a_problem(matrix: Any) -> None:
    assert [str(problem) for problem in check_matrix(matrix)] == ['审批矩阵:审批矩阵要写成 {"approval": 决策表}']


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (["> 'a'", *NUTRITIONIST], "第 1 行「amount」:「> 'a'」和这一列的类型不合:「金额(元)」是数字,例如 > 500"),
        (["> 5", '"nutritionst"', '"x"', "22"], '第 1 行「谁审核」:「"nutritionst"」得出「nutritionst」:可以写'),
        (["> 5", "", '"x"', "22"], '第 1 行「谁审核」:没有写:可以写 "nutritionist"(营养师)、'),
        (["> 5", '"finance"', "", "22"], "第 1 行「理由」:没有写:审核的人要看到为什么"),
        (["> 5", '"finance"', '"x"', "10081"], "第 1 行「时限(分钟)」:「10081」得出 10081,最大是 10080"),
        (["> 5", '"finance"', '"x"', "1.5"], "第 1 行「时限(分钟)」:「1.5」得出 1.5,要是整数"),
        (["> 5", '"finance"', '"x"', "0"], "第 1 行「时限(分钟)」:「0」得出 0,最小是 1"),
    ],
)
def test_a_matrix_that_is_not_fit_is_told_where(row: list[str], problem: str) -> None:
    problems = told(["amount"], [row])

    assert len(problems) == 1 and problems[0].startswith(problem)


def test_a_gap_counts_in_a_first_matrix_that_is_to_be_complete_only() -> None:
    rows = [["> 500", *NUTRITIONIST], ["< 500", '"直通"', "", ""]]
    gap = "决策表:金额(元) = 500 没有任何一行覆盖,请补上,或在最后加一行全空的"

    assert told(["amount"], rows, hitPolicy="first", complete=True) == [gap]
    assert told(["amount"], rows, hitPolicy="first") == []
    assert told(["amount"], rows, complete=True) == []


def test_rows_that_overlap_are_told_where_it_is_forbidden() -> None:
    rows = [["> 500", "", *NUTRITIONIST], ["", "true", *NUTRITIONIST]]

    assert told(["amount", "special"], rows, overlaps="forbidden") == [
        "第 1、2 行:金额(元) = 500.01, 特殊配方 = 是 时都成立,而这张表的行不许重叠"
    ]
    assert told(["amount", "special"], rows) == []


def test_a_matrix_of_a_thousand_rows_is_checked() -> None:
    rows = [[f'contains($, "SKU-{number % 50}")', "> 500", *NUTRITIONIST] for number in range(999)]
    rows.append(["", "> 99 and < 9", *NUTRITIONIST])

    assert told(["skus", "amount"], rows) == ["第 1000 行「amount」:「> 99 and < 9」永远不成立,这一行没有用"]


_VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.NUMBER: st.integers(1, 99_999).map(lambda fen: fen / 100),
    Kind.TEXT: st.sampled_from(["", "a", "masked", "douyin", "肾"]),
    Kind.YES_NO: st.booleans(),
    Kind.LIST: st.lists(st.sampled_from(["a", "dog", "cat", "chicken"]), max_size=3, unique=True),
}
ORDERS = st.fixed_dictionaries({fact: _VALUES[column.kind] for fact, column in COLUMNS.facts.items()})
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "> 500", "[100..200)", "< 50, > 900"]),
        st.sampled_from(["", '"douyin"', 'not in ["douyin"]']),
        st.sampled_from(["", "true", "false"]),
        st.sampled_from(["", 'some($, # in ["cat"])', "len($) > 1"]),
        st.sampled_from(["", "amount > 300 and new_customer", 'contains(health_notes, "肾")']),
        st.sampled_from([*(f'"{role}"' for role in ROLES), '"直通"', '""', 'special ? "finance" : ""']),
        st.sampled_from(['"大额"', "`金额 ${amount} 元`", "why_no_recipe", "special_recipes"]),
        st.sampled_from(["22", "", "1", "10080", "amount > 500 ? 10 : 20"]),
    ),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from(["first", "collect"]), ORDERS)
def test_every_order_gets_exactly_one_route(rows: list[tuple[str, ...]], policy: str, facts: dict[str, Any]) -> None:
    matrix = body(["amount", "channel", "special", "species", ""], [list(row) for row in rows], hitPolicy=policy)
    assert [problem for problem in check_matrix(matrix) if "永远轮不到" not in problem.why] == []

    route = Matrix(matrix).route(facts)

    assert route == Matrix(copy.deepcopy(matrix)).route(dict(reversed(facts.items())))
    assert len(set(roles_of(route))) == len(route) and set(roles_of(route)) <= ROLES.keys()
    assert all(asked.reasons and all(reason.strip() for reason in asked.reasons) for asked in route)
    assert all(1 <= asked.sla_minutes <= 10_080 and asked.rows for asked in route)
    assert policy == "collect" or sum(len(asked.rows) for asked in route) <= 1


def test_the_starter_asks_for_facts_that_there_are() -> None:
    table = BODY["approval"]["nodes"][1]["content"]

    assert {column["field"] for column in table["inputs"]} <= FACTS.keys()
    assert [column["field"] for column in table["outputs"]] == list(COLUMNS.outputs)
