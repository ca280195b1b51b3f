"""Backorders: first paid, first served; and who is told what, when goods arrive."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models.allocation import allocate, feed
from models.backorder import (
    BackorderState,
    ExpectedReceipt,
    backorder_of,
    expected_date,
    is_anyone_before,
    leave_queue,
    queue,
    wait_for,
    wake_first,
)
from models.database import afterwards, transact
from models.fulfilment import Fulfilment, Stage
from models.settings import settings
from models.stock import StockShort, adjust, free, receive
from tests.models.build import NOW, engine_of
from tests.models.stockroom import (
    SH,
    SZ,
    TERMS,
    assert_accounts_agree,
    events,
    id_of,
    open_stockroom,
    part_of,
    promised,
    shelf,
)
from tests.models.test_stock_at_once import at_once

TODAY = date(2026, 11, 11)
LATER = NOW + timedelta(hours=2)


def waiting(session: Session, name: str, wanted: dict[str, int], paid: int) -> Fulfilment:
    """A fulfilment that waits for all that it takes, parked until tomorrow."""
    part = part_of(session, name, wanted, paid)
    at = NOW + timedelta(minutes=paid)
    wait_for(session, id_of(part), part.order_id, list(wanted), at, TODAY + timedelta(days=7), NOW)
    part.ready_at, part.waiting_on, part.waiting_why = NOW + timedelta(days=1), "backorder", "等货"
    session.add(part)
    session.flush()
    return part


def ready(session: Session, part: Fulfilment) -> datetime | None:
    """When it may be worked on, as the database has it now."""
    session.refresh(part)
    return part.ready_at


def test_the_queue_is_by_payment_whoever_came_first(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 0, "B": 0}})
    late = waiting(session, "1", {"A": 1}, paid=30)
    early = waiting(session, "2", {"A": 1, "B": 1}, paid=-30)
    waiting(session, "3", {"B": 1}, paid=0)

    assert [place.fulfilment_id for place in queue(session, ["A"])] == [early.id, late.id]
    assert is_anyone_before(session, ["A"], NOW, id_of(late))
    assert not is_anyone_before(session, ["A"], NOW - timedelta(minutes=30), id_of(late))
    assert not is_anyone_before(session, ["A"], NOW, id_of(early))
    assert not is_anyone_before(session, ["C"], NOW, id_of(late))


def test_waiting_twice_keeps_the_place_and_the_date_and_follows_what_is_missing(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 0, "B": 0}})
    part = part_of(session, "1", {"A": 1, "B": 1})
    told = TODAY + timedelta(days=3)

    again = [
        wait_for(session, id_of(part), part.order_id, skus, NOW, day, at)
        for skus, day, at in ((["B", "A"], told, NOW), (["B"], told + timedelta(days=9), LATER))
    ]

    assert again == [True, False]
    place = backorder_of(session, id_of(part))
    assert place is not None
    assert (place.skus, place.expected_on, place.since) == (["B"], told, NOW)
    assert [leave_queue(session, id_of(part), BackorderState.ENDED, LATER) for _ in range(2)] == [True, False]
    assert backorder_of(session, id_of(part)) is None
    assert wait_for(session, id_of(part), part.order_id, ["A"], NOW, told, LATER)


def test_goods_go_to_who_paid_first_and_a_newcomer_cannot_overtake(session: Session) -> None:
    # given: two who wait, and a newcomer who asks just when two pieces have arrived
    open_stockroom(session, {SZ: {"A": 0}})
    second = waiting(session, "1", {"A": 1}, paid=10)
    first = waiting(session, "2", {"A": 1}, paid=-10)
    newcomer = part_of(session, "3", {"A": 1}, paid=60)
    receive(session, SZ, "A", 2, "到货", "test", LATER)

    assert is_anyone_before(session, ["A"], NOW + timedelta(minutes=60), id_of(newcomer))
    assert feed(session, ["A"], LATER, TERMS) == [first.id, second.id]
    with pytest.raises(StockShort):
        allocate(session, newcomer, "test", LATER, TERMS)

    assert [promised(session, part) for part in (first, second, newcomer)] == [{(SZ, "A"): 1}, {(SZ, "A"): 1}, {}]
    assert [ready(session, part) for part in (first, second)] == [LATER, LATER]
    assert queue(session, ["A"]) == []
    assert events(session, "fed") == 2
    assert feed(session, ["A"], LATER, TERMS) == []


def test_who_needs_more_than_there_is_lets_the_next_pass(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 0, "B": 0}})
    much = waiting(session, "1", {"A": 5}, paid=-30)
    other = waiting(session, "2", {"A": 1, "B": 1}, paid=-20)
    little = waiting(session, "3", {"A": 2}, paid=-10)
    receive(session, SZ, "A", 3, "到货", "test", LATER)

    assert feed(session, ["A"], LATER, TERMS) == [little.id]

    assert [promised(session, part) for part in (much, other)] == [{}, {}]
    assert [place.fulfilment_id for place in queue(session, ["A", "B"])] == [much.id, other.id]
    assert shelf(session, SZ, "A") == (3, 2)

    receive(session, SZ, "A", 4, "到货", "test", LATER)
    receive(session, SZ, "B", 1, "到货", "test", LATER)
    assert feed(session, ["A", "B"], LATER, TERMS) == [much.id]
    assert shelf(session, SZ, "A") == (7, 7)


def test_who_waits_is_fed_from_several_warehouses(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 0}, SH: {"A": 0}})
    part = waiting(session, "1", {"A": 5}, paid=0)
    receive(session, SZ, "A", 2, "到货", "test", LATER)
    assert feed(session, ["A"], LATER, TERMS) == []
    receive(session, SH, "A", 3, "到货", "test", LATER)

    assert feed(session, ["A"], LATER, TERMS) == [part.id]

    assert events(session, "split") == 1
    assert [shelf(session, warehouse, "A") for warehouse in (SZ, SH)] == [(2, 2), (3, 3)]


@pytest.mark.parametrize("gone", ["cancelled", "moved on"])
def test_who_no_longer_waits_is_not_fed(session: Session, gone: str) -> None:
    open_stockroom(session, {SZ: {"A": 0}})
    part = waiting(session, "1", {"A": 1}, paid=-30)
    if gone == "cancelled":
        session.connection().execute(text("UPDATE orders SET cancel_requested_at = :now"), {"now": NOW})
    else:
        part.stage = Stage.RESERVED.value
        session.add(part)
    receive(session, SZ, "A", 1, "到货", "test", LATER)

    assert feed(session, ["A"], LATER, TERMS) == []
    assert shelf(session, SZ, "A") == (1, 0)


def expecting(session: Session, sku: str, quantity: int, day: date, arrived: datetime | None = None) -> None:
    """Goods on their way to Shenzhen."""
    session.add(ExpectedReceipt(warehouse=SZ, sku=sku, quantity=quantity, expected_on=day, arrived_at=arrived, note=""))
    session.flush()


def test_the_expected_date_is_that_of_the_receipt_that_fills_it_and_packing(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 0, "B": 0, "C": 0}})
    expecting(session, "A", 5, date(2026, 11, 15))
    expecting(session, "A", 5, date(2026, 11, 20))
    expecting(session, "B", 9, date(2026, 11, 17))
    expecting(session, "C", 9, date(2026, 11, 10))  # was to come yesterday
    expecting(session, "C", 9, date(2026, 11, 12), arrived=NOW)

    def day(**missing: int) -> date:
        return expected_date(session, missing, NOW, 7)

    assert day(A=5) == date(2026, 11, 17)
    assert day(A=6) == date(2026, 11, 22)
    assert day(A=1, B=1) == date(2026, 11, 19)
    assert day(A=11) == day(C=1) == date(2026, 11, 18)
    assert day() == expected_date(session, {"C": 1}, NOW, 0) == date(2026, 11, 12)
    # half past midnight in Shanghai is still yesterday in UTC
    assert expected_date(session, {"C": 1}, datetime.fromisoformat("2026-11-11T16:30:00Z"), 7) == date(2026, 11, 19)


def test_who_waits_first_is_woken_once_the_receipt_is_committed_and_not_before(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERLOOM_DATABASE_URL", database_url)
    settings.cache_clear()
    with engine_of(database_url) as engine, Session(engine) as session:
        open_stockroom(session, {SZ: {"A": 0, "B": 0}})
        first, second = waiting(session, "1", {"A": 1}, paid=-30), waiting(session, "2", {"A": 1}, paid=-20)
        other = waiting(session, "3", {"B": 1}, paid=-40)
        session.commit()
        seen: list[int] = []

        def arrive(inner: Session) -> None:
            receive(inner, SZ, "A", 1, "到货", "test", LATER)
            session.rollback()
            seen.extend(part.wake_seq for part in (first, second, other))

        transact(arrive)
        session.rollback()

        assert seen == [0, 0, 0]
        assert [part.wake_seq for part in (first, second, other)] == [1, 0, 0]
        transact(lambda inner: adjust(inner, SZ, "A", -1, "破损", "test", LATER))
        session.rollback()
        assert [part.wake_seq for part in (first, second, other)] == [1, 0, 0]
        assert wake_first(session, ["A", "B"]) == 2
    settings.cache_clear()


def test_feeding_at_once_gives_nothing_twice(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_stockroom(session, {SZ: {"A": 0, "B": 0}, SH: {"A": 0}})
            parts = [
                waiting(session, str(n), {"A": 2} if n % 3 else {"B": 1, "A": 1}, paid=n).id or 0 for n in range(12)
            ]
            receive(session, SZ, "A", 9, "到货", "test", LATER)
            receive(session, SH, "A", 3, "到货", "test", LATER)
            receive(session, SZ, "B", 2, "到货", "test", LATER)
            session.commit()

        results = at_once(engine, [partial(feed, skus=["A", "B"], now=LATER, terms=TERMS) for _ in range(4)])

        fed = [id for result in results if isinstance(result, list) for id in result]
        assert not [result for result in results if isinstance(result, Exception)]
        assert len(fed) == len(set(fed))
        assert set(fed) <= set(parts)
        with Session(engine) as session:
            assert_accounts_agree(session)
            assert [place.fulfilment_id for place in queue(session, ["A", "B"])] == sorted(set(parts) - set(fed))
            assert shelf(session, SZ, "B") == (2, 2)


def test_what_follows_a_commit_and_fails_does_not_undo_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given goods that arrive, and a look at the queue that the database refuses
    monkeypatch.setenv("ORDERLOOM_DATABASE_URL", database_url)
    settings.cache_clear()
    transact(lambda session: open_stockroom(session, {SZ: {"A": 1}}))

    def arrive(session: Session) -> str:
        receive(session, SZ, "A", 4, "到货", "test", NOW)
        afterwards(session, "look", lambda after: after.connection().execute(text("SELECT 1 / 0")))
        return "received"

    assert transact(arrive) == "received"

    assert transact(lambda session: free(session, SZ, "A")) == 5
    assert "left until it is looked at by itself" in caplog.text
    settings.cache_clear()
