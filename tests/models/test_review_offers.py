"""What the form of a review offers for a pet, and what it says of it."""

from __future__ import annotations

from sqlmodel import Session

from models.order import lines_of
from models.order_facts import facts_of, pet_in
from models.recipe import contains
from models.review import ReviewCase
from models.review_sight import sight_of
from models.rules_in_force import form_of, recipes_of
from tasks.recipe import _match
from tasks.review_form import form_for
from tests.models.build import NOW, PET, claimed, incoming, made, open_shop, taken


def test_a_word_for_an_allergen_that_nobody_knows_is_named_and_never_said_to_be_excluded(session: Session) -> None:
    # given a pet that must not have chicken breast, nor something that nobody has heard of
    open_shop(session)
    order = taken(session, incoming("1", made(1, pet={**PET, "allergens": "鸡胸肉、海鲜 13812345678"})))
    claim = claimed(session, order)
    standing = _match(session, claim)
    (case,) = [session.get_one(ReviewCase, case.id) for case in standing.waits_for]
    # when its reviewer opens the form
    sight = sight_of(session, case, NOW)
    schema = form_for(sight, "页面").model_json_schema()
    # then what may be chicken is not offered, and the rest is for the reviewer to look at
    (line,) = sight.changeable
    book = recipes_of(session, order)
    assert line.allowed and not any("chicken" in contains(book[recipe.code]) for recipe in line.allowed)
    (help,) = [p["description"] for p in schema["properties"].values() if p.get("title", "").startswith("新配方")]
    assert "海鲜" in help and "鸡胸肉" in help and "系统不认识" in help and "不含这只宠物的过敏原" not in help
    assert "13812345678" not in str(schema)
    # and no row of a matrix can say the number either
    lines = lines_of(session, order.id or 0)
    pet = pet_in(form_of(session, order), lines[0], NOW)
    assert pet is not None
    assert facts_of(session, order, lines, [pet], [])["allergens"] == ["海鲜 ****", "鸡胸肉"]
