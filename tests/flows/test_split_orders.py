"""Orders that no warehouse has all of: a part for each of two, with parcels, checks and refunds of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import select

from integrations.sandbox import warehouse
from models.compensation import compensations_of
from models.database import transact, utcnow
from models.fulfilment import Stage, WaitingOn
from models.order import Order, lines_of
from models.refund import Refund, refunds_of
from models.review import ReviewCase, Verdict, decide
from tasks.intake import pull_channel
from tests.buying import SOUTH, bought, carry_parts, parts_of, shelve_goods
from tests.carrying import deploy_reviews, review_runs
from tests.database import TemporaryServer
from tests.e2e.money_back import given_back
from tests.e2e.passing_time import let_time_pass
from tests.e2e.told_once import assert_compensated_once, assert_nothing_twice, assert_shipped_once, events
from tests.house import House, house
from tests.orders import CHANNELS
from tests.prefect import RunningServer
from tests.stock_checks import ASKED, check_of, says

EAST = "WH-EAST"
WAITS = "等待仓库核对"


@pytest.fixture(scope="module")
def _asking(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house"), overrides={"policy": ASKED}) as furnished:
        warehouse.behave(furnished.sandbox.world, silent=True)
        yield furnished


@pytest.fixture
def home(_asking: House) -> Iterator[House]:
    """A house with two warehouses, each asked about its part of an order."""
    shelve_goods({EAST: {"BED-9": 1_000}, SOUTH: {"BOWL-9": 1_000}})
    yield _asking
    _asking.sandbox.world.clear_faults()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_two_warehouses_send_two_parcels_and_the_channel_hears_of_both(
    home: House, prefect_server: RunningServer, channel: str
) -> None:
    order = await _split(home, channel)
    # when both find their part, one after the other
    for part in parts_of(order):
        assert says(order, True, part)[0] is True
        states = await carry_parts(order)
        assert "已发货" in [state.name for state in states]
    # then each part has left once, and the customer has heard of both
    assert [part.stage for part in parts_of(order)] == [Stage.SHIPPED.value] * 2
    assert_shipped_once(home, [order])
    assert events(order)["split"] == 1
    # and the channel's own word of it changes nothing
    await pull_channel.fn(channel)
    await carry_parts(order)
    assert_shipped_once(home, [order])


async def test_pieces_of_one_line_come_from_two_warehouses(home: House, prefect_server: RunningServer) -> None:
    shelve_goods({EAST: {"TOY-9": 1}, SOUTH: {"TOY-9": 2}})
    order = await bought(home, {"TOY-9": 3})
    await carry_parts(order)
    assert sorted(part.warehouse for part in parts_of(order)) == [EAST, SOUTH]
    for part in parts_of(order):
        says(order, True, part)
    await carry_parts(order)
    assert_shipped_once(home, [order])


async def test_the_sum_is_asked_about_once_for_both_parts(home: House, prefect_server: RunningServer) -> None:
    # given an order above the sum from which a nutritionist decides
    await deploy_reviews()
    order = await bought(home, {"BED-9": 1, "BOWL-9": 1}, price=30_000)
    states = await carry_parts(order)
    assert {state.name for state in states} == {"等待审核"}
    assert [part.waiting_on for part in parts_of(order)] == [WaitingOn.REVIEW.value] * 2
    # then there is one case and one run
    (case,) = transact(lambda session: list(session.exec(select(ReviewCase).where(ReviewCase.order_id == order.id))))
    assert len(review_runs(prefect_server, order)) == 1
    # and one answer lets both go on
    said = transact(lambda session: decide(session, case.id or 0, Verdict.APPROVE, "王敏", "可以", utcnow()))
    assert said[0] is True
    assert {state.name for state in await carry_parts(order)} == {WAITS}
    assert [part.waiting_on for part in parts_of(order)] == [WaitingOn.STOCK_CHECK.value] * 2
    for part in parts_of(order):
        says(order, True, part)
    await carry_parts(order)
    assert events(order)["review_opened"] == 1
    assert_shipped_once(home, [order])


@pytest.mark.parametrize(
    ("channel", "gateway"), [("shopify", "alipay"), ("shopify", "shopify_payments"), ("wechat_shop", "alipay")]
)
async def test_only_the_part_that_is_missing_is_paid_back_and_the_other_one_comes(
    home: House, prefect_server: RunningServer, channel: str, gateway: str
) -> None:
    # given two parts, one of which is not there
    order = await _split(home, channel, gateway=gateway)
    bed, bowls = sorted(parts_of(order), key=lambda part: part.warehouse)
    assert says(order, False, bowls)[0] is True
    await _until_paid(order, 1)
    # then its own lines are paid back, and nothing else
    worth = transact(lambda session: {line.sku: line.paid_fen for line in lines_of(session, order.id or 0)})
    (refund,) = _refunds(order)
    assert (refund.fulfilment_id, refund.amount_fen) == (bowls.id, worth["BOWL-9"])
    assert given_back(home, order) == _order(order).refunded_fen == worth["BOWL-9"]
    assert home.refunds(refund) == 1
    # and the other part ships, also after the channel has been read again
    await pull_channel.fn(channel)
    assert says(order, True, bed)[0] is True
    await carry_parts(order)
    assert {part.warehouse: part.stage for part in parts_of(order)} == {
        EAST: Stage.SHIPPED.value, SOUTH: Stage.REFUNDED.value,
    }  # fmt: skip
    assert given_back(home, order) == worth["BOWL-9"]
    assert len(transact(lambda session: compensations_of(session, order.id or 0))) == 1
    assert (events(order)["shipped"], events(order)["refunded"], events(order)["cancelled"]) == (1, 1, 0)
    assert_nothing_twice(home)


@pytest.mark.parametrize("gateway", ["alipay", "wechat_pay", "shopify_payments"])
async def test_the_last_part_that_is_missing_takes_all_that_is_left(
    home: House, prefect_server: RunningServer, gateway: str
) -> None:
    # given one line of an odd sum, cut between two warehouses
    sku = f"ODD-{gateway}"
    shelve_goods({EAST: {sku: 1}, SOUTH: {sku: 2}})
    order = await bought(home, {sku: 3}, price=3_333, discount=1, gateway=gateway)
    await carry_parts(order)
    one, two = sorted(parts_of(order), key=lambda part: part.warehouse)
    # when neither is there, one after the other
    for count, part in enumerate((one, two), 1):
        assert says(order, False, part)[0] is True
        await _until_paid(order, count)
    # then together they are what was paid, to the fen
    first, second = _refunds(order)
    assert (first.amount_fen, second.amount_fen) in ((3_332, 6_666), (3_333, 6_665))
    assert given_back(home, order) == order.paid_fen == 9_998
    assert_compensated_once(home, order)


async def _split(home: House, channel: str, gateway: str = "alipay") -> Order:
    """An order of which each warehouse has one line, in two parts that wait for their stock checks."""
    order = await bought(home, {"BED-9": 1, "BOWL-9": 2}, channel, gateway=gateway)
    await carry_parts(order)
    parts = parts_of(order)
    assert sorted(part.warehouse for part in parts) == [EAST, SOUTH]
    assert [part.waiting_on for part in parts] == [WaitingOn.STOCK_CHECK.value] * 2
    assert sorted(sku for part in parts for sku in check_of(order, part).skus) == ["BED-9", "BOWL-9"]
    return order


async def _until_paid(order: Order, count: int) -> None:
    """Carry the order until so many of its parts are paid back and ended."""
    for _ in range(20):
        await carry_parts(order)
        if [part.stage for part in parts_of(order)].count(Stage.REFUNDED.value) == count:
            return
        let_time_pass()
    pytest.fail(f"{order.order_no}: {[(part.waiting_on, part.waiting_why) for part in parts_of(order)]}")


def _refunds(order: Order) -> list[Refund]:
    return transact(lambda session: refunds_of(session, order.id or 0))


def _order(order: Order) -> Order:
    return transact(lambda session: session.get_one(Order, order.id))
