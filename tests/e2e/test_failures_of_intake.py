"""How other order systems failed at the door, and that this one does not (rows 7 to 10; numbers of public issues)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, text
from sqlmodel import Session, col, select

from integrations.sandbox import shopify_webhooks
from models import entry
from models.database import transact, utcnow
from models.hint import Hint
from models.intake import Incoming, IncomingOrder
from models.order import Order
from models.product import Product
from models.quarantine import Quarantined
from models.settings import settings
from models.window import PullMark, PullWindow
from tasks.hearing import hear
from tasks.intake import look_again, pull_channel
from tasks.outside import platforms
from tests.database import TemporaryServer
from tests.e2e.told_once import events
from tests.house import House, house
from tests.orders import CHANNELS, Kind, entered, place

DELIVERED_WITHIN = 20.0  # seconds


@pytest.fixture(scope="module")
def _furnished(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house")) as furnished:
        furnished.sandbox.world.put(
            shopify_webhooks.EVERYTHING_TO, "", {"uri": f"{settings().portal_url()}/webhooks/shopify"}
        )
        yield furnished


@pytest.fixture
def home(_furnished: House) -> Iterator[House]:
    """One house for all stories."""
    yield _furnished
    _furnished.sandbox.world.clear_faults()


@pytest.mark.parametrize(
    ("channel", "fault"), [("shopify", "repeat_webhooks"), ("wechat_shop", "repeat_push"), ("douyin", "repeat_push")]
)
async def test_7_the_same_delivery_twice_makes_one_order(home: House, channel: str, fault: str) -> None:
    """Row 7. ShopifySharp 919, saleor 14251: a repeated webhook made a second order."""
    # given a platform that delivers each of its pushes twice
    operation = "webhook" if channel == "shopify" else "push"
    home.sandbox.world.set_fault(channel, operation, fault, times=50)
    before = _hints(channel)
    # when orders are placed, and their hints are heard while the same orders are pulled
    ids = place(home, Kind.STOCKED, channel, 3)
    await _until(lambda: _hints(channel) - before >= 3 and _repeats(home, channel) > 0)
    await asyncio.gather(hear.fn(), pull_channel.fn(channel), hear.fn())
    # then each order is in the book once, whole
    assert [events(order)["received"] for order in entered(ids)] == [1, 1, 1]
    assert transact(lambda session: _orders(session, ids)) == 3


async def test_8_a_push_that_is_lost_or_fails_here_is_made_up_for_by_pulling(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 8. Shopify's own advice: webhooks come late, or not at all; answered 200 on an error, they are gone."""
    # given news that were never pushed, and news that came while the book could not be written
    home.sandbox.world.set_fault("douyin", "push", "lost_push", times=9)
    lost = place(home, Kind.STOCKED, "douyin", 2)
    before = _hints("wechat_shop")
    kept = place(home, Kind.STOCKED, "wechat_shop", 2)
    await _until(lambda: _hints("wechat_shop") - before >= 2)

    with monkeypatch.context() as broken:
        broken.setattr("tasks.hearing.take_orders", _full)
        with pytest.raises(OSError, match="no space"):
            await hear.fn()
    assert entered(kept) == entered(lost) == []
    # when the lease of who failed is over, and the channel is pulled
    transact(lambda session: session.connection().execute(text("UPDATE hint SET ready_at = now()")))
    await hear.fn()
    await pull_channel.fn("douyin")
    # then nothing is missing
    assert (len(entered(kept)), len(entered(lost))) == (2, 2)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_9_a_reading_that_dies_before_its_mark_moved_is_read_again(
    home: House, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 9. erpnext_shopify 190, airbyte 52592: the watermark moved, and what it stood for was not committed."""
    # given a reading whose page is never committed
    await pull_channel.fn(channel)
    before = _mark(channel)
    ids = place(home, Kind.STOCKED, channel, 2)
    with monkeypatch.context() as dying:
        dying.setattr("tasks.intake.take_orders", _full)
        pulled = await pull_channel.fn(channel)
    assert pulled.error == "OSError: no space left on device"
    assert (_mark(channel), entered(ids)) == (before, [])
    # when it is pulled again, then it is in the book
    again = await pull_channel.fn(channel)
    assert again.since == before - timedelta(minutes=5)
    assert (again.told, len(entered(ids))) == (again.held, 2)


async def test_9_an_order_that_moves_over_the_edge_of_a_window_is_in_one_of_them(home: House) -> None:
    """Row 9. woocommerce-square 382: orders updated within the second of the edge fell between two windows."""
    # given an order at the very edge between two windows, and one a second before
    edge = (utcnow() - timedelta(minutes=30)).replace(microsecond=0)
    at_edge, before = place(home, Kind.STOCKED, "douyin", 2)
    _move(home, at_edge, edge.timestamp())
    _move(home, before, edge.timestamp() - 1)
    # when both windows are read, then each holds its own
    first = await pull_channel.fn("douyin", edge - timedelta(minutes=2), edge)
    second = await pull_channel.fn("douyin", edge, edge + timedelta(minutes=2))
    assert (first.told, first.held, second.told, second.held) == (1, 1, 1, 1)
    assert len(entered([at_edge, before])) == 2


async def test_9_what_was_indexed_late_is_found_by_the_second_look(home: House) -> None:
    """Row 9. Late indexing: the listing did not know the order yet when its minute was read."""
    # given an order of an hour ago that no listing knew until now
    await pull_channel.fn("douyin")
    (late,) = place(home, Kind.STOCKED, "douyin")
    hour_ago = utcnow() - timedelta(minutes=70)
    _move(home, late, hour_ago.timestamp())
    transact(
        lambda session: session.connection().execute(
            text(
                "UPDATE pull_window SET since = :since, until = :until, looked_again_at = NULL"
                " WHERE id = (SELECT max(id) FROM pull_window WHERE channel = 'douyin')"
            ),
            {"since": hour_ago - timedelta(minutes=5), "until": hour_ago + timedelta(minutes=5)},
        )
    )
    # when the next pull comes, it does not see it; the second look does
    await pull_channel.fn("douyin")
    assert entered([late]) == []
    looked = await look_again.fn("douyin")
    assert looked is not None
    assert (looked.told, looked.held, len(entered([late]))) == (1, 1, 1)
    assert await look_again.fn("douyin") is None


async def test_9_a_page_that_the_platform_leaves_out_is_fetched_by_the_census(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 9. Moving pages: an order slipped from a page that was not read yet to one that was."""
    # given a reading that never sees one of three orders, and says nothing
    await pull_channel.fn("wechat_shop")
    ids = place(home, Kind.STOCKED, "wechat_shop", 3)
    channel = platforms().channel("wechat_shop")
    whole = channel.orders_updated

    async def without_one(since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        async for page in whole(since, until):
            yield [order for order in page if order.channel_order_id != ids[1]]

    with monkeypatch.context() as slipping:
        slipping.setattr(channel, "orders_updated", without_one)
        pulled = await pull_channel.fn("wechat_shop")
    # then the platform's own list has it, and it was fetched by its id
    assert (pulled.fetched, pulled.missing, pulled.error) == (1, (), "")
    assert len(entered(ids)) == 3
    newest = select(PullWindow).order_by(col(PullWindow.id).desc()).limit(1)
    row = transact(lambda session: session.exec(newest).one())
    assert (row.state, row.fetched) == ("whole", 1)


async def test_10_one_bad_order_stops_no_other(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 10. ecommerce_integrations 337, 338: one order that could not be written stopped the sync for all."""
    # given good orders around one that is spoiled, one that cannot be translated, and one that breaks our own code
    good = place(home, Kind.STOCKED, "douyin", 2)
    (spoiled,) = place(home, Kind.STOCKED, "douyin", flaw="missing_address")
    unreadable, breaks = place(home, Kind.STOCKED, "douyin", 2)
    document = home.sandbox.world.get("douyin.order", unreadable)
    assert document is not None
    home.sandbox.world.put("douyin.order", unreadable, {**document, "pay_amount": "many"})
    _breaks_our_code(breaks, monkeypatch)
    # when the channel is pulled
    pulled = await pull_channel.fn("douyin")
    # then the good ones are in the book, and each of the others is set aside with its reason
    assert pulled.error == ""
    assert len(entered(good)) == 2
    assert entered([spoiled, unreadable, breaks]) == []
    aside = transact(lambda session: _aside(session, [spoiled, unreadable, breaks]))
    assert aside == {spoiled: "address_missing", unreadable: "unreadable", breaks: "cannot_be_written"}


def _breaks_our_code(order_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on entering this order fails in a way that nobody foresaw, also when it comes alone."""
    whole = entry.line_columns

    def broken(incoming: IncomingOrder, catalogue: Mapping[str, Product]) -> list[dict[str, Any]]:
        if incoming.channel_order_id == order_id:
            raise ZeroDivisionError
        return whole(incoming, catalogue)

    monkeypatch.setattr(entry, "line_columns", broken)


def _move(home: House, order_id: str, to: float) -> None:
    """Have the platform say that this order was last changed at that moment."""
    document = home.sandbox.world.get("douyin.order", order_id)
    assert document is not None
    home.sandbox.world.put(
        "douyin.order", order_id, {**document, "update_time": int(to)}, datetime.fromtimestamp(to, UTC)
    )


def _full(*_: object) -> None:
    raise OSError("no space left on device")


async def _until(true: Callable[[], bool]) -> None:
    def wait() -> None:
        until = time.monotonic() + DELIVERED_WITHIN
        while not true():
            assert time.monotonic() < until
            time.sleep(0.1)

    await asyncio.to_thread(wait)


def _hints(channel: str) -> int:
    statement = select(func.count()).where(Hint.channel == channel)
    return transact(lambda session: session.exec(statement).one())


def _repeats(home: House, channel: str) -> int:
    """How many deliveries of a platform were repeats of one that had been answered."""
    counts = [row for row in home.sandbox.world.counts() if row["platform"] == channel]
    return sum(row["deliveries"] - row["keys"] for row in counts if row["operation"] in ("callback", "webhook"))


def _mark(channel: str) -> datetime:
    statement = select(PullMark.until).where(PullMark.channel == channel)
    return transact(lambda session: session.exec(statement).one())


def _orders(session: Session, ids: list[str]) -> int:
    return session.exec(select(func.count()).where(col(Order.channel_order_id).in_(ids))).one()


def _aside(session: Session, ids: list[str]) -> dict[str, str]:
    rows = session.exec(select(Quarantined).where(col(Quarantined.channel_order_id).in_(ids)))
    return {row.channel_order_id: row.faults[0]["code"] for row in rows}
