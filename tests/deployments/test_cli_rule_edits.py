"""`orderloom rules add-…`: what is written is refused in words when only a part of it could be kept."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from deployments.cli_rule_edits import edits


@pytest.mark.parametrize(
    "arguments",
    [
        ("add-row", "金额(元)=> 300", "金额(元)=<= 800", "谁审核=财务", "理由=大额"),
        ("add-recipe", "X", "甲", "--grams", "鸡肉 1000", "--species", "狗", "--staple", "干粮",
         "--suits", "体重(kg)=> 3", "--suits", "体重(kg)=< 8"),
    ],
)  # fmt: skip
def test_a_column_that_is_named_twice_is_refused_and_how_to_write_it_is_said(arguments: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(edits, arguments, standalone_mode=False)

    assert isinstance(ended.exception, typer.BadParameter)
    column = arguments[-1 if arguments[0] == "add-recipe" else 1].partition("=")[0]
    assert ended.exception.message == f"「{column}」写了两次:都写在一格里,如「> 300 且 <= 800」"
