"""Counts among lanes at work: whoever comes first, the accounts agree and nobody waits in a circle."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sqlalchemy import Engine, text
from sqlmodel import Session

from models.allocation import allocate
from models.counting import CountBusy
from models.fulfilment import Fulfilment, Stage
from models.reservation import consume, held_for, release
from models.stock import StockShort, free_everywhere
from tests.models.build import engine_of
from tests.models.stockroom import SZ, TERMS, assert_accounts_agree, id_of, open_stockroom, part_of, promised, shelf
from tests.models.test_counting import LATER, counted, reserved
from tests.models.test_stock_at_once import at_once


def take(id: int, session: Session) -> str:
    """What a lane does with a fulfilment: promise what it takes, if it is there."""
    part = session.get_one(Fulfilment, id, with_for_update=True)
    try:
        allocate(session, part, "test", LATER, TERMS)
    except StockShort:
        return "short"
    part.stage = Stage.RESERVED.value
    session.add(part)
    return "taken"


def ship(id: int, session: Session) -> str:
    """What a lane does when the parcel leaves, unless the promise has gone."""
    part = session.get_one(Fulfilment, id, with_for_update=True)
    if part.stage != Stage.RESERVED or not held_for(session, id):
        return "gone"
    consume(session, id, "ship", LATER)
    part.stage = Stage.SHIPPED.value
    session.add(part)
    return "shipped"


def drop(id: int, session: Session) -> str:
    """What a lane does when an order is cancelled."""
    session.get_one(Fulfilment, id, with_for_update=True)
    release(session, id, "wind-up", LATER, "取消")
    return "dropped"


def count_them(pieces: int, sku: str, session: Session) -> str:
    """What a person in the warehouse does, again if the orders are too quick."""
    counted(session, pieces, sku)
    return "counted"


def race(engine: Engine, wanted: list[dict[str, int]], counts: list[tuple[str, int]]) -> None:
    """Reserve, ship, drop and count at once; afterwards every account agrees and nobody met an error."""
    with Session(engine) as session:
        here = [id_of(reserved(session, f"H{n}", wants, paid=n)) for n, wants in enumerate(wanted)]
        fresh = [id_of(part_of(session, f"N{n}", wants, paid=-n)) for n, wants in enumerate(wanted[:4])]
        session.commit()
    works: list[Callable[[Session], str]] = [partial(count_them, pieces, sku) for sku, pieces in counts]
    works += [partial((ship, drop)[place % 2], id) for place, id in enumerate(here[:4])]
    works += [partial(take, id) for id in fresh]
    results = at_once(engine, works)
    wrong = [result for result in results if isinstance(result, Exception) and not isinstance(result, CountBusy)]
    assert not wrong, wrong
    with Session(engine) as session:
        assert_accounts_agree(session)


def test_counts_race_with_reserving_shipping_and_giving_back(database_url: str) -> None:
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_stockroom(session, {SZ: {"A": 40}})
            session.commit()
        race(engine, [{"A": 3}] * 8, [("A", 10), ("A", 12)])
        with Session(engine) as session:
            on_hand, reserved_now = shelf(session, SZ, "A")
            assert reserved_now <= on_hand


def test_a_count_and_an_order_of_several_skus_never_wait_in_a_circle(database_url: str) -> None:
    # given: somebody who has A already and is about to take C, as everybody does in this order
    with engine_of(database_url) as engine, Session(engine) as order, Session(engine) as looking:
        open_stockroom(order, {SZ: {"A": 9, "C": 9}})
        victim = id_of(reserved(order, "1", {"A": 2, "C": 2}, paid=0))
        newcomer = id_of(part_of(order, "2", {"A": 1, "C": 1}))
        order.commit()
        free_everywhere(order, ["A"], lock=True)

        with ThreadPoolExecutor(1) as warehouse:
            counting_c = warehouse.submit(_in_a_transaction, engine, partial(count_them, 1, "C"))
            while not looking.connection().execute(text(_SOMEBODY_WAITS)).scalar_one():
                assert not counting_c.done()
                looking.rollback()
            assert take(newcomer, order) == "taken"
            order.commit()
            assert counting_c.result() == "counted"

        assert promised(order, order.get_one(Fulfilment, newcomer)) == {(SZ, "A"): 1, (SZ, "C"): 1}
        assert promised(order, order.get_one(Fulfilment, victim)) == {}
        assert shelf(order, SZ, "C") == (1, 1)


_SOMEBODY_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def _in_a_transaction(engine: Engine, work: Callable[[Session], str]) -> str:
    with Session(engine) as session:
        result = work(session)
        session.commit()
        return result


def test_counts_and_orders_of_several_skus_race(database_url: str) -> None:
    # given: counts that make holders of A, B and C give back all, while others reserve A, B and C
    with engine_of(database_url) as engine:
        with Session(engine) as session:
            open_stockroom(session, {SZ: {"A": 60, "B": 60, "C": 60}})
            session.commit()
        race(engine, [{"C": 3, "A": 2, "B": 1}] * 10, [("C", 6), ("B", 4)])


def test_a_count_holds_whole_orders_before_it_holds_stock(database_url: str) -> None:
    # given an order in two parts, one of which is promised what is counted short
    with engine_of(database_url) as engine, Session(engine) as session:
        open_stockroom(session, {SZ: {"A": 5}})
        part = reserved(session, "1", {"A": 5}, paid=1)
        sibling = Fulfilment(order_id=part.order_id, number=2, warehouse=SZ, stage_since=LATER, ready_at=LATER)
        session.add(sibling)
        session.commit()
        lock = text("SELECT id FROM fulfilment WHERE id = :id FOR UPDATE SKIP LOCKED")
        # when it is counted, then the other part, which may have to be woken, is held as well
        counted(session, 0, "A")
        with Session(engine) as other:
            assert other.connection().execute(lock, {"id": sibling.id}).all() == []
        session.commit()
        with Session(engine) as other:
            assert len(other.connection().execute(lock, {"id": sibling.id}).all()) == 1
