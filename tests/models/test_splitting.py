"""Splitting and joining by hand: every piece is carried once, every promise counted once, until it is too late."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from models import compensation, stock_check
from models.allocation import allocate, needs_of
from models.cancellation import request_cancellation
from models.compensation import Cause
from models.effect import WAYBILL
from models.fulfilment import Fulfilment, FulfilmentLine, Stage, carried_by
from models.intake import IncomingOrder
from models.joining import join
from models.order import Order, lines_of
from models.parcel import keep_parcel
from models.production import WorkOrder
from models.reservation import Purpose, held_for
from models.splitting import SplitRefused, split_off
from models.stock import receive, shelve
from models.timeline import EventKind, note, timeline
from tests.models.build import DRY, NOW, cans, claimed, incoming, made, open_shop, taken, told, wanted
from tests.models.stockroom import (
    BJ,
    SH,
    SZ,
    TERMS,
    assert_accounts_agree,
    id_of,
    limits,
    open_stockroom,
    order_for,
    parts_of,
    promised,
    shelf,
)

LATER = NOW + timedelta(minutes=1)


def reserved(session: Session, order: Order, stage: Stage = Stage.RESERVED) -> None:
    """Promise the order's only part everything, and move it on."""
    (part,) = parts_of(session, order)
    allocate(session, part, "test", NOW, TERMS)
    put_at(session, order, stage)


def put_at(session: Session, order: Order, stage: Stage) -> None:
    for part in parts_of(session, order):
        part.stage = stage.value
        session.add(part)
        for kind in (EventKind.RESERVED, EventKind.APPROVED, EventKind.PRODUCED):
            note(session, order.id or 0, kind, "test", NOW, part.id)
    session.flush()


def with_recipe(session: Session, order: IncomingOrder, stage: Stage) -> Order:
    """The order with its recipes matched, promised goods and ingredients."""
    known = taken(session, order)
    wanted(session, claimed(session, known))
    known.payment_verified_at = NOW
    session.add(known)
    reserved(session, known, stage)
    return known


def line_ids(session: Session, order: Order) -> dict[str, int]:
    return {line.sku: line.id or 0 for line in lines_of(session, order.id or 0)}


def carries(session: Session, part: Fulfilment) -> dict[str, int]:
    lines = {line.id: line.sku for line in lines_of(session, part.order_id)}
    return {lines[row.order_line_id]: row.quantity for row in carried_by(session, id_of(part))}


def test_pieces_go_to_a_part_of_their_own_and_their_promise_with_them(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 5, "B": 5}})
    order = order_for(session, "1", {"A": 3, "B": 2})
    reserved(session, order, Stage.APPROVED)
    ids = line_ids(session, order)

    new = split_off(session, order, {ids["A"]: 1, ids["B"]: 2}, "王敏", LATER)

    one, other = parts_of(session, order)
    assert (other.id, other.number, other.warehouse, other.stage) == (new.id, 2, SZ, "approved")
    assert [carries(session, part) for part in (one, other)] == [{"A": 2}, {"A": 1, "B": 2}]
    assert [promised(session, part) for part in (one, other)] == [{(SZ, "A"): 2}, {(SZ, "A"): 1, (SZ, "B"): 2}]
    assert [shelf(session, SZ, sku) for sku in "AB"] == [(5, 3), (5, 2)]
    assert other.ready_at is not None and other.ready_at <= LATER
    (told_of,) = [e for e in timeline(session, order.id or 0) if e.kind == "split"]
    assert (told_of.actor, told_of.detail["goods"]) == ("王敏", "SH-1001-2 带走 商品 × 1、商品 × 2")


def test_parts_put_together_are_one_again(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 5, "B": 5}})
    order = order_for(session, "1", {"A": 3, "B": 2})
    reserved(session, order)
    before = [(carries(session, p), promised(session, p), p.warehouse) for p in parts_of(session, order)]
    ids = line_ids(session, order)
    split_off(session, order, {ids["A"]: 1}, "王敏", LATER)
    split_off(session, order, {ids["B"]: 1}, "王敏", LATER, number=1)
    assert len(parts_of(session, order)) == 3

    join(session, order, [1, 2, 3], "王敏", LATER)

    one, *others = parts_of(session, order)
    assert [(carries(session, one), promised(session, one), one.warehouse)] == before
    assert [(part.stage, part.ready_at, carries(session, part), promised(session, part)) for part in others] == [
        ("cancelled", None, {}, {})
    ] * 2
    assert [e.detail["into"] for e in timeline(session, order.id or 0) if e.kind == "joined"] == ["SH-1001-1"] * 2
    assert_accounts_agree(session)


def test_parts_of_two_warehouses_are_joined_where_one_has_it_all_and_it_is_asked(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 2}, SH: {"B": 2}})
    order = order_for(session, "1", {"A": 2, "B": 2})
    reserved(session, order)
    with pytest.raises(SplitRefused, match="没有一个仓库能发全部货品"):
        join(session, order, [1, 2], "王敏", LATER)
    assert sorted(part.warehouse for part in parts_of(session, order)) == [SH, SZ]
    assert [shelf(session, SZ, "A"), shelf(session, SH, "B")] == [(2, 2), (2, 2)]

    shelve(session, SH, "A")
    receive(session, SH, "A", 2, "到货", "test", NOW)
    joined = join(session, order, [1, 2], "王敏", LATER, check_minutes=5)

    assert joined.warehouse == SH
    assert promised(session, joined) == {(SH, "A"): 2, (SH, "B"): 2}
    assert shelf(session, SZ, "A") == (2, 0)
    check = stock_check.open_check_of(session, id_of(joined))
    assert check is not None and (check.warehouse, check.skus) == (SH, ["A", "B"])
    assert check.due_at == LATER + timedelta(minutes=5)


def test_what_is_there_goes_ahead_of_what_is_waited_for(session: Session) -> None:
    # given an order of which one line is there and another is not
    open_stockroom(session, {SZ: {"A": 5, "B": 0}})
    order = order_for(session, "1", {"A": 1, "B": 1})

    new = split_off(session, order, {line_ids(session, order)["A"]: 1}, "王敏", LATER)

    assert (new.stage, promised(session, new)) == ("received", {})
    allocate(session, new, "test", LATER, TERMS)
    assert promised(session, new) == {(SZ, "A"): 1}
    # and put together again, what is promised stays promised
    new.stage = Stage.RESERVED.value
    session.add(new)
    joined = join(session, order, [1, 2], "王敏", LATER)
    assert (joined.number, joined.stage) == (1, "received")
    assert promised(session, joined) == {(SZ, "A"): 1}
    assert shelf(session, SZ, "A") == (5, 1)


def test_an_open_stock_check_is_asked_about_each_part(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 5, "B": 5}})
    order = order_for(session, "1", {"A": 1, "B": 1})
    reserved(session, order)
    (part,) = parts_of(session, order)
    stock_check.open_check(session, part, ["A", "B"], 5, NOW)

    new = split_off(session, order, {line_ids(session, order)["B"]: 1}, "王敏", LATER)

    checks = [stock_check.open_check_of(session, id_of(p)) for p in parts_of(session, order)]
    assert [(c.skus, c.due_at) for c in checks if c] == [
        (["A"], NOW + timedelta(minutes=5)),
        (["B"], NOW + timedelta(minutes=5)),
    ]
    joined = join(session, order, [1, 2], "王敏", LATER)
    check = stock_check.open_check_of(session, id_of(joined))
    assert check is not None and check.skus == ["A", "B"]
    assert stock_check.open_check_of(session, id_of(new)) is None


@pytest.mark.parametrize(
    ("pieces", "said"),
    [({}, "没有选"), ({"A": 0}, "没有选"), ({"A": -1}, "没有选"), ({"A": 4}, "请核对件数"), ({"A": 3}, "至少留下一件")],
)
def test_pieces_that_cannot_be_split_off(session: Session, pieces: dict[str, int], said: str) -> None:
    open_stockroom(session, {SZ: {"A": 5}})
    order = order_for(session, "1", {"A": 3})
    reserved(session, order)
    ids = line_ids(session, order)

    with pytest.raises(SplitRefused, match=said):
        split_off(session, order, {ids[sku]: n for sku, n in pieces.items()}, "王敏", LATER)

    assert len(parts_of(session, order)) == 1
    assert shelf(session, SZ, "A") == (5, 3)


def test_a_form_that_is_sent_twice_splits_once(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 6}})
    order = order_for(session, "1", {"A": 6})
    reserved(session, order)
    pieces = {line_ids(session, order)["A"]: 2}
    assert split_off(session, order, pieces, "王敏", LATER, number=1, seen=1).number == 2
    with pytest.raises(SplitRefused, match="已经拆过,现在是 2 件"):
        split_off(session, order, pieces, "王敏", LATER, number=1, seen=1)
    assert [carries(session, part) for part in parts_of(session, order)] == [{"A": 4}, {"A": 2}]


def test_pieces_of_several_parts_need_the_part_to_be_named(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 9}})
    order = order_for(session, "1", {"A": 6})
    reserved(session, order)
    line = line_ids(session, order)["A"]
    split_off(session, order, {line: 3}, "王敏", LATER)

    with pytest.raises(SplitRefused, match="请写明从第几件拆"):
        split_off(session, order, {line: 1}, "王敏", LATER)
    split_off(session, order, {line: 1}, "王敏", LATER, number=2)

    assert [carries(session, part) for part in parts_of(session, order)] == [{"A": 3}, {"A": 2}, {"A": 1}]


def test_too_late_is_said_and_nothing_changes(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 50}})

    def refused(name: str, prepare: object) -> str:
        order = order_for(session, name, {"A": 2})
        reserved(session, order, Stage.PRODUCED)
        (part,) = parts_of(session, order)
        prepare(order, part)  # type: ignore[operator]
        session.flush()
        with pytest.raises(SplitRefused) as stop:
            split_off(session, order, {line_ids(session, order)["A"]: 1}, "王敏", LATER)
        assert len(parts_of(session, order)) == 1
        return str(stop.value)

    def with_waybill(order: Order, part: Fulfilment) -> None:
        keep_parcel(session, part.order_id, id_of(part), "sf_express", "n", "SF1", NOW)

    def asked_for(order: Order, part: Fulfilment) -> None:
        told(session, claimed(session, order), WAYBILL, f"waybill-{order.order_no}-1", {"waybill_no": "x"}, NOW)

    def shipped(order: Order, part: Fulfilment) -> None:
        part.stage = Stage.SHIPPED.value

    def cancelled(order: Order, part: Fulfilment) -> None:
        request_cancellation(session, order, "不要了", "客服", NOW)

    def made_up_for(order: Order, part: Fulfilment) -> None:
        compensation.request(session, part, Cause.BY_HAND, "缺货", "客服", NOW, limits(), by_person=True)

    def unpaid(order: Order, part: Fulfilment) -> None:
        order.payment_verified_at = None

    assert "已经有运单" in refused("1", with_waybill)
    assert "已经有运单" in refused("2", asked_for)
    assert "已经发货或了结" in refused("3", shipped)
    assert "正在取消" in refused("4", cancelled)
    assert "正在补偿退款" in refused("5", made_up_for)
    assert "还没有核实付款" in refused("6", unpaid)
    assert_accounts_agree(session)


def test_what_is_being_made_stays_where_it_is_and_what_is_stocked_may_go(session: Session) -> None:
    open_shop(session)
    order = with_recipe(session, incoming("1", cans(3), made(2)), Stage.APPROVED)
    (part,) = parts_of(session, order)
    ids = line_ids(session, order)
    session.add(
        WorkOrder(
            work_order_no="SH-1001-1-2", fulfilment_id=id_of(part), order_id=part.order_id, sku=DRY, quantity=2,
            recipe="dog-duck", state="released", batch_no="B-1",
        )
    )  # fmt: skip
    session.flush()

    with pytest.raises(SplitRefused, match="已经下发生产"):
        split_off(session, order, {ids[DRY]: 1}, "王敏", LATER)
    new = split_off(session, order, {ids["CAN-400"]: 3}, "王敏", LATER)

    assert [carries(session, p) for p in parts_of(session, order)] == [{DRY: 2}, {"CAN-400": 3}]
    assert {r.purpose for r in held_for(session, id_of(part))} == {Purpose.INGREDIENT.value}
    # and joined again the factory's part takes it up, with its number
    joined = join(session, order, [1, 2], "王敏", LATER)
    assert joined.id == part.id and carries(session, joined) == {DRY: 2, "CAN-400": 3}
    assert carries(session, new) == {}
    assert_accounts_agree(session)


def test_what_is_to_be_made_is_split_before_the_factory_knows_with_its_grams(session: Session) -> None:
    open_shop(session)
    order = with_recipe(session, incoming("1", made(2)), Stage.RESERVED)
    (line_id,) = line_ids(session, order).values()

    new = split_off(session, order, {line_id: 1}, "王敏", LATER)

    for part in parts_of(session, order):
        (need,) = needs_of(session, part.order_id, id_of(part))
        assert {r.sku: r.quantity for r in held_for(session, id_of(part))} == dict(need.grams)
        assert [row.recipe is not None for row in carried_by(session, id_of(part))] == [True]
    assert new.stage == "reserved"
    assert_accounts_agree(session)


Step = tuple[str, int, int, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["split", "join"]), st.integers(0, 5), st.integers(0, 5), st.integers(1, 4)),
    min_size=1,
    max_size=14,
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(steps=STEPS, at=st.sampled_from([Stage.RECEIVED, Stage.RESERVED, Stage.APPROVED, Stage.PRODUCED]))
def test_however_it_is_split_and_joined_every_piece_and_promise_is_there_once(
    session: Session, steps: list[Step], at: Stage
) -> None:
    with session.begin_nested() as undone:
        _split_and_join(session, steps, at)
        undone.rollback()


def _split_and_join(session: Session, steps: list[Step], at: Stage) -> None:
    open_stockroom(session, {SZ: {"A": 5, "B": 2}, SH: {"A": 9, "B": 4, "C": 9}, BJ: {"C": 1}})
    order = order_for(session, "1", [("A", 4), ("B", 5), ("C", 3), ("A", 2)])
    if at is not Stage.RECEIVED:
        reserved(session, order, at)
    bought = {line.id or 0: line.quantity for line in lines_of(session, order.id or 0)}
    for what, one, other, count in steps:
        live = [part for part in parts_of(session, order) if not Stage(part.stage).final]
        first, second = live[one % len(live)], live[other % len(live)]
        try:
            if what == "split":
                row = carried_by(session, id_of(first))[other % len(carried_by(session, id_of(first)))]
                split_off(session, order, {row.order_line_id: count}, "王敏", LATER, number=first.number)
            else:
                join(session, order, [first.number, second.number], "王敏", LATER)
        except SplitRefused as refused:
            assert "没有任何改变" in str(refused)
        by_line: Counter[int] = Counter()
        parts = parts_of(session, order)
        rows = session.exec(select(FulfilmentLine).where(FulfilmentLine.fulfilment_id.in_([p.id for p in parts]))).all()  # type: ignore[attr-defined]
        for carried in rows:
            by_line[carried.order_line_id] += carried.quantity
        assert dict(by_line) == bought
        for part in parts:
            wanted = sum((need.goods for need in needs_of(session, part.order_id, id_of(part))), Counter[str]())
            held = {(part.warehouse, sku): n for sku, n in wanted.items()} if at is not Stage.RECEIVED else {}
            assert promised(session, part) == held
            assert bool(wanted) == (not Stage(part.stage).final)
    assert_accounts_agree(session)
