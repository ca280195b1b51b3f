"""A book that is kept in shadow, and one that is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, select

from models.fulfilment import Stage, fulfilments_of
from models.settings import settings
from models.shadow import (
    BookMixed,
    ShadowBook,
    ShadowPush,
    is_shadow_book,
    keep_pushes,
    open_book_as,
    people_shipped_at,
    shipped_by_people,
)
from models.timeline import EventKind, timeline
from tests.models.factories import a_fulfilment, an_order

NOON = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)


@pytest.fixture
def in_shadow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of this process say shadow."""
    monkeypatch.setattr(settings(), "shadow", True)


def test_a_book_without_orders_becomes_a_shadow_once_and_for_good(session: Session) -> None:
    for _ in range(2):
        open_book_as(session, True, NOON)
    assert is_shadow_book(session)
    assert [row.since for row in session.exec(select(ShadowBook))] == [NOON]
    with pytest.raises(BookMixed, match="--shadow") as caught:
        open_book_as(session, False, NOON)
    assert "--shadow" in caught.value.english


def test_a_live_book_never_becomes_a_shadow(session: Session) -> None:
    open_book_as(session, False, NOON)
    an_order(session, NOON)
    with pytest.raises(BookMixed, match="正式的订单"):
        open_book_as(session, True, NOON)
    assert not is_shadow_book(session)
    open_book_as(session, False, NOON)


def test_a_live_book_leaves_somebody_elses_parcel_to_a_person(session: Session) -> None:
    order = an_order(session, NOON)
    assert order.id is not None
    a_fulfilment(session, order, NOON)
    assert not shipped_by_people(session, order.id, NOON)
    assert people_shipped_at(session, order.id) is None
    assert timeline(session, order.id) == []


@pytest.mark.usefixtures("in_shadow")
@pytest.mark.parametrize(
    ("stage", "after"),
    [
        (Stage.RECEIVED, Stage.RECEIVED),
        (Stage.SHIPPED, Stage.CLOSED),
        (Stage.DELIVERED, Stage.CLOSED),
        (Stage.CANCELLED, Stage.CANCELLED),
    ],
)
def test_in_shadow_what_both_have_shipped_is_over_and_the_rest_goes_on(
    session: Session, stage: Stage, after: Stage
) -> None:
    order = an_order(session, NOON, platform_updated_at=NOON - timedelta(minutes=9))
    assert order.id is not None
    a_fulfilment(session, order, NOON, stage=stage.value, **({"ready_at": None} if stage.final else {}))
    for minutes in (1, 5):
        assert shipped_by_people(session, order.id, NOON + timedelta(minutes=minutes))
    (part,) = fulfilments_of(session, order.id)
    assert part.stage == after
    assert people_shipped_at(session, order.id) == NOON - timedelta(minutes=9)
    told = [row for row in timeline(session, order.id) if row.kind == EventKind.SHIPPED_BY_PEOPLE]
    assert [row.detail["shadow"] for row in told] == [True]


def test_the_same_change_of_a_shelf_is_kept_once(session: Session) -> None:
    for minutes in (0, 5):
        keep_pushes(session, "douyin", "s", {"A": (3, 5), "B": (0, 2)}, NOON + timedelta(minutes=minutes))
    keep_pushes(session, "douyin", "s", {"A": (4, 5)}, NOON)
    rows = session.exec(select(ShadowPush).order_by(ShadowPush.sku, ShadowPush.seen)).all()
    assert [(row.sku, row.seen, row.shown, row.at) for row in rows] == [
        ("A", 3, 5, NOON),
        ("A", 4, 5, NOON),
        ("B", 0, 2, NOON),
    ]
