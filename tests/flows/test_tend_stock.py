"""Looking after what nobody is working on: late promises, the queue, checks left over, and open refunds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlmodel import Session

from flows.tend_stock import tend_stock
from integrations.sandbox import warehouse
from models.backorder import backorder_of
from models.cancellation import request_cancellation
from models.database import transact, utcnow
from models.fulfilment import Stage, WaitingOn
from models.order import Order
from models.refund import RefundStep, refunds_of
from models.stock import Movement, move
from tests.buying import bought, shelve_goods
from tests.carrying import carry, deploy_reviews, ended, placed
from tests.database import TemporaryServer
from tests.e2e.told_once import assert_cancelled_before_it_left, assert_nothing_twice, balance, events
from tests.house import House, house
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer
from tests.stock_checks import ASKED, check_of, says


@pytest.fixture(scope="module")
def _asking(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house"), overrides={"policy": ASKED}) as furnished:
        warehouse.behave(furnished.sandbox.world, silent=True)
        yield furnished


@pytest.fixture
def home(_asking: House) -> Iterator[House]:
    """A house in which the warehouse is asked about everything, has heard of it all, and answers when told to."""
    _run("UPDATE stock_check SET announced_at = now() WHERE announced_at IS NULL")
    _run("UPDATE warehouse SET asked_at = NULL")
    yield _asking
    _asking.sandbox.world.clear_faults()


async def test_with_nothing_to_do_it_says_so(home: House, prefect_server: RunningServer) -> None:
    assert await _tended() == "没有要处理的"


async def test_a_promise_nobody_acts_on_ends_and_the_order_begins_again(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order that is promised its goods and waits for a reviewer, too long
    await deploy_reviews()
    order = await placed(home, Kind.COSTLY)
    await carry(order)
    assert all(reserved > 0 for _, reserved in balance(order).values())
    _run("UPDATE reservation SET expires_at = now() WHERE fulfilment_id = :id", id=fulfilment_of(order).id)
    # when somebody looks after it, and once more
    assert [await _tended() for _ in range(2)] == ["到期释放 1", "没有要处理的"]
    # then it is promised nothing, and is asked about again when it is promised it again
    assert balance(order) == {}
    assert fulfilment_of(order).stage == Stage.RECEIVED.value
    assert check_of(order).state == "withdrawn"
    assert (await carry(order)).name == "等待审核"
    assert (events(order)["reserved"], events(order)["stock_check_opened"]) == (2, 2)
    assert check_of(order).state == "open"
    assert_nothing_twice(home)


async def test_a_promise_somebody_acts_on_stays(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    await carry(order)
    assert fulfilment_of(order).waiting_on == WaitingOn.STOCK_CHECK.value
    _run("UPDATE fulfilment SET stage_since = now() - interval '30 days' WHERE id = :id", id=fulfilment_of(order).id)
    assert await _tended() == "没有要处理的"
    assert all(reserved > 0 for _, reserved in balance(order).values())


async def test_goods_whose_arrival_nobody_heard_of_are_given_out(home: House, prefect_server: RunningServer) -> None:
    # given an order that waits, and goods that arrived while nobody was told
    shelve_goods({"WH-EAST": {"TEND-1": 0}})
    order = await bought(home, {"TEND-1": 2})
    assert (await carry(order)).name == "等待到货"
    transact(_arrives_unheard)
    assert (fulfilment_of(order).ready_at or utcnow()) > utcnow()
    # when somebody looks after it
    assert await _tended() == "补货分配 1"
    # then it has its goods and is ready
    part = fulfilment_of(order)
    assert balance(order) == {"TEND-1": (0, 2)}
    assert (part.ready_at or utcnow()) <= utcnow()
    assert transact(lambda session: backorder_of(session, part.id or 0)) is None
    assert (await carry(order)).name == "等待仓库核对"
    assert says(order, there=True)[0] is True
    assert (await carry(order)).name == "已发货"
    assert events(order)["notified"] == 2  # of the new date, and of the parcel
    assert_nothing_twice(home)


async def test_a_warehouse_that_was_not_reached_is_asked_again(home: House, prefect_server: RunningServer) -> None:
    # given a robot that does not answer
    _run("UPDATE warehouse SET asked_at = NULL")
    home.sandbox.world.set_fault("wecom", "send", "93000")
    order = await placed(home)
    assert (await carry(order)).name == "等待仓库核对"
    assert check_of(order).announced_at is None
    # when somebody looks after it, after its pause
    _run("UPDATE warehouse SET asked_at = NULL")
    assert await _tended() == "催核对 1"
    assert check_of(order).announced_at is not None
    heard = [m["content"] for m in home.sandbox.world.window("wecom_message") if order.order_no in m["content"]]
    assert len(heard) == 1
    # and then it is left in peace
    _run("UPDATE warehouse SET asked_at = NULL")
    assert await _tended() == "没有要处理的"


async def test_a_refund_whose_callback_was_lost_is_found_by_asking(home: House, prefect_server: RunningServer) -> None:
    # given a cancelled order whose money is on its way, and a callback that never comes
    home.sandbox.world.set_fault("wechat_pay", "callback", "lost")
    order = await placed(home, gateway="wechat_pay")
    await carry(order)
    transact(lambda session: _cancel(session, order))
    assert (await carry(order)).name == "等待退款到账"
    assert _refund_state(order) == RefundStep.PROCESSING.value
    # not before its time
    assert await _tended() == "没有要处理的"
    # when it is time to ask
    _run("UPDATE refund SET look_again_at = now() WHERE order_id = :id", id=order.id)
    assert await _tended() == "跟进退款 1"
    # then the money is there, and the order ends
    assert _refund_state(order) == RefundStep.PAID.value
    await ended(order)
    assert_cancelled_before_it_left(home, order)
    assert await _tended() == "没有要处理的"


async def _tended() -> str:
    state = await tend_stock(return_state=True)
    assert state.is_completed()
    return str(state.name)


def _run(statement: str, **values: object) -> None:
    transact(lambda session: session.connection().execute(text(statement), values))


def _arrives_unheard(session: Session) -> None:
    move(session, "WH-EAST", "TEND-1", Movement.RECEIPT, 2, 0, "test", utcnow(), reason="到货")
    session.info.clear()  # as if the process had died right after its commit


def _cancel(session: Session, order: Order) -> None:
    request_cancellation(session, session.get_one(Order, order.id), "客户不要了", "test", utcnow())


def _refund_state(order: Order) -> str:
    (refund,) = transact(lambda session: refunds_of(session, order.id or 0))
    return refund.state
