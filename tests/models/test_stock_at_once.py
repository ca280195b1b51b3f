"""Stock under many hands: whoever asks at once, nobody gets what is not there, and nobody waits in a circle."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session

from models import reservation
from models.reservation import consume, release, reserve
from models.stock import StockShort, receive, transfer
from models.warehouse import Warehouse
from tests.models.build import CAN, NOW, WAREHOUSE, engine_of, open_shop
from tests.models.test_stock import SKUS, counters, fulfilment, shelves

Result = TypeVar("Result")


def at_once(engine: Engine, works: list[Callable[[Session], Result]]) -> list[Result | Exception]:
    """Do these in transactions of their own, started together; each one's result, or its exception."""
    start = Barrier(len(works))

    def run(work: Callable[[Session], Result]) -> Result | Exception:
        with Session(engine) as session:
            start.wait()
            try:
                result = work(session)
                session.commit()
                return result
            except Exception as error:
                session.rollback()
                return error

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works))


def wants_one(id: int, session: Session) -> None:
    """A fulfilment wants one can."""
    reserve(session, id, WAREHOUSE, {CAN: 1}, "test", NOW)


def test_exactly_one_of_eight_gets_the_last_one(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_shop(session, cans=1)
            ids = [fulfilment(session, str(number)) for number in range(8)]
            session.commit()

        results = at_once(engine, [partial(wants_one, id) for id in ids])

        assert results.count(None) == 1
        assert sum(isinstance(result, StockShort) for result in results) == 7
        with Session(engine) as session:
            assert counters(session) == (1, 1)
            assert session.execute(text("SELECT count(*) FROM reservation")).scalar_one() == 1


#: What everybody writes first: look, think, and write what was seen to fit.
LOOK_FIRST = """(SELECT seen.on_hand - seen.reserved FROM stock_item seen, pg_sleep(0.1)
WHERE (seen.warehouse, seen.sku) = (i.warehouse, i.sku)) >="""


def test_the_race_sees_that_checking_and_acting_apart_sells_the_last_one_twice(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = reservation._PROMISE_ONE.text
    assert sql.count("i.on_hand - i.reserved >=") == 1
    monkeypatch.setattr(reservation, "_PROMISE_ONE", text(sql.replace("i.on_hand - i.reserved >=", LOOK_FIRST)))
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_shop(session, cans=1)
            ids = [fulfilment(session, str(number)) for number in range(8)]
            session.execute(text("ALTER TABLE stock_item DROP CONSTRAINT promised_is_there"))
            session.commit()

        results = at_once(engine, [partial(wants_one, id) for id in ids])

        assert results.count(None) > 1
        with Session(engine) as session:
            assert counters(session) == (1, results.count(None))


def test_one_fulfilment_reserved_eight_times_at_once_is_promised_once(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_shop(session, cans=100)
            id = fulfilment(session)
            session.commit()

        results = at_once(engine, [lambda s: reserve(s, id, WAREHOUSE, {CAN: 3}, "test", NOW)] * 8)

        assert results == [None] * 8
        with Session(engine) as session:
            assert counters(session) == (100, 3)


def test_transfers_the_other_way_round_never_wait_in_a_circle(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_shop(session, cans=1000)
            session.add(Warehouse(code="WH-BJ", name="北京仓"))
            session.flush()
            receive(session, "WH-BJ", CAN, 1000, "期初", "test", NOW)
            session.commit()

        def work(from_: str, to: str) -> Callable[[Session], None]:
            def run(session: Session) -> None:
                for _ in range(20):
                    transfer(session, CAN, 3, from_, to, "调拨", "test", NOW)
                    session.commit()

            return run

        results = at_once(engine, [work(WAREHOUSE, "WH-BJ"), work("WH-BJ", WAREHOUSE)] * 4)

        assert results == [None] * 8
        with Session(engine) as session:
            assert (counters(session), counters(session, warehouse="WH-BJ")) == ((1000, 0), (1000, 0))


def test_skus_in_any_order_never_wait_in_a_circle(database_url: str) -> None:
    # given: eight workers that reserve, give back and take away the same four SKUs in every order
    rng = random.Random(7)
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_shop(session)
            shelves(session, 1000)
            ids = [fulfilment(session, str(number)) for number in range(32)]
            session.commit()

        def work(mine: list[int]) -> Callable[[Session], None]:
            orders = [rng.sample(SKUS, 4) for _ in mine]

            def run(session: Session) -> None:
                for id, skus in zip(mine, orders, strict=True):
                    reserve(session, id, WAREHOUSE, [(sku, 2) for sku in skus], "test", NOW)
                    session.commit()
                    consume(session, id, "test", NOW) if id % 2 else release(session, id, "test", NOW, "")
                    session.commit()

            return run

        results = at_once(engine, [work(ids[start::8]) for start in range(8)])

        assert results == [None] * 8
        with Session(engine) as session:
            gone = 2 * sum(id % 2 for id in ids)
            assert [counters(session, sku) for sku in SKUS] == [(1000 - gone, 0)] * 4
