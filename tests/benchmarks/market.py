"""A simulated market for the benchmark `oversell`: baskets of the real history, bursts, and a seller who restocks.

It knows nothing of buffers; `tests/benchmarks/oversell.py` says what is modelled, and what is not.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from integrations.sandbox.history import CHANNELS, orders

MINUTES_A_DAY = 24 * 60
ORDERS_A_DAY = 500  # of all kinds; those with a stocked line are what is simulated
BURST_TIMES, BURST_HOURS = 5, 2
PROMOTED = 10  # SKUs on offer in a burst, one piece each
#: Restocking: looked at each morning, there after so many days, enough for so many more.
LEAD_DAYS, COVER_DAYS, LEAST_ORDER = 5, 14, 4


@dataclass(frozen=True)
class Seller:
    """How a seller stocks and promotes. `safety`: standard deviations above the mean at which goods are reordered;
    `promoted`: the share of a burst's baskets that are for what is on offer, which nobody has stocked up for."""

    safety: float
    promoted: float


#: Enough in 90 of 100 reorder cycles (by the normal approximation); and in hardly half of them.
CAREFUL, SCARCE = Seller(1.28, 0.3), Seller(0.0, 0.6)

Basket = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Arrival:
    """A customer who wants a basket from one channel, so many minutes after the beginning."""

    minute: float
    channel: str
    basket: Basket


@cache
def baskets() -> tuple[Basket, ...]:
    """The stocked lines of every real order that has any, pieces of one SKU summed."""
    found = []
    for order in orders():
        pieces: Counter[str] = Counter()
        for line in order.lines:
            if line.pet is None:
                pieces[line.sku] += line.quantity
        if pieces:
            found.append(tuple(sorted(pieces.items())))
    return tuple(found)


def share_stocked() -> float:
    """Of all orders, how many have a stocked line."""
    return len(baskets()) / len(orders())


def demand_a_day() -> dict[str, tuple[float, float]]:
    """By SKU: mean and variance of the pieces that a day takes, without promotions (compound Poisson)."""
    a_day = ORDERS_A_DAY * share_stocked() / len(baskets())
    mean: Counter[str] = Counter()
    squares: Counter[str] = Counter()
    for basket in baskets():
        for sku, pieces in basket:
            mean[sku] += pieces
            squares[sku] += pieces * pieces
    return {sku: (mean[sku] * a_day, squares[sku] * a_day) for sku in mean}


def reorder(sku_demand: tuple[float, float], seller: Seller) -> tuple[int, int]:
    """(reorder point, order up to), in pieces."""
    mean, variance = sku_demand
    days = LEAD_DAYS + 1
    point = math.ceil(mean * days + seller.safety * math.sqrt(variance * days))
    return point, point + max(LEAST_ORDER, math.ceil(mean * COVER_DAYS))


def arrivals(days: int, seed: int, seller: Seller) -> Iterator[Arrival]:
    """Customers over so many days, one burst a day at a random hour; the mean of the day stays what it is."""
    rng = random.Random(seed)
    names, weights = list(CHANNELS), list(CHANNELS.values())
    mean = ORDERS_A_DAY * share_stocked() / MINUTES_A_DAY
    burst_share = BURST_TIMES * BURST_HOURS / 24
    quiet = mean * (1 - burst_share) / (1 - BURST_HOURS / 24)
    everything = baskets()
    popular = [sku for sku, _ in Counter(sku for basket in everything for sku, _ in basket).most_common(100)]
    for day in range(days):
        burst = rng.uniform(0, 24 - BURST_HOURS) * 60
        on_offer = rng.sample(popular, PROMOTED)
        minute = 0.0
        while True:
            in_burst = burst <= minute < burst + BURST_HOURS * 60
            # a rate that changes: step to its next change at most, and draw afresh from there
            rate = mean * BURST_TIMES if in_burst else quiet
            change = next((at for at in (burst, burst + BURST_HOURS * 60) if at > minute), float(MINUTES_A_DAY))
            step = rng.expovariate(rate)
            if minute + step >= change:
                minute = change
                if minute >= MINUTES_A_DAY:
                    break
                continue
            minute += step
            basket = rng.choice(everything)
            if in_burst and rng.random() < seller.promoted:
                basket = ((rng.choice(on_offer), 1),)
            yield Arrival(day * MINUTES_A_DAY + minute, rng.choices(names, weights)[0], basket)
