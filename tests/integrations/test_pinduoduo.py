"""What only Pinduoduo has: its signature, its states from four numbers, money in yuan or fen, decryption by ciphertext.

What it has in common with Taobao and JD: `test_signed_form_channels`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from integrations.channels import Parcel
from integrations.channels.md5_signing import sign
from integrations.channels.pinduoduo import Pinduoduo
from integrations.channels.pinduoduo_orders import read_order
from integrations.errors import Refused
from integrations.sandbox import pinduoduo_orders as shop
from integrations.sandbox.credentials import settings_for_sandbox
from integrations.sandbox.gate import seen
from integrations.sandbox.pinduoduo import DECRYPTED
from models.intake import PlatformStatus
from models.settings import Settings
from tests.integrations.sandbox_server import NOON, Running, basket, line, sandbox


def channel(running: Running) -> Pinduoduo:
    told = settings_for_sandbox(running.port, "", more_channels=True)
    return Pinduoduo(Settings(**told).pinduoduo, running.client, timeout=5.0)


def place(running: Running, number: int = 0) -> str:
    order = shop.written(basket(), number, NOON, paid=True)
    shop.save(running.world, order, NOON)
    return str(order["order_sn"])


def payload(*lines: Any) -> dict[str, Any]:
    return seen(shop.written(basket(*lines), 7, NOON, paid=True))


def test_published_signature_is_reproduced() -> None:
    # open.pinduoduo.com, "API 调用详解": the documentation's worked example
    published = {
        "access_token": "asd78172s8ds9a921j9qqwda12312w1w21211",
        "client_id": "1",
        "data_type": "XML",
        "order_status": "1",
        "page": "1",
        "page_size": "10",
        "timestamp": "1480411125",
        "type": "pdd.order.number.list.get",
    }
    assert sign(published, "testSecret") == "E4DE3ED21002510DED352819E7AE6775"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, PlatformStatus.TO_SHIP),
        ({"order_status": 2}, PlatformStatus.SHIPPED),
        ({"order_status": 3}, PlatformStatus.COMPLETE),
        ({"order_status": 9}, PlatformStatus.UNKNOWN),
        ({"pay_time": "", "confirm_status": 0}, PlatformStatus.AWAITING_PAYMENT),
        ({"confirm_status": 2}, PlatformStatus.CANCELLED),
        ({"group_status": 2}, PlatformStatus.CANCELLED),
        ({"group_status": 0}, PlatformStatus.HELD),
        ({"risk_control_status": 1}, PlatformStatus.HELD),
        ({"refund_status": 4}, PlatformStatus.REFUNDED),
        ({"refund_status": 4, "order_status": 2}, PlatformStatus.SHIPPED),
    ],
)
def test_status_is_the_hubs(changes: dict[str, Any], status: PlatformStatus) -> None:
    assert read_order(payload() | changes, "s").status == status


def test_shop_whose_api_answers_in_fen_is_read_as_it_says() -> None:
    order = payload(line(discount=499))
    order |= {"pay_amount": 9300, "postage": 800, "discount_amount": 499}
    order["item_list"][0]["goods_price"] = 8999
    read = read_order(order, "s", "fen")
    assert (read.total_fen, read.freight_fen, read.discount_fen) == (9300, 800, 499)
    assert (read.lines[0].unit_price_fen, read.lines[0].paid_fen) == (8999, 8500)


async def test_ciphertext_becomes_clear_by_the_call_that_counts(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        pinduoduo = channel(running)
        order_sn = place(running)
        await pinduoduo.order(order_sn)
        assert running.world.size(DECRYPTED) == 0

        receiver = await pinduoduo.receiver(order_sn)

        assert (receiver.name, receiver.phone, receiver.masked) == ("赵玉珍", "16000006978", False)
        assert (receiver.province, receiver.district) == ("安徽省", "蜀山区")
        assert receiver.detail == "李路184号27栋3单元2001室"
        assert running.world.get(DECRYPTED, order_sn) == {"texts": 3}


async def test_app_that_may_not_decrypt_is_told_where_to_ask(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order_sn = place(running)
        running.world.set_fault("pinduoduo", "pdd.open.decrypt.batch", "no_permission")
        with pytest.raises(Refused, match="请在拼多多开放平台申请") as refused:
            await channel(running).receiver(order_sn)
        assert refused.value.code == "no_permission"


async def test_receiver_of_a_shipped_order_is_gone_and_costs_no_decryption(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        pinduoduo = channel(running)
        order = await pinduoduo.order(place(running))
        [item] = order.lines
        parcel = Parcel("SF1", "sf_express", "", ((item.channel_line_id, 1),))
        await pinduoduo.tell_shipped(pinduoduo.shipping_notice(order.channel_order_id, order.handles, parcel))

        with pytest.raises(Refused, match="no_address"):
            await pinduoduo.receiver(order.channel_order_id)

        assert running.world.size(DECRYPTED) == 0


def test_ciphertext_without_a_mask_is_not_shown() -> None:
    order = payload() | {"receiver_name_mask": "", "receiver_phone_mask": None}
    receiver = read_order(order, "s").receiver
    assert receiver is not None
    assert (receiver.name, receiver.phone, receiver.detail) == ("***", "***", "李路****")
