"""Expiry: promises that nobody acted on in time go back on the shelf, and their orders begin again.

Only an order that is not yet approved can lose its promise so: `models.reservation.keep` ends the expiry of all
others, and what is promised again beside something kept stays too. Nobody is told and nobody is woken: the order
keeps what it waits for, and reserves again when that comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from models.reservation import release
from models.stock import free_everywhere
from models.stock_check import withdraw_check
from models.timeline import EventKind, note

ACTOR = "expire-reservations"

_LOCK = text("""
SELECT id FROM fulfilment
WHERE stage IN ('received', 'reserved') AND (claim_until IS NULL OR claim_until <= :now)
  AND id IN (SELECT fulfilment_id FROM reservation WHERE state = 'held' AND expires_at <= :now)
  AND NOT EXISTS (SELECT 1 FROM reservation kept
    WHERE kept.fulfilment_id = fulfilment.id AND kept.state = 'held' AND kept.expires_at IS NULL)
ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
""")
# asked again under the lock: it may have been given back and promised afresh between the look and the lock
_EXPIRED = text("""
SELECT f.id, f.order_id, min(r.expires_at) AS expired_at
FROM fulfilment f JOIN reservation r ON r.fulfilment_id = f.id
WHERE f.id = ANY(:ids) AND f.stage IN ('received', 'reserved') AND r.state = 'held' AND r.expires_at <= :now
GROUP BY f.id ORDER BY f.id
""")
_SKUS = text("SELECT DISTINCT sku FROM reservation WHERE fulfilment_id = ANY(:ids) AND state = 'held'")
# the fence rises: whoever let a claim run out must not go on as if the goods were still promised
_BEGIN_AGAIN = text("""
UPDATE fulfilment SET stage = 'received', stage_since = :now, fence = fence + 1, claimed_by = NULL, claim_until = NULL
WHERE id = ANY(:ids)
""")


def expire_reservations(session: Session, now: datetime, limit: int = 200) -> list[int]:
    """End the promises held past their time by fulfilments not yet approved that nobody works on; whose, by id.

    All that such a fulfilment was promised is given back and its stage is `received` again; an open stock check is
    withdrawn, an open review stays. At most `limit` at a time. Safe to run at once with itself, with lanes and with
    counts: it waits for no fulfilment, and passes over those that somebody holds. Twice, it changes nothing.
    """
    session.flush()
    connection = session.connection()
    locked = [id for (id,) in connection.execute(_LOCK, {"now": now, "limit": limit})]
    expired = connection.execute(_EXPIRED, {"ids": locked, "now": now}).all() if locked else []
    ids = [row.id for row in expired]
    if not ids:
        return []
    # all their items at once, in the order in which everybody locks: one by one they could wait in a circle
    free_everywhere(session, sorted(_held_skus(session, ids)), lock=True)
    for row in expired:
        release(session, row.id, ACTOR, now, "预留到期")
        withdraw_check(session, row.id, now)
        note(
            session, row.order_id, EventKind.RESERVATION_EXPIRED, ACTOR, now, row.id,
            expired_at=row.expired_at.isoformat(),
        )  # fmt: skip
    connection.execute(_BEGIN_AGAIN, {"ids": ids, "now": now})
    session.expire_all()
    return ids


def _held_skus(session: Session, ids: Sequence[int]) -> list[str]:
    return [sku for (sku,) in session.connection().execute(_SKUS, {"ids": list(ids)})]
