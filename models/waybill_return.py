"""发货回单: the parcels of orders that came as spreadsheets, for a person to upload to the platform they are from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, cast, func
from sqlmodel import Session, col, select

from models.order import Order
from models.parcel import Parcel
from models.wording import TZ

CHANNEL = "spreadsheet"
#: How platforms call a carrier in their own upload forms.
CARRIERS = {"sf_express": "顺丰速运"}
HEADER = ("订单编号", "快递公司", "运单号", "发货时间", "店铺", "我方订单号")
#: Rows of one file; more is asked for in several stretches of time.
MOST = 100_000


@dataclass(frozen=True)
class Returned:
    """One parcel that a platform is to be told of by hand."""

    channel_order_id: str
    carrier: str
    waybill_no: str
    shipped_at: datetime
    shop: str
    order_no: str

    @property
    def cells(self) -> list[str]:
        """In the order of `HEADER`."""
        carrier = CARRIERS.get(self.carrier, self.carrier)
        at = f"{self.shipped_at.astimezone(TZ):%Y-%m-%d %H:%M:%S}"
        return [self.channel_order_id, carrier, self.waybill_no, at, self.shop, self.order_no]


def returned(session: Session, shop: str, since: datetime, until: datetime) -> list[Returned]:
    """The parcels of a shop (and its sub-shops) that went out in [since, until), oldest first; at most `MOST`."""
    statement = (
        select(Order, Parcel)
        .join(Parcel, col(Parcel.order_id) == Order.id)
        .where(
            Order.channel == CHANNEL,
            (col(Order.shop) == shop) | col(Order.shop).startswith(f"{shop}/", autoescape=True),
            col(Parcel.told_channel_at) >= since,
            col(Parcel.told_channel_at) < until,
        )
        .order_by(col(Parcel.told_channel_at), col(Parcel.id))
        .limit(MOST)
    )
    return [
        Returned(
            order.channel_order_id,
            parcel.carrier,
            parcel.waybill_no,
            parcel.told_channel_at,
            order.shop,
            order.order_no,
        )
        for order, parcel in session.exec(statement)
        if parcel.told_channel_at is not None
    ]


def shops_with_orders(session: Session) -> Sequence[str]:
    """The shops whose orders came as spreadsheets, without their sub-shops."""
    whole = func.split_part(cast(Order.shop, String), "/", 1)
    return list(session.exec(select(whole).where(Order.channel == CHANNEL).distinct().order_by(whole)))
