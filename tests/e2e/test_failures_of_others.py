"""How other order systems failed, and that this one does not. The trackers' numbers are those of public issues.

Whole stories of the same kind are elsewhere: rules under many hands in `tests/models/test_stock_at_once.py`, shelves
in `tests/tasks/test_shelves.py`, kills in `test_kill_points*.py`. Here is one story for each failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from integrations.channels.shelves import Listed, Shelf, ShelfChange
from integrations.sandbox import replay, shelves, shopify_orders
from models import expiry, hold, repair, reservation
from models.cancellation import request_cancellation
from models.checks import check
from models.compensation import Cause, Limits, request
from models.database import transact, utcnow
from models.fulfilment import Stage, WaitingOn, fulfilments_of
from models.order import Order
from models.refund import TooMuch, owe_part, refunds_of
from models.settings import settings
from models.stock import StockShort
from tasks.compensating import refund_part
from tasks.intake import pull_channel
from tasks.outside import platforms
from tasks.refunding import pay_back
from tasks.shelves import publish_shelf
from tests.buying import arrive, bought, buy, shelve_goods
from tests.carrying import holds
from tests.database import TemporaryServer
from tests.e2e.kill_worker import KillWorkers
from tests.e2e.money_back import given_back
from tests.e2e.passing_time import let_time_pass
from tests.e2e.told_once import (
    assert_cancelled_before_it_left,
    assert_compensated_once,
    assert_nothing_twice,
    assert_paid_back_once,
    assert_shipped_once,
    balance,
    events,
)
from tests.house import House, house, with_policy
from tests.models.concurrently import in_threads
from tests.orders import CHANNELS, Kind, entered, fulfilment_of, place
from tests.prefect import RunningServer

EAST = "WH-EAST"
BUYERS = 9


@pytest.fixture(scope="module")
def _furnished(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house")) as furnished:
        yield furnished


@pytest.fixture
def home(_furnished: House) -> Iterator[House]:
    """One house for all stories, each with goods of its own."""
    yield _furnished
    _furnished.sandbox.world.clear_faults()


def test_1_two_buyers_do_not_both_get_the_last_one(home: House, workers: KillWorkers) -> None:
    """Row 1. saleor 543, vendure 3508, erpnext 51375, mall 376: they looked whether there is one, and took it later."""
    # given the last one, and buyers on every channel at once
    shelve_goods({EAST: {"LAST-1": 1}})
    ids = [buy(home, {"LAST-1": 1}, CHANNELS[number % 3]) for number in range(BUYERS)]
    # when one worker carries them all together
    assert workers.run(home.environment) == 0
    # then one of them gets it, and the others wait for what comes
    orders = entered(ids)
    shipped = [order for order in orders if fulfilment_of(order).stage == Stage.SHIPPED.value]
    waiting = [order for order in orders if fulfilment_of(order).waiting_on == WaitingOn.BACKORDER.value]
    assert (len(shipped), len(waiting)) == (1, BUYERS - 1)
    assert _counters("LAST-1") == (0, 0)
    assert_shipped_once(home, shipped)


def test_2_two_lines_of_one_sku_do_not_pass_one_by_one(home: House, workers: KillWorkers) -> None:
    """Row 2. medusa 16502: each line was compared with the stock by itself, and both passed."""
    # given two pieces, and an order with two lines of two
    shelve_goods({EAST: {"TWICE-1": 2}})
    (order,) = _worked(home, workers, [buy(home, [("TWICE-1", 2), ("TWICE-1", 2)])])
    # then it waits for all of it, and is promised none of it
    assert fulfilment_of(order).waiting_on == WaitingOn.BACKORDER.value
    assert balance(order) == {}
    assert _counters("TWICE-1") == (2, 0)
    # and with four it ships
    arrive("TWICE-1", 2)
    assert workers.run(home.environment, pull=False) == 0
    assert _counters("TWICE-1") == (0, 0)
    assert fulfilment_of(order).stage == Stage.SHIPPED.value


async def test_3_who_calls_the_rule_directly_and_at_once_takes_no_more_than_there_is(home: House) -> None:
    """Row 3. medusa 16569: the lock was around the rule, and callers that came another way raced."""
    # given three pieces, and eight fulfilments that reserve without any lock of anybody's
    shelve_goods({EAST: {"DIRECT-1": 3}})
    bought = [buy(home, {"DIRECT-1": 1}, "wechat_shop") for _ in range(8)]
    await pull_channel.fn("wechat_shop")
    ids = [fulfilment_of(order).id or 0 for order in entered(bought)]

    def reserve(number: int) -> bool:
        def work(session: Session) -> None:
            reservation.reserve(session, ids[number], EAST, {"DIRECT-1": 1}, "test", utcnow())

        try:
            transact(work)
        except StockShort:
            return False
        return True

    taken = in_threads(8, reserve)
    # then three got one
    assert (taken.count(True), _counters("DIRECT-1")) == (3, (3, 3))

    # and all eight giving back at once, twice, leaves all three on the shelf, promised to nobody
    def release(number: int) -> int:
        return transact(lambda session: reservation.release(session, ids[number % 8], "test", utcnow(), "退回"))

    assert sum(in_threads(16, release)) == 3
    assert _counters("DIRECT-1") == (3, 0)
    assert_nothing_twice(home)


def test_4_counters_that_drift_are_refused_found_and_mended_from_the_ledger(home: House) -> None:
    """Row 4. medusa 12401, vendure 4930: counters went below nothing, were clamped, and nobody knew the truth."""
    shelve_goods({EAST: {"DRIFT-1": 5}})
    # what would be below nothing, or above what is there, is refused by the database itself
    for wrong in ("reserved = -1", "reserved = 6", "on_hand = -1"):
        with pytest.raises(IntegrityError, match="promised_is_there"):
            _run(f"UPDATE stock_item SET {wrong} WHERE sku = 'DRIFT-1'")
    assert _counters("DRIFT-1") == (5, 0)
    # what drifts all the same (a hand in the database) is found
    _run("UPDATE stock_item SET on_hand = 7 WHERE sku = 'DRIFT-1'")
    found = transact(lambda session: check(session, utcnow()))
    assert [violation.code for violation in found if violation.severity == "error"] == ["stock_differs_from_ledger"]
    # and mended from the ledger, with an author
    (finding,) = transact(repair.findings)
    mended = transact(lambda session: repair.mend(session, finding, "仓库主管", utcnow()))
    assert mended is not None and mended.done
    assert _counters("DRIFT-1") == (5, 0)
    assert_nothing_twice(home)


def test_5_paid_without_stock_and_paid_after_the_end_are_both_paid_back_once(home: House, workers: KillWorkers) -> None:
    """Row 5. saleor 14733, FOSSBilling 4130: money was taken for what was gone, and nobody gave it back."""
    # given an order that is paid and can never be filled
    shelve_goods({EAST: {"GONE-1": 0, "LATE-1": 5}})
    with with_policy(when_short="compensate") as environment:
        (never,) = _worked(home, workers, [buy(home, {"GONE-1": 1})], environment)
        _until_over(home, workers, never, environment)
    assert_compensated_once(home, never)
    # and one that nobody had paid, that was cancelled, and is paid only then
    (late,) = _worked(home, workers, [buy(home, {"LATE-1": 1}, "wechat_shop", paid=False)])
    transact(lambda session: _cancel(session, late))
    _until_over(home, workers, late)
    assert (fulfilment_of(late).stage, transact(lambda s: refunds_of(s, late.id or 0))) == (Stage.CANCELLED.value, [])
    replay.pay(home.sandbox.world, "wechat_shop", late.channel_order_id, utcnow() + timedelta(seconds=1))
    for _ in range(2):  # the channel tells it twice
        assert workers.run(home.environment) == 0
        _until_over(home, workers, late)
    # then its money went back, once, and nothing was sent
    assert events(late)["reopened"] == 1
    assert fulfilment_of(late).stage == Stage.CANCELLED.value
    assert_paid_back_once(home, late)
    assert f"{late.order_no}-1" not in home.effects("sf", "create_waybill")
    assert _counters("LATE-1") == (5, 0)


def test_6_unpaid_orders_hold_no_stock_and_promises_end(home: House, workers: KillWorkers) -> None:
    """Row 6. dujiao-next 105: orders that nobody ever paid kept the goods from those who would have."""
    shelve_goods({EAST: {"HELD-1": 1}})
    # given one who orders the last one and does not pay, and one who pays
    unpaid, paid = _worked(
        home, workers, [buy(home, {"HELD-1": 1}, "douyin", paid=False), buy(home, {"HELD-1": 1}, "wechat_shop")]
    )
    # then the one who pays has it
    assert (balance(unpaid), fulfilment_of(unpaid).waiting_on) == ({}, WaitingOn.PAYMENT.value)
    assert fulfilment_of(paid).stage == Stage.SHIPPED.value
    # and what is promised while nobody decides goes back after its time, for the next
    ids = place(home, Kind.COSTLY)
    (costly,) = _worked(home, workers, ids)
    assert (fulfilment_of(costly).stage, balance(costly) != {}) == (Stage.RESERVED.value, True)
    hours = settings().policy.reservation_hours
    for late, ended in ((hours - 1, 0), (hours + 1, 1), (hours + 2, 0)):
        at = utcnow() + timedelta(hours=late)
        assert len(transact(lambda session, at=at: expiry.expire_reservations(session, at))) == ended  # type: ignore[misc]
    assert (fulfilment_of(costly).stage, balance(costly)) == (Stage.RECEIVED.value, {})


async def test_14_a_refund_is_paid_once_and_parts_never_come_to_more_than_was_paid(
    home: House, workers: KillWorkers, prefect_server: RunningServer
) -> None:
    """Row 14. woo-stripe 838, eventyay 1405, woocommerce 26734: refunded twice, and rounded up to more than paid."""
    # given an order of an odd sum that has shipped
    shelve_goods({EAST: {"ODD-1": 9}})
    (order,) = _worked(home, workers, [buy(home, {"ODD-1": 1}, price=10_001)])
    # when thirds of it are granted, each rounded up as people do, and each asked for twice
    for part in ("33.34", "33.34"):
        once = str(uuid4())[:13]
        owed, _ = await refund_part(order.order_no, part, "少发", "客服小张", once)
        again, _ = await refund_part(order.order_no, part, "少发", "客服小张", once)
        assert (again.refund_no, again.state) == (owed.refund_no, "paid")
        await pay_back(owed)  # somebody who had looked before it was paid
    # then the last third is what is left, and not what it would be rounded up to
    with pytest.raises(TooMuch):
        await refund_part(order.order_no, "33.34", "少发", "客服小张", "third")
    await refund_part(order.order_no, "33.33", "少发", "客服小张", "third")
    refunds = transact(lambda session: refunds_of(session, order.id or 0))
    assert [refund.amount_fen for refund in refunds] == [3_334, 3_334, 3_333]
    assert [home.refunds(refund) for refund in refunds] == [1, 1, 1]
    assert given_back(home, order) == order.paid_fen == 10_001
    # and granted at once by four people, what is left goes to one
    (other,) = _worked(home, workers, [buy(home, {"ODD-1": 1}, price=10_001)])

    def grant(number: int) -> bool:
        def work(session: Session) -> None:
            owe_part(session, other.id or 0, 5_001, "少发", f"grant-{number}", "客服", utcnow())

        try:
            transact(work)
        except TooMuch:
            return False
        return True

    assert in_threads(4, grant).count(True) == 1
    # and the database itself lets nobody write more than was paid
    with pytest.raises(IntegrityError):
        _run(f"UPDATE orders SET refunded_fen = paid_fen + 1 WHERE id = {other.id}")
    assert transact(lambda session: session.get_one(Order, other.id)).refunded_fen == 5_001


async def test_15_one_parcel_and_no_stale_number_over_a_new_sale(
    home: House, workers: KillWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 15. Zasilkovna 147, connector-magento 226: two labels for one order; a number pushed over newer sales."""
    # given a carrier that makes the waybill and never says so, and then says that it knows the order already
    shelve_goods({EAST: {"PARCEL-1": 5}})
    home.sandbox.world.set_fault("sf", "create_waybill", "drop")
    (order,) = _worked(home, workers, [buy(home, {"PARCEL-1": 1}, "douyin")])
    _until(home, workers, lambda: fulfilment_of(order).stage == Stage.SHIPPED.value)
    # then there is one parcel
    assert_shipped_once(home, [order])
    # given a shelf that shows too few, and a customer who buys between our look and our change
    shelves.stock_shelves(home.sandbox.world, {"PARCEL-1": 1}, ["shopify"])
    sold: list[str] = []

    def sells() -> None:
        sold.append(buy(home, {"PARCEL-1": 1}))

    _between(monkeypatch, "PARCEL-1", sells)
    for _ in range(4):  # some hundreds of SKUs at a time
        published = await publish_shelf.fn("shopify")
    # then the sale is not written over: of four, one is sold and one is kept back
    assert (len(sold), published.error) == (1, ""), published
    assert shelves.shown(home.sandbox.world, "shopify", "PARCEL-1") == 2
    assert workers.run(home.environment) == 0
    assert _counters("PARCEL-1") == (3, 0)


@pytest.mark.parametrize("ends", ["shipped", "cancelled", "refunded"])
async def test_16_sums_are_checked_and_every_end_gives_back_what_was_promised(
    home: House, workers: KillWorkers, ends: str
) -> None:
    """Row 16. temporalio/reference-app-orders-go: totals grew with each item; a cancelled order kept its stock."""
    sku = f"END-{ends}"
    shelve_goods({EAST: {sku: 10}})
    # given an order of which the platform says, when it is asked, that more was paid than its lines come to
    order = await bought(home, {sku: 3}, gateway="shopify_payments")
    _pays(home, order.channel_order_id, 1)
    assert workers.run(home.environment, pull=False) == 0
    # then it does not go on, and is promised nothing
    assert await holds(order) == ["paid_amount_differs"]
    assert (balance(order), fulfilment_of(order).waiting_on) == ({}, WaitingOn.PERSON.value)
    # and when the sum is right and somebody has looked, it goes on, and comes to its end
    _pays(home, order.channel_order_id, 0)
    transact(lambda session: hold.lift(session, order.id or 0, "财务", utcnow()))
    if ends != "shipped":
        home.sandbox.world.set_fault("sf", "create_waybill", "http_429", 99, detail={"retry_after": 600})
    assert workers.run(home.environment) == 0
    if ends == "cancelled":
        transact(lambda session: _cancel(session, order))
    elif ends == "refunded":
        transact(lambda session: _compensate(session, order))
    if ends != "shipped":
        assert balance(order) == {sku: (0, 3)}
        _until_over(home, workers, order)
    # then its goods are gone, or back on the shelf, and nothing of them is promised
    if ends == "shipped":
        assert_shipped_once(home, [order])
    elif ends == "cancelled":
        assert_cancelled_before_it_left(home, order)
    else:
        assert_compensated_once(home, order)
    assert _counters(sku) == ((7, 0) if ends == "shipped" else (10, 0))


class _Between:
    """A real shelf on which something happens once between look and change of a SKU."""

    def __init__(self, real: Shelf, sku: str, happens: Callable[[], None]) -> None:
        self.name, self.shop = real.name, real.shop
        self._real, self._sku, self._happens = real, sku, happens

    async def listed(self, skus: list[str]) -> list[Listed]:
        return list(await self._real.listed(skus))

    async def show(self, change: ShelfChange) -> None:
        if change.sku == self._sku:
            self._sku = ""
            self._happens()
        await self._real.show(change)


def _between(monkeypatch: pytest.MonkeyPatch, sku: str, happens: Callable[[], None]) -> None:
    real = platforms().shelf("shopify")
    monkeypatch.setitem(platforms().shelves, "shopify", _Between(real, sku, happens))


def _worked(
    home: House, workers: KillWorkers, ids: list[str], environment: dict[str, str] | None = None
) -> list[Order]:
    """The orders under these ids, after a worker has read the channels and carried them as far as they go."""
    assert workers.run({**home.environment, **(environment or {})}) == 0
    return entered(ids)


def _until(
    home: House, workers: KillWorkers, true: Callable[[], bool], environment: dict[str, str] | None = None
) -> None:
    for _ in range(12):
        if true():
            return
        let_time_pass()
        assert workers.run({**home.environment, **(environment or {})}, pull=False) == 0
    pytest.fail("not within twelve rounds")


def _until_over(home: House, workers: KillWorkers, order: Order, environment: dict[str, str] | None = None) -> None:
    _until(home, workers, lambda: Stage(fulfilment_of(order).stage).final, environment)


def _counters(sku: str) -> tuple[int, int]:
    """(on hand, reserved) of a SKU in the sandbox's own warehouse."""
    statement = text("SELECT on_hand, reserved FROM stock_item WHERE sku = :sku AND warehouse = :warehouse")
    row = transact(lambda session: session.connection().execute(statement, {"sku": sku, "warehouse": EAST}).one())
    return row.on_hand, row.reserved


def _run(statement: str) -> None:
    transact(lambda session: session.connection().execute(text(statement)))


def _pays(home: House, order_id: str, more: int) -> None:
    """Shopify says that this was paid: the order's sum and so many fen more."""
    world = home.sandbox.world
    with world.transaction():
        document = world.get(shopify_orders.ORDER, order_id)
        assert document is not None
        fen = int(Decimal(document["totalPriceSet"]["shopMoney"]["amount"]) * 100) + more
        document["totalReceivedSet"] = shopify_orders.money(fen)
        shopify_orders.save(world, document, utcnow())


def _cancel(session: Session, order: Order) -> None:
    request_cancellation(session, session.get_one(Order, order.id), "客户不要了", "test", utcnow())


def _compensate(session: Session, order: Order) -> None:
    (part,) = fulfilments_of(session, order.id or 0)
    limits = Limits.of(settings().policy)
    taken, sentence = request(session, part, Cause.BY_HAND, "发不出来", "test", utcnow(), limits, by_person=True)
    assert taken, sentence
