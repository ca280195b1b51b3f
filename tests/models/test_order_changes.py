"""Changes after payment, at every stage: stopped before it is made, called back after, for a person once it has left.

Each is a row and stands in the timeline; what is sent in the end is what the channel says, and stock is what its
ledger says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models.book import Taken, take_orders
from models.change import changes_of
from models.checks import check
from models.fulfilment import Fulfilment, Stage, advance, claim_order, fulfilments_of
from models.hold import open_holds
from models.intake import IncomingOrder
from models.order import Order
from models.timeline import EventKind, note, timeline
from tests.models.build import CAN, DRY, NOW, RECEIVER, cans, incoming, later, made, open_shop, taken
from tests.models.change_lane import ChangeLane, Outside, shipped

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
CHANGES: dict[str, tuple[Change, dict[str, int], str]] = {
    "fewer cans": (fewer_cans, {CAN: 1, DRY: 3}, "lines_changed"),
    "fewer bags": (fewer_bags, {CAN: 2, DRY: 1}, "lines_changed"),
    "no bags": (no_bags, {CAN: 2}, "lines_changed"),
    "another sku": (another_sku, {CAN: 5}, "lines_changed"),
    "more cans": (more_cans, {CAN: 5, DRY: 3}, "lines_changed"),
    "money back": (money_back, {CAN: 2, DRY: 3}, "partly_refunded"),
    "new address": (new_address, {CAN: 2, DRY: 3}, "address_changed"),
}
#: What asks for less of what was sent, and is a person's then.
LESS = ("fewer cans", "fewer bags", "no bags", "another sku")


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


@pytest.mark.parametrize("reached", REACHED)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_at_any_stage_ends_in_what_the_channel_says(session: Session, reached: str, change: str) -> None:
    # given
    told_of = story(session, reached)
    fence = told_of.parts[0].fence
    apply, wanted, kind = CHANGES[change]
    gone = reached in ("shipped", "delivered")

    # when
    assert told_of.says(apply) == {Taken.CHANGED: 1}
    told_of.lane.carry()

    # then it is in the timeline once, nobody went on as if it were not, and it is not asked for any more
    assert told_of.kinds()[kind] == 1
    assert change == "money back" or told_of.parts[0].fence > fence
    by_hand = gone and change != "money back" and change != "more cans"
    states = [state for name, state in told_of.states() if name != "refund"]
    assert states == ([] if change == "money back" else ["by_hand" if by_hand else "applied"])
    # and what has been sent is what is wanted now, or a person has been told
    sent = {CAN: max(2, wanted[CAN]), DRY: 3} if gone else wanted
    assert shipped(session, told_of.order) == sent
    assert told_of.codes() == _holds(change, reached)
    # and nothing was told twice, and stock is what its ledger says
    assert set(told_of.lane.outside.told.values()) <= {1}
    assert [violation.code for violation in check(session, NOW)] == []
    assert told_of.on_hand(CAN) == (100 - sent[CAN], 0)


def _holds(change: str, reached: str) -> list[str]:
    gone, is_made = reached in ("shipped", "delivered"), reached in ("produced", "with a waybill")
    if change == "new address":
        return ["address_changed"] if gone else []
    if change not in LESS:
        return []
    return ["changed_after_shipping"] if gone else ["overmade"] if is_made and change != "fewer cans" else []
