"""Orders that travel in one parcel, for tests: who is in it, what the carrier made, and what each channel heard."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, select

from models.cancellation import request_cancellation
from models.database import transact, utcnow
from models.fulfilment import Fulfilment, Stage
from models.order import Order
from models.parcel import Parcel, parcel_of
from tests.buying import parts_of
from tests.e2e.passing_time import set_speed
from tests.e2e.told_once import NOTICES, assert_nothing_twice, events
from tests.house import House

EAST = "WH-EAST"
#: A house in which orders paid within the hour travel together.
MERGING: dict[str, Any] = {"policy": {"stock_check_minutes": 0, "merge_within_minutes": 60}}


def forget(session: Session) -> None:
    """What other tests left on its way is none of the next one's company."""
    for order in session.exec(select(Order)):
        order.paid_at = None if order.paid_at is None else order.paid_at.replace(year=2000)
        session.add(order)


def part_of(order: Order) -> Fulfilment:
    """The order's only fulfilment, as it is now."""
    (part,) = parts_of(order)
    return part


def parcel(order: Order) -> Parcel | None:
    """Its row of the waybill, if it has one."""
    return transact(lambda session: parcel_of(session, part_of(order).id or 0))


def waybills(home: House, *orders: Order) -> dict[str, int]:
    """The shipment numbers under which the carrier made waybills for these orders."""
    made = home.effects("sf", "create_waybill")
    return {number: count for number, count in made.items() if number.startswith(tuple(o.order_no for o in orders))}


def told(home: House, order: Order) -> list[int]:
    """How often the order's channel heard of its parcel."""
    row = parcel(order)
    assert row is not None
    notices = home.effects(*NOTICES[order.channel])
    return [n for key, n in notices.items() if key == f"{order.channel_order_id}:{row.waybill_no}"]


def asked_of_carrier(home: House, order: Order) -> dict[str, Any]:
    """What the carrier was asked for the order's parcel."""
    row = parcel(order)
    known = home.sandbox.world.get("sf_order", row.shipment_no if row else "")
    assert known is not None
    return known


def assert_shipped_together(home: House, *orders: Order) -> None:
    """One waybill, and for each order its own notice, message and rows."""
    assert [part_of(order).stage for order in orders] == [Stage.SHIPPED.value] * len(orders)
    rows = [parcel(order) for order in orders]
    assert len({row.waybill_no for row in rows if row}) == len({row.shipment_no for row in rows if row}) == 1
    assert len({row.token for row in rows if row}) == len(orders)
    assert list(waybills(home, *orders).values()) == [1]
    messages = home.effects("aliyun", "SendSms")
    for order in orders:
        assert told(home, order) == [1], home.effects(*NOTICES[order.channel])
        assert messages.get(f"{order.order_no}-1-shipped") == 1
        happened = events(order)
        assert [happened[kind] for kind in ("merged", "waybill_created", "shipped", "notified")] == [1] * 4
    assert_nothing_twice(home)


def cancel(order: Order) -> None:
    """The customer does not want it any more."""
    transact(
        lambda session: request_cancellation(session, session.get_one(Order, order.id), "不要了", "客服", utcnow())
    )


def behind(home: House, channel: str = "shopify") -> None:
    """The channel takes no shipping notice for now, and the carrier picks nothing up."""
    home.sandbox.world.set_fault(*NOTICES[channel], "http_429", times=99, detail={"retry_after": 600})
    set_speed(home, 0.01)
