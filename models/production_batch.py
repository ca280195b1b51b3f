"""Production batches: work orders of one recipe, version and warehouse that the factory makes together.

A batch is open until it is full or its first work order has waited long enough (so that all in it are due close
together); the lane that finds it so tells the
factory of all of them in one message (`tasks/production.py`), and whoever of its members looks first may do it. With
no time to wait every order has batches of its own. Nobody joins or leaves once the message may be out.

Locks are taken in one order everywhere: fulfilments by id, then recipes (`_only_one_opens`), then the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, Session, SQLModel, col, select

from models.database import afterwards
from models.effect import Effect
from models.fulfilment import wake
from models.production import WorkOrder, WorkState, take_kept_reports
from models.settings import PolicySettings
from models.shipment import NOT_TOLD
from models.table import key, moment
from models.timeline import EventKind, note
from models.wording import TZ

#: When the factory should be done with an order released now.
DUE_IN = timedelta(hours=4)
#: Keeps these locks apart from others that are taken by a number.
_FAMILY = 7_246_004


class BatchState(StrEnum):
    """How far a batch is."""

    OPEN = "open"  # work orders come and go
    SEALED = "sealed"  # the factory is being told
    RELEASED = "released"  # the factory has taken it


class ProductionBatch(SQLModel, table=True):
    """One batch. `batch_no` is ours and unique, `factory_no` the factory's own; told under `release_key`, once."""

    __tablename__ = "production_batch"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'sealed', 'released')", name="production_batch_state"),
        CheckConstraint("(state = 'open') = (sealed_at IS NULL)", name="sealed_batch_has_a_time"),
        CheckConstraint("(state = 'released') = (released_at IS NOT NULL)", name="released_batch_has_a_time"),
        Index("production_batch_open", "recipe", "warehouse", postgresql_where=text("state <> 'released'")),
        Index("production_batch_by_time", "opened_at"),
    )

    id: int | None = key()
    batch_no: str = Field(unique=True)
    release_key: str
    warehouse: str
    recipe: str
    recipe_version: int
    state: str = BatchState.OPEN.value
    opened_at: datetime = moment()
    seal_at: datetime = moment()
    due_at: datetime = moment()
    sealed_at: datetime | None = moment(nullable=True)
    released_at: datetime | None = moment(nullable=True)
    factory_no: str = ""

    def is_due(self, now: datetime) -> bool:
        """Whether the factory is to be told of it now."""
        return self.state == BatchState.SEALED.value or (self.state == BatchState.OPEN.value and self.seal_at <= now)


@dataclass(frozen=True)
class Batching:
    """The seller's settings: how long the first of a batch waits for others, and how much one batch holds."""

    wait: timedelta
    most_grams: int

    @classmethod
    def of(cls, policy: PolicySettings) -> Batching:
        """As the settings have them."""
        return cls(timedelta(minutes=policy.production_batch_minutes), round(policy.production_batch_max_kg * 1000))


def join(
    session: Session, works: Sequence[WorkOrder], warehouse: str, version: int, terms: Batching, now: datetime
) -> None:
    """Put these work orders of one fulfilment into batches. One that is too full for them is to be released.

    The fulfilment must be locked.
    """
    if terms.wait:
        _only_one_opens(session, sorted({f"{warehouse} {version} {work.recipe}" for work in works}))
    own: list[ProductionBatch] = []
    for work in works:
        sort = (warehouse, work.recipe, version)
        room = None
        for batch in [batch for batch in own if (batch.warehouse, batch.recipe, batch.recipe_version) == sort] or (
            _joinable(session, sort, now) if terms.wait else []
        ):
            assert batch.id is not None
            inside = members_of(session, batch.id)
            if grams_of([*inside, work]) <= terms.most_grams:
                room = batch
            elif batch.seal_at > now:
                batch.seal_at = now
                session.add(batch)
                _have_released(session, batch.batch_no, inside[0].fulfilment_id)
        room = room or open_batch(session, sort, now + terms.wait, now)
        work.batch_id = room.id
        session.add(work)
        session.flush()
        own = [batch for batch in own if batch.id != room.id] + [room]


def _have_released(session: Session, batch_no: str, first: int) -> None:
    """The first in a batch looks at once, when our locks are gone; should that be lost, all look when it is due."""
    afterwards(session, f"full {batch_no}", lambda later: wake(later, [first]))


def _only_one_opens(session: Session, sorts: Sequence[str]) -> None:
    """Whoever looks for a batch of this sort waits until who opens one has committed."""
    for sort in sorts:
        locked = text("SELECT pg_advisory_xact_lock(hashtextextended(:sort, :family))")
        session.connection().execute(locked, {"sort": sort, "family": _FAMILY})


def _joinable(session: Session, sort: tuple[str, str, int], now: datetime) -> list[ProductionBatch]:
    warehouse, recipe, version = sort
    statement = (
        select(ProductionBatch)
        .where(
            ProductionBatch.state == BatchState.OPEN.value,
            ProductionBatch.warehouse == warehouse,
            ProductionBatch.recipe == recipe,
            ProductionBatch.recipe_version == version,
            col(ProductionBatch.seal_at) > now,
        )
        .order_by(col(ProductionBatch.id))
        .with_for_update(key_share=True)
    )
    return list(session.exec(statement.execution_options(populate_existing=True)))


def open_batch(session: Session, sort: tuple[str, str, int], seal_at: datetime, now: datetime) -> ProductionBatch:
    """A new batch of this warehouse, recipe and version, with the next number: `PB261123-0007`."""
    (number,) = session.connection().execute(text("SELECT nextval('production_batch_seq')")).one()
    warehouse, recipe, version = sort
    batch_no = f"PB{now.astimezone(TZ):%y%m%d}-{number:04d}"
    batch = ProductionBatch(
        batch_no=batch_no,
        release_key=f"release-{batch_no}",
        warehouse=warehouse,
        recipe=recipe,
        recipe_version=version,
        opened_at=now,
        seal_at=seal_at,
        due_at=now + DUE_IN,
    )
    session.add(batch)
    session.flush()
    return batch


def members_of(session: Session, batch_id: int) -> list[WorkOrder]:
    """The work orders of a batch, in the order in which they joined."""
    statement = select(WorkOrder).where(WorkOrder.batch_id == batch_id).order_by(col(WorkOrder.id))
    return list(session.exec(statement.execution_options(populate_existing=True)))


def grams_of(works: Sequence[WorkOrder]) -> int:
    """What these work orders come to, in grams."""
    return sum(sum(work.grams.values()) for work in works)


_LOCK = text("""
SELECT id FROM fulfilment WHERE order_id = :order OR order_id IN (SELECT order_id FROM work_order WHERE batch_id = :id)
ORDER BY id FOR UPDATE
""")


def lock_with_members(session: Session, order_id: int, batch_id: int) -> None:
    """Lock this order's fulfilments, those of all orders in the batch, and the batch. Nothing may be locked before."""
    session.connection().execute(_LOCK, {"order": order_id, "id": batch_id})
    lock_batch(session, batch_id)


def lock_batch(session: Session, batch_id: int) -> ProductionBatch | None:
    """The batch as it is now, locked until the transaction ends; None once it is gone. Fulfilments come before."""
    statement = select(ProductionBatch).where(ProductionBatch.id == batch_id).with_for_update(key_share=True)
    return session.exec(statement.execution_options(populate_existing=True)).first()


def seal(session: Session, batch: ProductionBatch, now: datetime) -> list[WorkOrder]:
    """Nobody joins any more; who is in it, to be told to the factory. Twice: the same."""
    assert batch.id is not None
    if batch.state == BatchState.OPEN.value:
        batch.state, batch.sealed_at = BatchState.SEALED.value, now
        session.add(batch)
    return members_of(session, batch.id)


def released(session: Session, batch_id: int, answer: Mapping[str, Any], now: datetime, *, by: int) -> None:
    """The factory has taken the batch, as number `answer["batch_no"]` of its own. Twice: nothing changes.

    All members must be locked. Each order's timeline says so once all of its work orders are out; all but the
    fulfilment `by` are woken.
    """
    batch = lock_batch(session, batch_id)
    if batch is None or batch.state == BatchState.RELEASED.value:
        return
    batch.state, batch.released_at, batch.sealed_at = BatchState.RELEASED.value, now, batch.sealed_at or now
    batch.factory_no = str(answer["batch_no"])
    session.add(batch)
    works = members_of(session, batch_id)
    for work in works:
        work.batch_no = batch.batch_no
        work.expected_at = work.expected_at or datetime.fromisoformat(answer["expected_at"])
        if work.state == WorkState.REQUESTED.value:
            work.state = WorkState.RELEASED.value
        session.add(work)
        session.flush()
        take_kept_reports(session, work, now)
    for order_id, fulfilment_id in sorted({(work.order_id, work.fulfilment_id) for work in works}):
        _note_when_all_are_out(session, order_id, fulfilment_id, now)
    wake(session, sorted({work.fulfilment_id for work in works} - {by}), now)


def _note_when_all_are_out(session: Session, order_id: int, fulfilment_id: int, now: datetime) -> None:
    statement = select(WorkOrder).where(WorkOrder.fulfilment_id == fulfilment_id).order_by(col(WorkOrder.id))
    gone = (WorkState.CALLED_BACK.value, WorkState.REWORKED.value)
    works = [work for work in session.exec(statement) if work.state not in gone]
    if works and all(work.batch_no for work in works):
        numbers = "、".join(dict.fromkeys(work.batch_no for work in works))
        expected = max(work.expected_at for work in works if work.expected_at is not None)
        detail = {"batch_no": numbers, "expected_at": expected.isoformat()}
        note(session, order_id, EventKind.RELEASED, "release", now, fulfilment_id, **detail)


class Leaving(StrEnum):
    """Whether a work order can leave its batch without a word to the factory."""

    LEFT = "left"
    TOLD = "told"  # the factory has it, or a call may still bring it there
    UNCLEAR = "unclear"  # others go on in it: first the factory is told of all, then it is called back


def leave(session: Session, work: WorkOrder, now: datetime, together: Collection[int | None] = ()) -> Leaving:
    """Call a work order back from a batch that nobody outside knows of yet. Twice: it has left.

    Its order must be locked. A batch that is empty then is gone. `together` are work orders that are called back with
    it: where nobody else is in the batch, the factory need not take it first.
    """
    session.refresh(work, with_for_update=True)
    batch = lock_batch(session, work.batch_id) if work.batch_id is not None else None
    if batch is None or batch.id is None:
        return Leaving.LEFT if work.state == WorkState.CALLED_BACK.value else Leaving.TOLD
    told = session.exec(select(Effect.state).where(Effect.key == batch.release_key)).first()
    if told is not None and told not in NOT_TOLD:
        gone = WorkState.CALLED_BACK.value
        going = {work.id, *together}
        alone = all(other.id in going or other.state == gone for other in members_of(session, batch.id))
        return Leaving.TOLD if alone or batch.state == BatchState.RELEASED.value else Leaving.UNCLEAR
    work.state, work.batch_id = WorkState.CALLED_BACK.value, None
    session.add(work)
    session.flush()
    if not members_of(session, batch.id):
        session.delete(batch)
        session.flush()
    note(
        session, work.order_id, EventKind.CALLED_BACK, "cancel", now, work.fulfilment_id,
        what=work.work_order_no, stopped=True,
    )  # fmt: skip
    return Leaving.LEFT


def fall_apart(session: Session, batch_id: int, now: datetime) -> bool:
    """The factory will not make this batch: each order gets one of its own, so that one does not stop the others.

    False where there is only one. All members must be locked, and the refusal definite.
    """
    batch = lock_batch(session, batch_id)
    works = members_of(session, batch_id)
    first, *others = sorted({work.fulfilment_id for work in works}) or [0]
    if batch is None or batch.state != BatchState.SEALED.value or not others:
        return False
    for fulfilment_id in others:
        own = open_batch(session, (batch.warehouse, batch.recipe, batch.recipe_version), now, now)
        own.due_at = batch.due_at
        session.add(own)
        for work in [work for work in works if work.fulfilment_id == fulfilment_id]:
            work.batch_id = own.id
            session.add(work)
    session.flush()
    wake(session, [first, *others], now)
    return True
