"""Reviews as reviewers meet them: a suspended run with a form, resumed over HTTP as the UI does."""

from __future__ import annotations

import pytest
from prefect.states import Suspended

from flows.cancel_order import cancel_order
from flows.tend_reviews import tend_reviews
from models import hold
from models.database import in_transaction, utcnow
from models.fulfilment import Stage
from models.order import Order
from models.review import CaseState, Verdict
from tasks.review_form import Choice, ReviewDecision
from tasks.reviewing import take_decision
from tests.carrying import REVIEW, carry, case_of, deploy_reviews, holds, placed, resume, review_runs, stored_input
from tests.carrying import ended as wound_up
from tests.e2e.told_once import assert_cancelled_before_it_left, assert_shipped_once, events
from tests.house import House
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer, ended, read_run, run_here


@pytest.fixture(autouse=True)
async def _deployed(prefect_server: RunningServer) -> None:
    await deploy_reviews()


async def test_a_costly_order_waits_as_one_suspended_run_that_shows_the_form(
    home: House, prefect_server: RunningServer
) -> None:
    # when an order over 500 CNY is carried, and carried again
    order = await placed(home, Kind.COSTLY)
    first, second = await carry(order), await carry(order)
    # then it waits, and says for whom
    assert [state.name for state in (first, second)] == ["等待审核"] * 2
    assert first.is_completed()
    assert fulfilment_of(order).stage == Stage.RESERVED.value
    # and there is one run, made suspended, named and tagged for the reviewer, with the form and the page stored
    (run,) = review_runs(prefect_server, order)
    assert run["state_name"] == "Suspended"
    assert run["parameters"] == {"case_id": (await case_of(order)).id}
    assert set(run["tags"]) >= {"channel:shopify", "stage:review", "role:nutritionist"}
    form = stored_input(prefect_server, run["id"], "suspended-review-schema")
    assert list(form["properties"]) == ["order", "verdict", "reviewer", "note"]
    page = form["properties"]["order"]["description"]
    assert order.order_no in page and "超过 500 元" in page


async def test_resume_with_approval_lets_the_order_go_on(home: House, prefect_server: RunningServer) -> None:
    # given an order that waits for its review
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    (run,) = review_runs(prefect_server, order)
    # when the reviewer presses Resume
    answer = resume(prefect_server, run["id"], verdict=Choice.APPROVE, reviewer="王敏", note="可以")
    assert answer["status"] == "ACCEPT"
    done = await run_here(REVIEW, await read_run(run["id"]))
    # then the run ends with what was decided, and the order is ready and goes on
    assert ended(done) and done.state is not None and done.state.name == "批准(王敏)"
    fulfilment = fulfilment_of(order)
    assert fulfilment.ready_at is not None and fulfilment.ready_at <= utcnow()
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])
    # and pressing it once more changes nothing, nor does a decision that comes another way
    assert resume(prefect_server, run["id"], verdict=Choice.REJECT, reviewer="李雷")["status"] == "ABORT"
    case = await case_of(order)
    taken, sentence = await take_decision(case.id or 0, ReviewDecision(verdict=Choice.REJECT, reviewer="李雷"))
    assert not taken
    assert f"订单 {order.order_no} 已由 王敏 于" in sentence and "没有改变" in sentence
    assert (await case_of(order)).verdict == Verdict.APPROVE.value
    assert events(order)["review_decided"] == 1


async def test_resume_with_rejection_cancels_gives_stock_and_money_back(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    await _decide(prefect_server, order, Choice.REJECT, "配方不适合")
    # when the order is carried on: the verdict has asked for its cancellation
    await wound_up(order)
    # then it is over, nothing left, and the money is back
    assert_cancelled_before_it_left(home, order)
    assert events(order)["reserved"] == 1
    assert await holds(order) == []


async def test_asking_the_customer_holds_the_order_and_its_answer_is_reviewed_again(
    home: House, prefect_server: RunningServer
) -> None:
    # given a reviewer who sends the order back to the customer
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    await _decide(prefect_server, order, Choice.ASK_CUSTOMER, "请确认体重")
    asked = await case_of(order)
    assert (await carry(order)).name == "等待客户补充资料"
    assert await holds(order) == [f"reviewer_asks_{asked.id}"]
    # however often a lane looks
    assert (await carry(order)).name == "等待客户补充资料"
    # when the customer has answered and the hold is released
    await in_transaction(lambda session: hold.lift(session, order.id or 0, "客服小张", utcnow()))
    assert (await carry(order)).name == "等待审核"
    # then a second case is decided in a second run, and the order goes on
    again = await case_of(order)
    assert again.id != asked.id and again.state == CaseState.OPEN.value
    assert len(review_runs(prefect_server, order)) == 2
    await _decide(prefect_server, order, Choice.APPROVE, "体重已确认")
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])


async def test_a_decision_about_an_order_that_was_cancelled_meanwhile_says_so(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    await cancel_order(order.order_no, "客户不要了", "客服小张", return_state=True)
    # when the reviewer, who has the form open still, approves
    case = await case_of(order)
    assert case.state == CaseState.WITHDRAWN.value
    name = await _decide(prefect_server, order, Choice.APPROVE, "")
    # then nothing changes, and the run says so
    assert name == "没有改变"
    await wound_up(order)
    assert_cancelled_before_it_left(home, order)


async def test_a_review_started_by_hand_asks_for_the_form_first(home: House, prefect_server: RunningServer) -> None:
    await tend_reviews(return_state=True)  # of reviews that other tests have decided nothing is left to close
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    case = await case_of(order)
    # when somebody presses Run on the deployment instead of Resume on the run
    run = await run_here(REVIEW, parameters={"case_id": case.id})
    # then that run waits for the form as well, and deciding there is as good
    assert run.state is not None and run.state.name == Suspended().name
    assert resume(prefect_server, run.id, verdict=Choice.APPROVE, reviewer="王敏")["status"] == "ACCEPT"
    done = await run_here(REVIEW, await read_run(run.id))
    assert done.state is not None and done.state.name == "批准(王敏)"
    # and the run that was shown first is closed at once, so that the case had one all the time
    assert (await tend_reviews(return_state=True)).name == "一致"
    assert [shown["state_name"] for shown in review_runs(prefect_server, order)] == ["Cancelled"]


async def _decide(server: RunningServer, order: Order, choice: Choice, note: str) -> str:
    """Fill in the form of the run that is suspended for this order; the name of the state the run ends in."""
    (run,) = [run for run in review_runs(server, order) if run["state_name"] == "Suspended"]
    assert resume(server, run["id"], verdict=choice, reviewer="王敏", note=note)["status"] == "ACCEPT"
    done = await run_here(REVIEW, await read_run(run["id"]))
    assert done.state is not None and done.state.is_completed()
    return str(done.state.name)
