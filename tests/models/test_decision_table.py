"""Decision tables mean what the engine means by them, say when they cannot tell, and are refused if they may harm."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import zen
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decision_table import MOST_COLUMNS, MOST_ROWS, CannotTell, Cell, DecisionTable, TableBroken, content_of
from models.table_cell import LONGEST, CellRefused
from tests.models.tables import jdm

NUMBERS = st.integers(-3, 8).map(float) | st.sampled_from([0.5, 2.25, 499.99, 500, 500.01])
TEXTS = st.sampled_from(["a", "b", "c", "狗", ""])


def rows_of(model: dict[str, Any], **facts: Any) -> list[str]:
    """The ids of the rows that hold."""
    return [match.row for match in DecisionTable(model).matches(facts)]


def number_cells() -> st.SearchStrategy[str]:
    number = st.integers(-3, 8)
    compared = st.builds(lambda sign, n: f"{sign} {n}", st.sampled_from([">", "<", ">=", "<=", "==", "!="]), number)
    interval = st.builds(
        lambda a, low, high, b: f"{a}{low}..{high}{b}", st.sampled_from("[("), number, number, st.sampled_from(")]")
    )
    both = st.builds(lambda a, b: f"{a} and {b}", compared, compared)
    return compared | interval | both | st.lists(number, min_size=1, max_size=3).map(lambda ns: ", ".join(map(str, ns)))


def text_cells() -> st.SearchStrategy[str]:
    texts = st.lists(TEXTS, min_size=1, max_size=3).map(lambda texts: ",".join(f'"{text}"' for text in texts))
    return texts | texts.map(lambda texts: f"not in [{texts}]") | TEXTS.map(lambda text: f'contains($, "{text}")')


@st.composite
def questions(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A table with well-typed cells, and facts to ask it about; some are not answered."""
    empty = st.just("")
    condition = st.sampled_from(["n > 3", 'n <= 3 and t == "a"', "b", "len(l) > 1", "n > m"])
    row = st.tuples(
        empty | number_cells(),
        empty | text_cells(),
        empty | st.sampled_from(["true", "false"]),
        empty | TEXTS.map(lambda text: f'some($, # in ["{text}"])') | st.just("len($) > 1"),
        empty | number_cells(),
        empty | condition,
    )
    cells = draw(st.lists(row, max_size=6))
    rows = [(*inputs, f'"row {number}"', str(number)) for number, inputs in enumerate(cells, 1)]
    model = jdm(["n", "t", "b", "l", "pet.age", ""], ["name", "number"], rows)
    model["nodes"][1]["content"]["hitPolicy"] = draw(st.sampled_from(["first", "collect"]))
    facts = st.fixed_dictionaries(
        {
            "n": st.none() | NUMBERS,
            "m": NUMBERS,
            "t": st.none() | TEXTS,
            "b": st.none() | st.booleans(),
            "l": st.none() | st.lists(TEXTS, max_size=3),
            "pet": st.none() | st.fixed_dictionaries({"age": st.none() | NUMBERS}),
        }
    )
    return model, draw(st.lists(facts, min_size=1, max_size=6))


@settings(max_examples=150, deadline=None)
@given(questions())
def test_the_rows_that_hold_are_those_of_the_engine(asked: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    model, cases = asked
    ours, engine = DecisionTable(model), zen.ZenEngine().create_decision(json.dumps(model))
    for facts in cases:
        theirs: Any = engine.evaluate(facts)["result"] or []
        theirs = theirs if isinstance(theirs, list) else [theirs]
        assert [dict(match.output) for match in ours.matches(facts)] == theirs


def test_of_a_first_table_the_first_row_holds_and_of_a_collecting_one_all() -> None:
    rows = [["> 5", "1"], ["> 3", "2"], ["", "3"]]

    assert rows_of(jdm(["n"], ["o"], rows, hitPolicy="first"), n=4) == ["r2"]
    assert rows_of(jdm(["n"], ["o"], rows), n=6) == ["r1", "r2", "r3"]
    assert rows_of(jdm(["n"], ["o"], rows[:1]), n=0) == []


def test_a_table_without_hit_policy_is_a_first_one_as_in_the_engine() -> None:
    model = jdm(["n"], ["o"], [["", "1"], ["", "2"]])
    del model["nodes"][1]["content"]["hitPolicy"]

    assert rows_of(model, n=1) == ["r1"]


def test_nested_facts_have_dotted_names() -> None:
    model = jdm(["pet.species", ""], ["o"], [['"dog"', "pet.age > 3", "pet.species"]])

    assert DecisionTable(model).matches({"pet": {"species": "dog", "age": 4}})[0].output == {"o": "dog"}
    assert rows_of(model, pet={"species": "dog", "age": 3}) == []
    assert rows_of(model, pet={"species": "dog"}) == []
    assert rows_of(model, pet=None) == []


@pytest.mark.parametrize("cell", ["> 5", "[1..5)", 'contains($, "a")', "len($) > 0", '$ == "a" or $ > 5'])
def test_what_was_not_answered_holds_no_condition(cell: str) -> None:
    assert rows_of(jdm(["n"], ["o"], [[cell, "1"]]), n=None) == []


@pytest.mark.parametrize("cell", ["null", "null, > 5", "$ == null or $ > 5", 'not in ["a"]'])
def test_a_cell_may_ask_whether_something_was_answered(cell: str) -> None:
    assert rows_of(jdm(["n"], ["o"], [[cell, "1"]]), n=None) == ["r1"]


@pytest.mark.parametrize(
    ("inputs", "row", "facts", "why"),
    [
        (["n"], ["> 5", "1"], {}, "第 1 行「n」的「> 5」无法判断:没有给出事实 n"),
        (["n"], ["> m", "1"], {"n": 1}, "没有给出事实 m"),
        (["pet.age"], ["> 5", "1"], {}, "没有给出事实 pet"),
        (["n"], ["> 5", "1"], {"n": "6"}, "第 1 行「n」的「> 5」无法判断:值的类型不合"),
        (["n"], ["> m", "1"], {"n": 1, "m": "6"}, "值的类型不合"),
        (["n"], ["> 5", "1"], {"n": float("nan")}, "NaN"),
        (["n"], ["> 5", "1"], {"n": 10**40}, "无法判断"),
        ([""], ["n", "1"], {"n": 5}, "得出的是 5,不是 true 或 false"),
        ([""], ["n > 5", "1"], {"n": "a"}, "值的类型不合"),
        (["n"], ["", "m"], {"n": 5}, "第 1 行的输出「o」无法计算:没有给出事实 m"),
        (["n"], ["", "n * 2"], {"n": "a"}, "第 1 行的输出「o」无法计算:值的类型不合"),
        (["n"], ["", "n * 2"], {"n": None}, "第 1 行的输出「o」无法计算:值的类型不合"),
    ],
)
def test_a_table_that_cannot_tell_says_so(inputs: list[str], row: list[str], facts: dict[str, Any], why: str) -> None:
    table = DecisionTable(jdm(inputs, ["o"], [row]))

    with pytest.raises(TableBroken) as broken:
        table.matches(facts)

    assert why in str(broken.value)


def test_a_row_behind_the_first_that_holds_is_not_asked() -> None:
    model = jdm(["n"], ["o"], [["> 0", "1"], ['contains($, "a")', "2"]], hitPolicy="first")

    assert rows_of(model, n=1) == ["r1"]


def test_outputs_are_whole_numbers_where_they_are_whole_and_templates_say_facts() -> None:
    model = jdm(
        ["n"], ["whole", "half", "text", "nothing", "left_out"], [["", "22", "0.5", "`共 ${n} 元`", "null", ""]]
    )

    output = DecisionTable(model).matches({"n": 500.01})[0].output

    assert output == {"whole": 22, "half": 0.5, "text": "共 500.01 元", "nothing": None}
    assert isinstance(output["whole"], int)


def test_many_threads_may_ask_one_table() -> None:
    table = DecisionTable(jdm(["n", "t"], ["o"], [[f"> {n}", '"a"', "n"] for n in range(50)]))

    def ask(n: int) -> int:
        return len(table.matches({"n": n % 50, "t": "a"}))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(2000)))

    assert found == [n % 50 for n in range(2000)]


def test_the_engine_leaves_our_own_keys_alone() -> None:
    model = jdm(["n"], ["o"], [["> 1", "1"]], overlaps="forbidden", complete=True)

    assert zen.ZenEngine().create_decision(json.dumps(model)).evaluate({"n": 2})["result"] == [{"o": 1}]
    assert content_of(model).marks == {"overlaps": "forbidden", "complete": True}


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """A sound model, whose table was changed."""
    model = jdm(["n"], ["o"], [["> 1", "1"]])
    change(model["nodes"][1]["content"])
    return model


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ({}, "缺少 nodes"),
        ({"nodes": []}, "这里有 0 张"),
        ({"nodes": [1]}, "缺少 nodes"),
        ({"nodes": jdm([], [], [])["nodes"] * 2}, "这里有 2 张"),
        ({"nodes": [*jdm([], [], [])["nodes"], {"type": "functionNode", "content": "1"}]}, "函数等其他节点不能用"),
        ({"nodes": [*jdm([], [], [])["nodes"], {"type": ["x"]}]}, "函数等其他节点不能用"),
        ({"nodes": [{"type": "decisionTableNode"}]}, "缺少 content"),
        (changed(lambda table: table.pop("inputs")), "缺少 inputs"),
        (changed(lambda table: table.update(outputs={})), "缺少 outputs"),
        (changed(lambda table: table.update(rules=["x"])), "缺少 rules"),
        (changed(lambda table: table.update(hitPolicy="unique")), "只能是 first 或 collect"),
        (changed(lambda table: table.update(hitPolicy=None)), "只能是 first 或 collect"),
        (changed(lambda table: table.update(executionMode="loop")), "不能循环"),
        (changed(lambda table: table.update(inputField="orders")), "换输入"),
        (changed(lambda table: table.update(outputPath="x")), "换输出的位置"),
        (changed(lambda table: table["inputs"][0].update(field="金额")), "要用英文字母"),
        (changed(lambda table: table["inputs"][0].update(field="n + 1")), "要用英文字母"),
        (changed(lambda table: table["inputs"][0].update(field=5)), "不是 200 字以内的文字"),
        (changed(lambda table: table["inputs"][0].update(id="")), "没有 id"),
        (changed(lambda table: table["inputs"][0].update(id="o0")), "两列的 id 相同"),
        (changed(lambda table: table["outputs"][0].update(field="")), "要用英文字母"),
        (changed(lambda table: table["outputs"].append({"id": "x", "field": "o"})), "两个输出列的字段相同"),
        (changed(lambda table: table["rules"][0].update(i0=5)), "第 1 行「n」要是文字"),
        (changed(lambda table: table["rules"][0].update(i0=False)), "第 1 行「n」要是文字"),
        (changed(lambda table: table["rules"][0].update(_id=["x"])), "编号"),
        (changed(lambda table: table["rules"][0].update(i0="> ")), "第 1 行「n」的「>」读不懂"),
        (changed(lambda table: table["rules"][0].update(o0="\ud800")), "第 1 行「o」"),
        (changed(lambda table: table["rules"][0].update(o0="$ + 1")), "没有字段,不能用 $"),
        (changed(lambda table: table.update(rules=[{}] * (MOST_ROWS + 1))), "最多 2000 行"),
        (changed(lambda table: table.update(inputs=[{"id": str(n)} for n in range(MOST_COLUMNS)])), "最多 40 列"),
        (changed(lambda table: table["rules"][0].update(i0="1," * LONGEST)), "最多 2000 个"),
    ],
)
def test_what_is_no_sound_table_is_refused(model: Any, why: str) -> None:
    with pytest.raises(TableBroken) as broken:
        DecisionTable(model)

    assert why in str(broken.value)


def test_the_largest_table_is_read() -> None:
    model = jdm(["n"], ["o"], [[f"== {number}", str(number)] for number in range(MOST_ROWS)])

    assert [match.output["o"] for match in DecisionTable(model).matches({"n": 1999})] == [1999]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """A sound model in which one place was overwritten with anything."""
    model: Any = copy.deepcopy(jdm(["n", "t"], ["o"], [["> 1", '"a"', "1"], ["", "", "n"]]))
    place = model
    while True:
        steps = list(place) if isinstance(place, dict) else list(range(len(place)))
        step = draw(st.sampled_from(steps))
        if not isinstance(place[step], dict | list) or not place[step] or draw(st.integers(0, 5)) == 0:
            place[step] = draw(JSON)
            return model
        place = place[step]


@settings(max_examples=400, deadline=None)
@given(spoilt() | JSON | JSON.map(lambda any_: {"nodes": [{"type": "decisionTableNode", "content": any_}]}))
def test_hostile_json_is_a_broken_table_and_nothing_else(model: Any) -> None:
    try:
        DecisionTable(model).matches({"n": 3, "t": "a"})
    except TableBroken as broken:
        assert str(broken)


PIECES = st.sampled_from(
    [
        *("$", "1", "2.5", '"a"', "true", "null", "n", "pet.age", "#", "中", "1e9", "(", ")", "[", "]", "..", ",", "."),
        *("+", "-", "*", "/", "^", "?", ":", "??", "and", "or", "not", "in", "==", "<", ">=", "=", ";", "as", "'"),
        *("`", "${", "}", "len(", "contains($,", "some($,", "map(", "filter(l,", "max(", "round(", "string(", "rand("),
    ]
)


@settings(max_examples=1500, deadline=1000)
@given(st.lists(PIECES, max_size=9).map(" ".join), st.sampled_from(["n", ""]), st.sampled_from([1, None, "a", ["a"]]))
def test_no_cell_does_anything_but_tell_or_say_why_not(said: str, field: str, value: Any) -> None:
    try:
        assert Cell(said, field).holds({"n": value, "l": ["a"], "pet": {"age": 3}}) in (True, False)
    except (CellRefused, CannotTell) as why:
        assert str(why)
