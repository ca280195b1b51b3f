"""Rules and orders for try-outs, as small as can be: tables from rows of cells, orders from what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from models.matrix import FACTS, Asked
from models.tryout import PastOrder, Rules, Trial
from models.tryout_tally import Tally
from tests.past_orders import starter_bodies

STARTER = starter_bodies()
NUTRITIONIST, LEAD = '"nutritionist"', '"customer_service_lead"'
DAY, MOMENT = "2026-11-20", "2026-11-20T04:00:00+00:00"


def table(inputs: Sequence[str], outputs: Sequence[str], *rows: Sequence[str]) -> dict[str, Any]:
    """A decision table that collects; each row is its cells, inputs first. The id of a row is its number."""
    columns = [{"id": name, "name": name, "field": name} for name in (*inputs, *outputs)]
    rules = [
        {"_id": str(number), **dict(zip((*inputs, *outputs), row, strict=True))} for number, row in enumerate(rows, 1)
    ]
    content = {
        "hitPolicy": "collect",
        "inputs": columns[: len(inputs)],
        "outputs": columns[len(inputs) :],
        "rules": rules,
    }
    nodes = [
        {"id": "in", "type": "inputNode", "name": "in", "position": {"x": 0, "y": 0}},
        {"id": "t", "type": "decisionTableNode", "name": "t", "position": {"x": 1, "y": 0}, "content": content},
        {"id": "out", "type": "outputNode", "name": "out", "position": {"x": 2, "y": 0}},
    ]
    edges = [
        {"id": "e1", "type": "edge", "sourceId": "in", "targetId": "t"},
        {"id": "e2", "type": "edge", "sourceId": "t", "targetId": "out"},
    ]
    return {"nodes": nodes, "edges": edges}


def matrix(*rows: Sequence[str]) -> dict[str, Any]:
    """A matrix of rows: amount, no_recipe, role, minutes."""
    said = [(amount, none, role, "`r`", minutes) for amount, none, role, minutes in rows]
    return {"approval": table(("amount", "no_recipe"), ("role", "reason", "sla_minutes"), *said)}


def book(recipes: Sequence[tuple[str, dict[str, int]]], *choice: Sequence[str], **prices: int) -> dict[str, Any]:
    """Recipes for dogs, each of ingredients in grams per kg, with a choice by staple; prices in fen per kg."""
    skus = sorted({sku for _, grams in recipes for sku in grams})
    return {
        "ingredients": [
            {"sku": sku, "title": sku, "allergens": [], **({"price_fen_per_kg": prices[sku]} if sku in prices else {})}
            for sku in skus
        ],
        "recipes": [
            {"code": code, "title": code, "species": "dog", "staple": "dry", "grams_per_kg": grams}
            for code, grams in recipes
        ],
        "choice": table(("staple",), ("recipe", "rank"), *choice),
    }


def facts(**changes: Any) -> dict[str, Any]:
    """Facts of an order about nothing in particular."""
    empty: dict[str, Any] = dict.fromkeys(FACTS, "")
    lists: dict[str, Any] = {name: [] for name in ("skus", "species", "recipes", "ingredients", "allergens")}
    flags = dict.fromkeys(("made_to_order", "special", "no_recipe", "new_customer"), False)
    return {**empty, **lists, **flags, "amount": 100, "quantity": 1, **changes}


def past(number: int, roles: dict[str, int] | None = None, pets: Sequence[Any] = (), **changes: Any) -> PastOrder:
    """An order of the past that was routed to these roles (role → minutes), by version 1."""
    route = [asdict(Asked(role, ("r",), minutes)) for role, minutes in (roles or {}).items()]
    return PastOrder(number, f"T-{number}", DAY, MOMENT, "1", facts(**changes), pets, route)


def answered(number: int, said: Sequence[dict[str, Any]], *, went_on: bool = True) -> PastOrder:
    """An order as it is read for a form; one that went on has a ruling."""
    return PastOrder(number, f"T-{number}", DAY, MOMENT, "1", {} if went_on else None, answers=said)


def pet(recipe: str, staple: str = "dry", grams: int = 1000, line_no: int = 1) -> dict[str, Any]:
    """A dog as a ruling keeps it, with the recipe that was chosen."""
    asked = {"species": "dog", "staple": staple, "allergens": []}
    return {
        "line_no": line_no,
        "sku": "FOOD",
        "grams": grams,
        "facts": asked,
        "allergens": [],
        "recipe": recipe,
    }


def tried(trial: Trial, orders: Sequence[PastOrder]) -> Tally:
    """The counts over these orders."""
    tally = Tally()
    for order in orders:
        tally.count(order, trial.look(order))
    return tally


def on_trial(kind: str, body: dict[str, Any], past: dict[str, Any] | None = None, **others: Any) -> Trial:
    """These rules, with the others of the starter, unless said otherwise."""
    return Trial(Rules(kind, {**STARTER, **others, kind: body}, past or {}))
