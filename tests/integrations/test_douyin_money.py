"""Money that Douyin shop keeps: paid back by accepting after-sales, against the played platform over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrations.channels.douyin import Douyin
from integrations.channels.douyin_orders import read_order
from integrations.errors import Later, Refused, Unclear
from integrations.payments import PaymentState, RefundAnswer, RefundState, RefundWish, Trade
from integrations.payments.douyin import DouyinMoney
from integrations.sandbox import douyin_orders as shop
from integrations.sandbox.douyin_after_sales import AFTER_SALE, OUTCOME, RETURN, apply_for_refund, withdraw
from models.intake import IncomingOrder, PlatformStatus
from tests.integrations.sandbox_server import NOON, Running, basket, line, sandbox

TWO = (line("DOG-1", price=8999), line("CAT-2", 2, price=3000))


def keeper(running: Running, timeout: float = 5.0) -> DouyinMoney:
    running.world.speed = 20.0  # money arrives after 500 ms
    return DouyinMoney(Douyin(running.settings.douyin, running.client, timeout=timeout))


def place(running: Running, number: int = 0, *lines: Any, paid: bool = True) -> IncomingOrder:
    order = shop.written(basket(*lines), number, NOON, paid=paid)
    shop.save(running.world, order, NOON)
    return read_order(shop.seen(order), "s")


def wish(order: IncomingOrder, number: str = "R-1", **changes: Any) -> RefundWish:
    """All of the order, unless something is changed."""
    lines = tuple((item.channel_line_id, item.quantity) for item in order.lines)
    trade, paid = Trade(order.channel_order_id), order.paid_fen
    return replace(RefundWish(number, trade, paid, paid, "CNY", "仓库缺货", lines, order.handles), **changes)


async def ended(money: DouyinMoney, request: bytes) -> RefundAnswer:
    """The refund once it is no longer being processed."""
    async with asyncio.timeout(10):
        while True:
            found = await money.find_refund(request)
            if found is not None and found.state != RefundState.PROCESSING:
                return found
            await asyncio.sleep(0.05)


def effects(running: Running) -> dict[str, int]:
    return running.world.effects("douyin", "refund")


async def test_payment_is_what_the_order_says(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money = keeper(running)

        paid = await money.payment(Trade(place(running, 0).channel_order_id))
        unpaid = await money.payment(Trade(place(running, 1, paid=False).channel_order_id))

        assert (paid.state, paid.paid_fen, paid.paid_at) == (PaymentState.PAID, 8999, NOON)
        assert unpaid.state == PaymentState.PENDING
        with pytest.raises(Refused, match="订单不存在"):
            await money.payment(Trade("1"))


@pytest.mark.parametrize("lines", [(line(),), TWO])
async def test_buyers_applications_are_accepted_once(tmp_path: Path, lines: tuple[Any, ...]) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running, 0, *lines)
        applied = apply_for_refund(running.world, order.channel_order_id, NOON)
        request = money.refund_request(wish(order))
        assert request == money.refund_request(wish(order))
        assert await money.find_refund(request) is None

        first = await money.refund(request)
        again = await money.refund(request)
        last = await ended(money, request)

        assert (first.state, last.state, last.refunded_fen) == (
            RefundState.PROCESSING,
            RefundState.PAID,
            order.paid_fen,
        )
        assert first.refund_id == again.refund_id == last.refund_id == ",".join(applied)
        assert effects(running) == dict.fromkeys(applied, 1)
        assert (await Douyin(running.settings.douyin, running.client).order(order.channel_order_id)).status == (
            PlatformStatus.REFUNDED
        )


async def test_shipped_order_is_refunded_by_the_other_operation(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        document = running.world.get(shop.ORDER, order.channel_order_id)
        assert document is not None
        shop.ship(document, shop.remaining(document), "shunfeng", "SF1", NOON)
        shop.save(running.world, document, NOON)
        [applied] = apply_for_refund(running.world, order.channel_order_id, NOON)

        await money.refund(money.refund_request(wish(order)))

        assert effects(running) == {applied: 1}


async def test_without_an_application_the_refusal_says_what_a_person_does(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)

        with pytest.raises(Refused, match="在抖店后台主动退款") as caught:
            await money.refund(money.refund_request(wish(order)))

        assert caught.value.code == "no_after_sale"
        assert running.world.size(AFTER_SALE) == 0


async def test_refund_by_a_person_is_not_taken_for_ours_and_not_paid_again(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        [applied] = apply_for_refund(running.world, order.channel_order_id, NOON)
        known = running.world.get(AFTER_SALE, applied)
        assert known is not None
        known["info"] |= {"after_sale_status": 12, "refund_status": 3}
        running.world.put(AFTER_SALE, applied, known)
        request = money.refund_request(wish(order))

        assert await money.find_refund(request) is None
        with pytest.raises(Refused) as caught:
            await money.refund(request)

        assert caught.value.code == "refunded_elsewhere"
        assert effects(running) == {}


@pytest.mark.parametrize("changes", [{"fen": 100}, {"kind": RETURN}])
async def test_application_for_another_sum_or_kind_is_left_to_a_person(tmp_path: Path, changes: dict[str, int]) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running, 0, *TWO)
        apply_for_refund(running.world, order.channel_order_id, NOON, **changes)

        with pytest.raises(Refused) as caught:
            await money.refund(money.refund_request(wish(order)))

        assert caught.value.code == "after_sale_differs"
        assert effects(running) == {}
        assert all(not found["remarks"] for found in running.world.window(AFTER_SALE))


async def test_one_application_serves_one_refund(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        apply_for_refund(running.world, order.channel_order_id, NOON)
        await money.refund(money.refund_request(wish(order, "R-1")))
        second = money.refund_request(wish(order, "R-2"))

        assert await money.find_refund(second) is None
        with pytest.raises(Refused, match="no_after_sale"):
            await money.refund(second)

        assert list(effects(running).values()) == [1]


@pytest.mark.parametrize("call", ["afterSale.addOrderRemark", "afterSale.operate"])
@pytest.mark.parametrize("fault", ["timeout_after", "drop", "service_error_after"])
async def test_refund_that_stopped_on_the_way_is_finished_by_a_repeat(tmp_path: Path, call: str, fault: str) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running, timeout=0.5), place(running)
        [applied] = apply_for_refund(running.world, order.channel_order_id, NOON)
        request = money.refund_request(wish(order))
        running.world.set_fault("douyin", call, fault, detail={"seconds": 5})

        with pytest.raises(Unclear):
            await money.refund(request)

        found = await money.find_refund(request)
        assert (found is not None) == (call == "afterSale.operate")
        await money.refund(request)
        assert (await ended(money, request)).state == RefundState.PAID
        assert effects(running) == {applied: 1}
        known = running.world.get(AFTER_SALE, applied)
        assert known is not None
        assert known["remarks"] == ["仓库缺货 [R-1]"]


@pytest.mark.parametrize(("fault", "error"), [("rate_limited", Later), ("http_429", Later), ("service_error", Unclear)])
async def test_refund_that_did_not_happen_can_be_repeated(tmp_path: Path, fault: str, error: type[Exception]) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        [applied] = apply_for_refund(running.world, order.channel_order_id, NOON)
        request = money.refund_request(wish(order))
        running.world.set_fault("douyin", "afterSale.operate", fault)

        with pytest.raises(error):
            await money.refund(request)

        assert (effects(running), await money.find_refund(request)) == ({}, None)
        await money.refund(request)
        assert effects(running) == {applied: 1}


@pytest.mark.parametrize("refund_status", [3, 4])
async def test_refund_is_over_when_the_money_moved_or_could_not(tmp_path: Path, refund_status: int) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        apply_for_refund(running.world, order.channel_order_id, NOON)
        running.world.put(OUTCOME, "", {"refund_status": refund_status})
        request = money.refund_request(wish(order))
        await money.refund(request)

        last = await ended(money, request)

        wanted = (RefundState.PAID, 8999) if refund_status == 3 else (RefundState.ABNORMAL, 0)
        assert (last.state, last.refunded_fen) == wanted
        assert bool(last.reason) == (refund_status == 4)


async def test_application_that_is_withdrawn_pays_nothing(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        [applied] = apply_for_refund(running.world, order.channel_order_id, NOON)
        withdraw(running.world, applied, NOON)

        with pytest.raises(Refused, match="no_after_sale"):
            await money.refund(money.refund_request(wish(order)))

        assert effects(running) == {}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount_fen": 9000}, "bad_amount"),
        ({"refund_no": "R 1"}, "bad_refund_no"),
        ({"lines": ()}, "no_lines"),
        ({"lines": (("1", 1),)}, "unknown_line"),
    ],
)
async def test_refund_that_cannot_be_right_is_refused_before_it_is_sent(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    async with sandbox(tmp_path) as running:
        with pytest.raises(Refused) as caught:
            keeper(running).refund_request(wish(place(running), **changes))
        assert caught.value.code == code
