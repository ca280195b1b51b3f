"""An order that a person splits leaves in two parcels of which its channel hears; put together again, in one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models.database import transact, utcnow
from models.fulfilment import Stage
from models.joining import join
from models.order import Order, lines_of
from models.splitting import SplitRefused, split_off
from tests.buying import bought, carry_parts, parts_of, shelve_goods
from tests.e2e.passing_time import let_time_pass
from tests.e2e.told_once import assert_nothing_twice, assert_shipped_once, events
from tests.house import House
from tests.orders import CHANNELS
from tests.prefect import RunningServer
from tests.travelling import EAST, part_of, waybills


@pytest.fixture(autouse=True)
def _shelves(home: House) -> Iterator[None]:
    shelve_goods({EAST: {"PAN-9": 100, "POT-9": 100}})
    yield


async def packed(home: House, channel: str = "shopify") -> Order:
    """An order that is ready, and whose carrier does not answer yet."""
    order = await bought(home, {"PAN-9": 3, "POT-9": 1}, channel)
    home.sandbox.world.set_fault("sf", "create_waybill", "http_503")
    await carry_parts(order)
    assert part_of(order).stage == Stage.PRODUCED.value
    return order


def line(order: Order, sku: str) -> int:
    return next(row.id or 0 for row in transact(lambda s: lines_of(s, order.id or 0)) if row.sku == sku)


async def carried(order: Order) -> None:
    for _ in range(3):
        let_time_pass()
        await carry_parts(order)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_what_is_split_off_leaves_by_itself_and_the_channel_hears_of_both(
    home: House, prefect_server: RunningServer, channel: str
) -> None:
    order = await packed(home, channel)
    transact(lambda s: split_off(s, order, {line(order, "PAN-9"): 2}, "王敏", utcnow()))

    await carried(order)

    assert [part.stage for part in parts_of(order)] == [Stage.SHIPPED.value] * 2
    assert_shipped_once(home, [order])
    assert events(order)["split"] == 1
    with pytest.raises(SplitRefused, match="已经发货或了结"):
        transact(lambda s: join(s, order, [1, 2], "王敏", utcnow()))


async def test_what_is_put_together_again_leaves_as_one(home: House, prefect_server: RunningServer) -> None:
    order = await packed(home)
    transact(lambda s: split_off(s, order, {line(order, "POT-9"): 1}, "王敏", utcnow()))
    transact(lambda s: join(s, order, [1, 2], "王敏", utcnow()))

    await carried(order)

    assert [part.stage for part in parts_of(order)] == [Stage.SHIPPED.value, Stage.CANCELLED.value]
    assert waybills(home, order) == {f"{order.order_no}-1": 1}
    asked = home.sandbox.world.get("sf_order", f"{order.order_no}-1")
    assert asked is not None and sum(item["count"] for item in asked["cargo"]) == 4
    assert (events(order)["split"], events(order)["joined"], events(order)["shipped"]) == (1, 1, 1)
    assert_nothing_twice(home)
