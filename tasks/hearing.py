"""Step: what platforms pushed is heard by fetching the orders that it is about, once for all hints about one order."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlmodel import Session

from integrations.channels import Channel
from integrations.errors import Later, PlatformError, Refused
from models import hint
from models.book import Taken, take_orders
from models.database import in_transaction, utcnow
from models.hint import Errand
from models.intake import Incoming
from tasks.fetching import fetch_order
from tasks.intake import WORDS
from tasks.outside import platforms
from tasks.step import outward

#: Hints taken at once, and for how many seconds: who dies with them leaves them to the next.
MOST_HINTS = 200
LEASE = 180.0
#: Orders fetched at once of one channel.
AT_ONCE = 6
#: How long a hint waits after a failure, at first.
WAIT = timedelta(seconds=5)
#: How long what was heard is kept, to recognise repeats and to look things up.
KEPT = timedelta(days=14)


@dataclass
class Heard:
    """What hearing a batch of hints came to. `put_off` are orders that could not be fetched now."""

    hints: int = 0
    orders: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    put_off: dict[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """One line for the operator."""
        told = "、".join(f"{WORDS[Taken(name)]} {count}" for name, count in self.counts.items() if count)
        later = f";{len(self.put_off)} 单暂时取不到:{next(iter(self.put_off.values()))}" if self.put_off else ""
        return f"{self.hints} 条消息,{self.orders} 个订单:{told or '没有变化'}{later}"


@outward("听取平台消息")
async def hear() -> Heard:
    """Fetch the orders that waiting hints are about, and take them in. Twice, or at once: every order once."""
    errands = await in_transaction(lambda session: hint.claim_errands(session, MOST_HINTS, LEASE, utcnow()))
    heard = Heard(sum(len(errand.hints) for errand in errands), len(errands))
    by_channel: dict[str, list[Errand]] = defaultdict(list)
    for errand in errands:
        by_channel[errand.channel].append(errand)
    await asyncio.gather(*(_hear_channel(name, asked, heard) for name, asked in by_channel.items()))
    return heard


async def _hear_channel(name: str, errands: Sequence[Errand], heard: Heard) -> None:
    channel = platforms().channels.get(name)
    if channel is None:
        for errand in errands:
            await _put_off(errand, f"渠道 {name} 还没有接好", heard)
        return
    places = asyncio.Semaphore(AT_ONCE)

    async def fetch(errand: Errand) -> tuple[Errand, Incoming] | None:
        async with places:
            return await _fetch(channel, errand, heard)

    found = [pair for pair in await asyncio.gather(*map(fetch, errands)) if pair is not None]
    if not found:
        return

    def work(session: Session) -> Counter[Taken]:
        now = utcnow()
        taken = take_orders(session, [order for _, order in found], now)
        for errand, _ in found:
            hint.heard(session, errand.hints, "fetched", now)
        return taken

    heard.counts.update({outcome.value: count for outcome, count in (await in_transaction(work)).items()})


async def _fetch(channel: Channel, errand: Errand, heard: Heard) -> tuple[Errand, Incoming] | None:
    try:
        return errand, await fetch_order(channel, errand.channel_order_id)
    except Refused as refused:
        if refused.code == "not_found":  # a hint about an order that the platform does not have is over
            why = str(refused)
            await in_transaction(lambda session: hint.heard(session, errand.hints, why, utcnow()))
            return None
        await _put_off(errand, str(refused), heard)
    except Later as later:
        await _put_off(errand, str(later), heard, timedelta(seconds=later.retry_after))
    except PlatformError as error:
        await _put_off(errand, str(error), heard)
    except Exception as error:  # what nobody foresaw must not keep the other orders
        await _put_off(errand, f"{type(error).__name__}: {error}", heard)
    return None


async def _put_off(errand: Errand, why: str, heard: Heard, wait: timedelta = WAIT) -> None:
    heard.put_off[errand.channel_order_id] = why
    await in_transaction(lambda session: hint.put_off(session, errand.hints, why, utcnow(), wait))


async def forget_old_hints() -> int:
    """Delete what was heard two weeks ago and before; how many."""
    return await in_transaction(lambda session: hint.forget(session, utcnow() - KEPT))


async def next_hint_in() -> float | None:
    """Seconds until a hint is due; None without any."""
    return await in_transaction(lambda session: hint.next_hint_in(session, utcnow()))
