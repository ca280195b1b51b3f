"""Parcels: the waybill, the tracking link, and where the parcel is."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import Index, text
from sqlmodel import Field, Session, SQLModel, col, select

from models.shared_parcel import SharedParcel, SharedState, lock_shared
from models.table import key, moment, reference

#: How long a tracking link works after the waybill was made.
LINK_DAYS = 90


class Parcel(SQLModel, table=True):
    """The parcel of a fulfilment. `token` is the unguessable end of the tracking link.

    Fulfilments that travel together have a row each, all with the numbers of the shared parcel.
    """

    __tablename__ = "parcel"
    __table_args__ = (
        Index("one_parcel_per_shipment", "shipment_no", unique=True, postgresql_where=text("shared_parcel_id IS NULL")),
        Index("one_parcel_per_waybill", "waybill_no", unique=True, postgresql_where=text("shared_parcel_id IS NULL")),
        Index("parcel_waybill", "waybill_no"),
    )

    id: int | None = key()
    fulfilment_id: int = Field(foreign_key="fulfilment.id", unique=True)
    order_id: int = reference("orders.id")
    carrier: str
    shipment_no: str
    waybill_no: str
    shared_parcel_id: int | None = reference("shared_parcel.id", nullable=True)
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
    shared: SharedParcel | None = None,
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
            shared_parcel_id=shared.id if shared is not None else None,
            token=secrets.token_urlsafe(18),
            link_until=now + timedelta(days=LINK_DAYS),
            created_at=now,
        )
        session.add(parcel)
        session.flush()
    return parcel


def parcel_of(session: Session, fulfilment_id: int) -> Parcel | None:
    """The fulfilment's parcel, if it has a waybill."""
    statement = select(Parcel).where(Parcel.fulfilment_id == fulfilment_id)
    return session.exec(statement.execution_options(populate_existing=True)).first()


def parcel_by_token(session: Session, token: str, now: datetime) -> Parcel | None:
    """The parcel behind a tracking link that still works."""
    statement = select(Parcel).where(Parcel.token == token, Parcel.link_until > now)
    return session.exec(statement).first()


def rows_of_waybill(session: Session, parcel: Parcel) -> list[Parcel]:
    """All rows of the parcel's waybill, one for each fulfilment in it, locked in the order of their ids."""
    statement = select(Parcel).where(Parcel.waybill_no == parcel.waybill_no).order_by(col(Parcel.id)).with_for_update()
    return list(session.exec(statement.execution_options(populate_existing=True)))


def is_to_go(session: Session, parcel: Parcel) -> bool:
    """Whether a channel may be told of this parcel: a shared one must not be on its way back.

    The fulfilment must be locked; until the transaction ends nobody else undoes the shared parcel.
    """
    return (
        parcel.shared_parcel_id is None
        or lock_shared(session, parcel.shared_parcel_id).state == SharedState.SEALED.value
    )
