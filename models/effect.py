"""The effect ledger: everything that leaves the house is told once.

Record the intent with the exact bytes → commit → call → record the outcome together with the transition that
follows from it. How the other side can be held to once decides what happens after a crash or a time-out:

- `KEYED`: the platform takes our key, so the same bytes are sent again;
- `ASKABLE`: no key, but the platform can be asked, so we ask before repeating;
- `AT_LEAST_ONCE`: neither, for staff: repeat;
- `AT_MOST_ONCE`: neither, for customers: do not repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, or_, text
from sqlmodel import Field, Session, SQLModel, col, select

from models.table import big, document, key, link, moment, sealed, words


class Once(StrEnum):
    """How the other side can be held to once."""

    KEYED = "keyed"
    ASKABLE = "askable"
    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"


@dataclass(frozen=True)
class EffectKind:
    """One kind of effect. `lag` is how long (seconds) the platform may take to show what it did when asked."""

    name: str
    once: Once
    lag: float = 0.0


WAYBILL = EffectKind("waybill", Once.KEYED)
WAYBILL_CANCEL = EffectKind("waybill_cancel", Once.KEYED)
RELEASE = EffectKind("production_release", Once.KEYED)
RELEASE_CANCEL = EffectKind("production_cancel", Once.KEYED)
SHIP_NOTICE = EffectKind("ship_notice", Once.ASKABLE, lag=2.0)
SMS = EffectKind("sms", Once.ASKABLE, lag=5.0)
# keepers of money take our key as well; they are asked all the same, for nothing is dearer than a second refund
REFUND = EffectKind("refund", Once.ASKABLE, lag=10.0)
COUPON = EffectKind("coupon", Once.ASKABLE, lag=2.0)
STAFF_MESSAGE = EffectKind("staff_message", Once.AT_LEAST_ONCE)

KINDS = {
    kind.name: kind
    for kind in (WAYBILL, WAYBILL_CANCEL, RELEASE, RELEASE_CANCEL, SHIP_NOTICE, SMS, REFUND, COUPON, STAFF_MESSAGE)
}

#: Seconds that one attempt may take from intent to outcome: the ask and the call, each with its total time-out.
LEASE_SECONDS = 40.0


class EffectState(StrEnum):
    """What is known of an effect."""

    CALLING = "calling"  # somebody is at it, until `lease_until`
    INTENDED = "intended"  # nothing has happened over there; may be tried
    UNCLEAR = "unclear"  # it may have happened; not to be asked about before `lease_until`
    DONE = "done"  # it happened, and `response` says what
    REFUSED = "refused"  # it did not happen and will not as it stands
    SHADOW = "shadow"  # it would have been told; `response` is what was assumed, and nothing left the house
    GIVEN_UP = "given_up"  # at most once, and nobody knows whether it happened


class EffectBusy(Exception):
    """Another attempt is still under way; come back at `until`."""

    def __init__(self, effect_key: str, until: datetime) -> None:
        super().__init__(f"{effect_key} is being told until {until:%H:%M:%S}")
        self.until = until


#: The kinds by which carrier and channel know of a parcel, asked for by fulfilment.
PARCEL_KINDS = (WAYBILL.name, WAYBILL_CANCEL.name, SHIP_NOTICE.name)


class Effect(SQLModel, table=True):
    """One thing that leaves the house. `request` is sealed: it may name a person."""

    __tablename__ = "effect"
    __table_args__ = (
        CheckConstraint(
            "(state IN ('calling', 'unclear')) = (lease_until IS NOT NULL)", name="open_attempt_has_a_lease"
        ),
        Index("effect_of_order", "order_id"),
        Index("effect_of_parcel", "fulfilment_id", postgresql_where=text(f"kind IN {PARCEL_KINDS}")),
        Index("effect_open", "state", postgresql_where=text("state NOT IN ('done', 'given_up')")),
    )

    id: int | None = key()
    kind: str
    key: str = Field(unique=True)
    order_id: int | None = link()
    fulfilment_id: int | None = link()
    request: bytes = sealed()
    state: str = EffectState.INTENDED.value
    response: dict[str, Any] = document()
    error: str = words()
    attempts: int = 0
    fence: int = big()
    lease_until: datetime | None = moment(nullable=True)
    intended_at: datetime = moment()
    settled_at: datetime | None = moment(nullable=True)


@dataclass(frozen=True)
class Attempt:
    """The right to tell one effect now. `ask_first`: an earlier attempt may have got through.

    The call must be over by `deadline`: after it others ask or repeat, and a call begun too late acts beside theirs.
    """

    kind: EffectKind
    key: str
    fence: int
    request: bytes
    ask_first: bool
    deadline: datetime


@dataclass(frozen=True)
class Settled:
    """The effect was told before, and this is what came of it (`response` is None if it was given up)."""

    response: dict[str, Any] | None


_TAKE = text("""
UPDATE effect SET state = 'calling', attempts = attempts + 1, fence = fence + 1, error = '',
  lease_until = COALESCE(:now, clock_timestamp()) + make_interval(secs => :seconds),
  request = CASE WHEN state IN ('refused', 'intended') AND :request_again THEN :request ELSE request END
WHERE key = :key RETURNING fence, request
""")


def begin(
    session: Session,
    kind: EffectKind,
    key: str,
    request: bytes,
    now: datetime,
    *,
    order_id: int | None = None,
    fulfilment_id: int | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> Attempt | Settled:
    """Record the intent to tell `key`, and take the right to do it. Commit before calling.

    In the same transaction, `hold_on` to the fulfilment first: who has lost the claim must not begin anything.
    The first bytes that may have been sent are the ones repeated for ever after; only a definite "nothing
    happened" lets new bytes in. Raises `EffectBusy` while another attempt's lease runs.
    """
    session.flush()
    session.connection().execute(
        text(
            "INSERT INTO effect (kind, key, order_id, fulfilment_id, request, state, response, error, attempts,"
            " fence, intended_at) VALUES (:kind, :key, :order, :fulfilment, :request, 'intended', '{}', '', 0, 0, :now)"
            " ON CONFLICT (key) DO NOTHING"
        ),
        {
            "kind": kind.name,
            "key": key,
            "order": order_id,
            "fulfilment": fulfilment_id,
            "request": request,
            "now": now,
        },
    )
    effect = _locked(session, key)
    state = EffectState(effect.state)
    if state in (EffectState.DONE, EffectState.SHADOW):
        return Settled(effect.response)
    if state is EffectState.GIVEN_UP:
        return Settled(None)
    if effect.lease_until is not None:
        if effect.lease_until > now:
            raise EffectBusy(key, effect.lease_until)
        state = EffectState.UNCLEAR  # whoever was at it is gone: it may have happened
    if state is EffectState.UNCLEAR and kind.once is Once.AT_MOST_ONCE:
        effect.state, effect.lease_until, effect.settled_at = EffectState.GIVEN_UP.value, None, now
        session.add(effect)
        session.flush()
        return Settled(None)
    row = (
        session.connection()
        .execute(
            _TAKE,
            {
                "key": key,
                "now": now,
                "seconds": lease_seconds + kind.lag,
                "request": request,
                "request_again": state in (EffectState.INTENDED, EffectState.REFUSED),
            },
        )
        .one()
    )
    deadline = now + timedelta(seconds=lease_seconds)
    return Attempt(kind, key, row.fence, bytes(row.request), state is EffectState.UNCLEAR, deadline)


def done(session: Session, attempt: Attempt, response: dict[str, Any], now: datetime) -> None:
    """Record that it happened. True whoever says it, so no fence is asked; the first answer stays."""
    effect = _locked(session, attempt.key)
    if effect.state == EffectState.DONE.value:
        return
    effect.state, effect.response, effect.error = EffectState.DONE.value, response, ""
    effect.lease_until, effect.settled_at = None, now
    session.add(effect)
    session.flush()


def on_paper(session: Session, attempt: Attempt, assumed: dict[str, Any], now: datetime) -> None:
    """Record, in the transaction of the intent, that it would have been told, and the answer that was assumed."""
    effect = _locked(session, attempt.key)
    effect.state, effect.response = EffectState.SHADOW.value, assumed
    effect.lease_until, effect.settled_at = None, now
    session.add(effect)
    session.flush()


def failed(session: Session, attempt: Attempt, state: EffectState, error: str, now: datetime) -> None:
    """Record what is known after a failure, unless a later attempt has taken over (its fence is higher).

    An unclear effect keeps its lease, and has one at least for the platform's lag: what broke off early may still
    happen until its deadline, and asked too soon the platform denies what it is about to show. `INTENDED` speaks of
    this attempt: after an unclear one it stays unclear. `REFUSED` must be the platform's word on this very key.
    """
    effect = _locked(session, attempt.key)
    if effect.fence != attempt.fence or effect.state != EffectState.CALLING.value:
        return
    shown = now + timedelta(seconds=max(attempt.kind.lag, 1.0))
    lease = None
    if state is EffectState.UNCLEAR:
        lease = max(effect.lease_until or shown, shown)
    elif state is EffectState.INTENDED and attempt.ask_first:
        state, lease = EffectState.UNCLEAR, shown  # this attempt did nothing; an earlier one still may have
    effect.state, effect.error, effect.lease_until = state.value, error[:1000], lease
    session.add(effect)
    session.flush()


_IN_BATCHES = text("""
SELECT b.release_key FROM production_batch b JOIN work_order w ON w.batch_id = b.id WHERE w.order_id = :order
""")


def effects_of(session: Session, order_id: int) -> list[Effect]:
    """What was told for an order, alone or in a production batch with others, oldest first."""
    batches = session.connection().execute(_IN_BATCHES, {"order": order_id}).scalars().all()
    mine = or_(col(Effect.order_id) == order_id, col(Effect.key).in_(batches))
    return list(session.exec(select(Effect).where(mine).order_by(col(Effect.id))))


def is_known_outside(session: Session, order_id: int, fulfilment_id: int) -> bool:
    """Whether factory or carrier have been told of this fulfilment, or are about to be: it stays where it is."""
    row = session.connection().execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM effect WHERE order_id = :order AND fulfilment_id = :id AND kind = 'waybill')"
            " OR EXISTS (SELECT 1 FROM work_order WHERE fulfilment_id = :id)"
        ),
        {"order": order_id, "id": fulfilment_id},
    )
    return bool(row.scalar_one())


def _locked(session: Session, key: str) -> Effect:
    statement = select(Effect).where(Effect.key == key).with_for_update()
    return session.exec(statement.execution_options(populate_existing=True)).one()
