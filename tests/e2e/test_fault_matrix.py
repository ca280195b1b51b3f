"""Every fault that reading a shop can meet, on every channel: afterwards our book is the platform's, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlmodel import col, select

from integrations.sandbox import replay
from integrations.sandbox.channel_pushes import OFF
from models.database import transact
from models.window import PullMark, PullWindow, Why
from tests.database import TemporaryServer
from tests.e2e.played_shop import CHANNELS, LISTING, ONE, Clock, PlayedShop, selling_everywhere, short_pages_and_a_clock
from tests.e2e.reconciled import differences, received_otherwise_than_once
from tests.house import House
from tests.orders import entered

#: Who says that we are to wait a minute.
WAITS_LONG = {("jd", "throttled")}
#: On these the shop's authorisation cannot be renewed by us: its owner has to.
OWNER_RENEWS = ("taobao", "jd", "pinduoduo")
#: The settings that sign our calls.
SECRETS = {
    "shopify": ("access_token", "client_secret"),
    "wechat_shop": ("app_secret",),
    "douyin": ("app_secret",),
    "taobao": ("app_secret",),
    "jd": ("app_secret",),
    "pinduoduo": ("client_secret",),
}
#: Platforms that count orders which they do not list yet.
COUNTS_UNLISTED = [channel for channel in CHANNELS if channel != "wechat_shop"]
#: Platforms whose listing gives ids, and the orders one by one.
LIST_THEN_GET = ("wechat_shop", "taobao")
PLACED = 10  # orders: three pages


@pytest.fixture(scope="module")
def _furnished(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with selling_everywhere(database_server, tmp_path_factory.mktemp("house")) as furnished:
        furnished.sandbox.world.put(OFF, "", {"off": True})  # here everything has to be found by reading
        yield furnished


@pytest.fixture(scope="module")
def _clock() -> Iterator[Clock]:
    with short_pages_and_a_clock() as clock:
        yield clock


@pytest.fixture(params=CHANNELS)
async def shop(request: pytest.FixtureRequest, _furnished: House, _clock: Clock) -> PlayedShop:
    """A shop that was read up to now, whose platform does what it should."""
    _furnished.sandbox.world.clear_faults()
    _furnished.sandbox.world.set_clock(0)
    played = PlayedShop(_furnished, request.param, _clock)
    played.begin()
    return played


@pytest.mark.parametrize("fault", ["throttled", "service_failed", "http_500", "http_503", "drop"])
async def test_a_page_that_fails_is_asked_for_again(shop: PlayedShop, fault: str) -> None:
    # given a platform whose second page fails, four times
    ids = shop.place(PLACED)
    shop.fault(fault, after=1, times=4)
    # when it is pulled
    pulled = await shop.pull()
    # then everything is there; who is told to wait for long comes back with the next pull
    if (shop.channel, fault) in WAITS_LONG:
        assert pulled.error.startswith(f"{shop.channel} ")
        shop.home.sandbox.world.clear_faults()
        await _is_reconciled(shop, pulls=2)
    else:
        assert (pulled.error, pulled.told, pulled.held) == ("", PLACED, PLACED)
        await _is_reconciled(shop, pulls=1)
    assert len(entered(ids)) == PLACED


async def test_a_page_that_never_comes_is_asked_for_again(shop: PlayedShop) -> None:
    shop.place(PLACED)
    shop.fault("timeout_before", after=1, seconds=30.0)
    async with shop.watched(timeout=1.0):
        pulled = await shop.pull()
    assert (pulled.error, pulled.told, pulled.held) == ("", PLACED, PLACED)
    await _is_reconciled(shop, pulls=1)


async def test_a_token_that_expires_between_two_pages(shop: PlayedShop) -> None:
    # given a token that is over after the first page
    shop.place(PLACED)
    before = _mark(shop)
    shop.fault("token_expired", after=1)
    pulled = await shop.pull()
    # then we renew it and go on; what only the shop's owner can renew is said clearly, and nothing has moved
    if shop.channel in OWNER_RENEWS:
        assert pulled.error.startswith(f"{shop.channel} ")
        assert "重新授权" in pulled.error
        assert _mark(shop) == (before[0], pulled.error)
    else:
        assert (pulled.error, pulled.told, pulled.held) == ("", PLACED, PLACED)
    await _is_reconciled(shop, pulls=2)


async def test_a_reading_that_breaks_off_is_read_again(shop: PlayedShop) -> None:
    # given a platform that gives its first page and no more
    ids = shop.place(PLACED)
    before = _mark(shop)
    shop.fault("http_500", after=1, times=50)
    pulled = await shop.pull()
    # then the mark has not moved, and says why; what was read is kept
    assert pulled.error.startswith(f"{shop.channel} 500: ")
    assert _mark(shop) == (before[0], pulled.error)
    assert len(entered(ids)) < PLACED
    shop.home.sandbox.world.clear_faults()
    await _is_reconciled(shop, pulls=2)
    assert len(entered(ids)) == PLACED


async def test_pages_that_shift_while_they_are_read(shop: PlayedShop) -> None:
    # given orders that move away from under the reading, and one that turns up behind it
    early = shop.clock.passes()
    ids = shop.place(PLACED)
    late: list[str] = []

    def shift(operation: str, times: int) -> None:
        if (operation, times) == (LISTING[shop.channel], 2):
            for order_id in ids[:3]:
                replay.cancel(shop.home.sandbox.world, shop.channel, order_id, shop.there())
            late.extend(shop.place(at=early))

    async with shop.watched(shift):
        pulled = await shop.pull()
    # then what was still there is in the book after one reading
    assert pulled.error == ""
    assert len(late) == 1
    assert len(entered([*ids[3:], *late])) == PLACED - 2
    await _is_reconciled(shop, pulls=2)


async def test_a_page_that_comes_twice(shop: PlayedShop) -> None:
    shop.place(PLACED)
    shop.fault("repeat_page", after=1)
    pulled = await shop.pull()
    assert (pulled.error, pulled.told, pulled.held) == ("", PLACED, PLACED)
    await _is_reconciled(shop, pulls=1)


async def test_a_page_that_is_left_out_is_fetched_order_by_order(shop: PlayedShop) -> None:
    shop.place(PLACED)
    shop.fault("skip_page", after=1)
    pulled = await shop.pull()
    assert (pulled.error, pulled.told, pulled.held, pulled.missing) == ("", PLACED, PLACED, ())
    assert 2 <= pulled.fetched <= 4
    await _is_reconciled(shop, pulls=1)


async def test_an_order_that_is_counted_before_it_is_listed(shop: PlayedShop) -> None:
    # given an index that lags behind
    ids = shop.place(PLACED)
    shop.hide(ids[4], is_counted=True)
    pulled = await shop.pull()
    assert len(entered(ids)) == PLACED - 1
    # then the window says so where the platform counts, until the index has caught up
    assert (pulled.told, pulled.held) == (PLACED - (shop.channel not in COUNTS_UNLISTED), PLACED - 1)
    assert pulled.gap == (1 if shop.channel in COUNTS_UNLISTED else 0)
    shop.show(ids[4])
    if shop.channel not in COUNTS_UNLISTED:
        shop.clock.passes(timedelta(hours=1))
    await _is_reconciled(shop, pulls=2)
    assert len(entered(ids)) == PLACED


async def test_an_order_of_which_the_platform_knew_nothing_is_found_by_the_second_look(shop: PlayedShop) -> None:
    # given an index that lags behind, and a count that does too
    ids = shop.place(PLACED)
    shop.hide(ids[4], is_counted=False)
    pulled = await shop.pull()
    assert (pulled.told, pulled.held) == (PLACED - 1, PLACED - 1)
    # when it is listed only after windows overlap it no more, reading on does not find it
    shop.clock.passes(timedelta(minutes=15))
    await shop.pull()
    shop.show(ids[4])
    shop.clock.passes(timedelta(minutes=15))
    again = await shop.pull()
    assert (again.told, len(entered(ids))) == (0, PLACED - 1)
    # then looking again does
    shop.clock.passes(timedelta(minutes=30))
    await _is_reconciled(shop, pulls=2)
    assert len(entered(ids)) == PLACED
    assert _new_by_second_look(shop) == 1


@pytest.mark.parametrize("ahead", [180.0, -180.0])
async def test_clocks_that_differ_by_three_minutes(shop: PlayedShop, ahead: float) -> None:
    # given a platform whose clock is three minutes off, in what it writes and in what it checks
    shop.ahead = ahead
    shop.home.sandbox.world.set_clock(ahead)
    ids = shop.place(PLACED)
    pulled = await shop.pull()
    # then what lies in our past is read at once, what lies in our future when it has come
    assert pulled.error == ""
    assert len(entered(ids)) == (0 if ahead > 0 else PLACED)
    await _is_reconciled(shop, pulls=2)
    assert len(entered(ids)) == PLACED


async def test_a_secret_that_is_ours_no_more(shop: PlayedShop) -> None:
    # given a secret that was changed on the platform
    ids = shop.place(PLACED)
    before = _mark(shop)
    async with shop.watched(wrong={name: SecretStr("rotated") for name in SECRETS[shop.channel]}):
        pulled = await shop.pull()
    # then it is said clearly, and nothing has moved
    assert pulled.error.startswith(f"{shop.channel} ")
    assert _mark(shop) == (before[0], pulled.error)
    assert entered(ids) == []
    # when it is put right, then everything is there
    await _is_reconciled(shop, pulls=2)
    assert len(entered(ids)) == PLACED


async def test_orders_that_change_while_they_are_read(shop: PlayedShop) -> None:
    # given orders that are paid and cancelled between the listing and the getting, or between two pages
    unpaid = shop.place(2, paid=False)
    paid = shop.place(PLACED - 2)
    when = (ONE[shop.channel], 2) if shop.channel in LIST_THEN_GET else (LISTING[shop.channel], 2)
    changed = []

    def change(operation: str, times: int) -> None:
        if (operation, times) == when:
            changed.append(operation)
            for order_id in (paid[0], paid[-1]):
                replay.cancel(shop.home.sandbox.world, shop.channel, order_id, shop.there())
            for order_id in unpaid:
                replay.pay(shop.home.sandbox.world, shop.channel, order_id, shop.there())

    async with shop.watched(change):
        pulled = await shop.pull()
    # then the next reading brings the rest
    assert (pulled.error, len(changed)) == ("", 1)
    await _is_reconciled(shop, pulls=2)
    assert len(entered([*unpaid, *paid[1:-1]])) == PLACED - 2


async def _is_reconciled(shop: PlayedShop, pulls: int) -> None:
    """The fault was played, and so many pulls later the book is the platform's; the last of them brings nothing new."""
    assert shop.home.sandbox.world.unplayed() == []
    assert await shop.until_proved() <= pulls
    assert differences(shop.home, shop.channel) == []
    assert received_otherwise_than_once(shop.channel) == []


def _mark(shop: PlayedShop) -> tuple[datetime, str]:
    """Up to when the shop is read, and what went wrong since."""
    statement = select(PullMark.until, PullMark.error).where(PullMark.channel == shop.channel)
    until, error = transact(lambda session: session.exec(statement).one())
    return until, error


def _new_by_second_look(shop: PlayedShop) -> int:
    """How many orders of this story were found by looking again."""
    statement = select(PullWindow).where(PullWindow.channel == shop.channel, PullWindow.why == Why.SECOND_LOOK.value)
    rows = transact(lambda session: session.exec(statement.where(col(PullWindow.id) > shop.window_before)).all())
    return sum(row.counts.get("new", 0) for row in rows)
