"""The plain account beside the stock machine: what must be on hand, who must be promised what, who is served next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection
from sqlmodel import Session

from models.pool import StockRule, set_rule
from tests.models.build import NOW
from tests.models.stockroom import SH, SZ, id_of, open_stockroom, order_for, parts_of

WAREHOUSES, SKUS = [SZ, SH], ["A", "B", "C"]
COMPENSATED = "C"  # the SKU whose seller pays back instead of having people wait
OPENING = {SZ: {"A": 6, "B": 4, "C": 3}, SH: {"A": 2, "B": 5, "C": 1}}
#: What the orders take, by line; the second and the fourth name a SKU twice. Paid in this order: 2, 0, 3, 1, 4.
ORDERS: list[tuple[int, list[tuple[str, int]]]] = [
    (20, [("A", 2)]),
    (40, [("B", 1), ("A", 3), ("B", 2)]),
    (10, [("A", 4), ("C", 1)]),
    (30, [("C", 1), ("C", 2)]),
    (50, [("C", 1), ("B", 3), ("A", 1)]),
]


def furnish(connection: Connection) -> list[int]:
    """The warehouses, their stock and the orders; the ids of the orders' fulfilments."""
    with session_on(connection) as session:
        open_stockroom(session, OPENING)
        set_rule(session, StockRule(sku=COMPENSATED, when_short="compensate", set_at=NOW))
        ids = []
        for number, (paid, lines) in enumerate(ORDERS):
            order = order_for(session, str(number), lines, paid)
            ids += [id_of(part) for part in parts_of(session, order)]
        return ids


@contextmanager
def session_on(connection: Connection) -> Iterator[Session]:
    """A transaction within the connection's: what it commits is undone with the rest."""
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        yield session
        session.commit()


@dataclass
class Part:
    """What the account knows of one fulfilment. `missing` is what it is queued for."""

    id: int
    paid: int
    wanted: Counter[str]
    stage: str = "received"
    outcome: str = "new"
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    expires: datetime | None = None
    missing: set[str] = field(default_factory=set)


@dataclass
class Account:
    """Pieces on hand by (warehouse, SKU), and every fulfilment by id."""

    on_hand: Counter[tuple[str, str]]
    parts: dict[int, Part]

    def free(self, warehouse: str, sku: str) -> int:
        promised = sum(part.held.get((warehouse, sku), 0) for part in self.parts.values())
        return self.on_hand[warehouse, sku] - promised

    def choose(self, pick: int, fits: Callable[[Part], bool]) -> Part | None:
        """One of the parts that fit, or None."""
        found = [part for part in self.parts.values() if fits(part)]
        return found[pick % len(found)] if found else None

    def all(self) -> list[Part]:
        return list(self.parts.values())

    def is_anyone_before(self, part: Part) -> bool:
        """Whether somebody who paid earlier waits for any of what it takes."""
        waiting = [p for p in self.all() if p.outcome == "waiting" and p.missing & set(part.wanted)]
        return any(p.paid < part.paid for p in waiting)

    def lacking(self, part: Part, taken: Counter[str] | None = None) -> set[str]:
        """The SKUs of which all warehouses together have too few (after `taken` were given away)."""
        taken = taken or Counter()
        there = {sku: sum(self.free(warehouse, sku) for warehouse in WAREHOUSES) - taken[sku] for sku in SKUS}
        return {sku for sku, wanted in part.wanted.items() if there[sku] < wanted}

    def expected_outcome(self, part: Part) -> str:
        lacking = set() if part.held else self.lacking(part)
        if not lacking:
            return "promised"
        return "compensated" if COMPENSATED in lacking else "waiting"

    def who_is_fed(self, skus: set[str]) -> list[Part]:
        """First paid first; who needs more than there is lets the next pass."""
        taken: Counter[str] = Counter()
        fed = []
        for part in sorted(self.parts.values(), key=lambda p: (p.paid, p.id)):
            queued = part.outcome == "waiting" and part.stage == "received" and part.missing & skus
            if queued and not self.lacking(part, taken):
                taken += part.wanted
                fed.append(part)
        return fed

    def latest_paid(self, warehouse: str, sku: str, counted: int) -> list[Part]:
        holders = [part for part in self.parts.values() if (warehouse, sku) in part.held]
        excess = sum(part.held[warehouse, sku] for part in holders) - counted
        victims = []
        for part in sorted(holders, key=lambda p: (p.paid, p.id), reverse=True):
            if excess > 0:
                victims.append(part)
                excess -= part.held[warehouse, sku]
        return victims


def summed(lines: Sequence[tuple[str, int]]) -> Counter[str]:
    """Pieces by SKU."""
    total: Counter[str] = Counter()
    for sku, pieces in lines:
        total[sku] += pieces
    return total
