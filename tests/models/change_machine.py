"""An order that its channel changes at any moment, with lanes that die in the middle of it, as a state machine.

The channel has its own account of what is wanted; in the end that has been sent, or a person has been told why not.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection, text
from sqlmodel import Session

from models.book import Taken, take_orders
from models.change import changes_of
from models.checks import check
from models.fulfilment import Claim, ClaimLost, Stage, claim_order, fulfilments_of
from models.hold import lift, open_holds
from models.intake import IncomingLine, IncomingOrder, PlatformStatus
from models.order import Order
from models.parcel import parcel_of
from tests.models.build import CAN, DRY, NOW, PET, RECEIVER, cans, incoming, made, taken
from tests.models.change_lane import ChangeLane, Outside, shipped

MOST_LINES = 5
MOST_STEPS = 8
#: What the channel says between two steps of a lane, the more often the more times it stands here.
CHANGES = [*["nothing"] * 4, *["pieces"] * 3, *["moved"] * 2, "added", "swapped", "money back", "paid", "old news"]


@dataclass
class Shop:
    """What the channel says of the order. `owed`: an edit has made it dearer, and the rest is not paid."""

    order: IncomingOrder
    added: int = 0
    owed: int = 0
    said: list[IncomingOrder] = field(default_factory=list)

    def wanted(self) -> Counter[str]:
        """Pieces by SKU that the customer is to get."""
        total: Counter[str] = Counter()
        for line in self.order.lines:
            total[line.sku] += line.quantity - line.cancelled_quantity
        return +total

    def change(self, **changes: object) -> None:
        """Say something new, a second later."""
        self.order = replace(self.order, updated_at=self.order.updated_at + timedelta(seconds=1), **changes)  # type: ignore[arg-type]

    def with_line(self, place: int, line: IncomingLine) -> None:
        """One line is different, or new."""
        lines = [*self.order.lines]
        lines[place : place + 1] = [line]
        self.change(lines=tuple(lines), **self._money(lines))

    def _money(self, lines: list[IncomingLine]) -> dict[str, object]:
        total = sum(line.paid_fen for line in lines)
        self.owed = max(0, total - self.order.paid_fen)
        status = PlatformStatus.AWAITING_PAYMENT if self.owed else PlatformStatus.TO_SHIP
        return {"total_fen": total, "status": status}

    def pay(self) -> None:
        """The customer pays what is open."""
        self.change(paid_fen=self.order.total_fen, status=PlatformStatus.TO_SHIP)
        self.owed = 0


class Changes(RuleBasedStateMachine):
    """One order of cans and bags; factory and carrier say yes or no as they are drawn to."""

    def __init__(self, connection: Connection, open_shop: Callable[[Session], None]) -> None:
        super().__init__()
        self.undone = connection.begin_nested()
        self.session = Session(connection, join_transaction_mode="create_savepoint")
        open_shop(self.session)
        self.shop = Shop(incoming("machine", cans(2), made(3)))
        self.order: Order = taken(self.session, self.shop.order)
        self.lane = ChangeLane(self.session, self.order, NOW, Outside())
        self.claims: dict[int, Claim] = {}

    @initialize(stops=st.booleans(), cancels=st.booleans())
    def begin(self, stops: bool, cancels: bool) -> None:
        """Whether the factory stops what it has not made, and the carrier gives waybills back."""
        self.lane.outside.stops, self.lane.outside.cancels = stops, cancels

    @rule(
        change=st.sampled_from(CHANGES),
        place=st.integers(0, MOST_LINES - 1),
        number=st.integers(0, 3),
        which=st.integers(0, 3),
        steps=st.integers(1, 4),
        dies=st.sampled_from([False, False, False, True]),
        factory=st.booleans(),
        parcels=st.booleans(),
    )
    def turn(
        self, change: str, place: int, number: int, which: int, steps: int, dies: bool, factory: bool, parcels: bool
    ) -> None:
        """The channel says something new, or does not; then a lane goes on.

        One rule for all: which rules a run has at all is drawn, and a run without lanes would show nothing.
        """
        match change:
            case "pieces":
                self._pieces(place, number)
            case "added":
                self._added(CAN if place % 2 else DRY, 1 + number % 2, paid=number > 0)
            case "swapped":
                self._swapped(place)
            case "moved":
                self._moved(place)
            case "money back":
                self._money_back(1 + number)
            case "paid":
                self._paid()
            case "old news":
                self._old_news(1 + number)
        self._works(which, steps, dies, factory, parcels)

    def _pieces(self, place: int, cancelled: int) -> None:
        """So many pieces of a line are wanted no more, or wanted again. Something is always wanted."""
        line = self.shop.order.lines[place % len(self.shop.order.lines)]
        changed = replace(line, cancelled_quantity=min(cancelled, line.quantity))
        others = self.shop.wanted().total() - (line.quantity - line.cancelled_quantity)
        if others + changed.quantity - changed.cancelled_quantity:
            self.shop.with_line(place % len(self.shop.order.lines), changed)
            self._told()

    def _added(self, sku: str, pieces: int, *, paid: bool) -> None:
        """A line is added, and paid for at once or not."""
        if len(self.shop.order.lines) >= MOST_LINES:
            return
        self.shop.added += 1
        new = replace(cans(pieces) if sku == CAN else made(pieces), channel_line_id=f"added-{self.shop.added}")
        self.shop.with_line(len(self.shop.order.lines), new)
        if paid:
            self.shop.pay()
        self._told()

    def _swapped(self, place: int) -> None:
        """Cans become bags, or bags cans, for the same money."""
        place %= len(self.shop.order.lines)
        line = self.shop.order.lines[place]
        sku, pet = (DRY, PET) if line.sku == CAN else (CAN, {})
        self.shop.with_line(place, replace(line, sku=sku, attributes=dict(pet)))
        self._told()

    def _moved(self, street: int) -> None:
        """The customer has another address, or the old one again."""
        self.shop.change(receiver=replace(RECEIVER, detail=f"新地址 {street} 号"))
        self._told()

    def _money_back(self, fen: int) -> None:
        """Some money goes back, and the goods are still wanted."""
        self.shop.change(refunded_fen=self.shop.order.refunded_fen + fen)
        self._told()

    def _paid(self) -> None:
        """What is open is paid."""
        if self.shop.owed:
            self.shop.pay()
            self._told()

    def _old_news(self, ago: int) -> None:
        """What the channel said before comes once more."""
        if len(self.shop.said) > ago:
            old = self.shop.said[-1 - ago]
            assert take_orders(self.session, [old], NOW) == {Taken.KNOWN: 1}

    def _works(self, which: int, steps: int, dies: bool, factory: bool, parcels: bool) -> None:
        """A lane takes a part a few steps on, or as far as to its waybill, and dies or goes on with another."""
        for claim in claim_order(self.session, self.order.id or 0, "lane", 120, NOW):
            self.claims[claim.fulfilment_id] = claim
        if not self.claims:
            return
        claim = list(self.claims.values())[which % len(self.claims)]
        try:
            moves = True
            for _ in range(MOST_STEPS if parcels else steps):
                if parcels and parcel_of(self.session, claim.fulfilment_id) is not None:
                    break
                moves = moves and self.lane.one_step(claim, factory_works=factory or parcels)
            if dies:
                self._taken_for_dead(claim)
            elif not moves or claim.stage.final:
                self.lane.park(claim)
        except ClaimLost:
            pass
        else:
            if not (dies or not moves or claim.stage.final):
                return
        self.claims.pop(claim.fulfilment_id, None)

    @invariant()
    def nothing_is_told_twice(self) -> None:
        assert set(self.lane.outside.told.values()) <= {1}

    @invariant()
    def no_rule_is_broken(self) -> None:
        broken = [(rule.code, rule.rows) for rule in check(self.session, NOW)]
        assert not broken, f"{broken}"

    def teardown(self) -> None:
        """What is open is paid, holds are dealt with, and one healthy lane works until nothing is left to do."""
        try:
            if sys.exc_info()[0] is None:
                self._ends_well()
        finally:
            self.session.close()
            self.undone.rollback()

    def _ends_well(self) -> None:
        if self.shop.owed:
            self.shop.pay()
            self._told()
        self.session.connection().execute(
            text("UPDATE fulfilment SET fence = fence + 1, claimed_by = NULL, claim_until = NULL")
        )
        self.session.expire_all()
        self.lane.carry()
        order_id = self.order.id or 0
        told = {hold.code.rstrip("_0123456789") for hold in open_holds(self.session, order_id)}
        lift(self.session, order_id, "客服", NOW)
        self.lane.carry()
        self.no_rule_is_broken()
        self.nothing_is_told_twice()
        stages = {part.stage for part in fulfilments_of(self.session, order_id)}
        assert stages <= {Stage.SHIPPED.value, Stage.CANCELLED.value}, stages
        sent, wanted = shipped(self.session, self.order), self.shop.wanted()
        assert not wanted - sent, f"wanted {wanted}, sent {sent}"
        assert sent == wanted or "changed_after_shipping" in told, f"wanted {wanted}, sent {sent}, and nobody knows"
        gone = [p.id for p in fulfilments_of(self.session, order_id) if p.stage == Stage.SHIPPED.value]
        assert not self.lane.late() & set(gone) or "address_changed" in told, "sent to the old address"
        assert all(change.state != "asked" for change in changes_of(self.session, order_id))
        row = self.session.connection().execute(text("SELECT on_hand, reserved FROM stock_item WHERE sku = 'CAN-400'"))
        assert row.one() == (1000 - sent[CAN], 0), "cans on hand"

    def _told(self) -> None:
        self.shop.said.append(self.shop.order)
        take_orders(self.session, [self.shop.order], NOW)

    def _taken_for_dead(self, claim: Claim) -> None:
        self.session.connection().execute(
            text("UPDATE fulfilment SET fence = fence + 1, claimed_by = NULL, claim_until = NULL WHERE id = :id"),
            {"id": claim.fulfilment_id},
        )
        self.session.expire_all()
