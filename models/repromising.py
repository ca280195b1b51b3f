"""Promises that move from some fulfilments of an order to others: taken up and given out in one transaction.

All items are locked in between, so that what was promised cannot be promised to anybody else meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from models.allocation import needs_of
from models.fulfilment import Fulfilment
from models.reservation import Purpose, held_for, release, reserve
from models.stock import free_everywhere


@dataclass(frozen=True)
class TakenUp:
    """What was promised: quantities by (SKU, purpose), where, and until when (None: for good)."""

    held: Counter[tuple[str, str]]
    warehouses: frozenset[str]
    until: datetime | None

    @property
    def purposes(self) -> set[str]:
        """What it was promised for. Ingredients that were used up already are not promised again."""
        return {purpose for _, purpose in self.held}


def take_up(session: Session, parts: Sequence[Fulfilment], actor: str, now: datetime, reason: str) -> TakenUp:
    """End what these fulfilments are promised, to be given out again at once. They must be locked."""
    rows = [row for part in sorted(parts, key=_id) for row in held_for(session, _id(part))]
    free_everywhere(session, sorted({row.sku for row in rows}), lock=True)
    held: Counter[tuple[str, str]] = Counter()
    for row in rows:
        held[row.sku, row.purpose] += row.quantity
    ends = [row.expires_at for row in rows]
    known = [end for end in ends if end is not None]
    taken = TakenUp(
        held, frozenset(row.warehouse for row in rows), min(known) if len(known) == len(ends) and ends else None
    )
    for part in parts:
        release(session, _id(part), actor, now, reason)
    return taken


def give_out(
    session: Session,
    taken: TakenUp,
    parts: Sequence[Fulfilment],
    warehouse: str,
    actor: str,
    now: datetime,
    *,
    only_covered: bool,
) -> None:
    """Promise these fulfilments what they take now, in this warehouse, for the purposes that were promised before.

    `only_covered`: a SKU of which too little was promised for all of them is left out, to be promised later. Raises
    `StockShort`; then roll back to before `take_up`.
    """
    wanted = {_id(part): _wanted(session, part) for part in parts}
    total = sum(wanted.values(), Counter[tuple[str, str]]())
    covered = {key for key in total if not only_covered or taken.held[key] >= total[key]}
    for part in parts:
        by_purpose = {
            purpose: {
                sku: quantity
                for (sku, of), quantity in wanted[_id(part)].items()
                if of == purpose.value and of in taken.purposes and (sku, of) in covered
            }
            for purpose in Purpose
        }
        goods, grams = by_purpose[Purpose.GOODS], by_purpose[Purpose.INGREDIENT]
        reserve(session, _id(part), warehouse, goods, actor, now, ingredients=grams, expires_at=taken.until)


def _wanted(session: Session, part: Fulfilment) -> Counter[tuple[str, str]]:
    wanted: Counter[tuple[str, str]] = Counter()
    for need in needs_of(session, part.order_id, _id(part)):
        wanted.update({(sku, Purpose.GOODS.value): quantity for sku, quantity in need.goods.items()})
        wanted.update({(sku, Purpose.INGREDIENT.value): grams for sku, grams in need.grams.items()})
    return wanted


def _id(part: Fulfilment) -> int:
    assert part.id is not None
    return part.id
