"""Steps of intake: read one channel's window into the order book, batch by batch, and prove that nothing was missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session

from integrations.channels import Census, Channel, HasHorizon, Horizon
from integrations.errors import PlatformError
from models import faults, validation, window
from models.book import NothingEntered, Taken, take_orders
from models.database import in_transaction, utcnow
from models.intake import Incoming
from models.settings import settings
from models.unforeseen import in_short
from models.validation import Source
from models.window import PullWindow, Why, WindowState
from tasks.fetching import fetch_orders, in_book
from tasks.gate import Gate, SuiteBroken
from tasks.outside import platforms
from tasks.step import outward

#: How far back a shop is read the first time.
FIRST_WINDOW = timedelta(days=2)
#: Orders that are judged together: judging costs about the same however many they are.
BATCH = 2_000
#: Orders that are committed together: locks are held for a moment only.
PAGE = 500
#: Missing orders that are fetched by id in one reading; the next reading of the window goes on with the rest.
MOST_FETCHES = 1_000
#: How long readings without a gap and the verdicts on their batches are kept: hundreds a day, of every channel.
KEPT = timedelta(days=90)

WORDS = {
    Taken.NEW: "新单",
    Taken.CHANGED: "变更",
    Taken.KNOWN: "已有",
    Taken.OVER: "已了结",
    Taken.QUARANTINED: "隔离",
}


@dataclass
class Pulled:
    """What reading one window of a channel came to. `told` is the platform's count, `held` how many of them we have."""

    channel: str
    since: datetime
    until: datetime
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""
    why: Why = Why.PULL
    told: int | None = None
    held: int = 0
    fetched: int = 0
    missing: tuple[str, ...] = ()
    judged: bool = True
    unseen: str = ""  # what of the window the platform does not show us
    busy: bool = False  # another run is reading this channel: nothing was done

    @property
    def sentence(self) -> str:
        """One line for the operator."""
        if self.busy:
            return f"{self.channel} 正由另一个运行在读"
        if self.error:
            return f"{self.channel} 没有拉成:{self.error}"
        told = "、".join(f"{WORDS[Taken(name)]} {count}" for name, count in self.counts.items() if count)
        lacking = f",还缺 {max(len(self.missing), self.gap)} 单,稍后再拉" if self.gap or self.missing else ""
        unseen = f"({self.unseen})" if self.unseen else ""
        return f"{self.channel} {told or '没有新变化'}{lacking}{unseen}"

    @property
    def gap(self) -> int:
        """How many orders the platform counts more than we have."""
        return max(0, (self.told or 0) - self.held)


def connected_channels() -> list[str]:
    """The channels that are set up."""
    return sorted(platforms().channels)


def not_connected(wanted: Sequence[str]) -> str:
    """Which of these channels are not set up, in a sentence that names those that are; empty when all are."""
    connected = connected_channels()
    unknown = "、".join(sorted(set(wanted) - set(connected)))
    if not unknown:
        return ""
    return f"没有接好渠道 {unknown[:200]}。可选:{'、'.join(connected) or '(还没有接好任何渠道)'}。"


@outward("查看能读到多早的订单")
async def horizon_of(name: str, since: datetime) -> Horizon | None:
    """What a channel does not show us of the time from `since` on; None: everything, or it does not answer now."""
    try:
        return await _horizon(platforms().channel(name), since)
    except PlatformError:
        return None  # who reads it hears so


@outward("拉取渠道订单")
async def pull_channel(
    name: str,
    since: datetime | None = None,
    until: datetime | None = None,
    why: Why = Why.PULL,
    judged: bool = True,
) -> Pulled:
    """Read a channel's next window into the book and prove it; or the window that is given, for another reason.

    Twice, or twice at once: every order once, the mark only forward. A channel that fails keeps its mark and says
    why; what was read before stays, and is read again next time. Not `judged`, only the row rules are asked, which
    costs no great-expectations. Never raises.
    """
    channel = platforms().channel(name)
    overlap = timedelta(minutes=settings().policy.pull_overlap_minutes)

    def begin(session: Session) -> PullWindow:
        now = utcnow()
        next_since, next_until = window.next_window(session, name, channel.shop, now, overlap, FIRST_WINDOW)
        return window.begin(session, name, channel.shop, since or next_since, until or next_until, why, now)

    return await _read_and_prove(channel, await in_transaction(begin), judged)


@outward("补拉缺口")
async def pull_again(name: str, window_id: int) -> Pulled:
    """Read a window that had something missing once more. Twice: the same orders, known by then."""
    channel = platforms().channel(name)
    row = await in_transaction(lambda session: session.get_one(PullWindow, window_id))
    return await _read_and_prove(channel, row)


@outward("复查渠道订单")
async def look_again(name: str) -> Pulled | None:
    """Read what was pulled an hour ago once more, for orders that the platform indexed late. None: nothing is due."""
    channel, minutes = platforms().channel(name), settings().policy.second_look_minutes
    if not minutes:
        return None
    after = timedelta(minutes=minutes)
    due = await in_transaction(lambda session: window.second_look(session, name, channel.shop, utcnow(), after))
    if due is None:
        return None
    pulled: Pulled = await pull_channel.fn(name, *due, why=Why.SECOND_LOOK)
    if not pulled.error:
        await in_transaction(lambda session: window.looked_again(session, name, channel.shop, due[1], utcnow()))
    return pulled


async def gaps_of(name: str) -> list[int]:
    """Windows of a channel with something missing that are due to be pulled again."""
    channel = platforms().channel(name)
    rows = await in_transaction(lambda session: window.due_gaps(session, name, channel.shop, utcnow()))
    return [row.id for row in rows if row.id is not None]


async def forget_old_readings() -> int:
    """Delete readings without a gap, and verdicts, of three months ago and before; how many."""

    def work(session: Session) -> int:
        before = utcnow() - KEPT
        return validation.forget(session, before) + window.forget(session, before)

    return await in_transaction(work)


async def _read_and_prove(channel: Channel, row: PullWindow, judged: bool = True) -> Pulled:
    assert row.id is not None
    id, pulled = row.id, Pulled(channel.name, row.since, row.until, why=Why(row.why), judged=judged)
    try:
        horizon = await _horizon(channel, row.since)
        pulled.unseen = horizon.sentence if horizon else ""
        read = await _read(channel, id, pulled)
        census = await _prove(channel, row, read, pulled)
        pulled.told, pulled.held = census.count, len(census.ids) - len(pulled.missing)
        await in_transaction(lambda session: _end(session, channel, id, pulled))
    except Exception as error:  # also one that nobody foresaw: it must not stop the other channels
        said = isinstance(error, PlatformError | SuiteBroken | NothingEntered)
        pulled.error = str(error) if said else in_short(error)
        await in_transaction(lambda session: _fail(session, channel, id, pulled))
    return pulled


async def _horizon(channel: Channel, since: datetime) -> Horizon | None:
    return await channel.horizon(since, utcnow()) if isinstance(channel, HasHorizon) else None


async def _read(channel: Channel, window_id: int, pulled: Pulled) -> set[str]:
    """Read the window, batch by batch; the ids that were read."""
    read: set[str] = set()
    gate = _gate(channel, window_id, pulled)
    async for batch in _batches(channel.orders_updated(pulled.since, pulled.until)):
        faults.point("page_read")
        await _take(gate, batch, pulled)
        faults.point("page_taken")
        read.update(order.channel_order_id for order in batch)
    if not read:
        await gate.judge([])
    return read


def _gate(channel: Channel, window_id: int, pulled: Pulled) -> Gate:
    source = Source.BACKFILL if pulled.why is Why.BACKFILL else Source.PULL
    return Gate(channel.name, channel.shop, source, window_id, judges=pulled.judged)


async def _batches(pages: AsyncIterator[list[Incoming]]) -> AsyncIterator[list[Incoming]]:
    """Pages gathered into batches. What was gathered before a page fails comes out before the error does."""
    batch: list[Incoming] = []
    try:
        async for page in pages:
            batch += page
            if len(batch) >= BATCH:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


async def _take(gate: Gate, batch: Sequence[Incoming], pulled: Pulled) -> None:
    """Judge a batch, then take it in, page by page. Raises `SuiteBroken` before anything of it enters."""
    await gate.judge(batch)
    for start in range(0, len(batch), PAGE):
        page = batch[start : start + PAGE]
        taken = await in_transaction(lambda session, page=page: take_orders(session, page, utcnow()))  # type: ignore[misc]
        counts = Counter(pulled.counts)
        counts.update({outcome.value: count for outcome, count in taken.items()})
        pulled.counts = dict(counts)


async def _prove(channel: Channel, row: PullWindow, read: set[str], pulled: Pulled) -> Census:
    """Compare with what the platform itself lists, and fetch by id what was not read. Names what is still missing.

    What earlier readings of the window named and did not try comes first, what they tried in vain last.
    """
    census = await channel.census(pulled.since, pulled.until)
    turns = {str(id): turn for turn, id in enumerate(row.missing)}
    unread = sorted(census.ids - read, key=lambda id: (turns.get(id, len(turns)), id))
    fetched = await fetch_orders(channel, unread[:MOST_FETCHES])
    gate = _gate(channel, row.id or 0, pulled)
    for start in range(0, len(fetched), BATCH):
        await _take(gate, fetched[start : start + BATCH], pulled)
    pulled.fetched = len(fetched)
    there = {order.channel_order_id for order in fetched}
    left = unread[MOST_FETCHES:]
    if row.tries and len(row.missing) >= row.missing_count:  # all were named: the others were fetched before
        unnamed = [id for id in left if id not in turns]
        there |= await in_transaction(lambda session: in_book(session, channel, unnamed))
    pulled.missing = tuple(id for id in [*left, *unread[:MOST_FETCHES]] if id not in there)
    return census


def _end(session: Session, channel: Channel, window_id: int, pulled: Pulled) -> None:
    told, held = pulled.told or 0, pulled.held
    row = window.end(
        session, window_id, told, held, pulled.missing, pulled.fetched, pulled.counts, utcnow(), pulled.unseen
    )  # a gap does not hold the mark: it has a row of its own, and is pulled again until it is closed
    if row.why == Why.PULL.value and row.state in (WindowState.WHOLE.value, WindowState.GAP.value):
        window.mark_read(session, channel.name, channel.shop, pulled.until, pulled.counts, utcnow())


def _fail(session: Session, channel: Channel, window_id: int, pulled: Pulled) -> None:
    window.fail(session, window_id, pulled.error, utcnow())
    if pulled.why is Why.PULL:
        window.mark_failed(session, channel.name, channel.shop, pulled.error, pulled.since, utcnow())
