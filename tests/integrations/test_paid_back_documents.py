"""What an order's document says of lines that were paid back, and the notice of what is left: pure reading."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from integrations.channels import Parcel
from integrations.channels.douyin import Douyin
from integrations.channels.douyin_orders import read_order as read_douyin
from integrations.channels.wechat_orders import read_order as read_wechat
from integrations.channels.wechat_refunds import AfterSale
from integrations.errors import Refused
from integrations.sandbox import douyin_orders, wechat_shop_orders
from models.intake import IncomingOrder
from models.settings import DouyinSettings
from tests.integrations.sandbox_server import NOON, basket, line


def cancelled(order: IncomingOrder) -> list[int]:
    return [item.cancelled_quantity for item in order.lines]


def parcel(order: IncomingOrder, *quantities: int, waybill: str = "SF1") -> Parcel:
    lines = zip(order.lines, quantities, strict=True)
    return Parcel(waybill, "sf_express", "", tuple((item.channel_line_id, n) for item, n in lines if n))


# WeChat shop ------------------------------------------------------------------------------------------------


def finished(*counts: int) -> dict[str, Any]:
    """A paid order of one piece for 89.99 and three for 30.00 each, as many of which are through after-sales."""
    order = wechat_shop_orders.written(basket(line(), line("CAT-2", 3, 3000)), 0, NOON, paid=True)
    for product, count in zip(order["order_detail"]["product_infos"], counts, strict=True):
        product["finish_aftersale_sku_cnt"] = count
    return order


def about(order: dict[str, Any], place: int, count: int, fen: int, *, keeps_goods: bool = False) -> AfterSale:
    product = order["order_detail"]["product_infos"][place]
    return AfterSale(product["product_id"], product["sku_id"], count, fen, keeps_goods)


def test_price_difference_pays_and_cancels_nothing() -> None:
    document = finished(0, 3)
    order = read_wechat(document, "s", [about(document, 1, 3, 900, keeps_goods=True)])
    assert (cancelled(order), order.refunded_fen) == ([0, 0], 900)


def test_refund_and_exchange_of_one_line_are_told_apart() -> None:
    document = finished(0, 3)
    after_sales = [about(document, 1, 2, 5500), about(document, 1, 1, 0, keeps_goods=True)]
    order = read_wechat(document, "s", after_sales)
    assert (cancelled(order), order.refunded_fen) == ([0, 2], 5500)


def test_same_product_in_two_lines_shares_its_after_sales() -> None:
    document = finished(1, 2)
    first, second = document["order_detail"]["product_infos"]
    second |= {"product_id": first["product_id"], "sku_id": first["sku_id"]}
    after_sales = [about(document, 0, 2, 100), about(document, 0, 1, 0, keeps_goods=True)]

    assert cancelled(read_wechat(document, "s", after_sales)) == [1, 1]


@pytest.mark.parametrize(("quantity", "count"), [(0, 1), (-1, 1), (3, 99), (3, -2)])
def test_counters_that_make_no_sense_cancel_no_more_than_was_bought(quantity: int, count: int) -> None:
    document = finished(0, count)
    document["order_detail"]["product_infos"][1]["sku_cnt"] = quantity
    order = read_wechat(document, "s")
    assert cancelled(order) == [0, max(0, min(quantity, count))]


# Douyin -----------------------------------------------------------------------------------------------------


def douyin_order(**refunds: int) -> IncomingOrder:
    """An order of one and three pieces; `refunds` are refund states by place ("first", "second")."""
    document = douyin_orders.written(basket(line(), line("CAT-2", 3)), 0, NOON, paid=True)
    for place_of, item in zip(("first", "second"), document["sku_order_list"], strict=True):
        item["after_sale_info"]["refund_status"] = refunds.get(place_of, 0)
    return read_douyin(document, "s")


def shipping_method(order: IncomingOrder, *quantities: int, **handles: Any) -> bytes:
    douyin = Douyin(DouyinSettings(), httpx.AsyncClient())  # nothing is asked
    return douyin.shipping_notice(order.channel_order_id, order.handles | handles, parcel(order, *quantities))


def test_whole_rest_in_one_parcel_is_the_whole_order() -> None:
    assert b'"order.logisticsAdd"' in shipping_method(douyin_order(), 1, 3)
    assert b'"order.logisticsAdd"' in shipping_method(douyin_order(first=3), 0, 3)
    assert b'"order.logisticsAddMultiPack"' in shipping_method(douyin_order(), 0, 3)
    assert b'"order.logisticsAddMultiPack"' in shipping_method(douyin_order(first=3), 0, 2)


def test_goods_that_were_paid_back_on_their_way_are_left_out_of_the_notice() -> None:
    assert shipping_method(douyin_order(first=3), 1, 3) == shipping_method(douyin_order(first=3), 0, 3)
    with pytest.raises(Refused, match="paid_back"):
        shipping_method(douyin_order(first=3), 1, 0)


def test_second_parcel_of_an_order_is_a_pack_with_a_key() -> None:
    assert b'"order.logisticsAddMultiPack"' in shipping_method(douyin_order(first=3), 0, 3, part_shipped=True)
