"""A week of shadow in a minute: real channels are read, a lane carries the orders on paper, people do the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from openpyxl import load_workbook
from sqlalchemy import text
from sqlmodel import select

from flows.publish_stock import publish_stock
from flows.report_shadow import report_shadow
from integrations.channels import Parcel
from integrations.sandbox import replay
from models import shadow_report
from models.checks import check
from models.database import transact, utcnow
from models.effect import Effect, EffectState
from models.fulfilment import Fulfilment, Stage
from models.order import Order
from models.shadow import shipped_by_people
from models.shadow_report import Verdict, gather
from tasks.outside import platforms
from tasks.shadow_report import as_markdown, write_workbook
from tests.carrying import deploy_reviews, take_in, until
from tests.database import TemporaryServer
from tests.flows.running_lane import lane_here
from tests.house import House
from tests.orders import CHANNELS, Kind, entered, fulfilment_of, place
from tests.prefect import RunningServer
from tests.shadows import arrived, batches_are_due, people_at_work, shadow_house

pytestmark = pytest.mark.slow

#: Of each channel; with two more that a nutritionist decides on: twenty orders.
STOCKED, MADE = 4, 2


@pytest.fixture(scope="module")
def home(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house in shadow for the module."""
    with shadow_house(database_server, tmp_path_factory.mktemp("shadow")) as furnished:
        yield furnished


async def test_a_lane_carries_twenty_orders_on_paper_and_the_report_compares_them_with_people(
    home: House, prefect_server: RunningServer, tmp_path: Path
) -> None:
    # given twenty orders on three channels
    await deploy_reviews()
    ids = {channel: place(home, Kind.STOCKED, channel, STOCKED) for channel in CHANNELS}
    for channel in CHANNELS:
        ids[channel] += place(home, Kind.MADE, channel, MADE)
    costly = place(home, Kind.COSTLY, "shopify", 2)
    await take_in()
    orders = {channel: entered(found) for channel, found in ids.items()}
    assert sum(map(len, orders.values())) + len(entered(costly)) == 20

    # when a lane carries them, and the time comes at which the batches are expected
    async with lane_here(8):
        await until(
            lambda: _waits() == {"carrier": 12, "production": 6, "review": 2}, "all but those made are shipped", 120
        )
        batches_are_due()
        await until(lambda: _waits() == {"carrier": 18, "review": 2}, "what is made is shipped on paper too", 120)
    await publish_stock()

    # then nothing has arrived anywhere, and everything that would have is kept
    assert arrived(home.sandbox.world) == {}
    told = Counter(transact(lambda session: session.exec(select(Effect.kind)).all()))
    assert told == {"waybill": 18, "ship_notice": 18, "sms": 24, "production_release": 6, "staff_message": 1}
    assert set(transact(lambda session: session.exec(select(Effect.state)).all())) == {EffectState.SHADOW.value}
    assert [rule for rule in transact(lambda session: check(session, utcnow())) if rule.severity == "error"] == []

    # when people ship one order of each channel, and one that we leave to a nutritionist; and cancel another
    by_people = [found[0] for found in orders.values()] + entered(costly)[:1]
    with people_at_work():
        for order in by_people:
            await _ship(order)
    replay.cancel(home.sandbox.world, "shopify", ids["shopify"][1], utcnow())
    assert sum(arrived(home.sandbox.world).values()) == len(by_people)
    await take_in()
    for order in by_people:
        transact(lambda session, id=order.id: shipped_by_people(session, id or 0, utcnow()))

    # then what both have shipped is over, and the report says who did what
    assert [fulfilment_of(order).stage for order in by_people[:3]] == [Stage.CLOSED] * 3
    with patch.object(shadow_report, "SAME_TIME", timedelta(0)):  # people were seconds later, not hours
        report = transact(lambda session: gather(session, utcnow() - timedelta(days=7), utcnow()))
    assert report.received == {"shopify": 8, "wechat_shop": 6, "douyin": 6}
    assert Counter(order.verdict for order in report.orders) == {
        Verdict.EARLIER: 3,
        Verdict.WE_WAIT: 1,
        Verdict.WE_SHIPPED: 1,
        Verdict.AHEAD: 14,
        Verdict.PENDING: 1,
    }
    assert report.median_hours(Verdict.EARLIER) == pytest.approx(0.0, abs=0.1)
    assert report.agreement == pytest.approx(3 / 5)
    assert {order.order_no for order in report.disagreements} == {
        by_people[3].order_no,
        orders["shopify"][1].order_no,
    }
    assert report.told == dict(told)
    assert sum(report.waybills.values()) == 18
    assert report.messages == {"in_production": 6, "shipped": 18}
    assert report.reviews == {"金额超过 500 元": (2, 2)}
    assert (report.batches, report.quarantined, report.refunds) == (6, 0, 0)

    page = as_markdown(report)
    assert "可比较的 5 单里 **3 单一致(60.0%)**,2 单不一致;15 单还没有结果" in page
    assert f"| {by_people[3].order_no} | Shopify | 已锁库存,等待审核 |" in page
    assert "| 一致:我们更早 | 3 | 0.0 小时 |" in page and "SHADOW-…" in page
    _nothing_personal(home, page)
    book = tmp_path / "report.xlsx"
    write_workbook(report, book)
    rows = list(load_workbook(book)["逐单比较"].values)
    assert len(rows) == 21
    state = await report_shadow(7, return_state=True)
    assert state.name == "一致 60.0%,不一致 2 单"


async def test_a_live_installation_has_no_shadow_report(home: House, prefect_server: RunningServer) -> None:
    with people_at_work():
        state = await report_shadow(7, return_state=True)
    assert state.name == "不是影子模式"


def _waits() -> dict[str, int]:
    """How many fulfilments wait for what."""
    rows = transact(lambda session: session.exec(select(Fulfilment.waiting_on)).all())
    return dict(Counter(str(reason) for reason in rows))


async def _ship(order: Order) -> None:
    """Somebody ships the order on the channel, with a waybill of their own."""
    channel = platforms().channel(order.channel)
    now = await channel.order(order.channel_order_id)
    lines = tuple((line.channel_line_id, line.quantity) for line in now.lines)
    parcel = Parcel(f"SF{order.id}", "sf_express", "https://example.com/t/1", lines)
    await channel.tell_shipped(channel.shipping_notice(order.channel_order_id, now.handles, parcel))


def _nothing_personal(home: House, page: str) -> None:
    names = transact(lambda session: session.connection().execute(text("SELECT masked_phone FROM contact")).all())
    assert all(phone not in page for (phone,) in names if phone)
    assert "1600000" not in page
