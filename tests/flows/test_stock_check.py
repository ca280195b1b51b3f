"""The stock check, from the question to whatever the warehouse says, or does not say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integrations.sandbox import warehouse
from models import hold
from models.database import in_transaction, transact, utcnow
from models.fulfilment import Stage, WaitingOn
from models.order import Order, lines_of
from models.production import WorkState
from models.refund import refunds_of
from models.stock_check import CheckState
from tests.carrying import carry, ended, holds, placed, reported
from tests.database import TemporaryServer
from tests.e2e.told_once import assert_compensated_once, assert_shipped_once, balance, events
from tests.house import House, house, with_policy
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer
from tests.stock_checks import ASKED, check_of, says, time_is_over

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


async def test_the_countdown_holds_the_parcel_back_until_its_end(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    assert [(await carry(order)).name for _ in range(2)] == [WAITS] * 2
    # then the warehouse has been asked, once, by a message that names the check and the order
    check, part = check_of(order), fulfilment_of(order)
    heard = [m["content"] for m in home.sandbox.world.window("wecom_message") if order.order_no in m["content"]]
    assert [check.number in message for message in heard] == [True]
    assert check.announced_at is not None
    # and the order is approved, wakes by itself when the time is over, and has sent nothing
    assert (part.stage, part.waiting_on) == (Stage.PRODUCED.value, WaitingOn.STOCK_CHECK.value)
    assert part.ready_at == check.due_at
    assert events(order)["stock_check_opened"] == 1
    _nothing_left(home, order)


async def test_silence_lets_the_order_go(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    await carry(order)
    time_is_over(order)
    assert (await carry(order)).name == "已发货"
    assert check_of(order).state == CheckState.SILENT.value
    assert_shipped_once(home, [order])
    # and a word that comes after that changes nothing
    assert says(order, there=True) == (False, f"订单 {order.order_no} 已经发货或了结,这次答复没有改变任何内容。")
    assert says(order, there=False)[0] is False
    assert fulfilment_of(order).stage == Stage.SHIPPED.value


async def test_silence_asks_a_person_where_the_seller_wants_that(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    with with_policy(stock_check_silence="ask"):
        await carry(order)
        time_is_over(order)
        assert [(await carry(order)).name for _ in range(2)] == ["需要人工处理"] * 2
        assert await holds(order) == [f"stock_check_unanswered_{check_of(order).id}"]
        _nothing_left(home, order)
        # when the person has asked, and releases the hold
        await in_transaction(lambda session: hold.lift(session, order.id or 0, "仓库主管", utcnow()))
        assert (await carry(order)).name == "已发货"
    assert events(order)["stock_check_answered"] == 1
    assert_shipped_once(home, [order])


async def test_a_person_who_hears_that_it_is_not_there_has_it_paid_back(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, gateway="alipay")
    with with_policy(stock_check_silence="ask"):
        await carry(order)
        time_is_over(order)
        await carry(order)
        assert says(order, there=False)[0] is True
        await ended(order)
    assert_compensated_once(home, order)
    assert await holds(order) == []


async def test_there_ships_at_once(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    await carry(order)
    assert says(order, there=True) == (True, f"订单 {order.order_no}:已记下「有货」。")
    assert (fulfilment_of(order).ready_at or check_of(order).due_at) <= utcnow()
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])


@pytest.mark.parametrize("channel", ["shopify", "wechat_shop"])
async def test_not_there_is_paid_back_with_a_coupon_and_the_customer_is_told(
    home: House, prefect_server: RunningServer, channel: str
) -> None:
    order = await placed(home, channel=channel)
    await carry(order)
    promised = balance(order)
    taken, sentence = says(order, there=False)
    assert taken and sentence.startswith(f"订单 {order.order_no}:已记下「没有货」。{order.order_no}-1 将退款")
    await ended(order)
    # then what was promised is off the ledger, for it is not there
    assert balance(order) == {sku: (-quantity, 0) for sku, (_, quantity) in promised.items()}
    assert_compensated_once(home, order)
    _nothing_left(home, order)
    # and why is in the order's book
    (refund,) = transact(lambda session: refunds_of(session, order.id or 0))
    assert refund.reason == f"{check_of(order).warehouse} 查无货:{'、'.join(check_of(order).missing)}"


async def test_an_answer_given_twice_counts_once(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home, gateway="alipay")
    await carry(order)
    assert says(order, there=False)[0] is True
    before = balance(order)
    for there in (False, True):
        taken, sentence = says(order, there=there)
        assert taken is (False)
        assert "答复「没有货」,这次没有改变任何内容。" in sentence
    await ended(order)
    assert balance(order) == before
    assert events(order)["stock_check_answered"] == 1
    assert_compensated_once(home, order)


async def test_not_there_may_still_follow_there_until_the_parcel_has_left(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order that the warehouse said was there, and that the carrier takes no waybill for just now
    order = await placed(home, gateway="alipay")
    await carry(order)
    assert says(order, there=True)[0] is True
    home.sandbox.world.set_fault("sf", "create_waybill", "http_429", detail={"retry_after": 600})
    assert (await carry(order)).name == "稍后自动重试"
    # when it is not there after all
    assert says(order, there=False)[0] is True
    await ended(order)
    assert_compensated_once(home, order)
    assert events(order)["stock_check_answered"] == 2


async def test_production_goes_on_beside_the_check_but_the_parcel_waits(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order of which a part is to be made, and a warehouse that has not answered yet
    order = await _to_be_made(home, with_goods=True)
    assert (await carry(order)).name == "等待生产完成"
    assert check_of(order).state == CheckState.OPEN.value
    # when it is made before the check is over
    await reported(order, WorkState.COMPLETED)
    assert (await carry(order)).name == WAITS
    _nothing_left(home, order)
    # then it leaves when the check is
    time_is_over(order)
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])


async def test_what_has_gone_into_production_was_there(home: House, prefect_server: RunningServer) -> None:
    # given an order of which all is to be made
    order = await _to_be_made(home, with_goods=False)
    assert (await carry(order)).name == "等待生产完成"
    # when it is made before anybody has answered
    await reported(order, WorkState.COMPLETED)
    assert (await carry(order)).name == "已发货"
    # then nobody needs to look any more
    assert (check_of(order).state, check_of(order).answered_by) == (CheckState.THERE.value, "production")
    assert_shipped_once(home, [order])


async def test_goods_that_are_not_there_beside_what_was_made_are_paid_back_and_counted_once(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order of which a part was made already
    order = await _to_be_made(home, with_goods=True)
    await carry(order)
    promised = balance(order)
    await reported(order, WorkState.COMPLETED)
    assert (await carry(order)).name == WAITS
    # when the warehouse says that the rest is not there
    assert says(order, there=False)[0] is True
    await ended(order)
    # then the goods are off the ledger, and so is what the rest was made of, each once
    assert balance(order) == {sku: (-quantity, 0) for sku, (_, quantity) in promised.items()}
    assert_compensated_once(home, order)


async def _to_be_made(home: House, *, with_goods: bool) -> Order:
    """The next order with something to be made, and with goods from the shelf beside it or not."""
    for _ in range(40):
        order = await placed(home, Kind.MADE, gateway="alipay")
        made = [line.made_to_order for line in transact(lambda session, id=order.id: lines_of(session, id or 0))]  # type: ignore[misc]
        if all(made) is not with_goods:
            return order
    raise LookupError("no such basket in the history")


def _nothing_left(home: House, order: Order) -> None:
    assert f"{order.order_no}-1" not in home.effects("sf", "create_waybill")
    assert events(order)["shipped"] == 0
    assert f"{order.order_no}-1-shipped" not in home.effects("aliyun", "SendSms")
