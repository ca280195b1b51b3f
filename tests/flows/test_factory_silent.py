"""A factory that says nothing, or says two things: nobody waits for ever, and nothing bad is shipped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from models.checks import check
from models.database import transact, utcnow
from models.fulfilment import WaitingOn
from models.hold import lift, open_holds
from models.order import Order
from models.production import WorkState, take_report
from tests.carrying import carry, holds, placed, reported
from tests.e2e.passing_time import set_speed
from tests.e2e.told_once import assert_shipped_once, work_orders
from tests.house import House, with_policy
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer


@pytest.fixture
def standstill(home: House) -> Iterator[None]:
    """The platforms' clock hardly moves: the factory reports nothing by itself."""
    set_speed(home, 0.0001)
    yield
    set_speed(home, home.sandbox.world.speed)


def should_be_done_since(order: Order, hours: float) -> None:
    """What the factory has promised for this order lies so many hours back."""
    transact(
        lambda session: session.connection().execute(
            text("UPDATE work_order SET expected_at = now() - make_interval(secs => :seconds) WHERE order_id = :id"),
            {"seconds": hours * 3600, "id": order.id},
        )
    )


def reports(order: Order, kind: str) -> None:
    """The factory reports this of every work order, now."""
    for work in work_orders(order):
        said = f"{kind}-{work.work_order_no}"
        transact(lambda s, w=work, id=said: take_report(s, id, w.work_order_no, kind, utcnow(), {}, utcnow()))  # type: ignore[misc]


async def test_a_silent_factory_is_asked_about_once_and_the_order_goes_on_when_it_speaks(
    home: House, prefect_server: RunningServer, standstill: None
) -> None:
    # given an order that should have been made a month ago
    order = await placed(home, Kind.MADE)
    await carry(order)
    should_be_done_since(order, 30 * 24)
    # when it is looked at several times
    names = {(await carry(order)).name for _ in range(4)}
    # then it still waits for the factory, a person is asked about each work order once, and the checks say so
    assert names == {"等待生产完成"}
    held = transact(lambda session: open_holds(session, order.id or 0))
    assert [one.code for one in held] == [f"factory_silent_{work.id}" for work in work_orders(order)]
    assert {(one.blocking, one.who) for one in held} == {(False, "生产主管")}
    found = transact(lambda session: check(session, utcnow()))
    assert [(violation.code, violation.severity) for violation in found] == [("factory_silent", "warning")]
    # and when the factory speaks nothing is left of it
    reports(order, "work_order.completed")
    assert await holds(order) == [] and transact(lambda session: check(session, utcnow())) == []
    await carry(order)
    assert_shipped_once(home, [order])


async def test_the_seller_says_how_long_a_factory_may_be_silent_and_the_order_is_looked_at_then(
    home: House, prefect_server: RunningServer, standstill: None
) -> None:
    with with_policy(production_silence_hours=1.0):
        order = await placed(home, Kind.MADE)
        await carry(order)
        should_be_done_since(order, 0.5)
        await carry(order)
        part = fulfilment_of(order)
        # half an hour is left, though it would be looked at in two hours only
        assert await holds(order) == [] and part.waiting_on == WaitingOn.PRODUCTION.value
        assert part.ready_at is not None
        assert timedelta(minutes=29) < part.ready_at - utcnow() < timedelta(minutes=31)
        should_be_done_since(order, 1.0)
        await carry(order)
        assert len(await holds(order)) == len(work_orders(order))


async def test_what_the_factory_calls_bad_after_it_was_done_is_not_shipped_until_a_person_has_looked(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order of which everything is made
    order = await placed(home, Kind.MADE)
    await carry(order)
    await reported(order, WorkState.COMPLETED)
    # when the factory says that it has failed, before it is shipped
    reports(order, "work_order.failed")
    # then it waits for a person, and no waybill is asked for
    assert (await carry(order)).name == "需要人工处理"
    assert await holds(order) == [f"factory_contradicts_{work.id}" for work in work_orders(order)]
    assert f"{order.order_no}-1" not in home.effects("sf", "create_waybill")
    # and once they have found it good it is shipped
    transact(lambda session: lift(session, order.id or 0, "生产主管", utcnow()))
    assert (await carry(order)).name == "已发货"
    assert_shipped_once(home, [order])
