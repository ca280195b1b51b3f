"""A person pays back a part of an order: once, never more than is left, in amounts as people write them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from prefect.states import State
from sqlalchemy import text

from deployments.catalogue import DEPLOYMENTS, POOLS, Deployment
from flows.refund_order import refund_order
from models.database import transact
from models.order import Order, OrderUnknown
from models.refund import Refund, RefundStep, TooMuch, refunds_of
from models.wording import yuan
from tasks.compensating import BadAmount, fen_of, refund_part
from tests.carrying import carry, placed
from tests.e2e.money_back import given_back
from tests.e2e.told_once import assert_shipped_once, events
from tests.house import House
from tests.orders import fulfilment_of
from tests.prefect import RunningServer, deploy_for_test, ended, run_here

WHO: dict[str, Any] = {"reason": "包装破了", "who": "客服小张"}
REFUND: Deployment = next(entry for entry in DEPLOYMENTS if entry.entrypoint.endswith(":refund_order"))


async def test_a_part_is_paid_back_and_the_goods_come_all_the_same(home: House, prefect_server: RunningServer) -> None:
    # given an order that is on its way
    order = await placed(home, gateway="alipay")
    await carry(order)
    # when a person grants a part of it
    state = await _refund(order, "1.5 元")
    # then it is paid, once, and the order stays where it is
    assert (state.name, state.message) == ("paid", f"订单 {order.order_no} 退款 {yuan(150)}:已退款。")
    (refund,) = _refunds(order)
    assert (refund.amount_fen, refund.fulfilment_id, refund.reason) == (150, None, "包装破了")
    assert home.refunds(refund) == 1
    assert given_back(home, order) == _order(order).refunded_fen == 150
    assert_shipped_once(home, [order])
    assert events(order)["notified"] == 1  # of the parcel


@pytest.mark.parametrize(("gateway", "keeper"), [("shopify_payments", "shopify"), ("wechat_pay", "wechat_pay")])
async def test_whoever_keeps_the_money_is_asked(
    home: House, prefect_server: RunningServer, gateway: str, keeper: str
) -> None:
    order = await placed(home, gateway=gateway)
    await carry(order)
    state = await _refund(order, "1")
    assert state.name in (RefundStep.PAID.value, RefundStep.PROCESSING.value)
    (refund,) = _refunds(order)
    assert (refund.keeper, home.refunds(refund)) == (keeper, 1)


async def test_a_retry_of_the_same_run_pays_once_and_a_new_run_pays_again(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, gateway="alipay")
    await carry(order)
    # given a run whose answer never came back
    home.sandbox.world.set_fault("alipay", "refund", "drop")
    once = str(uuid4())[:13]
    with pytest.raises(Exception, match="alipay"):
        await refund_part(order.order_no, "3.33", "包装破了", "客服小张", once)
    assert given_back(home, order) == 333
    # when it is tried again, and again
    leases = text("UPDATE effect SET lease_until = now() WHERE lease_until IS NOT NULL")
    transact(lambda session: session.connection().execute(leases))
    for _ in range(2):
        owed, _ = await refund_part(order.order_no, "3.33", "包装破了", "客服小张", once)
        assert owed.state == RefundStep.PAID.value
    # then it was paid once
    assert given_back(home, order) == _order(order).refunded_fen == 333
    (first,) = _refunds(order)
    assert home.refunds(first) == 1
    # and a new run is a new refund
    await _refund(order, "3.33")
    assert given_back(home, order) == _order(order).refunded_fen == 666
    assert [home.refunds(refund) for refund in _refunds(order)] == [1, 1]


async def test_a_run_as_people_start_it_pays_once_however_often_it_is_run(
    home: House, prefect_server: RunningServer
) -> None:
    # given the deployment, as the UI starts it
    await deploy_for_test([REFUND], [pool for pool in POOLS if pool.name == REFUND.pool])
    order = await placed(home, gateway="alipay")
    await carry(order)
    run = await run_here(REFUND, parameters={"order_no": order.order_no, "amount": "5", **WHO})
    assert ended(run) and run.state is not None and run.state.name == "paid"
    # when the engine runs the very same run once more, as after a false crash
    await run_here(REFUND, run)
    # then nothing more is paid
    (refund,) = _refunds(order)
    assert (home.refunds(refund), given_back(home, order)) == (1, 500)


async def test_more_than_is_left_is_refused_and_nothing_is_sent(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, gateway="alipay")
    await carry(order)
    await _refund(order, "1.00")
    left = order.paid_fen - 100
    with pytest.raises(TooMuch, match=f"还可退 {yuan(left)}"):
        await refund_order(order.order_no, f"{(left + 1) / 100:.2f}", **WHO)
    assert given_back(home, order) == _order(order).refunded_fen == 100
    # and exactly what is left is not too much
    assert (await _refund(order, f"{left / 100:.2f}")).name == "paid"
    assert given_back(home, order) == order.paid_fen
    with pytest.raises(TooMuch, match=f"还可退 {yuan(0)}"):
        await refund_order(order.order_no, "0.01", **WHO)


async def test_an_unpaid_order_has_nothing_to_pay_back(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, channel="wechat_shop", paid=False)
    with pytest.raises(TooMuch):
        await refund_order(order.order_no, "1", **WHO)
    assert _refunds(order) == []


@pytest.mark.parametrize("amount", ["", "abc", "-1", "1.005", "1e3", "1 2", "0x10", "９", "1,0,0.5.5", "NaN"])
async def test_what_is_no_amount_is_refused_and_nothing_is_owed(
    home: House, prefect_server: RunningServer, amount: str
) -> None:
    with pytest.raises(BadAmount, match="看不懂金额"):
        await refund_order("SH-1", amount, **WHO)


@pytest.mark.parametrize(("amount", "fen"), [("12.50", 1250), ("¥12.5", 1250), ("1,234.56元", 123456), (" 0.01 ", 1)])
def test_amounts_are_read_as_people_write_them(amount: str, fen: int) -> None:
    assert fen_of(amount) == fen


async def test_nothing_is_no_refund(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    await carry(order)
    with pytest.raises(TooMuch):
        await refund_order(order.order_no, "0", **WHO)
    assert _refunds(order) == []


async def test_what_the_keeper_refuses_reaches_a_person(home: House, prefect_server: RunningServer) -> None:
    # on Douyin only the buyer can begin a refund
    order = await placed(home, channel="douyin")
    await carry(order)
    state = await _refund(order, "1")
    assert (state.name, fulfilment_of(order).stage) == (RefundStep.STUCK.value, "shipped")
    assert given_back(home, order) == 0


async def test_an_unknown_order_says_what_to_check(home: House, prefect_server: RunningServer) -> None:
    with pytest.raises(OrderUnknown, match="没有订单 SH-0"):
        await refund_order("SH-0", "1", **WHO)


async def _refund(order: Order, amount: str) -> State[Any]:
    return await refund_order(order.order_no, amount, **WHO, return_state=True)


def _refunds(order: Order) -> list[Refund]:
    return transact(lambda session: refunds_of(session, order.id or 0))


def _order(order: Order) -> Order:
    return transact(lambda session: session.get_one(Order, order.id))
