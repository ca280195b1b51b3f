"""Reading a stretch of the past again: slice by slice, proved, as often as one likes."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, col, select

from flows.backfill_orders import backfill_orders, sliced
from integrations.sandbox import replay
from integrations.sandbox.history import customers, orders
from integrations.sandbox.shopify_operations import ALL_SCOPES, SCOPES
from models.database import transact, utcnow
from models.window import PullMark, PullWindow, Why
from tasks.intake import pull_channel
from tests.e2e.told_once import events
from tests.house import House
from tests.orders import entered
from tests.prefect import RunningServer


async def test_the_past_is_read_whole_and_the_mark_stays(home: House, prefect_server: RunningServer) -> None:
    # given orders over a day and a half, before the first pull ever reads
    await pull_channel.fn("douyin")
    mark = transact(lambda session: _mark(session))
    begin = utcnow().replace(microsecond=0) - timedelta(days=10)
    moments = [begin + timedelta(hours=hours) for hours in (0, 5, 6, 11.999, 20, 30)]
    ids = [_place(home, number, at) for number, at in enumerate(moments)]
    # when the stretch is read, twice
    states = [await backfill_orders(begin, begin + timedelta(hours=36), ["douyin"], return_state=True) for _ in "ab"]
    # then every order is in the book once, each slice has its proof, and the channel's mark has not moved
    assert [state.name for state in states] == ["新单 6", "没有新单"]
    assert [events(order) for order in entered(ids)] == [{"received": 1}] * 6
    windows = [row for row in transact(lambda session: _windows(session)) if row.channel == "douyin"]
    assert len(windows) == 12
    assert sum(window.told or 0 for window in windows) == 12
    assert all((window.state, window.held) == ("whole", window.told) for window in windows)
    assert transact(lambda session: _mark(session)) == mark


def test_slices_cover_the_stretch_without_gap_or_overlap() -> None:
    since, until = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, 1, tzinfo=UTC)
    slices = sliced(since, until)
    assert (slices[0][0], slices[-1][1], len(slices)) == (since, until, 5)
    assert all(one[1] == next_one[0] for one, next_one in itertools.pairwise(slices))


@pytest.mark.parametrize(
    ("since", "until", "name"),
    [
        (datetime(2026, 11, 1), None, "时间缺时区"),
        (datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC), "时间段不对"),
        (datetime(2020, 1, 1, tzinfo=UTC), None, "时间段不对"),
    ],
    ids=["without a zone", "backwards", "years"],
)
async def test_a_stretch_that_makes_no_sense_is_refused_in_words(
    home: House, prefect_server: RunningServer, since: datetime, until: datetime | None, name: str
) -> None:
    state = await backfill_orders(since, until, return_state=True)
    assert (state.name, state.is_failed()) == (name, True)


async def test_a_channel_that_is_not_connected_is_said_and_nothing_is_read(
    home: House, prefect_server: RunningServer
) -> None:
    before = len(transact(lambda session: _windows(session)))
    state = await backfill_orders(utcnow() - timedelta(days=1), None, ["taobao"], return_state=True)
    assert (state.name, state.is_failed()) == ("渠道没有接好", True)
    assert state.message == "没有接好渠道 taobao。可选:douyin、shopify、wechat_shop。"
    assert len(transact(lambda session: _windows(session))) == before


async def test_what_shopify_does_not_show_is_said_and_not_called_whole(
    home: House, prefect_server: RunningServer
) -> None:
    # given an app without the scope for all orders
    home.sandbox.world.put(SCOPES, "", {"handles": ["read_orders"]})
    before = len(transact(lambda session: _windows(session)))
    now = utcnow()
    try:
        # when a stretch is asked for that begins before what is shown
        since, until = now - timedelta(days=61, hours=1), now - timedelta(days=59.5)
        state = await backfill_orders(since, until, ["shopify"], return_state=True)
    finally:
        home.sandbox.world.put(SCOPES, "", {"handles": ALL_SCOPES})
    # then the run says since when orders were seen, and what is older was not called whole
    assert (state.name, state.is_failed()) == ("看不到较早的订单:shopify", True)
    assert "read_all_orders" in str(state.message)
    windows = transact(lambda session: _windows(session))[before:]
    assert [window.until > now - timedelta(days=60) for window in windows] == [True] * 3
    assert ["read_all_orders" in window.error for window in windows] == [True, False, False]
    # and with the scope the same time is whole
    state = await backfill_orders(since, now - timedelta(days=60.5), ["shopify"], return_state=True)
    assert (state.name, state.is_completed()) == ("没有新单", True)


def _place(home: House, number: int, at: datetime) -> str:
    order = orders()[number]
    return replay.place(home.sandbox.world, "douyin", order, customers()[order.customer_id], at)


def _mark(session: Session) -> datetime:
    return session.exec(select(PullMark.until).where(PullMark.channel == "douyin")).one()


def _windows(session: Session) -> list[PullWindow]:
    statement = select(PullWindow).where(PullWindow.why == Why.BACKFILL.value).order_by(col(PullWindow.id))
    return list(session.exec(statement))
