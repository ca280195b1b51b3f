"""Cancelling, wherever the order has got to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import text

from flows.cancel_order import cancel_order
from integrations.payments import PaymentRecord, PaymentState, Trade
from integrations.payments.alipay import Alipay
from integrations.sandbox.douyin_after_sales import apply_for_refund
from models.database import transact, utcnow
from models.fulfilment import Stage, WaitingOn
from models.order import OrderUnknown
from models.production import WorkState
from models.review import CaseState
from tests.carrying import carry, case_of, ended, holds, placed, reported, until
from tests.e2e.money_back import given_back
from tests.e2e.told_once import assert_cancelled_before_it_left, assert_shipped_once, events, work_orders
from tests.house import House
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer

WHO = {"reason": "客户不要了", "who": "客服小张"}
#: How the run ends that begins a cancellation: the money may be on its way still.
CANCELS = ("已取消", "等待退款到账")


@pytest.fixture
def slow_platforms(home: House) -> Iterator[None]:
    """Platforms whose own time hardly passes: nothing is made, and no parcel is picked up meanwhile."""
    _set_speed(home, 0.1)
    yield
    _set_speed(home, home.sandbox.world.speed)


async def test_before_anything_was_done(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    state = await cancel_order(order.order_no, **WHO, return_state=True)
    assert (state.name in CANCELS, state.message) == (True, f"订单 {order.order_no} 正在取消:客户不要了")
    await ended(order)
    assert_cancelled_before_it_left(home, order)
    assert await holds(order) == []
    assert f"{order.order_no}-1" not in home.effects("sf", "create_waybill")


async def test_an_unpaid_order_owes_no_refund(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, Kind.STOCKED, "wechat_shop", paid=False)
    assert (await cancel_order(order.order_no, **WHO, return_state=True)).name in CANCELS
    await ended(order)
    assert_cancelled_before_it_left(home, order)
    assert await holds(order) == []


async def test_money_that_its_keeper_sees_later_than_the_channel_goes_back_all_the_same(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an order that is paid on its channel, and whose keeper does not know of it yet
    order = await placed(home, gateway="alipay")

    async def not_yet(self: Alipay, trade: Trade) -> PaymentRecord:
        return PaymentRecord(PaymentState.PENDING, 0, "CNY", None)

    with monkeypatch.context() as patch:
        patch.setattr(Alipay, "payment", not_yet)
        # when it is cancelled
        await cancel_order(order.order_no, **WHO, return_state=True)
    # then it is not over before the money is back
    assert not Stage(fulfilment_of(order).stage).final
    await ended(order)
    assert_cancelled_before_it_left(home, order)
    assert given_back(home, order) == order.paid_fen


async def test_with_stock_reserved_and_under_review(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    assert fulfilment_of(order).stage == Stage.RESERVED.value
    assert (await cancel_order(order.order_no, **WHO, return_state=True)).name in CANCELS
    await ended(order)
    # then stock is back, and nobody needs to decide any more
    assert_cancelled_before_it_left(home, order)
    assert (await case_of(order)).state == CaseState.WITHDRAWN.value


async def test_in_production(home: House, prefect_server: RunningServer, slow_platforms: None) -> None:
    order = await placed(home, Kind.MADE)
    assert (await carry(order)).name == "等待生产完成"
    assert (await cancel_order(order.order_no, **WHO, return_state=True)).name in CANCELS
    _set_speed(home, home.sandbox.world.speed)
    await ended(order)
    # then the factory was called back, once for each work order
    assert_cancelled_before_it_left(home, order)
    works = work_orders(order)
    assert [work.state for work in works] == [WorkState.CALLED_BACK.value] * len(works)
    assert [home.effects("mes", "cancel").get(work.work_order_no) for work in works] == [1] * len(works)
    assert await holds(order) == []


async def test_when_it_was_made_already_a_person_takes_care_of_the_goods(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order whose completion the factory could not report yet: to us it is still in production
    order = await placed(home, Kind.MADE)
    await carry(order)
    await reported(order, WorkState.COMPLETED)
    forget = text("UPDATE work_order SET state = 'in_progress', completed_at = NULL WHERE order_id = :id")
    transact(lambda session: session.connection().execute(forget, {"id": order.id}))
    # when it is cancelled
    assert (await cancel_order(order.order_no, **WHO, return_state=True)).name in CANCELS
    await ended(order)
    # then the factory's no is on somebody's list
    assert_cancelled_before_it_left(home, order, made=True)
    assert await holds(order) == ["made_already"]


async def test_with_a_waybill(home: House, prefect_server: RunningServer, slow_platforms: None) -> None:
    # given an order with a waybill, that its channel cannot be told of
    order = await placed(home, channel="douyin")
    home.sandbox.world.set_fault("douyin", "order.logisticsAdd", "http_429", detail={"retry_after": 600})
    assert (await carry(order)).name == "稍后自动重试"
    assert events(order)["waybill_created"] == 1
    # and a channel where only the buyer can begin a refund
    assert (await cancel_order(order.order_no, **WHO, return_state=True)).name == "需要人工处理"
    assert await holds(order) == ["refund_stuck"]
    apply_for_refund(home.sandbox.world, order.channel_order_id, utcnow())
    _set_speed(home, home.sandbox.world.speed)
    await ended(order)
    # then the waybill is cancelled
    assert_cancelled_before_it_left(home, order)
    assert home.effects("sf", "cancel_waybill")[f"{order.order_no}-1"] == 1
    assert await holds(order) == []


async def test_after_shipping_it_goes_to_a_person(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    await carry(order)
    state = await cancel_order(order.order_no, **WHO, return_state=True)
    # then it is not cancelled, and says what is to be done
    assert (state.name, state.message) == ("已发货", f"订单 {order.order_no} 已经发货,取消请求已记录,需要人工拦截。")
    assert await holds(order) == ["cancel_after_shipping"]
    assert fulfilment_of(order).stage == Stage.SHIPPED.value
    assert_shipped_once(home, [order])
    assert f"{order.order_no}-1" not in home.effects("sf", "cancel_waybill")


async def test_twice_is_once(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    await cancel_order(order.order_no, **WHO, return_state=True)
    await ended(order)
    again = await cancel_order(order.order_no, "再点一次", "客服小李", return_state=True)
    assert (again.name, again.message) == ("已结束", f"订单 {order.order_no} 已经在取消(客户不要了)。")
    assert events(order)["cancel_requested"] == events(order)["cancelled"] == 1


async def test_in_the_middle_of_a_call_the_call_is_waited_for_and_called_back(
    home: House, prefect_server: RunningServer, slow_platforms: None
) -> None:
    # given a lane that is just asking for a waybill
    order = await placed(home)
    home.sandbox.world.set_fault("sf", "create_waybill", "timeout_after", detail={"seconds": 1.0})
    working = asyncio.create_task(carry(order, "lane"))
    await until(lambda: home.effects("sf", "create_waybill").get(f"{order.order_no}-1"), "the carrier has the order")
    # when the order is cancelled
    state = await cancel_order(order.order_no, **WHO, return_state=True)
    # then it waits for what is under way, and the lane in the middle of it hands over
    assert state.name == "稍后自动重试"
    assert fulfilment_of(order).waiting_on == WaitingOn.RETRY.value
    assert (await working).name == "已交接"
    # and when that is over, the waybill is called back and the order ends
    over = text("UPDATE effect SET lease_until = now() WHERE lease_until IS NOT NULL")
    transact(lambda session: session.connection().execute(over))
    _set_speed(home, home.sandbox.world.speed)
    await ended(order)
    assert_cancelled_before_it_left(home, order)
    assert home.effects("sf", "cancel_waybill")[f"{order.order_no}-1"] == 1


async def test_an_unknown_order_says_what_to_check(home: House, prefect_server: RunningServer) -> None:
    with pytest.raises(OrderUnknown, match="没有订单 SH-0"):
        await cancel_order("SH-0", **WHO)


def _set_speed(home: House, speed: float) -> None:
    httpx.post(f"{home.sandbox.url}/control/speed", json={"speed": speed}, trust_env=False).raise_for_status()
