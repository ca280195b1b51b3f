"""The customer's own link to an order: unguessable, expiring, good for nothing else."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import BigInteger
from sqlmodel import Field, Session, SQLModel, select

from models.table import moment

#: How long a link works.
LINK_DAYS = 90


class CustomerLink(SQLModel, table=True):
    """One order's link."""

    __tablename__ = "customer_link"

    token: str = Field(primary_key=True)
    order_id: int = Field(foreign_key="orders.id", unique=True, sa_type=BigInteger)
    until: datetime = moment()


def token_for(session: Session, order_id: int, now: datetime) -> str:
    """The token of this order, made now if there is none; it works `LINK_DAYS` from now. The order must be locked."""
    known = session.exec(select(CustomerLink).where(CustomerLink.order_id == order_id)).first()
    if known is None:
        known = CustomerLink(token=secrets.token_urlsafe(18), order_id=order_id, until=now)
    known.until = max(known.until, now + timedelta(days=LINK_DAYS))
    session.add(known)
    session.flush()
    return known.token


def known_token(session: Session, order_id: int, now: datetime) -> str | None:
    """The token of this order's link, if it has one that works."""
    found = session.exec(select(CustomerLink).where(CustomerLink.order_id == order_id)).first()
    return found.token if found is not None and found.until > now else None


def order_behind(session: Session, token: str, now: datetime) -> int | None:
    """The order that a link leads to; None for a link that never was or is over."""
    found = session.get(CustomerLink, token)
    return found.order_id if found is not None and found.until > now else None
