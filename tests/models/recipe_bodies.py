"""Recipes for tests, as small as they can be: one ingredient, one row."""

from __future__ import annotations

from typing import Any

from models.recipe import FACTS


def a_recipe(code: str, species: str = "dog", inside: tuple[str, ...] = ("ING-A",), **changes: Any) -> dict[str, Any]:
    grams = dict.fromkeys(inside, 1000 // len(inside))
    return {"code": code, "title": code, "species": species, "staple": "dry", "grams_per_kg": grams, **changes}


def a_book(recipes: list[dict[str, Any]], rows: list[dict[str, str]], declared: dict[str, list[str]]) -> dict[str, Any]:
    """A book with one choice row each of `rows`: fact → cell, `recipe` and `rank` as written in the table."""
    skus = sorted({sku for recipe in recipes for sku in recipe["grams_per_kg"]})
    content = {
        "hitPolicy": "collect",
        "inputs": [{"id": fact, "name": name, "field": fact} for fact, name in FACTS.items()],
        "outputs": [{"id": name, "name": name, "field": name} for name in ("recipe", "rank")],
        "rules": [{"_id": str(number), **row} for number, row in enumerate(rows, 1)],
    }
    return {
        "ingredients": [{"sku": sku, "title": sku, "allergens": declared.get(sku, [])} for sku in skus],
        "recipes": recipes,
        "choice": {"nodes": [{"id": "t", "type": "decisionTableNode", "name": "t", "content": content}], "edges": []},
    }
