"""Parcels: the waybill, the tracking link, and where the parcel is."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlmodel import Field, Session, SQLModel, select

from models.table import key, moment, reference

#: How long a tracking link works after the waybill was made.
LINK_DAYS = 90


class Parcel(SQLModel, table=True):
    """One parcel of a fulfilment. `token` is the unguessable end of the tracking link."""

    __tablename__ = "parcel"

    id: int | None = key()
    fulfilment_id: int = Field(foreign_key="fulfilment.id", unique=True)
    order_id: int = reference("orders.id")
    carrier: str
    shipment_no: str = Field(unique=True)
    waybill_no: str = Field(unique=True)
    token: str = Field(unique=True)
    link_until: datetime = moment()
    created_at: datetime = moment()
    state: str = "created"
    state_at: datetime | None = moment(nullable=True)
    told_channel_at: datetime | None = moment(nullable=True)


def keep_parcel(
    session: Session,
    order_id: int,
    fulfilment_id: int,
    carrier: str,
    shipment_no: str,
    waybill_no: str,
    now: datetime,
) -> Parcel:
    """The parcel of this fulfilment, written now if there is none."""
    parcel = parcel_of(session, fulfilment_id)
    if parcel is None:
        parcel = Parcel(
            fulfilment_id=fulfilment_id,
            order_id=order_id,
            carrier=carrier,
            shipment_no=shipment_no,
            waybill_no=waybill_no,
            token=secrets.token_urlsafe(18),
            link_until=now + timedelta(days=LINK_DAYS),
            created_at=now,
        )
        session.add(parcel)
        session.flush()
    return parcel


def parcel_of(session: Session, fulfilment_id: int) -> Parcel | None:
    """The fulfilment's parcel, if it has a waybill."""
    return session.exec(select(Parcel).where(Parcel.fulfilment_id == fulfilment_id)).first()


def parcel_by_token(session: Session, token: str, now: datetime) -> Parcel | None:
    """The parcel behind a tracking link that still works."""
    statement = select(Parcel).where(Parcel.token == token, Parcel.link_until > now)
    return session.exec(statement).first()
