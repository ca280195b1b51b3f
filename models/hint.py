"""Hints: what platforms pushed to us, kept before they are answered, and heard by fetching the order again.

A hint is never believed beyond "look at this order": late, repeated and out-of-order ones change nothing that the
order itself does not say.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Session, SQLModel

from models.privacy import seal
from models.table import key, moment, sealed, words

#: The channel that whoever hears hints listens on.
NOTIFY_CHANNEL = "hint_kept"
#: After so many failures a hint is left to the next pull, which proves that nothing was missed.
MOST_ATTEMPTS = 12
LONGEST_WAIT = timedelta(minutes=15)


class HintState(StrEnum):
    """What became of a hint."""

    KEPT = "kept"
    HEARD = "heard"
    GIVEN_UP = "given_up"


class Hint(SQLModel, table=True):
    """One delivery of a platform; `outcome` is what fetching the order came to.

    `body` is the SHA-256 of what was received, 32 bytes, and behind it, until it is heard, what was received, sealed
    (Base64 inside): nobody needs the personal data in it any more, and the digest still says what came.
    """

    __tablename__ = "hint"
    __table_args__ = (
        UniqueConstraint("channel", "shop", "delivery_id", name="one_hint_per_delivery"),
        Index("hint_waiting", "ready_at", postgresql_where=text("state = 'kept'")),
        Index("hint_received", "received_at"),
    )

    id: int | None = key()
    channel: str
    shop: str
    delivery_id: str
    event_id: str = ""
    topic: str
    channel_order_id: str = ""
    received_at: datetime = moment()
    body: bytes = sealed()
    state: str = HintState.KEPT.value
    outcome: str = words()
    attempts: int = 0
    ready_at: datetime = moment()
    heard_at: datetime | None = moment(nullable=True)


@dataclass(frozen=True)
class Pushed:
    """One thing that a platform pushed to us, verified: a hint to read an order again, never the truth itself."""

    delivery_id: str  # the platform's id of this delivery, the same when it is repeated
    topic: str
    channel_order_id: str  # empty: it names no order
    event_id: str = ""  # what several deliveries of one action share


@dataclass(frozen=True)
class Errand:
    """An order to fetch again, with the hints that asked for it."""

    channel: str
    shop: str
    channel_order_id: str
    hints: tuple[int, ...]


_KEEP = text("""
WITH fresh AS (
  INSERT INTO hint (channel, shop, delivery_id, event_id, topic, channel_order_id, received_at, body, state, outcome,
    attempts, ready_at)
  SELECT :channel, :shop, delivery_id, event_id, topic, channel_order_id, :now,
    CASE channel_order_id WHEN '' THEN substring(CAST(:body AS bytea) FROM 1 FOR 32) ELSE :body END,
    CASE channel_order_id WHEN '' THEN 'heard' ELSE 'kept' END,
    CASE channel_order_id WHEN '' THEN 'names no order' ELSE '' END, 0, :now
  FROM unnest(CAST(:delivery_ids AS text[]), CAST(:event_ids AS text[]), CAST(:topics AS text[]),
    CAST(:order_ids AS text[])) AS pushed (delivery_id, event_id, topic, channel_order_id)
  ON CONFLICT ON CONSTRAINT one_hint_per_delivery DO NOTHING
  RETURNING id)
SELECT count(*), CASE WHEN count(*) > 0 THEN pg_notify(:bell, '') END FROM fresh
""")


def keep(session: Session, channel: str, shop: str, pushed: Sequence[Pushed], body: bytes, now: datetime) -> int:
    """Keep what was pushed in one body, sealed, and ring; how many of it are new. A repeat is none.

    One statement: a platform waits for it.
    """
    if not pushed:
        return 0
    values = {
        "channel": channel,
        "shop": shop,
        "delivery_ids": [push.delivery_id for push in pushed],
        "event_ids": [push.event_id for push in pushed],
        "topics": [push.topic for push in pushed],
        "order_ids": [push.channel_order_id for push in pushed],
        "body": hashlib.sha256(body).digest() + seal(base64.b64encode(body).decode()),
        "now": now,
        "bell": NOTIFY_CHANNEL,
    }
    return int(session.connection().execute(_KEEP, values).scalar_one())


_CLAIM = text("""
WITH picked AS MATERIALIZED (
  SELECT id FROM hint WHERE state = 'kept' AND ready_at <= :now ORDER BY ready_at, id LIMIT :limit
  FOR UPDATE SKIP LOCKED)
UPDATE hint h SET ready_at = CAST(:now AS timestamptz) + make_interval(secs => :seconds), attempts = attempts + 1
FROM picked WHERE h.id = picked.id
RETURNING h.channel, h.shop, h.channel_order_id, h.id
""")


def claim_errands(session: Session, limit: int, seconds: float, now: datetime) -> list[Errand]:
    """Take up to `limit` hints for `seconds`, as one errand for each order. Who dies with them: they come again."""
    asked: dict[tuple[str, str, str], list[int]] = {}
    for channel, shop, order_id, id in session.connection().execute(
        _CLAIM, {"now": now, "limit": limit, "seconds": seconds}
    ):
        asked.setdefault((channel, shop, order_id), []).append(id)
    return [Errand(*name, tuple(sorted(ids))) for name, ids in sorted(asked.items())]


def heard(session: Session, hints: Sequence[int], outcome: str, now: datetime) -> None:
    """The orders that these hints asked for were fetched, and taken in: of what was received only the digest stays."""
    session.connection().execute(
        text(
            "UPDATE hint SET state = 'heard', outcome = :outcome, heard_at = :now,"
            " body = substring(body FROM 1 FOR 32) WHERE id = ANY(:ids)"
        ),
        {"outcome": outcome[:300], "now": now, "ids": list(hints)},
    )


def put_off(session: Session, hints: Sequence[int], why: str, now: datetime, wait: timedelta) -> None:
    """Fetching failed: again after `wait`, longer with each attempt; after many, the next pull has to do."""
    session.connection().execute(
        text(
            "UPDATE hint SET outcome = :why, state = CASE WHEN attempts >= :most THEN 'given_up' ELSE 'kept' END,"
            " body = CASE WHEN attempts >= :most THEN substring(body FROM 1 FOR 32) ELSE body END,"
            " ready_at = CAST(:now AS timestamptz)"
            " + LEAST(CAST(:wait AS interval) * power(2, LEAST(attempts, 10)), CAST(:longest AS interval))"
            " WHERE id = ANY(:ids) AND state = 'kept'"
        ),
        {
            "why": why[:300],
            "most": MOST_ATTEMPTS,
            "now": now,
            "wait": wait,
            "longest": LONGEST_WAIT,
            "ids": list(hints),
        },
    )


def next_hint_in(session: Session, now: datetime) -> float | None:
    """Seconds until the next hint is due; 0 if one is; None without any."""
    at = session.connection().execute(text("SELECT min(ready_at) FROM hint WHERE state = 'kept'")).scalar()
    return None if at is None else max(0.0, (at - now).total_seconds())


def forget(session: Session, before: datetime) -> int:
    """Delete hints received before a moment that are over with; how many."""
    statement = text("DELETE FROM hint WHERE received_at < :before AND state <> 'kept'")
    return session.connection().execute(statement, {"before": before}).rowcount
