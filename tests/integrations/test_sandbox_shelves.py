"""The shelves of the played platforms: what sales take, what cancelled orders give back."""

from __future__ import annotations

from pathlib import Path

import pytest

from integrations.sandbox import replay, shelves
from integrations.sandbox.history import catalogue, customers, orders
from integrations.sandbox.shelves import CHANNELS, stock_shelves
from integrations.sandbox.world import World
from tests.integrations.sandbox_server import NOON


@pytest.mark.parametrize("channel", CHANNELS)
def test_order_lowers_its_own_shelf_and_a_cancelled_one_gives_back_once(channel: str, tmp_path: Path) -> None:
    world = World(tmp_path / "world.sqlite")
    order = next(one for one in orders() if all(line.quantity == 1 for line in one.lines))
    skus = {line.sku for line in order.lines}
    stock_shelves(world, dict.fromkeys(skus, 100))
    bought = {sku: sum(line.sku == sku for line in order.lines) for sku in skus}
    with world.transaction():
        order_id = replay.place(world, channel, order, customers()[order.customer_id], NOON, number=0)
        replay.place(world, channel, order, customers()[order.customer_id], NOON, number=0)

    assert {sku: shelves.shown(world, channel, sku) for sku in skus} == {sku: 100 - bought[sku] for sku in skus}
    others = {shelves.shown(world, other, sku) for other in CHANNELS if other != channel for sku in skus}
    assert others == {100}
    for _ in range(2):
        with world.transaction():
            replay.cancel(world, channel, order_id, NOON)
    assert {sku: shelves.shown(world, channel, sku) for sku in skus} == dict.fromkeys(skus, 100)
    world.close()


def test_sale_past_the_shelf_stops_at_nothing_and_gives_back_what_it_took(tmp_path: Path) -> None:
    world = World(tmp_path / "world.sqlite")
    stock_shelves(world, {"DOG-1": 2})
    shelves.sold(world, "douyin", "order-1", [("DOG-1", 5), ("DOG-1", -3), ("UNLISTED", 1)])
    assert shelves.shown(world, "douyin", "DOG-1") == 0
    assert shelves.shown(world, "douyin", "UNLISTED") is None
    shelves.given_back(world, "douyin", "order-1")
    assert shelves.shown(world, "douyin", "DOG-1") == 2
    world.close()


def test_whole_catalogue_is_listed_once_and_open_shelves_stay(tmp_path: Path) -> None:
    world = World(tmp_path / "world.sqlite")
    shelves.open_shelves(world)
    first = next(iter(catalogue()))
    assert [world.size(shelves.kind(channel)) for channel in CHANNELS] == [len(catalogue())] * 3
    assert shelves.shown(world, "douyin", first) == 0
    stock_shelves(world, {first: 5})
    shelves.open_shelves(world)
    assert shelves.shown(world, "douyin", first) == 5
    world.close()
