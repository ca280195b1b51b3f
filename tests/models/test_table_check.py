"""What is wrong with a table is said in a sentence that names the place, and with a case that shows it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decision_table import DecisionTable
from models.table_check import MOST_NAMED, check_table, examine_table
from models.table_column import Kind, TableColumn, TableColumns
from tests.models.tables import jdm

COLUMNS = TableColumns(
    facts={
        "amount": TableColumn("金额", Kind.NUMBER, least=0, step=0.01),
        "special": TableColumn("特殊", Kind.YES_NO),
        "species": TableColumn("物种", Kind.TEXT, {"dog": "狗", "cat": "猫"}, closed=True),
        "note": TableColumn("备注", Kind.TEXT),
        "age": TableColumn("年龄", Kind.NUMBER, optional=True, least=0, step=1),
        "allergens": TableColumn("过敏原", Kind.LIST),
        "pet.breed": TableColumn("品种", Kind.TEXT, optional=True),
    },
    outputs={
        "role": TableColumn("谁", Kind.TEXT, {"boss": "老板", "vet": "兽医"}, closed=True),
        "why": TableColumn("理由", Kind.TEXT, optional=True),
        "minutes": TableColumn("时限", Kind.NUMBER, optional=True, least=1, most=60, step=1),
    },
)
OUTPUTS = ["role", "why", "minutes"]
BOSS = ['"boss"', '"x"', "5"]


def told(inputs: list[str], rows: list[list[str]], **content: Any) -> list[str]:
    """What is wrong with a table of these inputs; a row has cells for them, and asks the boss."""
    full = [[*row, *BOSS] if len(row) == len(inputs) else row for row in rows]
    return [str(problem) for problem in check_table(jdm(inputs, OUTPUTS, full, **content), COLUMNS)]


def test_a_sound_table_has_no_problems() -> None:
    rows = [
        ["> 500", "", '"dog"', 'contains($, "肾")', "< 12", 'contains($, "chicken")', '"corgi"', ""],
        ["[10..20)", "true", "", "", "null, > 3", "len($) > 2", "", "amount > 3 and special"],
        ["", "false", 'not in ["cat"]', '""', "", 'some($, # in ["x"])', "", ""],
    ]
    assert told([*COLUMNS.facts, ""], rows) == []


@pytest.mark.parametrize(
    ("field", "cell", "why"),
    [
        ("amount", "> ", "「>」读不懂"),
        ("amount", "＞500", "请把「＞」改成半角的「>」"),
        ("amount", "很多", "「很」等文字要放在半角引号里"),
        ("amount", "> 'a'", "「金额」是数字,例如 > 500"),
        ("amount", '5, "a"', "「金额」是数字,例如 > 500"),
        ("amount", 'contains($, "a")', "在 金额 = 0 时无法判断"),
        ("amount", "> limit", "没有 limit 这个事实"),
        ("amount", "> note", "时无法判断(值的类型不合)"),
        ("special", '"是"', "「特殊」是是或否,例如 true"),
        ("special", "1", "「特殊」是是或否,例如 true"),
        ("special", "> 5 or true", "「特殊」是是或否"),
        ("species", "dog", "没有 dog 这个事实:文字要加引号"),
        ("species", '"dgo"', '里的「dgo」不是「物种」会有的值:"dog"(狗)、"cat"(猫)'),
        ("species", "5", "「物种」是文字"),
        ("note", "> 3", "「备注」是文字"),
        ("allergens", '"chicken"', '不能和列表比较:要写 contains($, "chicken")'),
        ("allergens", "> 3", "不能和列表比较"),
        ("allergens", '$ + "a" == "b"', "在 过敏原 = 无 时无法判断"),
        ("", "amount", "得出的是 0,不是 true 或 false"),
        ("", "$ > 5", "没有字段,不能用 $"),
        ("", 'amount > "a"', "时无法判断(值的类型不合)"),
    ],
)
def test_a_cell_that_cannot_be_right_is_named(field: str, cell: str, why: str) -> None:
    problems = told([field], [[cell]])

    assert len(problems) == 1
    assert problems[0].startswith(f"第 1 行「{field or '条件'}」:「") and why in problems[0]


def test_columns_that_are_not_known_are_named_with_those_that_are() -> None:
    model = jdm(["amuont"], ["rloe"], [["> 5", '"boss"']])

    problems = [str(problem) for problem in check_table(model, COLUMNS)]

    assert [problem.partition(":可以用 ")[0] for problem in problems] == [
        "列「amuont」:没有事实 amuont",
        "列「rloe」:没有输出 rloe",
        "决策表:缺少输出列「谁」(role)",
    ]


def test_rows_need_ids_of_their_own() -> None:
    model = jdm(["amount"], OUTPUTS, [["> 5", *BOSS], ["< 5", *BOSS], ["5", *BOSS]])
    model["nodes"][1]["content"]["rules"][2]["_id"] = "r1"

    assert [str(p) for p in check_table(model, COLUMNS)] == ["第 1、3 行:编号(_id)都是「r1」:每行要有自己的编号"]


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        (["", '"x"', "5"], '「谁」:没有写:可以写 "boss"(老板)、"vet"(兽医)'),
        (['"king"', '"x"', "5"], '「谁」:「"king"」得出「king」:可以写'),
        (["amount", '"x"', "5"], "「谁」:「amount」在 金额 = 0 时得出「0」:可以写"),
        (["species", '"x"', "5"], "在 物种 = 狗 时得出「dog」"),
        (["bose", '"x"', "5"], "没有 bose 这个事实"),
        (['"boss"', '""', "5"], '「理由」:「""」是空的'),
        (['"boss"', "5", "5"], "得出的不是文字,是「5」"),
        (['"boss"', "amount * 2", "5"], "得出的不是文字"),
        (['"boss"', "note * 2", "5"], "时无法计算(值的类型不合)"),
        (['"boss"', '"x"', "0"], "「时限」:「0」得出 0,最小是 1"),
        (['"boss"', '"x"', "61"], "得出 61,最大是 60"),
        (['"boss"', '"x"', "2.5"], "得出 2.5,要是整数"),
        (['"boss"', '"x"', '"5"'], "得出的不是数字,是「5」"),
        (['"boss"', '"x"', "true"], "得出的不是数字,是「True」"),
        (['"boss"', '"x"', "age"], "「时限」:「age」在 年龄 = 0 时得出 0,最小是 1"),
        (['"boss"', '"x"', "age > 5 ? 5 : 99"], "「时限」:「age > 5 ? 5 : 99」在 年龄 = 0 时得出 99"),
    ],
)
def test_an_output_that_is_none_is_named(outputs: list[str], why: str) -> None:
    problems = told([""], [["amount >= 0", *outputs]])

    assert len(problems) == 1 and why in problems[0]


def test_an_output_is_only_tried_where_its_row_holds() -> None:
    outputs = ['species == "dog" ? "boss" : "nobody"', '"x"', "age"]

    assert told(["species", "age"], [['"dog"', "$ != null and $ > 0 and $ < 60", *outputs]]) == []
    assert len(told(["species", "age"], [["", "", *outputs]])) == 2


def test_outputs_that_may_be_left_out_may() -> None:
    assert told(["amount"], [["> 5", '"boss"', "", ""]]) == []


@pytest.mark.parametrize(
    ("inputs", "row", "problem"),
    [
        (["amount"], ["> 5 and < 3"], "第 1 行「amount」:「> 5 and < 3」永远不成立,这一行没有用"),
        (["amount"], ["< 0"], "第 1 行「amount」:「< 0」永远不成立,这一行没有用"),
        (["amount"], ["[9..3]"], "第 1 行「amount」:「[9..3]」永远不成立,这一行没有用"),
        (["amount"], ["500.001"], "第 1 行「amount」:「500.001」永远不成立,这一行没有用"),
        (["amount", "amount"], ["> 5", "< 3"], "第 1 行:几格的条件不能同时成立,这一行没有用"),
        (["special"], ["null"], "第 1 行「special」:「null」永远不成立,这一行没有用"),
    ],
)
def test_a_row_that_can_never_hold_is_named(inputs: list[str], row: list[str], problem: str) -> None:
    assert told(inputs, [row]) == [problem]


def test_a_row_is_not_called_useless_when_not_all_cases_are_known() -> None:
    assert told(["note", "amount"], [["len($) == 99", ""], ["", "$ * 7 == 21.07"]]) == []


def test_rows_that_the_ones_before_leave_nothing_to_are_named_in_a_first_table() -> None:
    rows = [["> 500", ""], ["<= 500", "true"], ["> 100", "true"], ["<= 500", "false"], ["", ""]]

    assert told(["amount", "special"], rows, hitPolicy="first") == [
        "第 3 行:永远轮不到:前面的第 1、2 行已经包括了它的全部情形",
        "第 5 行:永远轮不到:前面的第 1、2、3、4 行已经包括了它的全部情形",
    ]
    assert told(["amount", "special"], rows) == []


def test_a_row_is_not_called_unreached_when_not_all_cases_are_known() -> None:
    rows = [['contains($, "肾")'], ['contains($, "肾病")']]

    assert told(["note"], rows, hitPolicy="first") == []


def test_a_gap_is_shown_by_a_case_where_the_table_must_be_complete() -> None:
    rows = [["> 500", ""], ["< 500", ""], ["500", "true"]]
    gap = "决策表:金额 = 500, 特殊 = 否 没有任何一行覆盖,请补上,或在最后加一行全空的"

    assert told(["amount", "special"], rows, hitPolicy="first", complete=True) == [gap]
    assert told(["amount", "special"], [*rows, ["", "false"]], hitPolicy="first", complete=True) == []
    assert told(["amount", "special"], rows, hitPolicy="first", complete=False) == []
    assert told(["amount", "special"], rows, complete=True) == []  # of a collecting table, no row is an answer


def test_what_is_not_answered_is_a_case_of_its_own() -> None:
    rows = [["< 12", '"dog"'], [">= 12", '"dog"'], ["", '"cat"']]

    assert told(["age", "species"], rows, hitPolicy="first", complete=True) == [
        "决策表:物种 = 狗, 年龄 = 未填写 没有任何一行覆盖,请补上,或在最后加一行全空的"
    ]


def test_a_table_without_rows_covers_nothing() -> None:
    assert told(["amount"], [], hitPolicy="first", complete=True) == [
        "决策表:任何情形 没有任何一行覆盖,请补上,或在最后加一行全空的"
    ]
    assert told(["amount"], []) == []


def test_overlaps_are_shown_by_a_case_where_they_are_forbidden() -> None:
    rows = [["[0..500]", ""], ["(500..900]", ""], ["> 800", "true"], ["500", "false"]]

    assert told(["amount", "special"], rows, overlaps="forbidden") == [
        "第 2、3 行:金额 = 800.01, 特殊 = 是 时都成立,而这张表的行不许重叠",
        "第 1、4 行:金额 = 500, 特殊 = 否 时都成立,而这张表的行不许重叠",
    ]
    assert told(["amount", "special"], rows[:2], overlaps="forbidden") == []
    assert told(["amount", "special"], rows, overlaps="allowed") == []


def test_who_asks_may_forbid_overlaps_and_gaps_too() -> None:
    model = jdm(["amount"], OUTPUTS, [["> 5", *BOSS], ["> 9", *BOSS]])

    problems = check_table(model, COLUMNS, overlaps_forbidden=True, must_be_complete=True)

    assert [problem.where for problem in problems] == ["第 1、2 行", "决策表"]


@pytest.mark.parametrize("marks", [{"overlaps": True}, {"overlaps": "no"}, {"complete": "yes"}, {"complete": 1}])
def test_our_own_keys_have_their_values(marks: dict[str, Any]) -> None:
    problems = told(["amount"], [["> 5"]], **marks)

    assert len(problems) == 1 and "只能是" in problems[0]


def test_words_of_choices_and_other_texts_are_in_the_case_that_is_shown() -> None:
    rows = [['"猫咪"', "", "len($) > 0"], ["", 'not in ["corgi"]', ""]]

    assert told(["note", "pet.breed", "allergens"], rows, hitPolicy="first", complete=True) == [
        "决策表:备注 = 其他, 过敏原 = 无, 品种 = corgi 没有任何一行覆盖,请补上,或在最后加一行全空的"
    ]


def test_of_many_problems_the_first_are_named_and_the_others_counted() -> None:
    problems = told(["amount"], [["> 'a'"]] * 50)

    assert len(problems) == MOST_NAMED + 1
    assert problems[-1] == "决策表:另外还有 30 处问题"


def test_a_table_with_too_many_cases_is_sampled_and_says_so() -> None:
    numbers = {f"n{number}": TableColumn(f"数{number}", Kind.NUMBER) for number in range(12)}
    columns = TableColumns(numbers, COLUMNS.outputs)
    model = jdm([""], OUTPUTS, [[" + ".join(numbers) + " > 5", *BOSS], ["", *BOSS]])

    sampled = examine_table(model, columns, overlaps_forbidden=True)

    assert sampled.sampled
    assert [problem.where for problem in sampled.problems] == ["第 1、2 行"]
    assert sampled.problems[0].why.endswith("(情形太多,只抽查了一部分)")
    assert not examine_table(jdm(["n1"], OUTPUTS, [["> 5", *BOSS]]), columns).sampled


@pytest.mark.parametrize("model", [None, 5, [], {}, {"nodes": None}, {"nodes": [{"type": "functionNode"}]}])
def test_what_is_no_table_is_one_problem(model: Any) -> None:
    assert [problem.where for problem in check_table(model, COLUMNS)] == ["决策表"]


CELLS = st.sampled_from(
    ["", "> 5", "null", "true", '"dog"', "[1..5)", "len($) > 1", "amount", "> age", 'contains($, "a")', "not", "9 * $"]
)
EXPRESSIONS = st.sampled_from(['"boss"', "species", "amount", "5", '""', "", "`${age}`", "age / 0", "1 +", "true"])
SPOILT: st.SearchStrategy[Any] = (
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.none(), max_size=2) | st.just({"nodes": []})
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[CELLS] * 4, *[EXPRESSIONS] * 3), max_size=4), st.sampled_from(["first", "collect"]), SPOILT)
def test_whatever_the_cells_are_the_check_ends_and_what_it_finds_fit_is_read(
    rows: list[tuple[str, ...]], policy: str, spoilt: Any
) -> None:
    model = jdm(["amount", "species", "allergens", ""], OUTPUTS, rows, hitPolicy=policy, complete=True)
    problems = check_table(model, COLUMNS)

    assert all(str(problem) for problem in problems)
    if not problems:
        DecisionTable(model)
    broken = copy.deepcopy(model)
    broken["nodes"][1]["content"]["rules"].append(spoilt)
    assert all(str(problem) for problem in check_table(broken, COLUMNS))
