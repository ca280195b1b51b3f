"""What each played platform has for sale: one number per SKU of the seller's listing, lowered by its own sales.

The number is the platform's: an order placed there lowers it at once (never below 0), a cancelled one gives back what
it took, and the seller changes it by the platform's own stock calls (`shopify_stock`, `wechat_stock`, `douyin_stock`).
A SKU that was never put on a shelf is not listed there, and selling it changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from integrations.sandbox.history import catalogue
from integrations.sandbox.world import World

CHANNELS = ("shopify", "wechat_shop", "douyin")
TAKEN = "shelves.taken"  # "channel:order" -> {SKU: how many the order took off the shelf}


def stock_shelves(world: World, quantities: Mapping[str, int], channels: Iterable[str] = CHANNELS) -> None:
    """List these SKUs on the channels with these numbers for sale, whatever was shown before."""
    with world.transaction():
        for channel in channels:
            for sku, quantity in quantities.items():
                put(world, channel, sku, quantity)


def open_shelves(world: World) -> None:
    """List the seller's whole catalogue on every channel with nothing for sale yet; shelves that are open stay."""
    if not world.size(kind(CHANNELS[0])):
        stock_shelves(world, dict.fromkeys(catalogue(), 0))


def shown(world: World, channel: str, sku: str) -> int | None:
    """How many the channel has for sale; None for a SKU that it does not list."""
    found = world.get(kind(channel), sku)
    return None if found is None else int(found["quantity"])


def put(world: World, channel: str, sku: str, quantity: int) -> None:
    """Show exactly this many, listing the SKU if it is not."""
    world.put(kind(channel), sku, {"sku": sku, "quantity": quantity})
    world.put(_number_kind(channel), str(number(channel, sku)), {"sku": sku})


def number(channel: str, sku: str) -> int:
    """The platform's own number of a SKU: always the same, and below 2^53 as JSON numbers should be."""
    digest = hashlib.sha256(f"{channel} {sku}".encode()).digest()
    return 10**14 + int.from_bytes(digest[:5], "big")


def sku_of(world: World, channel: str, number: str) -> str | None:
    """The listed SKU with this number."""
    found = world.get(_number_kind(channel), number)
    return found["sku"] if found else None


def sold(world: World, channel: str, order_id: str, lines: Iterable[tuple[str, int]]) -> None:
    """An order takes these (SKU, quantity) off the channel's shelf, as far as there are any."""
    total: Counter[str] = Counter()
    for sku, quantity in lines:
        total[sku] += max(0, quantity)
    taken = {}
    for sku, quantity in total.items():
        there = shown(world, channel, sku)
        if there and quantity:
            taken[sku] = min(there, quantity)
            put(world, channel, sku, there - taken[sku])
    if taken:
        world.put(TAKEN, f"{channel}:{order_id}", taken)


def given_back(world: World, channel: str, order_id: str) -> None:
    """A cancelled order gives back what it took. Once."""
    key = f"{channel}:{order_id}"
    for sku, quantity in (world.get(TAKEN, key) or {}).items():
        put(world, channel, sku, (shown(world, channel, sku) or 0) + quantity)
    world.put(TAKEN, key, {})


def kind(channel: str) -> str:
    """The kind of a channel's stock documents."""
    return f"{channel}.inventory"


def _number_kind(channel: str) -> str:
    return f"{channel}.inventory_number"
