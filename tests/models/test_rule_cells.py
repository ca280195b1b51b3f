"""Cells as people write them mean in zen what they say, and what is shown is read as the same cell again."""

from __future__ import annotations

from typing import Any

import pytest
import zen
from hypothesis import given
from hypothesis import strategies as st

from models.rule_cells import CellWrong, said_of, said_output, zen_of, zen_output
from models.rule_columns import APPROVAL, CHOICE, Column

FACTS = APPROVAL.inputs


def holds(field: str, said: str, value: Any) -> bool:
    cell = zen.compile_unary_expression(zen_of(FACTS[field], said))
    return bool(cell.evaluate({field: value, "$": value}))


@pytest.mark.parametrize(
    ("field", "said", "yes", "no"),
    [
        ("amount", "> 500", [500.01], [500, 0]),
        ("amount", ">=1,000", [1000], [999.99]),
        ("amount", "＞500", [501], [500]),
        ("amount", "≤ 20", [20], [20.01]),
        ("amount", "500 ~ 1000", [500, 1000], [499.99, 1000.01]),
        ("amount", "> 500 且 <= 1000", [1000], [500, 1001]),
        ("amount", "99 或 >5000", [99, 5001], [100]),
        ("quantity", "3", [3], [2]),
        ("special", "是", [True], [False]),
        ("new_customer", "否", [False], [True]),
        ("province", "浙江省、江苏省", ["浙江省", "江苏省"], ["广东省", ""]),
        ("province", "不是 浙江省", ["广东省"], ["浙江省"]),
        ("province", "浙江、内蒙古", ["浙江省", "内蒙古自治区"], ["广东省", "浙江"]),
        ("channel", "抖音、天猫", ["douyin", "taobao"], ["jd"]),
        ("health_notes", '="含肾"', ["含肾"], ["肾病"]),
        ("channel", "抖店", ["douyin"], ["jd"]),
        ("health_notes", "含 肾、心脏", ["慢性肾病", "心脏"], ["健康", ""]),
        ("health_notes", "有", ["肠胃敏感"], ["", None]),
        ("health_notes", "无", ["", None], ["肠胃敏感"]),
        ("address_risk", "地址不全", ["incomplete"], ["", "masked"]),
        ("allergens", "含 鸡肉、鱼", [["chicken"], ["beef", "fish"]], [["beef"], []]),
        ("allergens", "鸡肉", [["chicken"]], [["beef"], []]),
        ("allergens", "不含 鸡肉", [[], ["beef"]], [["beef", "chicken"]]),
        ("ingredients", "含 ING-HYDRO", [["ING-HYDRO"]], [["ING-BEEF"]]),
        ("species", "都是 猫", [["cat"]], [["cat", "dog"], []]),
        ("allergens", "有", [["x"]], [[]]),
        ("allergens", "无", [[]], [["x"]]),
        ("amount", "=> 500 and < 600", [550], [600]),
    ],
)
def test_what_people_write_means_what_it_says(field: str, said: str, yes: list[Any], no: list[Any]) -> None:
    assert [holds(field, said, value) for value in yes] == [True] * len(yes)
    assert [holds(field, said, value) for value in no] == [False] * len(no)


def test_an_empty_cell_is_any_value() -> None:
    assert [zen_of(column, "  ") for column in (FACTS["amount"], FACTS["special"], FACTS["skus"])] == ["", "", ""]


@pytest.mark.parametrize(
    ("field", "zen_cell", "shown"),
    [
        ("amount", "> 500", "> 500"),
        ("amount", ">500", "=>500"),  # written otherwise than we would: kept to the letter
        ("amount", "[500..1000]", "500 ~ 1000"),
        ("amount", "> 5 and <= 7", "> 5 且 <= 7"),
        ("amount", "1, 2", "1 或 2"),
        ("special", "true", "是"),
        ("special", "not(true)", "=not(true)"),
        ("channel", '"douyin", "jd"', "抖店、京东"),
        ("province", 'not in ["a", "b"]', "不是 a、b"),
        ("province", '"a、b"', '="a、b"'),
        ("province", '"抖店"', "抖店"),
        ("channel", '"抖店"', '="抖店"'),
        ("health_notes", 'contains($, "肾") or contains($, "心")', "含 肾、心"),
        ("allergens", 'some($, # in ["chicken"])', "含 鸡肉"),
        ("allergens", "len($) > 2", "=len($) > 2"),
        ("species", 'some($, # in ["cat"])', "含 猫"),
        ("amount", "", ""),
    ],
)
def test_a_cell_is_shown_in_words_only_if_they_mean_exactly_it(field: str, zen_cell: str, shown: str) -> None:
    assert said_of(FACTS[field], zen_cell) == shown
    assert zen_of(FACTS[field], shown) == zen_cell


@pytest.mark.parametrize(
    ("field", "said", "why"),
    [
        ("amount", "很多", "「很多」读不懂:写一个数"),
        ("amount", "500-1000", "读不懂"),
        ("amount", "1000 ~ 500", "起点大于终点"),
        ("amount", "1,00", "读不懂"),
        ("special", "也许", "写 是 或 否"),
        ("allergens", "含 、", "后面要写出是哪些"),
        ("health_notes", "含肾", "写「含 肾」"),
        ("health_notes", "不含肾", "这一列没有「不含」这种写法"),
        ("allergens", "不含鸡肉", "写「不含 鸡肉」"),
        ("allergens", "不是鸡肉", "这一列没有「不是」这种写法"),
        ("channel", "亚马逊", "没有「亚马逊」这个渠道:可以写 Shopify、微信小店、抖店"),
        ("province", "a\"b'c", "不能同时有单引号和双引号"),
        ("province", "x" * 3000, "最多 2000 个字"),
    ],
)
def test_what_cannot_be_read_says_how_it_is_written(field: str, said: str, why: str) -> None:
    with pytest.raises(CellWrong) as wrong:
        zen_of(FACTS[field], said)
    assert why in str(wrong.value)


@pytest.mark.parametrize(
    ("field", "said", "expression", "value"),
    [
        ("role", "营养师", '"nutritionist"', "nutritionist"),
        ("role", "finance", '"finance"', "finance"),
        ("sla_minutes", "30", "30", 30),
        ("reason", "大额订单", '"大额订单"', "大额订单"),
        ("reason", "金额 {金额(元)} 元", "`金额 ${amount} 元`", "金额 800 元"),
        ("reason", "{为什么没有配方}", "why_no_recipe", "没有"),
        ("reason", "{amount} 元", "`${amount} 元`", "800 元"),
        ("reason", '叫做"大额"', "'叫做\"大额\"'", '叫做"大额"'),
        ("reason", '=amount > 700 ? "很大" : "大"', 'amount > 700 ? "很大" : "大"', "很大"),
    ],
)
def test_what_a_row_puts_out_is_written_in_words(field: str, said: str, expression: str, value: Any) -> None:
    column = APPROVAL.outputs[field]
    facts = {"amount": 800, "why_no_recipe": "没有"}

    assert zen_output(column, said, FACTS) == expression
    assert zen.compile_expression(expression).evaluate(facts) == value
    assert zen_output(column, said_output(column, expression, FACTS), FACTS) == expression


@pytest.mark.parametrize(
    ("field", "said", "why"),
    [
        ("role", "老板", "没有「老板」:可以写 营养师、"),
        ("sla_minutes", "半小时", "应为一个数"),
        ("reason", "金额 {总价}", "没有「{总价}」:可以写 {金额(元)}"),
        ("reason", "含 {食材}", "「食材」是一份清单"),
        ("reason", "`{金额(元)}`", "不能有 ` 和 $"),
    ],
)
def test_what_a_row_cannot_put_out_is_said(field: str, said: str, why: str) -> None:
    with pytest.raises(CellWrong) as wrong:
        zen_output(APPROVAL.outputs[field], said, FACTS)
    assert why in str(wrong.value)


COLUMNS = st.sampled_from([*APPROVAL.inputs.values(), *CHOICE.inputs.values()])
OUTPUTS = st.sampled_from([*APPROVAL.outputs.values(), *CHOICE.outputs.values()])
PIECES = st.sampled_from(
    [
        '"',
        "'",
        "`",
        "a",
        "含 ",
        "不是 ",
        "、",
        ",",
        "$",
        "{",
        "}",
        "> ",
        "5",
        "[",
        "..",
        "]",
        "true",
        " or ",
        "=",
        " ",
        "有",
    ]
)
CELLS = st.one_of(st.text(max_size=30), st.lists(PIECES, max_size=12).map("".join)).map(str.strip)


@given(COLUMNS, CELLS)
def test_whatever_a_cell_is_it_is_shown_so_that_it_is_read_the_same(column: Column, cell: str) -> None:
    assert zen_of(column, said_of(column, cell)) == cell


@given(OUTPUTS, CELLS)
def test_whatever_is_put_out_is_shown_so_that_it_is_read_the_same(column: Column, cell: str) -> None:
    assert zen_output(column, said_output(column, cell, FACTS), FACTS) == cell


@given(COLUMNS, CELLS)
def test_what_is_read_of_words_is_shown_and_read_again_as_the_same(column: Column, said: str) -> None:
    try:
        cell = zen_of(column, said)
    except CellWrong:
        return
    assert zen_of(column, said_of(column, cell)) == cell
