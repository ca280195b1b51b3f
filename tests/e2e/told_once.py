"""What must be true when an order has gone all the way: everything told once, seen from the platforms and the book."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlmodel import Session

from models.checks import check
from models.compensation import CompensationState, compensations_of
from models.coupon import coupons_of
from models.database import transact, utcnow
from models.fulfilment import Fulfilment, Stage, fulfilments_of
from models.notification import Node
from models.order import Order
from models.parcel import parcel_of
from models.production import WorkOrder, work_orders_of
from models.refund import RefundStep, refunds_of
from models.timeline import EventKind, timeline
from tests.e2e.money_back import given_back
from tests.house import House
from tests.orders import fulfilment_of

#: How each channel counts the shipping notices that it takes.
NOTICES = {
    "shopify": ("shopify", "fulfillmentCreate"),
    "wechat_shop": ("wechat_shop", "order/delivery/send"),
    "douyin": ("douyin", "order.logisticsAdd"),
}
#: Where one parcel of several is told otherwise than a whole order.
ONE_OF_SEVERAL = {**NOTICES, "douyin": ("douyin", "order.logisticsAddMultiPack")}
#: Platforms that know no key: here even a repeat that they would refuse is one too many.
WITHOUT_KEY = (*NOTICES.values(), ("aliyun", "SendSms"))
#: What colleagues may read twice: the robot knows no key, and cannot be asked.
AT_LEAST_ONCE = (("wecom", "send"),)
#: The moments at which a customer hears that the order is over.
ENDINGS = (Node.CANCELLED.value, Node.COMPENSATED.value)

_ONCE = (EventKind.RECEIVED, EventKind.PAYMENT_VERIFIED)
_ONCE_A_PART = (
    EventKind.RESERVED,
    EventKind.APPROVED,
    EventKind.PRODUCED,
    EventKind.WAYBILL_CREATED,
    EventKind.SHIPPED,
)


def assert_shipped_once(home: House, orders: Sequence[Order]) -> None:
    """Each part of each order has left: one batch, one waybill, one shipping notice, one message, one row of each."""
    for order in orders:
        parts = transact(lambda session, id=order.id: fulfilments_of(session, id or 0))  # type: ignore[misc]
        for part in parts:
            _assert_part_shipped_once(home, order, part, NOTICES if len(parts) == 1 else ONE_OF_SEVERAL)
        happened = events(order)
        assert {kind: happened[kind] for kind in _ONCE} == dict.fromkeys(_ONCE, 1)
        assert {kind: happened[kind] for kind in _ONCE_A_PART} == dict.fromkeys(_ONCE_A_PART, len(parts))
        assert told_of(order).count("shipped") == len(parts)
    assert_nothing_twice(home)


def _assert_part_shipped_once(
    home: House, order: Order, part: Fulfilment, notices: Mapping[str, tuple[str, str]]
) -> None:
    number = f"{order.order_no}-{part.number}"
    assert part.stage == Stage.SHIPPED.value, f"{number}: {part.waiting_on} {part.waiting_why}"
    assert home.effects("sf", "create_waybill").get(number) == 1
    assert home.effects("aliyun", "SendSms").get(f"{number}-shipped") == 1
    parcel = transact(lambda session: parcel_of(session, part.id or 0))
    assert parcel is not None
    told = home.effects(*notices[order.channel])
    assert [count for key, count in told.items() if key.endswith(f":{parcel.waybill_no}")] == [1]
    works = transact(lambda session: work_orders_of(session, part.id or 0))
    released = home.effects("mes", "release")
    assert [released.get(work.work_order_no) for work in works] == [1] * len(works)
    told_of = [
        row for row in transact(lambda session: timeline(session, order.id or 0)) if row.fulfilment_id == part.id
    ]
    assert Counter(row.kind for row in told_of)[EventKind.RELEASED] == bool(works)


def assert_cancelled_before_it_left(home: House, order: Order, *, made: bool = False) -> None:
    """The order has ended without a parcel: what was out is called back, and nothing of it is promised any more.

    `made`: it had been made already, and what it was made of is off the shelf.
    """
    fulfilment = fulfilment_of(order)
    assert fulfilment.stage == Stage.CANCELLED.value, f"{fulfilment.waiting_on} {fulfilment.waiting_why}"
    number = f"{order.order_no}-{fulfilment.number}"
    assert f"{number}-shipped" not in home.effects("aliyun", "SendSms")
    asked = home.effects("sf", "create_waybill").get(number, 0)
    assert home.effects("sf", "cancel_waybill").get(number, 0) == asked
    happened = events(order)
    assert happened[EventKind.CANCELLED] == 1
    assert happened[EventKind.SHIPPED] == 0
    assert {reserved for _, reserved in balance(order).values()} <= {0}
    assert {on_hand < 0 for on_hand, _ in balance(order).values()} == ({True} if made else set())
    assert_paid_back_once(home, order, by_us=order.platform_status not in ("cancelled", "refunded"))
    assert_nothing_twice(home)


def assert_paid_back_once(home: House, order: Order, *, by_us: bool = True) -> None:
    """All that was paid for the order went back, in one refund, and the customer heard of it once."""
    now = transact(lambda session: session.get_one(Order, order.id))
    refunds = transact(lambda session: refunds_of(session, order.id or 0))
    if not by_us:
        assert [r.state for r in refunds if r.state != RefundStep.DROPPED.value] == []
        return
    assert now.refunded_fen == now.paid_fen == sum(r.amount_fen for r in refunds)
    for refund in refunds:
        assert refund.state == RefundStep.PAID.value, f"{refund.refund_no}: {refund.problem}"
        assert home.refunds(refund) == 1
    assert given_back(home, now) == now.refunded_fen
    assert len([node for node in told_of(order) if node in ENDINGS]) == len(refunds)


def assert_compensated_once(home: House, order: Order) -> None:
    """The order could not be filled: each part of it was paid back once, with one coupon and one message, and ended.

    Nothing is promised to it any more, and nothing of it was sent.
    """
    parts = transact(lambda session: fulfilments_of(session, order.id or 0))
    made_up = transact(lambda session: compensations_of(session, order.id or 0))
    assert sorted(row.fulfilment_id for row in made_up) == [part.id for part in parts]
    assert [row.state for row in made_up] == [CompensationState.DONE.value] * len(parts)
    for part in parts:
        number = f"{order.order_no}-{part.number}"
        assert part.stage == Stage.REFUNDED.value, f"{number}: {part.waiting_on} {part.waiting_why}"
        messages = home.effects("aliyun", "SendSms")
        assert [messages.get(f"{number}-{node}", 0) for node in ("compensated", "cancelled", "shipped")] == [1, 0, 0]
        asked = home.effects("sf", "create_waybill").get(number, 0)
        assert home.effects("sf", "cancel_waybill").get(number, 0) == asked
    assert_paid_back_once(home, order)
    coupons = transact(lambda session: coupons_of(session, order.id or 0))
    assert sorted((c.compensation_id, c.value_fen) for c in coupons) == sorted((c.id, c.coupon_fen) for c in made_up)
    if order.channel == "shopify":  # the only channel that takes our codes at its checkout
        made = home.effects("shopify", "discountCodeBasicCreate")
        assert [made.get(coupon.code) for coupon in coupons] == [1] * len(coupons)
        assert all(coupon.platform_id.startswith("gid://") for coupon in coupons)
    happened = events(order)
    kinds = (EventKind.COMPENSATION_DUE, EventKind.COUPON_ISSUED, EventKind.REFUND_ASKED, EventKind.REFUNDED)
    assert {kind: happened[kind] for kind in kinds} == dict.fromkeys(kinds, len(parts))
    assert happened[EventKind.SHIPPED] == happened[EventKind.CANCELLED] == 0
    assert all(reserved == 0 for _, reserved in balance(order).values())
    assert_nothing_twice(home)


def assert_nothing_twice(home: House) -> None:
    """No key took effect twice on any platform, no notice or message was even tried twice; the ledger adds up."""
    for counted in home.sandbox.world.counts():
        if (counted["platform"], counted["operation"]) in AT_LEAST_ONCE:
            continue
        assert counted["keys_twice"] == 0, counted
        if (counted["platform"], counted["operation"]) in WITHOUT_KEY:
            assert counted["deliveries"] == counted["keys"], counted
    off = transact(_items_off_the_ledger)
    assert not off, off
    broken = [rule for rule in transact(lambda session: check(session, utcnow())) if rule.severity == "error"]
    assert not broken, broken


def events(order: Order) -> Counter[str]:
    """How many rows of each kind the order's timeline has."""
    return Counter(row.kind for row in transact(lambda session: timeline(session, order.id or 0)))


def told_of(order: Order) -> list[str]:
    """The moments of which the order's timeline says that the customer was told, oldest first."""
    rows = transact(lambda session: timeline(session, order.id or 0))
    return [row.detail["node"] for row in rows if row.kind == EventKind.NOTIFIED]


def work_orders(order: Order) -> list[WorkOrder]:
    """The work orders of the order's only fulfilment."""
    fulfilment = fulfilment_of(order)
    return transact(lambda session: work_orders_of(session, fulfilment.id or 0))


def balance(order: Order) -> dict[str, tuple[int, int]]:
    """By SKU: what the movements of all its parts have come to (on hand, reserved), where that is not nothing."""
    rows = transact(
        lambda session: (
            session.connection()
            .execute(
                text(
                    "SELECT sku, sum(on_hand_change)::bigint, sum(reserved_change)::bigint FROM stock_movement"
                    " WHERE fulfilment_id IN (SELECT id FROM fulfilment WHERE order_id = :id) GROUP BY sku"
                    " HAVING sum(on_hand_change) <> 0 OR sum(reserved_change) <> 0"
                ),
                {"id": order.id},
            )
            .all()
        )
    )
    return {sku: (on_hand, reserved) for sku, on_hand, reserved in rows}


def _items_off_the_ledger(session: Session) -> list[tuple[str, int, int]]:
    """Items whose counters are not the sums of their movements, or whose reserved is not the sum of what is held."""
    rows = session.connection().execute(
        text("""
        SELECT i.sku, i.on_hand, i.reserved FROM stock_item i
        LEFT JOIN (SELECT warehouse, sku, sum(on_hand_change) AS on_hand, sum(reserved_change) AS reserved
                   FROM stock_movement GROUP BY 1, 2) m USING (warehouse, sku)
        LEFT JOIN (SELECT warehouse, sku, sum(quantity) AS held FROM reservation
                   WHERE state = 'held' GROUP BY 1, 2) r USING (warehouse, sku)
        WHERE i.on_hand <> COALESCE(m.on_hand, 0) OR i.reserved <> COALESCE(m.reserved, 0)
           OR i.reserved <> COALESCE(r.held, 0)
        """)
    )
    return [(sku, on_hand, reserved) for sku, on_hand, reserved in rows]
