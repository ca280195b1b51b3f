"""What a customer bought: the order, its lines, and the contact it goes to."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, Session, SQLModel, select

from models.intake import Receiver
from models.privacy import fingerprint, mask_name, mask_phone, seal, unseal
from models.quality import plain
from models.table import big, document, kept, key, moment, reference, sealed, words

#: The first letters of an order number, by channel.
PREFIXES = {
    "shopify": "SH",
    "wechat_shop": "WX",
    "douyin": "DY",
    "taobao": "TB",
    "jd": "JD",
    "pinduoduo": "PD",
    "spreadsheet": "XL",
}


class OrderUnknown(Exception):
    """There is no such order."""

    def __init__(self, order_no: str) -> None:
        super().__init__(f"没有订单 {order_no}:请核对订单号(例如 SH-1001),或到渠道后台查它的订单号。")


class Contact(SQLModel, table=True):
    """Name, phone and street of a receiver, encrypted; district in clear, because routing needs it."""

    __tablename__ = "contact"

    id: int | None = key()
    secret: bytes = sealed()
    masked_name: str = ""
    masked_phone: str = ""
    province: str = ""
    city: str = ""
    district: str = ""
    only_masked: bool = False  # the platform has not shown us more than its own masks yet
    fingerprint: str = ""


class Order(SQLModel, table=True):
    """One order of one customer on one channel. Money in fen."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("channel", "shop", "channel_order_id", name="one_order_per_channel_order"),
        CheckConstraint("total_fen >= 0 AND paid_fen >= 0 AND freight_fen >= 0", name="money_not_negative"),
        CheckConstraint("0 <= refunded_fen AND refunded_fen <= paid_fen", name="no_more_refunded_than_paid"),
        Index("orders_placed", "placed_at"),
        Index("orders_by_payment", "payment_ref", postgresql_where=text("payment_ref <> ''")),
    )

    id: int | None = key()
    order_no: str = words()
    channel: str
    shop: str
    channel_order_id: str
    channel_order_name: str = ""
    platform_status: str
    placed_at: datetime = moment()
    paid_at: datetime | None = moment(nullable=True)
    platform_updated_at: datetime = moment()
    received_at: datetime = moment()
    payment_verified_at: datetime | None = moment(nullable=True)
    cancel_requested_at: datetime | None = moment(nullable=True)
    cancel_reason: str = ""
    currency: str = "CNY"
    total_fen: int = big()
    paid_fen: int = big()
    refunded_fen: int = big()  # of our own refunds: due, asked for, or paid
    platform_refunded_fen: int = big()  # what the channel says was paid back so far, by whomever
    freight_fen: int = big()
    discount_fen: int = big()
    payment_keeper: str = ""  # who collected the money; empty: the channel
    payment_ref: str = ""
    buyer: str = ""
    contact_id: int = reference("contact.id")
    note: str = words()
    attributes: dict[str, Any] = document()
    handles: dict[str, Any] = document()
    rules: dict[str, Any] = kept()  # kind → number of the version it keeps


Index("order_number", Order.__table__.c.order_no, unique=True)  # type: ignore[attr-defined]


class OrderLine(SQLModel, table=True):
    """One line. `paid_fen` is for the whole line after discounts; `profile` is the pet's, as filled in."""

    __tablename__ = "order_line"
    __table_args__ = (
        UniqueConstraint("order_id", "line_no", name="line_numbers_of_order"),
        CheckConstraint("quantity > 0", name="line_quantity_positive"),
        CheckConstraint("0 <= cancelled_quantity AND cancelled_quantity <= quantity", name="cancelled_of_quantity"),
        CheckConstraint("repeated_quantity BETWEEN 0 AND cancelled_quantity", name="repeated_of_cancelled"),
    )

    id: int | None = key()
    order_id: int = reference("orders.id")
    line_no: int
    channel_line_id: str
    sku: str
    title: str = words()
    quantity: int  # as bought
    cancelled_quantity: int = 0  # of these, no longer to be delivered, as the channel says
    #: of those cancelled, what we gave up and told the channel ourselves: it only repeats that
    repeated_quantity: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    unit_price_fen: int = big()
    paid_fen: int = big()
    made_to_order: bool = False
    profile: dict[str, Any] = document()  # as the channel tells it
    answers: dict[str, Any] = kept()  # as filled in on our own form: these count

    @property
    def pet(self) -> dict[str, Any]:
        """What is known of the pet: our own form's answers over the channel's."""
        return {**self.profile, **self.answers}


def find_order(session: Session, order_no: str) -> Order:
    """The order with this number (case and blanks do not matter). Raises `OrderUnknown`."""
    wanted = order_no.strip().upper()
    if not plain(wanted):
        raise OrderUnknown(order_no)
    order = session.exec(select(Order).where(Order.order_no == wanted)).first()
    if order is None:
        raise OrderUnknown(order_no)
    return order


def lock_order(session: Session, order_id: int) -> Order:
    """The order as it is now, locked with its fulfilments until the transaction ends.

    Fulfilments first, then the order, then what hangs on them: the way lanes go, so that nobody waits in a circle.
    """
    session.flush()
    session.connection().execute(
        text("SELECT id FROM fulfilment WHERE order_id = :id ORDER BY id FOR UPDATE"), {"id": order_id}
    )
    statement = select(Order).where(Order.id == order_id).with_for_update(key_share=True)
    return session.exec(statement.execution_options(populate_existing=True)).one()


def lines_of(session: Session, order_id: int) -> list[OrderLine]:
    """The order's lines in their order."""
    return list(session.exec(select(OrderLine).where(OrderLine.order_id == order_id).order_by(OrderLine.line_no)))  # type: ignore[arg-type]


def contact_columns(receiver: Receiver) -> dict[str, Any]:
    """A receiver by column of `contact`: name, phone and street encrypted."""
    secret = {"name": receiver.name, "phone": receiver.phone, "detail": receiver.detail}
    return {
        "secret": seal(json.dumps(secret, ensure_ascii=False)),
        "masked_name": mask_name(receiver.name),
        "masked_phone": receiver.phone if receiver.masked else mask_phone(receiver.phone),
        "province": receiver.province,
        "city": receiver.city,
        "district": receiver.district,
        "only_masked": receiver.masked,
        "fingerprint": fingerprint(receiver.phone, receiver.province, receiver.city, receiver.detail),
    }


def keep_contact(session: Session, receiver: Receiver, contact: Contact | None = None) -> Contact:
    """Store a receiver, encrypted; or replace what `contact` holds, as when a mask is lifted."""
    contact = contact or Contact()
    for name, value in contact_columns(receiver).items():
        setattr(contact, name, value)
    session.add(contact)
    session.flush()
    return contact


def reveal(contact: Contact) -> Receiver:
    """The receiver in clear, for the waybill and the message; never for a page, a log or an artifact."""
    secret = json.loads(unseal(contact.secret))
    return Receiver(
        name=secret["name"],
        phone=secret["phone"],
        province=contact.province,
        city=contact.city,
        district=contact.district,
        detail=secret["detail"],
        masked=contact.only_masked,
    )
