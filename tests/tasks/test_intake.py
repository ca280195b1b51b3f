"""Reading a channel: how far, what when it breaks off in the middle, and what the operator reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlmodel import col, select

from flows.ingest_orders import outcome
from integrations.errors import Later
from models.database import transact, utcnow
from models.intake import Incoming, IncomingOrder
from models.window import PullMark, PullWindow
from tasks import intake
from tasks.intake import Pulled, not_connected, pull_again, pull_channel
from tasks.outside import platforms
from tests.e2e.told_once import events
from tests.house import House
from tests.orders import Kind, entered, place


async def test_a_window_begins_before_the_mark_so_that_late_orders_are_not_missed(home: House) -> None:
    # given a shop that was read just now
    await pull_channel.fn("shopify")
    mark = _mark("shopify")
    # when an order turns up there with a time before that
    ids = place(home, Kind.STOCKED)
    late = home.sandbox.world.get("shopify.order", ids[0])
    assert late is not None
    home.sandbox.world.put("shopify.order", ids[0], late, mark.until - timedelta(minutes=4))
    pulled = await pull_channel.fn("shopify")
    # then it is in the book, and the mark has moved on
    assert pulled.since == mark.until - timedelta(minutes=5)
    assert len(entered(ids)) == 1
    assert _mark("shopify").until == pulled.until > mark.until


async def test_what_broke_off_in_the_middle_is_kept_and_read_again(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a channel that breaks off after its first page, in a way that nobody foresaw
    await pull_channel.fn("douyin")
    before = _mark("douyin")
    ids = place(home, Kind.STOCKED, "douyin", 2)
    channel = platforms().channel("douyin")
    whole = channel.orders_updated

    async def broken(since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        async for page in whole(since, until):
            yield page
            raise KeyError("no such field")

    with monkeypatch.context() as breaking:
        breaking.setattr(channel, "orders_updated", broken)
        pulled = await pull_channel.fn("douyin")
    # then what was read is in the book, the mark is where it was, and says why
    assert pulled.sentence == "douyin 没有拉成:KeyError: 'no such field'"
    assert len(entered(ids)) == 2
    after = _mark("douyin")
    assert (after.until, after.error) == (before.until, "KeyError: 'no such field'")
    # and the next time everything is known already
    again = await pull_channel.fn("douyin")
    assert again.error == "" and again.counts.get("new", 0) == 0
    assert again.since == before.until - timedelta(minutes=5)
    assert [events(order) for order in entered(ids)] == [{"received": 1}] * 2
    assert _mark("douyin").error == ""


def test_the_operator_reads_one_sentence_per_channel() -> None:
    now = utcnow()
    pulled = Pulled("shopify", now, now, {"new": 3, "known": 2, "quarantined": 1})
    assert pulled.sentence == "shopify 新单 3、已有 2、隔离 1"
    assert Pulled("shopify", now, now).sentence == "shopify 没有新变化"


def _mark(channel: str) -> PullMark:
    return transact(lambda session: session.exec(select(PullMark).where(PullMark.channel == channel)).one())


def test_a_long_backfill_that_fails_says_no_more_than_a_state_holds() -> None:
    down = Pulled("shopify", utcnow(), utcnow(), error="x" * 300)
    state = outcome([down] * 1_600)
    assert state.is_failed() and len(str(state.message)) == 4_000


async def test_each_try_of_a_large_gap_goes_on_with_other_orders_until_all_are_there(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given five orders that no listing shows, one of which cannot be fetched yet, and two fetches a reading
    await pull_channel.fn("douyin")
    ids = sorted(place(home, Kind.STOCKED, "douyin", 5))
    channel = platforms().channel("douyin")
    whole, fetch, gone = channel.orders_updated, channel.order, {ids[0]}

    async def without(since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        async for page in whole(since, until):
            yield [order for order in page if order.channel_order_id not in ids]

    async def order(id: str) -> IncomingOrder:
        if id in gone:
            raise Later("douyin", "busy", "not now")
        return await fetch(id)

    monkeypatch.setattr(intake, "MOST_FETCHES", 2)
    monkeypatch.setattr(channel, "orders_updated", without)
    monkeypatch.setattr(channel, "order", order)
    # when the window is read again and again
    await pull_channel.fn("douyin")
    row = _newest_window()
    tries = [list(row.missing)]
    for _ in range(3):
        gone -= {ids[0]} if len(tries) == 3 else set()
        assert row.id is not None
        await pull_again.fn("douyin", row.id)
        row = _newest_window()
        tries.append(list(row.missing))
    # then each try is of the two that waited longest, and in the end nothing is missing
    assert tries == [[*ids[2:], ids[0]], [ids[4], ids[0]], [ids[0]], []]
    assert (row.state, row.missing_count, row.held) == ("whole", 0, row.told)
    assert len(entered(ids)) == 5


async def test_a_channel_that_is_not_connected_is_named_with_those_that_are(home: House) -> None:
    assert not_connected(["shopify", "douyin"]) == ""
    assert not_connected(["ebay", "douyin"]) == "没有接好渠道 ebay。可选:douyin、shopify、wechat_shop。"


def _newest_window() -> PullWindow:
    newest = select(PullWindow).where(PullWindow.channel == "douyin").order_by(col(PullWindow.id).desc()).limit(1)
    return transact(lambda session: session.exec(newest).one())
