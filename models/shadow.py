"""A book that is kept in shadow: the real channels are read, nothing is sent, and what would have been done is kept.

A shadow's waybill numbers, batches and refunds are assumed (`tasks/shadow.py`), so it must never be worked on live,
nor a live book in shadow: the one row of `shadow_book` says which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, UniqueConstraint, text
from sqlmodel import Field, Session, SQLModel, select

from models.fulfilment import Fulfilment, Stage, fulfilments_of
from models.order import Order, lock_order
from models.settings import settings
from models.table import big, key, moment
from models.timeline import EventKind, OrderEvent, note

#: The actor of what is only assumed.
ACTOR = "shadow"


class ShadowBook(SQLModel, table=True):
    """The row that a shadow has and a live book has not."""

    __tablename__ = "shadow_book"
    __table_args__ = (CheckConstraint("id = 1", name="one_shadow_row"),)

    id: int = Field(default=1, primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    since: datetime = moment()


class ShadowPush(SQLModel, table=True):
    """One number that a channel would have been shown instead of `seen`; the same change is kept once."""

    __tablename__ = "shadow_push"
    __table_args__ = (UniqueConstraint("channel", "shop", "sku", "seen", "shown", name="one_row_per_change"),)

    id: int | None = key()
    at: datetime = moment(index=True)
    channel: str
    shop: str
    sku: str
    seen: int = big()
    shown: int = big()


class BookMixed(Exception):
    """A shadow's book was opened live, or a live book in shadow."""

    def __init__(self, is_shadow: bool) -> None:
        if is_shadow:
            super().__init__(
                "这个数据库是影子模式的,里面的运单号、批次和退款都是假设的,不能当正式的用:"
                "请加 --shadow(如 `orderloom up --shadow`),正式使用请换一个数据库或状态目录。"
            )
            self.english = (
                "This database is a shadow: its waybills, batches and refunds are assumed, so it cannot be used live. "
                "Add --shadow (`orderloom up --shadow`), or use another database or state directory."
            )
        else:
            super().__init__(
                "这个数据库里是正式的订单,不能用影子模式打开:请去掉 --shadow,"
                "或让影子模式用自己的数据库(默认就是,不要把 DATABASE_URL 指到正式的 …_shadow 上)。"
            )
            self.english = (
                "This database holds live orders and cannot be opened in shadow: leave --shadow out, or let the "
                "shadow use a database of its own (it does by default)."
            )


def is_shadow_book(session: Session) -> bool:
    """Whether this book is kept in shadow."""
    return session.get(ShadowBook, 1) is not None


def open_book_as(session: Session, shadow: bool, now: datetime) -> None:
    """The book is about to be worked on, in shadow or live. A book without orders becomes a shadow; raises `BookMixed`.

    Once a shadow, always a shadow.
    """
    known = is_shadow_book(session)
    if shadow and not known and session.exec(select(Order.id).limit(1)).first() is None:
        session.add(ShadowBook(since=now))
        session.flush()
    elif shadow != known:
        raise BookMixed(known)


def shipped_by_people(session: Session, order_id: int, now: datetime) -> bool:
    """In shadow: the channel says that people have shipped this order. True: dealt with, there is nothing to hold.

    False on a live book, where somebody else's parcel needs a look. The moment is the channel's own. What would have
    been shipped by us is over then; else it goes on on paper, so that it is known by how much we would be later.
    """
    if not settings().shadow:
        return False
    order = lock_order(session, order_id)
    if people_shipped_at(session, order_id) is None:
        at = order.platform_updated_at
        note(
            session, order_id, EventKind.SHIPPED_BY_PEOPLE, f"platform:{order.channel}", now, shipped_at=at.isoformat()
        )
        session.flush()
    for part in fulfilments_of(session, order_id):
        if part.stage in (Stage.SHIPPED.value, Stage.DELIVERED.value):
            _over(session, part, now)
    return True


def people_shipped_at(session: Session, order_id: int) -> datetime | None:
    """When people shipped the order, by the channel's clock; None while they have not."""
    statement = select(OrderEvent).where(
        OrderEvent.order_id == order_id, OrderEvent.kind == EventKind.SHIPPED_BY_PEOPLE.value
    )
    told = session.exec(statement).first()
    return None if told is None else datetime.fromisoformat(told.detail["shipped_at"])


def _over(session: Session, part: Fulfilment, now: datetime) -> None:
    """Both have shipped: there is nothing more to compare. Whoever works on it loses the claim."""
    part.stage, part.stage_since, part.fence = Stage.CLOSED.value, now, part.fence + 1
    part.waiting_on, part.waiting_why, part.ready_at = None, "", None
    part.claimed_by, part.claim_until = None, None
    session.add(part)
    for kind in (EventKind.DELIVERED, EventKind.CLOSED):
        note(session, part.order_id, kind, ACTOR, now, part.id)


def keep_pushes(
    session: Session, channel: str, shop: str, changes: Mapping[str, tuple[int, int]], now: datetime
) -> None:
    """Keep what a channel would have been shown: by SKU (seen, shown). The same change again is the same row."""
    session.connection().execute(
        text(
            "INSERT INTO shadow_push (at, channel, shop, sku, seen, shown)"
            " SELECT :now, :channel, :shop, sku, seen, shown"
            " FROM unnest(CAST(:skus AS text[]), CAST(:seen AS bigint[]), CAST(:shown AS bigint[]))"
            " AS change (sku, seen, shown) ON CONFLICT ON CONSTRAINT one_row_per_change DO NOTHING"
        ),
        {
            "now": now,
            "channel": channel,
            "shop": shop,
            "skus": list(changes),
            "seen": [seen for seen, _ in changes.values()],
            "shown": [shown for _, shown in changes.values()],
        },
    )
