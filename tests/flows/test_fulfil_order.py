"""One order from payment to the parcel, and what it does when something does not go as it should."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from flows.fulfil_order import fulfil_order
from integrations.sandbox import replay
from models import hold
from models.database import in_transaction, transact, utcnow
from models.form_desk import CUSTOMER, save_answers
from models.fulfilment import Stage, WaitingOn, release_claims
from models.notification import Node, Notification, notification_of
from models.order import Order, OrderLine, OrderUnknown
from models.production import WorkState
from models.stock import adjust, free, receive
from models.timeline import timeline
from tasks.rerunning import HeldElsewhere
from tests.carrying import carry, claim, holds, placed, reported, runs, take_in, until
from tests.e2e.told_once import assert_shipped_once, balance, events, work_orders
from tests.house import House
from tests.orders import Kind, entered, fulfilment_of, place
from tests.prefect import RunningServer


async def test_an_order_goes_from_payment_to_the_parcel(home: House, prefect_server: RunningServer) -> None:
    # given an order that has to be made
    order = await placed(home, Kind.MADE)
    # when it is carried, and once more when the factory has reported
    first = await carry(order)
    await reported(order, WorkState.COMPLETED)
    second = await carry(order)
    # then each run has the order's number, and ended under a name that says where the order is
    assert (first.name, second.name) == ("等待生产完成", "已发货")
    shown = runs(prefect_server, name={"any_": [order.order_no]})
    assert [(run["state_type"], run["state_name"]) for run in shown] == [
        ("COMPLETED", "等待生产完成"),
        ("COMPLETED", "已发货"),
    ]
    # and everything happened once, in this order
    assert_shipped_once(home, [order])
    told = [row.kind for row in transact(lambda session: timeline(session, order.id or 0))]
    assert [kind for kind in told if kind != "production_reported"] == [
        "received", "payment_verified", "recipe_matched", "reserved", "approved", "released_to_production",
        "notified", "produced", "waybill_created", "shipped", "notified",
    ]  # fmt: skip


async def test_a_shipped_order_that_is_carried_again_tells_nobody_anything(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home)
    assert [(await carry(order)).name for _ in range(3)] == ["已发货"] * 3
    assert_shipped_once(home, [order])


async def test_an_unpaid_order_waits_until_it_is_paid(home: House, prefect_server: RunningServer) -> None:
    # given an order that nobody has paid
    order = await placed(home, Kind.STOCKED, "douyin", paid=False)
    assert fulfilment_of(order).waiting_on == WaitingOn.PAYMENT.value
    assert (await carry(order)).name == "等待付款"
    # when it is paid and the channel is read again
    replay.pay(home.sandbox.world, "douyin", order.channel_order_id, utcnow())
    await take_in()
    # then it is ready at once, and goes on
    assert (fulfilment_of(order).ready_at or utcnow()) <= utcnow()
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])


async def test_short_stock_parks_the_order_and_a_receipt_wakes_it(home: House, prefect_server: RunningServer) -> None:
    # given an order for more than there is
    order = await placed(home)
    sku = transact(lambda session: session.exec(select(OrderLine).where(OrderLine.order_id == order.id)).first())
    assert sku is not None
    warehouse = fulfilment_of(order).warehouse
    before = transact(lambda session: _leave(session, warehouse, sku.sku, 0))
    assert (await carry(order)).name == "等待到货"
    assert f"等 {sku.sku} 到货" in fulfilment_of(order).waiting_why
    waits = fulfilment_of(order).ready_at
    assert waits is not None and waits > utcnow()
    # when goods arrive
    transact(lambda session: receive(session, warehouse, sku.sku, before, "到货", "test", utcnow()))
    # then it is ready at once and goes on
    assert (fulfilment_of(order).ready_at or waits) <= utcnow()
    assert (await carry(order)).name == "已发货"
    assert events(order)["backordered"] == 1
    assert_shipped_once(home, [order])


async def test_an_address_the_carrier_does_not_serve_goes_to_a_person(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home)
    home.sandbox.world.set_fault("sf", "create_waybill", "filter_3")
    # when it is carried, however often
    assert [(await carry(order)).name for _ in range(2)] == ["需要人工处理"] * 2
    # then a person is asked, and nobody was told of a parcel
    assert await holds(order) == ["refused_sf_express"]
    assert fulfilment_of(order).stage == Stage.PRODUCED.value
    assert events(order)["shipped"] == events(order)["notified"] == 0
    assert f"{order.order_no}-1-shipped" not in home.effects("aliyun", "SendSms")


async def test_a_batch_that_fails_goes_to_a_person(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, Kind.MADE)
    home.sandbox.world.set_fault("mes", "release", "fail")
    await carry(order)
    await reported(order, WorkState.FAILED)
    # when the order, woken by the report, is carried
    assert (await carry(order)).name == "需要人工处理"
    # then a person decides, and nothing was sent
    failed = [work for work in work_orders(order) if work.state == WorkState.FAILED.value]
    assert await holds(order) == [f"production_failed_{work.id}" for work in failed]
    assert f"{order.order_no}-1" not in home.effects("sf", "create_waybill")
    # and when the person agrees that it is made again
    transact(lambda session: hold.lift(session, order.id or 0, "生产主管", utcnow()))
    await carry(order)
    await until(lambda: all(w.completed_at for w in work_orders(order) if w.state != WorkState.REWORKED.value), "made")
    await carry(order)
    # then there is a second batch, the ingredients of the first are written off, and the order leaves once
    assert fulfilment_of(order).stage == Stage.SHIPPED.value
    again = [work for work in work_orders(order) if work.work_order_no.partition("-R")[1]]
    assert len(again) == len(failed)
    assert {work.batch_no for work in again}.isdisjoint(work.batch_no for work in failed)
    lost = sum(sum(work.grams.values()) for work in failed)
    used = sum(sum(work.grams.values()) for work in work_orders(order) if work.state == WorkState.COMPLETED.value)
    grams = {sku: on_hand for sku, (on_hand, _) in balance(order).items() if sku.startswith("ING-")}
    assert -sum(grams.values()) == lost + used
    assert home.effects("sf", "create_waybill")[f"{order.order_no}-1"] == 1


async def test_a_number_that_takes_no_message_does_not_stop_the_order(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home)
    home.sandbox.world.set_fault("aliyun", "SendSms", "isv.MOBILE_NUMBER_ILLEGAL")
    # when it is carried, and again later
    assert [(await carry(order)).name for _ in range(2)] == ["已发货"] * 2
    # then it is on its way, and somebody is asked to tell the customer
    assert fulfilment_of(order).stage == Stage.SHIPPED.value
    assert await holds(order) == ["notify_failed"]
    assert _notification(order).state == "failed"
    assert f"{order.order_no}-1-shipped" not in home.effects("aliyun", "SendSms")


async def test_an_incomplete_pet_profile_holds_the_order_until_it_is_completed(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, Kind.MADE)
    complete = transact(lambda session: _set_profiles(session, order, {}))
    # when it is carried, and looked at again
    assert [(await carry(order)).name for _ in range(2)] == ["等待客户补充资料"] * 2
    # then it is on hold, and the customer has one message with the link to the form
    assert await holds(order) == ["profile_incomplete"]
    assert home.effects("aliyun", "SendSms") | {f"{order.order_no}-1-profile-1": 1} == home.effects("aliyun", "SendSms")
    # when the customer has answered, it goes on by itself, and nobody is asked again
    for line_no, profile in complete.items():
        answered = partial(save_answers, line_no=line_no, answers=profile, actor=CUSTOMER, now=utcnow())
        assert (await in_transaction(lambda session, answer=answered: answer(session, order))).complete
    assert await holds(order) == []
    assert (await carry(order)).name == "等待生产完成"
    assert not any(key.endswith("-profile-2") for key in home.effects("aliyun", "SendSms"))


async def test_a_customer_is_asked_once_each_time_even_if_the_lane_dies_before_it_has_asked(
    home: House, prefect_server: RunningServer
) -> None:
    # given a lane that died after it had placed the hold
    order = await placed(home, Kind.MADE)
    complete = transact(lambda session: _set_profiles(session, order, {}))
    reason = "宠物档案缺少:物种"
    held = partial(hold.place, code="profile_incomplete", reason=reason, who="客服", handle="", actor="match-recipe")
    await in_transaction(lambda session: held(session, order.id or 0, now=utcnow()))
    # when another one comes to it, then the customer is asked all the same
    assert (await carry(order)).name == "等待客户补充资料"
    assert home.effects("aliyun", "SendSms")[f"{order.order_no}-1-profile-1"] == 1
    # when a person lifts the hold though nothing was answered, then that is another round
    await in_transaction(lambda session: hold.lift(session, order.id or 0, "客服小张", utcnow()))
    assert [(await carry(order)).name for _ in range(2)] == ["等待客户补充资料"] * 2
    assert home.effects("aliyun", "SendSms")[f"{order.order_no}-1-profile-2"] == 1
    # and when the channel tells the rest, it goes on
    transact(lambda session: _set_profiles(session, order, complete))
    await in_transaction(lambda session: hold.lift(session, order.id or 0, "客服小张", utcnow()))
    assert (await carry(order)).name == "等待生产完成"


async def test_a_run_by_hand_answers_a_refusal_with_a_new_try(home: House, prefect_server: RunningServer) -> None:
    # given an order that the factory refused
    order = await placed(home, Kind.MADE)
    home.sandbox.world.set_fault("mes", "release", "refuse")
    assert (await carry(order)).name == "需要人工处理"
    assert await holds(order) == ["refused_mes"]
    # when a person runs it by number
    state = await fulfil_order(f" {order.order_no.lower()} ", "工厂已恢复", return_state=True)
    # then the hold is answered, and the order goes on with the same steps
    assert state.is_completed() and state.name == "等待生产完成"
    assert await holds(order) == []
    assert events(order)["rerun"] == 1


async def test_a_run_by_hand_of_an_order_that_a_lane_holds_says_so(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    await claim(order, "another-lane")
    with pytest.raises(HeldElsewhere, match=f"订单 {order.order_no} 正在被处理"):
        await fulfil_order(order.order_no, "客户来电")
    assert events(order)["rerun"] == 0
    # and what is not held any more goes on
    await in_transaction(lambda session: release_claims(session, "another-lane"))
    assert (await fulfil_order(order.order_no, "客户来电", return_state=True)).name == "已发货"


async def test_a_run_by_hand_of_an_unknown_number_says_what_to_check(prefect_server: RunningServer) -> None:
    with pytest.raises(OrderUnknown, match="没有订单 SH-0"):
        await fulfil_order("SH-0", "查一下")


async def test_two_lanes_at_one_order_tell_everybody_once(home: House, prefect_server: RunningServer) -> None:
    # given a lane that was thought dead while it works, so that another carries the same order beside it
    ids = place(home, Kind.STOCKED, "wechat_shop")
    await take_in()
    (order,) = entered(ids)
    home.sandbox.world.set_fault("sf", "create_waybill", "timeout_after", detail={"seconds": 0.5})
    first = asyncio.create_task(carry(order, "first"))
    await until(lambda: home.effects("sf", "create_waybill").get(f"{order.order_no}-1"), "the carrier has the order")
    await in_transaction(lambda session: release_claims(session, "first"))
    # when both have done what they can
    second = await carry(order, "second")
    assert (await first).name == "已交接"
    assert second.name == "稍后自动重试"  # the first one's call is still under way
    await in_transaction(_leases_are_over)
    # then one parcel leaves
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])


def _leave(session: Session, warehouse: str, sku: str, left: int) -> int:
    """Correct the stock of a SKU so that only so much is free; how much was taken away."""
    too_much = free(session, warehouse, sku) - left
    adjust(session, warehouse, sku, -too_much, "盘点", "test", utcnow())
    return too_much


def _set_profiles(session: Session, order: Order, profiles: dict[int, dict[str, str]]) -> dict[int, dict[str, str]]:
    """Give the lines of an order other pet profiles (by default none); what they were."""
    before = {}
    for line in session.exec(select(OrderLine).where(OrderLine.order_id == order.id, OrderLine.made_to_order)):
        before[line.line_no] = line.profile
        line.profile = profiles.get(line.line_no, {})
        session.add(line)
    return before


def _notification(order: Order) -> Notification:
    fulfilment = fulfilment_of(order)
    found = transact(lambda session: notification_of(session, fulfilment.id or 0, Node.SHIPPED))
    assert found is not None
    return found


def _leases_are_over(session: Session) -> None:
    session.connection().execute(text("UPDATE effect SET lease_until = now() WHERE lease_until IS NOT NULL"))
