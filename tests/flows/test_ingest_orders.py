"""Pulling orders: once, whatever is repeated, and whoever else is down."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime

import pytest
from prefect.states import State
from sqlalchemy import func
from sqlmodel import Session, col, select

from flows.ingest_orders import catch_up, ingest_orders
from integrations.sandbox.world import World
from models.alone import alone
from models.database import transact
from models.order import Order
from models.quarantine import Quarantined
from models.window import PullMark
from tests.e2e.told_once import events
from tests.house import House
from tests.orders import CHANNELS, Kind, entered, place
from tests.prefect import RunningServer


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that is down is tried again within the run, but not after seconds of waiting."""
    monkeypatch.setattr(sys.modules[catch_up.__module__], "RETRY_AFTER", (0.0,))


async def test_reading_twice_changes_nothing(home: House, prefect_server: RunningServer) -> None:
    ids = [id for channel in CHANNELS for id in place(home, Kind.STOCKED, channel, 2)]
    first = await _ingest()
    before = _marks()
    second = await _ingest()
    assert (first.name, second.name) == ("新单 6", "没有新单")
    assert [events(order) for order in entered(ids)] == [{"received": 1}] * 6
    assert all(_marks()[channel] >= before[channel] for channel in CHANNELS)


async def test_reading_twice_at_once_takes_each_order_once(home: House, prefect_server: RunningServer) -> None:
    ids = [id for channel in CHANNELS for id in place(home, Kind.STOCKED, channel, 3)]
    states = await asyncio.gather(_ingest(), _ingest(), _ingest())
    assert all(state.is_completed() for state in states)
    assert len(entered(ids)) == transact(lambda session: _orders(session, ids)) == 9
    assert [events(order) for order in entered(ids)] == [{"received": 1}] * 9
    # the runs told of nine new orders together, not of nine each
    assert sum(int(str(state.name).split()[-1]) for state in states if str(state.name).startswith("新单")) == 9


async def test_a_channel_that_is_down_holds_no_other_and_keeps_its_mark(
    home: House, prefect_server: RunningServer
) -> None:
    # given a channel that takes no calls for a while, and new orders on all
    await _ingest()
    before = _marks()
    ids = [id for channel in CHANNELS for id in place(home, Kind.STOCKED, channel)]
    _down(home.sandbox.world, "shopify", "orders")
    # when they are read
    state = await _ingest()
    # then the others are in the book, and the run names the one that is not
    assert (state.name, state.is_completed()) == ("部分渠道不通:shopify", True)
    assert {order.channel for order in entered(ids)} == {"wechat_shop", "douyin"}
    after = _marks()
    assert after["shopify"] == before["shopify"]
    assert after["douyin"] > before["douyin"]
    # and when it answers again, nothing of it is missing
    home.sandbox.world.clear_faults()
    assert (await _ingest()).name == "新单 1"
    assert len(entered(ids)) == 3


async def test_a_channel_that_is_still_being_read_holds_no_other(home: House, prefect_server: RunningServer) -> None:
    # given a run that is not done with one channel
    ids = [id for channel in CHANNELS for id in place(home, Kind.STOCKED, channel)]
    async with alone("intake douyin") as mine:
        assert mine
        # when the next one comes, then it reads the others
        state = await _ingest()
    assert state.name == "新单 2"
    assert "douyin 正由另一个运行在读" in str(state.message)
    assert {order.channel for order in entered(ids)} == {"shopify", "wechat_shop"}
    # and the one after reads that one too
    assert (await _ingest()).name == "新单 1"


async def test_with_every_channel_down_the_run_fails(home: House, prefect_server: RunningServer) -> None:
    _down(home.sandbox.world, "shopify", "orders")
    state = await ingest_orders(channels=["shopify"], return_state=True)
    assert (state.name, state.is_failed()) == ("渠道不通", True)
    assert "shopify 没有拉成" in str(state.message)


async def test_a_bad_order_among_good_ones_is_set_aside_and_the_others_enter(
    home: House, prefect_server: RunningServer
) -> None:
    good = place(home, Kind.STOCKED, "shopify", 2)
    bad = [*place(home, flaw="unknown_sku"), *place(home, flaw="control_characters")]
    state = await _ingest()
    assert state.name == "新单 2"
    assert "隔离 2" in str(state.message)
    assert len(entered(good)) == 2
    assert entered(bad) == []
    assert transact(lambda session: _set_aside(session, bad)) == [["control_characters"], ["unknown_sku"]]
    # and reading them again neither lets them in nor sets them aside twice
    await _ingest()
    assert entered(bad) == []
    assert len(transact(lambda session: _set_aside(session, bad))) == 2


async def _ingest() -> State:
    state: State = await ingest_orders(return_state=True)
    return state


def _down(world: World, platform: str, operation: str) -> None:
    """Told to come back in ten minutes, the reader does so with the next pull."""
    world.set_fault(platform, operation, "http_429", times=9, detail={"retry_after": 600})


def _marks() -> dict[str, datetime]:
    marks = transact(lambda session: session.exec(select(PullMark)).all())
    return {mark.channel: mark.until for mark in marks}


def _orders(session: Session, ids: list[str]) -> int:
    return session.exec(select(func.count()).where(col(Order.channel_order_id).in_(ids))).one()


def _set_aside(session: Session, ids: list[str]) -> list[list[str]]:
    """The fault codes of what is set aside under these ids."""
    rows = session.exec(select(Quarantined).where(col(Quarantined.channel_order_id).in_(ids)))
    return sorted(sorted({fault["code"] for fault in row.faults}) for row in rows)


async def test_a_channel_that_is_not_connected_is_said_and_nothing_is_read(
    home: House, prefect_server: RunningServer
) -> None:
    ids = place(home, Kind.STOCKED, "douyin")
    state = await ingest_orders(channels=["douyin", "ebay"], return_state=True)
    assert (state.name, state.is_failed()) == ("渠道没有接好", True)
    assert state.message == "没有接好渠道 ebay。可选:douyin、shopify、wechat_shop。"
    assert entered(ids) == []
