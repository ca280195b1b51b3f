"""Counts: fewer on the shelf than were promised, and who gives theirs back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models import counting
from models.allocation import allocate
from models.backorder import backorder_of
from models.compensation import Cause, compensation_of
from models.counting import CountBusy, Counted, count, short_by
from models.effect import WAYBILL
from models.fulfilment import Fulfilment, Stage
from models.order import Order
from models.pool import StockRule, set_rule
from models.reservation import held_for
from models.stock import StockShort
from models.stock_check import CheckState, answer, latest_check, open_check
from tests.models.build import NOW, claimed, told
from tests.models.stockroom import (
    SH,
    SZ,
    TERMS,
    events,
    id_of,
    limits,
    open_stockroom,
    order_for,
    part_of,
    parts_of,
    promised,
    shelf,
)

LATER = NOW + timedelta(hours=1)


def reserved(session: Session, name: str, wanted: dict[str, int], paid: int) -> Fulfilment:
    """A fulfilment that is promised what it takes, in stage reserved, its check open."""
    part = part_of(session, name, wanted, paid)
    allocate(session, part, "test", NOW, TERMS)
    part.stage = Stage.RESERVED.value
    session.add(part)
    session.flush()
    open_check(session, part, list(wanted), 5, NOW)
    return part


def counted(session: Session, pieces: int, sku: str = "A", warehouse: str = SZ, **policy: object) -> Counted:
    """Count one SKU."""
    return count(session, warehouse, sku, pieces, "月度盘点", "仓管", LATER, limits(**policy))


def test_a_count_above_what_is_promised_only_sets_what_is_there(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 10}})
    reserved(session, "1", {"A": 4}, paid=0)

    for pieces in (12, 4, 4):
        assert counted(session, pieces).gave_back == {}
        assert shelf(session, SZ, "A") == (pieces, 4)


def test_a_count_below_what_is_promised_takes_from_the_latest_paid(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 10}})
    middle = reserved(session, "1", {"A": 3}, paid=0)
    first = reserved(session, "2", {"A": 3}, paid=-10)
    last = reserved(session, "3", {"A": 2}, paid=10)
    assert short_by(session, SZ, "A", 5) == 3

    result = counted(session, 5)

    assert (result.before, result.after) == (10, 5)
    assert result.gave_back == {last.id: "backorder", middle.id: "backorder"}
    assert shelf(session, SZ, "A") == (5, 3)
    assert [promised(session, part) for part in (first, middle, last)] == [{(SZ, "A"): 3}, {}, {}]
    for part in (middle, last):
        session.refresh(part)
        place, check = backorder_of(session, id_of(part)), latest_check(session, id_of(part))
        assert place is not None
        assert check is not None
        assert (part.stage, place.skus, check.state) == ("received", ["A"], CheckState.WITHDRAWN)
        assert (part.ready_at, part.fence) == (NOW, 1)  # who worked on it has lost it
    assert events(session, "reservation_lost") == 2
    assert counted(session, 5).gave_back == {}


def test_the_seller_s_rule_for_the_sku_sends_the_order_to_compensation(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 10}})
    set_rule(session, StockRule(sku="A", when_short="compensate", set_at=NOW))
    part = reserved(session, "1", {"A": 4}, paid=0)

    assert counted(session, 3).gave_back == {part.id: "compensate"}

    row = compensation_of(session, id_of(part))
    assert row is not None
    assert (row.cause, row.state, row.refund_fen) == (Cause.COUNTED_SHORT, "due", 8_000)
    assert backorder_of(session, id_of(part)) is None
    assert shelf(session, SZ, "A") == (3, 0)


def test_what_is_being_cancelled_is_not_compensated_as_well(session: Session) -> None:
    # given: the order is on its way to be cancelled, and compensation is the rule
    open_stockroom(session, {SZ: {"A": 10}})
    part = reserved(session, "1", {"A": 4}, paid=0)
    session.connection().execute(text("UPDATE orders SET cancel_requested_at = :now"), {"now": NOW})

    assert counted(session, 3, when_short="compensate").gave_back == {part.id: "ending"}
    assert compensation_of(session, id_of(part)) is None


def test_what_is_being_paid_back_already_does_not_wait_as_well(session: Session) -> None:
    # given: the warehouse did not find A when all was packed, and B is still held until the money is back
    open_stockroom(session, {SZ: {"A": 5, "B": 5}})
    part = reserved(session, "1", {"A": 4, "B": 4}, paid=0)
    told(
        session, claimed(session, session.get_one(Order, part.order_id)), WAYBILL, "waybill-1", {"waybill_no": "1"}, NOW
    )
    check = latest_check(session, id_of(part))
    assert check is not None
    answer(session, check.id or 0, False, "仓库", NOW, limits(), missing=["A"])

    assert counted(session, 2, sku="B").gave_back == {part.id: "ending"}

    assert backorder_of(session, id_of(part)) is None
    row = compensation_of(session, id_of(part))
    assert row is not None
    assert (row.cause, row.state) == (Cause.NOT_THERE, "due")


def test_who_gives_back_one_thing_gives_back_all_so_that_another_warehouse_may_do(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 5, "B": 5}, SH: {"A": 5, "B": 5}})
    part = reserved(session, "1", {"A": 4, "B": 4}, paid=0)

    counted(session, 0)

    assert (shelf(session, SZ, "A"), shelf(session, SZ, "B")) == ((0, 0), (5, 0))
    session.refresh(part)
    allocate(session, part, "test", LATER, TERMS)
    assert promised(session, part) == {(SH, "A"): 4, (SH, "B"): 4}


def test_what_is_packed_already_keeps_the_rest_and_its_warehouse(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 5, "B": 5}, SH: {"A": 5, "B": 5}})
    order = order_for(session, "1", {"A": 4, "B": 4})
    (part,) = parts_of(session, order)
    allocate(session, part, "test", NOW, TERMS)
    claim = claimed(session, order)
    told(session, claim, WAYBILL, "waybill-1", {"waybill_no": "SF1"}, NOW)

    counted(session, 0)

    assert [(r.warehouse, r.sku) for r in held_for(session, id_of(part))] == [(SZ, "B")]
    with pytest.raises(StockShort):
        allocate(session, part, "test", LATER, TERMS)
    assert len(parts_of(session, order)) == 1


def test_counts_of_nothing_and_of_what_was_never_there(session: Session) -> None:
    open_stockroom(session, {SZ: {"A": 5}, SH: {}})
    assert (counted(session, 7, warehouse=SH).before, shelf(session, SH, "A")) == (0, (7, 0))
    with pytest.raises(ValueError, match="不能为负"):
        counted(session, -1)


def test_a_count_gives_up_when_promises_are_made_faster_than_it_locks_them(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_stockroom(session, {SZ: {"A": 5}})
    part = reserved(session, "1", {"A": 4}, paid=0)
    looks: list[str] = []

    def nobody(*_: object) -> set[int]:
        looks.append("look")
        return set()

    monkeypatch.setattr(counting, "_lock_holders", nobody)

    with pytest.raises(CountBusy, match="请稍后再试"):
        counted(session, 3)

    assert len(looks) == counting.TRIES
    assert promised(session, part) == {(SZ, "A"): 4}
    assert shelf(session, SZ, "A") == (5, 4)


def test_a_count_that_fails_half_way_changes_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    open_stockroom(session, {SZ: {"A": 5}})
    part = reserved(session, "1", {"A": 4}, paid=0)
    session.commit()

    def fail(*_: object) -> str:
        raise RuntimeError("the power is gone")

    monkeypatch.setattr(counting, "_send_on", fail)
    with pytest.raises(RuntimeError):
        counted(session, 3)
    session.rollback()

    assert promised(session, part) == {(SZ, "A"): 4}
    assert shelf(session, SZ, "A") == (5, 4)
    assert events(session, "reservation_lost") == 0
