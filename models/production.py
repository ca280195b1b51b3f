"""Production: what the factory was asked to make, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, col, select

from models import hold
from models.fulfilment import Fulfilment, Stage, interrupt, wake
from models.order import lock_order
from models.stock import Movement, free_everywhere, move
from models.table import document, key, moment, reference
from models.timeline import EventKind, note

#: A time to be done at that lies farther off than this is a mistake.
FARTHEST = timedelta(days=366)


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

#: The factory has it, and has not said how it ended.
MAKING = (WorkState.RELEASED, WorkState.IN_PROGRESS)
#: The hold about a work order of which the factory says nothing begins so; the work order's id follows.
SILENT = "factory_silent_"

#: What a reported event makes of a work order.
REPORTED = {
    "work_order.accepted": WorkState.RELEASED,
    "work_order.progress": WorkState.IN_PROGRESS,
    "work_order.completed": WorkState.COMPLETED,
    "work_order.failed": WorkState.FAILED,
}


class WorkOrder(SQLModel, table=True):
    """One work order: one line of one fulfilment, made in one batch (`models/production_batch.py`).

    `batch_no` is that batch's number once the factory has taken it. `expected_at` and `percent` are the factory's
    newest word, by its own clock (`reported_at`).
    """

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
    batch_id: int | None = reference("production_batch.id", nullable=True)
    batch_no: str = ""
    expected_at: datetime | None = moment(nullable=True)
    percent: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    reported_at: datetime | None = moment(nullable=True)
    completed_at: datetime | None = moment(nullable=True)

    @property
    def is_rework(self) -> bool:
        """Whether it makes again what failed before."""
        return "-R" in self.work_order_no


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

    The state only moves forward, so a late progress report changes nothing; what became final stays, and a person is
    asked where the factory says otherwise. An unknown work order's report is kept until there is one
    (`take_kept_reports`).
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
    _take(session, work, kind, at, data, now)
    return "taken"


def take_kept_reports(session: Session, work: WorkOrder, now: datetime) -> None:
    """Take what was reported of a work order before it was here (a book that was restored from a backup).

    Twice: nothing changes. The order must be locked.
    """
    statement = select(ProductionReport).where(ProductionReport.work_order_no == work.work_order_no)
    for kept in session.exec(statement.order_by(col(ProductionReport.at), col(ProductionReport.id))):
        _take(session, work, kept.kind, kept.at, kept.data, now)


def _take(session: Session, work: WorkOrder, kind: str, at: datetime, data: Mapping[str, Any], now: datetime) -> None:
    """What one report makes of its work order, which is locked."""
    state, before = REPORTED[kind], WorkState(work.state)
    _silent_no_more(session, work, now)
    if before in FINAL:
        _ask_if_contradicted(session, work, before, state, at, now)
        return
    if work.reported_at is None or at >= work.reported_at:
        work.reported_at = at
        work.expected_at = expected_in(data, at) or work.expected_at
        work.percent = percent_in(data, work.percent)
    if _PLACE[state] > _PLACE[before]:
        work.state = state.value
        if state is WorkState.COMPLETED:
            work.completed_at, work.percent = at, 100
        note(
            session, work.order_id, EventKind.PRODUCTION_REPORTED, "platform:mes", now, work.fulfilment_id,
            work_order=work.work_order_no, state=state.value,
        )  # fmt: skip
    session.add(work)
    session.flush()
    if state in (WorkState.COMPLETED, WorkState.FAILED):
        wake(session, [work.fulfilment_id], now)


def _ask_if_contradicted(
    session: Session, work: WorkOrder, before: WorkState, state: WorkState, at: datetime, now: datetime
) -> None:
    """The factory ends a second time otherwise what is over: nothing of ours changes, a person looks at the goods.

    What is said to have failed after it was completed stops its order before it ships; what failed before it was
    completed has been made good, and its report only came late.
    """
    ends = state in (WorkState.COMPLETED, WorkState.FAILED)
    if not ends or state is before or (state is WorkState.FAILED and before is not WorkState.COMPLETED):
        return
    if state is WorkState.FAILED and work.completed_at is not None and at < work.completed_at:
        return
    code = f"factory_contradicts_{work.id}"
    if hold.ever_placed(session, work.order_id, code):
        return
    said = "已完工" if state is WorkState.COMPLETED else "生产失败"
    was = {WorkState.COMPLETED: "已完工", WorkState.CALLED_BACK: "已撤回"}.get(before, "生产失败")
    reason = f"工厂报告 {work.work_order_no} {said},但它早先{was}"
    how = "与工厂核对实物:多出的成品入库或报损;然后解除"
    stops = False
    if state is WorkState.FAILED:
        part = session.get_one(Fulfilment, work.fulfilment_id, populate_existing=True)
        stops = not Stage(part.stage).reached(Stage.SHIPPED)
        how = "与工厂核对实物:是好的就解除,照常发货;坏了就取消订单,或用部署 compensate-order 退款补偿"
        if not stops:
            how = "与工厂核对实物:发出去的坏了就联系快递拦截,按售后退款;然后解除"
    hold.place(session, work.order_id, code, reason, "生产主管", how, "mes", now, blocking=stops)
    if stops:
        interrupt(session, [work.fulfilment_id], now)  # whoever is about to ship it must see the hold first


def _silent_no_more(session: Session, work: WorkOrder, now: datetime) -> None:
    code = f"{SILENT}{work.id}"
    if code in {one.code for one in hold.open_holds(session, work.order_id)}:
        hold.lift(session, work.order_id, "platform:mes", now, [code])


def expected_in(data: Mapping[str, Any], at: datetime) -> datetime | None:
    """When the factory expects to be done, in what it reported at `at`; None where it says nothing that can be."""
    try:
        expected = datetime.fromisoformat(data["expected_at"])
    except (KeyError, TypeError, ValueError):
        return None
    plausible = expected.tzinfo is not None and abs(expected - at) <= FARTHEST
    return expected if plausible else None


def percent_in(data: Mapping[str, Any], known: int) -> int:
    """How much is done (0 to 100) by what was reported; what was known where it says nothing that can be."""
    said = data.get("percent")
    number = isinstance(said, int | float) and not isinstance(said, bool)
    return int(said) if number and 0 <= said <= 100 else known  # type: ignore[operator, arg-type]
