"""Repair: counters follow ledger and promises, each repair is a row with an author, and nothing is cut to fit."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from models.backorder import wait_for
from models.cancellation import finish, request_cancellation
from models.checks import check
from models.fulfilment import Fulfilment, Stage, WaitingOn, fulfilments_of
from models.order import Order
from models.repair import BrokenItem, Mended, Stuck, findings, mend
from models.stock import StockMovement, adjust
from tests.models.build import CAN, DRY, NOW, WAREHOUSE, cans, claimed, incoming, made, open_shop, taken, waiting, walk


def run(session: Session) -> list[Mended]:
    """Mend everything that is found, as 王敏."""
    return [said for finding in findings(session) if (said := mend(session, finding, "王敏", NOW)) is not None]


def item(session: Session, sku: str = CAN) -> tuple[int, int]:
    """(on hand, reserved) of a SKU."""
    row = session.execute(text("SELECT on_hand, reserved FROM stock_item WHERE sku = :sku"), {"sku": sku}).one()
    return row.on_hand, row.reserved


def repairs(session: Session) -> list[StockMovement]:
    """The rows of the ledger that repairs wrote."""
    return list(session.exec(select(StockMovement).where(StockMovement.kind == "repair")))


def part_of(session: Session, order: Order) -> Fulfilment:
    """The only fulfilment of an order."""
    assert order.id is not None
    (part,) = fulfilments_of(session, order.id)
    return part


def reserved(session: Session, name: str = "1", quantity: int = 4) -> Order:
    """An order that is promised so many cans."""
    order = taken(session, incoming(name, cans(quantity)))
    walk(session, order.order_no, Stage.RESERVED)
    return order


def errors(session: Session) -> list[str]:
    """The codes of the rules that are broken now."""
    return [one.code for one in check(session, NOW) if one.severity == "error"]


def test_a_sound_book_has_nothing_to_mend(session: Session) -> None:
    open_shop(session, cans=10)
    reserved(session)

    assert findings(session) == []
    assert repairs(session) == []


def test_a_counter_is_set_to_the_ledger_and_the_row_says_from_what_to_what(session: Session) -> None:
    open_shop(session, cans=10)
    reserved(session)
    session.execute(text("UPDATE stock_item SET on_hand = 17, reserved = 6 WHERE sku = :sku"), {"sku": CAN})

    (said,) = run(session)

    assert said == Mended(True, f"{WAREHOUSE} 的 {CAN}:修复账目:在库 17 → 10,预留 6 → 4")
    assert item(session) == (10, 4)
    (row,) = repairs(session)
    assert (row.on_hand_change, row.reserved_change, row.actor) == (0, 0, "王敏")
    assert row.reason == "修复账目:在库 17 → 10,预留 6 → 4"
    assert errors(session) == [] == run(session)
    assert len(repairs(session)) == 1


def test_what_is_reserved_follows_the_promises_that_stand(session: Session) -> None:
    # given: the ledger agrees with the counter, but a promise ended without giving back
    open_shop(session, cans=10)
    reserved(session)
    session.execute(text("UPDATE reservation SET state = 'released'"))
    assert errors(session) == ["reservations_differ_from_reserved"]

    (said,) = run(session)

    assert said.done and "预留 4 → 0,流水中的预留 4 → 0" in said.sentence
    assert item(session) == (10, 0)
    (row,) = repairs(session)
    assert (row.on_hand_change, row.reserved_change) == (0, -4)
    assert errors(session) == []


def test_a_counter_that_was_never_made_is_made(session: Session) -> None:
    open_shop(session, cans=0)
    session.execute(
        text(
            "INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, actor, reason)"
            " VALUES (now(), :warehouse, :sku, 'receipt', 5, 0, 'test', '')"
        ),
        {"warehouse": WAREHOUSE, "sku": CAN},
    )

    (said,) = run(session)

    assert said.done
    assert item(session) == (5, 0)


def test_a_ledger_of_what_is_no_product_is_left_to_a_person(session: Session) -> None:
    open_shop(session, cans=0)
    session.execute(
        text(
            "INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, actor, reason)"
            " VALUES (now(), :warehouse, 'GONE', 'receipt', 5, 0, 'test', '')"
        ),
        {"warehouse": WAREHOUSE},
    )

    (said,) = run(session)

    assert not said.done and "catalogue load" in said.sentence
    assert repairs(session) == []


def test_promises_beyond_what_is_there_are_never_cut_and_name_the_latest_to_pay(session: Session) -> None:
    open_shop(session, cans=10)
    order = reserved(session)
    session.execute(text("UPDATE reservation SET quantity = 11"))

    (said,) = run(session)

    assert not said.done
    assert "预留给订单 11,流水合计在库却只有 10,没有改动" in said.sentence
    assert f"{order.order_no}-1" in said.sentence and "orderloom stock adjust" in said.sentence
    assert item(session) == (10, 4)
    assert repairs(session) == []


def test_a_ledger_below_nothing_is_left_to_a_person_until_the_difference_is_entered(session: Session) -> None:
    open_shop(session, cans=10)
    session.execute(
        text(
            "INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, actor, reason)"
            " VALUES (now(), :warehouse, :sku, 'adjustment', -12, 0, 'by hand', '')"
        ),
        {"warehouse": WAREHOUSE, "sku": CAN},
    )

    (said,) = run(session)

    assert not said.done and "流水合计在库 -2" in said.sentence and "至少 2 的差额" in said.sentence
    assert item(session) == (10, 0)

    adjust(session, WAREHOUSE, CAN, 9, "实地数过", "王敏", NOW)
    (again,) = run(session)
    assert again.done
    assert item(session) == (7, 0)


@pytest.mark.parametrize("stage", ["shipped", "delivered"])
def test_what_left_the_house_is_used_up(session: Session, stage: str) -> None:
    open_shop(session, cans=10)
    order = reserved(session)
    session.execute(text("UPDATE fulfilment SET stage = :stage"), {"stage": stage})

    (said,) = run(session)

    assert said.done and said.sentence.endswith(f"还占着 {WAREHOUSE} 的 {CAN} 4:已记为出库")
    assert order.order_no in said.sentence
    assert item(session) == (6, 0)
    consumed = session.exec(select(StockMovement).where(StockMovement.kind == "consume")).one()
    assert (consumed.actor, consumed.on_hand_change) == ("王敏", -4)
    assert run(session) == []


def test_what_was_called_off_goes_back_except_what_was_made_of_it(session: Session) -> None:
    # given: one cancelled with promises for both, the factory had finished
    open_shop(session, cans=10, grams=1_000_000)
    order = taken(session, incoming("1", cans(3), made()))
    walk(session, order.order_no, Stage.PRODUCED)
    session.execute(text("UPDATE reservation SET purpose = 'ingredient' WHERE sku <> :sku"), {"sku": CAN})
    used = session.execute(text("SELECT sum(quantity) FROM reservation WHERE sku <> :sku"), {"sku": CAN}).scalar_one()
    before = session.execute(text("SELECT sum(on_hand) FROM stock_item WHERE sku <> :sku"), {"sku": CAN}).scalar_one()
    request_cancellation(session, order, "不要了", "客服", NOW)
    session.execute(text("UPDATE fulfilment SET stage = 'cancelled', ready_at = NULL"))

    (said,) = run(session)

    assert said.done and "已退回库存" in said.sentence
    assert item(session) == (10, 0)
    after = session.execute(text("SELECT sum(on_hand) FROM stock_item WHERE sku <> :sku"), {"sku": CAN}).scalar_one()
    assert before - after == used
    assert DRY not in said.sentence


def test_promises_of_orders_on_their_way_are_left_alone(session: Session) -> None:
    open_shop(session, cans=10)
    part = part_of(session, reserved(session))
    assert part.id is not None

    assert mend(session, Stuck(part.id, part.order_id), "王敏", NOW) is None
    assert mend(session, BrokenItem(WAREHOUSE, CAN), "王敏", NOW) is None
    assert item(session) == (10, 4)
    assert repairs(session) == []


def test_what_cannot_be_ended_is_said_and_nothing_changes(session: Session) -> None:
    # given: shipped, still promised; the ledger holds less than that
    open_shop(session, cans=10)
    reserved(session)
    session.execute(text("UPDATE fulfilment SET stage = 'shipped'"))
    session.execute(text("UPDATE reservation SET quantity = 11"))

    item_said, order_said = run(session)

    assert not item_said.done and not order_said.done
    assert "先处理上面这个库存项" in order_said.sentence
    assert item(session) == (10, 4)
    assert session.execute(text("SELECT state FROM reservation")).scalar_one() == "held"


def test_goods_that_come_free_wake_who_waits_for_them(session: Session) -> None:
    open_shop(session, cans=10)
    order = taken(session, incoming("9", cans(20)))
    part = part_of(session, order)
    assert part.id is not None and order.paid_at is not None
    wait_for(session, part.id, part.order_id, [CAN], order.paid_at, NOW.date(), NOW)
    waiting(session, order, WaitingOn.BACKORDER, "等货")
    session.execute(text("UPDATE stock_item SET on_hand = 3 WHERE sku = :sku"), {"sku": CAN})
    session.info.clear()

    assert all(said.done for said in run(session))

    assert list(session.info["afterwards"]) == [f"wake who waits for {CAN}"]


def test_a_finished_cancellation_leaves_nothing_to_mend(session: Session) -> None:
    open_shop(session, cans=10)
    order = reserved(session)
    request_cancellation(session, order, "不要了", "客服", NOW)
    finish(session, claimed(session, order), False, "不要了", NOW)

    assert findings(session) == []
    assert item(session) == (10, 0)
