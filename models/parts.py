"""The fulfilments of an order as its parts: what each carries, what was told of it, and who carries what is added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from models.allocation import needs_of
from models.compensation import compensation_of
from models.effect import RELEASE_CANCEL, effects_of, is_known_outside
from models.fulfilment import Fulfilment, FulfilmentLine, Stage, carried_by, fulfilments_of, interrupt
from models.order import Contact, Order, OrderLine, lines_of
from models.production import FINAL, WorkOrder, WorkState, work_orders_of
from models.reservation import Purpose, Reservation, ReservationState, release
from models.review_withdrawal import withdraw
from models.shipment import Shipment, shipment_of
from models.stock import free_everywhere
from models.stock_check import withdraw_check
from models.timeline import EventKind, note
from models.wanted import standings
from models.warehouse import home_warehouses

ACTOR = "follow-changes"
#: Work orders that nobody makes and nobody waits for.
_HELD = col(Reservation.state) == ReservationState.HELD.value
_OUT_OF_HAND = (WorkState.CALLED_BACK.value, WorkState.REWORKED.value)


@dataclass
class Part:
    """One unfinished or shipped fulfilment of an order. `refused`: work orders that the factory would not call back.

    `outside`: factory or carrier know of it, or may; `ending`: it is being compensated.
    """

    row: Fulfilment
    number: str
    carries: list[FulfilmentLine]
    lines: dict[int, OrderLine]
    works: list[WorkOrder]
    refused: set[str]
    shipment: Shipment
    outside: bool
    ending: bool
    promised: bool

    @property
    def id(self) -> int:
        """The fulfilment's key."""
        assert self.row.id is not None
        return self.row.id

    @property
    def row_reached_shipped(self) -> bool:
        """Whether it has been shipped, in our book."""
        return Stage(self.row.stage).reached(Stage.SHIPPED)

    @property
    def left(self) -> bool:
        """Whether it is no longer in our hands: shipped, announced as such, or its waybill is not given back."""
        return self.row_reached_shipped or self.shipment.announced or self.shipment.kept

    @property
    def inside(self) -> bool:
        """Whether it may begin again: nobody outside knows of it."""
        return not (self.left or self.outside or self.ending)

    @property
    def place_in_giving(self) -> int:
        """Who gives up pieces first: what nobody knows of, what can be called back, what ends anyway, what has left."""
        return 3 if self.left else 2 if self.ending else 1 if self.outside else 0

    @property
    def must_rewind(self) -> bool:
        """Whether a recipe is to be chosen again, after something was promised for the one before."""
        begun = self.promised or Stage(self.row.stage).reached(Stage.RESERVED)
        return self.inside and begun and self.wants_recipe

    @property
    def wants_recipe(self) -> bool:
        """Whether something of it is made to order, and nothing has been chosen to make it by."""
        return any(self.lines[c.order_line_id].made_to_order and c.recipe is None for c in self.carries)

    @property
    def called_back_lines(self) -> list[int]:
        """Lines that it still carries, and that the factory will not make for it any more."""
        if self.left or self.ending:
            return []
        return [
            carried.order_line_id
            for carried in self.carries
            if carried.recipe is not None
            and not self.works_of(carried.order_line_id)
            and any(work.state == WorkState.CALLED_BACK.value for work in self._all_works_of(carried.order_line_id))
        ]

    def quantity_of(self, line_id: int) -> int:
        """How many pieces of a line it carries."""
        return sum(carried.quantity for carried in self.carries if carried.order_line_id == line_id)

    def works_of(self, line_id: int) -> list[WorkOrder]:
        """The work orders by which a line is being made, or was."""
        return [work for work in self._all_works_of(line_id) if work.state not in _OUT_OF_HAND]

    def may_be_stopped(self, work: WorkOrder) -> bool:
        """Whether the factory is still to be asked to stop it."""
        return WorkState(work.state) not in FINAL and work.work_order_no not in self.refused

    def take_out(self, session: Session, line_id: int, pieces: int) -> None:
        """Carry fewer pieces of a line."""
        for carried in [c for c in self.carries if c.order_line_id == line_id]:
            taken = min(pieces, carried.quantity)
            pieces -= taken
            if taken < carried.quantity:
                carried.quantity -= taken
                session.add(carried)
            else:
                self.carries.remove(carried)
                session.delete(carried)
        session.flush()

    def refresh(self, session: Session) -> None:
        """Read the row and what it carries once more."""
        session.flush()
        session.refresh(self.row)
        self.carries = carried_by(session, self.id)

    def _all_works_of(self, line_id: int) -> list[WorkOrder]:
        own = f"{self.number}-{self.lines[line_id].line_no}"
        return [work for work in self.works if work.work_order_no.partition("-R")[0] == own]


def parts_of(session: Session, order: Order) -> list[Part]:
    """The parts of an order that carry something: all fulfilments but those that ended without a parcel."""
    assert order.id is not None
    ended = (Stage.CANCELLED.value, Stage.REFUNDED.value)
    lines = {line.id: line for line in lines_of(session, order.id) if line.id is not None}
    refused = {
        effect.key.removeprefix("release-cancel-")
        for effect in effects_of(session, order.id)
        if effect.kind == RELEASE_CANCEL.name and effect.response.get("stopped") is False
    }
    parts = []
    for row in fulfilments_of(session, order.id):
        if row.stage in ended:
            continue
        assert row.id is not None
        number = f"{order.order_no}-{row.number}"
        made_up = compensation_of(session, row.id)
        parts.append(
            Part(
                row=row,
                number=number,
                carries=carried_by(session, row.id),
                lines=lines,
                works=work_orders_of(session, row.id),
                refused=refused,
                shipment=shipment_of(session, row.id, number),
                outside=is_known_outside(session, order.id, row.id),
                ending=made_up is not None and made_up.is_open,
                promised=session.exec(select(Reservation.id).where(Reservation.fulfilment_id == row.id, _HELD)).first()
                is not None,
            )
        )
    return parts


def needs(session: Session, part: Part) -> dict[Purpose, Counter[str]]:
    """What a part takes from stock for what it carries, by purpose and SKU."""
    found = {purpose: Counter[str]() for purpose in Purpose}
    for need in needs_of(session, part.row.order_id, part.id):
        found[Purpose.GOODS] += need.goods
        found[Purpose.INGREDIENT] += need.grams
    return found


def lighten(session: Session, order: Order, fulfilment_id: int) -> None:
    """Take off a part that ends what is wanted of it no more: that is not ours to pay back."""
    too_many = {id: max(0, line.surplus) for id, line in standings(session, order.id or 0).items()}
    part = next(part for part in parts_of(session, order) if part.id == fulfilment_id)
    for line_id in {carried.order_line_id for carried in part.carries}:
        part.take_out(session, line_id, min(too_many[line_id], part.quantity_of(line_id)))


def lock_promises(session: Session, parts: Sequence[Part]) -> None:
    """Lock what all these parts are promised, in the order in which everybody locks: several of them may change."""
    ids = [part.id for part in parts]
    statement = select(Reservation.sku).where(col(Reservation.fulfilment_id).in_(ids), _HELD).distinct()
    free_everywhere(session, sorted(session.exec(statement)), lock=True)


def rewind(session: Session, part: Part, now: datetime) -> None:
    """Have a part of which nobody outside knows begin again: its promise goes back, and it is received."""
    release(session, part.id, ACTOR, now, "渠道改单")
    withdraw(session, part.id, now)
    withdraw_check(session, part.id, now)
    if part.row.stage != Stage.RECEIVED.value:
        part.row.stage, part.row.stage_since, part.row.attempts = Stage.RECEIVED.value, now, 0
    part.promised = False
    session.add(part.row)
    session.flush()


def send_by_another(
    session: Session, order: Order, parts: Sequence[Part], missing: Mapping[int, int], own: int | None, now: datetime
) -> None:
    """Have pieces (by line) that nobody carries sent: with a part that may begin again, or as a new fulfilment.

    `own` is the fulfilment that the caller works on: it may be chosen, others lose whoever works on them. The order
    must be locked. What was paid for it is verified once more.
    """
    assert order.id is not None
    inside = [part for part in parts if part.inside]
    if inside:
        part = min(inside, key=lambda part: (part.id != own, part.row.number))
        rewind(session, part, now)
        row = part.row
    else:
        row = _new_fulfilment(session, order, now)
    assert row.id is not None
    for line_id, pieces in missing.items():
        _carry(session, row.id, line_id, pieces)
    order.payment_verified_at = None
    session.add(order)
    names = {line.id: line.sku for line in lines_of(session, order.id)}
    goods = [f"{names[line_id]} × {pieces}" for line_id, pieces in missing.items()]
    by = f"{order.order_no}-{row.number}"
    note(session, order.id, EventKind.REPLACED, ACTOR, now, row.id, by=by, lines=goods)
    if row.id != own:
        interrupt(session, [row.id], now)


def _new_fulfilment(session: Session, order: Order, now: datetime) -> Fulfilment:
    assert order.id is not None
    known = fulfilments_of(session, order.id)
    province = session.get_one(Contact, order.contact_id).province
    row = Fulfilment(
        order_id=order.id,
        number=max(part.number for part in known) + 1,
        warehouse=home_warehouses(session, [province])[province],
        stage_since=now,
        priority=min(part.priority for part in known),
        ready_at=now,
    )
    session.add(row)
    session.flush()
    return row


def _carry(session: Session, fulfilment_id: int, line_id: int, pieces: int) -> None:
    """Carry more pieces of a line; of one that is carried already in the same row, with its recipe."""
    statement = select(FulfilmentLine).where(
        FulfilmentLine.fulfilment_id == fulfilment_id, col(FulfilmentLine.order_line_id) == line_id
    )
    known = session.exec(statement).first()
    if known is not None:
        known.quantity += pieces
        session.add(known)
    else:
        session.add(FulfilmentLine(fulfilment_id=fulfilment_id, order_line_id=line_id, quantity=pieces))
    session.flush()
