"""The starter matrix: over 500 yuan, a special recipe or none at all is a nutritionist's; the rest goes straight on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.matrix import Matrix
from models.recipe import STARTER

MATRIX = Matrix(json.loads((STARTER.parent / "matrix.json").read_text(encoding="utf-8")))
PLAIN: dict[str, Any] = {"amount": 99.0, "special": False, "special_recipes": "", "no_recipe": False}


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
