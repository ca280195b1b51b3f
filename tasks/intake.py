"""Steps of intake: read one channel's window, page by page, into the order book."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session

from integrations.channels import Channel
from integrations.errors import PlatformError
from models import faults
from models.book import Taken, take_orders
from models.database import in_transaction, utcnow
from models.settings import settings
from models.window import mark_failed, mark_read, next_window
from tasks.outside import platforms
from tasks.step import outward

#: How far back a shop is read the first time.
FIRST_WINDOW = timedelta(days=2)


@dataclass
class Pulled:
    """What pulling one channel came to."""

    channel: str
    since: datetime
    until: datetime
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""

    @property
    def sentence(self) -> str:
        """One line for the operator."""
        if self.error:
            return f"{self.channel} 没有拉成:{self.error}"
        told = "、".join(f"{WORDS[Taken(name)]} {count}" for name, count in self.counts.items() if count)
        return f"{self.channel} {told or '没有新变化'}"


WORDS = {
    Taken.NEW: "新单",
    Taken.CHANGED: "变更",
    Taken.KNOWN: "已有",
    Taken.OVER: "已了结",
    Taken.QUARANTINED: "隔离",
}


def connected_channels() -> list[str]:
    """The channels that are set up."""
    return sorted(platforms().channels)


@outward("拉取渠道订单")
async def pull_channel(name: str, since: datetime | None = None, until: datetime | None = None) -> Pulled:
    """Read a channel's next window into the book. Twice, or twice at once: every order once, the mark only forward.

    A channel that fails keeps its mark and says why; what was read before stays, and is read again next time.
    """
    channel = platforms().channel(name)
    now = utcnow()
    overlap = timedelta(minutes=settings().policy.pull_overlap_minutes)
    window = await in_transaction(lambda session: next_window(session, name, channel.shop, now, overlap, FIRST_WINDOW))
    pulled = Pulled(name, since or window[0], until or window[1])
    try:
        pulled.counts = await _read(channel, pulled)
    except Exception as error:  # also one that nobody foresaw: it must not stop the other channels
        pulled.error = str(error) if isinstance(error, PlatformError) else f"{type(error).__name__}: {error}"
        await in_transaction(
            lambda session: mark_failed(session, name, channel.shop, pulled.error, pulled.since, utcnow())
        )
    return pulled


async def _read(channel: Channel, pulled: Pulled) -> dict[str, int]:
    counts: Counter[str] = Counter()
    async for page in channel.orders_updated(pulled.since, pulled.until):
        faults.point("page_read")
        taken = await in_transaction(lambda session, page=page: take_orders(session, page, utcnow()))  # type: ignore[misc]
        faults.point("page_taken")
        counts.update({outcome.value: count for outcome, count in taken.items()})

    def mark(session: Session) -> None:
        mark_read(session, channel.name, channel.shop, pulled.until, dict(counts), utcnow())

    await in_transaction(mark)
    return dict(counts)
