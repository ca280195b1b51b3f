"""What a lane process does beside carrying orders: it hears what channels push, and publishes stock that has moved."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from sqlalchemy import text
from sqlmodel import Session, col, select

from deployments import hearing, publishing
from integrations.sandbox import shelves
from models import channel_stock
from models.database import engine, transact, utcnow
from models.hint import Hint
from models.settings import settings
from models.stock import adjust
from tests.buying import shelve_goods
from tests.house import House
from tests.orders import CHANNELS, Kind, entered, place
from tests.prefect import RunningServer

PATIENCE = 30.0  # seconds


async def test_an_order_that_is_pushed_is_in_the_book_before_anybody_pulls(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an ear that would not look again for an hour by itself
    monkeypatch.setattr(hearing, "SCAN", 3600.0)
    async with _beside(hearing.keep_hearing):
        await asyncio.sleep(0.5)
        # when customers order on the channels that push without being asked
        ids = [*place(home, Kind.STOCKED, "wechat_shop", 3), *place(home, Kind.STOCKED, "douyin", 3)]
        # then the orders are in the book
        await _until(lambda: len(entered(ids)) == 6)
    # and the hints say what came of them, in few visible runs
    hints = transact(lambda session: session.exec(select(Hint).where(col(Hint.channel_order_id).in_(ids))).all())
    assert {hint.state for hint in hints} == {"heard"}
    assert 1 <= await _runs("hear-channels") <= len(hints)


async def test_a_hint_whose_channel_is_down_is_heard_when_it_is_back(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "GATHER", 0.1)
    home.sandbox.world.set_fault("douyin", "order.orderDetail", "http_429", times=2, detail={"retry_after": 1})
    async with _beside(hearing.keep_hearing):
        ids = place(home, Kind.STOCKED, "douyin", 1)
        await _until(lambda: len(entered(ids)) == 1)
    hints = transact(lambda session: session.exec(select(Hint).where(Hint.channel_order_id == ids[0])).all())
    assert {hint.state for hint in hints} == {"heard"}
    assert max(hint.attempts for hint in hints) >= 2


async def test_stock_that_moves_is_shown_on_the_channels_at_once(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a publisher that looks at the ledger, and channels that show what there is
    monkeypatch.setattr(publishing, "LOOK", 0.2)
    monkeypatch.setattr(publishing, "PAUSE", 0.2)
    world = home.sandbox.world
    shelve_goods({"WH-EAST": {"MOVES-1": 100}})
    shelves.stock_shelves(world, {"MOVES-1": 90})
    transact(lambda session: [_seen(session, channel, {"MOVES-1": 90}) for channel in CHANNELS])
    async with _beside(publishing.keep_publishing):
        await asyncio.sleep(0.5)
        # when some of it breaks
        transact(lambda session: adjust(session, "WH-EAST", "MOVES-1", -60, "破损", "test", utcnow()))
        # then the channels show what is left, less the buffer
        await _until(lambda: [shelves.shown(world, channel, "MOVES-1") for channel in CHANNELS] == [36, 36, 36])
    assert await _runs("publish-stock") >= 1


async def test_nothing_is_published_while_nothing_moves(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "LOOK", 0.1)
    before = await _runs("publish-stock")
    async with _beside(publishing.keep_publishing):
        await asyncio.sleep(1.0)
    assert await _runs("publish-stock") == before


async def test_a_setting_that_is_broken_ends_no_publishing(monkeypatch: pytest.MonkeyPatch, home: House) -> None:
    # given settings that cannot be read, and stock that moves all the while
    monkeypatch.setattr(publishing, "LOOK", 0.05)
    moved, asked = itertools.count(), []

    async def ledger() -> int:
        return next(moved)

    def broken() -> list[str]:
        asked.append("")
        raise ValueError("shopify.shop: field required")

    monkeypatch.setattr(publishing, "_ledger", ledger)
    monkeypatch.setattr(publishing, "connected_shelves", broken)
    # then the publisher asks again at each movement
    async with _beside(publishing.keep_publishing):
        await _until(lambda: len(asked) >= 3)


async def test_a_database_that_is_away_for_a_moment_deafens_nobody(
    home: House, prefect_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "SCAN", 0.5)
    async with _beside(hearing.keep_hearing):
        await asyncio.sleep(0.5)
        # when every connection is cut under it
        transact(_cut_connections)
        engine().dispose()  # of our own, too
        ids = place(home, Kind.STOCKED, "douyin", 1)
        # then it hears on
        await _until(lambda: len(entered(ids)) == 1)


@asynccontextmanager
async def _beside(work: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    working = asyncio.ensure_future(work(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(working, PATIENCE)


async def _until(true: Callable[[], bool]) -> None:
    def wait() -> None:
        until = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < until
            time.sleep(0.2)

    await asyncio.to_thread(wait)


async def _runs(flow: str) -> int:
    async with get_client() as client:
        return len(await client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow]))))


def _seen(session: Session, channel: str, shown: dict[str, int]) -> None:
    """The channel was looked at, and showed what it should."""
    shop = _shop(channel)
    channel_stock.want(session, channel, shop, shown)
    channel_stock.note_seen(session, channel, shop, shown, utcnow())


def _shop(channel: str) -> str:
    """The shop of a channel."""
    return str(getattr(settings(), channel).shop)


def _cut_connections(session: Session) -> None:
    session.connection().execute(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )
