"""Step: which recipe each pet gets. Where the rules have none, a person is asked before anything is reserved."""

from __future__ import annotations

from sqlmodel import Session

from models.database import in_transaction, utcnow
from models.form_desk import ask
from models.fulfilment import Claim, FulfilmentLine, Stage, WaitingOn, carried_by, hold_on
from models.order import Order, OrderLine, lines_of
from models.order_facts import chosen_for, pet_in
from models.review_route import Standing, stand
from models.rules_in_force import form_of, recipes_of
from models.timeline import EventKind, note
from tasks.asking import ask_customer
from tasks.review import shown_to_reviewers
from tasks.shadow import decide_on_paper
from tasks.working import PERSON_LOOK_AGAIN, MustWait


async def match_recipe(claim: Claim) -> None:
    """Choose a recipe for each made-to-order line, once its pet is described whole.

    Twice: the recipe is there, nothing changes. What is missing of a pet is asked of the customer; for what the rules
    have no recipe, reviewers choose one. What a person has chosen stays.
    """
    if claim.stage.reached(Stage.RESERVED):
        return
    stop = await in_transaction(lambda session: _match(session, claim))
    if isinstance(stop, Standing):
        raise await shown_to_reviewers(stop)
    if stop:
        await ask_customer(claim)
        raise MustWait(WaitingOn.CUSTOMER, stop, utcnow() + PERSON_LOOK_AGAIN)


def _match(session: Session, claim: Claim) -> Standing | str:
    """Where it stands with those who choose a recipe, or what the customer is asked; "" when every line has one."""
    now = utcnow()
    hold_on(session, claim)
    lacking = _without_recipe(session, claim)
    if not lacking:
        return ""
    order = session.get_one(Order, claim.order_id)
    form, book = form_of(session, order), recipes_of(session, order)
    matched = {}
    unknown, incomplete = False, None
    for part, line in lacking:
        pet = pet_in(form, line, now)
        if pet is None:
            incomplete = line
            break
        code, _ = chosen_for(pet, book, order)
        if not code:
            unknown = True
            continue
        part.recipe = matched[line.sku] = code
        session.add(part)
    if matched:
        note(
            session, claim.order_id, EventKind.RECIPE_MATCHED, "match-recipe", now, claim.fulfilment_id, recipes=matched
        )
        session.flush()
    if incomplete is not None:
        return ask(session, order, incomplete, form.check(incomplete.pet, now), now)
    if not unknown:
        return ""
    decide_on_paper(session, claim.order_id, now)
    return stand(session, order, claim.fulfilment_id, now)


def _without_recipe(session: Session, claim: Claim) -> list[tuple[FulfilmentLine, OrderLine]]:
    """The made-to-order lines of this fulfilment, in their order, that have no recipe yet."""
    lines = {line.id: line for line in lines_of(session, claim.order_id)}
    parts = [(part, lines[part.order_line_id]) for part in carried_by(session, claim.fulfilment_id)]
    lacking = [(part, line) for part, line in parts if line.made_to_order and part.recipe is None]
    return sorted(lacking, key=lambda pair: pair[1].line_no)
