"""Production: what the factory was asked to make, and what it reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, select

from models.fulfilment import Fulfilment, wake
from models.order import lock_order
from models.stock import Movement, free_everywhere, move
from models.table import document, key, moment, reference
from models.timeline import EventKind, note


class WorkState(StrEnum):
    """How far a work order has come; never backwards."""

    REQUESTED = "requested"
    RELEASED = "released"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CALLED_BACK = "called_back"
    REWORKED = "reworked"  # it failed, and another work order makes it again


_PLACE = {state: place for place, state in enumerate(WorkState)}

FINAL = (WorkState.COMPLETED, WorkState.FAILED, WorkState.CALLED_BACK, WorkState.REWORKED)

#: What a reported event makes of a work order.
REPORTED = {
    "work_order.accepted": WorkState.RELEASED,
    "work_order.progress": WorkState.IN_PROGRESS,
    "work_order.completed": WorkState.COMPLETED,
    "work_order.failed": WorkState.FAILED,
}


class WorkOrder(SQLModel, table=True):
    """One work order: one line of one fulfilment, made in one batch."""

    __tablename__ = "work_order"

    id: int | None = key()
    work_order_no: str = Field(unique=True)
    fulfilment_id: int = reference("fulfilment.id")
    order_id: int = reference("orders.id")
    sku: str
    quantity: int
    recipe: str
    grams: dict[str, Any] = document()
    state: str = WorkState.REQUESTED.value
    batch_no: str = ""
    expected_at: datetime | None = moment(nullable=True)
    completed_at: datetime | None = moment(nullable=True)


class ProductionReport(SQLModel, table=True):
    """One callback of the factory, kept once by its id."""

    __tablename__ = "production_report"

    id: str = Field(primary_key=True)
    work_order_no: str = Field(index=True)
    kind: str
    at: datetime = moment()
    received_at: datetime = moment()
    data: dict[str, Any] = document()


def work_orders_of(session: Session, fulfilment_id: int) -> list[WorkOrder]:
    """The work orders of a fulfilment."""
    statement = select(WorkOrder).where(WorkOrder.fulfilment_id == fulfilment_id).order_by(WorkOrder.work_order_no)
    return list(session.exec(statement.execution_options(populate_existing=True)))


class NothingToReworkWith(Exception):
    """The ingredients of a batch that failed cannot be replaced from what is free."""

    def __init__(self, warehouse: str, sku: str, grams: int) -> None:
        super().__init__(f"{warehouse} 的 {sku} 不够返工,还要 {grams} 克:补料入库后解除,会再试。")


def rework(session: Session, fulfilment: Fulfilment, failed: Sequence[WorkOrder], actor: str, now: datetime) -> None:
    """Have what failed made again: new work orders, and the ingredients that were lost come off the shelf.

    What is reserved stays reserved, for the new batch. Raises `NothingToReworkWith`; then nothing is changed (roll
    back to before).
    """
    rounds = sum(work.state == WorkState.REWORKED.value for work in work_orders_of(session, failed[0].fulfilment_id))
    # all items at once, in the order in which everybody locks them
    free_everywhere(session, sorted({sku for work in failed for sku in work.grams}), lock=True)
    for number, work in enumerate(failed, rounds + 1):
        for sku, grams in sorted(work.grams.items()):
            lost = move(
                session, fulfilment.warehouse, sku, Movement.SCRAP, -grams, 0, actor, now,
                fulfilment_id=work.fulfilment_id, reason=f"{work.work_order_no} 生产失败报损",
            )  # fmt: skip
            if not lost:
                raise NothingToReworkWith(fulfilment.warehouse, sku, grams)
        work.state = WorkState.REWORKED.value
        base = work.work_order_no.partition("-R")[0]
        again = WorkOrder(
            work_order_no=f"{base}-R{number}",
            fulfilment_id=work.fulfilment_id,
            order_id=work.order_id,
            sku=work.sku,
            quantity=work.quantity,
            recipe=work.recipe,
            grams=work.grams,
        )
        session.add_all([work, again])
        note(
            session, work.order_id, EventKind.REWORKED, actor, now, work.fulfilment_id,
            work_order=work.work_order_no, again=again.work_order_no,
        )  # fmt: skip
    session.flush()


def take_report(
    session: Session,
    report_id: str,
    work_order_no: str,
    kind: str,
    at: datetime,
    data: dict[str, Any],
    now: datetime,
) -> str:
    """Take one verified callback: "taken", "repeated", or "unknown" work order. Any order, any number of times.

    The state only moves forward, so a late progress report changes nothing; what became final stays.
    """
    row = session.connection().execute(
        insert(ProductionReport)
        .values(id=report_id, work_order_no=work_order_no, kind=kind, at=at, received_at=now, data=data)
        .on_conflict_do_nothing()
    )
    if row.rowcount == 0:
        return "repeated"
    order_id = session.exec(select(WorkOrder.order_id).where(WorkOrder.work_order_no == work_order_no)).first()
    if order_id is None:
        return "unknown"
    lock_order(session, order_id)
    statement = select(WorkOrder).where(WorkOrder.work_order_no == work_order_no).with_for_update()
    work = session.exec(statement.execution_options(populate_existing=True)).one()
    state = REPORTED[kind]
    final = WorkState(work.state) in FINAL
    if final or _PLACE[state] <= _PLACE[WorkState(work.state)]:
        return "taken"
    work.state = state.value
    if state is WorkState.COMPLETED:
        work.completed_at = at
    session.add(work)
    note(
        session,
        work.order_id,
        EventKind.PRODUCTION_REPORTED,
        "platform:mes",
        now,
        work.fulfilment_id,
        work_order=work_order_no,
        state=state.value,
    )
    if state in (WorkState.COMPLETED, WorkState.FAILED):
        wake(session, [work.fulfilment_id], now)
    return "taken"
