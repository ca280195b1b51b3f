"""What only Taobao has: TOP's signatures, its states, decryption by oaid, and part of a trade in a parcel.

What it has in common with JD and Pinduoduo: `test_signed_form_channels`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from integrations.channels import Parcel
from integrations.channels.md5_signing import sign, signed_text
from integrations.channels.taobao import Taobao
from integrations.channels.taobao_orders import read_order
from integrations.errors import Later, Refused
from integrations.sandbox import taobao_orders as shop
from integrations.sandbox.baskets import Basket
from integrations.sandbox.credentials import settings_for_sandbox
from integrations.sandbox.gate import seen
from integrations.sandbox.taobao import DECRYPTED
from integrations.sandbox.world import World
from models.intake import PlatformStatus
from models.settings import Settings
from tests.integrations.sandbox_server import NOON, Running, basket, line, sandbox

PUBLISHED = {
    "method": "taobao.item.seller.get",
    "app_key": "12345678",
    "session": "test",
    "timestamp": "2016-01-01 12:00:00",
    "format": "json",
    "v": "2.0",
    "sign_method": "md5",
    "fields": "num_iid,title,nick,price,num",
    "num_iid": "11223344",
}


def channel(running: Running, **changes: Any) -> Taobao:
    told = settings_for_sandbox(running.port, "", more_channels=True)
    return Taobao(Settings(**told).taobao.model_copy(update=changes), running.client, timeout=5.0)


def place(world: World, wanted: Basket, number: int = 0) -> str:
    trade = shop.written(wanted, number, NOON, paid=True)
    shop.save(world, trade, NOON)
    return str(trade["tid"])


def payload(*lines: Any) -> dict[str, Any]:
    return seen(shop.written(basket(*lines), 7, NOON, paid=True))


def test_published_signature_is_reproduced() -> None:
    # TOP, "API signature", docId 101617: the documentation's worked example
    assert sign(PUBLISHED, "helloworld") == "66987CB115214E59E6EC978214934FB8"


def test_files_and_the_signature_itself_are_not_signed() -> None:
    assert signed_text({"b": "2", "file": b"\x00", "sign": "X", "a": "1", "_": "3"}) == "_3a1b2"


def test_hmac_is_without_the_wrap() -> None:
    # by our calculation: no published example is known
    assert sign({**PUBLISHED, "sign_method": "hmac"}, "helloworld", "hmac") == "D56D7858309C31B6251083A874D48273"


@pytest.mark.parametrize("method", ["md5", "hmac", "hmac-sha256"])
async def test_each_way_of_signing_is_accepted(tmp_path: Path, method: str) -> None:
    async with sandbox(tmp_path) as running:
        order = await channel(running, sign_method=method).order(place(running.world, basket()))
        assert order.total_fen == 8999


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("TRADE_NO_CREATE_PAY", PlatformStatus.AWAITING_PAYMENT),
        ("WAIT_BUYER_PAY", PlatformStatus.AWAITING_PAYMENT),
        ("PAY_PENDING", PlatformStatus.HELD),
        ("PAID_FORBID_CONSIGN", PlatformStatus.HELD),
        ("WAIT_SELLER_SEND_GOODS", PlatformStatus.TO_SHIP),
        ("SELLER_CONSIGNED_PART", PlatformStatus.PART_SHIPPED),
        ("WAIT_BUYER_CONFIRM_GOODS", PlatformStatus.SHIPPED),
        ("TRADE_FINISHED", PlatformStatus.COMPLETE),
        ("TRADE_CLOSED", PlatformStatus.REFUNDED),
        ("TRADE_CLOSED_BY_TAOBAO", PlatformStatus.CANCELLED),
        ("SOMETHING_NEW", PlatformStatus.UNKNOWN),
    ],
)
def test_status_is_the_hubs(told: str, status: PlatformStatus) -> None:
    assert read_order({**payload(), "status": told}, "s").status == status


def test_postage_is_no_part_of_a_line() -> None:
    trade = payload(line(discount=499))
    trade |= {"payment": "93.00", "post_fee": "8.00"}
    [item] = trade["orders"]["order"]
    item["payment"] = "93.00"  # the only line's holds the postage
    order = read_order(trade, "s")
    assert (order.total_fen, order.freight_fen, order.lines[0].paid_fen, order.discount_fen) == (9300, 800, 8500, 499)
    del item["divide_order_fee"]
    assert read_order(trade, "s").lines[0].paid_fen == 8500


def test_line_that_was_paid_back_is_no_longer_to_be_delivered() -> None:
    trade = payload(line(), line("CAT-2", 2))
    trade["orders"]["order"][1] |= {"status": "TRADE_CLOSED", "refund_status": "SUCCESS"}
    assert [item.cancelled_quantity for item in read_order(trade, "s").lines] == [0, 2]


async def test_masked_receiver_becomes_clear_by_the_call_that_counts(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        taobao = channel(running)
        tid = place(running.world, basket())
        await taobao.order(tid)
        assert running.world.size(DECRYPTED) == 0

        receiver = await taobao.receiver(tid)

        assert (receiver.name, receiver.phone, receiver.masked) == ("赵玉珍", "16000006978", False)
        assert (receiver.province, receiver.district) == ("安徽省", "蜀山区")
        assert receiver.detail == "李路184号27栋3单元2001室"
        assert running.world.get(DECRYPTED, tid) == {"times": 1}


async def test_app_that_may_not_decrypt_is_told_where_to_ask(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        tid = place(running.world, basket())
        running.world.set_fault("taobao", "taobao.top.oaid.decrypt", "no_permission")
        with pytest.raises(Refused, match="请在淘宝开放平台申请") as refused:
            await channel(running).receiver(tid)
        assert refused.value.code == "no_permission"


async def test_lines_of_a_trade_leave_in_two_parcels(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        taobao = channel(running)
        order = await taobao.order(place(running.world, basket(line(), line("CAT-2", 2))))
        first, second = order.lines
        parcels = [
            Parcel("SF1", "sf_express", "", ((first.channel_line_id, 1),)),
            Parcel("SF2", "sf_express", "", ((second.channel_line_id, 2),)),
        ]
        notices = [taobao.shipping_notice(order.channel_order_id, order.handles, parcel) for parcel in parcels]

        await taobao.tell_shipped(notices[0])
        assert (await taobao.order(order.channel_order_id)).status == PlatformStatus.PART_SHIPPED
        assert await taobao.was_told_shipped(notices[1]) is None
        with pytest.raises(Refused):
            await taobao.tell_shipped(notices[0])
        await taobao.tell_shipped(notices[1])

        assert (await taobao.order(order.channel_order_id)).status == PlatformStatus.SHIPPED
        known = await taobao.was_told_shipped(notices[1])
        assert known is not None
        assert (known["logistics_company"], known["invoice_no"]) == ("SF", "SF2")
        [counted] = running.world.counts()
        assert (counted["deliveries"], counted["effects"], counted["keys_twice"]) == (3, 2, 0)


async def test_ban_lasts_as_long_as_the_platform_says(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        tid = place(running.world, basket())
        running.world.set_fault("taobao", "taobao.trade.fullinfo.get", "throttled")
        with pytest.raises(Later) as later:
            await channel(running).order(tid)
        assert later.value.retry_after == 2.0  # "will last for 1 more seconds"
