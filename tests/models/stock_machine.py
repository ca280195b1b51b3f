"""Everything that can happen to stock in two warehouses, as a state machine with a plain account beside it.

The account says what must be on hand, who must be promised what, and where every order must stand; after each step
the database is compared with it, with the ledger and with the promises that stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import Connection, text

from models import allocation, counting, expiry, reservation, stock, stock_check
from models.backorder import BackorderState, leave_queue
from models.fulfilment import Fulfilment, Stage, carried_by
from models.stock import NotThere, StockShort
from tests.models.build import NOW
from tests.models.deciding import decide, feed_who_was_before
from tests.models.stock_account import COMPENSATED, OPENING, ORDERS, SKUS, WAREHOUSES, Account, Part, session_on, summed
from tests.models.stockroom import TERMS, limits

LIMITS = limits(most_compensations_an_hour=10_000, most_compensation_fen_a_day=10**12)
PICK, PIECES = st.integers(0, 9), st.integers(1, 5)
WAREHOUSE, SKU = st.sampled_from(WAREHOUSES), st.sampled_from(SKUS)
_ACCOUNTS = text("""
SELECT i.warehouse, i.sku, i.on_hand, i.reserved, l.on_hand AS ledger_on_hand, l.reserved AS ledger_reserved,
  (SELECT coalesce(sum(quantity), 0) FROM reservation r
   WHERE (r.warehouse, r.sku, r.state) = (i.warehouse, i.sku, 'held')) AS held
FROM stock_item i CROSS JOIN LATERAL (
  SELECT coalesce(sum(on_hand_change), 0) AS on_hand, coalesce(sum(reserved_change), 0) AS reserved
  FROM stock_movement m WHERE (m.warehouse, m.sku) = (i.warehouse, i.sku)) l
""")
_OUTCOMES = text("""
SELECT f.id, f.stage, EXISTS (SELECT FROM reservation r WHERE r.fulfilment_id = f.id AND r.state = 'held') AS held,
  EXISTS (SELECT FROM backorder b WHERE b.fulfilment_id = f.id AND b.state = 'waiting') AS waiting,
  EXISTS (SELECT FROM compensation c WHERE c.fulfilment_id = f.id AND c.state <> 'declined') AS compensated
FROM fulfilment f
""")


class Stock(RuleBasedStateMachine):
    """Five orders over two warehouses and three SKUs."""

    def __init__(self, connection: Connection, ids: list[int]) -> None:
        super().__init__()
        self.connection = connection
        self.undone = connection.begin_nested()
        self.now = NOW
        self.account = Account(
            Counter({(w, sku): pieces for w, there in OPENING.items() for sku, pieces in there.items()}),
            {id: Part(id, paid, summed(lines)) for id, (paid, lines) in zip(ids, ORDERS, strict=True)},
        )

    def teardown(self) -> None:
        self.undone.rollback()

    @rule(warehouse=WAREHOUSE, sku=SKU, pieces=PIECES)
    def receive(self, warehouse: str, sku: str, pieces: int) -> None:
        with session_on(self.connection) as session:
            stock.receive(session, warehouse, sku, pieces, "到货", "machine", self.now)
        self.account.on_hand[warehouse, sku] += pieces

    @rule(warehouse=WAREHOUSE, sku=SKU, change=st.integers(-5, 2))
    def adjust(self, warehouse: str, sku: str, change: int) -> None:
        fits = self.account.free(warehouse, sku) + change >= 0
        with self.refused_unless(fits, NotThere), session_on(self.connection) as session:
            stock.adjust(session, warehouse, sku, change, "破损", "machine", self.now)
        self.account.on_hand[warehouse, sku] += change if fits else 0

    @rule(sku=SKU, pieces=PIECES, from_=WAREHOUSE)
    def transfer(self, sku: str, pieces: int, from_: str) -> None:
        to = next(warehouse for warehouse in WAREHOUSES if warehouse != from_)
        fits = self.account.free(from_, sku) >= pieces
        with self.refused_unless(fits, NotThere), session_on(self.connection) as session:
            stock.transfer(session, sku, pieces, from_, to, "调拨", "machine", self.now)
        if fits:
            self.account.on_hand[from_, sku] -= pieces
            self.account.on_hand[to, sku] += pieces

    @rule(pick=PICK, warehouse=WAREHOUSE)
    def reserve_in_one_warehouse(self, pick: int, warehouse: str) -> None:
        """The rule itself, line by line as the customer wrote them, twice."""
        part = self.account.choose(pick, lambda p: p.outcome == "new" and p.stage == "received")
        if part is None:
            return
        fits = all(self.account.free(warehouse, sku) >= wanted for sku, wanted in part.wanted.items())
        until = self.now + TERMS.reservation_lasts
        for _ in range(2):
            with self.refused_unless(fits, StockShort), session_on(self.connection) as session:
                lines = [(sku, 1) for sku in part.wanted.elements()]
                reservation.reserve(session, part.id, warehouse, lines, "machine", self.now, expires_at=until)
        if fits:
            part.outcome, part.expires = "promised", until
            part.held = {(warehouse, sku): wanted for sku, wanted in part.wanted.items()}

    @rule(pick=PICK)
    def take(self, pick: int) -> None:
        """What a lane does: who was before is fed, then it is promised, queued or paid back."""
        part = self.account.choose(
            pick, lambda p: p.stage == "received" and p.outcome in ("new", "promised", "waiting")
        )
        if part is None:
            return
        if any(
            p.outcome == "waiting" and p.missing & set(part.wanted) and p.paid < part.paid for p in self.account.all()
        ):
            fed = self.account.who_is_fed(set(part.wanted))
            with session_on(self.connection) as session:
                feed_who_was_before(session, part.id, self.now, TERMS)
            self.are_fed(fed)
            assert part not in fed or part.outcome == "promised"
        expected = self.account.expected_outcome(part)
        with session_on(self.connection) as session:
            assert decide(session, part.id, self.now, TERMS, LIMITS) == expected
        if expected == "promised":
            if part.outcome != "promised":
                self.is_promised(part)
            part.stage = "reserved"
        else:
            part.missing = self.account.lacking(part)
        part.outcome = expected

    @rule(sku=SKU)
    def feed(self, sku: str) -> None:
        fed = self.account.who_is_fed({sku})
        with session_on(self.connection) as session:
            assert allocation.feed(session, [sku], self.now, TERMS) == [part.id for part in fed]
        self.are_fed(fed)

    @rule(pick=PICK)
    def approve(self, pick: int) -> None:
        part = self.account.choose(pick, lambda p: p.stage == "reserved" and p.outcome == "promised")
        if part is None:
            return
        self.set_stage(part, Stage.APPROVED)
        with session_on(self.connection) as session:
            reservation.keep(session, part.id)
        part.expires = None

    @rule(pick=PICK)
    def ship(self, pick: int) -> None:
        part = self.account.choose(pick, lambda p: p.stage in ("reserved", "approved") and p.outcome == "promised")
        if part is None:
            return
        for gone in (len(part.held), 0):
            with session_on(self.connection) as session:
                assert reservation.consume(session, part.id, "machine", self.now) == gone
        self.account.on_hand.subtract(part.held)
        part.held = {}
        self.set_stage(part, Stage.SHIPPED)
        part.outcome = "shipped"

    @rule(pick=PICK)
    def end(self, pick: int) -> None:
        """It is cancelled, or its compensation is done: what is still promised goes back."""
        part = self.account.choose(pick, lambda p: p.outcome != "shipped" and p.stage not in ("cancelled", "refunded"))
        if part is None:
            return
        with session_on(self.connection) as session:
            leave_queue(session, part.id, BackorderState.ENDED, self.now)
        for given in (len(part.held), 0):
            with session_on(self.connection) as session:
                assert reservation.release(session, part.id, "machine", self.now, "取消") == given
        part.held = {}
        compensated = part.outcome == "compensated"
        self.set_stage(part, Stage.REFUNDED if compensated else Stage.CANCELLED)
        part.outcome = "compensated" if compensated else "new"

    @rule(warehouse=WAREHOUSE, sku=SKU, counted=st.integers(0, 9))
    def count(self, warehouse: str, sku: str, counted: int) -> None:
        victims = self.account.latest_paid(warehouse, sku, counted)
        after = "compensate" if sku == COMPENSATED else "backorder"
        with session_on(self.connection) as session:
            result = counting.count(session, warehouse, sku, counted, "盘点", "machine", self.now, LIMITS)
        assert set(result.gave_back) == {part.id for part in victims}, "the wrong ones gave back"
        for part in victims:
            part.held = {}
            part.stage = "received" if part.stage in ("reserved", "approved") else part.stage
            if part.outcome != "compensated":
                part.outcome = {"compensate": "compensated", "backorder": "waiting"}[after]
                part.missing = {sku}
        self.account.on_hand[warehouse, sku] = counted

    @rule(pick=PICK, sku=SKU)
    def not_there(self, pick: int, sku: str) -> None:
        """The warehouse does not find one SKU, or says nothing of which: then all."""
        part = self.account.choose(pick, lambda p: p.stage == "reserved" and p.outcome == "promised")
        if part is None:
            return
        with session_on(self.connection) as session:
            check = stock_check.open_check_of(session, part.id)
            if check is None or check.id is None:
                return
            taken, _ = stock_check.answer(session, check.id, False, "仓库", self.now, LIMITS, missing=[sku])
            assert taken
        gone = {key: pieces for key, pieces in part.held.items() if key[1] == sku or sku not in part.wanted}
        self.account.on_hand.subtract(gone)
        part.held, part.stage, part.outcome = {}, "received", "compensated"

    @rule(hours=st.sampled_from([1, 30, 73]))
    def expire(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        due = [p for p in self.account.all() if p.held and p.stage in ("received", "reserved") and p.expires]
        due = [p for p in due if p.expires and p.expires <= self.now]
        with session_on(self.connection) as session:
            expired = expiry.expire_reservations(session, self.now)
            assert expired == sorted(part.id for part in due), "the wrong promises expired"
        for part in due:
            part.held, part.stage = {}, "received"
            part.outcome = "compensated" if part.outcome == "compensated" else "new"

    @invariant()
    def every_account_agrees(self) -> None:
        for row in self.connection.execute(_ACCOUNTS):
            promised = sum(part.held.get((row.warehouse, row.sku), 0) for part in self.account.parts.values())
            assert (row.on_hand, row.reserved) == (row.ledger_on_hand, row.ledger_reserved), "not what the ledger says"
            assert row.reserved == row.held, "not what is promised"
            assert 0 <= row.reserved <= row.on_hand, "out of bounds"
            assert (row.on_hand, row.reserved) == (self.account.on_hand[row.warehouse, row.sku], promised), (
                "not our account"
            )

    @invariant()
    def every_order_has_one_outcome(self) -> None:
        rows = self.connection.execute(_OUTCOMES).all()
        assert {row.id for row in rows} == set(self.account.parts)
        for row in rows:
            part = self.account.parts[row.id]
            assert row.stage == part.stage
            assert row.held == bool(part.held)
            assert (row.waiting, row.compensated) == (part.outcome == "waiting", part.outcome == "compensated"), (
                "outcome"
            )

    @contextmanager
    def refused_unless(self, fits: bool, error: type[Exception]) -> Iterator[None]:
        """The rule refuses exactly what the account says it must."""
        try:
            yield
        except error:
            assert not fits, "refused, although it is there"
        else:
            assert fits, "not refused"

    def are_fed(self, fed: list[Part]) -> None:
        for part in fed:
            part.outcome = "promised"
            self.is_promised(part)

    def is_promised(self, part: Part) -> None:
        """Take over where its goods are promised, and the parts it was split into: together exactly what it took."""
        before, until = part.wanted, self.now + TERMS.reservation_lasts
        total: Counter[str] = Counter()
        with session_on(self.connection) as session:
            order_id = session.get_one(Fulfilment, part.id).order_id
            siblings = session.connection().execute(
                text("SELECT id FROM fulfilment WHERE order_id = :id ORDER BY id"), {"id": order_id}
            )
            for (id,) in siblings:
                if id in self.account.parts and id != part.id:
                    continue
                own = self.account.parts.setdefault(id, Part(id, part.paid, Counter()))
                held = reservation.held_for(session, id)
                own.held = {(r.warehouse, r.sku): r.quantity for r in held}
                own.wanted = Counter()
                for (_, sku), pieces in own.held.items():
                    own.wanted[sku] += pieces
                assert sum(p.quantity for p in carried_by(session, id)) == own.wanted.total(), "not what it carries"
                own.outcome, own.expires = "promised", until
                total += own.wanted
        assert total == before, "not promised what was ordered"

    def set_stage(self, part: Part, stage: Stage) -> None:
        with session_on(self.connection) as session:
            row = session.get_one(Fulfilment, part.id)
            row.stage = stage.value
            row.ready_at = None if stage.final else row.ready_at
            session.add(row)
        part.stage = stage.value


def _may_be_taken(part: Part) -> bool:
    return part.stage == "received" and part.outcome in ("new", "promised", "waiting")
