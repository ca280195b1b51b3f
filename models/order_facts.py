"""The facts of an order that the approval matrix asks for: what was bought, for whom, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from models.order import Contact, Order, OrderLine, lines_of
from models.recipe import ProfileIncomplete, Recipe, read_profile

#: Whether this buyer, or this receiver, has ordered before (a cancelled order is one too).
_ORDERED_BEFORE = text("""
SELECT EXISTS (
  SELECT 1 FROM orders o WHERE o.channel = :channel AND o.shop = :shop AND o.buyer = :buyer AND :buyer <> ''
   AND o.id < :id
  UNION ALL
  SELECT 1 FROM contact c JOIN orders o ON o.contact_id = c.id
   WHERE c.fingerprint = :fingerprint AND :fingerprint <> '' AND o.id < :id)
""")


def facts_of(session: Session, order: Order, recipes: Sequence[Recipe], why_no_recipe: str = "") -> dict[str, Any]:
    """The facts (`models.matrix.FACTS`) of an order whose made-to-order lines get these recipes.

    `why_no_recipe` says why a line has none; "" when every line that needs one has it.
    """
    assert order.id is not None
    lines = [line for line in lines_of(session, order.id) if line.quantity > line.cancelled_quantity]
    contact = session.get_one(Contact, order.contact_id)
    pets = [line.pet for line in lines if line.made_to_order]
    return {
        "amount": order.total_fen / 100,  # exact to the fen: the engine counts in decimals
        "channel": order.channel,
        "shop": order.shop,
        "province": contact.province,
        "quantity": sum(line.quantity - line.cancelled_quantity for line in lines),
        "made_to_order": bool(pets),
        "skus": sorted({line.sku for line in lines}),
        "health_notes": ";".join(said for pet in pets if (said := str(pet.get("health_notes") or "").strip())),
        "new_customer": not _ordered_before(session, order, contact),
        "address_risk": address_risk(contact),
        **_animals(lines),
        **facts_of_recipes(recipes, why_no_recipe),
    }


def facts_of_recipes(recipes: Sequence[Recipe], why_no_recipe: str = "") -> dict[str, Any]:
    """Those of the facts that depend on which recipes were chosen."""
    special = [recipe for recipe in recipes if recipe.special]
    return {
        "recipes": sorted({recipe.code for recipe in recipes}),
        "special": bool(special),
        "special_recipes": "、".join(sorted({recipe.title for recipe in special})),
        "ingredients": sorted({sku for recipe in recipes for sku in recipe.grams_per_kg}),
        "no_recipe": bool(why_no_recipe),
        "why_no_recipe": why_no_recipe,
    }


def address_risk(contact: Contact) -> str:
    """What speaks against an address: "masked" (not shown to us yet), "incomplete", or "" for nothing."""
    if contact.only_masked:
        return "masked"
    return "" if contact.province and contact.city and contact.district else "incomplete"


def _animals(lines: Sequence[OrderLine]) -> Mapping[str, list[str]]:
    species: set[str] = set()
    allergens: set[str] = set()
    for line in lines:
        if not line.made_to_order:
            continue
        try:
            pet = read_profile(line.pet)
        except ProfileIncomplete:
            continue
        species.add(pet.species)
        allergens |= pet.allergens
    return {"species": sorted(species), "allergens": sorted(allergens)}


def _ordered_before(session: Session, order: Order, contact: Contact) -> bool:
    values = {
        "channel": order.channel,
        "shop": order.shop,
        "buyer": order.buyer,
        "fingerprint": contact.fingerprint,
        "id": order.id,
    }
    return bool(session.connection().execute(_ORDERED_BEFORE, values).scalar_one())
