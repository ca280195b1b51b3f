"""Money that Shopify keeps: read, refunded once, against the played platform over HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integrations.channels.shopify import Shopify
from integrations.channels.shopify_orders import read_order
from integrations.errors import Later, Refused, Unclear
from integrations.payments import PaymentState, RefundState, RefundWish, Trade
from integrations.payments.shopify import ShopifyMoney
from integrations.sandbox import shopify_orders as shop
from integrations.sandbox.shopify_fulfilment_orders import LOCATION
from integrations.sandbox.shopify_refunds import OUTCOME
from models.intake import IncomingOrder, PlatformStatus
from tests.integrations.sandbox_server import NOON, Running, basket, line, sandbox


def keeper(running: Running, timeout: float = 5.0) -> ShopifyMoney:
    return ShopifyMoney(Shopify(running.settings.shopify, running.client, timeout=timeout))


def place(running: Running, number: int = 0, quantity: int = 1, *, paid: bool = True) -> IncomingOrder:
    """The `number`-th order as the hub takes it in; those that 3 divides are paid through Shopify Payments."""
    order = shop.written(basket(line(quantity=quantity, price=8999)), number, NOON, paid=paid)
    shop.save(running.world, order, NOON)
    parts = [{**part, "lineItems": {"nodes": part["lineItems"]}} for part in order["fulfillmentOrders"]]
    node = {**order, "lineItems": {"nodes": order["lineItems"]}, "fulfillmentOrders": {"nodes": parts}}
    return read_order(node, "s")


def wish(order: IncomingOrder, number: str = "R-1", **changes: Any) -> RefundWish:
    """All of the order, unless something is changed."""
    lines = tuple((item.channel_line_id, item.quantity) for item in order.lines)
    trade, paid = Trade(order.channel_order_id), order.paid_fen
    return replace(RefundWish(number, trade, paid, paid, "CNY", "仓库缺货", lines, order.handles), **changes)


def stored(running: Running, order: IncomingOrder) -> dict[str, Any]:
    known = running.world.get(shop.ORDER, order.channel_order_id)
    assert known is not None
    return known


def paid_back(running: Running) -> dict[str, int]:
    """How often each refund number paid."""
    return running.world.effects("shopify", "refund")


async def test_payment_is_what_the_order_says(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money = keeper(running)

        paid = await money.payment(Trade(place(running, 0).channel_order_id))
        unpaid = await money.payment(Trade(place(running, 3, paid=False).channel_order_id))

        assert (paid.state, paid.paid_fen, paid.currency, paid.paid_at) == (PaymentState.PAID, 8999, "CNY", NOON)
        assert (unpaid.state, unpaid.paid_fen, unpaid.paid_at) == (PaymentState.PENDING, 0, None)
        with pytest.raises(Refused, match="not_found"):
            await money.payment(Trade("gid://shopify/Order/1"))


def test_every_third_order_is_kept_by_shopify_the_others_by_the_sellers_own_providers() -> None:
    orders = [shop.written(basket(), number, NOON, paid=True) for number in range(3)]
    read = []
    for order in orders:
        node = {**order, "lineItems": {"nodes": order["lineItems"]}, "fulfillmentOrders": {"nodes": []}}
        read.append(read_order(node, "s"))

    assert [order.payment_keeper for order in read] == ["", "alipay", "wechat_pay"]
    assert [order.payment_ref for order in read] == ["", "OL820982911946150001", "OL820982911946150002"]
    assert read[0].handles["payments"] == [
        {"id": orders[0]["transactions"][0]["id"], "gateway": "shopify_payments", "fen": 8999}
    ]


@pytest.mark.parametrize(
    "change", [{"gateway": "bogus"}, {"paymentId": None}, {"status": "PENDING"}, {"kind": "AUTHORIZATION"}]
)
def test_money_of_any_other_payment_stays_with_the_channel(change: dict[str, Any]) -> None:
    order = shop.written(basket(), 1, NOON, paid=True)
    order["transactions"][0].update(change)
    node = {**order, "lineItems": {"nodes": order["lineItems"]}, "fulfillmentOrders": {"nodes": []}}

    read = read_order(node, "s")

    assert (read.payment_keeper, read.payment_ref) == ("", "")


async def test_whole_refund_pays_once_and_stops_the_shipping(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        request = money.refund_request(wish(order))
        assert request == money.refund_request(wish(order))
        assert await money.find_refund(request) is None

        first = await money.refund(request)
        again = await money.refund(request)

        assert (first.state, first.refunded_fen) == (RefundState.PAID, 8999)
        assert again == first == await money.find_refund(request)
        assert paid_back(running) == {"R-1": 1}
        known = stored(running, order)
        assert known["displayFinancialStatus"] == "REFUNDED"
        assert [part["status"] for part in known["fulfillmentOrders"]] == ["CLOSED"]
        record = await money.payment(Trade(order.channel_order_id))
        assert (record.state, record.paid_fen) == (PaymentState.REFUNDED, 8999)


async def test_two_part_refunds_pay_each_their_part_and_no_third(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running, quantity=2)
        half = ((order.lines[0].channel_line_id, 1),)

        first = await money.refund(money.refund_request(wish(order, "R-1", amount_fen=8999, lines=half)))
        financial = stored(running, order)["displayFinancialStatus"]
        second = await money.refund(money.refund_request(wish(order, "R-2", amount_fen=8999, lines=half)))
        with pytest.raises(Refused, match="is left"):
            await money.refund(money.refund_request(wish(order, "R-3", amount_fen=1, lines=())))

        assert financial == "PARTIALLY_REFUNDED"
        assert first.refund_id != second.refund_id
        assert paid_back(running) == {"R-1": 1, "R-2": 1, "R-3": 0}
        assert stored(running, order)["totalRefundedSet"]["shopMoney"]["amount"] == "179.98"


async def test_shipped_goods_are_refunded_without_restocking(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running, quantity=2)
        document = stored(running, order)
        item = document["fulfillmentOrders"][0]["lineItems"][0]["id"]
        shop.ship(document, {item: 1}, {"number": "SF1"}, NOON)
        shop.save(running.world, document, NOON)
        shipped = await Shopify(running.settings.shopify, running.client).order(order.channel_order_id)

        request = money.refund_request(wish(shipped))
        answer = await money.refund(request)

        lines = json.loads(request)["variables"]["input"]["refundLineItems"]
        assert [(part["quantity"], part["restockType"]) for part in lines] == [(1, "CANCEL"), (1, "NO_RESTOCK")]
        assert lines[0]["locationId"] == LOCATION
        assert answer.state == RefundState.PAID
        assert stored(running, order)["displayFulfillmentStatus"] == "FULFILLED"


@pytest.mark.parametrize("fault", ["timeout_after", "drop", "http_500_after"])
async def test_refund_that_may_have_happened_is_found_and_a_repeat_pays_nothing(tmp_path: Path, fault: str) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running, timeout=0.5), place(running)
        request = money.refund_request(wish(order))
        running.world.set_fault("shopify", "refundCreate", fault, detail={"seconds": 5})

        with pytest.raises(Unclear):
            await money.refund(request)

        found = await money.find_refund(request)
        assert found is not None
        assert await money.refund(request) == found
        assert paid_back(running) == {"R-1": 1}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("throttled", Later),
        ("http_429", Later),
        ("idempotency_concurrent", Later),
        ("timeout_before", Unclear),
        ("http_500", Unclear),
    ],
)
async def test_refund_that_did_not_happen_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, fault: str, error: type[Exception]
) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running, timeout=0.5), place(running)
        request = money.refund_request(wish(order))
        running.world.set_fault("shopify", "refundCreate", fault, detail={"seconds": 1})

        with pytest.raises(error):
            await money.refund(request)

        assert paid_back(running) == {}
        assert await money.find_refund(request) is None
        assert (await money.refund(request)).state == RefundState.PAID
        assert paid_back(running) == {"R-1": 1}


async def test_same_number_with_another_sum_is_refused_and_pays_nothing(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        await money.refund(money.refund_request(wish(order, amount_fen=100)))

        with pytest.raises(Refused, match="IDEMPOTENCY_KEY_PARAMETER_MISMATCH"):
            await money.refund(money.refund_request(wish(order, amount_fen=200)))

        assert stored(running, order)["totalRefundedSet"]["shopMoney"]["amount"] == "1.00"


async def test_mutation_without_the_directive_is_refused(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        request = money.refund_request(wish(order)).replace(b" @idempotent(key: $key)", b"")

        with pytest.raises(Refused, match="@idempotent directive is required"):
            await money.refund(request)

        assert paid_back(running) == {}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount_fen": 9000}, "bad_amount"),
        ({"amount_fen": 0}, "bad_amount"),
        ({"amount_fen": -1}, "bad_amount"),
        ({"refund_no": "退款1"}, "bad_refund_no"),
        ({"refund_no": "R" * 65}, "bad_refund_no"),
        ({"handles": {}}, "no_payment"),
        ({"amount_fen": 9000, "paid_fen": 9000}, "no_payment"),
    ],
)
async def test_refund_that_cannot_be_right_is_refused_before_it_is_sent(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    async with sandbox(tmp_path) as running:
        with pytest.raises(Refused) as caught:
            keeper(running).refund_request(wish(place(running), **changes))
        assert caught.value.code == code
        assert running.world.counts() == []


async def test_money_that_somebody_else_keeps_or_nobody_received_is_not_paid_by_shopify(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money = keeper(running)
        at_alipay, unknown = place(running, 1), place(running, 3)
        cancelled = place(running, 6)
        document = stored(running, cancelled)
        shop.cancel(document, NOON + timedelta(hours=1))
        shop.save(running.world, document, NOON)

        for order, said in [(at_alipay, "refunded by the provider"), (cancelled, "is left")]:
            with pytest.raises(Refused, match=said):
                await money.refund(money.refund_request(wish(order, f"R-{order.channel_order_id[-1]}")))
        nobody = money.refund_request(wish(unknown, "R-9", trade=Trade("gid://shopify/Order/1")))
        with pytest.raises(Refused, match="does not exist"):
            await money.refund(nobody)

        assert await money.find_refund(nobody) is None
        assert sum(paid_back(running).values()) == 0


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PENDING", RefundState.PROCESSING),
        ("AWAITING_RESPONSE", RefundState.PROCESSING),
        ("FAILURE", RefundState.ABNORMAL),
        ("ERROR", RefundState.ABNORMAL),
    ],
)
async def test_refund_is_over_when_its_money_moved(tmp_path: Path, status: str, state: RefundState) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        running.world.put(OUTCOME, "", {"status": status})
        request = money.refund_request(wish(order))

        answer = await money.refund(request)

        assert (answer.state, answer.refunded_fen) == (state, 8999)
        assert (status in answer.reason) == (state == RefundState.ABNORMAL)
        assert await money.find_refund(request) == answer


async def test_refunded_order_is_read_as_refunded(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        await money.refund(money.refund_request(wish(order)))

        read = await Shopify(running.settings.shopify, running.client).order(order.channel_order_id)

        assert (read.status, read.updated_at > NOON) == (PlatformStatus.REFUNDED, True)
        assert read.handles["current_quantities"] == {order.lines[0].channel_line_id: 0}
