"""The facts of an order that the approval matrix asks for: what was bought, for whom, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from models.decision_table import TableBroken
from models.order import Contact, Order, OrderLine, lines_of
from models.order_form import OrderForm
from models.privacy import without_numbers
from models.recipe import NoRecipe, Pet, Recipe, RecipeBook, choose, pet_of
from models.rules_in_force import form_of
from models.warehouse import province_of
from models.wording import TZ

#: Whether this buyer, or this receiver, has ordered before (a cancelled order is one too).
_ORDERED_BEFORE = text("""
SELECT EXISTS (
  SELECT 1 FROM orders o WHERE o.channel = :channel AND o.shop = :shop AND o.buyer = :buyer AND :buyer <> ''
   AND o.id < :id
  UNION ALL
  SELECT 1 FROM contact c JOIN orders o ON o.contact_id = c.id
   WHERE c.fingerprint = :fingerprint AND :fingerprint <> '' AND o.id < :id)
""")
#: By line: the recipes by which the parts of the order make it (a part that was given up makes nothing), and the
#: grams of one piece.
_MADE_BY = text("""
SELECT l.id, pr.weight_g, array_remove(array_agg(DISTINCT p.recipe), NULL) AS recipes,
  bool_or(p.recipe IS NULL) AS lacks
FROM fulfilment f JOIN fulfilment_line p ON p.fulfilment_id = f.id JOIN order_line l ON l.id = p.order_line_id
JOIN product pr ON pr.sku = l.sku
WHERE f.order_id = :order AND f.stage NOT IN ('cancelled', 'refunded') AND l.made_to_order
GROUP BY l.id, pr.weight_g
""")


@dataclass(frozen=True)
class MadeLine:
    """A line that is made to order, over all parts of its order, with the pet that it is for.

    `grams` are those of all its pieces. `chosen` is the recipe that the rules choose ("" for none, and `why` says why
    not), `made_by` are those that it is really made by: another one where a reviewer says so. `open`: a part of it has
    none yet.
    """

    line: OrderLine
    grams: int
    pet: Pet
    chosen: str
    why: str
    made_by: tuple[str, ...]
    open: bool

    @property
    def lacks(self) -> bool:
        """Whether nobody but a person can say by which recipe it is made."""
        return self.open and not self.chosen


def wanted_lines(session: Session, order_id: int) -> list[OrderLine]:
    """The lines of which something is still to be delivered."""
    return [line for line in lines_of(session, order_id) if line.quantity > line.cancelled_quantity]


def made_lines(
    session: Session, order: Order, lines: Sequence[OrderLine], book: RecipeBook, changed: set[int], now: datetime
) -> list[MadeLine]:
    """Those of these made-to-order lines whose pet is known; the others wait for their customer.

    `changed`: numbers of the lines whose recipe a reviewer has changed, so that it is not what the rules choose.
    """
    form = form_of(session, order)
    rows = {row.id: row for row in session.connection().execute(_MADE_BY, {"order": order.id})}
    found = []
    for line in lines:
        pet = pet_in(form, line, now)
        row = rows.get(line.id)
        if pet is None or row is None:
            continue
        chosen, why = (row.recipes[0] if row.recipes else ""), ""
        if row.lacks or line.line_no in changed:
            chosen, why = chosen_for(pet, book, order)
        grams = row.weight_g * (line.quantity - line.cancelled_quantity)
        found.append(MadeLine(line, grams, pet, chosen, why, tuple(row.recipes), row.lacks))
    return found


def pet_in(form: OrderForm, line: OrderLine, now: datetime) -> Pet | None:
    """The pet of a line, as its form reads it, without numbers that could be a phone's; None while it is incomplete."""
    result = form.check(line.pet, now)
    if not result.complete:
        return None
    said = str(result.values.get("health_notes") or "")
    return pet_of({**result.values, "health_notes": without_numbers(said).strip()})


def chosen_for(pet: Pet, book: RecipeBook, order: Order) -> tuple[str, str]:
    """The code of the recipe that the rules choose, "" for none; and why there is none."""
    try:
        return choose(pet, book, birthday_counts_on(order)).code, ""
    except NoRecipe as none:
        return "", str(none)
    except TableBroken as broken:
        return "", f"选配方的规则对这只宠物无法判断:{broken}"


def birthday_counts_on(order: Order) -> date:
    """The day whose age counts: that of the order, so that asking again gives the same."""
    return order.placed_at.astimezone(TZ).date()


def facts_of(
    session: Session,
    order: Order,
    lines: Sequence[OrderLine],
    pets: Sequence[Pet],
    recipes: Sequence[Recipe],
    why_no_recipe: str = "",
) -> dict[str, Any]:
    """The facts (`models.matrix.FACTS`) of an order of these lines, for these pets, made by these recipes.

    `why_no_recipe` says why a line has none; "" when every line that needs one has it.
    """
    contact = session.get_one(Contact, order.contact_id)
    return {
        "amount": order.total_fen / 100,  # exact to the fen: the engine counts in decimals
        "channel": order.channel,
        "shop": order.shop,
        "province": province_of(contact.province),
        "quantity": sum(line.quantity - line.cancelled_quantity for line in lines),
        "made_to_order": any(line.made_to_order for line in lines),
        "skus": sorted({line.sku for line in lines}),
        "species": sorted({pet.species for pet in pets}),
        "allergens": sorted({without_numbers(allergen) for pet in pets for allergen in pet.allergens}),
        "health_notes": ";".join(pet.health_notes for pet in pets if pet.health_notes),
        "new_customer": not _ordered_before(session, order, contact),
        "address_risk": address_risk(contact),
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


def _ordered_before(session: Session, order: Order, contact: Contact) -> bool:
    values: Mapping[str, Any] = {
        "channel": order.channel,
        "shop": order.shop,
        "buyer": order.buyer,
        "fingerprint": contact.fingerprint,
        "id": order.id,
    }
    return bool(session.connection().execute(_ORDERED_BEFORE, values).scalar_one())
