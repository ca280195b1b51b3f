"""What only JD has: its signature, its states, no clear receiver, waybills in one text.

What it has in common with Taobao and Pinduoduo: `test_signed_form_channels`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from integrations.channels.jd import Jd
from integrations.channels.jd_orders import read_order, waybills_in
from integrations.channels.md5_signing import sign
from integrations.errors import Later, Refused
from integrations.sandbox import jd_orders as shop
from integrations.sandbox.credentials import settings_for_sandbox
from integrations.sandbox.gate import seen
from models.intake import PlatformStatus
from models.settings import Settings
from tests.integrations.sandbox_server import NOON, Running, basket, line, sandbox


def channel(running: Running) -> Jd:
    told = settings_for_sandbox(running.port, "", more_channels=True)
    return Jd(Settings(**told).jd, running.client, timeout=5.0)


def place(running: Running, number: int = 0) -> str:
    order = shop.written(basket(), number, NOON, paid=True)
    shop.save(running.world, order, NOON)
    return str(order["orderId"])


def payload(*lines: Any) -> dict[str, Any]:
    return seen(shop.written(basket(*lines), 7, NOON, paid=True))


def test_published_signature_is_reproduced() -> None:
    # open.jd.com, listId 2643: the documentation's worked example
    business = (
        '{"end_date":null,"optional_fields":null,"order_state":"WAIT_SELLER_STOCK_OUT",'
        '"page":"1","page_size":"200","start_date":null}'
    )
    published = {
        "360buy_param_json": business,
        "access_token": "yourtoken",
        "app_key": "yourappkey",
        "method": "jingdong.pop.order.search",
        "timestamp": "2021-05-07 09:20:39.683+0800",
        "v": "2.0",
    }
    assert sign(published, "yourappSecret") == "D70825340F4084360B9362B60DFD7930"


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("NOT_PAY", PlatformStatus.AWAITING_PAYMENT),
        ("WAIT_SELLER_STOCK_OUT", PlatformStatus.TO_SHIP),
        ("WAIT_SELLER_DELIVERY", PlatformStatus.HELD),
        ("LOCKED", PlatformStatus.HELD),
        ("PAUSE", PlatformStatus.HELD),
        ("POP_ORDER_PAUSE", PlatformStatus.HELD),
        ("WAIT_GOODS_RECEIVE_CONFIRM", PlatformStatus.SHIPPED),
        ("FINISHED_L", PlatformStatus.COMPLETE),
        ("TRADE_CANCELED", PlatformStatus.CANCELLED),
        ("SOMETHING_NEW", PlatformStatus.UNKNOWN),
    ],
)
def test_status_is_the_hubs(told: str, status: PlatformStatus) -> None:
    assert read_order({**payload(), "orderState": told}, "s").status == status


def test_parcel_that_left_already_makes_the_order_part_shipped() -> None:
    order = payload() | {"partialLogisticsInfoModel": [{"waybillId": "SF9", "logicId": "467"}]}
    assert read_order(order, "s").status == PlatformStatus.PART_SHIPPED


def test_waybills_of_several_carriers_and_parcels_are_taken_apart() -> None:
    assert waybills_in({"waybill": "SF1,SF2|YT3", "partialLogisticsInfoModel": None}) == ["SF1", "SF2", "YT3"]
    assert waybills_in({"waybill": ""}) == []


def test_what_was_paid_is_spread_over_the_lines_to_the_fen() -> None:
    order = payload(line(price=1000), line("CAT-2", 2, price=333), line("TOY-3", 1, price=1))
    order |= {"orderPayment": "12.34", "freightPrice": "1.00"}
    read = read_order(order, "s")
    assert [item.paid_fen for item in read.lines] == [680, 453, 1]
    assert sum(item.paid_fen for item in read.lines) + read.freight_fen == read.total_fen == 1234


def test_same_sku_twice_makes_two_lines() -> None:
    order = read_order(payload(line(), line(price=0)), "s")
    first, second = order.lines
    assert second.channel_line_id == f"{first.channel_line_id}#2"
    assert len(order.handles["lines"]) == 2


def test_ciphertext_is_not_shown_as_a_name() -> None:
    order = payload()
    order["consigneeInfo"] |= {"fullname": "AQAAAv" + "x" * 60, "mobile": "A" * 44, "fullAddress": "B1+/" * 12}
    receiver = read_order(order, "s").receiver
    assert receiver is not None
    assert (receiver.name, receiver.phone, receiver.detail) == ("***", "***", "***")


async def test_receiver_in_clear_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with pytest.raises(Refused, match="请在京麦打单发货") as refused:
            await channel(running).receiver(place(running))
        assert refused.value.code == "no_permission"


async def test_limit_of_calls_is_waited_out_by_the_next_pull(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        place(running)
        running.world.set_fault("jd", "jingdong.pop.order.search", "throttled")
        with pytest.raises(Later) as later:
            async for _ in channel(running).orders_updated(NOON, NOON + timedelta(seconds=1)):
                pass
        assert later.value.retry_after == 60.0  # longer than one pull waits


async def test_timestamp_is_in_beijing_with_its_offset(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        sent: list[str] = []

        async def keep(request: httpx.Request) -> None:
            sent.append(dict(parse_qsl(request.content.decode()))["timestamp"])

        running.client.event_hooks["request"].append(keep)
        await channel(running).order(place(running))

        told = datetime.strptime(sent[0], "%Y-%m-%d %H:%M:%S.%f%z")
        assert told.utcoffset() == timedelta(hours=8)
        assert abs((datetime.now(UTC) - told).total_seconds()) < 60


async def test_order_number_that_is_none_is_not_asked_for(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with pytest.raises(Refused, match="不是京东订单号"):
            await channel(running).order("1 OR 1")
