"""Money that WeChat shop keeps: paid back by after-sales, against the played platform over HTTP."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrations.channels.wechat_orders import read_order
from integrations.channels.wechat_shop import WeChatShop
from integrations.errors import Later, Refused, Unclear
from integrations.payments import PaymentState, RefundAnswer, RefundState, RefundWish, Trade
from integrations.payments.wechat_shop import WeChatShopMoney
from integrations.sandbox import wechat_shop_orders as shop
from integrations.sandbox.wechat_after_sales import AFTER_SALE, OUTCOME, apply_for_refund
from models.intake import IncomingOrder, PlatformStatus
from tests.integrations.sandbox_server import NOON, Running, basket, line, sandbox

TWO = (line("DOG-1", price=8999), line("CAT-2", 2, price=3000))


def keeper(running: Running, timeout: float = 5.0) -> WeChatShopMoney:
    running.world.speed = 40.0  # the buyer agrees after 500 ms
    return WeChatShopMoney(WeChatShop(running.settings.wechat_shop, running.client, timeout=timeout))


def place(running: Running, number: int = 0, *lines: Any, paid: bool = True) -> IncomingOrder:
    order = shop.written(basket(*lines), number, NOON, paid=paid)
    shop.save(running.world, order, NOON)
    return read_order(shop.seen(order), "s")


def wish(order: IncomingOrder, number: str = "R-1", **changes: Any) -> RefundWish:
    """All of the order, unless something is changed."""
    lines = tuple((item.channel_line_id, item.quantity) for item in order.lines)
    trade, paid = Trade(order.channel_order_id), order.paid_fen
    return replace(RefundWish(number, trade, paid, paid, "CNY", "仓库缺货", lines, order.handles), **changes)


async def ended(money: WeChatShopMoney, request: bytes) -> RefundAnswer:
    """The refund once it is no longer being processed."""
    async with asyncio.timeout(10):
        while True:
            found = await money.find_refund(request)
            if found is not None and found.state != RefundState.PROCESSING:
                return found
            await asyncio.sleep(0.05)


def effects(running: Running) -> dict[str, int]:
    return running.world.effects("wechat_shop", "refund")


def refunded(running: Running) -> list[int]:
    """The sums of all after-sales, oldest first."""
    return [found["refund_info"]["amount"] for found in running.world.window(AFTER_SALE)]


async def test_payment_is_what_the_order_says(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money = keeper(running)

        paid = await money.payment(Trade(place(running, 0).channel_order_id))
        unpaid = await money.payment(Trade(place(running, 1, paid=False).channel_order_id))

        assert (paid.state, paid.paid_fen, paid.paid_at) == (PaymentState.PAID, 8999, NOON)
        assert unpaid.state == PaymentState.PENDING
        with pytest.raises(Refused, match="order not found"):
            await money.payment(Trade("1"))


async def test_seller_begins_the_refund_and_the_buyer_gets_it_once(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        request = money.refund_request(wish(order))
        assert request == money.refund_request(wish(order))
        assert await money.find_refund(request) is None

        first = await money.refund(request)
        again = await money.refund(request)
        last = await ended(money, request)

        assert (first.state, last.state) == (RefundState.PROCESSING, RefundState.PAID)
        assert first.refund_id == again.refund_id == last.refund_id
        assert last.refunded_fen == 8999
        assert effects(running) == {"R-1": 1}
        read = await WeChatShop(running.settings.wechat_shop, running.client).order(order.channel_order_id)
        assert read.status == PlatformStatus.REFUNDED


async def test_buyers_application_is_accepted_instead_of_a_second_one(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        [applied] = apply_for_refund(running.world, order.channel_order_id, NOON)
        request = money.refund_request(wish(order))
        assert await money.find_refund(request) is None

        first = await money.refund(request)
        again = await money.refund(request)
        last = await ended(money, request)

        assert first.refund_id == again.refund_id == last.refund_id == applied
        assert (last.state, last.refunded_fen) == (RefundState.PAID, 8999)
        assert effects(running) == {applied: 1}
        assert refunded(running) == [8999]


async def test_refund_of_two_products_is_two_after_sales_and_whole_when_both_are_paid(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running, 0, *TWO)
        request = money.refund_request(wish(order))

        await money.refund(request)
        last = await ended(money, request)

        assert (last.state, last.refunded_fen) == (RefundState.PAID, 8999 + 6000)
        assert effects(running) == {"R-1-1": 1, "R-1-2": 1}


async def test_two_applications_are_accepted_a_minute_apart(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running, 0, *TWO)
        running.world.speed = 60.0
        applied = apply_for_refund(running.world, order.channel_order_id, NOON)
        request = money.refund_request(wish(order))

        with pytest.raises(Later) as caught:
            await money.refund(request)
        assert caught.value.retry_after == 60.0
        assert await money.find_refund(request) is None
        running.world.speed = 100_000.0
        await money.refund(request)

        assert (await ended(money, request)).state == RefundState.PAID
        assert effects(running) == dict.fromkeys(applied, 1)


async def test_part_refunds_of_a_line_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running, 0, line(quantity=2))
        piece = {"amount_fen": 8999, "lines": ((order.lines[0].channel_line_id, 1),)}
        first, second, third = (money.refund_request(wish(order, f"R-{n}", **piece)) for n in (1, 2, 3))

        await money.refund(first)
        assert await money.find_refund(second) is None
        await money.refund(second)
        with pytest.raises(Refused, match="free of after sales"):
            await money.refund(third)

        assert [(await ended(money, request)).refunded_fen for request in (first, second)] == [8999, 8999]
        assert effects(running) == {"R-1": 1, "R-2": 1, "R-3": 0}


@pytest.mark.parametrize("fault", ["timeout_after", "drop", "busy_after"])
@pytest.mark.parametrize("by_buyer", [False, True])
async def test_refund_that_may_have_happened_is_found_and_a_repeat_pays_nothing(
    tmp_path: Path, fault: str, by_buyer: bool
) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running, timeout=0.5), place(running)
        if by_buyer:
            apply_for_refund(running.world, order.channel_order_id, NOON)
        request = money.refund_request(wish(order))
        call = "acceptapply" if by_buyer else "genaftersaleorder"
        running.world.set_fault("wechat_shop", f"aftersale/{call}", fault, detail={"seconds": 5})

        with pytest.raises(Unclear):
            await money.refund(request)

        assert await money.find_refund(request) is not None
        await money.refund(request)
        assert (await ended(money, request)).state == RefundState.PAID
        assert list(effects(running).values()) == [1]
        assert refunded(running) == [8999]


@pytest.mark.parametrize(
    ("fault", "error"),
    [("minute_quota", Later), ("http_503", Later), ("timeout_before", Unclear), ("busy", Unclear)],
)
async def test_refund_that_did_not_happen_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, fault: str, error: type[Exception]
) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running, timeout=0.5), place(running)
        request = money.refund_request(wish(order))
        running.world.set_fault("wechat_shop", "aftersale/genaftersaleorder", fault, detail={"seconds": 1})

        with pytest.raises(error):
            await money.refund(request)

        assert (effects(running), await money.find_refund(request)) == ({}, None)
        await money.refund(request)
        assert effects(running) == {"R-1": 1}


async def test_application_for_another_sum_or_kind_is_left_to_a_person(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money = keeper(running)
        asks_less, returns = place(running, 0, *TWO), place(running, 1)
        apply_for_refund(running.world, asks_less.channel_order_id, NOON, count=1, fen=100)
        apply_for_refund(running.world, returns.channel_order_id, NOON, kind="RETURN")

        for order in (asks_less, returns):
            with pytest.raises(Refused) as caught:
                await money.refund(money.refund_request(wish(order)))
            assert caught.value.code == "after_sale_differs"

        assert effects(running) == {}


async def test_order_that_takes_no_refund_from_the_seller_says_what_a_person_does(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money = keeper(running)
        refuses, cancelled = place(running, 0), place(running, 1)
        stubborn = running.world.get(shop.ORDER, refuses.channel_order_id)
        gone = running.world.get(shop.ORDER, cancelled.channel_order_id)
        assert stubborn is not None and gone is not None
        shop.save(running.world, {**stubborn, "_no_seller_after_sale": True}, NOON)
        shop.cancel(gone, NOON)
        shop.save(running.world, gone, NOON)

        for order in (refuses, cancelled):
            with pytest.raises(Refused, match="在微信小店后台主动退款") as caught:
                await money.refund(money.refund_request(wish(order, f"R-{order.channel_order_id}")))
            assert caught.value.code == "no_after_sale"

        assert sum(effects(running).values()) == 0


@pytest.mark.parametrize(
    ("status", "state"),
    [("PLATFORM_REFUND_FAIL", RefundState.ABNORMAL), ("USER_CANCELD", RefundState.CLOSED)],
)
async def test_refund_that_ends_without_paying_says_so(tmp_path: Path, status: str, state: RefundState) -> None:
    async with sandbox(tmp_path) as running:
        money, order = keeper(running), place(running)
        running.world.put(OUTCOME, "", {"status": status})
        request = money.refund_request(wish(order))
        await money.refund(request)

        last = await ended(money, request)

        assert (last.state, last.refunded_fen, status in last.reason) == (state, 0, True)


async def test_sums_are_split_by_what_each_line_cost(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        money = keeper(running)
        order = place(running, 0, line("A", price=1), line("B", price=1000), line("C", 3, price=1000))
        whole = wish(order)

        split = {
            fen: sum(item["amount"] for item in _items(money.refund_request(replace(whole, amount_fen=fen))))
            for fen in (1, 2, 1999, 4000, 4001)
        }

        assert split == {fen: fen for fen in split}
        nearly = _items(money.refund_request(replace(whole, amount_fen=4000)))
        assert all(item["amount"] <= paid for item, paid in zip(nearly, (1, 1000, 3000), strict=True))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount_fen": 9000}, "bad_amount"),
        ({"amount_fen": 0}, "bad_amount"),
        ({"refund_no": ""}, "bad_refund_no"),
        ({"lines": ()}, "no_lines"),
        ({"lines": (("1:1", 1),)}, "unknown_line"),
        ({"handles": {}}, "unknown_line"),
    ],
)
async def test_refund_that_cannot_be_right_is_refused_before_it_is_sent(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    async with sandbox(tmp_path) as running:
        with pytest.raises(Refused) as caught:
            keeper(running).refund_request(wish(place(running), **changes))
        assert caught.value.code == code


def _items(request: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(request)["items"]
    return found
