"""A person has an order paid back, or decides on one that the limits have stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from flows.compensate_order import compensate_order
from flows.tend_reviews import tend_reviews
from integrations.sandbox import warehouse
from models import compensation, coupon
from models.compensation import Compensation, CompensationState
from models.database import transact
from models.fulfilment import Stage, WaitingOn
from models.order import Order, OrderUnknown
from models.refund import refunds_of
from models.review import CaseState
from models.wording import yuan
from tasks.compensating import Action
from tests.buying import arrive, bought, shelve_goods
from tests.carrying import carry, case_of, deploy_reviews, ended, holds, placed
from tests.database import TemporaryServer
from tests.e2e.told_once import assert_compensated_once, assert_shipped_once, balance, events
from tests.house import House, house, with_policy
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer
from tests.stock_checks import ASKED, check_of, says, time_is_over

WHO: dict[str, Any] = {"reason": "客户等不了", "who": "客服小张"}
WAITS = "等待仓库核对"


@pytest.fixture(scope="module")
def _asking(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house"), overrides={"policy": ASKED}) as furnished:
        warehouse.behave(furnished.sandbox.world, silent=True)
        yield furnished


@pytest.fixture
def home(_asking: House) -> Iterator[House]:
    """A house in which the warehouse is asked about everything, and answers when the test says so."""
    yield _asking
    _asking.sandbox.world.clear_faults()


async def test_an_order_is_paid_back_with_a_coupon_and_says_why(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, gateway="alipay")
    await carry(order)
    # when a person has it paid back
    state = await compensate_order(order.order_no, **WHO, return_state=True)
    # then the run says what happens
    row = _row(order)
    assert (state.name, state.message) == (
        "已退款",
        f"{order.order_no}-1 将退款 {yuan(order.paid_fen)} 并补偿优惠券。",
    )
    # and the reason is the refund's, the event's and the compensation's
    (refund,) = transact(lambda session: refunds_of(session, order.id or 0))
    assert [row.reason, refund.reason] == ["客户等不了"] * 2
    assert (row.asked_by, row.automatic, row.state) == ("客服小张", False, CompensationState.DONE.value)
    assert_compensated_once(home, order)
    assert all(on_hand == 0 for on_hand, _ in balance(order).values())  # its goods are back on the shelf


async def test_run_again_nothing_changes_and_nothing_is_sent(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, channel="wechat_shop")
    await carry(order)
    first = await compensate_order(order.order_no, **WHO, return_state=True)
    again = await compensate_order(order.order_no, "再点一次", "客服小李", return_state=True)
    assert (first.name, again.name) == ("等待退款到账", "没有变化")
    assert again.message == f"{order.order_no}-1 的补偿正在办理(客户等不了),这次没有改变任何内容。"
    await ended(order)
    before = _sent(home)
    late = await compensate_order(order.order_no, "又点一次", "客服小李", return_state=True)
    assert (late.name, late.message) == (
        "没有变化",
        f"{order.order_no}-1 的补偿已经完成(客户等不了),这次没有改变任何内容。",
    )
    assert _sent(home) == before
    assert_compensated_once(home, order)


async def test_an_order_whose_payment_nobody_has_checked_has_nothing_to_pay_back(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home)
    state = await compensate_order(order.order_no, **WHO, return_state=True)
    assert (state.name, state.message) == ("没有变化", f"{order.order_no}-1 还没有核实付款,没有钱可退:请取消订单。")
    assert transact(lambda session: compensation.compensations_of(session, order.id or 0)) == []


async def test_an_order_under_review_is_paid_back_and_needs_no_verdict_any_more(
    home: House, prefect_server: RunningServer
) -> None:
    await deploy_reviews()
    order = await placed(home, Kind.COSTLY, gateway="alipay")
    assert (await carry(order)).name == "等待审核"
    await compensate_order(order.order_no, **WHO, return_state=True)
    await ended(order)
    assert (await case_of(order)).state == CaseState.WITHDRAWN.value
    assert_compensated_once(home, order)
    await tend_reviews()


async def test_what_has_left_is_not_compensated(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    await carry(order)
    time_is_over(order)
    await carry(order)
    state = await compensate_order(order.order_no, **WHO, return_state=True)
    assert (state.name, state.message) == (
        "没有变化",
        f"{order.order_no}-1 已经发货或了结,不能按缺货补偿:请走退货或手工退款。",
    )
    assert_shipped_once(home, [order])


async def test_past_the_limit_it_stops_and_a_person_approves(home: House, prefect_server: RunningServer) -> None:
    # given that one an hour is paid back by itself
    first, second = await placed(home, gateway="alipay"), await placed(home, gateway="alipay")
    for order in (first, second):
        await carry(order)
    with with_policy(most_compensations_an_hour=_automatic() + 1):
        # when the goods of two are not there
        for order in (first, second):
            says(order, there=False)
        await ended(first)
        # then the second stops for a person, whatever is tried, and nothing is sent
        assert [(await carry(second)).name for _ in range(2)] == ["需要人工处理"] * 2
        assert await holds(second) == ["compensation_limit"]
        assert _row(second).state == CompensationState.STOPPED.value
        assert transact(lambda session: refunds_of(session, second.id or 0)) == []
        # and a run that asks for it again says that it waits
        again = await compensate_order(second.order_no, **WHO, return_state=True)
        assert again.name == "没有变化" and "在等人批准" in (again.message or "")
        # when somebody approves
        state = await compensate_order(second.order_no, "仓库确认丢失", "主管", Action.APPROVE, return_state=True)
        assert (state.name, state.message) == ("已退款", f"订单 {second.order_no} 的补偿已批准,正在退款。")
        assert await holds(second) == []
        # and again, there is nothing to decide
        again = await compensate_order(second.order_no, "再批一次", "主管", Action.APPROVE, return_state=True)
        assert (again.name, again.message) == (
            "没有变化",
            f"订单 {second.order_no} 没有等待批准的补偿,这次没有改变任何内容。",
        )
    assert (_row(second).automatic, _row(second).decided_by) == (False, "主管")
    for order in (first, second):
        assert_compensated_once(home, order)


async def test_declined_it_waits_for_goods_and_does_not_ship_what_is_not_there(
    home: House, prefect_server: RunningServer
) -> None:
    # given the last one of its kind, which is not there, and no automatic compensation
    shelve_goods({"WH-EAST": {"LOST-1": 1}})
    order = await bought(home, {"LOST-1": 1})
    await carry(order)
    with with_policy(most_compensations_an_hour=0):
        says(order, there=False)
        await carry(order)
        # when somebody declines to pay it back
        state = await compensate_order(order.order_no, "明天到货", "主管", Action.DECLINE, return_state=True)
        assert (state.name, state.message) == ("等待到货", f"订单 {order.order_no} 的补偿已驳回,订单继续等货。")
        # then it waits, and tells its customer until when
        assert fulfilment_of(order).waiting_on == WaitingOn.BACKORDER.value
        assert home.effects("aliyun", "SendSms").get(f"{order.order_no}-1-backorder") == 1
        assert f"{order.order_no}-1" not in home.effects("sf", "create_waybill")
        # and when goods arrive it is asked about again, and ships
        arrive("LOST-1", 1)
        assert (await carry(order)).name == WAITS
        assert says(order, there=True)[0] is True
        assert (await carry(order)).name == "已发货"
    assert _row(order).state == CompensationState.DECLINED.value
    assert fulfilment_of(order).stage == Stage.SHIPPED.value
    assert transact(lambda session: refunds_of(session, order.id or 0)) == []
    assert transact(lambda session: coupon.coupons_of(session, order.id or 0)) == []
    assert events(order)["notified"] == 2  # of the new date, and of the parcel
    assert balance(order) == {"LOST-1": (-2, 0)}  # one lost, one sent


async def test_the_sum_of_a_day_stops_it_too(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    await carry(order)
    with with_policy(most_compensation_fen_a_day=order.paid_fen - 1):
        says(order, there=False)
        assert (await carry(order)).name == "需要人工处理"
    assert await holds(order) == ["compensation_limit"]
    assert check_of(order).state == "not_there"


async def test_the_coupon_reaches_a_customer_whose_money_the_platform_gave_back_itself(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, gateway="alipay")
    await carry(order)
    says(order, there=False)
    # when the platform pays back before we do
    elsewhere = text("UPDATE orders SET platform_status = 'refunded' WHERE id = :id")
    transact(lambda session: session.connection().execute(elsewhere, {"id": order.id}))
    await ended(order)
    # then we pay nothing, and the coupon is told once
    assert transact(lambda session: refunds_of(session, order.id or 0)) == []
    assert len(transact(lambda session: coupon.coupons_of(session, order.id or 0))) == 1
    assert home.effects("aliyun", "SendSms").get(f"{order.order_no}-1-compensated") == 1


async def test_an_unknown_order_says_what_to_check(home: House, prefect_server: RunningServer) -> None:
    with pytest.raises(OrderUnknown, match="没有订单 SH-0"):
        await compensate_order("SH-0", **WHO)


def _row(order: Order) -> Compensation:
    (row,) = transact(lambda session: compensation.compensations_of(session, order.id or 0))
    return row


def _automatic() -> int:
    """How many have been compensated by themselves in this hour."""
    counted = text("SELECT count(*) FROM compensation WHERE automatic AND state IN ('due', 'done')")
    return transact(lambda session: int(session.connection().execute(counted).scalar_one()))


def _sent(home: House) -> list[tuple[str, str, int]]:
    """Everything that has reached any platform and changes something there."""
    reading = {"callback"}
    return [
        (row["platform"], row["operation"], row["deliveries"])
        for row in home.sandbox.world.counts()
        if row["operation"] not in reading
    ]
