"""The WeChat shop channel against the played platform, over HTTP."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import SecretStr

from integrations.channels import Parcel
from integrations.channels.payload import incoming
from integrations.channels.wechat_orders import read_order, read_profiles, without_profiles
from integrations.channels.wechat_shop import WeChatShop
from integrations.errors import Later, Refused, Unclear
from integrations.sandbox import wechat_shop_orders as shop
from integrations.sandbox.baskets import FLAWS, Basket, spoiled
from integrations.sandbox.wechat_shop import LIMITS, TOKEN
from integrations.sandbox.world import World
from models.intake import Incoming, IncomingOrder, PlatformStatus, Unreadable
from tests.integrations.hostile import bent, is_storable
from tests.integrations.sandbox_server import NOON, PET, Running, basket, line, sandbox


def place(world: World, wanted: Basket, number: int, at: datetime = NOON, *, paid: bool = True) -> str:
    order = shop.written(wanted, number, at, paid=paid)
    shop.save(world, order, at)
    return str(order["order_id"])


def channel(running: Running, timeout: float = 5.0, **changes: Any) -> WeChatShop:
    return WeChatShop(running.settings.wechat_shop.model_copy(update=changes), running.client, timeout=timeout)


async def listed(wechat: WeChatShop, since: datetime, until: datetime) -> list[list[Incoming]]:
    return [page async for page in wechat.orders_updated(since, until)]


def parcel_of(order: IncomingOrder, waybill: str = "SF1000000001") -> Parcel:
    lines = tuple((item.channel_line_id, item.quantity) for item in order.lines)
    return Parcel(waybill, "sf_express", f"https://example.test/t/{waybill}", lines)


def payload() -> dict[str, Any]:
    """An order as the platform answers it."""
    wanted = basket(line(discount=499, pet=PET), line("CAT-2", 2), note="放门口")
    return shop.seen(shop.written(wanted, 7, NOON, paid=True))


# translation ------------------------------------------------------------------------------------------------


def test_order_is_read_with_its_pet_and_a_masked_receiver() -> None:
    order = read_order(payload(), "shop-1")

    assert order.channel_order_id == "3705115058471007000"
    assert (order.status, order.shop, order.currency) == (PlatformStatus.TO_SHIP, "shop-1", "CNY")
    assert order.placed_at == order.updated_at == order.paid_at == NOON
    assert (order.total_fen, order.paid_fen, order.discount_fen) == (8500 + 17998, 8500 + 17998, 499)
    assert order.attributes == PET
    assert order.note == "放门口"  # the profile is among the answers
    first, second = order.lines
    assert (first.sku, first.quantity, first.unit_price_fen, first.paid_fen) == ("DOG-DRY-1", 1, 8999, 8500)
    assert (second.quantity, second.paid_fen) == (2, 17998)
    assert order.receiver is not None
    assert (order.receiver.name, order.receiver.phone, order.receiver.masked) == ("赵*", "160****6978", True)


def test_two_pets_keep_their_own_lines() -> None:
    cat = {**PET, "species": "cat", "breed": "布偶猫"}
    order = read_order(shop.written(basket(line(pet=PET), line("CAT-2", pet=cat)), 1, NOON, paid=True), "s")
    assert [item.attributes for item in order.lines] == [PET, cat]
    assert order.attributes == {}


@pytest.mark.parametrize(
    ("note", "profiles"),
    [
        ("", {}),
        ("请尽快发货", {}),
        ("宠物档案:species=dog;breed=柯基犬", {"": {"species": "dog", "breed": "柯基犬"}}),
        ("你好 宠物档案：species＝cat；allergens=chicken,egg；", {"": {"species": "cat", "allergens": "chicken,egg"}}),
        (
            "宠物档案(A-1):species=cat\n宠物档案(A-2):species=dog",
            {"A-1": {"species": "cat"}, "A-2": {"species": "dog"}},
        ),
        ("宠物档案:breed=a=b;乱写;", {"": {"breed": "a=b"}}),
        (
            "宠物档案:health_notes=年长；关节需养护;易胖;species=dog;",
            {"": {"health_notes": "年长；关节需养护;易胖", "species": "dog"}},
        ),
        ("宠物档案:", {"": {}}),
    ],
)
def test_profile_is_read_from_the_customers_note(note: str, profiles: dict[str, dict[str, str]]) -> None:
    assert read_profiles(note) == profiles


@pytest.mark.parametrize(
    ("note", "left"),
    [
        ("请尽快发货\n\n谢谢 ", "请尽快发货\n\n谢谢 "),
        ("放门口\n宠物档案:species=dog;breed=柯基犬", "放门口"),
        ("宠物档案(A-1):species=cat\n宠物档案(A-2):species=dog\n谢谢", "谢谢"),
        ("宠物档案(A-9):species=cat", "宠物档案(A-9):species=cat"),
        ("宠物档案:breed=a=b;乱写;", "宠物档案:breed=a=b;乱写;"),
        ("宠物档案:health_notes=年长；关节需养护;", ""),
    ],
)
def test_what_was_taken_as_a_profile_is_no_note(note: str, left: str) -> None:
    assert without_profiles(note, {"A-1", "A-2"}) == left


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (10, PlatformStatus.AWAITING_PAYMENT),
        (12, PlatformStatus.HELD),
        (13, PlatformStatus.HELD),
        (20, PlatformStatus.TO_SHIP),
        (21, PlatformStatus.PART_SHIPPED),
        (30, PlatformStatus.SHIPPED),
        (100, PlatformStatus.COMPLETE),
        (190, PlatformStatus.CANCELLED),
        (200, PlatformStatus.REFUNDED),
        (250, PlatformStatus.CANCELLED),
        (77, PlatformStatus.UNKNOWN),
    ],
)
def test_status_is_the_hubs(number: int, status: PlatformStatus) -> None:
    assert read_order({**payload(), "status": number}, "s").status == status


def test_same_product_twice_gives_two_line_ids() -> None:
    order = payload()
    order["order_detail"]["product_infos"] *= 2
    ids = [item.channel_line_id for item in read_order(order, "s").lines]
    assert len(set(ids)) == 4


def test_order_id_that_comes_as_a_number_keeps_every_digit() -> None:
    assert read_order({**payload(), "order_id": 3705115058471208928}, "s").channel_order_id == "3705115058471208928"


@given(order=bent(payload()))
@settings(max_examples=400, deadline=None)
def test_bent_payload_is_an_order_or_unreadable_and_never_an_error(order: Any) -> None:
    found = incoming(read_order, order, "wechat_shop", "s", "order_id")
    if isinstance(found, IncomingOrder):
        assert abs(found.total_fen) < 10**15
        assert all(is_storable(item.title + item.sku) for item in found.lines)
        assert is_storable(found.channel_order_id + found.note)


# reading over HTTP ------------------------------------------------------------------------------------------


async def test_weeks_are_read_window_by_window_and_page_by_page(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = [place(running.world, basket(), n, NOON + timedelta(seconds=n // 3)) for n in range(130)]
            placed += [place(running.world, basket(), n, NOON + timedelta(days=8, seconds=n)) for n in range(130, 140)]
            place(running.world, basket(), 140, NOON - timedelta(seconds=1))
            place(running.world, basket(), 141, NOON + timedelta(days=16))

        pages = await listed(channel(running), NOON, NOON + timedelta(days=15))

        assert [len(page) for page in pages] == [100, 30, 10]
        assert [order.channel_order_id for page in pages for order in page] == placed


async def test_order_that_moves_between_pages_hides_nobody(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = [place(running.world, basket(), n, NOON + timedelta(seconds=n)) for n in range(120)]
        seen: list[str] = []
        async for page in channel(running).orders_updated(NOON, NOON + timedelta(hours=1)):
            if not seen:
                moved = running.world.get(shop.ORDER, placed[0])
                assert moved is not None
                shop.save(running.world, moved, NOON + timedelta(hours=2))
            seen += [order.channel_order_id for order in page]

        assert set(seen) == set(placed)


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
        broken["order_detail"]["price_info"]["order_price"] = "many"
        shop.save(running.world, broken, NOON)

        [[first, second]] = await listed(channel(running), NOON, NOON + timedelta(seconds=1))

        assert isinstance(first, IncomingOrder)
        assert isinstance(second, Unreadable)
        assert second.channel_order_id == broken["order_id"]
        with pytest.raises(Refused, match="order_price"):
            await channel(running).order(broken["order_id"])


async def test_one_order_that_is_refused_stops_no_other(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = [place(running.world, basket(), n) for n in range(3)]
        running.world.set_fault("wechat_shop", "order/get", "wrong_key")  # any definite refusal

        [page] = await listed(channel(running), NOON, NOON + timedelta(seconds=1))

        assert sorted(order.channel_order_id for order in page) == placed
        assert [type(order) for order in page].count(Unreadable) == 1


async def test_token_that_ends_between_pages_is_renewed_once(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = [place(running.world, basket(), n) for n in range(120)]
        seen: list[str] = []
        async for page in channel(running).orders_updated(NOON, NOON + timedelta(seconds=1)):
            if not seen:
                running.world.set_fault("wechat_shop", "order/list/get", "token_expired")
            seen += [order.channel_order_id for order in page]

        assert seen == placed
        token = running.world.get(TOKEN, "")
        assert token is not None
        assert token["forced"] == []


async def test_token_that_is_refused_but_still_handed_out_is_replaced_by_force(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order_id = place(running.world, basket(), 0)
        wechat = channel(running)
        await wechat.order(order_id)
        running.world.set_fault("wechat_shop", "order/get", "token_invalid")

        assert (await wechat.order(order_id)).channel_order_id == order_id

        token = running.world.get(TOKEN, "")
        assert token is not None
        assert len(token["forced"]) == 1


async def test_two_connections_share_one_token(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        order_id = place(running.world, basket(), 0)
        first, second = channel(running), channel(running)
        for wechat in (first, second, first):
            assert (await wechat.order(order_id)).channel_order_id == order_id


async def test_key_of_another_filter_starts_the_window_again(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with running.world.transaction():
            placed = [place(running.world, basket(), n) for n in range(120)]
        seen: list[str] = []
        async for page in channel(running).orders_updated(NOON, NOON + timedelta(seconds=1)):
            if not seen:
                running.world.set_fault("wechat_shop", "order/list/get", "wrong_key")
            seen += [order.channel_order_id for order in page]

        assert seen == placed[:100] + placed


async def test_busy_and_limited_pages_are_read_again(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        placed = [place(running.world, basket(), n) for n in range(3)]
        for operation, kind in (("order/list/get", "busy"), ("order/get", "http_429"), ("order/get", "http_500")):
            running.world.set_fault("wechat_shop", operation, kind, detail={"retry_after": 0.1})

        [page] = await listed(channel(running), NOON, NOON + timedelta(seconds=1))

        assert [order.channel_order_id for order in page] == placed
        assert all(isinstance(order, IncomingOrder) for order in page)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("minute_quota", Later),
        ("day_quota", Later),
        ("http_429", Later),
        ("busy", Unclear),
        ("http_500", Unclear),
        ("drop", Unclear),
    ],
)
async def test_trouble_is_told_in_its_class(tmp_path: Path, fault: str, error: type[Exception]) -> None:
    async with sandbox(tmp_path) as running:
        order_id = place(running.world, basket(), 0)
        running.world.set_fault("wechat_shop", "order/get", fault)
        with pytest.raises(error):
            await channel(running).order(order_id)


async def test_trouble_with_the_token_says_that_nothing_happened(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        running.world.set_fault("wechat_shop", "stable_token", "http_500")
        with pytest.raises(Later, match="no access token"):
            await channel(running).order("1")


async def test_wrong_secret_and_unknown_order_are_refused(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        with pytest.raises(Refused, match="40125"):
            await channel(running, app_secret=SecretStr("wrong")).order("1")
        with pytest.raises(Refused, match="order not found"):
            await channel(running).order("1")


async def test_masked_receiver_becomes_clear_within_the_quota(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        wechat = channel(running)
        first, second = (place(running.world, basket(), n) for n in range(2))
        unpaid = place(running.world, basket(), 2, paid=False)
        running.world.put(LIMITS, "", {"decode": 1})

        receiver = await wechat.receiver(first)

        assert (receiver.name, receiver.phone, receiver.masked) == ("赵玉珍", "16000006978", False)
        assert (receiver.district, receiver.detail) == ("蜀山区", "李路184号27栋3单元2001室")
        assert await wechat.receiver(first) == receiver  # an order counts once
        with pytest.raises(Later, match="quota"):
            await wechat.receiver(second)
        with pytest.raises(Refused, match="not paid"):
            await wechat.receiver(unpaid)


# telling ----------------------------------------------------------------------------------------------------


async def test_whole_order_is_told_once_and_refused_the_second_time(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        wechat = channel(running)
        order = await wechat.order(place(running.world, basket(line(pet=PET), line("CAT-2", 3)), 0))
        notice = wechat.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        assert notice == wechat.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        assert await wechat.was_told_shipped(notice) is None

        await wechat.tell_shipped(notice)

        known = await wechat.was_told_shipped(notice)
        assert known is not None
        assert (known["delivery_id"], known["waybill_id"]) == ("SF", "SF1000000001")
        assert (await wechat.order(order.channel_order_id)).status == PlatformStatus.SHIPPED
        with pytest.raises(Refused, match="109001"):
            await wechat.tell_shipped(notice)
        [counted] = running.world.counts()
        assert (counted["operation"], counted["deliveries"], counted["effects"]) == ("order/delivery/send", 2, 1)


async def test_part_told_twice_ships_twice_because_there_is_no_key(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        wechat = channel(running)
        order = await wechat.order(place(running.world, basket(line(quantity=2)), 0))
        parcel = Parcel("SF1", "sf_express", "", ((order.lines[0].channel_line_id, 1),))
        notice = wechat.shipping_notice(order.channel_order_id, order.handles, parcel)

        await wechat.tell_shipped(notice)
        assert (await wechat.order(order.channel_order_id)).status == PlatformStatus.PART_SHIPPED
        await wechat.tell_shipped(notice)

        [counted] = running.world.counts()
        assert (counted["deliveries"], counted["effects"], counted["keys_twice"]) == (2, 2, 1)


@pytest.mark.parametrize("fault", ["timeout_after", "drop", "busy_after", "http_500_after"])
async def test_what_happened_unseen_is_unclear_and_asking_finds_it(tmp_path: Path, fault: str) -> None:
    async with sandbox(tmp_path) as running:
        wechat = channel(running, timeout=0.5)
        order = await wechat.order(place(running.world, basket(), 0))
        notice = wechat.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        running.world.set_fault("wechat_shop", "order/delivery/send", fault, detail={"seconds": 5})

        with pytest.raises(Unclear):
            await wechat.tell_shipped(notice)

        assert await wechat.was_told_shipped(notice) is not None
        assert sum(running.world.effects("wechat_shop", "order/delivery/send").values()) == 1


async def test_notice_for_an_unknown_carrier_or_line_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        wechat = channel(running)
        handles = {"products": {"1:2": {"product_id": "1", "sku_id": "2"}}}
        with pytest.raises(Refused, match="unknown_carrier"):
            wechat.shipping_notice("1", handles, Parcel("X1", "pigeon", "", (("1:2", 1),)))
        with pytest.raises(Refused, match="unknown_line"):
            wechat.shipping_notice("1", handles, Parcel("X1", "sf_express", "", (("2", 1),)))
