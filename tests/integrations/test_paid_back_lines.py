"""Lines that were paid back, changed addresses and prices: WeChat shop and Douyin, after the fact."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integrations.channels import Channel, Parcel
from integrations.channels.douyin import Douyin
from integrations.channels.wechat_shop import WeChatShop
from integrations.sandbox import douyin_after_sales, douyin_orders, wechat_after_sales, wechat_shop_orders
from models.intake import IncomingOrder, PlatformStatus, Receiver
from tests.integrations.sandbox_server import NOON, Running, basket, line, sandbox

SHOPS: dict[str, Any] = {"wechat_shop": wechat_shop_orders, "douyin": douyin_orders}
AFTER_SALES: dict[str, Any] = {"wechat_shop": wechat_after_sales, "douyin": douyin_after_sales}
LATER = NOON + timedelta(minutes=5)
ELSEWHERE = Receiver("钱一", "13900001111", "广东省", "深圳市", "南山区", "科技园一路2号")


def channel(running: Running, name: str) -> Channel:
    if name == "douyin":
        return Douyin(running.settings.douyin, running.client)
    return WeChatShop(running.settings.wechat_shop, running.client)


def place(running: Running, name: str, *, paid: bool = True) -> str:
    """An order of one DOG-DRY-1 for 89.99 and three CAT-2 for 30.00 each."""
    order = SHOPS[name].written(basket(line(), line("CAT-2", 3, 3000)), 0, NOON, paid=paid)
    SHOPS[name].save(running.world, order, NOON)
    return str(order["order_id"])


def cancelled(order: IncomingOrder) -> list[int]:
    return [item.cancelled_quantity for item in order.lines]


def parcel(order: IncomingOrder, *quantities: int, waybill: str = "SF1") -> Parcel:
    lines = zip(order.lines, quantities, strict=True)
    return Parcel(waybill, "sf_express", "", tuple((item.channel_line_id, n) for item, n in lines if n))


# on both ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHOPS)
async def test_line_that_was_paid_back_is_cancelled_and_the_order_goes_on(tmp_path: Path, name: str) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, name), place(running, name)
        before = await shop.order(order_id)
        AFTER_SALES[name].refund_part(running.world, order_id, before.lines[0].channel_line_id, LATER)

        after = await shop.order(order_id)

        assert (cancelled(before), before.refunded_fen) == ([0, 0], 0)
        assert (cancelled(after), after.refunded_fen) == ([1, 0], 8999)
        assert (after.status, after.updated_at) == (PlatformStatus.TO_SHIP, LATER)
        assert [item.quantity for item in after.lines] == [1, 3]  # as it was bought
        assert after.paid_fen == before.paid_fen == 17_999
        [[read]] = [page async for page in shop.orders_updated(LATER, LATER + timedelta(seconds=1))]
        assert read == after


@pytest.mark.parametrize("name", SHOPS)
async def test_every_line_paid_back_ends_the_order(tmp_path: Path, name: str) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, name), place(running, name)
        for item in (await shop.order(order_id)).lines:
            AFTER_SALES[name].refund_part(running.world, order_id, item.channel_line_id, LATER)

        order = await shop.order(order_id)

        assert (cancelled(order), order.refunded_fen, order.status) == ([1, 3], 17_999, PlatformStatus.REFUNDED)


@pytest.mark.parametrize("name", SHOPS)
async def test_order_cancelled_as_a_whole_says_so_of_every_line(tmp_path: Path, name: str) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, name), place(running, name)
        document = running.world.get(SHOPS[name].ORDER, order_id)
        assert document is not None
        SHOPS[name].cancel(document, LATER)
        SHOPS[name].save(running.world, document, LATER)

        order = await shop.order(order_id)

        assert (cancelled(order), order.refunded_fen, order.status) == ([1, 3], 17_999, PlatformStatus.REFUNDED)


@pytest.mark.parametrize("name", SHOPS)
async def test_what_is_left_after_a_refund_ships_the_whole_order(tmp_path: Path, name: str) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, name), place(running, name)
        first = (await shop.order(order_id)).lines[0].channel_line_id
        AFTER_SALES[name].refund_part(running.world, order_id, first, LATER)
        order = await shop.order(order_id)

        await shop.tell_shipped(shop.shipping_notice(order_id, order.handles, parcel(order, 0, 3)))

        assert (await shop.order(order_id)).status == PlatformStatus.SHIPPED
        [counted] = running.world.counts()
        assert counted["operation"] in ("order.logisticsAdd", "order/delivery/send")
        assert (counted["deliveries"], counted["effects"]) == (1, 1)


@pytest.mark.parametrize("name", SHOPS)
async def test_refund_of_all_that_is_not_shipped_leaves_a_shipped_order(tmp_path: Path, name: str) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, name), place(running, name)
        order = await shop.order(order_id)
        await shop.tell_shipped(shop.shipping_notice(order_id, order.handles, parcel(order, 1, 0)))
        assert (await shop.order(order_id)).status == PlatformStatus.PART_SHIPPED
        AFTER_SALES[name].refund_part(running.world, order_id, order.lines[1].channel_line_id, LATER)

        order = await shop.order(order_id)

        assert (cancelled(order), order.refunded_fen, order.status) == ([0, 3], 9000, PlatformStatus.SHIPPED)


@pytest.mark.parametrize("name", SHOPS)
async def test_new_address_is_masked_and_clear_by_the_call_that_counts(tmp_path: Path, name: str) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, name), place(running, name)
        document = running.world.get(SHOPS[name].ORDER, order_id)
        assert document is not None
        SHOPS[name].change_address(document, ELSEWHERE)
        SHOPS[name].save(running.world, document, LATER)

        order = await shop.order(order_id)

        assert order.updated_at == LATER
        assert order.receiver is not None
        assert (order.receiver.name, order.receiver.district, order.receiver.masked) == ("钱*", "南山区", True)
        assert await shop.receiver(order_id) == ELSEWHERE


@pytest.mark.parametrize("name", SHOPS)
async def test_price_of_an_unpaid_order_can_be_changed_and_of_a_paid_one_not(tmp_path: Path, name: str) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, name), place(running, name, paid=False)
        document = running.world.get(SHOPS[name].ORDER, order_id)
        assert document is not None
        line_id = (await shop.order(order_id)).lines[1].channel_line_id
        SHOPS[name].change_price(document, line_id, 8000)
        SHOPS[name].save(running.world, document, LATER)

        order = await shop.order(order_id)

        assert (order.total_fen, order.discount_fen, order.lines[1].paid_fen) == (16_999, 1000, 8000)
        assert (order.paid_fen, order.updated_at) == (0, LATER)
        SHOPS[name].pay(document, LATER)
        with pytest.raises(ValueError, match="still be changed"):
            SHOPS[name].change_price(document, line_id, 1)


# WeChat shop ------------------------------------------------------------------------------------------------


async def test_pieces_of_a_line_are_cancelled_with_the_sum_that_was_agreed(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, "wechat_shop"), place(running, "wechat_shop")
        line_id = (await shop.order(order_id)).lines[1].channel_line_id
        wechat_after_sales.refund_part(running.world, order_id, line_id, LATER, quantity=1, fen=2500)
        wechat_after_sales.refund_part(running.world, order_id, line_id, LATER, quantity=1)

        order = await shop.order(order_id)

        assert (cancelled(order), order.refunded_fen) == ([0, 2], 2500 + 3000)
        notice = shop.shipping_notice(order_id, order.handles, parcel(order, 1, 1))
        await shop.tell_shipped(notice)
        assert (await shop.order(order_id)).status == PlatformStatus.SHIPPED


async def test_exchange_cancels_nothing_and_pays_nothing(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, "wechat_shop"), place(running, "wechat_shop")
        line_id = (await shop.order(order_id)).lines[1].channel_line_id
        wechat_after_sales.refund_part(running.world, order_id, line_id, LATER, quantity=1, kind="EXCHANGE")
        wechat_after_sales.refund_part(running.world, order_id, line_id, LATER, quantity=1, kind="RETURN")

        order = await shop.order(order_id)

        assert (cancelled(order), order.refunded_fen) == ([0, 1], 3000)


async def test_application_that_is_still_open_cancels_nothing_and_is_not_asked_for(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, "wechat_shop"), place(running, "wechat_shop")
        wechat_after_sales.apply_for_refund(running.world, order_id, LATER)
        running.world.set_fault("wechat_shop", "aftersale/getaftersaleorder", "http_500", times=9)

        order = await shop.order(order_id)

        assert (cancelled(order), order.refunded_fen, order.status) == ([0, 0], 0, PlatformStatus.TO_SHIP)


async def test_after_sales_that_are_refused_to_us_leave_the_lines_share(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, "wechat_shop"), place(running, "wechat_shop")
        line_id = (await shop.order(order_id)).lines[1].channel_line_id
        wechat_after_sales.refund_part(running.world, order_id, line_id, LATER, quantity=2, fen=5000)
        running.world.set_fault("wechat_shop", "aftersale/getaftersaleorder", "wrong_key")  # any definite refusal

        order = await shop.order(order_id)

        assert (cancelled(order), order.refunded_fen) == ([0, 2], 6000)


async def test_page_waits_for_after_sales_that_are_busy(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, "wechat_shop"), place(running, "wechat_shop")
        line_id = (await shop.order(order_id)).lines[0].channel_line_id
        wechat_after_sales.refund_part(running.world, order_id, line_id, LATER, fen=5000)
        running.world.set_fault("wechat_shop", "aftersale/getaftersaleorder", "busy")

        [[order]] = [page async for page in shop.orders_updated(LATER, LATER + timedelta(seconds=1))]

        assert isinstance(order, IncomingOrder)
        assert (cancelled(order), order.refunded_fen) == ([1, 0], 5000)


# Douyin -----------------------------------------------------------------------------------------------------


async def test_request_that_was_withdrawn_cancels_nothing(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        shop, order_id = channel(running, "douyin"), place(running, "douyin")
        for after_sale_id in douyin_after_sales.apply_for_refund(running.world, order_id, NOON):
            douyin_after_sales.withdraw(running.world, after_sale_id, LATER)

        order = await shop.order(order_id)

        assert [item["after_sale_info"]["after_sale_status"] for item in order.raw["sku_order_list"]] == [28, 28]
        assert (cancelled(order), order.refunded_fen, order.status) == ([0, 0], 0, PlatformStatus.TO_SHIP)


async def test_douyin_knows_no_pieces_of_a_line(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order_id = place(running, "douyin")
        line_id = (await channel(running, "douyin").order(order_id)).lines[1].channel_line_id
        with pytest.raises(ValueError, match="no line"):
            douyin_after_sales.refund_part(running.world, order_id, line_id, LATER, quantity=1)
        douyin_after_sales.refund_part(running.world, order_id, line_id, LATER, quantity=3, fen=100)
