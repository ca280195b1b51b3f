"""Listings read from the last page to the first, and sums spread over lines: without any platform."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.channels.apportioning import apportioned
from integrations.channels.beijing_time import beijing, beijing_or_none, beijing_text
from integrations.channels.last_page_first import Listing, Page
from integrations.channels.payload import Unparsable
from tests.integrations.sandbox_server import NOON


class Shelf:
    """A listing of one order a second, deep pages of which are empty."""

    def __init__(self, orders: int, deepest: int) -> None:
        self.at = [int(NOON.timestamp()) + second for second in range(orders)]
        self.deepest = deepest
        self.asked: list[int] = []

    async def page(self, start: int, end: int, page: int, size: int) -> Page:
        self.asked.append(page)
        found = [{"id": str(at)} for at in self.at if start <= at <= end]
        rows = found[(page - 1) * size : page * size] if page <= self.deepest else []
        return Page(rows, len(found))


async def test_window_beyond_the_ceiling_is_read_in_halves() -> None:
    shelf = Shelf(450, deepest=20)
    listing = Listing(shelf.page, 86_400, "id", ceiling=200)

    rows = [row["id"] async for page in listing.pages(NOON, NOON + timedelta(seconds=450), 10) for row in page]
    census = await listing.census(NOON, NOON + timedelta(seconds=450), 7)

    assert set(rows) == {str(at) for at in shelf.at}
    assert (census.count, census.ids) == (450, frozenset(rows))
    assert max(shelf.asked) <= 200 / 7 + 1


async def test_window_that_fits_a_page_is_asked_for_once() -> None:
    shelf = Shelf(10, deepest=20)
    [page] = [page async for page in Listing(shelf.page, 86_400, "id").pages(NOON, NOON + timedelta(minutes=1), 10)]
    assert (len(page), shelf.asked) == (10, [1])


async def test_row_without_an_id_is_counted_and_not_listed() -> None:
    async def page(start: int, end: int, page: int, size: int) -> Page:
        return Page([{"id": "1"}, {"id": None}, "nonsense"], 3)

    census = await Listing(page, 86_400, "id").census(NOON, NOON + timedelta(minutes=1), 10)
    assert (census.count, census.ids) == (3, frozenset({"1"}))


@given(st.lists(st.integers(0, 10**6), max_size=8), st.integers(0, 10**7))
def test_spread_sum_is_exact_and_no_line_pays_more_than_it_is_worth(worth: list[int], paid: int) -> None:
    spread = apportioned(worth, paid)
    if paid <= sum(worth):
        assert sum(spread) == paid
        assert all(0 <= share <= value for share, value in zip(spread, worth, strict=True))
    else:
        assert spread == worth


def test_sum_that_no_discount_explains_is_not_spread() -> None:
    assert apportioned([100, 200], 301) == [100, 200]
    assert apportioned([100, -200], 50) == [100, -200]
    assert apportioned([100], -1) == [100]


def test_beijing_time_goes_both_ways() -> None:
    assert beijing_text(NOON) == "2026-11-01 12:00:00"
    assert beijing("2026-11-01 12:00:00", "t") == NOON


@pytest.mark.parametrize("value", [None, "", "0001-01-01 00:00:00", "1970-01-01 08:00:00"])
def test_not_yet_is_no_time(value: object) -> None:
    assert beijing_or_none(value, "t") is None


@pytest.mark.parametrize("value", ["2026-13-01 00:00:00", "0", 5, [], "2026-11-01T12:00:00", "1969-01-01 00:00:00"])
def test_time_that_is_none_is_unparsable(value: object) -> None:
    with pytest.raises(Unparsable):
        beijing_or_none(value, "t")
