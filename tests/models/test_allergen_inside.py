"""An order that would be made by what its pet must not have: held, with somebody asked, until that is so no more."""

from __future__ import annotations

import pytest
from sqlmodel import Session, select

from models.checks import check
from models.form_desk import save_answers
from models.fulfilment import FulfilmentLine, Stage, fulfilments_of
from models.hold import open_holds
from models.order import Order
from models.review import CaseState, Verdict, decide
from models.review_route import ALLERGEN_INSIDE, Standing, stand
from models.ruling import Ruling
from tests.models.build import NOW, incoming, made, open_shop, taken, walk

CHICKEN = {"species": "dog", "weight_kg": "12", "staple_preference": "dry", "allergens": "鸡肉"}
WHY = "配方 DOG-CHICKEN-DRY(犬粮 鸡肉大米(干))含鸡肉,这只宠物对它过敏:不能生产,请营养师另选配方。"


def made_wrongly(session: Session, pieces: int = 1) -> Order:
    """A reserved order of a dog that must not eat chicken, made with chicken."""
    open_shop(session)
    order = taken(session, incoming("1", made(pieces, pet=CHICKEN)))
    walk(session, order.order_no, Stage.RESERVED)
    session.exec(select(FulfilmentLine)).one().recipe = "DOG-CHICKEN-DRY"
    session.flush()
    return order


def standing(session: Session, order: Order) -> Standing:
    (part,) = fulfilments_of(session, order.id or 0)
    return stand(session, order, part.id or 0, NOW)


def held(session: Session, order: Order) -> list[tuple[str, str, bool]]:
    return [(one.code, one.who, one.blocking) for one in open_holds(session, order.id or 0)]


@pytest.mark.parametrize("pieces", [1, 8], ids=["nobody else is asked", "a sum is looked at too"])
def test_the_order_is_held_and_a_nutritionist_is_asked_for_another_recipe(session: Session, pieces: int) -> None:
    order = made_wrongly(session, pieces)
    (case,) = standing(session, order).waits_for
    assert standing(session, order).waits_for == (case,)
    assert (case.role, case.recipes, case.reasons[-1]) == ("nutritionist", {"1": ""}, WHY)
    assert held(session, order) == [(ALLERGEN_INSIDE, "营养师", True)]
    # the rules by themselves have asked nobody for that
    assert len(session.exec(select(Ruling.route)).one()) == (pieces == 8)
    # when another recipe is chosen, then the order may go on
    taken_, sentence = decide(session, case.id or 0, Verdict.CHANGE_RECIPE, "王敏", "", NOW, {1: "DOG-LAMB-DRY"})
    assert taken_, sentence
    assert standing(session, order) == Standing(approved_by=("王敏",))
    assert held(session, order) == []
    assert [broken.code for broken in check(session, NOW)] == []


def test_whoever_approves_it_all_the_same_is_asked_again(session: Session) -> None:
    order = made_wrongly(session)
    (case,) = standing(session, order).waits_for
    assert decide(session, case.id or 0, Verdict.APPROVE, "王敏", "", NOW)[0]
    (again,) = standing(session, order).waits_for
    assert (again.id != case.id, again.recipes, again.reasons) == (True, {"1": ""}, case.reasons)
    assert held(session, order) == [(ALLERGEN_INSIDE, "营养师", True)]


def test_another_pet_ends_it_as_well(session: Session) -> None:
    order = made_wrongly(session)
    (case,) = standing(session, order).waits_for
    # when staff correct what the channel told
    assert save_answers(session, order, 1, {"allergens": []}, "客服小张", NOW).complete
    session.exec(select(FulfilmentLine)).one().recipe = "DOG-CHICKEN-DRY"
    session.flush()
    # then nobody is asked any more
    assert standing(session, order) == Standing()
    assert held(session, order) == []
    assert case.state == CaseState.WITHDRAWN.value
