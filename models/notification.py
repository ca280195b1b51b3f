"""Notifications: one row per fulfilment and node, so that coverage is a count and not a hope.

A question to the customer may come again, in another round; each round has its row.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, Session, SQLModel, select

from models.table import key, moment, reference, words


class Node(StrEnum):
    """The moments at which a customer hears from us."""

    PROFILE = "profile"  # the order form is to be completed
    IN_PRODUCTION = "in_production"  # the factory has it, and says when it will be done
    SHIPPED = "shipped"
    BACKORDER = "backorder"
    CANCELLED = "cancelled"
    COMPENSATED = "compensated"


class NotificationState(StrEnum):
    """What became of a notification."""

    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"


class Notification(SQLModel, table=True):
    """One message due to one customer."""

    __tablename__ = "notification"
    __table_args__ = (UniqueConstraint("fulfilment_id", "node", "round", name="one_notification_per_node"),)

    id: int | None = key()
    order_id: int = reference("orders.id")
    fulfilment_id: int = reference("fulfilment.id")
    node: str
    round: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    via: str
    state: str
    message_id: str = ""
    reason: str = words()
    at: datetime = moment()


def notification_of(session: Session, fulfilment_id: int, node: Node, round: int = 0) -> Notification | None:
    """The fulfilment's notification for this node (and round of asking), if it was dealt with."""
    statement = select(Notification).where(
        Notification.fulfilment_id == fulfilment_id, Notification.node == node.value, Notification.round == round
    )
    return session.exec(statement).first()


def was_told(session: Session, order_id: int, node: Node, round: int) -> bool:
    """Whether any part of an order has dealt with this node in this round, however that ended."""
    statement = select(Notification.id).where(
        Notification.order_id == order_id, Notification.node == node.value, Notification.round == round
    )
    return session.exec(statement).first() is not None
