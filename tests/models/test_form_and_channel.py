"""What a channel says of the pets of an order beside the answers on the form: news count, and undo no answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlmodel import Session

from models import hold
from models.form_desk import CUSTOMER, pets_of, questions_of, round_of, save_answers
from models.hold import open_holds
from tests.models.build import NOW, later, made, open_shop, taken, unpaid
from tests.models.test_form_desk import DOG, REST, asked, bought, codes, kinds, line_of, told


def test_a_channel_that_repeats_itself_undoes_no_answer(session: Session) -> None:
    order = asked(session, DOG)
    save_answers(session, order, 2, {**REST, "weight_kg": 11}, CUSTOMER, NOW)
    again = told(made(pet={**DOG, "species": "犬"}, channel_line_id="bag-1"))
    taken(session, later(again, buyer="buyer-2"), NOW)
    session.expire_all()
    assert line_of(session, order).pet == {"species": "狗", "weight_kg": 11.0, **REST}
    (pet,) = pets_of(session, order, NOW)
    assert pet.result.values == {"species": "dog", "weight_kg": 11.0, **REST}


def test_what_a_channel_says_anew_counts_and_other_answers_stay(session: Session) -> None:
    order = asked(session, DOG)
    save_answers(session, order, 2, {**REST, "weight_kg": 11}, CUSTOMER, NOW)
    heavier = made(pet={**DOG, "weight_kg": "13"}, channel_line_id="bag-1")
    taken(session, later(told(heavier)), NOW)
    session.expire_all()
    (pet,) = pets_of(session, order, NOW)
    assert pet.result.values == {"species": "dog", "weight_kg": 13.0, **REST}
    assert line_of(session, order).answers == REST
    assert kinds(session, order).count("lines_changed") == 1


def test_a_channel_that_says_what_was_answered_changes_nothing_of_the_pet(session: Session) -> None:
    order = asked(session, DOG)
    save_answers(session, order, 2, {**REST, "weight_kg": 11}, CUSTOMER, NOW)
    same = made(pet={**DOG, "weight_kg": "11公斤"}, channel_line_id="bag-1")
    taken(session, later(told(same)), NOW)
    session.expire_all()
    (pet,) = pets_of(session, order, NOW)
    assert pet.result.values["weight_kg"] == 11.0
    assert "lines_changed" not in kinds(session, order)


def test_a_description_that_is_gone_undoes_nothing(session: Session) -> None:
    order = asked(session, DOG)
    save_answers(session, order, 2, REST, CUSTOMER, NOW)
    taken(session, later(told(replace(made(pet={}), channel_line_id="bag-1"))), NOW)
    session.expire_all()
    assert questions_of(session, order, NOW) == []


@pytest.mark.parametrize(
    ("left", "reason"),
    [([], ""), ([{"species": "猫"}], "宠物档案缺少:体重、主食偏好、过敏原")],
    ids=["nothing is left to ask", "another pet is"],
)
def test_a_line_that_is_cancelled_on_its_channel_is_asked_about_no_more(
    session: Session, left: list[dict[str, str]], reason: str
) -> None:
    # given an order on hold for what is missing of its first pet, and maybe of another
    order = asked(session, DOG, *left)
    bags = [made(pet=pet, channel_line_id=f"bag-{number}") for number, pet in enumerate((DOG, *left), 1)]
    # when that bag is cancelled
    taken(session, later(told(replace(bags[0], cancelled_quantity=1), *bags[1:])), NOW)
    session.expire_all()
    # then the order waits for the other at most, and the customer is not asked once more
    assert [held.reason for held in open_holds(session, order.id or 0)] == ([reason] if reason else [])
    assert round_of(session, order.id or 0) == 1


def test_a_pet_described_otherwise_on_its_channel_answers_the_reviewer(session: Session) -> None:
    order = bought(session, {**DOG, "staple_preference": "dry", "allergens": "无"})
    hold.place(session, order.id or 0, "reviewer_asks_1", "请核对体重", "客服", "", "审核人", NOW)
    # when the channel tells of another quantity, and then of another pet
    bag = made(2, pet={**DOG, "staple_preference": "dry", "allergens": "无"}, channel_line_id="bag-1")
    taken(session, later(told(bag)), NOW)
    assert codes(session, order) == ["reviewer_asks_1"]
    taken(session, later(told(replace(bag, attributes={**bag.attributes, "weight_kg": "20"})), minutes=6), NOW)
    session.expire_all()
    assert codes(session, order) == []


def test_until_it_is_paid_a_channel_may_describe_the_pet_anew_and_answers_stay(session: Session) -> None:
    open_shop(session)
    bag = made(pet=DOG, channel_line_id="bag-1")
    order = taken(session, unpaid("1", bag))
    save_answers(session, order, 1, REST, "林客服", NOW)
    heavier = replace(bag, attributes={**DOG, "weight_kg": "13"})
    taken(session, later(unpaid("1", heavier)), NOW)
    taken(session, later(unpaid("1", replace(heavier, quantity=2, paid_fen=19_800)), minutes=6), NOW)
    session.expire_all()
    (pet,) = pets_of(session, order, NOW)
    assert (pet.line.quantity, pet.line.answers) == (2, REST)
    assert pet.result.values["weight_kg"] == 13.0
