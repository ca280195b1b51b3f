"""A lane at work, in the test's own process: what operators see of it, and that one bad order is its own affair."""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel import Session

from flows.cancel_order import cancel_order
from models.database import transact
from models.fulfilment import WaitingOn, announce
from models.order import Order
from tests.carrying import runs, take_in, until
from tests.e2e.told_once import assert_cancelled_before_it_left, assert_shipped_once
from tests.flows.running_lane import lane_here
from tests.house import House
from tests.orders import CHANNELS, Kind, entered, fulfilment_of, place
from tests.prefect import RunningServer


async def test_a_lane_carries_the_orders_of_every_channel_to_the_carrier(
    home: House, prefect_server: RunningServer
) -> None:
    # given orders of every channel, one of them to be made
    ids = [
        *place(home, Kind.MADE),
        *(id for name in CHANNELS[1:] for id in place(home, Kind.STOCKED, name)),
    ]
    async with lane_here() as lane:
        # when they come in while a lane is at work, which hears of them and of the factory's report by itself
        await take_in()
        orders = entered(ids)
        await until(lambda: all(_on_its_way(order) for order in orders), "all are with the carrier")
    # then each was told once
    assert_shipped_once(home, orders)
    # and is shown under its number and channel, below the run of the lane, under names that say where it is
    (shift,) = runs(prefect_server, name={"any_": [lane.name]})
    assert (shift["state_type"], shift["id"]) == ("COMPLETED", lane.row.run_id if lane.row else None)
    below = runs(prefect_server, parent_flow_run_id={"any_": [shift["id"]]})
    made, *stocked = orders
    numbers = [order.order_no for order in orders]
    shown = [
        (run["name"], run["tags"], run["state_type"], run["state_name"]) for run in below if run["name"] in numbers
    ]
    assert sorted(shown) == sorted(
        [
            (made.order_no, ["channel:shopify"], "COMPLETED", "等待生产完成"),
            (made.order_no, ["channel:shopify"], "COMPLETED", "已发货"),
            *((order.order_no, [f"channel:{order.channel}"], "COMPLETED", "已发货") for order in stocked),
        ]
    )
    assert lane.carried >= 4 and lane.in_flight == {}


async def test_an_order_that_breaks_a_step_fails_alone_and_is_tried_again(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order whose receiver cannot be read any more, between two good ones
    ids = place(home, Kind.STOCKED, "shopify", 3)
    await take_in()
    good, bad, other = entered(ids)
    broken = text("UPDATE contact SET secret = 'nothing' WHERE id = :id")
    transact(lambda session: session.connection().execute(broken, {"id": bad.contact_id}))
    async with lane_here():
        await until(lambda: _on_its_way(good) and _on_its_way(other), "the good ones are with the carrier")
        await until(lambda: fulfilment_of(bad).waiting_on == WaitingOn.RETRY.value, "the bad one is parked")
    # then its run shows as failed, says why, and it will be looked at again
    assert runs(prefect_server, name={"any_": [bad.order_no]})[0]["state_type"] == "FAILED"
    assert fulfilment_of(bad).claimed_by is None and fulfilment_of(bad).attempts >= 1
    assert_shipped_once(home, [good, other])


async def test_cancelling_interrupts_the_lane_in_the_middle(home: House, prefect_server: RunningServer) -> None:
    # given a lane that waits for the factory to take a release, which it never will
    ids = place(home, Kind.MADE)
    home.sandbox.world.set_fault("mes", "release", "timeout_before", times=99, detail={"seconds": 1.0})
    async with lane_here():
        await take_in()
        (order,) = entered(ids)
        await until(lambda: _is_calling(order), "the lane is in its call")
        # when the order is cancelled
        state = await cancel_order(order.order_no, "客户不要了", "客服小张", return_state=True)
        assert state.name in ("正在取消", "稍后自动重试")  # whoever of the two takes it up first waits for the call
        await until(lambda: not _is_calling(order), "the call is over")
        _leases_are_over()
        # then the lane calls it back and ends it
        await until(lambda: fulfilment_of(order).ready_at is None, "the order is cancelled")
    home.sandbox.world.clear_faults()
    assert_cancelled_before_it_left(home, order)
    assert not any(released.startswith(order.order_no) for released in home.effects("mes", "release"))
    assert "已交接" in [run["state_name"] for run in runs(prefect_server, name={"any_": [order.order_no]})]


def _on_its_way(order: Order) -> bool:
    return fulfilment_of(order).waiting_on == WaitingOn.CARRIER.value


def _is_calling(order: Order) -> bool:
    calling = text(
        "SELECT count(*) FROM effect JOIN production_batch ON release_key = effect.key"
        " JOIN work_order ON batch_id = production_batch.id"
        " WHERE work_order.order_id = :id AND effect.state = 'calling'"
    )
    return bool(transact(lambda session: session.connection().execute(calling, {"id": order.id}).scalar_one()))


def _leases_are_over() -> None:
    def work(session: Session) -> None:
        session.connection().execute(text("UPDATE effect SET lease_until = now() WHERE lease_until IS NOT NULL"))
        session.connection().execute(text("UPDATE fulfilment SET ready_at = now() WHERE waiting_on = 'retry'"))
        announce(session)

    transact(work)
