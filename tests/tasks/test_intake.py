"""Reading a channel: how far, what when it breaks off in the middle, and what the operator reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlmodel import select

from flows.ingest_orders import outcome
from models.database import transact, utcnow
from models.intake import Incoming
from models.window import PullMark
from tasks.intake import Pulled, pull_channel
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
