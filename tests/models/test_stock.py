"""Stock: nobody gets what is not there, and the counters are the sums of the ledger. At once: `test_stock_at_once`."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, InternalError
from sqlmodel import Session

from models.fulfilment import fulfilments_of
from models.pool import StockRule, in_buffer, set_rule
from models.product import Product, save_products
from models.reservation import Purpose, consume, held_for, keep, lose, release, reserve
from models.stock import LedgerBroken, NotThere, StockShort, adjust, free, free_everywhere, receive, transfer
from models.warehouse import Warehouse, home_warehouses
from tests.models.build import CAN, NOW, WAREHOUSE, incoming, open_shop, taken

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


def counters(session: Session, sku: str = CAN, warehouse: str = WAREHOUSE) -> tuple[int, int]:
    """(on hand, reserved), after making sure that both are the sums of the ledger and of the live reservations."""
    row = session.execute(
        text(
            "SELECT i.on_hand, i.reserved,"
            " (SELECT (sum(on_hand_change), sum(reserved_change)) = (i.on_hand, i.reserved)"
            " FROM stock_movement m WHERE m.warehouse = i.warehouse AND m.sku = i.sku) AS is_ledger,"
            " (SELECT coalesce(sum(quantity), 0) FROM reservation r"
            " WHERE (r.warehouse, r.sku, r.state) = (i.warehouse, i.sku, 'held')) AS held"
            " FROM stock_item i WHERE sku = :sku AND warehouse = :warehouse"
        ),
        {"sku": sku, "warehouse": warehouse},
    ).one()
    assert row.is_ledger
    assert row.held == row.reserved
    return row.on_hand, row.reserved


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
    set_rule(session, StockRule(sku=CAN, buffer_pieces=5, set_at=NOW))

    reserve(session, fulfilment(session), WAREHOUSE, {CAN: 10}, "test", NOW)

    assert counters(session) == (10, 10)
    assert free(session, WAREHOUSE, CAN) == 0
    assert in_buffer(session, WAREHOUSE, [CAN], 10) == [CAN]


@pytest.mark.parametrize("quantity", [0, -1])
def test_only_positive_quantities_are_reserved_or_received(session: Session, quantity: int) -> None:
    open_shop(session, cans=10)
    with pytest.raises(ValueError, match="必须为正数"):
        reserve(session, fulfilment(session), WAREHOUSE, [(CAN, 5), (CAN, quantity)], "test", NOW)
    with pytest.raises(ValueError, match="必须为正数"):
        receive(session, WAREHOUSE, CAN, quantity, "", "test", NOW)
    assert counters(session) == (10, 0)


def test_goods_and_ingredients_of_one_fulfilment_are_promised_together_and_used_up_apart(session: Session) -> None:
    open_shop(session, cans=10)
    shelves(session, 10)
    id = fulfilment(session)

    reserve(session, id, WAREHOUSE, {CAN: 2, "A-1": 1}, "test", NOW, ingredients={"A-1": 4}, expires_at=NOW)
    assert [(r.sku, r.purpose, r.quantity) for r in held_for(session, id)] == [
        ("A-1", "goods", 1),
        ("A-1", "ingredient", 4),
        (CAN, "goods", 2),
    ]
    assert (counters(session), counters(session, "A-1")) == ((10, 2), (10, 5))

    keep(session, id)
    session.expire_all()
    assert {r.expires_at for r in held_for(session, id)} == {None}

    assert consume(session, id, "test", NOW, Purpose.INGREDIENT) == 1
    assert counters(session, "A-1") == (6, 1)
    assert consume(session, id, "test", NOW) == 2
    assert (counters(session), counters(session, "A-1")) == ((8, 0), (5, 0))


def test_goods_and_ingredients_of_one_sku_must_fit_together(session: Session) -> None:
    open_shop(session, cans=10)
    shelves(session, 10)
    id = fulfilment(session)

    with pytest.raises(StockShort):
        reserve(session, id, WAREHOUSE, {"A-1": 6}, "test", NOW, ingredients={"A-1": 5})

    assert counters(session, "A-1") == (10, 0)
    assert held_for(session, id) == []


def test_what_is_not_on_the_shelf_ends_its_promise_and_leaves_the_ledger_once(session: Session) -> None:
    open_shop(session, cans=10)
    shelves(session, 5)
    id = fulfilment(session)
    reserve(session, id, WAREHOUSE, {CAN: 4, "A-1": 2}, "test", NOW)

    assert [lose(session, id, [CAN], "warehouse", NOW, "查无货") for _ in range(2)] == [1, 0]

    assert counters(session) == (6, 0)
    assert counters(session, "A-1") == (5, 2)


def test_a_correction_never_touches_what_is_promised(session: Session) -> None:
    open_shop(session, cans=10)
    reserve(session, fulfilment(session), WAREHOUSE, {CAN: 7}, "test", NOW)

    with pytest.raises(NotThere, match="只有 3 可动用,做不了 4:先盘点"):
        adjust(session, WAREHOUSE, CAN, -4, "破损", "test", NOW)
    assert counters(session) == (10, 7)

    adjust(session, WAREHOUSE, CAN, -3, "破损", "test", NOW)
    adjust(session, WAREHOUSE, CAN, 1, "找到", "test", NOW)
    assert counters(session) == (8, 7)


def test_a_transfer_moves_what_is_not_promised_and_nothing_else(session: Session) -> None:
    open_shop(session, cans=10)
    session.add(Warehouse(code="WH-BJ", name="北京仓"))
    session.flush()
    reserve(session, fulfilment(session), WAREHOUSE, {CAN: 7}, "test", NOW)

    with pytest.raises(NotThere, match="只有 3"), session.begin_nested():
        transfer(session, CAN, 4, WAREHOUSE, "WH-BJ", "调拨", "test", NOW)
    assert counters(session) == (10, 7)
    transfer(session, CAN, 3, WAREHOUSE, "WH-BJ", "调拨", "test", NOW)

    assert (counters(session), counters(session, warehouse="WH-BJ")) == ((7, 7), (3, 0))
    assert free_everywhere(session, [CAN]) == {(WAREHOUSE, CAN): 0, ("WH-BJ", CAN): 3}
    for from_, to, quantity in (("WH-BJ", "WH-BJ", 1), ("WH-BJ", WAREHOUSE, 0)):
        with pytest.raises(ValueError, match="调拨数量必须为正数"):
            transfer(session, CAN, quantity, from_, to, "调拨", "test", NOW)


def test_a_promise_that_the_counters_do_not_hold_is_reported_and_nothing_changes(session: Session) -> None:
    open_shop(session, cans=10)
    id = fulfilment(session)
    reserve(session, id, WAREHOUSE, {CAN: 4}, "test", NOW)
    session.execute(text("UPDATE stock_item SET reserved = 3 WHERE sku = :sku"), {"sku": CAN})

    with pytest.raises(LedgerBroken, match="orderloom check --repair"), session.begin_nested():
        release(session, id, "test", NOW, "")

    assert [r.quantity for r in held_for(session, id)] == [4]


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
        home_warehouses(session, [""])
    session.add(Warehouse(code="B", name="乙"))
    session.add(Warehouse(code="A", name="甲"))
    assert home_warehouses(session, [""]) == {"": "A"}
