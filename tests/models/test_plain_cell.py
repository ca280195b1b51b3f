"""What is judged without the engine comes to what the engine says; whatever else is asked is left to it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import zen
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.decision_table import DecisionTable
from models.plain_cell import NO_GLANCE, glance_of, glanced
from tests.models.tables import jdm

NUMBERS = st.one_of(
    st.integers(-999_999_999, 999_999_999),
    st.decimals(-999, 999, places=2),
    st.decimals(-999_999_999, 999_999_999, places=6),
).map(lambda number: f"{number:f}")
#: Few, so that facts are often what the cell says, and next to it.
NEAR = st.integers(-300, 300).map(lambda number: f"{Decimal(number) / 100:f}")
ANY_NUMBER = st.one_of(NUMBERS, NEAR)
TEXTS = st.one_of(st.sampled_from(["a", "b", "A", "广东省", ""]), st.text(max_size=4))
SAID = TEXTS.filter(lambda text: '"' not in text and "\\" not in text)


def glance(cell: str, fact: object) -> bool | None:
    """Whether the cell holds at a glance; None where the engine has to be asked."""
    kind, holds = glance_of(cell)
    given = glanced(fact)
    return holds(given) if type(given) is kind else None


def by_engine(cell: str, fact: object) -> object:
    """What the engine says."""
    return zen.compile_unary_expression(cell).evaluate({"$": fact})


@settings(max_examples=600, deadline=None)
@given(sign=st.sampled_from(["", "== ", "!=", "> ", ">=", "<", "<= "]), edge=ANY_NUMBER, fact=ANY_NUMBER)
@example(sign="> ", edge="0.3", fact="0.3")
@example(sign=">=", edge="199.99", fact="199.99")
@example(sign="<", edge="999999999.999999", fact="999999999.999998")
def test_a_number_is_compared_as_the_engine_compares_it(sign: str, edge: str, fact: str) -> None:
    for number in (float(fact), float(edge), *([int(fact)] if "." not in fact else [])):
        told = glance(sign + edge, number)
        assert told is not None and told is by_engine(sign + edge, number)


@settings(max_examples=300, deadline=None)
@given(
    ends=st.tuples(st.sampled_from("[("), st.sampled_from("])")),
    edges=st.tuples(ANY_NUMBER, ANY_NUMBER),
    fact=ANY_NUMBER,
)
def test_an_interval_is_that_of_the_engine(ends: tuple[str, str], edges: tuple[str, str], fact: str) -> None:
    cell = f"{ends[0]}{edges[0]}..{edges[1]}{ends[1]}"
    for number in map(float, (fact, *edges)):
        told = glance(cell, number)
        assert told is not None and told is by_engine(cell, number)


@settings(max_examples=300, deadline=None)
@given(named=st.lists(SAID, min_size=1, max_size=3), fact=TEXTS)
def test_a_text_is_that_of_the_engine(named: list[str], fact: str) -> None:
    cell = ", ".join(f'"{text}"' for text in named)
    for text in (fact, *named):
        told = glance(cell, text)
        assert told is not None and told is by_engine(cell, text)


@pytest.mark.parametrize("cell", ["true", "false"])
@pytest.mark.parametrize("fact", [True, False])
def test_a_yes_or_no_is_that_of_the_engine(cell: str, fact: bool) -> None:
    assert glance(cell, fact) is by_engine(cell, fact) is (cell == str(fact).lower())


@pytest.mark.parametrize(
    "cell",
    [
        "> m", "> 1 + 1", "> 1e3", "1, 2", "> 5 and < 9", "$ > 5", "null", "'a'", '"a" or "b"', '"a\\n"', "`a`",
        "not true",
        '!= "a"', "> 1234567890", "0.1234567", "[1..m]", '["a"]', 'contains($, "a")', "truely",
    ],
)  # fmt: skip
def test_a_cell_that_says_more_is_left_to_the_engine(cell: str) -> None:
    assert glance_of(cell) is NO_GLANCE


@pytest.mark.parametrize(
    ("cell", "facts"),
    [
        ("> 5", [None, "6", True, [6], 10**9, 0.1 + 0.2, float("nan"), float("inf"), Decimal(6)]),
        ('"a"', [None, 1, True, ["a"]]),
        ("true", [None, 1, 1.0, "true"]),
    ],
)
def test_a_fact_of_another_kind_is_left_to_the_engine(cell: str, facts: list[Any]) -> None:
    assert [glance(cell, fact) for fact in facts] == [None] * len(facts)


def test_an_output_that_reads_no_fact_is_the_same_for_every_order() -> None:
    table = DecisionTable(jdm(["n"], ["fixed", "read", "list"], [["> 5", '"a"', "n", '["x"]']]))
    first, second = (table.matches({"n": n})[0].output for n in (6, 7.5))
    assert (first, second) == ({"fixed": "a", "read": 6, "list": ["x"]}, {"fixed": "a", "read": 7.5, "list": ["x"]})
    assert first["list"] is not second["list"]
