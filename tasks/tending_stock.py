"""Promises that nobody acts on end; whoever waits is looked at once more, in case an arrival went unheard."""

from __future__ import annotations

from models.allocation import feed
from models.backorder import waiting_skus
from models.database import in_transaction, utcnow
from models.expiry import expire_reservations
from tasks.stock import terms


async def end_late_promises() -> int:
    """Release what was promised too long ago; how many fulfilments. Twice: they are released."""
    return len(await in_transaction(lambda session: expire_reservations(session, utcnow())))


async def feed_queue() -> int:
    """Give what is free to who waits, first paid first; to how many. Twice: what is left is given."""
    skus = await in_transaction(waiting_skus)
    return len(await in_transaction(lambda session: feed(session, skus, utcnow(), terms()))) if skus else 0
