"""Whom an order's reviews ask, part by part and role by role, and when it may go on."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from sqlmodel import Session, select

from models import hold
from models.change import ChangeKind, record
from models.checks import check
from models.explain import explain
from models.fulfilment import (
    Claim,
    ClaimLost,
    Fulfilment,
    FulfilmentLine,
    Stage,
    WaitingOn,
    carried_by,
    claim_order,
    fulfilments_of,
    hold_on,
    park,
)  # fmt: skip
from models.order import Order, lines_of
from models.reservation import Purpose, Reservation
from models.review import CaseState, ReviewCase, Verdict, cases_of, decide
from models.review_route import Standing, stand
from models.ruling import Ruling
from models.stock_check import CheckState, latest_check, open_check
from tests.matrices import install, row
from tests.models.build import (
    CAN,
    DRY,
    NOW,
    WAREHOUSE,
    cans,
    claimed,
    engine_of,
    incoming,
    made,
    open_shop,
    release,
    taken,
    waiting,
    walk,
)  # fmt: skip
from tests.models.test_stock_at_once import at_once

HOUR = timedelta(hours=1)
LEAD = row("lead", role="customer_service_lead", reason='"大额订单"', minutes=10, amount="> 500")
SPECIAL = row("special-lead", role="customer_service_lead", reason='"特殊配方"', special="true")
CHICKEN = {"species": "dog", "weight_kg": "12", "staple_preference": "dry", "allergens": "鸡肉"}
UNKNOWN = {**CHICKEN, "allergens": "袋鼠"}


def reserved(session: Session, pieces: int = 8, **how: object) -> Order:
    """SH-1001, made to order in so many pieces, reserved and not looked at yet."""
    open_shop(session)
    order = taken(session, incoming("1", made(pieces, **how)))  # type: ignore[arg-type]
    walk(session, order.order_no, Stage.RESERVED)
    return order


def standing(session: Session, order: Order, number: int = 1) -> Standing:
    """Where a part of the order stands now."""
    return stand(session, order, _part(session, order, number), NOW)


def approve(session: Session, case: ReviewCase, who: str = "王敏") -> bool:
    return decide(session, case.id or 0, Verdict.APPROVE, who, "", NOW)[0]


def test_a_small_order_goes_straight_through_and_its_ruling_is_written_once(session: Session) -> None:
    order = reserved(session, 1)
    assert standing(session, order) == Standing()
    assert session.exec(select(Ruling.route)).one() == []
    assert cases_of(session, order.id or 0) == []


def test_each_role_has_its_case_and_they_are_the_same_when_asked_again(session: Session) -> None:
    install(session, LEAD)
    order = reserved(session)
    first, second = standing(session, order), standing(session, order)
    assert [case.role for case in first.waits_for] == ["nutritionist", "customer_service_lead"]
    assert [case.id for case in second.waits_for] == [case.id for case in first.waits_for]
    assert first.why == "营养师:金额 792 元,超过 500 元。客服主管:大额订单"
    # and only when both have approved does it wait for nobody
    assert approve(session, first.waits_for[1], "李雷")
    assert [case.role for case in standing(session, order).waits_for] == ["nutritionist"]
    assert approve(session, first.waits_for[0])
    assert standing(session, order) == Standing(approved_by=("王敏", "李雷"))
    # and the ruling is of when it was decided
    ruling = session.get_one(Ruling, order.id)
    assert [asked["role"] for asked in ruling.route] == ["nutritionist", "customer_service_lead"]


def test_one_answer_covers_the_other_part_as_far_as_it_was_asked(session: Session) -> None:
    # given an order of two parts
    order = reserved(session)
    _second_part(session, order)
    (case,) = standing(session, order).waits_for
    assert standing(session, order, 2).waits_for == (case,)
    approve(session, case)
    assert standing(session, order, 2) == Standing(approved_by=("王敏",))
    # when there is more to be asked than what that one was asked
    case.reasons = ["别的"]
    session.add(case)
    (own,) = standing(session, order, 2).waits_for
    assert own.id != case.id and own.fulfilment_id == _part(session, order, 2)


def test_what_the_order_has_outgrown_is_asked_anew_and_cannot_be_decided(session: Session) -> None:
    order = reserved(session)
    (case,) = standing(session, order).waits_for
    record(session, order.id or 0, ChangeKind.LINES, {}, {}, "test", NOW, applied=True, grew=True)
    # when the reviewer decides what is on the old page
    assert decide(session, case.id or 0, Verdict.REJECT, "王敏", "", NOW) == (
        False, "订单 SH-1001 在送审之后增加了内容:这次提交没有采纳,会按现在的内容重新送审。",
    )  # fmt: skip
    assert (case.state, order.cancel_requested_at) == (CaseState.WITHDRAWN.value, None)
    (again,) = standing(session, order).waits_for
    assert again.id != case.id


def test_an_open_case_that_was_outgrown_makes_room_for_a_new_one(session: Session) -> None:
    order = reserved(session)
    (case,) = standing(session, order).waits_for
    record(session, order.id or 0, ChangeKind.LINES, {}, {}, "test", NOW, applied=True, grew=True)
    (again,) = standing(session, order).waits_for
    assert (again.id != case.id, case.state) == (True, CaseState.WITHDRAWN.value)


def test_a_question_to_the_customer_holds_the_order_until_it_is_answered(session: Session) -> None:
    order = reserved(session)
    (case,) = standing(session, order).waits_for
    decide(session, case.id or 0, Verdict.ASK_CUSTOMER, "王敏", "体重?", NOW)
    assert [held.reason for held in hold.open_holds(session, order.id or 0)] == ["审核人要求补充:体重?"]
    assert standing(session, order).waits_for == (case,)
    hold.lift(session, order.id or 0, "客服", NOW)
    (again,) = standing(session, order).waits_for
    assert again.id != case.id and again.is_open


def test_a_recipe_for_what_had_none_answers_who_was_asked_for_one(session: Session) -> None:
    install(session, row("no-recipe-lead", role="customer_service_lead", reason='"没有配方"', no_recipe="true"))
    open_shop(session)
    order = taken(session, incoming("1", made(1, pet=UNKNOWN)))
    cases = standing(session, order).waits_for
    assert [(case.role, case.recipes) for case in cases] == [
        ("nutritionist", {"1": ""}), ("customer_service_lead", {"1": ""}),
    ]  # fmt: skip
    assert not any(approve(session, case) for case in cases)
    assert decide(session, cases[0].id or 0, Verdict.CHANGE_RECIPE, "王敏", "", NOW, {1: "DOG-LAMB-DRY"})[0]
    # then the other role may approve what was chosen
    assert standing(session, order).waits_for == (cases[1],)
    assert approve(session, cases[1], "李雷")
    assert standing(session, order) == Standing(approved_by=("王敏", "李雷"))


def test_who_was_asked_for_a_recipe_is_asked_no_more_when_the_rules_have_found_one(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1", made(1, pet=UNKNOWN)))
    (case,) = standing(session, order).waits_for
    # when the customer has answered that the dog may eat anything
    session.exec(select(FulfilmentLine)).one().recipe = "DOG-LAMB-DRY"
    (line,) = lines_of(session, order.id or 0)
    line.answers = {"allergens": []}
    session.add(line)
    session.flush()
    assert standing(session, order) == Standing()
    assert case.state == CaseState.WITHDRAWN.value


def test_another_recipe_takes_the_claim_away_and_has_the_new_goods_looked_for(session: Session) -> None:
    # given a lane in the middle of an order under review, and a warehouse that is asked about its goods
    order = reserved(session)
    (case,) = standing(session, order).waits_for
    part = fulfilments_of(session, order.id or 0)[0]
    open_check(session, part, ["ING-CHICKEN"], 5, NOW)
    claim = claimed(session, order)
    decide(session, case.id or 0, Verdict.CHANGE_RECIPE, "王敏", "", NOW, {1: "DOG-LAMB-DRY"})
    # then the lane can change nothing any more, and the warehouse is asked about the new ones
    with pytest.raises(ClaimLost):
        hold_on(session, claim)
    now = latest_check(session, part.id or 0)
    assert now is not None and (now.state, "ING-LAMB" in now.skus) == (CheckState.OPEN.value, True)
    assert [code.code for code in check(session, NOW)] == []


def test_a_recipe_cannot_be_changed_once_it_is_being_made(session: Session) -> None:
    order = reserved(session)
    (case,) = standing(session, order).waits_for
    claim = claimed(session, order)
    release(session, claim)
    taken_, sentence = decide(session, case.id or 0, Verdict.CHANGE_RECIPE, "王敏", "", NOW, {1: "DOG-LAMB-DRY"})
    assert (taken_, sentence) == (
        False, "订单 SH-1001:SH-1001-1 已经下发生产,不能再换配方:要改请先取消或联系生产。没有任何改变。",
    )  # fmt: skip
    assert [line.recipe for line in carried_by(session, claim.fulfilment_id)] == ["DOG-CHICKEN-DRY"]


def test_stocked_goods_keep_their_promise_when_a_recipe_changes(session: Session) -> None:
    open_shop(session)
    order = taken(session, incoming("1", made(6), cans(3)))
    walk(session, order.order_no, Stage.RESERVED)
    (case,) = standing(session, order).waits_for
    refused, sentence = decide(session, case.id or 0, Verdict.CHANGE_RECIPE, "王敏", "", NOW, {2: "DOG-LAMB-DRY"})
    assert not refused and "第 2 行不是要生产的定制商品" in sentence
    assert decide(session, case.id or 0, Verdict.CHANGE_RECIPE, "王敏", "", NOW, {1: "DOG-LAMB-DRY"})[0]
    held = session.exec(select(Reservation).where(Reservation.state == "held")).all()
    assert {each.sku: each.quantity for each in held if each.purpose == Purpose.GOODS.value} == {CAN: 3}
    assert {each.sku: each.quantity for each in held if each.sku == "ING-LAMB"} == {"ING-LAMB": 480 * 9}
    assert DRY not in {each.sku for each in held} and {each.warehouse for each in held} == {WAREHOUSE}


def test_eight_reviewers_at_once_give_one_recipe(database_url: str) -> None:
    recipes = ["DOG-LAMB-DRY", "DOG-DUCK-MIXED", "DOG-BEEF-WET", "DOG-FISH-MIXED"]
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            order = reserved(session)
            case_id = standing(session, order).waits_for[0].id or 0
            session.commit()

        def change(who: int, session: Session) -> tuple[bool, str]:
            verdict = Verdict.CHANGE_RECIPE
            return decide(session, case_id, verdict, f"审核人{who}", "", NOW, {1: recipes[who % 4]})

        results = at_once(engine, [partial(change, who) for who in range(8)])

        won = [result for result in results if isinstance(result, tuple) and result[0]]
        assert len(won) == 1
        with Session(engine) as session:
            case = session.get_one(ReviewCase, case_id)
            (line,) = session.exec(select(FulfilmentLine)).all()
            assert case.recipes == {"1": line.recipe}
            assert [code.code for code in check(session, NOW)] == []


def test_an_explanation_names_each_role(session: Session) -> None:
    install(session, LEAD)
    open_shop(session)
    order = taken(session, incoming("1", made(8)))
    walk(session, order.order_no, Stage.RESERVED)
    cases = standing(session, order).waits_for
    waiting(session, order, WaitingOn.REVIEW, "金额")
    approve(session, cases[1], "李雷")
    chinese, english = explain(session, "SH-1001", NOW).text, explain(session, "SH-1001", NOW, "en").text
    assert "送营养师审核:金额 792 元,超过 500 元" in chinese
    assert "客服主管审核结论:批准" in chinese
    assert "- 营养师审核待决定,请在 11-11 12:22 前:金额 792 元,超过 500 元" in chinese
    assert "- 客服主管审核已由 李雷 于 11-11 12:00 决定:批准" in chinese
    assert "review by the nutritionist open, due 11-11 12:22" in english
    assert "reviewed by the customer service lead (李雷) at 11-11 12:00: approved" in english


def test_what_waits_for_several_roles_or_for_another_part_is_sound(session: Session) -> None:
    install(session, LEAD)
    order = reserved(session)
    _second_part(session, order)
    for number in (1, 2):
        standing(session, order, number)
        park(session, _claimed_part(session, order, number), WaitingOn.REVIEW, "审核", NOW + HOUR, now=NOW)
    assert len(cases_of(session, order.id or 0)) == 2
    broken = {violation.code for violation in check(session, NOW)}
    assert not broken & {"two_open_reviews", "waits_for_no_review", "review_of_what_moved_on"}


def _claimed_part(session: Session, order: Order, number: int) -> Claim:
    claims = claim_order(session, order.id or 0, "test-lane", 120, NOW)
    (mine,) = [claim for claim in claims if claim.number == number]
    for other in claims:
        if other is not mine:
            park(session, other, WaitingOn.RETRY, "", NOW, now=NOW)
    return mine


def _part(session: Session, order: Order, number: int) -> int:
    return {part.number: part.id or 0 for part in fulfilments_of(session, order.id or 0)}[number]


def _second_part(session: Session, order: Order) -> None:
    """One of the pieces goes out on its own."""
    (line,) = session.exec(select(FulfilmentLine)).all()
    part = Fulfilment(order_id=order.id, number=2, warehouse=WAREHOUSE, stage="reserved", stage_since=NOW, ready_at=NOW)
    session.add(part)
    session.flush()
    line.quantity -= 1
    session.add(
        FulfilmentLine(fulfilment_id=part.id or 0, order_line_id=line.order_line_id, quantity=1, recipe=line.recipe)
    )
    session.flush()
