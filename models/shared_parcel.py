"""Parcels that fulfilments of several orders share: the waybill is one, all else stays each one's own.

Locks are taken in one order everywhere: fulfilments of all orders concerned by id, then these orders by id, then the
shared parcel, then whatever hangs on them. Who holds only its own order may leave; who adds or seals holds them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Session, SQLModel, col, select

from models.effect import Effect
from models.fulfilment import Fulfilment
from models.order import Contact, Order
from models.shipment import NOT_TOLD
from models.table import key, moment, reference, words

#: How often locking begins again because somebody joined meanwhile.
TRIES = 5


class SharedState(StrEnum):
    """How far a shared parcel is."""

    OPEN = "open"  # fulfilments come and go
    SEALED = "sealed"  # its waybill is there, or being asked for: nobody joins any more
    UNDOING = "undoing"  # its waybill is being called back
    UNDONE = "undone"


class CompanyBusy(Exception):
    """Orders of this customer join and leave faster than they can be locked; nothing was changed."""

    def __init__(self) -> None:
        super().__init__("这位客户的订单正在处理,合并没有改变:请过几秒再试。")


class SharedParcel(SQLModel, table=True):
    """One parcel of several fulfilments. `fingerprint` is of the address, of its mask where `only_masked`.

    `made_by`: the step that found them, or a person's name.
    """

    __tablename__ = "shared_parcel"
    __table_args__ = (CheckConstraint("state IN ('open', 'sealed', 'undoing', 'undone')", name="shared_parcel_state"),)

    id: int | None = key()
    founder: str  # the fulfilment number of the first of them
    fingerprint: str
    only_masked: bool = False
    buyer: str = ""
    warehouse: str
    state: str = SharedState.OPEN.value
    made_by: str
    created_at: datetime = moment()
    sealed_at: datetime | None = moment(nullable=True)
    undone_by: str = ""
    undone_why: str = words()

    @property
    def shipment_no(self) -> str:
        """The number that the carrier holds its one waybill to."""
        return f"{self.founder}-M{self.id}"

    @property
    def waybill_key(self) -> str:
        """The key of its waybill in the effect ledger."""
        return f"waybill-{self.shipment_no}"


class SharedParcelMember(SQLModel, table=True):
    """One fulfilment in a shared parcel, until it left. `ready_at`: when it came to its waybill.

    `leaving`: why it is to leave once the carrier has given the waybill back.
    """

    __tablename__ = "shared_parcel_member"
    __table_args__ = (
        Index("one_shared_parcel_at_a_time", "fulfilment_id", unique=True, postgresql_where=text("left_at IS NULL")),
    )

    id: int | None = key()
    shared_parcel_id: int = reference("shared_parcel.id")
    fulfilment_id: int = reference("fulfilment.id")
    joined_at: datetime = moment()
    ready_at: datetime | None = moment(nullable=True)
    leaving: str = words()
    left_at: datetime | None = moment(nullable=True)
    left_why: str = words()


Index("contact_fingerprint", Contact.__table__.c.fingerprint)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Traveller:
    """A fulfilment with its order and address; `member` is its place in a shared parcel, if it has one."""

    fulfilment: Fulfilment
    order: Order
    contact: Contact
    member: SharedParcelMember | None = None

    @property
    def id(self) -> int:
        """The fulfilment's key."""
        assert self.fulfilment.id is not None
        return self.fulfilment.id

    @property
    def number(self) -> str:
        """The fulfilment's number, e.g. `SH-1001-1`."""
        return f"{self.order.order_no}-{self.fulfilment.number}"


def company_of(session: Session, fulfilment_id: int) -> SharedParcel | None:
    """The shared parcel that a fulfilment is in now."""
    statement = (
        select(SharedParcel)
        .join(SharedParcelMember, col(SharedParcelMember.shared_parcel_id) == col(SharedParcel.id))
        .where(SharedParcelMember.fulfilment_id == fulfilment_id, col(SharedParcelMember.left_at).is_(None))
    )
    return session.exec(statement.execution_options(populate_existing=True)).first()


def travellers_of(session: Session, shared_parcel_id: int) -> list[Traveller]:
    """Who is in a shared parcel now, by fulfilment id."""
    statement = (
        select(SharedParcelMember, Fulfilment, Order, Contact)
        .join(Fulfilment, col(Fulfilment.id) == col(SharedParcelMember.fulfilment_id))
        .join(Order, col(Order.id) == col(Fulfilment.order_id))
        .join(Contact, col(Contact.id) == col(Order.contact_id))
        .where(SharedParcelMember.shared_parcel_id == shared_parcel_id, col(SharedParcelMember.left_at).is_(None))
        .order_by(col(Fulfilment.id))
    )
    rows = session.exec(statement.execution_options(populate_existing=True)).all()
    return [Traveller(fulfilment, order, contact, member) for member, fulfilment, order, contact in rows]


def travellers(session: Session, fulfilment_ids: Iterable[int]) -> list[Traveller]:
    """These fulfilments by id, each with its place in a shared parcel, if it has one."""
    ids = sorted(set(fulfilment_ids))
    statement = (
        select(Fulfilment, Order, Contact)
        .join(Order, col(Order.id) == col(Fulfilment.order_id))
        .join(Contact, col(Contact.id) == col(Order.contact_id))
        .where(col(Fulfilment.id).in_(ids))
        .order_by(col(Fulfilment.id))
    )
    places = select(SharedParcelMember).where(
        col(SharedParcelMember.fulfilment_id).in_(ids), col(SharedParcelMember.left_at).is_(None)
    )
    by_id = {place.fulfilment_id: place for place in session.exec(places.execution_options(populate_existing=True))}
    rows = session.exec(statement.execution_options(populate_existing=True)).all()
    return [Traveller(part, order, contact, by_id.get(part.id or 0)) for part, order, contact in rows]


def lock_with_company(session: Session, order_ids: Iterable[int], shared_parcel_id: int | None = None) -> None:
    """Lock these orders, those that share a parcel with them, and those of this shared parcel, as they are once all
    are locked.

    Nothing of them may be locked before, or lanes could wait for each other in a circle. Raises `CompanyBusy`.
    """
    asked = {"orders": sorted(set(order_ids)), "shared": shared_parcel_id}
    session.flush()
    for _ in range(TRIES):
        wanted = _with_company(session, asked)
        attempt = session.begin_nested()
        for statement in (_LOCK_FULFILMENTS, _LOCK_ORDERS):
            session.connection().execute(statement, {"orders": wanted})
        session.connection().execute(_LOCK_SHARED, asked)
        if set(_with_company(session, asked)) <= set(wanted):
            attempt.commit()
            return
        attempt.rollback()
    raise CompanyBusy


_LOCK_FULFILMENTS = text("SELECT id FROM fulfilment WHERE order_id = ANY(:orders) ORDER BY id FOR UPDATE")
_LOCK_ORDERS = text("SELECT id FROM orders WHERE id = ANY(:orders) ORDER BY id FOR NO KEY UPDATE")
_CONCERNED = """
SELECT m.shared_parcel_id FROM shared_parcel_member m JOIN fulfilment f ON f.id = m.fulfilment_id
WHERE m.left_at IS NULL AND f.order_id = ANY(:orders) UNION SELECT CAST(:shared AS bigint)
"""
_LOCK_SHARED = text(f"SELECT id FROM shared_parcel WHERE id IN ({_CONCERNED}) ORDER BY id FOR NO KEY UPDATE")
_COMPANY = text(
    "SELECT DISTINCT f.order_id FROM shared_parcel_member m JOIN fulfilment f ON f.id = m.fulfilment_id"
    f" WHERE m.left_at IS NULL AND m.shared_parcel_id IN ({_CONCERNED})"
)


def _with_company(session: Session, asked: dict[str, Any]) -> list[int]:
    rows = session.connection().execute(_COMPANY, asked)
    return sorted({*asked["orders"], *(id for (id,) in rows)})


def lock_shared(session: Session, shared_parcel_id: int) -> SharedParcel:
    """The shared parcel as it is now, locked until the transaction ends; its own order's lock comes before."""
    statement = select(SharedParcel).where(SharedParcel.id == shared_parcel_id).with_for_update(key_share=True)
    return session.exec(statement.execution_options(populate_existing=True)).one()


def may_be_outside(session: Session, effect_key: str) -> bool:
    """Whether this was told to the outside, or may have been."""
    state = session.exec(select(Effect.state).where(Effect.key == effect_key)).first()
    return state is not None and state not in NOT_TOLD


def effects_shared_with(session: Session, order_id: int) -> list[Effect]:
    """What was told for shared parcels that this order's fulfilments are or were in, oldest first."""
    statement = (
        select(SharedParcel)
        .join(SharedParcelMember, col(SharedParcelMember.shared_parcel_id) == col(SharedParcel.id))
        .join(Fulfilment, col(Fulfilment.id) == col(SharedParcelMember.fulfilment_id))
        .where(Fulfilment.order_id == order_id)
    )
    numbers = {shared.shipment_no for shared in session.exec(statement)}
    keys = [f"{kind}-{number}" for number in numbers for kind in ("waybill", "waybill-cancel")]
    if not keys:
        return []
    return list(session.exec(select(Effect).where(col(Effect.key).in_(keys)).order_by(col(Effect.id))))
