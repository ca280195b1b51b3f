"""The desk of the order form: asked, answered, at once, twice, late."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import Session, select

from models import hold
from models.cancellation import request_cancellation
from models.change import is_asked
from models.customer_link import order_behind
from models.form_desk import (
    CUSTOMER,
    INCOMPLETE,
    FormRefused,
    ask,
    asked_in_words,
    fields_in_words,
    questions_of,
    round_of,
    save_answers,
    why_not,
)
from models.fulfilment import FulfilmentLine, fulfilments_of, hold_on
from models.hold import open_holds
from models.intake import IncomingOrder
from models.order import Order, OrderLine, lines_of
from models.review import Verdict, decide
from models.review_route import stand
from models.rules_in_force import form_of
from models.timeline import EventKind, timeline
from tests.matrices import install, row
from tests.models.build import NOW, cans, claimed, engine_of, incoming, made, open_shop, taken
from tests.models.order_story import story
from tests.models.test_stock_at_once import at_once

DOG = {"species": "狗", "weight_kg": "12"}
REST = {"staple_preference": "dry", "allergens": []}


def bought(session: Session, *pets: dict[str, str]) -> Order:
    """A paid order of a can, and a bag for each of these pets."""
    open_shop(session)
    bags = [made(pet=pet, channel_line_id=f"bag-{number}") for number, pet in enumerate(pets, 1)]
    return taken(session, told(*bags))


def told(*bags: Any) -> IncomingOrder:
    return incoming("1", cans(1), *bags)


def asked(session: Session, *pets: dict[str, str]) -> Order:
    """The same, on hold for what its pets lack."""
    order = bought(session, *pets)
    question = questions_of(session, order, NOW)[0]
    ask(session, order, question.line, question.result, NOW)
    return order


def line_of(session: Session, order: Order, number: int = 2) -> OrderLine:
    return next(line for line in lines_of(session, order.id or 0) if line.line_no == number)


def kinds(session: Session, order: Order) -> list[str]:
    return [event.kind for event in timeline(session, order.id or 0)]


def codes(session: Session, order: Order) -> list[str]:
    return [held.code for held in open_holds(session, order.id or 0)]


def test_what_is_missing_and_what_contradicts_is_named_on_one_hold(session: Session) -> None:
    order = bought(session, {**DOG, "breed": "吉娃娃"}, {"species": "猫", **REST, "allergens": "无", "weight_kg": "4"})
    (first,) = questions_of(session, order, NOW)
    said = ask(session, order, first.line, first.result, NOW)
    assert said == "宠物档案缺少:主食偏好、过敏原;体重 12 kg 对吉娃娃不合理,请填 1 到 6 kg 之间"
    (held,) = open_holds(session, order.id or 0)
    assert (held.code, held.reason, held.who, held.blocking) == (INCOMPLETE, said, "客服", True)
    # asked again, it is the same hold, and the same round
    assert ask(session, order, first.line, first.result, NOW) == said
    assert kinds(session, order).count("held") == 1
    assert round_of(session, order.id or 0) == 1


def test_several_lines_are_asked_about_together(session: Session) -> None:
    order = asked(session, DOG, {"species": "猫"})
    form, questions = form_of(session, order), questions_of(session, order, NOW)
    assert asked_in_words(form, questions) == (
        "宠物档案第 2 行 缺少:主食偏好、过敏原;第 3 行 缺少:体重、主食偏好、过敏原"
    )
    assert fields_in_words(form, questions) == "主食偏好、过敏原等 3 项"


def test_asking_makes_a_link_that_leads_to_the_order(session: Session) -> None:
    order = asked(session, DOG)
    token = session.connection().exec_driver_sql("SELECT token FROM customer_link").scalar_one()
    assert order_behind(session, token, NOW) == order.id


def test_answers_that_complete_it_lift_the_hold_and_wake_the_order(session: Session) -> None:
    order = asked(session, DOG)
    (part,) = fulfilments_of(session, order.id or 0)
    seen = part.wake_seq
    result = save_answers(session, order, 2, REST, CUSTOMER, NOW)
    assert result.complete
    assert line_of(session, order).answers == REST
    assert line_of(session, order).profile == DOG
    assert codes(session, order) == []
    (part,) = fulfilments_of(session, order.id or 0)
    assert part.wake_seq > seen
    (event,) = [event for event in timeline(session, order.id or 0) if event.kind == EventKind.PROFILE_FILLED]
    assert (event.actor, event.detail) == (CUSTOMER, {"line": 2, "answers": {"主食偏好": "干粮", "过敏原": "没有"}})


@pytest.mark.parametrize(
    "answers", [{}, {"staple_preference": "dry"}, {**REST, "weight_kg": "800"}, {**REST, "species": ""}, {"x": "y"}]
)
def test_answers_that_leave_something_open_change_nothing(session: Session, answers: dict[str, Any]) -> None:
    order = asked(session, DOG)
    before = kinds(session, order)
    assert not save_answers(session, order, 2, answers, CUSTOMER, NOW).complete
    assert line_of(session, order).answers == {}
    assert codes(session, order) == [INCOMPLETE]
    assert kinds(session, order) == before


def test_the_order_waits_until_the_last_of_its_pets_is_whole(session: Session) -> None:
    order = asked(session, DOG, {"species": "猫"})
    save_answers(session, order, 2, REST, CUSTOMER, NOW)
    (held,) = open_holds(session, order.id or 0)
    assert held.reason == "宠物档案缺少:体重、主食偏好、过敏原"
    save_answers(session, order, 3, {**REST, "weight_kg": 4}, CUSTOMER, NOW)
    assert codes(session, order) == []
    assert kinds(session, order).count("hold_released") == 1


def test_a_number_in_an_answer_stays_in_the_answer(session: Session) -> None:
    # given a telephone number where a weight is asked for, another where a breed is, and one in a channel's allergens
    order = bought(session, {**DOG, "weight_kg": "问13987654321", "breed": "田园犬 139-8765-4321"})
    (question,) = questions_of(session, order, NOW)
    said = ask(session, order, question.line, question.result, NOW)
    assert said == "宠物档案缺少:主食偏好、过敏原;体重「问****」看不懂,请填一个数字,单位 kg"
    far_too_heavy = form_of(session, order).check({**DOG, **REST, "weight_kg": "13987654321"}, NOW)
    assert [wrong.why for wrong in far_too_heavy.wrong] == ["体重 **** kg 对狗不合理,请填 0.3 到 100 kg 之间"]
    # when the customer answers with yet another, and tells a birthday
    answers = {**REST, "weight_kg": 12, "birth_date": "2022-05-01", "health_notes": "打电话 138 1234 5678 问"}
    assert save_answers(session, order, 2, answers, CUSTOMER, NOW).complete
    # then it is where it was written, and nowhere else
    assert line_of(session, order).answers["health_notes"] == answers["health_notes"]
    (event,) = [event for event in timeline(session, order.id or 0) if event.kind == EventKind.PROFILE_FILLED]
    told_of = event.detail["answers"]
    assert (told_of["健康备注"], told_of["出生日期或年龄"]) == ("打电话 **** 问", "2022-05-01")
    held = session.connection().exec_driver_sql("SELECT reason FROM hold").scalars().all()
    assert not any(digits in str((timeline(session, order.id or 0), held)) for digits in ("13987654321", "5678"))


def test_the_same_answers_twice_are_one_event(session: Session) -> None:
    order = asked(session, DOG)
    for _ in range(2):
        assert save_answers(session, order, 2, REST, CUSTOMER, NOW).complete
    assert kinds(session, order).count("profile_filled") == 1


def test_two_who_answer_at_once_are_one_after_the_other(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            order = asked(session, DOG)
            session.commit()
            id = order.id

        def answers(staple: str) -> Any:
            def work(session: Session) -> bool:
                mine = session.get_one(Order, id)
                return save_answers(session, mine, 2, {**REST, "staple_preference": staple}, CUSTOMER, NOW).complete

            return work

        outcomes = at_once(engine, [answers(staple) for staple in ("dry", "wet", "dry", "wet")])
        assert outcomes == [True] * 4
        with Session(engine) as session:
            order = session.get_one(Order, id)
            assert codes(session, order) == []
            assert kinds(session, order).count("hold_released") == 1
            assert line_of(session, order).answers["staple_preference"] in ("dry", "wet")


def test_an_answer_and_a_cancellation_at_once_end_the_same_whoever_is_first(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            order = asked(session, DOG)
            session.commit()
            id = order.id
        outcomes = at_once(
            engine,
            [
                lambda session: save_answers(session, session.get_one(Order, id), 2, REST, CUSTOMER, NOW).complete,
                lambda session: request_cancellation(session, session.get_one(Order, id), "不要了", CUSTOMER, NOW),
            ],
        )
        assert outcomes[0] is True or isinstance(outcomes[0], FormRefused)
        with Session(engine) as session:
            assert session.get_one(Order, id).cancel_requested_at is not None


def test_a_cancelled_order_a_cancelled_line_and_a_line_of_the_shelf_take_no_answers(session: Session) -> None:
    order = asked(session, DOG)
    with pytest.raises(FormRefused, match="没有这件定制商品"):
        save_answers(session, order, 1, REST, CUSTOMER, NOW)
    with pytest.raises(FormRefused, match="没有这件定制商品"):
        save_answers(session, order, 99, REST, CUSTOMER, NOW)
    line = line_of(session, order)
    line.cancelled_quantity = line.quantity
    session.add(line)
    session.flush()
    with pytest.raises(FormRefused, match=r"^这件商品已经取消,不用再填。没有任何改变。$"):
        save_answers(session, order, 2, REST, CUSTOMER, NOW)
    request_cancellation(session, order, "不要了", CUSTOMER, NOW)
    with pytest.raises(FormRefused, match=r"^订单已经取消"):
        save_answers(session, order, 2, REST, CUSTOMER, NOW)
    with pytest.raises(FormRefused, match=r"^The order is cancelled.* Nothing was changed\.$"):
        save_answers(session, order, 2, REST, CUSTOMER, NOW, "en")


@pytest.mark.parametrize(
    ("reached", "to_customer", "to_staff"),
    [
        ("received", "", ""),
        ("reserved", "已按之前的答案选好配方", ""),
        ("in production", "商品已经排产", "商品已经排产"),
        ("produced", "商品已经排产", "商品已经排产"),
        ("shipped", "商品已经发出", "商品已经发出"),
    ],
)
def test_customers_may_answer_until_a_recipe_is_chosen_and_staff_until_it_is_made(
    session: Session, reached: str, to_customer: str, to_staff: str
) -> None:
    order = story(session, reached).order
    line = line_of(session, order)
    assert why_not(session, order, line, CUSTOMER).startswith(to_customer)
    assert bool(why_not(session, order, line, CUSTOMER)) == bool(to_customer)
    assert why_not(session, order, line, "林客服").startswith(to_staff)
    assert bool(why_not(session, order, line, "林客服")) == bool(to_staff)


def test_what_staff_change_after_the_choice_has_the_recipe_chosen_again(session: Session) -> None:
    told = story(session, "reserved")
    before = told.recipes()
    save_answers(session, told.order, 2, {"allergens": "鸡肉"}, "林客服", NOW)
    assert is_asked(session, told.order.id or 0)
    told.lane.carry()
    assert told.recipes() != before
    assert not is_asked(session, told.order.id or 0)


def test_a_reviewers_question_opens_the_form_once_more_and_the_answer_lifts_it(session: Session) -> None:
    told = story(session, "reserved")
    hold.place(session, told.order.id or 0, "reviewer_asks_1", "请核对体重", "客服", "", "审核人", NOW)
    assert save_answers(session, told.order, 2, {"weight_kg": "12"}, CUSTOMER, NOW).complete
    assert codes(session, told.order) == []
    recipes = session.exec(select(FulfilmentLine.recipe).where(FulfilmentLine.recipe != None))  # noqa: E711
    assert recipes.all() != []  # nothing was answered otherwise: what was chosen stays


def test_other_answers_have_reviewers_asked_anew_even_where_no_recipe_was_chosen_yet(session: Session) -> None:
    # given a pet for which a nutritionist is to choose, and a lead who has approved it for its illness
    install(session, row("ill", role="customer_service_lead", reason='"健康备注"', health_notes='health_notes != ""'))
    order = bought(session, {**DOG, "staple_preference": "dry", "allergens": "袋鼠", "health_notes": "肠胃病"})
    (part,) = fulfilments_of(session, order.id or 0)
    cases = {case.role: case for case in stand(session, order, part.id or 0, NOW).waits_for}
    assert decide(session, cases["customer_service_lead"].id or 0, Verdict.APPROVE, "李雷", "", NOW)[0]
    (seen,) = [part.wake_seq for part in fulfilments_of(session, order.id or 0)]
    # when the customer tells of another illness, and the nutritionist decides on the page from before
    assert save_answers(session, order, 2, {"health_notes": "肾病晚期"}, CUSTOMER, NOW).complete
    assert [part.wake_seq > seen for part in fulfilments_of(session, order.id or 0)] == [True]
    old = cases["nutritionist"].id or 0
    taken_, sentence = decide(session, old, Verdict.CHANGE_RECIPE, "王敏", "", NOW, {2: "DOG-LAMB-DRY"})
    # then that counts no more, and both are asked about the pet as it is
    assert (taken_, "会按现在的内容重新送审" in sentence) == (False, True)
    again = stand(session, order, part.id or 0, NOW).waits_for
    assert [case.role for case in again if case.is_open] == list(cases)
    assert {case.id for case in again}.isdisjoint(case.id for case in cases.values())
    # and the same answers once more change nothing
    assert save_answers(session, order, 2, {"health_notes": "肾病晚期"}, CUSTOMER, NOW).complete
    assert stand(session, order, part.id or 0, NOW).waits_for == again


def test_a_lane_that_is_at_it_waits_for_the_answer_and_sees_it(session: Session) -> None:
    order = bought(session, DOG)
    claim = claimed(session, order)
    save_answers(session, order, 2, REST, CUSTOMER, NOW)
    hold_on(session, claim)  # nothing was chosen yet: the lane goes on with what it finds now
    assert questions_of(session, order, NOW) == []
