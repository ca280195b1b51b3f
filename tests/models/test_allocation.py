"""Allocation: the nearest warehouse that has all of it, else as few as possible, else nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import Session, select

from models.allocation import Need, allocate, needs_of, skus_of, split
from models.fulfilment import Fulfilment, FulfilmentLine, carried_by, fulfilments_of
from models.order import OrderLine
from models.product import Product, save_products
from models.recipe import save_ingredients, starter_recipes
from models.reservation import held_for
from models.rules_in_force import recipes_now
from models.stock import StockShort, receive, shelve
from tests.models.build import DRY, NOW, RECEIVER, incoming, made, taken
from tests.models.stockroom import (
    BJ,
    SH,
    SZ,
    TERMS,
    assert_accounts_agree,
    events,
    id_of,
    line,
    open_stockroom,
    order_for,
    part_of,
    parts_of,
    promised,
    shelf,
)


def test_the_nearest_warehouse_that_has_all_of_it_carries_the_order(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 9, "B": 1}, SH: {"A": 9, "B": 9}, BJ: {"A": 9, "B": 9}})
    near, middle, far = (
        part_of(session, "1", {"A": 2}),
        part_of(session, "2", {"A": 2, "B": 2}),
        part_of(session, "3", {"A": 2, "B": 2}, province="黑龙江省"),
    )

    assert [allocate(session, part, "test", NOW, TERMS) for part in (near, middle, far)] == [[], [], []]

    assert promised(session, near) == {(SZ, "A"): 2}
    assert promised(session, middle) == {(SH, "A"): 2, (SH, "B"): 2}
    assert promised(session, far) == {(BJ, "A"): 2, (BJ, "B"): 2}
    assert [part.warehouse for part in (near, middle, far)] == [SZ, SH, BJ]
    assert events(session, "split") == 0


def test_an_order_that_no_warehouse_fills_is_split_over_as_few_as_possible(session: Session) -> None:
    # given: the nearest has one of three lines, the farthest two, and none has all
    open_stockroom(session, {SZ: {"A": 5}, SH: {"B": 5}, BJ: {"B": 5, "C": 5}})
    order = order_for(session, "1", {"A": 1, "B": 2, "C": 3})
    (part,) = parts_of(session, order)

    allocate(session, part, "test", NOW, TERMS)

    parts = parts_of(session, order)
    assert sorted(part.warehouse for part in parts) == [BJ, SZ]
    assert {p.warehouse: promised(session, p) for p in parts} == {
        BJ: {(BJ, "B"): 2, (BJ, "C"): 3},
        SZ: {(SZ, "A"): 1},
    }
    assert [p.number for p in parts] == [1, 2]
    assert all(p.ready_at == NOW and p.stage == "received" for p in parts[1:])
    assert events(session, "split") == 1
    assert shelf(session, SH, "B") == (5, 0)


def test_one_line_too_large_for_every_warehouse_is_split_by_the_piece(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 4}, SH: {"A": 3}, BJ: {"A": 9}})
    order = order_for(session, "1", {"A": 12})
    (part,) = parts_of(session, order)

    allocate(session, part, "test", NOW, TERMS)

    parts = parts_of(session, order)
    carried = {p.warehouse: [piece.quantity for piece in carried_by(session, id_of(p))] for p in parts}
    assert carried == {SZ: [4], SH: [3], BJ: [5]}
    assert {p.warehouse: promised(session, p) for p in parts} == {
        SZ: {(SZ, "A"): 4}, SH: {(SH, "A"): 3}, BJ: {(BJ, "A"): 5},
    }  # fmt: skip


def test_two_lines_of_one_sku_are_not_each_promised_the_same_pieces(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 3}, SH: {"A": 3}})
    order = taken(session, incoming("1", line("A", 2, 1), line("A", 2, 2)))
    (part,) = parts_of(session, order)

    allocate(session, part, "test", NOW, TERMS)

    assert sum(sum(promised(session, p).values()) for p in parts_of(session, order)) == 4
    assert [shelf(session, SZ, "A"), shelf(session, SH, "A")] == [(3, 2), (3, 2)]


@pytest.mark.parametrize("wanted", [{"A": 8}, {"A": 1, "B": 1}, {"NONE": 1}])
def test_what_all_warehouses_together_lack_is_named_and_nothing_is_promised(
    session: Session, wanted: dict[str, int]
) -> None:
    open_stockroom(session, {SZ: {"A": 4, "B": 0}, SH: {"A": 3}})
    save_products(session, [Product(sku="NONE", title="无")])
    order = order_for(session, "1", wanted)
    (part,) = parts_of(session, order)

    with pytest.raises(StockShort) as short:
        allocate(session, part, "test", NOW, TERMS)

    lacking = {"A": {"A": (8, 7)}, "B": {"B": (1, 0)}, "NONE": {"NONE": (1, 0)}}[max(wanted)]
    assert short.value.missing == lacking
    assert "各仓库存不足" in str(short.value)
    assert [p.number for p in parts_of(session, order)] == [1]
    assert promised(session, part) == {}
    assert events(session, "split") == 0
    assert [shelf(session, SZ, "A"), shelf(session, SH, "A")] == [(4, 0), (3, 0)]


def test_using_the_buffer_is_said(session: Session) -> None:
    # given: twenty pieces, of which 10 % (two) are the buffer
    open_stockroom(session, {SZ: {"A": 20, "B": 20}})

    above = allocate(session, part_of(session, "1", {"A": 18, "B": 18}), "test", NOW, TERMS)
    into = allocate(session, part_of(session, "2", {"A": 1}), "test", NOW, TERMS)
    last = allocate(session, part_of(session, "3", {"A": 1, "B": 2}), "test", NOW, TERMS)

    assert (above, into, last) == ([], ["A"], ["A", "B"])


def test_repeated_calls_change_nothing(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 2}, SH: {"A": 9}})
    order = order_for(session, "1", {"A": 10})
    (part,) = parts_of(session, order)
    allocate(session, part, "test", NOW, TERMS)
    before = [(p.id, p.warehouse, promised(session, p)) for p in parts_of(session, order)]

    for again in parts_of(session, order):
        allocate(session, again, "test", NOW, TERMS)

    assert [(p.id, p.warehouse, promised(session, p)) for p in parts_of(session, order)] == before
    assert len(before) == 2
    assert events(session, "split") == 1
    assert_accounts_agree(session)


def test_a_promise_lasts_as_long_as_the_seller_says(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 9}})
    part = part_of(session, "1", {"A": 1})

    allocate(session, part, "test", NOW, replace(TERMS, reservation_lasts=timedelta(hours=5)))

    (held,) = held_for(session, id_of(part))
    assert held.expires_at == NOW + timedelta(hours=5)


def made_to_order(session: Session, packs: int) -> Fulfilment:
    """The fulfilment of so many packs that are made to order, its recipe matched; recipes and ingredients known."""
    save_products(session, [Product(sku=DRY, title="定制犬粮", weight_g=1500, price_fen=9_900, made_to_order=True)])
    save_ingredients(session, starter_recipes())
    order = taken(session, incoming("M", made(packs), receiver=RECEIVER))
    (part,) = parts_of(session, order)
    (piece,) = carried_by(session, id_of(part))
    piece.recipe = next(recipe.code for recipe in recipes_now(session).recipes.values() if recipe.species == "dog")
    session.add(piece)
    session.flush()
    return part


def stock_ingredients(session: Session, warehouse: str, part: Fulfilment, short: int = 0) -> Counter[str]:
    """Exactly the grams that it takes, `short` fewer of each; what it takes."""
    (need,) = needs_of(session, part.order_id, id_of(part))
    for sku, grams in need.grams.items():
        shelve(session, warehouse, sku)
        receive(session, warehouse, sku, grams - short, "到货", "test", NOW)
    return need.grams


def test_made_to_order_lines_are_promised_ingredients(session: Session) -> None:
    open_stockroom(session, {SZ: {}, SH: {}})
    part = made_to_order(session, 2)
    grams = stock_ingredients(session, SH, part)

    allocate(session, part, "test", NOW, TERMS)

    assert part.warehouse == SH
    assert promised(session, part) == {(SH, sku): quantity for sku, quantity in grams.items()}
    assert {r.purpose for r in held_for(session, id_of(part))} == {"ingredient"}
    assert skus_of(session, part.order_id, id_of(part)) == sorted(grams)


def test_a_made_to_order_line_is_never_split(session: Session) -> None:
    # given: two warehouses that together have nearly twice the ingredients, and neither enough
    open_stockroom(session, {SZ: {}, SH: {}})
    part = made_to_order(session, 2)
    for warehouse in (SZ, SH):
        stock_ingredients(session, warehouse, part, short=1)

    with pytest.raises(StockShort) as short:
        allocate(session, part, "test", NOW, TERMS)

    (need,) = needs_of(session, part.order_id, id_of(part))
    assert short.value.missing == {sku: (grams, 2 * (grams - 1)) for sku, grams in need.grams.items()}
    assert len(fulfilments_of(session, part.order_id)) == 1
    assert_accounts_agree(session)


def need(number: int, **takes: int) -> Need:
    """A line that takes one SKU, or grams of several."""
    (sku, quantity), *others = takes.items()
    part = FulfilmentLine(id=number, fulfilment_id=1, order_line_id=number, quantity=quantity)
    row = OrderLine(id=number, order_id=1, line_no=number, channel_line_id=str(number), sku=sku, quantity=quantity)
    return Need(part, row, grams=Counter(takes)) if others else Need(part, row, goods=Counter(takes))


def test_the_plan_takes_most_whole_lines_first_and_pieces_where_it_already_packs() -> None:
    free = {(SZ, "A"): 1, (SZ, "B"): 1, (SH, "C"): 4, (BJ, "A"): 5, (BJ, "C"): 4}
    a, b, c = need(1, A=1), need(2, B=1), need(3, C=6)

    plan = split([a, b, c], [SZ, SH, BJ], free)

    assert plan is not None
    assert {warehouse: [(n.line.sku, q) for n, q in lines] for warehouse, lines in plan.items()} == {
        SZ: [("A", 1), ("B", 1)], SH: [("C", 4)], BJ: [("C", 2)],
    }  # fmt: skip
    assert split([need(1, A=1, B=6)], [SZ, SH, BJ], free) is None
    assert split([need(1, C=9)], [SZ, SH, BJ], free) is None
    assert split([need(1, C=1)], [], free) is None


def test_lines_given_away_add_up_to_the_order(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 4, "B": 1}, SH: {"A": 3}, BJ: {"A": 9, "C": 2}})
    order = order_for(session, "1", {"A": 12, "B": 1, "C": 2})
    (part,) = parts_of(session, order)

    allocate(session, part, "test", NOW, TERMS)

    carried = session.exec(select(FulfilmentLine.order_line_id, FulfilmentLine.quantity)).all()
    by_line: Counter[int] = Counter()
    for line_id, quantity in carried:
        by_line[line_id] += quantity
    lines = session.exec(select(OrderLine).where(OrderLine.order_id == order.id)).all()
    assert {row.id: row.quantity for row in lines} == dict(by_line)
    assert_accounts_agree(session)
