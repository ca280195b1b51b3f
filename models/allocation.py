"""Allocation: which warehouse carries what of an order, and who gets goods that have arrived.

The nearest warehouse that can fill the whole order does; else the order is split over as few as possible, a
fulfilment for each; and where all of them together have not enough, nothing is promised.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, text
from sqlmodel import Session, select

from models.backorder import BackorderState, leave_queue, queue
from models.effect import is_known_outside
from models.fulfilment import Fulfilment, FulfilmentLine, announce, carried_by, wake
from models.order import Contact, Order, OrderLine, lines_of
from models.pool import in_buffer
from models.product import products
from models.recipe import Recipe, ingredients
from models.reservation import Reservation, ReservationState, reserve
from models.rules_in_force import recipes_of
from models.stock import StockShort, free_everywhere
from models.timeline import EventKind, note
from models.warehouse import nearest_first


@dataclass(frozen=True)
class Terms:
    """The seller's settings that allocation goes by."""

    default_buffer_percent: int
    reservation_lasts: timedelta


@dataclass
class Need:
    """What one line of a fulfilment takes: so many of these goods, or of these ingredients (grams)."""

    part: FulfilmentLine
    line: OrderLine
    goods: Counter[str] = field(default_factory=Counter)
    grams: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> Counter[str]:
        """By SKU, whatever for."""
        return self.goods + self.grams


#: (warehouse, SKU) → what is free.
Free = dict[tuple[str, str], int]
#: Warehouse → which lines it carries, and how many of each.
Plan = dict[str, list[tuple[Need, int]]]


def made_of(
    session: Session, order_id: int, fulfilment_id: int
) -> list[tuple[FulfilmentLine, OrderLine, Recipe | None]]:
    """The fulfilment's parts with their order lines, and the recipe of those that are made to order."""
    lines = {line.id: line for line in lines_of(session, order_id)}
    parts = carried_by(session, fulfilment_id)
    if not any(part.recipe for part in parts):
        return [(part, lines[part.order_line_id], None) for part in parts]
    book = recipes_of(session, session.get_one(Order, order_id))
    return [(part, lines[part.order_line_id], book[part.recipe] if part.recipe else None) for part in parts]


def needs_of(session: Session, order_id: int, fulfilment_id: int) -> list[Need]:
    """What each line of a fulfilment takes, by order line."""
    needs = []
    for part, line, recipe in made_of(session, order_id, fulfilment_id):
        need = Need(part, line)
        if recipe is None:
            need.goods[line.sku] += part.quantity
        else:
            weight = products(session, [line.sku])[line.sku].weight_g
            need.grams.update(ingredients(recipe, weight, part.quantity))
        needs.append(need)
    return sorted(needs, key=lambda need: need.line.line_no)


def skus_of(session: Session, order_id: int, fulfilment_id: int) -> list[str]:
    """The SKUs that a fulfilment takes from stock."""
    return sorted({sku for need in needs_of(session, order_id, fulfilment_id) for sku in need.total})


def allocate(session: Session, fulfilment: Fulfilment, actor: str, now: datetime, terms: Terms) -> list[str]:
    """Promise a fulfilment everything it takes; returns the SKUs for which the buffer had to be used.

    The fulfilment must be locked. It gets the nearest warehouse that has all of it, or gives lines away to new
    fulfilments of the same order (each with its promise, ready to be worked on). Done already, it changes nothing.
    Raises `StockShort` with what all warehouses together lack; then nothing is promised.
    """
    assert fulfilment.id is not None
    needs = needs_of(session, fulfilment.order_id, fulfilment.id)
    until = now + terms.reservation_lasts
    if _is_bound(session, fulfilment):  # something is packed or made there already: it stays there
        return _promise(session, fulfilment, fulfilment.warehouse, needs, actor, now, until, terms)
    contact = session.get_one(Contact, session.get_one(Order, fulfilment.order_id).contact_id)
    near = nearest_first(session, contact.province)
    total = sum((need.total for need in needs), Counter[str]())
    free: Free = defaultdict(int, free_everywhere(session, sorted(total)))
    for warehouse in near:
        if not _fits(free, warehouse, total):
            continue
        try:
            used = _promise(session, fulfilment, warehouse, needs, actor, now, until, terms)
        except StockShort:
            continue  # somebody was quicker; the next warehouse may do
        fulfilment.warehouse = warehouse
        session.add(fulfilment)
        return used
    plan = split(needs, near, free)
    if plan is not None:
        try:
            with session.begin_nested():
                return _carry_out(session, fulfilment, plan, actor, now, until, terms)
        except StockShort:
            session.refresh(fulfilment)
    raise StockShort("", _lacking(session, total))


def split(needs: Sequence[Need], near: Sequence[str], free: Free) -> Plan | None:
    """Which warehouse carries what, as few warehouses as a greedy choice finds; None when not all of it is there.

    Whole lines first, from the warehouse that has most of them; then stocked lines by the piece, nearest first.
    """
    left = dict(free)
    plan: Plan = {}
    unplaced = list(needs)
    while unplaced:
        offers = [(warehouse, _whole_lines(unplaced, warehouse, left)) for warehouse in near]
        best, lines = max(offers, key=lambda offer: len(offer[1]), default=("", []))
        if not lines:
            break
        for need in lines:
            _take(left, best, need.total)
            plan.setdefault(best, []).append((need, need.part.quantity))
            unplaced.remove(need)
    for need in unplaced:
        if need.grams:
            return None  # one batch is made in one place
        wanted = need.part.quantity
        for warehouse in sorted(near, key=lambda w: w not in plan):
            taken = min(wanted, left.get((warehouse, need.line.sku), 0))
            if taken > 0:
                _take(left, warehouse, Counter({need.line.sku: taken}))
                plan.setdefault(warehouse, []).append((need, taken))
                wanted -= taken
        if wanted:
            return None
    return plan


def _whole_lines(needs: Iterable[Need], warehouse: str, free: Free) -> list[Need]:
    left, found = dict(free), []
    for need in needs:
        if _fits(left, warehouse, need.total):
            _take(left, warehouse, need.total)
            found.append(need)
    return found


def _fits(free: Free, warehouse: str, total: Counter[str]) -> bool:
    return all(free.get((warehouse, sku), 0) >= quantity for sku, quantity in total.items())


def _take(free: Free, warehouse: str, total: Counter[str]) -> None:
    for sku, quantity in total.items():
        free[warehouse, sku] = free.get((warehouse, sku), 0) - quantity


def _is_bound(session: Session, fulfilment: Fulfilment) -> bool:
    """Whether it belongs to its warehouse: something is promised there, or factory or carrier know of it."""
    assert fulfilment.id is not None
    promised = select(Reservation.id).where(
        Reservation.fulfilment_id == fulfilment.id, Reservation.state != ReservationState.RELEASED.value
    )
    if session.exec(promised).first() is not None:
        return True
    return is_known_outside(session, fulfilment.order_id, fulfilment.id)


def _promise(
    session: Session,
    fulfilment: Fulfilment,
    warehouse: str,
    needs: Sequence[Need],
    actor: str,
    now: datetime,
    until: datetime,
    terms: Terms,
) -> list[str]:
    """Reserve all of it in one warehouse; the SKUs that are now below their buffer."""
    assert fulfilment.id is not None
    goods = sum((need.goods for need in needs), Counter[str]())
    grams = sum((need.grams for need in needs), Counter[str]())
    reserve(session, fulfilment.id, warehouse, goods, actor, now, ingredients=grams, expires_at=until)
    return in_buffer(session, warehouse, sorted(goods | grams), terms.default_buffer_percent)


def _carry_out(
    session: Session, fulfilment: Fulfilment, plan: Plan, actor: str, now: datetime, until: datetime, terms: Terms
) -> list[str]:
    """Give lines away to new fulfilments, one for each further warehouse, and promise each what it carries."""
    own, *others = plan
    numbers = select(func.max(Fulfilment.number)).where(Fulfilment.order_id == fulfilment.order_id)
    last = session.exec(numbers).one()
    made = [
        Fulfilment(
            order_id=fulfilment.order_id,
            number=last + place,
            warehouse=warehouse,
            stage_since=now,
            priority=fulfilment.priority,
            ready_at=now,
        )
        for place, warehouse in enumerate(others, 1)
    ]
    fulfilment.warehouse = own
    session.add_all([fulfilment, *made])
    session.flush()
    free_everywhere(
        session, sorted({sku for lines in plan.values() for need, _ in lines for sku in need.total}), lock=True
    )
    for part in made:
        for need, quantity in plan[part.warehouse]:
            _give(session, need, quantity, part)
    session.flush()
    used: set[str] = set()
    for part in (fulfilment, *made):
        assert part.id is not None
        needs = needs_of(session, part.order_id, part.id)
        used.update(_promise(session, part, part.warehouse, needs, actor, now, until, terms))
    note(
        session, fulfilment.order_id, EventKind.SPLIT, actor, now, fulfilment.id,
        warehouses={str(part.number): part.warehouse for part in (fulfilment, *made)},
    )  # fmt: skip
    announce(session)
    return sorted(used)


def _give(session: Session, need: Need, quantity: int, to: Fulfilment) -> None:
    assert to.id is not None
    if quantity == need.part.quantity:
        need.part.fulfilment_id = to.id
    else:
        need.part.quantity -= quantity
        session.add(
            FulfilmentLine(
                fulfilment_id=to.id, order_line_id=need.part.order_line_id, quantity=quantity, recipe=need.part.recipe
            )
        )
    session.add(need.part)


def _lacking(session: Session, total: Counter[str]) -> dict[str, tuple[int, int]]:
    """By SKU: (wanted, free over all warehouses) where that is not enough; all of them if none lacks by itself."""
    there: Counter[str] = Counter()
    for (_, sku), quantity in free_everywhere(session, sorted(total)).items():
        there[sku] += quantity
    lacking = {sku: (wanted, there[sku]) for sku, wanted in total.items() if there[sku] < wanted}
    return lacking or {sku: (wanted, there[sku]) for sku, wanted in total.items()}


def feed(session: Session, skus: Sequence[str], now: datetime, terms: Terms) -> list[int]:
    """Give what is free of these SKUs to those who wait for them, first paid first served; whom, by fulfilment id.

    Who needs more than there is lets the next one pass: waiting for the rest, nobody would get anything. Safe to
    run at once with itself and with lanes; the fed are woken.
    """
    waiting = queue(session, skus)
    ids = [w.fulfilment_id for w in waiting]
    if not ids:
        return []
    rows = session.connection().execute(
        text(
            "SELECT f.id FROM fulfilment f JOIN orders o ON o.id = f.order_id WHERE f.id = ANY(:ids)"
            " AND f.stage = 'received' AND o.cancel_requested_at IS NULL ORDER BY f.id FOR UPDATE OF f"
        ),
        {"ids": ids},
    )
    waiting_skus = sorted({sku for place in waiting for sku in place.skus})
    free = _free_by_sku(session, waiting_skus)
    alive = {id for (id,) in rows}
    hopeful = [p for p in waiting if p.fulfilment_id in alive and all(free[sku] > 0 for sku in p.skus)]
    wanted = {sku for place in hopeful for sku in skus_of(session, place.order_id, place.fulfilment_id)}
    free_everywhere(session, sorted(wanted), lock=True)
    free = _free_by_sku(session, waiting_skus)
    served = {place.fulfilment_id for place in hopeful}
    fed: list[int] = []
    for place in queue(session, skus):  # again: somebody may have been fed while we waited for the locks
        if place.fulfilment_id not in served or any(free[sku] <= 0 for sku in place.skus):
            continue
        fulfilment = session.get_one(Fulfilment, place.fulfilment_id, populate_existing=True)
        try:
            with session.begin_nested():
                allocate(session, fulfilment, "feed-backorders", now, terms)
        except StockShort:
            continue
        leave_queue(session, place.fulfilment_id, BackorderState.FED, now)
        note(session, place.order_id, EventKind.FED, "feed-backorders", now, place.fulfilment_id, skus=place.skus)
        free = _free_by_sku(session, waiting_skus)
        fed.append(place.fulfilment_id)
    wake(session, fed, now)
    return fed


def _free_by_sku(session: Session, skus: list[str]) -> Counter[str]:
    there: Counter[str] = Counter()
    for (_, sku), quantity in free_everywhere(session, skus).items():
        there[sku] += quantity
    return there
