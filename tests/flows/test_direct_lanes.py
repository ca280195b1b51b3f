"""Pausing, resuming and draining lanes that are at work."""

from __future__ import annotations

import asyncio

from flows.direct_lanes import direct_lanes
from models.fulfilment import WaitingOn
from models.order import Order
from tests.carrying import placed, until
from tests.flows.running_lane import HEARTBEAT, lane_here
from tests.house import House
from tests.orders import fulfilment_of
from tests.prefect import RunningServer


async def test_a_paused_lane_takes_nothing_until_resumed(home: House, prefect_server: RunningServer) -> None:
    async with lane_here() as lane:
        # given a lane that was told to pause
        assert (await direct_lanes("pause", return_state=True)).name == "1 条通道已暂停"
        await until(lambda: lane.row is not None and lane.row.paused, "the lane has heard of it")
        # when an order comes in
        order = await placed(home)
        await asyncio.sleep(3 * HEARTBEAT)
        # then it is left lying, ready
        assert fulfilment_of(order).claimed_by is None
        # until the lane is resumed
        assert (await direct_lanes("resume", return_state=True)).name == "1 条通道已继续"
        await until(lambda: _on_its_way(order), "the order is with the carrier")


async def test_a_drained_lane_finishes_what_it_holds_and_takes_no_more(
    home: House, prefect_server: RunningServer
) -> None:
    async with lane_here() as lane:
        # given a lane in the middle of an order
        home.sandbox.world.set_fault("sf", "create_waybill", "timeout_after", detail={"seconds": 1.0})
        first = await placed(home)
        await until(lambda: fulfilment_of(first).id in lane.in_flight, "the lane holds the order")
        # when it is drained, and another order comes in
        assert (await direct_lanes("drain", return_state=True)).name == "1 条通道收尾后停止"
        await until(lambda: lane.drained, "the lane has heard of it")
        second = await placed(home)
        await until(lambda: not lane.in_flight, "the lane has let go of the first")
        # then the first was seen to its stop, and the second is left for another lane
        assert fulfilment_of(first).waiting_on == WaitingOn.RETRY.value
        assert fulfilment_of(second).waiting_on is None and fulfilment_of(second).claimed_by is None
    # and a lane that starts afterwards carries it
    async with lane_here():
        await until(lambda: _on_its_way(second), "the order is with the carrier")


def _on_its_way(order: Order) -> bool:
    return fulfilment_of(order).waiting_on == WaitingOn.CARRIER.value
