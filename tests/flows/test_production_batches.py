"""What is made to order, from the batch to the parcel; and what happens when the factory or the customer says no."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from flows.cancel_order import cancel_order
from models.checks import check
from models.customer_link import token_for
from models.database import transact, utcnow
from models.effect import effects_of
from models.fulfilment import Stage, WaitingOn
from models.hold import lift, open_holds
from models.order import Order
from models.production import WorkState
from models.production_page import batch_view
from models.promise import expected_by
from models.settings import settings
from models.wording import local
from tests.batches import batches_of, make_alike, place_alike, the_wait_is_over
from tests.carrying import carry, ended, holds, placed, reported, take_in, until
from tests.e2e.passing_time import set_speed
from tests.e2e.told_once import assert_cancelled_before_it_left, assert_shipped_once, events, told_of, work_orders
from tests.house import House, with_policy
from tests.orders import Kind, entered, fulfilment_of
from tests.prefect import RunningServer


@pytest.fixture
def slow_platforms(home: House) -> Iterator[None]:
    set_speed(home, 0.1)
    yield
    set_speed(home, home.sandbox.world.speed)


async def waiting_together(home: House, count: int) -> list[Order]:
    """So many orders of one recipe, carried until they wait for each other."""
    ids = place_alike(home, count)
    await take_in()
    orders = entered(ids)
    make_alike(orders)
    assert [(await carry(order)).name for order in orders] == ["等待生产完成"] * count
    assert len(batches_of(orders)) == 1
    return orders


def released(home: House, orders: list[Order]) -> list[int | None]:
    """How often the factory took each work order of these orders."""
    taken = home.effects("mes", "release")
    return [taken.get(work.work_order_no) for order in orders for work in work_orders(order)]


def release_keys(order: Order) -> list[str]:
    """The keys under which the order's batches were told to the factory."""
    told = transact(lambda session: effects_of(session, order.id or 0))
    return [effect.key for effect in told if effect.kind == "production_release"]


async def test_orders_of_one_recipe_are_released_as_one_and_each_customer_hears_when(
    home: House, prefect_server: RunningServer, slow_platforms: None
) -> None:
    with with_policy(production_batch_minutes=30):
        # given three orders that wait for each other
        orders = await waiting_together(home, 3)
        assert set(released(home, orders)) == {None}
        assert "等同一配方的订单" in fulfilment_of(orders[0]).waiting_why
        # when the wait is over and one of them is carried
        the_wait_is_over()
        assert (await carry(orders[1])).name == "等待生产完成"
        # then the factory has all of them, by one message
        (batch,) = batches_of(orders)
        assert set(released(home, orders)) == {1}
        assert [release_keys(order) for order in orders] == [[f"release-{batch.batch_no}"]] * 3
        assert {work.batch_no for order in orders for work in work_orders(order)} == {batch.batch_no}
        assert batch.factory_no.startswith("B") and batch.state == "released"
        # and the others, woken, tell their customers; then all are made and leave
        for order in (orders[0], orders[2]):
            assert (fulfilment_of(order).ready_at or utcnow()) <= utcnow()
            await carry(order)
        set_speed(home, home.sandbox.world.speed)
        for order in orders:
            assert home.effects("aliyun", "SendSms")[f"{order.order_no}-1-in_production"] == 1
            await reported(order, WorkState.COMPLETED)
            await carry(order)
        assert_shipped_once(home, orders)
        assert [told_of(order) for order in orders] == [["in_production", "shipped"]] * 3


async def test_who_cancels_before_the_release_leaves_and_the_others_go_on(
    home: House, prefect_server: RunningServer
) -> None:
    with with_policy(production_batch_minutes=30):
        first, second, third = orders = await waiting_together(home, 3)
        # when the one that opened the batch is cancelled
        await cancel_order(first.order_no, "客户不要了", "客服小张")
        await ended(first)
        the_wait_is_over()
        for order in (second, third):
            await carry(order)
            await reported(order, WorkState.COMPLETED)
            await carry(order)
        # then the factory never heard of it, and made the others
        assert set(released(home, [first])) == {None}
        assert not [work for work in work_orders(first) if home.effects("mes", "cancel").get(work.work_order_no)]
        assert fulfilment_of(first).stage == Stage.CANCELLED.value
        assert {work.batch_id for work in work_orders(first)} == {None}
        assert set(released(home, [second, third])) == {1}
        assert_shipped_once(home, orders[1:])


async def test_who_cancels_after_the_release_is_called_back_alone(
    home: House, prefect_server: RunningServer, slow_platforms: None
) -> None:
    with with_policy(production_batch_minutes=30):
        first, second = await waiting_together(home, 2)
        the_wait_is_over()
        await carry(second)
        await cancel_order(first.order_no, "客户不要了", "客服小张")
        set_speed(home, home.sandbox.world.speed)
        await ended(first)
        await reported(second, WorkState.COMPLETED)
        await carry(second)
        assert_cancelled_before_it_left(home, first)
        cancelled = home.effects("mes", "cancel")
        assert {cancelled.get(work.work_order_no) for work in work_orders(first)} == {1}
        assert {cancelled.get(work.work_order_no) for work in work_orders(second)} == {None}
        assert_shipped_once(home, [second])


async def test_one_order_that_the_factory_will_not_make_does_not_stop_the_others(
    home: House, prefect_server: RunningServer
) -> None:
    with with_policy(production_batch_minutes=30):
        first, bad, third = await waiting_together(home, 3)
        home.sandbox.world.set_fault("mes", "release", "refuse", times=9, detail={"order_no": bad.order_no})
        # when the batch is refused, each is released for itself
        the_wait_is_over()
        for order in (first, bad, third):
            await carry(order)
        # then a person looks at the one, and the others are made
        assert await holds(bad) == ["refused_mes"]
        assert [await holds(order) for order in (first, third)] == [[], []]
        assert set(released(home, [first, third])) == {1}
        assert set(released(home, [bad])) == {None}
        assert len(batches_of([first, bad, third])) == 3
        # and once the factory can, so is the one
        home.sandbox.world.clear_faults()
        transact(lambda session: lift(session, bad.id or 0, "生产主管", utcnow()))
        for order in (first, bad, third):
            await carry(order)
            await reported(order, WorkState.COMPLETED)
            await carry(order)
        assert_shipped_once(home, [first, bad, third])


@pytest.mark.parametrize("fault", ["http_500", "http_503", "http_500_after", "drop"])
async def test_a_factory_that_is_down_is_told_later_once_and_staff_see_it(
    home: House, prefect_server: RunningServer, fault: str
) -> None:
    # given a factory that fails three times
    order = await placed(home, Kind.MADE)
    home.sandbox.world.set_fault("mes", "release", fault, times=3)
    for again in range(1, 4):
        assert (await carry(order)).name == "稍后自动重试"
        assert fulfilment_of(order).attempts == again
        transact(lambda session: session.connection().execute(text("UPDATE effect SET lease_until = now() "
                                                                   "WHERE lease_until IS NOT NULL")))  # fmt: skip
    # then its batch says so on the page of the batches
    (batch,) = batches_of([order])[:1]
    view = transact(lambda session: batch_view(session, batch.batch_no))
    assert (view.state, view.attempts) == ("stuck", 3)
    assert view.problem.startswith("mes")
    late = transact(lambda session: check(session, utcnow() + timedelta(hours=1)))
    assert "batch_release_overdue" in {violation.code for violation in late}
    # and when the factory is back, nothing was lost and nothing is made twice
    assert (await carry(order)).name in ("等待生产完成", "已发货")  # it may have been made meanwhile
    await reported(order, WorkState.COMPLETED)
    await carry(order)
    assert_shipped_once(home, [order])


async def test_after_many_failures_a_person_is_told_while_it_goes_on_trying(
    home: House, prefect_server: RunningServer
) -> None:
    order = await placed(home, Kind.MADE)
    home.sandbox.world.set_fault("mes", "release", "http_503", times=6)
    for _ in range(6):
        await carry(order)
    held = transact(lambda session: open_holds(session, order.id or 0))
    assert [(one.code, one.blocking) for one in held] == [("keeps_failing", False)]
    assert (await carry(order)).name == "等待生产完成"


async def test_a_later_date_is_on_the_customer_s_page_and_no_second_message(
    home: House, prefect_server: RunningServer, slow_platforms: None
) -> None:
    # given an order whose customer was told a time, by a factory that will be two days late
    order = await placed(home, Kind.MADE)
    home.sandbox.world.set_fault("mes", "release", "late", times=9, detail={"hours": 48})
    await carry(order)
    first = transact(lambda session: expected_by(session, order))
    assert first is not None
    # when the factory says so at half time
    set_speed(home, 4.0)
    await until(lambda: {w.state for w in work_orders(order)} == {"in_progress"}, "half of it is made")
    later = transact(lambda session: expected_by(session, order))
    token = transact(lambda session: token_for(session, order.id or 0, utcnow()))
    page = await asyncio.to_thread(httpx.get, f"{settings().portal_url()}/o/{token}", trust_env=False)
    set_speed(home, home.sandbox.world.speed)
    # then the page has the new time
    assert later is not None and timedelta(hours=47) < later - first < timedelta(hours=49)
    assert {work.percent for work in work_orders(order)} == {50}
    assert "正在制作</h1>" in page.text and f"预计 {local(later)} 做好" in page.text
    # and the customer has one message
    await reported(order, WorkState.COMPLETED)
    await carry(order)
    assert told_of(order).count("in_production") == 1
    assert_shipped_once(home, [order])


async def test_stocked_orders_hear_nothing_of_production(home: House, prefect_server: RunningServer) -> None:
    order = await placed(home)
    await carry(order)
    assert told_of(order) == ["shipped"]
    assert batches_of([order]) == []


async def test_by_policy_what_fails_is_made_again_once_and_then_a_person_is_asked(
    home: House, prefect_server: RunningServer
) -> None:
    with with_policy(production_failure="rework"):
        order = await placed(home, Kind.MADE)
        home.sandbox.world.set_fault("mes", "release", "fail", times=99)
        await carry(order)
        await until(lambda: all(w.state == "failed" for w in work_orders(order)), "it failed")
        # when the order, woken, is carried: it is made again without a word
        assert (await carry(order)).name == "等待生产完成"
        assert await holds(order) == []
        again = [work for work in work_orders(order) if work.is_rework]
        assert len(again) == events(order)["reworked"] == len(work_orders(order)) // 2
        # and when that fails too, a person decides
        await until(lambda: all(w.state == "failed" for w in work_orders(order) if w.is_rework), "it failed again")
        assert (await carry(order)).name == "需要人工处理"
        assert await holds(order) == [f"production_failed_{work.id}" for work in again]


async def test_by_policy_what_fails_is_paid_back_once(home: House, prefect_server: RunningServer) -> None:
    with with_policy(production_failure="refund"):
        order = await placed(home, Kind.MADE)
        home.sandbox.world.set_fault("mes", "release", "fail", times=9)
        await carry(order)
        await until(lambda: all(w.state == "failed" for w in work_orders(order)), "it failed")
        part = await ended(order)
        assert part.stage == Stage.REFUNDED.value
        assert told_of(order) == ["in_production", "compensated"]
        assert events(order)["compensation_due"] == events(order)["refunded"] == 1
        assert part.waiting_on != WaitingOn.PERSON.value
