"""What each channel shows of each SKU: seen there, published by us, wanted by the pool.

The channel is the truth about `seen`; a row only remembers, so that few SKUs have to be asked for in a round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field, Session, SQLModel, col, or_, select

from models.table import big, moment, words

#: Up to this many pieces every single one counts: that is where overselling begins.
EXACT_UP_TO = 200
#: Beyond it, a number this near (percent) is left as it is: a shelf of thousands is not corrected for every order.
NEAR_PERCENT = 5

_NEVER = datetime.min.replace(tzinfo=UTC)


def _pieces() -> Any:
    """A number of pieces, null where it is not known."""
    return Field(default=None, nullable=True, sa_type=BigInteger)


#: The channels whose stock can be shown and changed; the others only bring orders.
SHELVED = ("shopify", "wechat_shop", "douyin")


class ChannelStock(SQLModel, table=True):
    """One SKU on one channel. `seen` is null when it was never looked at, or is not listed there.

    `published` is what we last told the channel; `seen` is what it showed last, by a look or by our own change.
    """

    __tablename__ = "channel_stock"
    __table_args__ = (Index("channel_stock_published", "published_at"),)

    channel: str = Field(primary_key=True)
    shop: str = Field(primary_key=True)
    sku: str = Field(primary_key=True)
    seen: int | None = _pieces()
    seen_at: datetime | None = moment(nullable=True)
    published: int | None = _pieces()
    published_at: datetime | None = moment(nullable=True)
    wanted: int = big()
    error: str = words()


def differs(seen: int, wanted: int) -> bool:
    """Whether it matters that a channel shows `seen` where the pool wants `wanted` (pieces)."""
    if min(seen, wanted) <= EXACT_UP_TO:
        return seen != wanted
    return abs(wanted - seen) * 100 > NEAR_PERCENT * max(seen, wanted)


def unreserved(session: Session) -> dict[str, int]:
    """By SKU: pieces in orders that are in the book but have no reservation yet, unpaid ones included.

    Their channels have taken them off the shelf already; the pool, which counts reservations, would put them back.
    """
    rows = session.connection().execute(
        text(
            "SELECT l.sku, sum(part.quantity)::bigint AS pieces FROM fulfilment f"
            " JOIN fulfilment_line part ON part.fulfilment_id = f.id JOIN order_line l ON l.id = part.order_line_id"
            " WHERE f.ready_at IS NOT NULL AND f.stage = 'received' GROUP BY l.sku"
        )
    )
    return {row.sku: row.pieces for row in rows}


def want(session: Session, channel: str, shop: str, wanted: Mapping[str, int]) -> None:
    """Remember what the pool wants this channel to show. Only rows that change are written."""
    session.connection().execute(
        text(
            "INSERT INTO channel_stock (channel, shop, sku, wanted, error)"
            " SELECT :channel, :shop, sku, wanted, '' FROM unnest(CAST(:skus AS text[]), CAST(:wanted AS bigint[]))"
            " AS pool (sku, wanted) ORDER BY sku"
            " ON CONFLICT (channel, shop, sku) DO UPDATE SET wanted = EXCLUDED.wanted"
            " WHERE channel_stock.wanted <> EXCLUDED.wanted"
        ),
        {"channel": channel, "shop": shop, "skus": list(wanted), "wanted": list(wanted.values())},
    )


def to_look_at(session: Session, channel: str, shop: str, skus: Iterable[str], most: int) -> list[str]:
    """Which of these SKUs to ask the channel for now, `most` at once.

    First those that we know to differ or could not change, then those that we have never seen; then, in turns, the
    longest unseen: the seller may have changed a number by hand, or listed a SKU that was not there.
    """
    among = set(skus)
    rows = [row for row in of_channel(session, channel, shop) if row.sku in among]
    rows.sort(key=lambda row: (_turn(row), row.seen_at or _NEVER, row.sku))
    return [row.sku for row in rows[:most]]


def _turn(row: ChannelStock) -> int:
    """0: known to differ, or could not be changed; 1: never seen; 2: as it should be when it was last seen."""
    if row.error or (row.seen is not None and differs(row.seen, row.wanted)):
        return 0
    return 1 if row.seen_at is None else 2


def note_seen(session: Session, channel: str, shop: str, seen: Mapping[str, int | None], now: datetime) -> None:
    """The channel was asked for these SKUs: what it shows, None for what it does not list."""
    _update(session, "seen = news.pieces, seen_at = :now, error = ''", channel, shop, seen, now)


def note_published(session: Session, channel: str, shop: str, shown: Mapping[str, int], now: datetime) -> None:
    """The channel took these numbers."""
    changes = "seen = news.pieces, seen_at = :now, published = news.pieces, published_at = :now, error = ''"
    _update(session, changes, channel, shop, shown, now)


def note_errors(session: Session, channel: str, shop: str, errors: Mapping[str, str]) -> None:
    """These SKUs could not be changed: why, until they are looked at again."""
    session.connection().execute(
        text(
            "UPDATE channel_stock SET error = news.error FROM"
            " unnest(CAST(:skus AS text[]), CAST(:errors AS text[])) AS news (sku, error)"
            " WHERE channel = :channel AND shop = :shop AND channel_stock.sku = news.sku"
        ),
        {
            "channel": channel,
            "shop": shop,
            "skus": list(errors),
            "errors": [why[:1000] for why in errors.values()],
        },
    )


def of_channel(session: Session, channel: str, shop: str) -> list[ChannelStock]:
    """Every SKU that was ever wanted on this channel, as it is in the database now."""
    statement = select(ChannelStock).where(ChannelStock.channel == channel, ChannelStock.shop == shop)
    return list(session.exec(statement.order_by(ChannelStock.sku).execution_options(populate_existing=True)))


def changed(session: Session, since: datetime) -> list[ChannelStock]:
    """What was published at or after `since`, or could not be: by channel and SKU."""
    statement = select(ChannelStock).where(or_(col(ChannelStock.published_at) >= since, ChannelStock.error != ""))
    return list(session.exec(statement.order_by(ChannelStock.channel, ChannelStock.shop, ChannelStock.sku)))


def _update(
    session: Session, changes: str, channel: str, shop: str, pieces: Mapping[str, int | None], now: datetime
) -> None:
    session.connection().execute(
        text(
            f"UPDATE channel_stock SET {changes} FROM"
            " unnest(CAST(:skus AS text[]), CAST(:pieces AS bigint[])) AS news (sku, pieces)"
            " WHERE channel = :channel AND shop = :shop AND channel_stock.sku = news.sku"
        ),
        {"channel": channel, "shop": shop, "skus": list(pieces), "pieces": list(pieces.values()), "now": now},
    )
