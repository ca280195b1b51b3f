"""The batches as staff see them: what is waited for, what is being made, and what the factory could not be told of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from models.effect import Effect
from models.order import Order
from models.production import WorkOrder, WorkState
from models.production_batch import BatchState, ProductionBatch
from models.recipe import RecipeBook
from models.rules_in_force import recipes_of

#: Work orders that are not made in this batch any more.
GONE = (WorkState.CALLED_BACK.value, WorkState.REWORKED.value)


class BatchUnknown(Exception):
    """There is no batch with this number."""

    def __init__(self, batch_no: str) -> None:
        super().__init__(f"没有批次 {batch_no[:40]}:请从「生产批次」列表里打开。")


@dataclass(frozen=True)
class BatchView:
    """One batch with its work orders (each with its order's number); `attempts` and `problem` are of its release."""

    batch: ProductionBatch
    recipe_title: str
    works: tuple[tuple[WorkOrder, str], ...]
    attempts: int
    problem: str

    @property
    def in_hand(self) -> list[WorkOrder]:
        """What is still made in it."""
        return [work for work, _ in self.works if work.state not in GONE]

    @property
    def percent(self) -> int:
        """How much of it is done, each work order by its grams."""
        weights = [(sum(work.grams.values()) or 1, work.percent) for work in self.in_hand]
        return sum(grams * percent for grams, percent in weights) // max(1, sum(grams for grams, _ in weights))

    @property
    def grams(self) -> int:
        """What it comes to."""
        return sum(sum(work.grams.values()) for work in self.in_hand)

    @property
    def expected_at(self) -> datetime | None:
        """When all that is not made yet should be."""
        making = (WorkState.RELEASED.value, WorkState.IN_PROGRESS.value)
        return max((w.expected_at for w in self.in_hand if w.expected_at and w.state in making), default=None)

    @property
    def state(self) -> str:
        """`open`, `stuck` (it could not be told yet), `sealed`, `making`, `failed`, `done` or `called_back`."""
        if self.batch.state != BatchState.RELEASED.value:
            return "stuck" if self.problem else self.batch.state
        states = {work.state for work in self.in_hand}
        if not states:
            return "called_back"
        if WorkState.FAILED.value in states:
            return "failed"
        return "done" if states == {WorkState.COMPLETED.value} else "making"


def batches_in_hand(session: Session, most: int) -> list[BatchView]:
    """The batches in which something is still to be done, first due first."""
    open_works = select(WorkOrder.batch_id).where(
        col(WorkOrder.state).in_([WorkState.RELEASED.value, WorkState.IN_PROGRESS.value, WorkState.FAILED.value])
    )
    unfinished = (col(ProductionBatch.state) != BatchState.RELEASED.value) | col(ProductionBatch.id).in_(open_works)
    statement = select(ProductionBatch).where(unfinished)
    return _views(session, list(session.exec(statement.order_by(col(ProductionBatch.due_at)).limit(most))))


def batches_since(session: Session, since: datetime, most: int) -> list[BatchView]:
    """All batches opened since then, the newest first."""
    statement = select(ProductionBatch).where(col(ProductionBatch.opened_at) >= since)
    return _views(session, list(session.exec(statement.order_by(col(ProductionBatch.id).desc()).limit(most))))


def batch_view(session: Session, batch_no: str) -> BatchView:
    """One batch by its number. Raises `BatchUnknown`."""
    found = session.exec(select(ProductionBatch).where(ProductionBatch.batch_no == batch_no)).first()
    if found is None:
        raise BatchUnknown(batch_no)
    (view,) = _views(session, [found])
    return view


def _views(session: Session, batches: Sequence[ProductionBatch]) -> list[BatchView]:
    members = session.exec(
        select(WorkOrder, Order)
        .join(Order, col(Order.id) == col(WorkOrder.order_id))
        .where(col(WorkOrder.batch_id).in_([batch.id for batch in batches]))
        .order_by(col(WorkOrder.id))
    ).all()
    keys = [batch.release_key for batch in batches]
    effects = {effect.key: effect for effect in session.exec(select(Effect).where(col(Effect.key).in_(keys)))}
    views = []
    for batch in batches:
        own = [(work, order) for work, order in members if work.batch_id == batch.id]
        told = effects.get(batch.release_key)
        title = _title(recipes_of(session, own[0][1]), batch.recipe) if own else batch.recipe
        views.append(
            BatchView(
                batch,
                title,
                tuple((work, order.order_no) for work, order in own),
                told.attempts if told else 0,
                told.error if told and batch.state != BatchState.RELEASED.value else "",
            )
        )
    return views


def _title(book: RecipeBook, code: str) -> str:
    recipe = book.recipes.get(code)
    return code if recipe is None else recipe.title
