"""Steps: which recipe the pet gets, and the promise of stock. Rows only; nothing leaves the house."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from sqlmodel import Session

from models import hold
from models.database import in_transaction, utcnow
from models.fulfilment import (
    Claim,
    Fulfilment,
    FulfilmentLine,
    Stage,
    WaitingOn,
    advance,
    carried_by,
    hold_on,
)
from models.order import OrderLine, lines_of
from models.product import products
from models.recipe import NoRecipe, ProfileIncomplete, Recipe, choose, ingredients, read_profile, recipes
from models.settings import settings
from models.stock import StockShort, reserve
from models.timeline import EventKind, note
from tasks.working import PERSON_LOOK_AGAIN, MustWait


async def match_recipe(claim: Claim) -> None:
    """Choose a recipe for each made-to-order line. Twice: the recipe is there, nothing changes."""
    if claim.stage.reached(Stage.RESERVED):
        return
    stop = await in_transaction(lambda session: _match(session, claim))
    if stop is not None:
        raise stop


def _match(session: Session, claim: Claim) -> MustWait | None:
    now = utcnow()
    hold_on(session, claim)
    book = recipes(session)
    lines = {line.id: line for line in lines_of(session, claim.order_id)}
    matched = {}
    for part in carried_by(session, claim.fulfilment_id):
        line = lines[part.order_line_id]
        if not line.made_to_order or part.recipe is not None:
            continue
        try:
            recipe = choose(read_profile(line.profile), book)
        except ProfileIncomplete as error:
            return _hold(session, claim, "profile_incomplete", str(error), WaitingOn.CUSTOMER)
        except NoRecipe as error:
            return _hold(session, claim, "no_recipe", str(error), WaitingOn.PERSON)
        part.recipe = recipe.code
        session.add(part)
        matched[line.sku] = recipe.code
    if matched:
        note(
            session, claim.order_id, EventKind.RECIPE_MATCHED, "match-recipe", now, claim.fulfilment_id, recipes=matched
        )
    return None


def _hold(session: Session, claim: Claim, code: str, reason: str, on: WaitingOn) -> MustWait:
    who, how = {
        "profile_incomplete": ("客服", "请客户补全宠物档案,补全后解除"),
        "no_recipe": ("营养师", "为这只宠物指定配方,或联系客户退款"),
    }[code]
    now = utcnow()
    hold.place(session, claim.order_id, code, reason, who, how, "match-recipe", now)
    return MustWait(on, reason, now + PERSON_LOOK_AGAIN)


async def reserve_stock(claim: Claim) -> None:
    """Promise goods and ingredients to this fulfilment, all or nothing. Twice: it is promised already."""
    if claim.stage.reached(Stage.RESERVED):
        return
    stop = await in_transaction(lambda session: _reserve(session, claim))
    if stop is not None:
        raise stop


def _reserve(session: Session, claim: Claim) -> MustWait | None:
    now = utcnow()
    fulfilment = hold_on(session, claim)
    assert fulfilment.id is not None
    wanted = _wanted(session, claim, fulfilment)
    try:
        with session.begin_nested():
            reserve(session, fulfilment.id, fulfilment.warehouse, wanted, "reserve-stock", now)
    except StockShort as short:
        if fulfilment.waiting_on != WaitingOn.BACKORDER.value:
            note(
                session, claim.order_id, EventKind.BACKORDERED, "reserve-stock", now, claim.fulfilment_id,
                missing={sku: list(pair) for sku, pair in short.missing.items()},
            )  # fmt: skip
        minutes = settings().policy.backorder_look_again_minutes
        return MustWait(WaitingOn.BACKORDER, str(short), now + timedelta(minutes=minutes))
    advance(session, claim, Stage.RESERVED, now)
    note(session, claim.order_id, EventKind.RESERVED, "reserve-stock", now, claim.fulfilment_id, skus=wanted)
    return None


def _wanted(session: Session, claim: Claim, fulfilment: Fulfilment) -> dict[str, int]:
    """Finished goods by piece, made-to-order lines by their ingredients in grams."""
    total: Counter[str] = Counter()
    for part, line, recipe in made_of(session, claim):
        if recipe is None:
            total[line.sku] += part.quantity
        else:
            weight = products(session, [line.sku])[line.sku].weight_g
            total.update(ingredients(recipe, weight, part.quantity))
    return dict(total)


def made_of(session: Session, claim: Claim) -> list[tuple[FulfilmentLine, OrderLine, Recipe | None]]:
    """The fulfilment's parts with their order lines, and the recipe of those that are made to order."""
    lines = {line.id: line for line in lines_of(session, claim.order_id)}
    book = {recipe.code: recipe for recipe in recipes(session)}
    parts = carried_by(session, claim.fulfilment_id)
    return [(part, lines[part.order_line_id], book[part.recipe] if part.recipe else None) for part in parts]
