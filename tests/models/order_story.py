"""An order of two cans and three bags, the lane that carries it, and what its channel says of it from time to time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import text
from sqlmodel import Session, col, select

from models.book import Taken, take_orders
from models.change import changes_of
from models.fulfilment import Fulfilment, FulfilmentLine, Stage, advance, claim_order, fulfilments_of
from models.hold import open_holds
from models.intake import IncomingOrder
from models.order import Order
from models.timeline import EventKind, note, timeline
from tests.models.build import CAN, NOW, RECEIVER, cans, incoming, later, made, open_shop, taken
from tests.models.change_lane import ChangeLane, Outside

#: Two cans from the shelf and three bags made to order, freight 8 yuan.
BOUGHT = incoming("1", cans(2), made(3), freight_fen=800)
MOVED = replace(RECEIVER, city="东莞市", detail="新地址 5 号")

Change = Callable[[IncomingOrder], IncomingOrder]


def fewer_cans(order: IncomingOrder) -> IncomingOrder:
    """One of the two cans is edited away."""
    return later(order, lines=(replace(order.lines[0], cancelled_quantity=1), *order.lines[1:]))


def fewer_bags(order: IncomingOrder) -> IncomingOrder:
    """Two of the three bags are paid back."""
    bags = replace(order.lines[1], cancelled_quantity=2)
    return later(order, lines=(order.lines[0], bags), refunded_fen=2 * 9_900)


def no_bags(order: IncomingOrder) -> IncomingOrder:
    """The channel tells of the bags no more."""
    total = order.total_fen - order.lines[1].paid_fen
    return later(order, lines=order.lines[:1], total_fen=total, refunded_fen=order.lines[1].paid_fen)


def another_sku(order: IncomingOrder) -> IncomingOrder:
    """The bags become cans, for the same money, under the same line id."""
    swapped = replace(order.lines[1], sku=CAN, attributes={})
    return later(order, lines=(order.lines[0], swapped))


def more_cans(order: IncomingOrder) -> IncomingOrder:
    """A line of three cans is added and paid for."""
    added = replace(cans(3), channel_line_id="added")
    total = order.total_fen + added.paid_fen
    return later(order, lines=(*order.lines, added), total_fen=total, paid_fen=total)


def money_back(order: IncomingOrder) -> IncomingOrder:
    """Ten yuan go back, the goods are still wanted."""
    return later(order, refunded_fen=1_000)


def new_address(order: IncomingOrder) -> IncomingOrder:
    """The customer moves."""
    return later(order, receiver=MOVED)


#: How far the order had got when the change came.
REACHED: dict[str, Callable[[ChangeLane], None]] = {
    "received": lambda lane: None,
    "reserved": lambda lane: lane.carry(Stage.RESERVED),
    "approved": lambda lane: lane.carry(Stage.APPROVED),
    "in production": lambda lane: lane.carry(Stage.PRODUCED, factory_works=False),
    "produced": lambda lane: lane.carry(Stage.PRODUCED),
    "with a waybill": lambda lane: with_waybill(lane),
    "shipped": lambda lane: lane.carry(Stage.SHIPPED),
    "delivered": lambda lane: at_the_end(lane, Stage.DELIVERED),
}


def with_waybill(lane: ChangeLane) -> None:
    """Produced, with a waybill that the channel has not been told of."""
    lane.carry(Stage.PRODUCED)
    (claim,) = claim_order(lane.session, lane.order.id or 0, "test-lane", 120, NOW)
    lane.waybill(claim)
    lane.park(claim)


def at_the_end(lane: ChangeLane, stage: Stage) -> None:
    """Carried to a stage after shipping."""
    lane.carry(Stage.SHIPPED)
    (claim,) = claim_order(lane.session, lane.order.id or 0, "test-lane", 120, NOW)
    advance(lane.session, claim, stage, NOW)
    note(lane.session, claim.order_id, EventKind.DELIVERED, "test", NOW, claim.fulfilment_id)
    lane.park(claim)


@dataclass
class Story:
    """An order, its lane, and what its channel says of it."""

    session: Session
    order: Order
    lane: ChangeLane
    said: IncomingOrder

    def says(self, change: Change) -> Counter[Taken]:
        """The channel tells of a change."""
        self.said = change(self.said)
        return take_orders(self.session, [self.said], NOW)

    @property
    def parts(self) -> list[Fulfilment]:
        """The order's fulfilments by number."""
        return fulfilments_of(self.session, self.order.id or 0)

    def kinds(self) -> Counter[str]:
        """How often what happened."""
        return Counter(event.kind for event in timeline(self.session, self.order.id or 0))

    def codes(self) -> list[str]:
        """The codes of the holds that stand, without their numbers."""
        return sorted(hold.code.rstrip("_0123456789") for hold in open_holds(self.session, self.order.id or 0))

    def states(self) -> list[tuple[str, str]]:
        """Kind and state of each change."""
        return [(change.kind, change.state) for change in changes_of(self.session, self.order.id or 0)]

    def recipes(self) -> set[str]:
        """The recipes of what is carried now, where they have been chosen."""
        rows = select(FulfilmentLine.recipe).where(col(FulfilmentLine.recipe).is_not(None))
        return {recipe for recipe in self.session.exec(rows) if recipe is not None}

    def on_hand(self, sku: str) -> tuple[int, int]:
        """What is on hand and reserved of a SKU."""
        row = self.session.execute(text("SELECT on_hand, reserved FROM stock_item WHERE sku = :sku"), {"sku": sku})
        return tuple(row.one())


def story(session: Session, reached: str = "received", outside: Outside | None = None) -> Story:
    """An order of two cans and three bags that has come so far; a hundred cans in stock."""
    open_shop(session, cans=100)
    order = taken(session, BOUGHT)
    lane = ChangeLane(session, order, NOW, outside or Outside())
    REACHED[reached](lane)
    return Story(session, order, lane, BOUGHT)
