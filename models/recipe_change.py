"""Another recipe, because a reviewer says so: checked against the pet, and its ingredients reserved for the old ones.

The promise of the old ingredients goes back and the new ones are promised in one transaction, in the same warehouse;
where they are not there, the part is received again, and looks for them everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models.fulfilment import Stage, interrupt
from models.order import Order, lines_of
from models.parts import Part, needs, parts_of
from models.recipe import AllergenInside, Recipe, check_reviewer_choice, pet_of
from models.reservation import Purpose, held_for, release, reserve
from models.rule_version import RuleKind
from models.rules_in_force import form_of, number_of, recipes_of
from models.settings import settings
from models.stock import StockShort, free_everywhere
from models.stock_check import open_check, withdraw_check
from models.timeline import EventKind, note


class RecipeRefused(Exception):
    """This recipe cannot be given; the sentence says why, and what to do. Nothing was changed."""


_WITHOUT = text("""
SELECT DISTINCT l.line_no FROM fulfilment f JOIN fulfilment_line p ON p.fulfilment_id = f.id
JOIN order_line l ON l.id = p.order_line_id
WHERE f.order_id = :order AND f.ready_at IS NOT NULL AND l.made_to_order AND p.recipe IS NULL ORDER BY l.line_no
""")


def lines_without_recipe(session: Session, order_id: int) -> list[int]:
    """The numbers of the made-to-order lines under way that have no recipe yet."""
    session.flush()
    return list(session.connection().execute(_WITHOUT, {"order": order_id}).scalars())


def change_recipes(session: Session, order: Order, recipes: Mapping[int, str], actor: str, now: datetime) -> None:
    """Have these lines (by number) made by these recipes (by code). The order must be locked.

    Whoever works on a part that is concerned loses it. Raises `RecipeRefused`, and then nothing is changed.
    """
    assert order.id is not None
    checked = dict(_checked(session, order, recipes, now))
    parts = [part for part in parts_of(session, order) if not part.left and not part.ending]
    concerned = [part for part in parts if _changes(part, checked)]
    for part in concerned:
        if part.outside:
            raise RecipeRefused(f"{part.number} 已经下发生产,不能再换配方:要改请先取消或联系生产。没有任何改变。")
    for part in concerned:
        _make_by(session, part, checked, actor, now)
    interrupt(session, [part.id for part in concerned], now)


def _checked(session: Session, order: Order, recipes: Mapping[int, str], now: datetime) -> Sequence[tuple[int, Recipe]]:
    """The lines by their ids with their new recipes, each of which its pet may have. Raises `RecipeRefused`."""
    assert order.id is not None
    lines = {line.line_no: line for line in lines_of(session, order.id) if line.made_to_order}
    form, book = form_of(session, order), recipes_of(session, order)
    found = []
    for number, code in recipes.items():
        line = lines.get(number)
        if line is None or line.id is None or line.cancelled_quantity >= line.quantity:
            raise RecipeRefused(f"第 {number} 行不是要生产的定制商品,没有配方可换。没有任何改变。")
        result = form.check(line.pet, now)
        if not result.complete:
            asked = "、".join(form.names_of(result.asked))
            raise RecipeRefused(f"第 {number} 行的宠物档案还缺{asked}:请先退回客户补充。没有任何改变。")
        pet = pet_of(result.values)
        recipe = book.recipes.get(code)
        if recipe is None or recipe.species != pet.species:
            fitting = "、".join(sorted(r.code for r in book.recipes.values() if r.species == pet.species)) or "无"
            version = number_of(session, order, RuleKind.RECIPES)
            raise RecipeRefused(
                f"第 {number} 行不能用配方「{code}」:订单按配方第 {version} 版,这种宠物可用 {fitting}。没有任何改变。"
            )
        try:
            check_reviewer_choice(pet, recipe)
        except AllergenInside as inside:
            raise RecipeRefused(str(inside)) from None
        found.append((line.id, recipe))
    return found


def _changes(part: Part, recipes: Mapping[int, Recipe]) -> bool:
    return any(
        carried.order_line_id in recipes and carried.recipe != recipes[carried.order_line_id].code
        for carried in part.carries
    )


def _make_by(session: Session, part: Part, recipes: Mapping[int, Recipe], actor: str, now: datetime) -> None:
    for carried in part.carries:
        if carried.order_line_id in recipes:
            carried.recipe = recipes[carried.order_line_id].code
            session.add(carried)
    session.flush()
    if part.promised or Stage(part.row.stage).reached(Stage.RESERVED):
        _reserve_anew(session, part, actor, now)
    lines = {part.lines[id].sku: recipe.code for id, recipe in recipes.items() if part.quantity_of(id)}
    note(session, part.row.order_id, EventKind.RECIPE_CHANGED, actor, now, part.id, recipes=lines)


def _reserve_anew(session: Session, part: Part, actor: str, now: datetime) -> None:
    """Give back what was promised and promise what is needed now; else the part is received again, without promise."""
    wanted, held = needs(session, part), held_for(session, part.id)
    skus = sorted(wanted[Purpose.GOODS] | wanted[Purpose.INGREDIENT])
    # all of them at once, in the order in which everybody locks; and nobody gets what lies free for a moment
    free_everywhere(session, sorted({*skus, *(promised.sku for promised in held)}), lock=True)
    release(session, part.id, actor, now, "审核换配方")
    withdraw_check(session, part.id, now)
    until = [promised.expires_at for promised in held]
    was = Stage(part.row.stage)
    stage = Stage.RESERVED if was.reached(Stage.RESERVED) else was
    try:
        reserve(
            session, part.id, part.row.warehouse, wanted[Purpose.GOODS], actor, now,
            ingredients=wanted[Purpose.INGREDIENT],
            expires_at=None if None in until else max((at for at in until if at is not None), default=None),
        )  # fmt: skip
    except StockShort:
        stage = Stage.RECEIVED
    if stage is not was:
        part.row.stage, part.row.stage_since, part.row.attempts = stage.value, now, 0
        session.add(part.row)
    session.flush()
    if stage is Stage.RESERVED:
        open_check(session, part.row, skus, settings().policy.stock_check_minutes, now)
