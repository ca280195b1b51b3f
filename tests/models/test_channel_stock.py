"""What is remembered of the channels' numbers, and which SKUs are asked for next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session

from models.channel_stock import (
    changed,
    differs,
    note_errors,
    note_published,
    note_seen,
    of_channel,
    to_look_at,
    want,
)

NOON = datetime(2026, 11, 1, 4, tzinfo=UTC)
SHOP = ("shopify", "shop-1")


@pytest.mark.parametrize(
    ("seen", "wanted", "matters"),
    [
        (0, 0, False),
        (0, 1, True),
        (200, 199, True),
        (200, 201, True),
        (5000, 0, True),
        (1000, 1050, False),
        (1000, 1053, True),
        (1000, 950, False),
        (1000, 949, True),
    ],
)
def test_near_the_end_every_piece_counts_and_far_from_it_five_percent(seen: int, wanted: int, matters: bool) -> None:
    assert differs(seen, wanted) is matters


def test_what_differs_is_asked_for_first_and_the_rest_in_turns(session: Session) -> None:
    # given four SKUs that were seen one after the other, as they should be
    goods = {"A": 5, "B": 5, "C": 5, "D": 5}
    want(session, *SHOP, goods)
    assert to_look_at(session, *SHOP, goods, 3) == ["A", "B", "C"]
    for minute, sku in enumerate("DCBA"):
        note_seen(session, *SHOP, {sku: 5}, NOON + timedelta(minutes=minute))
    assert to_look_at(session, *SHOP, goods, 9) == ["D", "C", "B", "A"]
    # when one is wanted otherwise, one failed, and one is not listed
    want(session, *SHOP, {**goods, "A": 4})
    note_errors(session, *SHOP, {"B": "timeout"})
    note_seen(session, *SHOP, {"D": None}, NOON)
    # then those that differ or failed come first, and what is not listed has its turn
    assert to_look_at(session, *SHOP, goods, 9) == ["B", "A", "D", "C"]
    assert to_look_at(session, *SHOP, ["C", "UNKNOWN"], 9) == ["C"]


def test_only_what_changed_is_told(session: Session) -> None:
    want(session, *SHOP, {"A": 5, "B": 5, "C": 5})
    want(session, "douyin", "shop-1", {"A": 9})
    note_published(session, *SHOP, {"A": 5}, NOON)
    note_published(session, *SHOP, {"B": 5}, NOON - timedelta(minutes=5))
    note_errors(session, "douyin", "shop-1", {"A": "x" * 2000})

    found = changed(session, NOON)

    assert [(row.channel, row.sku, row.published, len(row.error)) for row in found] == [
        ("douyin", "A", None, 1000),
        ("shopify", "A", 5, 0),
    ]


def test_wanting_again_what_is_wanted_writes_nothing(session: Session) -> None:
    want(session, *SHOP, {"A": 5})
    session.commit()
    before = [row.model_dump() for row in of_channel(session, *SHOP)]
    want(session, *SHOP, {"A": 5})
    want(session, *SHOP, {})
    assert [row.model_dump() for row in of_channel(session, *SHOP)] == before
    note_published(session, *SHOP, {"A": 5, "UNKNOWN": 1}, NOON)
    [row] = of_channel(session, *SHOP)
    assert (row.seen, row.published, row.wanted, row.seen_at, row.published_at) == (5, 5, 5, NOON, NOON)
