"""What is said of all cases of a table is what asking about every single case comes to."""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from models.decision_table import Cell
from models.table_cases import Cases, nested
from models.table_column import Kind, TableColumn

FACTS = {
    "n": TableColumn("数", Kind.NUMBER, least=0, most=6, step=1),
    "pet.age": TableColumn("年龄", Kind.NUMBER, optional=True),
    "t": TableColumn("字", Kind.TEXT, {"a": "甲", "b": "乙", "c": "丙"}, closed=True),
    "b": TableColumn("是否", Kind.YES_NO),
}
#: Values of the facts that tell more apart than any cell below.
EVERY = {"n": range(7), "pet.age": [None, -1, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4], "t": "abc", "b": [True, False]}

NUMBER = st.integers(0, 3)
CELLS = {
    "n": st.builds("{} {}".format, st.sampled_from(["<", ">", "<=", ">=", "=="]), NUMBER.map(lambda n: 2 * n)),
    "pet.age": st.builds("{} {}".format, st.sampled_from(["<", ">", "<="]), NUMBER) | st.just("null"),
    "t": st.sampled_from(['"a"', '"b", "c"', 'not in ["a"]']),
    "b": st.sampled_from(["true", "false"]),
    "": st.sampled_from(["n > pet.age", 'n > 2 or t == "a"', "b and n < 3"]),
}
ROWS = st.lists(
    st.lists(st.sampled_from(list(CELLS)).flatmap(lambda field: st.tuples(CELLS[field], st.just(field))), max_size=3),
    max_size=6,
)


def every_case() -> list[dict[str, Any]]:
    return [dict(zip(EVERY, values, strict=True)) for values in product(*EVERY.values())]


def holding(rows: list[list[Cell]], case: dict[str, Any]) -> set[int]:
    facts = nested(case)
    return {number for number, cells in enumerate(rows) if all(cell.holds(facts) for cell in cells)}


def completed(case: Any) -> dict[str, Any]:
    """A case with the facts that no cell asks for."""
    return {"n": 0, "pet.age": None, "t": "a", "b": True} | dict(case)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_gaps_overlaps_and_dead_rows_are_those_of_all_cases(said: list[list[tuple[str, str]]]) -> None:
    rows = [[Cell(*cell) for cell in row] for row in said]
    cases = Cases(rows, FACTS)
    asked = [holding(rows, case) for case in every_case()]
    assert not cases.sampled and not cases.failing
    by_itself = all(field for row in said for _, field in row)  # no cell looks at several facts

    gap = cases.uncovered()
    assert (gap is None) == all(asked) or not by_itself
    if gap is not None:
        assert holding(rows, completed(gap)) == set()
    for row in range(len(rows)):
        together = {other for held in asked if row in held for other in held} - {row}
        found = {other for other in range(len(rows)) if cases.along(row) >> other & 1}
        assert found == together or not by_itself
        for other in found:
            assert {row, other} <= holding(rows, completed(cases.case_of(1 << row | 1 << other)))
        within = [held for held in asked if row in held]
        assert (row in cases.never()) == (not within) or (not within and not by_itself)
        if within:
            others = cases.whole_rows(~(1 << row) & ((1 << len(rows)) - 1))
            alone = cases.uncovered(others, within=row)
            left = [held for held in within if not any(others >> other & 1 for other in held - {row})]
            assert (alone is None) == (not left) or not by_itself


def test_blocks_that_have_no_fact_in_common_are_not_multiplied() -> None:
    facts = {f"n{number}": TableColumn(f"数{number}", Kind.NUMBER) for number in range(30)}
    row = [Cell("> 0", fact) for fact in facts]

    cases = Cases([row, [Cell("> 1", "n7")]], facts)

    assert not cases.sampled
    assert sum(len(block.cases) for block in cases.blocks) < 200
    assert cases.uncovered() is not None


def test_too_many_combinations_are_sampled_and_always_the_same_ones() -> None:
    facts = {f"n{number}": TableColumn(f"数{number}", Kind.NUMBER) for number in range(30)}
    together = [[Cell(" + ".join(facts) + " > 5")]]

    first, again = Cases(together, facts), Cases(together, facts)

    assert first.sampled
    assert first.blocks[0].cases == again.blocks[0].cases
    assert first.never() == []  # what was not wholly looked at is not said to be impossible


def test_values_on_either_side_of_a_limit_and_between_two_are_tried() -> None:
    amount = TableColumn("金额", Kind.NUMBER, least=0, step=0.01)
    weight = TableColumn("体重", Kind.NUMBER)
    whole = TableColumn("件数", Kind.NUMBER, least=1, most=4, step=1)
    cells = [Cell("> 2", "x").parts, Cell("<= 3.5", "x").parts]

    assert amount.samples(cells) == [0, 1.99, 2, 2.01, 3.5, 3.51]
    assert weight.samples(cells) == [1, 2, 2.75, 3.5, 4.5]
    assert whole.samples(cells) == [1, 2, 3, 4]
    assert weight.samples([]) == [0, 1]


def test_texts_and_lists_are_tried_as_named_as_others_and_empty() -> None:
    text, listed = TableColumn("字", Kind.TEXT), TableColumn("表", Kind.LIST, optional=True)
    closed = TableColumn("字", Kind.TEXT, {"": "无", "a": "甲"}, closed=True)
    named, searched = Cell('"a", "b"', "x").parts, Cell('contains($, "a") and len($) > 1', "x").parts

    assert text.samples([named]) == ["a", "b", "其他", ""]
    assert text.samples([searched]) == ["a", "其他", "", "a其他", "字", "字字"]
    assert listed.samples([searched]) == [[], ["a"], ["其他"], ["a", "其他"], ["其他0"], ["其他0", "其他1"], None]
    assert closed.samples([named]) == ["", "a"]
