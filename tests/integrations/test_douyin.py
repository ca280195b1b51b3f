"""The Douyin channel against the played platform, over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import SecretStr

from integrations.channels import Parcel
from integrations.channels.douyin import Douyin
from integrations.channels.douyin_api import param_json, sign
from integrations.channels.douyin_orders import read_order
from integrations.channels.payload import incoming
from integrations.errors import Later, Refused, Unclear
from integrations.sandbox import douyin_orders as shop
from integrations.sandbox.baskets import FLAWS, Basket, spoiled
from integrations.sandbox.douyin import LIMITS, TOKEN
from integrations.sandbox.world import World
from models.intake import Incoming, IncomingOrder, PlatformStatus, Unreadable
from tests.integrations.hostile import bent, is_storable
from tests.integrations.sandbox_server import NOON, PET, Running, basket, line, sandbox


def place(world: World, wanted: Basket, number: int, at: datetime = NOON, *, paid: bool = True) -> str:
    order = shop.written(wanted, number, at, paid=paid)
    shop.save(world, order, at)
    return str(order["order_id"])


def channel(running: Running, timeout: float = 5.0, **changes: Any) -> Douyin:
    return Douyin(running.settings.douyin.model_copy(update=changes), running.client, timeout=timeout)


async def listed(douyin: Douyin, since: datetime, until: datetime) -> list[list[Incoming]]:
    return [page async for page in douyin.orders_updated(since, until)]


def parcel_of(order: IncomingOrder, waybill: str = "SF1000000001") -> Parcel:
    lines = tuple((item.channel_line_id, item.quantity) for item in order.lines)
    return Parcel(waybill, "sf_express", f"https://example.test/t/{waybill}", lines)


def payload() -> dict[str, Any]:
    """An order as the platform answers it."""
    return shop.seen(shop.written(basket(line(discount=499, pet=PET), line("CAT-2", 2)), 7, NOON, paid=True))


# signing ----------------------------------------------------------------------------------------------------


def test_published_signature_is_reproduced() -> None:
    # three independent implementations agree on this one (sign v2, hmac-sha256)
    params = {"z": 1, "nested": {"汉": "<&", "a": True}, "a": [3, {"b": 2, "a": 1}]}
    body = param_json(params)
    assert body == '{"a":[3,{"a":1,"b":2}],"nested":{"a":true,"汉":"<&"},"z":1}'
    signature = sign("1234567890123456789", "contract-app-secret", "order.searchList", body, "1667899926")
    assert signature == "cfb0c61c20926f758e13f4bd3d59a0de0e22f3c6059f1045cae36e6cea2bd417"


# translation ------------------------------------------------------------------------------------------------


def test_order_is_read_with_its_pet_and_a_masked_receiver() -> None:
    order = read_order(payload(), "shop-1")

    assert order.channel_order_id == "4781320682406007000"
    assert (order.status, order.shop, order.currency) == (PlatformStatus.TO_SHIP, "shop-1", "CNY")
    assert order.placed_at == order.updated_at == order.paid_at == NOON
    assert (order.total_fen, order.paid_fen, order.discount_fen) == (8500 + 17998, 8500 + 17998, 499)
    first, second = order.lines
    assert (first.sku, first.quantity, first.unit_price_fen, first.paid_fen) == ("DOG-DRY-1", 1, 8999, 8500)
    assert first.attributes == PET
    assert (second.quantity, second.paid_fen, second.attributes) == (2, 17998, {})
    assert order.receiver is not None
    assert order.receiver.masked
    assert (order.receiver.name, order.receiver.phone, order.receiver.district) == ("赵*", "1********78", "蜀山区")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (1, PlatformStatus.AWAITING_PAYMENT),
        (105, PlatformStatus.HELD),
        (2, PlatformStatus.TO_SHIP),
        (101, PlatformStatus.PART_SHIPPED),
        (3, PlatformStatus.SHIPPED),
        (4, PlatformStatus.CANCELLED),
        (5, PlatformStatus.COMPLETE),
        (77, PlatformStatus.UNKNOWN),
    ],
)
def test_status_is_the_hubs(number: int, status: PlatformStatus) -> None:
    assert read_order({**payload(), "order_status": number}, "s").status == status


def test_order_is_refunded_only_when_every_line_is() -> None:
    order = payload()
    order["sku_order_list"][0]["after_sale_info"]["refund_status"] = 3
    assert read_order(order, "s").status == PlatformStatus.TO_SHIP
    order["sku_order_list"][1]["after_sale_info"]["refund_status"] = 3
    assert read_order(order, "s").status == PlatformStatus.REFUNDED


def test_unpaid_order_says_what_it_comes_to_and_that_nothing_was_paid() -> None:
    order = read_order(shop.seen(shop.written(basket(), 1, NOON, paid=False)), "s")
    assert (order.status, order.total_fen, order.paid_fen) == (PlatformStatus.AWAITING_PAYMENT, 8999, 0)
    assert order.paid_at is None


@given(order=bent(payload()))
@settings(max_examples=400, deadline=None)
def test_bent_payload_is_an_order_or_unreadable_and_never_an_error(order: Any) -> None:
    found = incoming(read_order, order, "douyin", "s", "order_id")
    if isinstance(found, IncomingOrder):
        assert abs(found.total_fen) < 10**15
        assert all(is_storable(item.title + item.sku) for item in found.lines)
        assert is_storable(found.channel_order_id + found.note)


# reading over HTTP ------------------------------------------------------------------------------------------


async def test_window_is_read_in_pages_oldest_first(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = [place(running.world, basket(), n, NOON + timedelta(seconds=n // 3)) for n in range(250)]
            place(running.world, basket(), 250, NOON - timedelta(seconds=1))
            place(running.world, basket(), 251, NOON + timedelta(hours=2))

        pages = await listed(channel(running), NOON, NOON + timedelta(hours=1))

        assert [len(page) for page in pages] == [100, 100, 50]
        assert [order.channel_order_id for page in pages for order in page] == placed


async def test_orders_that_leave_the_window_between_pages_hide_nobody(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = [place(running.world, basket(), n, NOON + timedelta(seconds=n)) for n in range(210)]
        seen: list[str] = []
        async for page in channel(running).orders_updated(NOON, NOON + timedelta(hours=1)):
            if not seen:
                for order_id in placed[:5]:
                    moved = running.world.get(shop.ORDER, order_id)
                    assert moved is not None
                    shop.save(running.world, moved, NOON + timedelta(hours=2))
            seen += [order.channel_order_id for order in page]

        assert set(seen) == set(placed)


async def test_window_beyond_the_ceiling_is_read_in_halves(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = [place(running.world, basket(), n, NOON + timedelta(seconds=n)) for n in range(450)]
        running.world.put(LIMITS, "", {"ceiling": 200})
        douyin = channel(running)
        douyin.ceiling = 200

        pages = await listed(douyin, NOON, NOON + timedelta(seconds=450))

        seen = [order.channel_order_id for page in pages for order in page]
        assert list(dict.fromkeys(seen)) == placed


async def test_orders_with_every_flaw_are_carried_over(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        for number, flaw in enumerate(FLAWS):
            place(running.world, spoiled(basket(), flaw), number)

        [page] = await listed(channel(running), NOON, NOON + timedelta(seconds=1))

        found = {flaw: order for flaw, order in zip(FLAWS, page, strict=True) if isinstance(order, IncomingOrder)}
        assert len(found) == len(FLAWS)
        assert found["negative_quantity"].lines[0].quantity == -1
        assert found["money_does_not_add_up"].total_fen == 8999 + 12345
        assert found["missing_address"].receiver is None
        assert all("\\u0000" not in json.dumps(order.raw) for order in found.values())


async def test_one_unreadable_order_stops_no_other(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        place(running.world, basket(), 0)
        broken = shop.written(basket(), 1, NOON, paid=True)
        broken["pay_amount"] = "many"
        shop.save(running.world, broken, NOON)

        [[first, second]] = await listed(channel(running), NOON, NOON + timedelta(seconds=1))

        assert isinstance(first, IncomingOrder)
        assert isinstance(second, Unreadable)
        assert second.channel_order_id == broken["order_id"]
        with pytest.raises(Refused, match="pay_amount"):
            await channel(running).order(broken["order_id"])


async def test_token_that_ends_between_pages_is_refreshed_once(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = [place(running.world, basket(), n) for n in range(120)]
        seen: list[str] = []
        async for page in channel(running).orders_updated(NOON, NOON + timedelta(seconds=1)):
            if not seen:
                running.world.set_fault("douyin", "order.searchList", "token_expired")
                # the shop's authorisation is not asked for again
                running.world.set_fault("douyin", "token.create", "http_500")
            seen += [order.channel_order_id for order in page]

        assert seen == placed
        assert running.world.size(TOKEN) == 4  # two access and two refresh tokens


async def test_busy_and_limited_pages_are_read_again(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = [place(running.world, basket(), n) for n in range(3)]
        for kind in ("service_error", "http_429", "http_500"):
            running.world.set_fault("douyin", "order.searchList", kind, detail={"retry_after": 0.1})

        [page] = await listed(channel(running), NOON, NOON + timedelta(seconds=1))

        assert [order.channel_order_id for order in page] == placed


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate_limited", Later),
        ("http_429", Later),
        ("service_error", Unclear),
        ("http_500", Unclear),
        ("drop", Unclear),
    ],
)
async def test_trouble_is_told_in_its_class(tmp_path: Path, fault: str, error: type[Exception]) -> None:
    async with sandbox(tmp_path) as running:
        order_id = place(running.world, basket(), 0)
        running.world.set_fault("douyin", "order.orderDetail", fault)
        with pytest.raises(error):
            await channel(running).order(order_id)


async def test_trouble_with_the_token_says_that_nothing_happened(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        running.world.set_fault("douyin", "token.create", "http_500")
        with pytest.raises(Later, match="no access token"):
            await channel(running).order("1")


async def test_wrong_secret_wrong_shop_and_unknown_order_are_refused(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with pytest.raises(Refused, match="signature-invalid"):
            await channel(running, app_secret=SecretStr("wrong")).order("1")
        with pytest.raises(Refused, match="token-generate-failed"):
            await channel(running, shop="1").order("1")
        with pytest.raises(Refused, match="订单不存在"):
            await channel(running).order("1")


async def test_changed_body_and_old_timestamp_are_not_accepted(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        known = running.settings.douyin
        secret = known.app_secret.get_secret_value()

        async def ask(signed: str, sent: str, timestamp: str) -> str:
            query = {
                "app_key": known.app_key,
                "method": "token.create",
                "timestamp": timestamp,
                "v": "2",
                "sign_method": "hmac-sha256",
                "sign": sign(known.app_key, secret, "token.create", signed, timestamp),
            }
            url = f"{known.base_url}/token/create"
            answered = await running.client.post(url, params=query, content=sent.encode())
            return str(answered.json()["sub_code"])

        body = '{"code":"","grant_type":"authorization_self","shop_id":"4463798"}'
        now = str(int(datetime.now(UTC).timestamp()))
        assert await ask(body, body, now) == ""
        assert await ask(body, body.replace(",", ", "), now) == "isv.signature-invalid"
        assert await ask(body, body, "1667899926") == "isv.timestamp-invalid"


async def test_masked_receiver_becomes_clear_by_the_call_that_counts(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        douyin = channel(running)
        order = await douyin.order(place(running.world, basket(), 0))
        assert order.receiver is not None
        assert order.receiver.masked
        assert running.world.size("douyin.decrypted") == 0

        receiver = await douyin.receiver(order.channel_order_id)

        assert (receiver.name, receiver.phone, receiver.masked) == ("赵玉珍", "16000006978", False)
        assert (receiver.province, receiver.district) == ("安徽省", "蜀山区")
        assert receiver.detail == "李路184号27栋3单元2001室"
        assert running.world.get("douyin.decrypted", order.channel_order_id) == {"texts": 3}


async def test_receiver_that_is_missing_costs_no_decryption(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order_id = place(running.world, spoiled(basket(), "missing_address"), 0)
        with pytest.raises(Refused, match="no_address"):
            await channel(running).receiver(order_id)
        assert running.world.size("douyin.decrypted") == 0


# telling ----------------------------------------------------------------------------------------------------


async def test_whole_order_is_told_once_and_refused_the_second_time(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        douyin = channel(running)
        order = await douyin.order(place(running.world, basket(line(pet=PET), line("CAT-2", 3)), 0))
        notice = douyin.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        assert notice == douyin.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        assert await douyin.was_told_shipped(notice) is None

        await douyin.tell_shipped(notice)

        known = await douyin.was_told_shipped(notice)
        assert known is not None
        assert (known["company"], known["tracking_no"]) == ("shunfeng", "SF1000000001")
        assert (await douyin.order(order.channel_order_id)).status == PlatformStatus.SHIPPED
        with pytest.raises(Refused, match="不允许发货"):
            await douyin.tell_shipped(notice)
        [counted] = running.world.counts()
        assert (counted["operation"], counted["deliveries"], counted["effects"]) == ("order.logisticsAdd", 2, 1)


async def test_part_told_twice_is_shipped_once_because_packs_have_a_key(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        douyin = channel(running)
        order = await douyin.order(place(running.world, basket(line(quantity=2)), 0))
        parcel = Parcel("SF1", "sf_express", "", ((order.lines[0].channel_line_id, 1),))
        notice = douyin.shipping_notice(order.channel_order_id, order.handles, parcel)

        first = await douyin.tell_shipped(notice)
        second = await douyin.tell_shipped(notice)

        assert first == second
        assert (await douyin.order(order.channel_order_id)).status == PlatformStatus.PART_SHIPPED
        [counted] = running.world.counts()
        assert (counted["deliveries"], counted["effects"], counted["keys_twice"]) == (2, 1, 0)


@pytest.mark.parametrize("fault", ["timeout_after", "drop", "service_error_after", "http_500_after"])
async def test_what_happened_unseen_is_unclear_and_asking_finds_it(tmp_path: Path, fault: str) -> None:
    async with sandbox(tmp_path) as running:
        douyin = channel(running, timeout=0.5)
        order = await douyin.order(place(running.world, basket(), 0))
        notice = douyin.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        running.world.set_fault("douyin", "order.logisticsAdd", fault, detail={"seconds": 5})

        with pytest.raises(Unclear):
            await douyin.tell_shipped(notice)

        assert await douyin.was_told_shipped(notice) is not None
        assert sum(running.world.effects("douyin", "order.logisticsAdd").values()) == 1


async def test_notice_for_an_unknown_carrier_or_line_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        douyin = channel(running)
        with pytest.raises(Refused, match="unknown_carrier"):
            douyin.shipping_notice("1", {"lines": {"1": 1}}, Parcel("X1", "pigeon", "", (("1", 1),)))
        with pytest.raises(Refused, match="unknown_line"):
            douyin.shipping_notice("1", {"lines": {"1": 1}}, Parcel("X1", "sf_express", "", (("2", 1),)))
