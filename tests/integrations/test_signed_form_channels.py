"""What Taobao, JD and Pinduoduo have in common, against the played platforms, over HTTP."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from pydantic import SecretStr

from integrations.channels import Channel, Parcel, jd, pinduoduo, taobao
from integrations.channels.beijing_time import beijing_text
from integrations.channels.jd import Jd
from integrations.channels.jd_orders import read_order as read_jd
from integrations.channels.md5_signing import sign, signed_form
from integrations.channels.payload import incoming
from integrations.channels.pinduoduo import Pinduoduo
from integrations.channels.pinduoduo_orders import read_order as read_pinduoduo
from integrations.channels.taobao import Taobao
from integrations.channels.taobao_orders import read_order as read_taobao
from integrations.errors import Later, Refused, Unclear
from integrations.payments import RefundWish, Trade
from integrations.platforms import connect
from integrations.sandbox import jd_orders, pinduoduo_orders, taobao_orders
from integrations.sandbox.baskets import FLAWS, Basket, spoiled
from integrations.sandbox.credentials import settings_for_sandbox
from integrations.sandbox.gate import seen
from integrations.sandbox.listing_lag import hide
from integrations.sandbox.world import World
from models.intake import Incoming, IncomingOrder, PlatformStatus, Unreadable
from models.settings import Settings
from tests.integrations.hostile import bent, is_storable
from tests.integrations.sandbox_server import NOON, Running, basket, line, sandbox


@dataclass(frozen=True)
class Platform:
    """One of the three: how it is connected, who plays it, and what it calls things."""

    name: str
    made: Callable[..., Channel]
    module: ModuleType
    shop: ModuleType
    read: Callable[[Any, str], IncomingOrder]
    id_key: str
    listing: str
    detail: str
    shipment: str
    token: str  # the setting that holds the shop's authorisation
    secret: str
    page: str  # the parameter that counts pages


PLATFORMS = [
    Platform(
        "taobao", Taobao, taobao, taobao_orders, read_taobao, "tid",
        "taobao.trades.sold.increment.get", "taobao.trade.fullinfo.get", "taobao.logistics.offline.send",
        "session", "app_secret", "page_no",
    ),
    Platform(
        "jd", Jd, jd, jd_orders, read_jd, "orderId",
        "jingdong.pop.order.search", "jingdong.pop.order.get", "jingdong.pop.order.shipment",
        "access_token", "app_secret", "page",
    ),
    Platform(
        "pinduoduo", Pinduoduo, pinduoduo, pinduoduo_orders, read_pinduoduo, "order_sn",
        "pdd.order.number.list.increment.get", "pdd.order.information.get", "pdd.logistics.online.send",
        "access_token", "client_secret", "page",
    ),
]  # fmt: skip
on_each = pytest.mark.parametrize("platform", PLATFORMS, ids=lambda one: one.name)


def settings(running: Running) -> Settings:
    return Settings(**settings_for_sandbox(running.port, "http://127.0.0.1:9", more_channels=True))


def channel(platform: Platform, running: Running, timeout: float = 5.0, **changes: Any) -> Channel:
    known = getattr(settings(running), platform.name).model_copy(update=changes)
    return platform.made(known, running.client, timeout=timeout)


def place(platform: Platform, world: World, wanted: Basket, number: int, at: datetime = NOON) -> str:
    order = platform.shop.written(wanted, number, at, paid=True)
    platform.shop.save(world, order, at)
    return str(order[platform.id_key])


def place_all(platform: Platform, running: Running, count: int, every: float = 1.0) -> list[str]:
    with running.world.transaction():
        return [
            place(platform, running.world, basket(), n, NOON + timedelta(seconds=int(n * every))) for n in range(count)
        ]


def payload(platform: Platform) -> dict[str, Any]:
    """An order as the platform answers it."""
    wanted = basket(line(discount=499), line("CAT-2", 2))
    return seen(platform.shop.written(wanted, 7, NOON, paid=True))


async def listed(found: Channel, since: datetime, until: datetime) -> list[list[Incoming]]:
    return [page async for page in found.orders_updated(since, until)]


def parcel_of(order: IncomingOrder, waybill: str = "SF1000000001") -> Parcel:
    lines = tuple((item.channel_line_id, item.quantity) for item in order.lines)
    return Parcel(waybill, "sf_express", f"https://example.test/t/{waybill}", lines)


# translation ------------------------------------------------------------------------------------------------


@on_each
def test_order_is_read_to_the_fen_with_a_masked_receiver(platform: Platform) -> None:
    order = platform.read(payload(platform), "shop-1")

    assert (order.channel, order.shop, order.currency) == (platform.name, "shop-1", "CNY")
    assert order.status == PlatformStatus.TO_SHIP
    assert order.placed_at == order.updated_at == order.paid_at == NOON
    assert (order.total_fen, order.paid_fen, order.discount_fen) == (8500 + 17998, 8500 + 17998, 499)
    assert sum(item.paid_fen for item in order.lines) + order.freight_fen == order.total_fen
    assert [(item.sku, item.quantity, item.unit_price_fen) for item in order.lines] == [
        ("DOG-DRY-1", 1, 8999),
        ("CAT-2", 2, 8999),
    ]
    assert order.receiver is not None
    assert order.receiver.masked
    assert (order.receiver.province, order.receiver.city, order.receiver.district) == ("安徽省", "合肥市", "蜀山区")
    assert "玉珍" not in order.receiver.name
    assert "16000006978" not in json.dumps(order.raw)


@on_each
def test_unpaid_order_says_what_it_comes_to_and_that_nothing_was_paid(platform: Platform) -> None:
    order = platform.read(seen(platform.shop.written(basket(), 1, NOON, paid=False)), "s")
    assert (order.status, order.total_fen, order.paid_fen) == (PlatformStatus.AWAITING_PAYMENT, 8999, 0)
    assert order.paid_at is None


@on_each
def test_bent_payload_is_an_order_or_unreadable_and_never_an_error(platform: Platform) -> None:
    @given(order=bent(payload(platform)))
    @hypothesis_settings(max_examples=250, deadline=None)
    def holds(order: Any) -> None:
        found = incoming(platform.read, order, platform.name, "s", platform.id_key)
        if isinstance(found, IncomingOrder):
            assert abs(found.total_fen) < 10**15
            assert all(is_storable(item.title + item.sku) for item in found.lines)
            assert is_storable(found.channel_order_id + found.note)

    holds()


@on_each
def test_what_is_not_verified_is_named(platform: Platform) -> None:
    named: tuple[str, ...] = platform.module.UNVERIFIED
    told = f"{platform.module.__doc__}\n{sys.modules[platform.read.__module__].__doc__}"
    assert len(set(named)) == len(named) == told.count("\n- ")
    assert all(point in " ".join(told.split()) for point in named)


# reading over HTTP ------------------------------------------------------------------------------------------


@on_each
async def test_window_of_many_pages_is_read_whole(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        placed = place_all(platform, running, 250)
        place(platform, running.world, basket(), 250, NOON - timedelta(seconds=1))
        place(platform, running.world, basket(), 251, NOON + timedelta(hours=2))

        pages = await listed(channel(platform, running), NOON, NOON + timedelta(minutes=20))

        assert sorted(len(page) for page in pages) == [50, 100, 100]
        seen_ids = [order.channel_order_id for page in pages for order in page]
        assert sorted(seen_ids) == sorted(placed)
        assert all(isinstance(order, IncomingOrder) for page in pages for order in page)


@on_each
async def test_long_window_is_cut_to_what_the_platform_takes(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        placed = place_all(platform, running, 12, every=10_000)  # 1.3 days

        pages = await listed(channel(platform, running), NOON, NOON + timedelta(hours=32))

        # who changed on the border of two windows comes twice
        assert list(dict.fromkeys(order.channel_order_id for page in pages for order in page)) == placed


@on_each
async def test_order_on_the_border_of_two_windows_is_read_and_counted_once(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        border = NOON + timedelta(seconds=platform.module.LONGEST_WINDOW)
        placed = [place(platform, running.world, basket(), n, border) for n in range(3)]
        found = channel(platform, running)

        pages = await listed(found, NOON, border + timedelta(minutes=5))
        census = await found.census(NOON, border + timedelta(minutes=5))

        assert {order.channel_order_id for page in pages for order in page} == set(placed)
        assert (census.count, census.ids) == (3, frozenset(placed))


@on_each
async def test_orders_that_leave_the_window_between_pages_hide_nobody(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        placed = place_all(platform, running, 310)
        read: list[str] = []
        async for page in channel(platform, running).orders_updated(NOON, NOON + timedelta(minutes=20)):
            if not read:
                for order_id in (*placed[:5], *placed[150:155], *placed[-5:]):
                    moved = running.world.get(platform.shop.ORDER, order_id)
                    assert moved is not None
                    platform.shop.save(running.world, moved, NOON + timedelta(hours=5))
            read += [order.channel_order_id for order in page]

        remaining = set(placed) - {*placed[:5], *placed[150:155], *placed[-5:]}
        assert remaining <= set(read)


@on_each
async def test_orders_that_are_indexed_late_between_pages_hide_nobody(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        placed = place_all(platform, running, 310)
        late: list[str] = []
        read: list[str] = []
        async for page in channel(platform, running).orders_updated(NOON, NOON + timedelta(minutes=20)):
            if not read:
                late = [
                    place(platform, running.world, basket(), 400 + n, NOON + timedelta(seconds=20 * n))
                    for n in range(15)
                ]
            read += [order.channel_order_id for order in page]

        assert set(placed) | set(late) <= set(read)


@on_each
async def test_census_counts_and_lists_anew(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        placed = place_all(platform, running, 130)
        found = channel(platform, running)

        whole = await found.census(NOON, NOON + timedelta(minutes=20))
        hide(running.world, platform.shop.ORDER, placed[40], seconds=60)
        lagging = await found.census(NOON, NOON + timedelta(minutes=20))

        assert (whole.count, whole.ids) == (130, frozenset(placed))
        assert (lagging.count, lagging.ids) == (130, frozenset(placed) - {placed[40]})
        assert (await found.census(NOON - timedelta(days=1), NOON)).ids == {placed[0]}  # both ends belong to it


@on_each
async def test_listing_says_with_which_pages_it_is_asked(tmp_path: Path, platform: Platform) -> None:
    """A census breaks its pages elsewhere than the reading, and both end with the first page."""
    async with sandbox(tmp_path) as running:
        place_all(platform, running, 250)
        asked: list[tuple[int, int]] = []

        async def note(request: httpx.Request) -> None:
            form = dict(parse_qsl(request.content.decode()))
            if platform.listing in form.values():
                told = {**form, **json.loads(form.get("360buy_param_json", "{}"))}
                asked.append((int(told["page_size"]), int(told[platform.page])))

        running.client.event_hooks["request"].append(note)
        found = channel(platform, running)
        await listed(found, NOON, NOON + timedelta(minutes=20))
        await found.census(NOON, NOON + timedelta(minutes=20))

        assert asked == [(100, n) for n in (1, 3, 2, 1)] + [(60, n) for n in (1, 5, 4, 3, 2, 1)]


@on_each
async def test_orders_with_every_flaw_are_carried_over(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        for number, flaw in enumerate(FLAWS):
            place(platform, running.world, spoiled(basket(), flaw), number, NOON + timedelta(seconds=number))

        [page] = await listed(channel(platform, running), NOON, NOON + timedelta(minutes=1))

        found = {order.channel_order_id: order for order in page if isinstance(order, IncomingOrder)}
        assert len(found) == len(FLAWS)
        by_flaw = dict(zip(FLAWS, sorted(found.values(), key=lambda order: order.channel_order_id), strict=True))
        assert by_flaw["negative_quantity"].lines[0].quantity == -1
        off = by_flaw["money_does_not_add_up"]
        assert sum(item.paid_fen for item in off.lines) + off.freight_fen != off.total_fen == 8999 + 12345
        assert by_flaw["missing_address"].receiver is None
        assert all("\\u0000" not in json.dumps(order.raw) for order in found.values())


@on_each
async def test_one_unreadable_order_stops_no_other(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        place(platform, running.world, basket(), 0)
        broken = platform.shop.written(basket(), 1, NOON, paid=True)
        broken |= {"payment": "many", "orderPayment": "many", "pay_amount": "many"}
        platform.shop.save(running.world, broken, NOON)

        [page] = await listed(channel(platform, running), NOON, NOON + timedelta(seconds=1))

        assert sum(isinstance(order, IncomingOrder) for order in page) == 1
        [unread] = [order for order in page if isinstance(order, Unreadable)]
        assert unread.channel_order_id == str(broken[platform.id_key])
        with pytest.raises(Refused, match="many"):
            await channel(platform, running).order(str(broken[platform.id_key]))


@on_each
async def test_busy_throttled_and_broken_pages_are_read_again(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        placed = place_all(platform, running, 3)
        for kind in ("busy", "http_429", "http_500", "drop"):
            running.world.set_fault(platform.name, platform.listing, kind, detail={"retry_after": 0.1})

        [page] = await listed(channel(platform, running), NOON, NOON + timedelta(minutes=1))

        assert sorted(order.channel_order_id for order in page) == placed


@on_each
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("throttled", Later),
        ("http_429", Later),
        ("http_503", Later),
        ("busy", Unclear),
        ("http_500", Unclear),
        ("drop", Unclear),
        ("timeout_before", Unclear),
    ],
)
async def test_trouble_is_told_in_its_class(
    tmp_path: Path, platform: Platform, fault: str, error: type[Exception]
) -> None:
    async with sandbox(tmp_path) as running:
        order_id = place(platform, running.world, basket(), 0)
        running.world.set_fault(platform.name, platform.detail, fault, detail={"seconds": 5})
        with pytest.raises(error):
            await channel(platform, running, timeout=0.5).order(order_id)


@on_each
async def test_expired_authorisation_says_what_to_renew_and_hides_no_order(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        order_id = place(platform, running.world, basket(), 0)
        running.world.set_fault(platform.name, platform.detail, "session_expired")
        with pytest.raises(Refused, match=rf"重新授权.*{platform.token}.*\[{platform.name}\]"):
            await channel(platform, running).order(order_id)
        expired: dict[str, Any] = {platform.token: SecretStr("of last year")}
        old = channel(platform, running, **expired)
        with pytest.raises(Refused, match="重新授权"):
            await listed(old, NOON, NOON + timedelta(minutes=1))


@on_each
async def test_wrong_secret_and_unknown_order_are_refused(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        refusals = {"taobao": "Invalid Signature", "jd": "无效签名", "pinduoduo": "签名校验失败"}
        wrong: dict[str, Any] = {platform.secret: SecretStr("wrong")}
        with pytest.raises(Refused, match=refusals[platform.name]):
            await channel(platform, running, **wrong).order("1")
        with pytest.raises(Refused, match="不存在"):
            await channel(platform, running).order("1")


@on_each
async def test_changed_field_and_old_timestamp_are_not_accepted(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        known = getattr(settings(running), platform.name)
        secret = getattr(known, platform.secret).get_secret_value()
        sent: list[bytes] = []

        async def keep(request: httpx.Request) -> None:
            sent.append(request.content)

        running.client.event_hooks["request"].append(keep)
        order_id = place(platform, running.world, basket(), 0)
        await channel(platform, running).order(order_id)
        running.client.event_hooks["request"].clear()
        form = dict(parse_qsl(sent[0].decode()))

        async def ask(fields: dict[str, str]) -> str:
            return (await running.client.post(known.base_url, data=fields)).text

        assert form["sign"] == sign(form, secret)
        assert order_id in await ask(form)
        assert "error_response" in await ask({**form, "timestamp": form["timestamp"] + "0"})
        assert "error_response" in await ask({**form, "sign": form["sign"].lower()})
        assert "error_response" in await ask({**form, "extra": "1"})
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        old = str(int(an_hour_ago.timestamp())) if platform.name == "pinduoduo" else beijing_text(an_hour_ago)
        unsigned = {name: value for name, value in form.items() if name != "sign"}
        late = dict(parse_qsl(signed_form({**unsigned, "timestamp": old}, secret).decode()))
        assert "error_response" in await ask(late)


# telling ----------------------------------------------------------------------------------------------------


@on_each
async def test_whole_order_is_told_once_and_refused_the_second_time(tmp_path: Path, platform: Platform) -> None:
    async with sandbox(tmp_path) as running:
        found = channel(platform, running)
        order = await found.order(place(platform, running.world, basket(line(), line("CAT-2", 3)), 0))
        notice = found.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        assert notice == found.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        assert await found.was_told_shipped(notice) is None

        await found.tell_shipped(notice)

        known = await found.was_told_shipped(notice)
        assert known is not None
        assert "SF1000000001" in json.dumps(known)
        assert (await found.order(order.channel_order_id)).status == PlatformStatus.SHIPPED
        with pytest.raises(Refused, match="不允许"):
            await found.tell_shipped(notice)
        [counted] = running.world.counts()
        assert (counted["operation"], counted["deliveries"], counted["effects"]) == (platform.shipment, 2, 1)
        another = found.shipping_notice(order.channel_order_id, order.handles, parcel_of(order, "SF2"))
        assert await found.was_told_shipped(another) is None


@on_each
@pytest.mark.parametrize("fault", ["timeout_after", "drop", "busy_after", "http_500_after"])
async def test_what_happened_unseen_is_unclear_and_asking_finds_it(
    tmp_path: Path, platform: Platform, fault: str
) -> None:
    async with sandbox(tmp_path) as running:
        found = channel(platform, running, timeout=0.5)
        order = await found.order(place(platform, running.world, basket(), 0))
        notice = found.shipping_notice(order.channel_order_id, order.handles, parcel_of(order))
        running.world.set_fault(platform.name, platform.shipment, fault, detail={"seconds": 5})

        with pytest.raises(Unclear):
            await found.tell_shipped(notice)

        assert await found.was_told_shipped(notice) is not None
        assert sum(running.world.effects(platform.name, platform.shipment).values()) == 1


@on_each
async def test_notice_for_an_unknown_carrier_or_line_or_part_of_a_line_is_refused_before_it_is_sent(
    tmp_path: Path, platform: Platform
) -> None:
    async with sandbox(tmp_path) as running:
        found = channel(platform, running)
        with pytest.raises(Refused, match="unknown_carrier"):
            found.shipping_notice("1", {"lines": {"1": 1}}, Parcel("X1", "pigeon", "", (("1", 1),)))
        with pytest.raises(Refused, match="unknown_line"):
            found.shipping_notice("1", {"lines": {"1": 1}}, Parcel("X1", "sf_express", "", (("2", 1),)))
        with pytest.raises(Refused, match="part_of"):
            found.shipping_notice("1", {"lines": {"1": 2}}, Parcel("X1", "sf_express", "", (("1", 1),)))
        assert running.world.counts() == []


# the hub ----------------------------------------------------------------------------------------------------


@on_each
async def test_connected_channel_answers_for_the_payment_and_sends_people_to_the_console_for_refunds(
    tmp_path: Path, platform: Platform
) -> None:
    async with sandbox(tmp_path) as running:
        assert platform.name not in connect(running.settings, running.client).channels
        platforms = connect(settings(running), running.client)
        order_id = place(platform, running.world, basket(), 0)
        keeper = platforms.keeper(platform.name)

        record = await keeper.payment(Trade(order_id))

        assert (record.state, record.paid_fen, record.paid_at) == ("paid", 8999, NOON)
        wish = RefundWish("R-1", Trade(order_id), 8999, 8999, "CNY", "缺货", (), {})
        with pytest.raises(Refused, match="请在平台后台退款"):
            keeper.refund_request(wish)
        with pytest.raises(Refused, match="请在平台后台退款"):
            await keeper.refund(b"{}")
        assert await keeper.find_refund(b"{}") is None
        assert platform.name not in platforms.shelves
