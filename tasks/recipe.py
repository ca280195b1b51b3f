"""Step: which recipe the pet gets."""

from __future__ import annotations

from sqlmodel import Session

from models import hold
from models.allocation import made_of
from models.database import in_transaction, utcnow
from models.fulfilment import Claim, Stage, WaitingOn, hold_on
from models.order import Order
from models.recipe import NoRecipe, ProfileIncomplete, choose, read_profile
from models.rules_in_force import recipes_of
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
    matched = {}
    for part, line, _ in made_of(session, claim.order_id, claim.fulfilment_id):
        if not line.made_to_order or part.recipe is not None:
            continue
        book = recipes_of(session, session.get_one(Order, claim.order_id))
        try:
            recipe = choose(read_profile(line.pet), book)
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
