"""Waiting for goods: told once until when, first paid first served, and free to cancel by link."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from sqlmodel import Session, select

from flows.cancel_order import cancel_order
from integrations import http
from models import counting, review
from models.backorder import PACKING, Backorder, ExpectedReceipt
from models.compensation import Limits
from models.database import transact, utcnow
from models.fulfilment import Stage, WaitingOn
from models.order import Order
from models.refund import refunds_of
from models.review import Verdict
from models.settings import settings
from models.wording import TZ
from tests.buying import arrive, bought, shelve_goods
from tests.carrying import carry, case_of, deploy_reviews, ended
from tests.database import TemporaryServer
from tests.e2e.money_back import given_back
from tests.e2e.told_once import (
    assert_cancelled_before_it_left,
    assert_compensated_once,
    assert_nothing_twice,
    balance,
    events,
)
from tests.house import House, house, with_policy
from tests.orders import fulfilment_of
from tests.prefect import RunningServer

PHONE = "16000006978"
WAITS = "等待到货"


@pytest.fixture(scope="module")
def _furnished(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house")) as furnished:
        yield furnished


@pytest.fixture
def home(_furnished: House) -> Iterator[House]:
    """A house with shelves of its own."""
    yield _furnished
    _furnished.sandbox.world.clear_faults()


async def test_the_customer_is_told_once_until_when(home: House, prefect_server: RunningServer) -> None:
    # given an order for more than there is, and goods on their way
    shelve_goods({"WH-EAST": {"WAIT-1": 1}})
    day = utcnow().astimezone(TZ).date() + timedelta(days=4)
    transact(lambda session: _expect(session, "WAIT-1", day))
    order = await bought(home, {"WAIT-1": 3})
    # when it is carried, however often
    assert [(await carry(order)).name for _ in range(3)] == [WAITS] * 3
    # then it waits, promised nothing, and its customer was told once, with the date and a link
    assert fulfilment_of(order).waiting_on == WaitingOn.BACKORDER.value
    assert balance(order) == {}
    assert (events(order)["backordered"], events(order)["notified"]) == (1, 1)
    assert home.effects("aliyun", "SendSms")[f"{order.order_no}-1-backorder"] == 1
    assert f"{day + PACKING:%m月%d日}" in _message(home, order)
    async with http.client(trust_env=False) as customer:
        assert (await customer.get(_link(home, order))).status_code == 200
    # and goods that come later than told change nothing of what it was told
    transact(lambda session: _expect(session, "WAIT-1", day + timedelta(days=9)))
    await carry(order)
    assert events(order)["notified"] == 1
    assert_nothing_twice(home)


async def test_goods_that_arrive_go_to_who_paid_first(home: House, prefect_server: RunningServer) -> None:
    # given two who wait for the same, the one who paid later seen first
    shelve_goods({"WH-EAST": {"WAIT-2": 0}})
    late = await bought(home, {"WAIT-2": 1})
    early = await bought(home, {"WAIT-2": 2}, at=utcnow() - timedelta(minutes=2))
    assert [(await carry(order)).name for order in (late, early)] == [WAITS] * 2
    # when enough for the first comes, and the later one is looked at first
    arrive("WAIT-2", 2)
    assert (await carry(late)).name == WAITS
    # then the first is served
    assert (balance(early), balance(late)) == ({"WAIT-2": (0, 2)}, {})
    assert (await carry(early)).name == "已发货"
    # and the later one when there is more
    arrive("WAIT-2", 1)
    assert (fulfilment_of(late).ready_at or utcnow()) <= utcnow()
    assert (await carry(late)).name == "已发货"
    assert [events(order)["shipped"] for order in (early, late)] == [1, 1]
    assert_nothing_twice(home)


async def test_who_comes_when_others_wait_does_not_overtake_them(home: House, prefect_server: RunningServer) -> None:
    shelve_goods({"WH-EAST": {"WAIT-3": 0}})
    early = await bought(home, {"WAIT-3": 1}, "wechat_shop", at=utcnow() - timedelta(minutes=2))
    assert (await carry(early)).name == WAITS
    # given goods that came, and a new order that is at work before anybody has given them out
    new = await bought(home, {"WAIT-3": 1}, "douyin")
    arrive("WAIT-3", 1)
    assert (await carry(new)).name == WAITS
    assert (balance(early), balance(new)) == ({"WAIT-3": (0, 1)}, {})
    assert (await carry(early)).name == "已发货"


@pytest.mark.parametrize("channel", ["shopify", "wechat_shop"])
async def test_the_customer_cancels_by_the_link_and_gets_the_money_back(
    home: House, prefect_server: RunningServer, channel: str
) -> None:
    # given one who waits, and the next
    sku = f"WAIT-4-{channel}"
    shelve_goods({"WH-EAST": {sku: 0}})
    order = await bought(home, {sku: 1}, channel, at=utcnow() - timedelta(minutes=2))
    following = await bought(home, {sku: 1}, channel)
    assert [(await carry(one)).name for one in (order, following)] == [WAITS] * 2
    # when the first opens the link of the message, and presses the button
    link = _link(home, order)
    async with http.client(trust_env=False) as customer:
        token = re.search(r'name="csrf" value="([^"]+)"', (await customer.get(f"{link}/cancel")).text)
        assert token is not None
        form, origin = {"csrf": token[1]}, {"origin": link.partition("/o/")[0]}
        pressed = [(await customer.post(f"{link}/cancel", data=form, headers=origin)).status_code for _ in range(2)]
    assert pressed == [303, 409]
    await ended(order)
    # then the money is back, with one more message and no coupon
    assert fulfilment_of(order).stage == Stage.CANCELLED.value
    (refund,) = transact(lambda session: refunds_of(session, order.id or 0))
    assert (refund.amount_fen, home.refunds(refund)) == (order.paid_fen, 1)
    assert home.effects("aliyun", "SendSms")[f"{order.order_no}-1-cancelled"] == 1
    assert events(order)["cancel_requested"] == events(order)["cancelled"] == 1
    assert events(order)["coupon_issued"] == 0
    # and what arrives goes to the next
    arrive(sku, 1)
    assert (await carry(following)).name == "已发货"
    assert_nothing_twice(home)


async def test_where_nothing_more_is_coming_it_is_paid_back_at_once(home: House, prefect_server: RunningServer) -> None:
    shelve_goods({"WH-EAST": {"WAIT-5": 1}})
    order = await bought(home, {"WAIT-5": 2})
    with with_policy(when_short="compensate", most_compensations_an_hour=99):
        await ended(order)
    assert_compensated_once(home, order)
    assert (events(order)["backordered"], balance(order)) == (0, {})
    assert transact(lambda session: _queue_of(session, order)) == []


async def test_cancelled_while_it_waits_it_leaves_no_place_in_the_queue(
    home: House, prefect_server: RunningServer
) -> None:
    shelve_goods({"WH-EAST": {"WAIT-6": 0}})
    order = await bought(home, {"WAIT-6": 1}, paid=False)
    # an order that nobody has paid waits for its payment and for no goods
    assert (await carry(order)).name == "等待付款"
    await cancel_order(order.order_no, "不要了", "客服")
    await ended(order)
    assert transact(lambda session: _queue_of(session, order)) == []
    assert_cancelled_before_it_left(home, order)


def _expect(session: Session, sku: str, day: date) -> None:
    session.add(ExpectedReceipt(warehouse="WH-EAST", sku=sku, quantity=50, expected_on=day))


def _message(home: House, order: Order) -> str:
    """The text of the message that told the customer to wait."""
    day = f"{utcnow().astimezone(TZ):%Y%m%d}"
    found = [m for m in home.sandbox.world.window(f"sms/{PHONE}/{day}") if m["OutId"].startswith(order.order_no)]
    (text,) = [str(message["Content"]) for message in found if message["OutId"].endswith("-backorder")]
    return text


def _link(home: House, order: Order) -> str:
    found = re.search(r"http://[^\"]+/o/[A-Za-z0-9_-]+", _message(home, order))
    assert found is not None
    return found[0]


def _queue_of(session: Session, order: Order) -> list[Backorder]:
    return list(session.exec(select(Backorder).where(Backorder.order_id == order.id, Backorder.state == "waiting")))


async def test_an_order_rejected_while_its_goods_are_gone_is_cancelled_and_waits_for_none(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order under review, whose goods a count takes away
    await deploy_reviews()
    shelve_goods({"WH-EAST": {"COSTLY-1": 8}})
    order = await bought(home, {"COSTLY-1": 8}, gateway="alipay")
    assert (await carry(order)).name == "等待审核"
    limits = Limits.of(settings().policy)
    transact(lambda s: counting.count(s, "WH-EAST", "COSTLY-1", 1, "盘点", "李强", utcnow(), limits))
    assert (await carry(order)).name == "等待到货"
    # when the reviewer rejects it
    case = await case_of(order)
    transact(lambda s: review.decide(s, case.id or 0, Verdict.REJECT, "王敏", "不行", utcnow()))
    await ended(order)
    # then the money is back, long before goods arrive
    assert fulfilment_of(order).stage == Stage.CANCELLED.value
    assert given_back(home, order) == order.paid_fen
