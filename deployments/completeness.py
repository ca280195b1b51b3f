"""Whether every order that was placed on the demo's platforms is in the book: their own list against our rows.

The platforms here are the sandbox's, which can be asked for every order they ever took. What is neither in the book
nor in quarantine is missing; and the windows' rows have to say the same, read past the newest order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table
from sqlalchemy import text
from sqlmodel import Session

from deployments.language import in_english, tell
from models.window import OPEN
from models.wording import CHANNEL_WORDS, say

#: Missing orders that are named; more are only counted.
MOST_NAMED = 20


@dataclass(frozen=True)
class Listed:
    """One channel's orders as the platform lists them, by id; `over` are those that ended there."""

    open: frozenset[str]
    over: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """How many were placed."""
        return len(self.open) + len(self.over)


@dataclass(frozen=True)
class ShopProof:
    """One channel. `placed` is the platform's own count; `missing` are orders of it that are nowhere with us.

    `windows` counts the readings that were compared with the platform, `lacking` what open ones of them lack;
    `read_past` is whether the newest order we have was placed before the moment up to which the shop is read.
    """

    channel: str
    placed: int
    held: int
    quarantined: int
    missing: tuple[str, ...]
    windows: int
    lacking: int
    read_past: bool

    @property
    def proven(self) -> bool:
        """Nothing is missing, and the windows say so too."""
        return not self.missing and not self.lacking and self.read_past


_NAMES = text("""
SELECT channel, channel_order_id, FALSE AS aside FROM orders WHERE channel = ANY(:channels)
UNION SELECT channel, channel_order_id, TRUE FROM quarantine WHERE resolved_at IS NULL AND channel = ANY(:channels)
""")
_READ = text("""
SELECT m.channel, m.until >= COALESCE(max(o.placed_at), m.until) AS past FROM pull_mark m
LEFT JOIN orders o ON o.channel = m.channel AND o.shop = m.shop GROUP BY m.channel, m.shop, m.until
""")
_WINDOWS = text("""
SELECT channel, count(*) FILTER (WHERE told IS NOT NULL) AS compared,
  COALESCE(sum(missing_count) FILTER (WHERE state = ANY(:open)), 0) AS lacking
FROM pull_window GROUP BY channel
""")


def prove(session: Session, listed: Mapping[str, Listed]) -> list[ShopProof]:
    """Compare what the platforms list with the book, channel by channel.

    An order that ended on its platform before we ever saw it does not enter the book, and is not missing.
    """
    held: dict[str, set[str]] = {channel: set() for channel in listed}
    aside: dict[str, set[str]] = {channel: set() for channel in listed}
    for row in session.connection().execute(_NAMES, {"channels": list(listed)}):
        (aside if row.aside else held)[row.channel].add(row.channel_order_id)
    past = {row.channel: row.past for row in session.connection().execute(_READ)}
    windows = {row.channel: row for row in session.connection().execute(_WINDOWS, {"open": list(OPEN)})}
    return [
        ShopProof(
            channel=channel,
            placed=there.count,
            held=len(held[channel]),
            quarantined=len(aside[channel] - held[channel]),
            missing=tuple(sorted(there.open - held[channel] - aside[channel])),
            windows=windows[channel].compared if channel in windows else 0,
            lacking=int(windows[channel].lacking) if channel in windows else 0,
            read_past=past.get(channel, False),
        )
        for channel, there in listed.items()
    ]


def proof_table(shops: Sequence[ShopProof]) -> Table:
    """The same for people: per channel the platform's count, ours, what is set aside, and the difference."""
    title = tell("渠道订单核对", "Is every order here?")
    table = Table(title=title, title_justify="left", box=None, padding=(0, 3, 0, 0))
    table.add_column(tell("渠道", "channel"))
    for name in (
        tell("平台计数", "platform"),
        tell("我们的订单", "ours"),
        tell("隔离", "set aside"),
        tell("差", "missing"),
        tell("核对过的窗口", "windows proved"),
    ):
        table.add_column(name, justify="right")
    for shop in shops:
        name = say(CHANNEL_WORDS, shop.channel, "en" if in_english() else "zh")
        figures = (shop.placed, shop.held, shop.quarantined, len(shop.missing), shop.windows)
        colour = "green" if shop.proven else "yellow"
        table.add_row(name, *map(str, figures), style=colour)
    return table


def as_document(shops: Sequence[ShopProof]) -> dict[str, Any]:
    """The same for the summary's JSON."""
    return {
        shop.channel: {
            "platform": shop.placed,
            "ours": shop.held,
            "quarantined": shop.quarantined,
            "missing": len(shop.missing),
            "missing_orders": list(shop.missing[:MOST_NAMED]),
            "windows": shop.windows,
            "lacking": shop.lacking,
            "proven": shop.proven,
        }
        for shop in shops
    }


_WAITED = text("""
SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY EXTRACT(epoch FROM received_at - placed_at)) AS waited,
  count(*) AS orders FROM orders WHERE id > :last AND placed_at >= :since
""")


def seconds_to_book(session: Session, last_order_id: int, since: datetime) -> dict[str, float] | None:
    """Median and 95th percentile of seconds from placed to in the book, of orders placed since; None without any.

    Platforms tell when an order was placed in whole seconds: up to one second of it is theirs.
    """
    row = session.connection().execute(_WAITED, {"last": last_order_id, "since": since}).one()
    if not row.orders:
        return None
    p50, p95 = (round(float(seconds), 1) for seconds in row.waited)
    return {"orders": row.orders, "p50": p50, "p95": p95}
