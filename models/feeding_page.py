"""How the pets of an order are fed with what it brings: one line each, for staff and for the customer."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from models.feeding import ASSUMED_WORDS, FeedingPlan, feeding_plan
from models.fulfilment import Fulfilment, FulfilmentLine, Stage
from models.order import Order, lines_of
from models.order_facts import birthday_counts_on
from models.product import products
from models.rules_in_force import form_of, recipes_of
from models.wording import say

#: Parts in these stages bring nothing.
_GIVEN_UP = (Stage.CANCELLED.value, Stage.REFUNDED.value)


@dataclass(frozen=True)
class FeedingLine:
    """How one line of an order is fed, by one recipe. `pack_g` grams a pack."""

    line_no: int
    title: str
    recipe: str
    packs: int
    pack_g: int
    plan: FeedingPlan

    def said(self, language: str = "zh") -> str:
        """The plan as one sentence, with what it takes for granted."""
        plan = self.plan
        assumed = [say(ASSUMED_WORDS, name, language) for name in plan.assumed]
        if language != "zh":
            days = f"{plan.days} day{'' if plan.days == 1 else 's'}"
            sentence = f"About {plan.grams_per_day} g a day ({plan.kcal_per_day} kcal): lasts about {days}"
            return sentence + (f" ({'; '.join(assumed)})." if assumed else ".")
        sentence = f"每天约 {plan.grams_per_day} 克({plan.kcal_per_day} 千卡),大约够吃 {plan.days} 天"
        return sentence + (f"({';'.join(assumed)})。" if assumed else "。")


def feeding_lines(session: Session, order: Order) -> list[FeedingLine]:
    """How the order's pets are fed, by line and recipe; a line of which that cannot be said is left out.

    The pet is as old as on the day of the order. Nothing is said while a pet's profile is incomplete, while there is
    no recipe, and where the recipe's energy or the weight of a piece is not known.
    """
    assert order.id is not None
    lines = {line.id: line for line in lines_of(session, order.id) if line.made_to_order}
    packs = _packs(session, order.id)
    if not lines or not packs:
        return []
    form, book = form_of(session, order), recipes_of(session, order)
    weights = products(session, [line.sku for line in lines.values()])
    found = []
    for (line_id, code), count in packs.items():
        if line_id not in lines or code not in book.recipes:
            continue
        line = lines[line_id]
        result = form.check(line.pet, order.placed_at)
        pack_g = weights[line.sku].weight_g if line.sku in weights else 0
        if not result.complete:
            continue
        plan = feeding_plan(result.values, book[code], pack_g, count, today=birthday_counts_on(order))
        if plan is not None:
            found.append(FeedingLine(line.line_no, line.title, code, count, pack_g, plan))
    return sorted(found, key=lambda each: (each.line_no, each.recipe))


def _packs(session: Session, order_id: int) -> dict[tuple[int, str], int]:
    """(order line, recipe) → pieces that are made or to be made."""
    carried = session.exec(
        select(FulfilmentLine)
        .join(Fulfilment, col(Fulfilment.id) == col(FulfilmentLine.fulfilment_id))
        .where(Fulfilment.order_id == order_id, col(Fulfilment.stage).not_in(_GIVEN_UP))
    )
    packs: dict[tuple[int, str], int] = {}
    for part in carried:
        if part.recipe is not None:
            which = (part.order_line_id, part.recipe)
            packs[which] = packs.get(which, 0) + part.quantity
    return packs
