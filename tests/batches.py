"""Orders that go into one production batch, and the time in which they wait for each other."""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel import Session, col, select

from models.database import transact
from models.fulfilment import Fulfilment
from models.order import Order, OrderLine
from models.production import WorkOrder
from models.production_batch import ProductionBatch
from tests.house import House
from tests.orders import Kind, place


def place_alike(home: House, count: int) -> list[str]:
    """Place so many orders that have to be made; after they are read in, `make_alike` makes pets and places one."""
    return place(home, Kind.MADE, count=count)


def make_alike(orders: list[Order]) -> None:
    """Give all pets of these orders the profile of the first, and all orders its warehouse: one recipe, one batch."""

    def work(session: Session) -> None:
        ids = [order.id for order in orders]
        statement = select(OrderLine).where(col(OrderLine.order_id).in_(ids), col(OrderLine.made_to_order))
        lines = list(session.exec(statement.order_by(col(OrderLine.id))))
        parts = session.exec(select(Fulfilment).where(col(Fulfilment.order_id).in_(ids)).order_by(col(Fulfilment.id)))
        for line in lines:
            line.profile = dict(lines[0].profile)
            session.add(line)
        first, *others = parts
        for part in others:
            part.warehouse = first.warehouse
            session.add(part)

    transact(work)


def the_wait_is_over() -> None:
    """Every batch that waits for more orders has waited long enough, and its members look."""

    def work(session: Session) -> None:
        for statement in (
            "UPDATE production_batch SET seal_at = now() WHERE state = 'open'",
            "UPDATE fulfilment SET ready_at = now() WHERE waiting_on = 'production'",
        ):
            session.connection().execute(text(statement))

    transact(work)


def batches_of(orders: list[Order]) -> list[ProductionBatch]:
    """The batches that these orders are in, oldest first."""

    def work(session: Session) -> list[ProductionBatch]:
        mine = select(WorkOrder.batch_id).where(col(WorkOrder.order_id).in_([order.id for order in orders]))
        statement = select(ProductionBatch).where(col(ProductionBatch.id).in_(mine))
        return list(session.exec(statement.order_by(col(ProductionBatch.id))))

    return transact(work)
