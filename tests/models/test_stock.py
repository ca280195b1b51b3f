"""Stock: nobody gets what is not there, whoever asks at once; and the counters are the sums of the ledger."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError, InternalError
from sqlmodel import Session

from models.fulfilment import fulfilments_of
from models.product import Product, save_products
from models.reservation import consume, release, reserve
from models.stock import StockShort, free, receive
from models.warehouse import Warehouse, home_warehouse
from tests.models.build import CAN, NOW, WAREHOUSE, engine_of, incoming, open_shop, taken

Result = TypeVar("Result")
SKUS = ["A-1", "B-2", "C-3", "D-4"]


def shelves(session: Session, each: int) -> None:
    """Four products with `each` pieces in stock."""
    save_products(session, [Product(sku=sku, title=sku) for sku in SKUS])
    for sku in SKUS:
        if each:
            receive(session, WAREHOUSE, sku, each, "到货", "test", NOW)


def fulfilment(session: Session, name: str = "1") -> int:
    """A fulfilment that nothing is promised to yet."""
    order = taken(session, incoming(name))
    assert order.id is not None
    (part,) = fulfilments_of(session, order.id)
    assert part.id is not None
    return part.id


def counters(session: Session, sku: str = CAN) -> tuple[int, int]:
    """(on hand, reserved), after making sure that both are the sums of the ledger and of the live reservations."""
    row = session.execute(
        text(
            "SELECT i.on_hand, i.reserved,"
            " (SELECT (sum(on_hand_change), sum(reserved_change)) = (i.on_hand, i.reserved)"
            " FROM stock_movement m WHERE m.warehouse = i.warehouse AND m.sku = i.sku) AS is_ledger,"
            " (SELECT coalesce(sum(quantity), 0) FROM reservation r WHERE r.sku = i.sku AND r.state = 'held') AS held"
            " FROM stock_item i WHERE sku = :sku"
        ),
        {"sku": sku},
    ).one()
    assert row.is_ledger
    assert row.held == row.reserved
    return row.on_hand, row.reserved


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


def test_reserving_promises_and_consuming_takes_away_once(session: Session) -> None:
    open_shop(session, cans=10)
    id = fulfilment(session)

    reserve(session, id, WAREHOUSE, {CAN: 4}, "test", NOW)
    reserve(session, id, WAREHOUSE, {CAN: 4}, "test", NOW)
    assert counters(session) == (10, 4)

    assert [consume(session, id, "test", NOW) for _ in range(2)] == [1, 0]
    assert counters(session) == (6, 0)
    assert release(session, id, "test", NOW, "太迟") == 0
    reserve(session, id, WAREHOUSE, {CAN: 4}, "test", NOW)
    assert counters(session) == (6, 0)


def test_releasing_gives_back_once_and_what_was_given_back_can_be_promised_again(session: Session) -> None:
    open_shop(session, cans=10)
    id = fulfilment(session)
    reserve(session, id, WAREHOUSE, {CAN: 4}, "test", NOW)

    assert [release(session, id, "test", NOW, "换配方") for _ in range(2)] == [1, 0]
    assert counters(session) == (10, 0)
    assert consume(session, id, "test", NOW) == 0

    reserve(session, id, WAREHOUSE, {CAN: 7}, "test", NOW)
    assert counters(session) == (10, 7)
    assert consume(session, id, "test", NOW) == 1
    assert counters(session) == (3, 0)


def test_lines_of_one_sku_are_summed_first(session: Session) -> None:
    open_shop(session, cans=10)
    id = fulfilment(session)
    session.commit()

    with pytest.raises(StockShort) as short:
        reserve(session, id, WAREHOUSE, [(CAN, 6), (CAN, 5)], "test", NOW)
    session.rollback()

    assert short.value.missing == {CAN: (11, 10)}
    assert "要 11 有 10" in str(short.value)
    assert counters(session) == (10, 0)


def test_all_or_nothing_names_everything_that_is_missing(session: Session) -> None:
    open_shop(session)
    shelves(session, 3)
    id = fulfilment(session)

    with pytest.raises(StockShort) as short, session.begin_nested():
        reserve(session, id, WAREHOUSE, {"A-1": 1, "B-2": 4, "D-4": 9, "NONE": 1}, "test", NOW)

    assert short.value.missing == {"B-2": (4, 3), "D-4": (9, 3), "NONE": (1, 0)}
    assert [counters(session, sku) for sku in SKUS] == [(3, 0)] * 4
    assert session.execute(text("SELECT count(*) FROM reservation")).scalar_one() == 0


def test_the_buffer_may_be_used_by_an_order_that_is_here(session: Session) -> None:
    open_shop(session, cans=10)
    session.execute(text("UPDATE stock_item SET buffer = 5 WHERE sku = :sku"), {"sku": CAN})

    reserve(session, fulfilment(session), WAREHOUSE, {CAN: 10}, "test", NOW)

    assert counters(session) == (10, 10)
    assert free(session, WAREHOUSE, CAN) == 0


@pytest.mark.parametrize("quantity", [0, -1])
def test_only_positive_quantities_are_reserved_or_received(session: Session, quantity: int) -> None:
    open_shop(session, cans=10)
    with pytest.raises(ValueError, match="必须为正数"):
        reserve(session, fulfilment(session), WAREHOUSE, [(CAN, 5), (CAN, quantity)], "test", NOW)
    with pytest.raises(ValueError, match="必须为正数"):
        receive(session, WAREHOUSE, CAN, quantity, "", "test", NOW)
    assert counters(session) == (10, 0)


def test_the_database_itself_refuses_negative_stock_and_a_changed_ledger(session: Session) -> None:
    open_shop(session, cans=1)
    for damage in ("UPDATE stock_item SET reserved = on_hand + 1", "UPDATE stock_item SET reserved = -1"):
        with pytest.raises(IntegrityError, match="promised_is_there"), session.begin_nested():
            session.execute(text(damage))
    for damage in ("UPDATE stock_movement SET on_hand_change = 9", "DELETE FROM stock_movement"):
        with pytest.raises(InternalError, match="append-only"), session.begin_nested():
            session.execute(text(damage))


def test_without_a_warehouse_the_operator_is_told_what_to_do(session: Session) -> None:
    with pytest.raises(LookupError, match="orderloom catalogue load"):
        home_warehouse(session)
    session.add(Warehouse(code="B", name="乙"))
    session.add(Warehouse(code="A", name="甲"))
    assert home_warehouse(session) == "A"


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


#: One thing that happens to stock: what, which fulfilment (of three), which SKU, how many.
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["receive", "reserve", "reserve", "release", "consume"]),
        st.integers(0, 2),
        st.lists(st.tuples(st.sampled_from(SKUS[:2]), st.integers(1, 6)), min_size=1, max_size=3),
    ),
    max_size=12,
)


def test_whatever_happens_counters_are_ledger_and_bounds_hold(session: Session) -> None:
    open_shop(session)
    shelves(session, 5)
    ids = [fulfilment(session, str(number)) for number in range(3)]

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(EVENTS)
    def play(events: list[tuple[str, int, list[tuple[str, int]]]]) -> None:
        on_hand = dict.fromkeys(SKUS[:2], 5)
        held: dict[int, dict[str, int]] = {}
        closed: set[int] = set()
        with session.begin_nested() as undone:
            for what, which, wanted in events:
                id = ids[which]
                total: dict[str, int] = {}
                for sku, quantity in wanted:
                    total[sku] = total.get(sku, 0) + quantity
                if what == "receive":
                    sku, quantity = wanted[0]
                    receive(session, WAREHOUSE, sku, quantity, "", "test", NOW)
                    on_hand[sku] += quantity
                elif what == "reserve":
                    promised = {sku: sum(kept.get(sku, 0) for kept in held.values()) for sku in on_hand}
                    enough = all(on_hand[sku] - promised[sku] >= quantity for sku, quantity in total.items())
                    asks = id not in held and id not in closed
                    try:
                        with session.begin_nested():
                            reserve(session, id, WAREHOUSE, wanted, "test", NOW)
                        assert enough or not asks
                        if asks:
                            held[id] = total
                    except StockShort:
                        assert asks and not enough
                elif what == "release":
                    assert release(session, id, "test", NOW, "") == len(held.pop(id, {}))
                else:
                    gone = held.pop(id, {})
                    assert consume(session, id, "test", NOW) == len(gone)
                    closed |= {id} if gone else set()
                    for sku, quantity in gone.items():
                        on_hand[sku] -= quantity
                for sku, there in on_hand.items():
                    assert counters(session, sku) == (there, sum(kept.get(sku, 0) for kept in held.values()))
            undone.rollback()
        session.expire_all()

    play()
