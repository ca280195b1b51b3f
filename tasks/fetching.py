"""Orders fetched by their ids: those that a reading lacks, and one that somebody asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlmodel import Session, col, select

from integrations.channels import Channel
from integrations.errors import PlatformError, Refused
from models import quarantine
from models.intake import Incoming, IncomingOrder, Unreadable
from models.order import Order

#: Missing orders that are fetched at once.
FETCHES_AT_ONCE = 4


async def fetch_orders(channel: Channel, ids: Sequence[str]) -> list[Incoming]:
    """The orders of these ids, those that can be had now."""
    places = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def fetch(id: str) -> Incoming | None:
        async with places:
            try:
                return await fetch_order(channel, id)
            except PlatformError:
                return None  # still missing: named, and pulled again

    found = await asyncio.gather(*(fetch(id) for id in ids))
    return [order for order in found if order is not None]


async def fetch_order(channel: Channel, id: str) -> IncomingOrder | Unreadable:
    """One order as it is now; what cannot be translated comes as `Unreadable`. Raises `PlatformError`."""
    try:
        return await channel.order(id)
    except Refused as refused:
        if refused.code != "unreadable":
            raise
        return Unreadable(channel.name, channel.shop, id, refused.message, {"id": id})


def in_book(session: Session, channel: Channel, ids: Sequence[str]) -> set[str]:
    """Those of these orders that are in the book, or set aside."""
    statement = select(Order.channel_order_id).where(Order.channel == channel.name, Order.shop == channel.shop)
    entered = set(session.exec(statement.where(col(Order.channel_order_id).in_(ids))))
    aside = quarantine.among(session, [(channel.name, channel.shop, id) for id in ids])
    return entered | {id for _, _, id in aside}
