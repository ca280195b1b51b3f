"""What a buffer costs and saves: how many orders are compensated, and how many sales are refused for nothing.

Simulated, not run: three channels that sell from one warehouse and are told every 15 minutes what they may show. The
rules are the product's own (`models.pool.buffer_of` and `shown`); baskets, SKU popularity and the split over channels
are those of the real history (its orders with a stocked line), 500 orders a day of all kinds. Assumptions:

- once a day two hours bring orders at five times the mean (the other hours so many fewer), 30 % of them for ten SKUs
  on offer that day, out of the hundred best sellers, which nobody has stocked up for;
- each channel lowers its own number by its own sales at once and knows of no other's until the next round; a round
  reaches all channels at once; an order is known to us at once, and reserved if the goods are there, buffer included;
- the seller reorders each SKU when what is there and coming falls to what six days take in 90 of 100 cases, up to
  fourteen days more; goods come after five days, reserved ones leave the warehouse after a day. In the second curve,
  of scarce stock, there is no margin at all, and 60 % of a burst is for what is on offer;
- a customer who cannot have all of a basket takes nothing, and does not come back; no order is cancelled; the
  warehouse finds everything it has. Made-to-order goods and their ingredients are left out.

`compensated_share`: of the orders that a channel accepted, those whose goods were not there. `hidden_share`: of the
orders that could have been filled, those that a channel refused although the warehouse had all of it.
`none_left_share`: of all customers, those who came when the goods were gone. Each is the median of several seeds, with
the lowest and highest beside it. There is no rival: a buffer of 0 % is what a shop
without one does, and stands in the same table under the same customers.

    python -m tests.benchmarks.oversell [--quick] --json FILE
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from integrations.sandbox.history import CHANNELS
from models.pool import buffer_of, shown
from tests.benchmarks.market import (
    CAREFUL,
    LEAD_DAYS,
    MINUTES_A_DAY,
    SCARCE,
    Arrival,
    Basket,
    Seller,
    arrivals,
    demand_a_day,
    reorder,
)
from tests.benchmarks.report import Options, run, say

BUFFERS = (0, 2, 5, 10, 15, 20, 30)
SYNC_MINUTES = 15
WARM_UP_DAYS = 14  # not counted: until stock has come down from where it begins
BAR_PERCENT = 10


@dataclass
class Shop:
    """One warehouse and three channels under one buffer."""

    percent: int
    on_hand: Counter[str] = field(default_factory=Counter)
    reserved: Counter[str] = field(default_factory=Counter)
    coming: Counter[str] = field(default_factory=Counter)
    shelves: dict[str, Counter[str]] = field(default_factory=lambda: {channel: Counter() for channel in CHANNELS})
    changed: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    def has(self, basket: Basket) -> bool:
        """Whether the warehouse could fill it now, buffer included."""
        return all(self.on_hand[sku] - self.reserved[sku] >= pieces for sku, pieces in basket)

    def publish(self) -> None:
        """Tell every channel what it may show of each SKU that has changed."""
        for sku in self.changed:
            free = self.on_hand[sku] - self.reserved[sku]
            number = shown(free, buffer_of(self.on_hand[sku], self.percent))
            for shelf in self.shelves.values():
                shelf[sku] = number
        self.changed.clear()

    def sell(self, arrival: Arrival, counts: bool) -> bool:
        """What becomes of one customer; whether goods were reserved."""
        shelf, there = self.shelves[arrival.channel], self.has(arrival.basket)
        if any(shelf[sku] < pieces for sku, pieces in arrival.basket):
            self.counts["hidden" if there else "none left"] += counts
            return False
        for sku, pieces in arrival.basket:
            shelf[sku] -= pieces
            self.changed.add(sku)
        self.counts["filled" if there else "compensated"] += counts
        if there:
            self.reserved.update(dict(arrival.basket))
        return there


def simulate(percent: int, days: int, seed: int, seller: Seller) -> dict[str, float]:
    """`compensated_share` and `hidden_share` of one run."""
    shop = Shop(percent)
    levels = {sku: reorder(demand, seller) for sku, demand in demand_a_day().items()}
    for sku, (_, up_to) in levels.items():
        shop.on_hand[sku] = up_to
    shop.changed.update(levels)
    receipts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    leaving: deque[Arrival] = deque()
    rounds = -1
    for arrival in arrivals(days, seed, seller):
        while rounds < int(arrival.minute // SYNC_MINUTES):
            rounds += 1
            day, minute = divmod(rounds * SYNC_MINUTES, MINUTES_A_DAY)
            _let_leave(shop, leaving, rounds * SYNC_MINUTES - MINUTES_A_DAY)
            if minute == 0:
                _restock(shop, levels, receipts, day)
            shop.publish()
        if shop.sell(arrival, arrival.minute >= WARM_UP_DAYS * MINUTES_A_DAY):
            leaving.append(arrival)
    counts = shop.counts
    accepted, fillable = counts["filled"] + counts["compensated"], counts["filled"] + counts["hidden"]
    return {
        "compensated_share": counts["compensated"] / accepted,
        "hidden_share": counts["hidden"] / fillable,
        "none_left_share": counts["none left"] / sum(counts.values()),
    }


def _let_leave(shop: Shop, leaving: deque[Arrival], until: float) -> None:
    """What was reserved a day ago has been shipped."""
    while leaving and leaving[0].minute <= until:
        for sku, pieces in leaving.popleft().basket:
            shop.on_hand[sku] -= pieces
            shop.reserved[sku] -= pieces
            shop.changed.add(sku)


def _restock(shop: Shop, levels: dict[str, tuple[int, int]], receipts: dict[int, Counter[str]], day: int) -> None:
    """What was ordered five days ago arrives; what has fallen to its reorder point is ordered."""
    for sku, pieces in receipts.pop(day, Counter()).items():
        shop.on_hand[sku] += pieces
        shop.coming[sku] -= pieces
        shop.changed.add(sku)
    for sku, (point, up_to) in levels.items():
        position = shop.on_hand[sku] - shop.reserved[sku] + shop.coming[sku]
        if position <= point:
            shop.coming[sku] += up_to - position
            receipts[day + LEAD_DAYS][sku] += up_to - position


def measure(options: Options) -> dict[str, Any]:
    """The figures of FIGURES.md, `oversell`."""
    days, seeds = (45, 3) if options.quick else (120, 9)
    told: dict[str, Any] = {}
    for name, seller in (("curve", CAREFUL), ("curve_of_scarce_stock", SCARCE)):
        medians, spreads = {}, {}
        for percent in BUFFERS:
            runs = [simulate(percent, days, seed, seller) for seed in range(seeds)]
            by_share = {share: [one[share] for one in runs] for share in runs[0]}
            medians[f"{percent} %"] = {share: round(statistics.median(of), 5) for share, of in by_share.items()}
            spreads[f"{percent} %"] = {share: [round(min(of), 5), round(max(of), 5)] for share, of in by_share.items()}
            say(f"{name}, buffer {percent} %: {medians[f'{percent} %']}")
        told |= {name: medians, f"{name}_lowest_and_highest": spreads}
    at_bar = f"{BAR_PERCENT} %"
    return {
        "compensated_share": told["curve"][at_bar]["compensated_share"],
        "compensated_share_of_scarce_stock": told["curve_of_scarce_stock"][at_bar]["compensated_share"],
        **told,
        "days": days,
        "seeds": seeds,
    }


if __name__ == "__main__":
    run("oversell", measure)
