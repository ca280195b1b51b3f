"""What a try-out comes to: counts that can be added up in any order, and a sample of the orders that change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from models.tryout import Change, Finding, PastOrder

#: Orders that are named at most, over all kinds of change.
MOST_NAMED = 20
#: Between the codes of two recipes where one takes the place of the other.
BECOMES = " → "


@dataclass(frozen=True)
class Named:
    """An order of the sample: what changes for it, in words."""

    id: int
    order_no: str
    words: str


@dataclass
class Tally:
    """Counts of orders, except where lines are named. Adding is associative and commutative.

    `ruled` are those with a ruling, `changed` those for which anything changes. `roles_…` and `days_…` count reviews,
    and orders that are reviewed, by role and by day. `recipes_…` count lines by recipe ("" for none), `swaps` those
    whose recipe changes. Cost is over the `priced` orders: those whose ingredients all have a price, before and after.
    `asked`: question of the form, ":missing" or ":wrong". `named`: kind of change → the newest such orders.
    """

    orders: int = 0
    ruled: int = 0
    made: int = 0
    answered: int = 0
    changed: int = 0
    broken: int = 0
    reviewed_before: int = 0
    reviewed_after: int = 0
    priced: int = 0
    cost_before_fen: int = 0
    cost_after_fen: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    roles_before: Counter[str] = field(default_factory=Counter)
    roles_after: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    days_before: Counter[str] = field(default_factory=Counter)
    days_after: Counter[str] = field(default_factory=Counter)
    days_held: Counter[str] = field(default_factory=Counter)
    recipes_before: Counter[str] = field(default_factory=Counter)
    recipes_after: Counter[str] = field(default_factory=Counter)
    swaps: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[Named]] = field(default_factory=dict)

    def count(self, order: PastOrder, found: Finding) -> None:
        """Count one order with what was found about it."""
        self.orders += 1
        self.days[order.day] += 1
        self.ruled += order.facts is not None
        self.made += bool(order.pets)
        self.answered += bool(order.answers)
        self.changed += bool(found.changes)
        self.broken += bool(found.broken)
        self.reviewed_before += bool(found.before)
        self.reviewed_after += bool(found.after)
        self.roles_before.update(found.before.keys())
        self.roles_after.update(found.after.keys())
        self.days_before[order.day] += bool(found.before)
        self.days_after[order.day] += bool(found.after)
        self.days_held[order.day] += Change.HELD in found.changes
        self.changes.update(change.value for change in found.changes)
        self.asked.update(f"{name}:{how}" for name, how in found.asked.items())
        for before, after in found.recipes:
            self.recipes_before[before] += 1
            self.recipes_after[after] += 1
            if before != after:
                self.swaps[f"{before}{BECOMES}{after}"] += 1
        if found.cost_fen is not None:
            self.priced += 1
            self.cost_before_fen += found.cost_fen[0]
            self.cost_after_fen += found.cost_fen[1]
        for change, words in found.changes.items():
            self._name(change.value, [Named(order.id, order.order_no, words)])
        if found.broken:
            self._name("broken", [Named(order.id, order.order_no, found.broken[0])])

    def add(self, other: Tally) -> None:
        """Count what `other` has counted, too."""
        for each in fields(self):
            mine, more = getattr(self, each.name), getattr(other, each.name)
            if isinstance(mine, int):
                setattr(self, each.name, mine + more)
            elif isinstance(mine, Counter):
                mine.update(more)
        for kind, orders in other.named.items():
            self._name(kind, orders)

    def sample(self) -> list[tuple[str, Named]]:
        """At most `MOST_NAMED` orders, each once, with the kind of change: every kind in turn, its newest first."""
        waiting = {kind: list(orders) for kind, orders in sorted(self.named.items())}
        chosen: dict[int, tuple[str, Named]] = {}
        while len(chosen) < MOST_NAMED and any(waiting.values()):
            for kind, orders in waiting.items():
                while orders and orders[0].id in chosen:
                    orders.pop(0)
                if orders and len(chosen) < MOST_NAMED:
                    order = orders.pop(0)
                    chosen[order.id] = (kind, order)
        return sorted(chosen.values(), key=lambda each: (each[0], -each[1].id))

    def plain(self) -> dict[str, Any]:
        """As plain data that another process can be given."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**told, "named": {kind: [asdict(order) for order in orders] for kind, orders in self.named.items()}}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Tally:
        """What `plain` gave."""
        tally = cls()
        for each in fields(cls):
            if isinstance(getattr(tally, each.name), Counter):
                getattr(tally, each.name).update(told[each.name])
            elif each.name != "named":
                setattr(tally, each.name, told[each.name])
        tally.named = {kind: [Named(**order) for order in orders] for kind, orders in told["named"].items()}
        return tally

    def _name(self, kind: str, orders: list[Named]) -> None:
        known = self.named.setdefault(kind, [])
        known += orders
        if len(orders) > 1 or len(known) > 1:
            known.sort(key=lambda order: -order.id)
        del known[MOST_NAMED:]
