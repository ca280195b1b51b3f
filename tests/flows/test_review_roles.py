"""Orders that several roles look at, that get another recipe, and that no recipe fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from models import hold
from models.database import transact, utcnow
from models.fulfilment import Stage, WaitingOn, carried_by
from models.order import Order
from models.production import WorkState
from models.reservation import Purpose, Reservation
from models.review import CaseState, ReviewCase, Verdict, cases_of, decide
from models.ruling import Ruling
from models.stock import adjust, receive
from models.timeline import timeline
from models.wording import TZ
from tests.buying import bought, shelve_goods
from tests.carrying import carry, deploy_reviews, holds, reported, review_runs
from tests.carrying import ended as wound_up
from tests.changing import bought_to_order
from tests.e2e.told_once import assert_cancelled_before_it_left, assert_shipped_once, events, work_orders
from tests.house import House
from tests.matrices import matrix_in_force, row
from tests.orders import fulfilment_of
from tests.prefect import RunningServer

REVIEW = "等待审核"
LEAD = row("lead", role="customer_service_lead", reason='"大额订单"', minutes=10, amount="> 500")
BED = "BED-11"
PHONE = "16000006978"
#: Nobody knows whether a recipe is free of what this dog must not eat.
ALLERGIC = {"species": "dog", "weight_kg": "12", "staple_preference": "dry", "allergens": "袋鼠"}
CHICKEN = {**ALLERGIC, "allergens": "鸡肉"}


@pytest.fixture(autouse=True)
async def _deployed(prefect_server: RunningServer) -> None:
    await deploy_reviews()


@pytest.fixture
def two_roles(home: House) -> Iterator[None]:
    """Orders over 500 CNY are looked at by a nutritionist and by the service lead."""
    shelve_goods({"WH-EAST": {BED: 100}})
    with matrix_in_force(LEAD):
        yield


@pytest.mark.parametrize("first", ["nutritionist", "customer_service_lead"])
async def test_an_order_goes_on_when_every_role_has_approved(
    home: House, prefect_server: RunningServer, two_roles: None, first: str
) -> None:
    # given an order that two roles look at
    order = await bought(home, {BED: 6})
    assert (await carry(order)).name == REVIEW
    cases = _cases(order)
    assert {role: (case.reasons, case.sla_minutes) for role, case in cases.items()} == {
        "nutritionist": (["金额 539.94 元,超过 500 元"], 22),
        "customer_service_lead": (["大额订单"], 10),
    }
    runs = review_runs(prefect_server, order)
    assert sorted(tag for run in runs for tag in run["tags"] if tag.startswith("role:")) == [
        "role:customer_service_lead", "role:nutritionist",
    ]  # fmt: skip
    # when one of them approves, nothing moves, however often a lane looks
    assert _decide(cases.pop(first), Verdict.APPROVE) == (True, f"订单 {order.order_no}:批准。")
    assert [(await carry(order)).name for _ in range(2)] == [REVIEW] * 2
    assert fulfilment_of(order).stage == Stage.RESERVED.value
    # and when the other one does, it goes on, and says who has approved it
    (other,) = cases.values()
    assert _decide(other, Verdict.APPROVE, "李雷")[0]
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])
    assert (events(order)["review_opened"], events(order)["review_decided"]) == (2, 2)
    (approved,) = [e for e in transact(lambda s: timeline(s, order.id or 0)) if e.kind == "approved"]
    assert sorted(approved.actor.split("、")) == ["李雷", "王敏"]


async def test_two_roles_that_decide_at_once_both_count(
    home: House, prefect_server: RunningServer, two_roles: None
) -> None:
    order = await bought(home, {BED: 6})
    await carry(order)
    with ThreadPoolExecutor(4) as people:
        said = list(people.map(lambda case: _decide(case, Verdict.APPROVE), [*_cases(order).values()] * 2))
    assert sorted(taken for taken, _ in said) == [False, False, True, True]
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])
    assert events(order)["review_decided"] == 2


async def test_one_rejection_cancels_whatever_the_other_role_says_or_asks(
    home: House, prefect_server: RunningServer, two_roles: None
) -> None:
    # given an order that is held, because one role asks the customer
    order = await bought(home, {BED: 6})
    await carry(order)
    cases = _cases(order)
    _decide(cases["customer_service_lead"], Verdict.ASK_CUSTOMER)
    assert (await carry(order)).name == "等待客户补充资料"
    assert await holds(order) == [f"reviewer_asks_{cases['customer_service_lead'].id}"]
    # when the other one rejects it, nobody waits for the answer
    assert _decide(cases["nutritionist"], Verdict.REJECT)[0]
    await wound_up(order)
    assert_cancelled_before_it_left(home, order)


async def test_a_verdict_after_a_rejection_is_told_that_it_came_too_late(
    home: House, prefect_server: RunningServer, two_roles: None
) -> None:
    order = await bought(home, {BED: 6})
    await carry(order)
    cases = _cases(order)
    _decide(cases["nutritionist"], Verdict.REJECT)
    late = _decide(cases["customer_service_lead"], Verdict.APPROVE)
    assert late == (False, f"订单 {order.order_no} 已取消或变更,不再需要审核。")
    assert _cases(order)["customer_service_lead"].state == CaseState.WITHDRAWN.value
    await wound_up(order)
    assert_cancelled_before_it_left(home, order)


async def test_after_the_customers_answer_only_the_role_that_asked_is_asked_again(
    home: House, prefect_server: RunningServer, two_roles: None
) -> None:
    order = await bought(home, {BED: 6})
    await carry(order)
    cases = _cases(order)
    _decide(cases["nutritionist"], Verdict.APPROVE)
    _decide(cases["customer_service_lead"], Verdict.ASK_CUSTOMER)
    await carry(order)
    # when the answer is in
    transact(lambda session: hold.lift(session, order.id or 0, "客服小张", utcnow()))
    assert (await carry(order)).name == REVIEW
    again = [case for case in _all_cases(order) if case.is_open]
    assert [case.role for case in again] == ["customer_service_lead"]
    _decide(again[0], Verdict.APPROVE)
    assert (await carry(order)).name == "已发货"
    assert events(order)["review_opened"] == 3
    assert_shipped_once(home, [order])


async def test_another_recipe_takes_its_own_ingredients_off_the_shelf(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order under review, whose dog must not have chicken
    order = await bought_to_order(home, 6, pet=CHICKEN)
    assert (await carry(order)).name == REVIEW
    before = _promised(order)
    (case,) = _all_cases(order)
    # when the reviewer gives it what is not allowed, it is refused, and nothing changes
    for recipes, why in (
        ({1: "DOG-CHICKEN-DRY"}, "含鸡"),
        ({1: "CAT-LAMB-DRY"}, "不能用配方"),
        ({1: "NO-SUCH"}, "不能用配方"),
        ({7: "DOG-DUCK-MIXED"}, "第 7 行"),
        ({}, "写明新的配方"),
    ):
        taken, sentence = _decide(case, Verdict.CHANGE_RECIPE, recipes=recipes)
        assert not taken and why in sentence and "没有任何改变" in sentence
    taken, sentence = _decide(case, Verdict.APPROVE, recipes={1: "DOG-DUCK-MIXED"})
    assert not taken and "结论却是「批准」" in sentence
    assert (_promised(order), _all_cases(order)[0].state) == (before, CaseState.OPEN.value)
    # when it is another one, the promise is of its ingredients, at once
    assert _decide(case, Verdict.CHANGE_RECIPE, recipes={1: "DOG-DUCK-MIXED"}) == (
        True, f"订单 {order.order_no}:换配方。",
    )  # fmt: skip
    after = _promised(order)
    assert "ING-DUCK" in after and "ING-LAMB" not in after and sum(after.values()) == sum(before.values())
    assert fulfilment_of(order).stage == Stage.RESERVED.value
    # and it is made by that recipe
    assert (await carry(order)).name == "等待生产完成"
    assert [work.recipe for work in work_orders(order)] == ["DOG-DUCK-MIXED"]
    assert events(order)["recipe_changed"] == 1
    late, sentence = _decide(case, Verdict.CHANGE_RECIPE, recipes={1: "DOG-LAMB-DRY"})
    assert not late and "换配方,这次提交没有改变" in sentence
    await reported(order, WorkState.COMPLETED)
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])


async def test_another_recipe_whose_ingredients_are_nowhere_waits_for_them(
    home: House, prefect_server: RunningServer
) -> None:
    order = await bought_to_order(home, 6)
    await carry(order)
    (case,) = _all_cases(order)
    there = _empty(order, "ING-HYDRO")
    try:
        assert _decide(case, Verdict.CHANGE_RECIPE, recipes={1: "DOG-HYDRO-DRY"})[0]
        # then nothing is promised any more, and the order waits for what it needs now
        assert (_promised(order), fulfilment_of(order).stage) == ({}, Stage.RECEIVED.value)
        assert (await carry(order)).name == "等待到货"
    finally:
        _empty(order, "ING-HYDRO", there)
    # and what the matrix asks of the new recipe was answered by who gave it
    assert (await carry(order)).name == "等待生产完成"
    assert events(order)["review_opened"] == 1


async def test_a_recipe_that_another_role_has_to_look_at_is_shown_to_it(
    home: House, prefect_server: RunningServer
) -> None:
    special = row("special-lead", role="customer_service_lead", reason='"特殊配方"', special="true")
    with matrix_in_force(LEAD, special):
        order = await bought_to_order(home, 6)
    await carry(order)
    cases = _cases(order)
    # given both have answered, one of them with a special recipe, which the other one has not seen
    _decide(cases["customer_service_lead"], Verdict.APPROVE, "李雷")
    _decide(cases["nutritionist"], Verdict.CHANGE_RECIPE, recipes={1: "DOG-HYDRO-DRY"})
    assert (await carry(order)).name == REVIEW
    # then that one is asked again, about what is new
    (again,) = [case for case in _all_cases(order) if case.is_open]
    assert (again.role, again.reasons) == ("customer_service_lead", ["大额订单", "特殊配方"])
    _decide(again, Verdict.APPROVE, "李雷")
    assert (await carry(order)).name == "等待生产完成"
    # and what the rules said of it is kept without what the reviewer changed
    ruling = _ruling(order)
    assert [pet["recipe"] for pet in ruling.pets] == ["DOG-CHICKEN-DRY"]
    assert ruling.facts["recipes"] == ["DOG-CHICKEN-DRY"] and ruling.facts["special"] is False
    assert [asked["reasons"] for asked in ruling.route if asked["role"] == "customer_service_lead"] == [["大额订单"]]


async def test_no_recipe_is_a_review_before_anything_is_reserved(home: House, prefect_server: RunningServer) -> None:
    # given a dog for which no recipe is known to be safe, and a large sum: all reasons are shown at once
    with matrix_in_force(LEAD):
        order = await bought_to_order(home, 6, pet=ALLERGIC)
    assert [(await carry(order)).name for _ in range(2)] == [REVIEW] * 2
    part = fulfilment_of(order)
    assert (part.stage, part.waiting_on, _promised(order)) == (Stage.RECEIVED.value, WaitingOn.REVIEW.value, {})
    assert await holds(order) == []
    cases = _cases(order)
    why = "不认识的过敏原:袋鼠;请营养师确认后指定配方"
    assert cases["nutritionist"].reasons == ["金额 539.94 元,超过 500 元", why]
    assert _ruling(order).facts["no_recipe"] is True and [pet["recipe"] for pet in _ruling(order).pets] == [""]
    # when it is approved without a recipe, that is refused, but not to the role that was asked about the sum only
    refused = _decide(cases["nutritionist"], Verdict.APPROVE)
    assert refused == (False, f"订单 {order.order_no}:没有配方,请选择一个配方或退回客户。没有任何改变。")
    assert _decide(cases["customer_service_lead"], Verdict.APPROVE, "李雷")[0]
    assert (await carry(order)).name == REVIEW
    # and when a recipe is chosen, it goes on to the door, and nobody is asked again
    assert _decide(cases["nutritionist"], Verdict.CHANGE_RECIPE, recipes={1: "DOG-LAMB-DRY"})[0]
    assert (await carry(order)).name == "等待生产完成"
    assert [work.recipe for work in work_orders(order)] == ["DOG-LAMB-DRY"]
    await reported(order, WorkState.COMPLETED)
    assert (await carry(order)).name == "已发货"
    assert events(order)["review_opened"] == 2
    assert_shipped_once(home, [order])


async def test_no_recipe_and_no_row_for_it_asks_a_nutritionist_all_the_same(
    home: House, prefect_server: RunningServer
) -> None:
    with matrix_in_force(without="no-recipe"):
        order = await bought_to_order(home, 1, pet=ALLERGIC)
    assert (await carry(order)).name == REVIEW
    (case,) = _all_cases(order)
    assert (case.role, case.recipes) == ("nutritionist", {"1": ""})
    # when it is rejected, the money is back, and nothing was ever promised
    _decide(case, Verdict.REJECT)
    await wound_up(order)
    assert fulfilment_of(order).stage == Stage.CANCELLED.value
    assert events(order)["reserved"] == 0


async def test_an_old_hold_for_want_of_a_recipe_is_released_into_a_review(
    home: House, prefect_server: RunningServer
) -> None:
    order = await bought_to_order(home, 1, pet=ALLERGIC)
    args = ("没有配方", "营养师", "指定配方", "match-recipe", utcnow())
    transact(lambda session: hold.place(session, order.id or 0, "no_recipe", *args))
    assert (await carry(order)).name == "需要人工处理"
    transact(lambda session: hold.lift(session, order.id or 0, "王敏", utcnow(), ["no_recipe"]))
    assert (await carry(order)).name == REVIEW
    assert [case.role for case in _all_cases(order)] == ["nutritionist"]


async def test_a_matrix_that_cannot_answer_lets_nothing_pass(home: House, prefect_server: RunningServer) -> None:
    with matrix_in_force(row("broken", role="finance", reason="upper(amount)", amount="> 1")):
        order = await bought_to_order(home, 1)
    assert (await carry(order)).name == REVIEW
    (case,) = _all_cases(order)
    assert case.role == "nutritionist" and "审批矩阵" in case.reasons[0]


async def test_who_asks_about_a_pet_has_the_form_sent_to_its_customer(
    home: House, prefect_server: RunningServer
) -> None:
    order = await bought_to_order(home, 6)
    await carry(order)
    (case,) = _all_cases(order)
    _decide(case, Verdict.ASK_CUSTOMER)
    for _ in range(2):
        assert (await carry(order)).name == "等待客户补充资料"
    # then there is one message, with the link to the form
    sent = [key for key in home.effects("aliyun", "SendSms") if key.startswith(f"{order.order_no}-")]
    assert sent == [f"{order.order_no}-1-profile-1"]
    day = f"{utcnow().astimezone(TZ):%Y%m%d}"
    messages = home.sandbox.world.window(f"sms/{PHONE}/{day}")
    (said,) = [str(message["Content"]) for message in messages if message["OutId"] == sent[0]]
    assert re.search(r"/o/[A-Za-z0-9_-]+/form", said)


async def test_what_goes_straight_through_is_kept_with_the_facts(home: House, prefect_server: RunningServer) -> None:
    order = await bought_to_order(home, 1)
    assert (await carry(order)).name == "等待生产完成"
    ruling = _ruling(order)
    assert ruling.route == [] and ruling.versions.keys() == {"form", "recipes", "matrix"}
    assert (ruling.facts["amount"], ruling.facts["made_to_order"], ruling.facts["no_recipe"]) == (89.99, True, False)
    (pet,) = ruling.pets
    assert (pet["line_no"], pet["recipe"], pet["allergens"]) == (1, "DOG-CHICKEN-DRY", [])
    assert pet["facts"]["species"] == "dog" and pet["grams"] > 0


def _cases(order: Order) -> dict[str, ReviewCase]:
    """The newest case of each role."""
    return {case.role: case for case in _all_cases(order)}


def _all_cases(order: Order) -> list[ReviewCase]:
    return transact(lambda session: cases_of(session, order.id or 0))


def _decide(
    case: ReviewCase, verdict: Verdict, who: str = "王敏", recipes: Mapping[int, str] | None = None
) -> tuple[bool, str]:
    return transact(lambda session: decide(session, case.id or 0, verdict, who, "", utcnow(), recipes))


def _promised(order: Order) -> dict[str, int]:
    """The grams of each ingredient that are promised to the order's only part."""

    def work(session: Session) -> dict[str, int]:
        part = fulfilment_of(order).id
        assert part is not None and carried_by(session, part)
        found = session.exec(
            select(Reservation).where(Reservation.fulfilment_id == part, Reservation.state == "held")
        ).all()
        return {each.sku: each.quantity for each in found if each.purpose == Purpose.INGREDIENT.value}

    return transact(work)


def _empty(order: Order, sku: str, to: int | None = None) -> int:
    """Leave nothing of an ingredient anywhere, or have so much again in the first warehouse; how much there was."""

    def work(session: Session) -> int:
        rows = (
            session.connection()
            .execute(
                text(
                    "SELECT warehouse, on_hand - reserved AS free FROM stock_item WHERE sku = :sku ORDER BY warehouse"
                ),
                {"sku": sku},
            )
            .all()
        )
        for each in rows:
            if to is None and each.free:
                adjust(session, each.warehouse, sku, -each.free, "test", "test", utcnow())
        if to is not None:
            receive(session, rows[0].warehouse, sku, to, "test", "test", utcnow())
        return sum(each.free for each in rows)

    return transact(work)


def _ruling(order: Order) -> Ruling:
    return transact(lambda session: session.get_one(Ruling, order.id))
