"""Steps of the shelves: what a channel shows as sellable is brought to what the pool wants, sale by sale safe.

The order of things is what keeps a newer sale: first look at the channel, then read its orders into the book, then
decide, then change by comparison or by difference. A sale before the look is in the book when we decide; a sale after
it makes the comparison fail, or survives the difference.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from sqlmodel import Session

from integrations.channels.shelves import Listed, Overtaken, Shelf, ShelfChange
from integrations.errors import Later, PlatformError, Refused
from integrations.platforms import NotConnected
from models import channel_stock, pool
from models.alone import alone
from models.database import in_transaction, utcnow
from models.settings import settings
from models.shadow import keep_pushes
from tasks.intake import pull_channel
from tasks.outside import platforms
from tasks.shadow import demand_same_book
from tasks.step import outward

#: SKUs that a channel is asked for in one round, and changes that are on their way to it at once.
MOST_LOOKS = 400
AT_ONCE = 8
#: How often a SKU that keeps selling is looked at again before it is left for the next round.
ATTEMPTS = 3
#: Seconds that a round waits at most when the channel asks for patience.
LONGEST_PAUSE = 5.0

KEEPS_SELLING = f"{ATTEMPTS} 次都有新的销售抢先,下一轮再改"
TWICE_LISTED = "渠道上有多个商品用同一个 SKU,分不清该改哪一个:请在渠道后台改成各不相同"


@dataclass(frozen=True)
class Change:
    """One number that was changed on a channel."""

    sku: str
    seen: int
    to: int


@dataclass
class Published:
    """What publishing to one channel came to. `left` says why, by SKU, what was not changed; `error` ended it all."""

    channel: str
    looked: int = 0
    changes: list[Change] = field(default_factory=list)
    on_paper: list[Change] = field(default_factory=list)  # in shadow mode: what would have been changed
    left: dict[str, str] = field(default_factory=dict)
    busy: bool = False
    error: str = ""

    @property
    def sentence(self) -> str:
        """One line for the operator."""
        if self.busy:
            return f"{self.channel} 正由另一个运行在发布"
        told = f"核对 {self.looked} 个 SKU,改了 {len(self.changes)} 个"
        if self.on_paper:
            told += f"(影子模式:本应改 {len(self.on_paper)} 个)"
        if self.left:
            told += f",{len(self.left)} 个留到下一轮"
        return f"{self.channel} {told}" + (f";没有做完:{self.error}" if self.error else "")


def connected_shelves() -> list[str]:
    """The channels whose stock can be changed."""
    return sorted(platforms().shelves)


@outward("发布渠道库存")
async def publish_shelf(channel_name: str) -> Published:
    """Bring what one channel shows to what the pool wants. Twice: nothing left to change. Twice at once: one works.

    Never raises: a SKU that cannot be changed now, or a channel that is down, is told and left for the next round.
    """
    published = Published(channel_name)
    try:
        async with alone(f"shelf {channel_name}") as mine:
            published.busy = not mine
            if mine:
                await _publish(platforms().shelf(channel_name), published)
    except Exception as error:  # also one that nobody foresaw: it must not stop the other channels
        published.error = _why(error)
    return published


async def _publish(shelf: Shelf, published: Published) -> None:
    wanted = await in_transaction(lambda session: _wanted(session, shelf))
    skus = await in_transaction(
        lambda session: channel_stock.to_look_at(session, shelf.name, shelf.shop, wanted, MOST_LOOKS)
    )
    published.looked = len(skus)
    for _ in range(ATTEMPTS):
        if skus:
            changes = await _decide(shelf, skus, published)
            skus = await _carry_out(shelf, changes, published)
    if skus:
        await _leave(shelf, dict.fromkeys(skus, KEEPS_SELLING), published)


def _wanted(session: Session, shelf: Shelf) -> dict[str, int]:
    """What the channel is to show now: the pool's number less what orders in the book have not reserved yet."""
    numbers = pool.published(session, shelf.name, settings().policy.default_buffer_percent)
    promised = channel_stock.unreserved(session)
    wanted = {sku: max(0, pieces - promised.get(sku, 0)) for sku, pieces in numbers.items()}
    channel_stock.want(session, shelf.name, shelf.shop, wanted)
    return wanted


async def _decide(shelf: Shelf, skus: Sequence[str], published: Published) -> list[ShelfChange]:
    """Look, read the orders if a number is to rise, and say what is to be changed.

    Without its orders a channel's numbers only fall: what looks too low may have been sold a minute ago.
    """
    listed = await shelf.listed(skus)
    times = Counter(item.sku for item in listed)
    once = [item for item in listed if times[item.sku] == 1]
    seen = dict.fromkeys(skus) | {item.sku: item.quantity for item in once}
    await in_transaction(lambda session: channel_stock.note_seen(session, shelf.name, shelf.shop, seen, utcnow()))
    wanted = await in_transaction(lambda session: _wanted(session, shelf))
    unread = ""
    if any(_rises(item, wanted) for item in once):
        # lanes publish too: no seconds of great-expectations beside their orders
        unread = (await pull_channel.fn(shelf.name, judged=False)).error
        wanted = await in_transaction(lambda session: _wanted(session, shelf))
    left = {sku: TWICE_LISTED for sku, count in times.items() if count > 1}
    if unread:
        left |= {item.sku: f"订单没有读全,先不调高:{unread}" for item in once if _rises(item, wanted)}
    await _leave(shelf, left, published)
    return [
        ShelfChange(item.sku, item.quantity, wanted[item.sku], item.handle, str(uuid4()))
        for item in once
        if item.sku in wanted and item.sku not in left and channel_stock.differs(item.quantity, wanted[item.sku])
    ]


def _rises(item: Listed, wanted: Mapping[str, int]) -> bool:
    to = wanted.get(item.sku, 0)
    return to > item.quantity and channel_stock.differs(item.quantity, to)


async def _carry_out(shelf: Shelf, changes: Sequence[ShelfChange], published: Published) -> list[str]:
    """Change what is shown, some at once; returns the SKUs that the channel has sold meanwhile.

    A batch of which nothing got through ends the round: the channel is down, and asking on helps nobody.
    """
    if changes:
        await in_transaction(demand_same_book)
    if settings().shadow:
        would = {change.sku: (change.seen, change.to) for change in changes}
        await in_transaction(lambda session: keep_pushes(session, shelf.name, shelf.shop, would, utcnow()))
        published.on_paper += [Change(change.sku, change.seen, change.to) for change in changes]
        return []
    overtaken: list[str] = []
    for start in range(0, len(changes), AT_ONCE):
        batch = changes[start : start + AT_ONCE]
        ends = await asyncio.gather(*(_show(shelf, change) for change in batch))
        done = [change for change, end in zip(batch, ends, strict=True) if end is None]
        shown = {change.sku: change.to for change in done}
        await in_transaction(
            lambda session, shown=shown: channel_stock.note_published(  # type: ignore[misc]
                session, shelf.name, shelf.shop, shown, utcnow()
            )
        )
        published.changes += [Change(change.sku, change.seen, change.to) for change in done]
        failed = {c.sku: end for c, end in zip(batch, ends, strict=True) if end and not isinstance(end, Overtaken)}
        await _leave(shelf, {sku: _why(error) for sku, error in failed.items()}, published)
        overtaken += [c.sku for c, end in zip(batch, ends, strict=True) if isinstance(end, Overtaken)]
        if len(failed) == len(batch) and not any(isinstance(error, Refused) for error in failed.values()):
            why = _why(next(iter(failed.values())))
            await _leave(shelf, {change.sku: why for change in changes[start + AT_ONCE :]}, published)
            break
        pauses = [error.retry_after for error in failed.values() if isinstance(error, Later)]
        if pauses and start + AT_ONCE < len(changes):
            await asyncio.sleep(min(max(pauses), LONGEST_PAUSE))
    return overtaken


async def _show(shelf: Shelf, change: ShelfChange) -> Exception | None:
    """What came of one change: nothing when it was made."""
    try:
        await shelf.show(change)
    except Exception as error:  # one SKU's failure is its own
        return error
    return None


async def _leave(shelf: Shelf, left: Mapping[str, str], published: Published) -> None:
    """These SKUs wait for the next round, and say why."""
    if left:
        published.left |= left
        await in_transaction(lambda session: channel_stock.note_errors(session, shelf.name, shelf.shop, left))


def _why(error: Exception) -> str:
    """An error in words; what nobody foresaw with its class."""
    told = isinstance(error, PlatformError | NotConnected)
    return str(error) if told else f"{type(error).__name__}: {error}"
