"""A lane of the domain's own rules, without Prefect and without platforms: for orders that change while it works.

Factory and carrier are two lists of what they were told, and they say yes or no to being called back as a test wants.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, select

from models.allocation import Terms, allocate, made_of
from models.effect import (
    RELEASE_CANCEL,
    SHIP_NOTICE,
    WAYBILL,
    WAYBILL_CANCEL,
    Attempt,
    EffectKind,
    begin,
    done,
)
from models.fulfilment import (
    Claim,
    ClaimLost,
    FulfilmentLine,
    Stage,
    WaitingOn,
    advance,
    claim_order,
    fulfilments_of,
    hold_on,
    park,
)
from models.hold import open_holds
from models.order import Contact, Order, OrderLine
from models.parcel import keep_parcel, parcel_of
from models.privacy import seal
from models.product import products
from models.production import FINAL, WorkOrder, WorkState, take_report, work_orders_of
from models.recipe import choose, ingredients, pet_of
from models.reservation import Purpose, consume, keep
from models.revision import Due, revise
from models.rules_in_force import recipes_now
from models.shipment import shipment_of
from models.timeline import EventKind, note
from tests.models.build import FORM, released_in_batches

TERMS = Terms(0, timedelta(hours=24))
IN_HAND = (WorkState.CALLED_BACK.value, WorkState.REWORKED.value)


@dataclass
class Outside:
    """What factory, carrier and channel were told, how often; and whether they give something back."""

    stops: bool = True
    cancels: bool = True
    told: Counter[str] = field(default_factory=Counter)


@dataclass
class ChangeLane:
    """Carries the parts of one order, as far as a test lets it."""

    session: Session
    order: Order
    now: datetime
    outside: Outside = field(default_factory=Outside)
    addressed: dict[int, str] = field(default_factory=dict)  # by part: where its last waybill goes

    def carry(self, until: Stage = Stage.SHIPPED, *, factory_works: bool = True) -> None:
        """Carry every part that nobody holds as far as `until`, again and again while that moves something."""
        for _ in range(20):
            before = len(fulfilments_of(self.session, self.order.id or 0))
            claims = claim_order(self.session, self.order.id or 0, "test-lane", 120, self.now)
            moved = [self._carry_part(claim, until, factory_works) for claim in claims]
            if not any(moved) and len(fulfilments_of(self.session, self.order.id or 0)) == before:
                return
        raise AssertionError("it never comes to rest")

    def follow(self) -> None:
        """Only carry out what changed, in every part."""
        for _ in range(2):
            for claim in claim_order(self.session, self.order.id or 0, "test-lane", 120, self.now):
                self._changes(claim)
                self.park(claim)

    def claim(self) -> Claim:
        """A claim on the order's only unfinished part, whoever holds it."""
        self.session.connection().execute(text("UPDATE fulfilment SET claimed_by = NULL, claim_until = NULL"))
        (claim,) = claim_order(self.session, self.order.id or 0, "test-lane", 120, self.now)
        return claim

    def call_back_once(self, claim: Claim) -> None:
        """Call back what is to be called back first, and no further."""
        due = revise(self.session, claim, self.now)
        assert due is not None
        self._call_back(claim, due)

    def one_step(self, claim: Claim, *, factory_works: bool) -> bool:
        """Do the next thing with a part, whatever it is; False when there is nothing to be done now."""
        due = revise(self.session, claim, self.now)
        if due is not None:
            self._call_back(claim, due)
            return True
        if any(hold.blocking for hold in open_holds(self.session, claim.order_id)):
            return False
        return not claim.stage.reached(Stage.SHIPPED) and self._step(claim, factory_works)

    def _carry_part(self, claim: Claim, until: Stage, factory_works: bool) -> bool:
        try:
            moved = self._changes(claim)
            held = any(hold.blocking for hold in open_holds(self.session, claim.order_id))
            while not held and not claim.stage.reached(until) and self._step(claim, factory_works):
                moved = True
            self.park(claim)
        except ClaimLost:  # another part has given it something to carry
            return True
        return moved

    def _changes(self, claim: Claim) -> bool:
        moved = False
        while (due := revise(self.session, claim, self.now)) is not None:
            self._call_back(claim, due)
            moved = True
        return moved or claim.stage.final

    def _call_back(self, claim: Claim, due: Due) -> None:
        if due.shipment_no:
            cancelled: dict[str, object] = {"cancelled": self.outside.cancels}
            self._tell(claim, WAYBILL_CANCEL, f"waybill-cancel-{due.shipment_no}", cancelled)
        for work in due.works:
            stopped = self.outside.stops
            self._tell(claim, RELEASE_CANCEL, f"release-cancel-{work.work_order_no}", {"stopped": stopped})
            if stopped:
                work.state = WorkState.CALLED_BACK.value
                self.session.add(work)
        self.session.flush()

    def _step(self, claim: Claim, factory_works: bool) -> bool:
        match claim.stage:
            case Stage.RECEIVED:
                self._reserve(claim)
                self._advance(claim, Stage.RESERVED, EventKind.RESERVED)
            case Stage.RESERVED:
                keep(self.session, claim.fulfilment_id)
                self._advance(claim, Stage.APPROVED, EventKind.APPROVED)
            case Stage.APPROVED:
                if not self._is_made(claim, factory_works):
                    return False
                consume(self.session, claim.fulfilment_id, "production", self.now, Purpose.INGREDIENT)
                self._advance(claim, Stage.PRODUCED, EventKind.PRODUCED)
            case Stage.PRODUCED if parcel_of(self.session, claim.fulfilment_id) is None:
                self.waybill(claim)
            case Stage.PRODUCED:
                self._tell(claim, SHIP_NOTICE, f"ship-{claim.fulfilment_no}", {"id": 1})
                consume(self.session, claim.fulfilment_id, "ship", self.now)
                self._advance(claim, Stage.SHIPPED, EventKind.SHIPPED)
            case _:
                return False
        return True

    def _reserve(self, claim: Claim) -> None:
        row, book = hold_on(self.session, claim), recipes_now(self.session)
        for part, line, _ in made_of(self.session, claim.order_id, claim.fulfilment_id):
            if line.made_to_order and part.recipe is None:
                part.recipe = choose(pet_of(FORM.check(line.pet, self.now).values), book).code
                self.session.add(part)
        self.session.flush()
        if self.order.payment_verified_at is None:
            self.order.payment_verified_at = self.now
            self.session.add(self.order)
        allocate(self.session, row, "reserve-stock", self.now, TERMS)

    def _is_made(self, claim: Claim, factory_works: bool) -> bool:
        works = [w for w in work_orders_of(self.session, claim.fulfilment_id) if w.state not in IN_HAND]
        if not works and not self._release(claim):
            return True
        works = [w for w in work_orders_of(self.session, claim.fulfilment_id) if w.state not in IN_HAND]
        for work in works:
            if factory_works and WorkState(work.state) not in FINAL:
                number = work.work_order_no
                take_report(self.session, f"r-{number}", number, "work_order.completed", self.now, {}, self.now)
                claim.wake_seq += 1
        return all(work.state == WorkState.COMPLETED.value for work in works)

    def _release(self, claim: Claim) -> bool:
        made = [row for row in made_of(self.session, claim.order_id, claim.fulfilment_id) if row[2] is not None]
        for part, line, recipe in made:
            assert recipe is not None
            weight = products(self.session, [line.sku])[line.sku].weight_g
            self.session.add(
                WorkOrder(
                    work_order_no=f"{claim.fulfilment_no}-{line.line_no}",
                    fulfilment_id=claim.fulfilment_id,
                    order_id=claim.order_id,
                    sku=line.sku,
                    quantity=part.quantity,
                    recipe=recipe.code,
                    grams=ingredients(recipe, weight, part.quantity),
                )
            )
        self.session.flush()
        if made:
            released_in_batches(self.session, claim, self.now)
        return bool(made)

    def waybill(self, claim: Claim) -> None:
        """Get a waybill under the number that the part has now."""
        number = shipment_of(self.session, claim.fulfilment_id, claim.fulfilment_no).number
        self._tell(claim, WAYBILL, f"waybill-{number}", {"waybill_no": f"SF-{number}", "carrier": "sf_express"})
        self.addressed[claim.fulfilment_id] = self._address()
        keep_parcel(self.session, claim.order_id, claim.fulfilment_id, "sf_express", number, f"SF-{number}", self.now)

    def _address(self) -> str:
        contact = self.session.get_one(Contact, self.order.contact_id, populate_existing=True)
        return contact.fingerprint

    def late(self) -> set[int]:
        """The parts whose parcel bears another address than the customer's."""
        return {id for id, address in self.addressed.items() if address != self._address()}

    def _tell(self, claim: Claim, kind: EffectKind, key: str, response: dict[str, object]) -> None:
        attempt = begin(
            self.session, kind, key, seal("{}"), self.now, order_id=claim.order_id, fulfilment_id=claim.fulfilment_id
        )
        if isinstance(attempt, Attempt):
            self.outside.told[key] += 1
            done(self.session, attempt, response, self.now)

    def _advance(self, claim: Claim, stage: Stage, kind: EventKind) -> None:
        advance(self.session, claim, stage, self.now)
        note(self.session, claim.order_id, kind, "test", self.now, claim.fulfilment_id)

    def park(self, claim: Claim) -> None:
        """Let go of a part, unless it has ended."""
        if not claim.stage.final:
            park(self.session, claim, WaitingOn.RETRY, "测试里停在这里", self.now + timedelta(hours=1), now=self.now)


def shipped(session: Session, order: Order) -> Counter[str]:
    """What has left the house for an order, by SKU."""
    assert order.id is not None
    gone: Counter[str] = Counter()
    for part in fulfilments_of(session, order.id):
        if part.stage in (Stage.SHIPPED.value, Stage.DELIVERED.value, Stage.CLOSED.value):
            rows = select(FulfilmentLine).where(FulfilmentLine.fulfilment_id == part.id)
            for row in session.exec(rows):
                gone[session.get_one(OrderLine, row.order_line_id).sku] += row.quantity
    return gone
