"""Quarantine: orders that may not enter the book, with their raw payload (sealed) and every reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, col, select

from models.privacy import seal
from models.quality import Fault
from models.table import document, key, moment, sealed

#: Levels of a payload that are kept where it has more than can be written.
DEEPEST = 30


class Quarantined(SQLModel, table=True):
    """One order set aside. A later version of the same order replaces it; a good one resolves it."""

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("channel", "shop", "channel_order_id", name="one_quarantine_per_channel_order"),)

    id: int | None = key()
    channel: str
    shop: str
    channel_order_id: str
    faults: list[Any] = Field(default_factory=list, sa_type=document().sa_type, nullable=False)
    raw: bytes = sealed()
    reading: bytes = sealed()  # the order as it was read, to be corrected; empty where it could not be read at all
    first_at: datetime = moment()
    last_at: datetime = moment()
    times: int = 1
    resolved_at: datetime | None = moment(nullable=True)


def set_aside(
    session: Session,
    channel: str,
    shop: str,
    channel_order_id: str,
    faults: Sequence[Fault],
    raw: dict[str, Any],
    now: datetime,
    reading: bytes = b"",
) -> None:
    """Put an order aside with its reasons; again for the same order updates the row.

    Without an id of its own that we can keep, an order is known by what it says, so that none hides another.
    """
    payload = payload_of(raw)
    values = {
        "channel": channel,
        "shop": shop,
        "channel_order_id": kept_id(channel_order_id, raw),
        "faults": told(faults),
        "raw": seal(payload),
        "reading": reading,
        "first_at": now,
        "last_at": now,
        "times": 1,
    }
    statement = insert(Quarantined).values(**values)
    session.connection().execute(
        statement.on_conflict_do_update(
            constraint="one_quarantine_per_channel_order",
            set_={
                "faults": statement.excluded.faults,
                "raw": statement.excluded.raw,
                "reading": statement.excluded.reading,
                "last_at": now,
                "times": Quarantined.__table__.c.times + 1,  # type: ignore[attr-defined]
                "resolved_at": None,
            },
        )
    )


def payload_of(raw: dict[str, Any]) -> str:
    """The payload as it is kept (sealed): equal payloads are equal texts. What no order nests so deep is cut off."""
    try:
        return json.dumps(raw, ensure_ascii=True, default=str)
    except RecursionError:  # read with less on the stack than there is now
        return json.dumps(_cut(raw, DEEPEST), ensure_ascii=True, default=str)


def _cut(value: Any, deeper: int) -> Any:
    if isinstance(value, dict):
        return {key: _cut(item, deeper - 1) for key, item in value.items()} if deeper else "…"
    if isinstance(value, list):
        return [_cut(item, deeper - 1) for item in value] if deeper else "…"
    return value


def kept_id(channel_order_id: str, raw: dict[str, Any]) -> str:
    """The id under which an order is set aside; made from its payload where its own cannot be kept."""
    name = printable(channel_order_id)
    if name and len(name) <= 128:
        return name
    return f"{name[:100]}#{hashlib.sha256(f'{channel_order_id!r}{payload_of(raw)}'.encode()).hexdigest()[:16]}"


def told(faults: Sequence[Fault]) -> list[dict[str, str]]:
    """Faults as they are kept."""
    return [{"code": fault.code, "message": printable(fault.message)} for fault in faults]


def resolve(session: Session, channel: str, shop: str, channel_order_id: str, now: datetime) -> None:
    """A good version of this order has entered the book."""
    statement = select(Quarantined).where(
        Quarantined.channel == channel,
        Quarantined.shop == shop,
        Quarantined.channel_order_id == channel_order_id,
        Quarantined.resolved_at.is_(None),  # type: ignore[union-attr]
    )
    for row in session.exec(statement):
        row.resolved_at = now
        session.add(row)


def faults_of(session: Session, channel: str, shop: str, channel_order_id: str) -> list[str]:
    """What is wrong with an order that is set aside, in sentences; empty when it is not."""
    statement = select(Quarantined).where(
        Quarantined.channel == channel,
        Quarantined.shop == shop,
        Quarantined.channel_order_id == channel_order_id,
        Quarantined.resolved_at.is_(None),  # type: ignore[union-attr]
    )
    rows = session.exec(statement.execution_options(populate_existing=True))
    return [str(fault["message"]) for row in rows for fault in row.faults]


def among(session: Session, names: Sequence[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Those of these orders (channel, shop, channel order id) that are set aside and not resolved."""
    name = tuple_(col(Quarantined.channel), col(Quarantined.shop), col(Quarantined.channel_order_id))
    statement = select(Quarantined.channel, Quarantined.shop, Quarantined.channel_order_id)
    return set(session.exec(statement.where(name.in_(names), Quarantined.resolved_at.is_(None))))  # type: ignore[union-attr]


def waiting_list(session: Session, limit: int = 200) -> list[Quarantined]:
    """What is set aside and not resolved, newest first."""
    statement = (
        select(Quarantined)
        .where(Quarantined.resolved_at.is_(None))  # type: ignore[union-attr]
        .order_by(Quarantined.last_at.desc())  # type: ignore[attr-defined]
        .limit(limit)
    )
    return list(session.exec(statement))


def printable(text: str) -> str:
    """The text with everything that PostgreSQL or a terminal cannot take shown as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
