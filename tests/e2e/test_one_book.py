"""A year of real baskets through every channel, and through spreadsheets: one and the same order book.

By default a sample of the year, the same each time; `ORDERLOOM_WHOLE_YEAR=1` takes all of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from integrations.sandbox import replay
from integrations.sandbox.baskets import Basket, basket
from integrations.sandbox.channel_pushes import OFF
from integrations.sandbox.history import HistoricOrder, customers, orders
from integrations.sandbox.order_sheets import SheetOrder, write_orders
from integrations.spreadsheets.order_sheet import NAME, open_sheet, propose, stage
from models.book import Taken, take_orders
from models.database import transact, utcnow
from models.window import Why
from tasks.intake import pull_channel
from tests.database import TemporaryServer
from tests.e2e.basket_book import (
    BookOrder,
    Loss,
    book_of,
    masked_receiver,
    no_order_of_lines,
    no_pets,
    no_sum_per_line,
    of_basket,
    pets_in_the_note,
)
from tests.e2e.played_shop import selling_everywhere
from tests.house import House

SAMPLE, SEED = 1_500, 20261101
FIRST_AT = datetime(2026, 10, 1, 4, 0, tzinfo=UTC)

#: What each channel cannot carry; everything else is the same on all of them, order by order and line by line.
CANNOT_CARRY: dict[str, tuple[Loss, ...]] = {
    "shopify": (),
    "wechat_shop": (masked_receiver, pets_in_the_note),
    "douyin": (masked_receiver,),
    "taobao": (masked_receiver, no_pets),
    "jd": (masked_receiver, no_pets, no_sum_per_line),
    "pinduoduo": (masked_receiver, no_pets, no_sum_per_line),
    "a.csv": (no_order_of_lines,),
    "b.xlsx": (no_order_of_lines,),
}
SHEETS = [name for name in CANNOT_CARRY if "." in name]


@pytest.fixture(scope="module")
def home(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that sells everywhere and hears nothing: what it has, it has read."""
    place = tmp_path_factory.mktemp("house")
    with selling_everywhere(database_server, place) as furnished:
        furnished.sandbox.world.put(OFF, "", {"off": True})
        yield furnished


@pytest.fixture(scope="module")
def year() -> list[tuple[HistoricOrder, datetime]]:
    """Baskets of the year in their order, one every second."""
    chosen = orders() if os.environ.get("ORDERLOOM_WHOLE_YEAR") else _sample()
    return [(order, FIRST_AT + timedelta(seconds=number)) for number, order in enumerate(chosen)]


def _sample() -> list[HistoricOrder]:
    places = sorted(Random(SEED).sample(range(len(orders())), SAMPLE))
    return [orders()[place] for place in places]


@pytest.mark.parametrize("channel", [name for name in CANNOT_CARRY if name not in SHEETS])
async def test_baskets_read_over_a_channel_make_the_book(
    home: House, year: list[tuple[HistoricOrder, datetime]], channel: str
) -> None:
    # given every basket placed on the platform, in its own words
    world, people = home.sandbox.world, customers()
    with world.transaction():
        ids = [replay.place(world, channel, order, people[order.customer_id], at) for order, at in year]
    # when the shop is read
    pulled = await pull_channel.fn(channel, FIRST_AT, year[-1][1] + timedelta(seconds=1), Why.BACKFILL)
    # then every basket is in the book once, and says what it said
    assert (pulled.error, pulled.told, pulled.held, pulled.missing) == ("", len(year), len(year), ())
    # what lies on the border of two of the platform's windows is read in both
    assert (pulled.counts[Taken.NEW], set(pulled.counts) - {Taken.NEW, Taken.KNOWN}) == (len(year), set())
    _is_the_book(channel, book_of(channel), dict(zip(ids, _baskets(year), strict=True)))


@pytest.mark.parametrize("name", SHEETS)
def test_baskets_read_from_a_spreadsheet_make_the_book(
    home: House, year: list[tuple[HistoricOrder, datetime]], name: str, tmp_path: Path
) -> None:
    # given every basket in a file as a back end exports it
    baskets = {f"XL{order.order_id}": sold for (order, _), sold in zip(year, _baskets(year), strict=True)}
    rows = [SheetOrder(id, at, sold) for (id, sold), (_, at) in zip(baskets.items(), year, strict=True)]
    write_orders(tmp_path / name, rows)
    # when it is staged with the columns that are proposed, and taken in
    sheet = open_sheet(tmp_path / name)
    mapping = propose(sheet.headers, sheet.sample()).confirm("wang.min")
    now, entered = utcnow(), 0
    with stage(sheet, mapping, shop=name, now=now) as staged:
        assert (staged.order_count, staged.questions) == (len(year), ())
        for batch in staged.orders(500):
            entered += transact(lambda session, batch=batch: take_orders(session, batch, now))[Taken.NEW]  # type: ignore[misc]
    # then it is the same book
    assert entered == len(year)
    _is_the_book(name, book_of(NAME, name), baskets)


def _baskets(year: list[tuple[HistoricOrder, datetime]]) -> list[Basket]:
    return [basket(order, customers()[order.customer_id], at) for order, at in year]


def _is_the_book(source: str, book: dict[str, BookOrder], baskets: dict[str, Basket]) -> None:
    """The book holds these baskets and no others, apart from what the source cannot carry."""
    assert book.keys() == baskets.keys()
    different = {}
    for id, sold in baskets.items():
        wanted, found = of_basket(sold), book[id]
        if no_sum_per_line in CANNOT_CARRY[source]:
            assert sum(line.paid_fen or 0 for line in found.lines) == wanted.total_fen
        for loss in CANNOT_CARRY[source]:
            # what has no place on the way is left out on both sides; the note's rules apply to what was sold
            wanted, found = loss(wanted), found if loss is pets_in_the_note else loss(found)
        if wanted != found:
            different[id] = (wanted, found)
    assert not different, f"{len(different)} of {len(baskets)} differ, the first: {next(iter(different.items()))}"
