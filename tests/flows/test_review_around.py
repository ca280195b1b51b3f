"""Around a review: what the reviewer sees and may choose, who is told when, and many approved at once."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from sqlalchemy import text

from flows.approve_reviews import approve_reviews
from flows.report_reviews import report_reviews
from flows.tend_reviews import tend_reviews
from integrations.messaging.wecom import WeComRobot
from models.database import transact
from models.fulfilment import carried_by
from models.order import Contact, Order, reveal
from tasks.review_form import UNCHANGED, Choice
from tests.carrying import REVIEW, carry, case_of, deploy_reviews, placed, resume, review_runs, stored_input
from tests.e2e.told_once import assert_shipped_once, events
from tests.house import House
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer, read_run, run_here


@pytest.fixture(autouse=True)
async def _deployed(home: House, prefect_server: RunningServer) -> None:
    await deploy_reviews()
    # the cases of other tests are not what these messages are about
    _sql("UPDATE review_case SET told_at = now() - interval '1 day', due_at = now() + interval '1 day'")
    _sql("UPDATE review_case SET reminded_at = now(), escalated_at = now() WHERE state = 'open'")


async def test_the_reviewer_sees_all_that_there_is_to_decide_by(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, Kind.MADE_COSTLY)
    await carry(order)
    page = _page(prefect_server, order)
    for shown in (
        order.order_no, "营养师", "超过 500 元", "审批矩阵第", "宠物档案", "物种", "体重", "原料", "每公斤",
        *_recipes(order), "每天", "千卡", "以前的订单", "结论之后", Choice.CHANGE_RECIPE, Choice.REJECT,
    ):  # fmt: skip
        assert shown in page, shown
    for hidden in _personal(order):
        assert hidden not in page


async def test_only_recipes_without_an_allergen_of_the_pet_can_be_chosen(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, Kind.MADE_COSTLY)
    beef = "jsonb_build_object('allergens', jsonb_build_array('beef'))"
    _sql(f"UPDATE order_line SET answers = {beef} WHERE order_id = :id", id=order.id)
    await carry(order)
    (run,) = review_runs(prefect_server, order)
    form = _form(prefect_server, order)
    name, field = next((name, field) for name, field in form["properties"].items() if name.startswith("recipe_"))
    assert field["enum"][0] == UNCHANGED and len(field["enum"]) > 1
    assert not any("BEEF" in choice for choice in field["enum"])
    # then the server itself refuses one that is not among them, and the run stays as it is
    unsafe = {"verdict": Choice.CHANGE_RECIPE, "reviewer": "王敏", name: "犬粮 牛肉红薯(湿) [DOG-BEEF-WET]"}
    assert resume(prefect_server, run["id"], **unsafe)["status"] == "REJECT"
    # and one that is among them is made
    chosen = field["enum"][1]
    safe = {"verdict": Choice.CHANGE_RECIPE, "reviewer": "王敏", name: chosen}
    assert resume(prefect_server, run["id"], **safe)["status"] == "ACCEPT"
    done = await run_here(REVIEW, await read_run(run["id"]))
    assert done.state is not None and done.state.name == "换配方(王敏)"
    assert chosen.rpartition("[")[2].rstrip("]") in _recipes(order)


async def test_what_cannot_be_taken_is_asked_again_in_the_same_run_with_the_reason_on_top(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, Kind.MADE_COSTLY)
    await carry(order)
    (run,) = review_runs(prefect_server, order)
    for number in (2, 3):
        # when the reviewer says "change the recipe" and chooses none
        assert resume(prefect_server, run["id"], verdict=Choice.CHANGE_RECIPE, reviewer="王敏")["status"] == "ACCEPT"
        again = await run_here(REVIEW, await read_run(run["id"]))
        # then the same run waits again, and says why
        assert again.state is not None and again.state.is_paused()
        page = _page(prefect_server, order, f"-{number}")
        assert page.startswith("> **上一次提交没有采纳**") and "换配方要写明新的配方" in page
        assert (await case_of(order)).run_id == run["id"]
    # and what is filled in then counts
    assert resume(prefect_server, run["id"], verdict=Choice.APPROVE, reviewer="王敏")["status"] == "ACCEPT"
    done = await run_here(REVIEW, await read_run(run["id"]))
    assert done.state is not None and done.state.name == "批准(王敏)"
    assert len(review_runs(prefect_server, order)) == 1
    assert events(order)["review_decided"] == 1


async def test_the_role_is_told_at_once_with_the_link_and_once(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    (run,) = review_runs(prefect_server, order)
    (message,) = _messages(home, order)
    assert "请 **营养师** 决定" in message and f"/runs/flow-run/{run['id']}" in message and "超过 500 元" in message
    # however often anybody looks
    for _ in range(2):
        await carry(order)
        await _tended()
    assert len(_messages(home, order)) == 1


async def test_what_comes_in_a_burst_is_told_in_one_message(home: House, prefect_server: RunningServer) -> None:
    orders = [await placed(home, Kind.COSTLY) for _ in range(4)]
    for order in orders:
        await carry(order)
    # the first was told at once; for the others the bell rings together
    assert [len(_messages(home, order)) for order in orders] == [1, 0, 0, 0]
    _pass_time(15)
    assert await _tended() == "通知 3"
    (message,) = {message for order in orders[1:] for message in _messages(home, order)}
    assert "**待审核** 3 单" in message
    assert await _tended() == "一致"


async def test_a_reminder_and_then_another_role_each_once(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    _pass_time(16 * 60)
    assert [await _tended() for _ in range(2)] == ["提醒 1", "一致"]
    _pass_time(7 * 60)
    assert [await _tended() for _ in range(2)] == ["升级 1", "一致"]
    _, reminded, escalated = _messages(home, order)
    assert "审核快到时限" in reminded and "请 **营养师** 尽快决定" in reminded
    assert "审核已超时" in escalated and "请 **客服主管** 决定" in escalated
    case = await case_of(order)
    assert (case.role, case.escalated_to) == ("nutritionist", "customer_service_lead")
    assert events(order)["review_escalated"] == 1
    # and the order still goes on when somebody decides
    (run,) = review_runs(prefect_server, order)
    resume(prefect_server, run["id"], verdict=Choice.APPROVE, reviewer="林主管")
    await run_here(REVIEW, await read_run(run["id"]))
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])


async def test_a_robot_that_does_not_answer_is_made_up_for_later(home: House, prefect_server: RunningServer) -> None:
    home.sandbox.world.set_fault("wecom", "send", "45009", times=50)
    order = await placed(home, Kind.COSTLY)
    assert (await carry(order)).name == "等待审核"
    await _tended()
    assert _messages(home, order) == []
    home.sandbox.world.clear_faults()
    _sql(
        "UPDATE effect SET lease_until = now() - interval '1 second' WHERE kind = 'staff_message' AND state = 'unclear'"
    )
    for _ in range(2):
        await _tended()
    assert len(_messages(home, order)) == 1


async def test_who_dies_while_telling_is_made_up_for(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a process that dies when it has written down what to tell, and told nobody
    async def dies(self: WeComRobot, request: bytes) -> None:
        raise asyncio.CancelledError

    order = await placed(home, Kind.COSTLY)
    with monkeypatch.context() as dying:
        dying.setattr(WeComRobot, "send", dies)
        with pytest.raises(asyncio.CancelledError):
            await carry(order)
    assert (await case_of(order)).told_at is not None and _messages(home, order) == []
    # when its lease is over, and somebody looks, and looks again
    _sql(
        "UPDATE effect SET lease_until = now() - interval '1 second' WHERE kind = 'staff_message' AND state = 'calling'"
    )
    _sql("UPDATE fulfilment SET claim_until = now() - interval '1 second' WHERE order_id = :id", id=order.id)
    for _ in range(2):
        await _tended()
    # then it was told once
    assert len(_messages(home, order)) == 1
    assert (await carry(order)).name == "等待审核"


async def test_many_are_approved_at_once_after_a_look_at_the_list(home: House, prefect_server: RunningServer) -> None:
    orders = [await placed(home, Kind.COSTLY) for _ in range(3)]
    for order in orders:
        await carry(order)
    numbers = [order.order_no for order in orders]
    late = orders[2]
    (run,) = review_runs(prefect_server, late)
    resume(prefect_server, run["id"], verdict=Choice.APPROVE, reviewer="王敏")
    await run_here(REVIEW, await read_run(run["id"]))
    # when the list is looked at first, which is what happens if nobody says otherwise
    tried = await approve_reviews("李雷", orders=numbers, return_state=True)
    assert tried.name == "会批准 2,不能 1"
    assert [(await case_of(order)).verdict for order in orders] == [None, None, "approve"]
    # and then done, and done again
    done = await approve_reviews("李雷", orders=numbers, note="一起看过", dry_run=False, return_state=True)
    assert done.name == "批准 2,不能 1" and f"订单 {late.order_no} 已由 王敏 于" in str(done.message)
    again = await approve_reviews("李雷", orders=numbers, dry_run=False, return_state=True)
    assert again.name == "批准 0,不能 3"
    # then each is decided once, under that name, and its run is closed
    assert [(await case_of(order)).reviewer for order in orders] == ["李雷", "李雷", "王敏"]
    assert [review_runs(prefect_server, order)[0]["state_name"] for order in orders[:2]] == ["Cancelled"] * 2
    assert [events(order)["review_decided"] for order in orders] == [1, 1, 1]
    assert (await carry(orders[0])).name == "已发货"


async def test_a_bulk_approval_without_a_name_or_a_range_does_nothing(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    assert (await approve_reviews(" ", orders=[order.order_no], dry_run=False, return_state=True)).name == "缺姓名"
    assert (await approve_reviews("李雷", dry_run=False, return_state=True)).name == "缺范围"
    for amount in (math.nan, math.inf, -1.0, 1e300):
        refused = await approve_reviews("李雷", up_to_yuan=amount, dry_run=False, return_state=True)
        assert (refused.name, str(refused.message)[:7]) == ("金额不对", "金额上限请填 ")
    assert (await case_of(order)).is_open


async def test_how_reviews_went_is_an_artifact(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    assert (await report_reviews(days=2, return_state=True)).is_completed()
    with prefect_server.http() as api:
        artifact = api.get("artifacts/reviews/latest").json()
    for shown in ("自动放行", "中位", "P95", "按理由", "金额 … 元,超过 500 元", "营养师", "█"):
        assert shown in artifact["data"], shown


def _form(server: RunningServer, order: Order, round: str = "") -> dict[str, Any]:
    """The form that is stored with the order's run."""
    (run,) = review_runs(server, order)
    return dict(stored_input(server, run["id"], f"suspended-review{round}-schema"))


def _page(server: RunningServer, order: Order, round: str = "") -> str:
    """What the reviewer reads above its first question."""
    return str(_form(server, order, round)["properties"]["order"]["description"])


def _messages(home: House, order: Order) -> list[str]:
    """The messages to staff that name this order."""
    return [m["content"] for m in home.sandbox.world.window("wecom_message") if order.order_no in m["content"]]


async def _tended() -> str:
    return str((await tend_reviews(return_state=True)).name)


def _pass_time(seconds: float) -> None:
    """Let open reviews have been there for so long already."""
    columns = ("opened_at", "due_at", "told_at", "reminded_at")
    moved = ", ".join(f"{column} = {column} - make_interval(secs => :seconds)" for column in columns)
    _sql(f"UPDATE review_case SET {moved} WHERE opened_at > now() - interval '1 hour'", seconds=seconds)


def _recipes(order: Order) -> list[str]:
    part = fulfilment_of(order).id or 0
    return transact(lambda session: [line.recipe for line in carried_by(session, part) if line.recipe])


def _personal(order: Order) -> list[str]:
    receiver = transact(lambda session: reveal(session.get_one(Contact, order.contact_id)))
    return [receiver.name, receiver.phone, receiver.detail]


def _sql(statement: str, **values: Any) -> None:
    transact(lambda session: session.connection().execute(text(statement), values))
