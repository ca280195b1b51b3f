"""Each rule of the whole database: a sound book breaks none, and each way of breaking one is named, alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlmodel import Session

from models import compensation, coupon, refund, stock_check
from models.allocation import Terms, allocate
from models.backorder import wait_for
from models.cancellation import finish, request_cancellation
from models.checks import Violation, check, wakers
from models.compensation import Cause, Limits
from models.fulfilment import Fulfilment, Stage, WaitingOn, fulfilments_of
from models.invariants import INVARIANTS
from models.order import Order
from models.refund import RefundStep
from models.review import Verdict, decide, latest_case
from models.settings import PolicySettings
from models.stock import receive
from models.timeline import EventKind, note
from models.warehouse import Warehouse
from tests.database import TemporaryServer, fresh_database
from tests.models.build import (
    NOW,
    cans,
    claimed,
    incoming,
    made,
    open_shop,
    release,
    taken,
    unpaid,
    waiting,
    walk,
)

LATER = NOW + timedelta(minutes=5)


@pytest.fixture(scope="module")
def book(database_server: TemporaryServer) -> Iterator[Engine]:
    """A sound book with an order at every stage and for most reasons to wait; tests break it and roll back."""
    with fresh_database(database_server) as url:
        engine = create_engine(url)
        with Session(engine) as session:
            fill(session)
            session.commit()
        yield engine
        engine.dispose()


@pytest.fixture
def session(book: Engine) -> Iterator[Session]:
    """A session whose changes, constraints included, are undone."""
    with Session(book) as opened:
        yield opened
        opened.rollback()


def fill(session: Session) -> None:
    """SH-1001 … SH-1012, in the order of an order's life; SH-1013 … SH-1015 in ways of their own."""
    open_shop(session)
    taken(session, unpaid("1"))
    taken(session, incoming("2"))
    waiting(session, taken(session, incoming("3")), WaitingOn.BACKORDER, "缺 CAN-400")
    walk(session, taken(session, incoming("4", cans(3), made(2))).order_no, Stage.RESERVED)
    reviewed = taken(session, incoming("5", made(8)))
    walk(session, reviewed.order_no, Stage.RESERVED)
    waiting(session, reviewed, WaitingOn.REVIEW, "金额超过 500 元")
    at_the_factory = taken(session, incoming("6", made()))
    walk(session, at_the_factory.order_no, Stage.APPROVED)
    release(session, claimed(session, at_the_factory))
    session.execute(text("UPDATE fulfilment SET claim_until = NULL, claimed_by = NULL WHERE claimed_by IS NOT NULL"))
    waiting(session, at_the_factory, WaitingOn.PRODUCTION, "生产中")
    for name, stage in zip("789", (Stage.PRODUCED, Stage.SHIPPED, Stage.DELIVERED), strict=True):
        walk(session, taken(session, incoming(name, cans(), made())).order_no, stage)
    walk(session, taken(session, incoming("10", cans(), made())).order_no, Stage.CLOSED)
    cancelled = taken(session, incoming("11", made()))
    walk(session, cancelled.order_no, Stage.APPROVED)
    request_cancellation(session, cancelled, "客户不要了", "客服", NOW)
    finish(session, claimed(session, cancelled), False, "客户不要了", NOW)
    decided = taken(session, incoming("12", made(8)))
    walk(session, decided.order_no, Stage.RESERVED)
    claim = waiting(session, decided, WaitingOn.REVIEW, "金额超过 500 元")
    case = latest_case(session, claim.fulfilment_id)
    assert case is not None and case.id is not None
    decide(session, case.id, Verdict.APPROVE, "李营养", "", NOW)
    make_up_for(session, taken(session, incoming("13")))
    split_in_two(session, taken(session, incoming("14", cans(1100))))
    waits_for_goods(session, taken(session, incoming("15", cans(4000))))


def only_part(session: Session, order: Order) -> Fulfilment:
    """The only fulfilment of an order."""
    assert order.id is not None
    (part,) = fulfilments_of(session, order.id)
    return part


def make_up_for(session: Session, order: Order) -> None:
    """Reserved, not found by the warehouse, paid back with a coupon: `refunded`."""
    walk(session, order.order_no, Stage.RESERVED)
    part = only_part(session, order)
    limits = Limits.of(PolicySettings())
    compensation.request(session, part, Cause.NOT_THERE, "查无货", "仓库", NOW, limits)
    claim = claimed(session, order)
    owed = refund.owe(session, claim.order_id, claim.fulfilment_id, "查无货", "wind-up", NOW)
    made_up = compensation.compensation_of(session, claim.fulfilment_id)
    assert owed is not None and made_up is not None
    assert coupon.issue(session, made_up, order, NOW, 90) is not None
    refund.report(session, owed.refund_no, RefundStep.PAID, "platform:shopify", NOW)
    claim.wake_seq += 1
    finish(session, claim, True, "查无货", NOW)


def split_in_two(session: Session, order: Order) -> None:
    """More than one warehouse has: two fulfilments, one on its way, the other with an open stock check."""
    session.add(Warehouse(code="WH-CD", name="成都仓", province="四川省"))
    session.flush()
    receive(session, "WH-CD", "CAN-400", 200, "期初", "test", NOW)
    order.payment_verified_at = NOW
    allocate(session, only_part(session, order), "reserve-stock", NOW, Terms(10, timedelta(hours=72)))
    assert order.id is not None
    for part in fulfilments_of(session, order.id):
        assert part.id is not None
        part.stage, part.waiting_on, part.waiting_why = Stage.RESERVED.value, "stock_check", "等仓库核对"
        part.ready_at = NOW + timedelta(minutes=5)
        session.add(part)
        note(session, order.id, EventKind.RESERVED, "test", NOW, part.id)
        stock_check.open_check(session, part, ["CAN-400"], 5, NOW)


def waits_for_goods(session: Session, order: Order) -> None:
    """Nobody has so many: in the queue."""
    part = only_part(session, order)
    assert part.id is not None and order.paid_at is not None
    wait_for(session, part.id, part.order_id, ["CAN-400"], order.paid_at, NOW.date(), NOW)
    waiting(session, order, WaitingOn.BACKORDER, "等 CAN-400 到货")


def test_a_sound_book_breaks_no_rule(session: Session) -> None:
    assert check(session, LATER) == []


_OF = "(SELECT f.id FROM fulfilment f JOIN orders o ON o.id = f.order_id WHERE o.order_no = '{}')"


def of(order_no: str) -> str:
    """The id of an order's fulfilment, in SQL."""
    return _OF.format(order_no)


def again(order_no: str, state: str) -> str:
    """SQL that makes an ended reservation live again, with the counters and the ledger following suit."""
    chosen = f"fulfilment_id = {of(order_no)} AND sku = 'ING-CHICKEN' AND state = '{state}'"
    return f"""
    INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, actor, reason)
      SELECT at, warehouse, sku, 'reserve', 0, quantity, 'test', '' FROM reservation WHERE {chosen};
    UPDATE stock_item i SET reserved = i.reserved + r.quantity FROM reservation r
      WHERE r.warehouse = i.warehouse AND r.sku = i.sku AND r.{chosen.replace(" AND ", " AND r.")};
    UPDATE reservation SET state = 'held' WHERE {chosen}
    """


NOTHING_LEFT = """
ALTER TABLE stock_item DROP CONSTRAINT promised_is_there;
INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, actor, reason)
  SELECT now(), warehouse, sku, 'adjustment', -on_hand, 0, 'test', '' FROM stock_item
  WHERE sku = 'CAN-400' AND warehouse = 'WH-SZ';
UPDATE stock_item SET on_hand = 0 WHERE sku = 'CAN-400' AND warehouse = 'WH-SZ'
"""
A_CASE = """
INSERT INTO review_case (fulfilment_id, order_id, role, reasons, state, opened_at, due_at, note, reviewer, run_attempt)
  SELECT id, order_id, 'nutritionist', '[]', 'open', now(), now(), '', '', 0 FROM fulfilment WHERE id = {}
"""
A_SHARED_PARCEL = """
INSERT INTO shared_parcel (id, founder, fingerprint, only_masked, buyer, warehouse, state, made_by, created_at,
  undone_by, undone_why) VALUES (1, 'SH-1008-1', '', false, '', 'WH-SZ', 'sealed', 'merge', now(), '', '');
"""
IN_BATCH = (
    "SELECT b.* FROM production_batch b JOIN work_order w ON w.batch_id = b.id AND w.work_order_no = 'SH-1006-1-1'"
)
OPEN_BATCH = """
INSERT INTO production_batch (batch_no, release_key, warehouse, recipe, recipe_version, state, opened_at, seal_at,
  due_at, factory_no) SELECT 'PB-open', 'release-PB-open', 'WH-SZ', 'r', (rules ->> 'recipes')::int, 'open', now(),
  now() + interval '1 day', now() + interval '1 day', '' FROM orders WHERE order_no = 'SH-1006'
"""
NO_TRIGGER = "ALTER TABLE order_event DISABLE TRIGGER append_only;"

WARNINGS = ("overdue", "batch_release_overdue", "factory_silent")
#: For every rule: what breaks it (and only it), and what the offending row says.
GIVEN_BACK = "(SELECT id FROM orders WHERE order_no = 'SH-1013')"
BREAKS: list[tuple[str, str, dict[str, object]]] = [
    (
        "unfinished_without_waker",
        "ALTER TABLE fulfilment DROP CONSTRAINT unfinished_has_ready_at;"
        f"UPDATE fulfilment SET ready_at = NULL WHERE id = {of('SH-1003')}",
        {"fulfilment_no": "SH-1003-1", "waiting_on": "backorder"},
    ),
    (
        "waits_without_reason",
        f"UPDATE fulfilment SET waiting_on = NULL WHERE id = {of('SH-1003')}",
        {"fulfilment_no": "SH-1003-1"},
    ),
    (
        "waits_without_reason",
        f"UPDATE fulfilment SET waiting_why = '' WHERE id = {of('SH-1008')}",
        {"fulfilment_no": "SH-1008-1", "stage": "shipped"},
    ),
    (
        "overdue",
        f"UPDATE fulfilment SET ready_at = ready_at - interval '2 hours' WHERE id = {of('SH-1003')}",
        {"fulfilment_no": "SH-1003-1"},
    ),
    (
        "stage_without_event",
        f"{NO_TRIGGER} DELETE FROM order_event WHERE kind = 'approved' AND fulfilment_id = {of('SH-1010')}",
        {"fulfilment_no": "SH-1010-1", "stage": "closed", "missing": "approved"},
    ),
    (
        "stage_without_event",
        f"{NO_TRIGGER} DELETE FROM order_event WHERE kind = 'cancelled' AND fulfilment_id = {of('SH-1011')}",
        {"fulfilment_no": "SH-1011-1", "missing": "cancelled"},
    ),
    (
        "stock_differs_from_ledger",
        "UPDATE stock_item SET on_hand = on_hand + 1 WHERE sku = 'CAN-400' AND warehouse = 'WH-SZ'",
        {"sku": "CAN-400"},
    ),
    (
        "stock_differs_from_ledger",
        "INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, actor, reason)"
        " VALUES (now(), 'WH-SZ', 'GONE', 'receipt', 5, 0, 'test', '')",
        {"sku": "GONE", "on_hand": None, "ledger_on_hand": 5},
    ),
    ("stock_out_of_bounds", NOTHING_LEFT, {"sku": "CAN-400", "on_hand": 0}),
    (
        "reservations_differ_from_reserved",
        f"UPDATE reservation SET quantity = quantity + 1 WHERE fulfilment_id = {of('SH-1004')} AND sku = 'CAN-400'",
        {"sku": "CAN-400"},
    ),
    ("shipped_holds_stock", again("SH-1008", "consumed"), {"fulfilment_no": "SH-1008-1", "sku": "ING-CHICKEN"}),
    ("cancelled_holds_stock", again("SH-1011", "released"), {"fulfilment_no": "SH-1011-1", "sku": "ING-CHICKEN"}),
    (
        "cancelled_holds_stock",
        again("SH-1013", "released").replace("ING-CHICKEN", "CAN-400"),
        {"fulfilment_no": "SH-1013-1", "stage": "refunded", "purpose": "goods"},
    ),
    (
        "backorder_of_what_moved_on",
        f"UPDATE fulfilment SET waiting_on = 'refund' WHERE id = {of('SH-1015')}",
        {"fulfilment_no": "SH-1015-1", "waiting_on": "refund"},
    ),
    (
        "backorder_of_what_moved_on",
        "UPDATE backorder SET fulfilment_id = b.id FROM"
        f" (SELECT {of('SH-1008')} AS id) AS b WHERE fulfilment_id = {of('SH-1015')}",
        {"fulfilment_no": "SH-1008-1", "stage": "shipped"},
    ),
    (
        "stock_check_of_what_ended",
        f"UPDATE stock_check SET fulfilment_id = {of('SH-1010')} WHERE id = (SELECT min(id) FROM stock_check)",
        {"fulfilment_no": "SH-1010-1", "stage": "closed"},
    ),
    (
        "refunded_differs_from_refunds",
        "UPDATE orders SET refunded_fen = 1 WHERE order_no = 'SH-1004'",
        {"order_no": "SH-1004", "refunded_fen": 1, "refunds_fen": 0},
    ),
    (
        "refunded_more_than_paid",
        "ALTER TABLE orders DROP CONSTRAINT no_more_refunded_than_paid;"
        "UPDATE orders SET paid_fen = paid_fen - 1 WHERE order_no = 'SH-1013'",
        {"order_no": "SH-1013", "paid_fen": 3999, "refunded_fen": 4000},
    ),
    (
        "refunded_more_than_paid",
        "UPDATE orders SET platform_refunded_fen = 1 WHERE order_no = 'SH-1013';"
        "UPDATE refund SET keeper = 'alipay' WHERE refund_no = 'SH-1013-1-R'",
        {"order_no": "SH-1013", "paid_fen": 4000, "refunded_fen": 4000, "elsewhere_fen": 1},
    ),
    (
        "refunded_without_compensation",
        f"UPDATE compensation SET state = 'due' WHERE fulfilment_id = {of('SH-1013')}",
        {"fulfilment_no": "SH-1013-1", "compensation": "due"},
    ),
    (
        "refunded_without_refund",
        f"UPDATE refund SET state = 'processing' WHERE fulfilment_id = {of('SH-1013')}",
        {"fulfilment_no": "SH-1013-1", "refund": "processing"},
    ),
    (
        "refunded_without_refund",
        f"DELETE FROM refund WHERE fulfilment_id = {of('SH-1013')};"
        f"UPDATE orders SET refunded_fen = 0 WHERE id = {GIVEN_BACK}",
        {"fulfilment_no": "SH-1013-1", "refund": None},
    ),
    (
        "refunded_without_coupon",
        f"DELETE FROM coupon WHERE order_id = {GIVEN_BACK}",
        {"fulfilment_no": "SH-1013-1", "coupon_fen": 500},
    ),
    (
        "compensation_done_elsewhere",
        "INSERT INTO compensation (fulfilment_id, order_id, cause, reason, state, refund_fen, coupon_fen, automatic,"
        " asked_at, asked_by, decided_by, done_at) SELECT id, order_id, 'by_hand', '', 'done', 0, 0, false, now(), '',"
        f" '', now() FROM fulfilment WHERE id = {of('SH-1011')}",
        {"fulfilment_no": "SH-1011-1", "stage": "cancelled"},
    ),
    (
        "stage_without_event",
        f"{NO_TRIGGER} DELETE FROM order_event WHERE kind = 'refunded' AND fulfilment_id = {of('SH-1013')}",
        {"fulfilment_no": "SH-1013-1", "missing": "refunded"},
    ),
    (
        "shipped_without_one_parcel",
        f"DELETE FROM parcel WHERE fulfilment_id = {of('SH-1009')}",
        {"fulfilment_no": "SH-1009-1", "parcels": 0},
    ),
    (
        "shipped_without_one_waybill",
        "UPDATE effect SET state = 'refused' WHERE key = 'waybill-SH-1008-1'",
        {"fulfilment_no": "SH-1008-1", "done": 0},
    ),
    (
        "shipped_without_one_waybill",
        "INSERT INTO effect (kind, key, order_id, fulfilment_id, request, state, response, error, attempts, fence,"
        " intended_at) SELECT kind, key || '-again', order_id, fulfilment_id, request, state, response, error,"
        " attempts, fence, intended_at FROM effect WHERE key = 'waybill-SH-1010-1'",
        {"fulfilment_no": "SH-1010-1", "done": 2},
    ),
    (
        "shipped_without_one_waybill",
        f"{A_SHARED_PARCEL} UPDATE parcel SET shared_parcel_id = 1, shipment_no = 'SH-1010-1-M1'"
        f" WHERE fulfilment_id = {of('SH-1010')};"
        f"UPDATE effect SET fulfilment_id = NULL WHERE key = 'waybill-SH-1010-1'",
        {"fulfilment_no": "SH-1010-1", "done": 0},
    ),
    (
        "shared_parcel_with_two_waybills",
        f"{A_SHARED_PARCEL} UPDATE parcel SET shared_parcel_id = 1"
        f" WHERE fulfilment_id IN ({of('SH-1008')}, {of('SH-1009')});"
        "UPDATE effect SET fulfilment_id = NULL WHERE key IN ('waybill-SH-1008-1', 'waybill-SH-1009-1')",
        {"shared_parcel_id": 1, "waybills": ["SF-SH-1008-1", "SF-SH-1009-1"]},
    ),
    (
        "shared_parcel_of_one",
        f"{A_SHARED_PARCEL.replace('sealed', 'open')} INSERT INTO shared_parcel_member"
        f" (shared_parcel_id, fulfilment_id, joined_at, leaving, left_why) VALUES (1, {of('SH-1007')}, now(), '', '')",
        {"fulfilment_no": "SH-1007-1", "members": 1},
    ),
    (
        "shipped_without_one_ship_notice",
        "DELETE FROM effect WHERE key = 'ship-SH-1010-1'",
        {"fulfilment_no": "SH-1010-1", "done": 0},
    ),
    (
        "notified_without_one_message",
        "DELETE FROM effect WHERE key = 'sms-SH-1010-1-shipped'",
        {"fulfilment_no": "SH-1010-1", "sent": 1, "done": 0},
    ),
    (
        "notified_without_one_message",
        f"DELETE FROM notification WHERE fulfilment_id = {of('SH-1008')}",
        {"fulfilment_no": "SH-1008-1", "due": 0, "done": 1},
    ),
    (
        "done_without_response",
        "UPDATE effect SET response = '{}' WHERE key = 'ship-SH-1009-1'",
        {"key": "ship-SH-1009-1"},
    ),
    (
        "abandoned_attempt",
        "INSERT INTO effect (kind, key, order_id, fulfilment_id, request, state, response, error, attempts, fence,"
        " intended_at, lease_until) SELECT 'staff_message', 'lost', order_id, id, '', 'unclear', '{}', '', 1, 1,"
        f" now(), '2026-11-11 02:00+00' FROM fulfilment WHERE id = {of('SH-1010')}",
        {"key": "lost", "state": "unclear", "fulfilment_no": "SH-1010-1"},
    ),
    (
        "total_differs_from_lines",
        "UPDATE order_line SET paid_fen = paid_fen + 1"
        " WHERE order_id = (SELECT id FROM orders WHERE order_no = 'SH-1002')",
        {"order_no": "SH-1002", "total_fen": 4000, "lines_fen": 4001},
    ),
    (
        "not_paid_in_full",
        "UPDATE orders SET paid_fen = paid_fen - 1 WHERE order_no = 'SH-1004'",
        {"fulfilment_no": "SH-1004-1", "stage": "reserved"},
    ),
    (
        "lines_not_carried",
        f"UPDATE fulfilment_line SET quantity = quantity + 1 WHERE fulfilment_id = {of('SH-1002')}",
        {"order_no": "SH-1002", "quantity": 2, "carried": 3},
    ),
    (
        "lines_not_carried",
        f"DELETE FROM fulfilment_line WHERE fulfilment_id = {of('SH-1002')}",
        {"order_no": "SH-1002", "quantity": 2, "carried": 0},
    ),
    (
        "change_left_undone",
        "INSERT INTO order_change (order_id, kind, state, at, actor, before, after, amount_fen, grew, cases_before)"
        " SELECT id, 'lines', 'asked', now(), 'test', '{}', '{}', 0, false, 0 FROM orders WHERE order_no = 'SH-1010'",
        {"order_no": "SH-1010", "kind": "lines"},
    ),
    (
        "two_open_reviews",
        f"DROP INDEX one_open_review; {A_CASE.format(of('SH-1005'))}",
        {"fulfilment_no": "SH-1005-1", "open": 2},
    ),
    (
        "waits_for_no_review",
        f"UPDATE review_case SET state = 'withdrawn' WHERE fulfilment_id = {of('SH-1005')}",
        {"fulfilment_no": "SH-1005-1"},
    ),
    (
        "review_of_what_moved_on",
        A_CASE.format(of("SH-1006")),
        {"fulfilment_no": "SH-1006-1", "stage": "approved"},
    ),
    (
        "produced_without_completed_work",
        "UPDATE work_order SET state = 'in_progress', completed_at = NULL WHERE work_order_no = 'SH-1007-1-2'",
        {"fulfilment_no": "SH-1007-1", "sku": "DRY-1500"},
    ),
    (
        "produced_without_completed_work",
        "INSERT INTO work_order (work_order_no, fulfilment_id, order_id, sku, quantity, recipe, grams, state, batch_no)"
        " SELECT 'again', fulfilment_id, order_id, sku, quantity, recipe, grams, 'requested', '' FROM work_order"
        " WHERE work_order_no = 'SH-1009-1-2'",
        {"fulfilment_no": "SH-1009-1", "stage": "delivered"},
    ),
    (
        "produced_without_recipe",
        f"UPDATE fulfilment_line SET recipe = NULL WHERE recipe IS NOT NULL AND fulfilment_id = {of('SH-1010')}",
        {"fulfilment_no": "SH-1010-1", "stage": "closed", "sku": "DRY-1500"},
    ),
    (
        "completed_work_unnoticed",
        "UPDATE work_order SET state = 'completed', completed_at = now() WHERE work_order_no = 'SH-1006-1-1'",
        {"fulfilment_no": "SH-1006-1", "waiting_on": "production"},
    ),
    (
        "completion_without_time",
        "UPDATE work_order SET completed_at = NULL WHERE work_order_no = 'SH-1010-1-2'",
        {"work_order_no": "SH-1010-1-2", "state": "completed"},
    ),
    (
        "work_without_batch",
        "UPDATE work_order SET batch_id = NULL WHERE work_order_no = 'SH-1006-1-1'",
        {"work_order_no": "SH-1006-1-1", "state": "released"},
    ),
    (
        "batch_not_released_once",
        f"UPDATE effect SET state = 'intended' WHERE key = (SELECT release_key FROM ({IN_BATCH}) b)",
        {"state": "released", "done": 0},
    ),
    (
        "batch_not_released_once",
        "UPDATE production_batch SET state = 'sealed', released_at = NULL, seal_at = now() + interval '1 day'"
        f" WHERE id = (SELECT id FROM ({IN_BATCH}) b)",
        {"state": "sealed", "done": 1},
    ),
    (
        "batch_of_several_sorts",
        f"UPDATE production_batch SET recipe_version = 9 WHERE id = (SELECT id FROM ({IN_BATCH}) b)",
        {"work_order_no": "SH-1006-1-1"},
    ),
    (
        "batch_of_several_sorts",
        "UPDATE work_order SET recipe = 'another' WHERE work_order_no = 'SH-1006-1-1'",
        {"work_order_no": "SH-1006-1-1", "recipe": "another"},
    ),
    (
        "ended_order_in_open_batch",
        f"{OPEN_BATCH}; INSERT INTO work_order (work_order_no, fulfilment_id, order_id, sku, quantity, recipe, grams,"
        " state, batch_no, batch_id) SELECT 'late', f.id, f.order_id, 'DRY-1500', 1, 'r', '{}', 'requested', '', b.id"
        f" FROM fulfilment f, production_batch b WHERE b.batch_no = 'PB-open' AND f.id = {of('SH-1011')}",
        {"fulfilment_no": "SH-1011-1", "stage": "cancelled"},
    ),
    ("open_batch_of_nobody", OPEN_BATCH, {"batch_no": "PB-open"}),
    (
        "batch_release_overdue",
        f"{OPEN_BATCH}; UPDATE production_batch SET seal_at = '2026-11-10' WHERE batch_no = 'PB-open';"
        " INSERT INTO work_order (work_order_no, fulfilment_id, order_id, sku, quantity, recipe, grams,"
        " state, batch_no, batch_id) SELECT 'late', f.id, f.order_id, 'DRY-1500', 1, 'r', '{}', 'requested', '', b.id"
        f" FROM fulfilment f, production_batch b WHERE b.batch_no = 'PB-open' AND f.id = {of('SH-1004')}",
        {"batch_no": "PB-open", "state": "open"},
    ),
    (
        "factory_silent",
        "UPDATE work_order SET expected_at = '2026-11-10 04:00+00' WHERE work_order_no = 'SH-1006-1-1'",
        {"work_order_no": "SH-1006-1-1", "fulfilment_no": "SH-1006-1", "state": "released"},
    ),
]


@pytest.mark.parametrize(("code", "damage", "row"), BREAKS, ids=[f"{code}-{n}" for n, (code, *_) in enumerate(BREAKS)])
def test_damage_is_named_once_with_its_row(session: Session, code: str, damage: str, row: dict[str, object]) -> None:
    session.execute(text(damage))

    (violation,) = check(session, LATER)

    assert (violation.code, violation.count, len(violation.rows)) == (code, 1, 1)
    assert row.items() <= violation.rows[0].items()
    assert violation.severity == ("warning" if code in WARNINGS else "error")
    assert violation.sentence.startswith("1 ")


def test_every_rule_has_its_damage() -> None:
    assert {code for code, *_ in BREAKS} == {rule.code for rule in INVARIANTS}
    assert len({rule.code for rule in INVARIANTS}) == len(INVARIANTS)


def test_many_rows_are_counted_and_some_are_shown(session: Session) -> None:
    session.execute(text("INSERT INTO warehouse SELECT 'W' || n, '', '', '' FROM generate_series(1, 120) n"))
    session.execute(text("INSERT INTO stock_item SELECT 'W' || n, 'CAN-400', 1, 0 FROM generate_series(1, 120) n"))

    (violation,) = check(session, LATER)

    assert (violation.count, len(violation.rows)) == (120, 50)


def test_a_live_claim_and_a_cancelled_split_are_no_violation(session: Session) -> None:
    # given: one claimed long ago for long, without a reason; another split in two, one half cancelled
    session.execute(
        text(
            "UPDATE fulfilment SET claimed_by = 'lane', claim_until = :until, waiting_on = NULL, waiting_why = '',"
            f" ready_at = :since WHERE id = {of('SH-1003')}"
        ),
        {"until": LATER + timedelta(minutes=1), "since": NOW - timedelta(hours=3)},
    )
    session.execute(text(f"UPDATE fulfilment_line SET quantity = 1 WHERE fulfilment_id = {of('SH-1011')}"))

    assert check(session, LATER) == []


def test_every_unfinished_fulfilment_says_what_wakes_it_and_by_when(session: Session) -> None:
    found = wakers(session, LATER)

    unfinished = session.execute(text("SELECT count(*) FROM fulfilment WHERE ready_at IS NOT NULL")).scalar_one()
    assert sum(waker.count for waker in found) == unfinished == 13
    assert all(waker.wakes and waker.first <= waker.last for waker in found)
    by_reason = {(waker.stage, waker.waiting_on): waker for waker in found}
    assert by_reason["approved", "production"].wakes == "MES 的完工或失败回报"
    assert by_reason["approved", "production"].last == NOW + timedelta(hours=1)


def codes(found: list[Violation]) -> list[str]:
    """The codes of violations."""
    return [violation.code for violation in found]


def test_overdue_is_counted_from_the_given_patience(session: Session) -> None:
    # SH-1002 is ready since NOW
    assert codes(check(session, NOW + timedelta(minutes=9))) == []
    assert "overdue" in codes(check(session, NOW + timedelta(minutes=11)))
    assert codes(check(session, NOW + timedelta(minutes=11), overdue_after=timedelta(minutes=30))) == []
