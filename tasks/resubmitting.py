"""Step: what was set aside is submitted again, after somebody has mended the cause."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sqlmodel import Session

from integrations.errors import PlatformError
from integrations.platforms import NotConnected
from models import quarantine, resubmission
from models.book import Taken, take_orders
from models.correction import thaw
from models.database import in_transaction, utcnow
from models.quarantine import Quarantined
from models.unforeseen import in_short
from tasks.fetching import fetch_order
from tasks.intake import WORDS
from tasks.outside import platforms
from tasks.step import outward


@dataclass
class Submitted:
    """What submitting came to. `still` says by channel order id what is still wrong."""

    asked: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    still: dict[str, str] = field(default_factory=dict)

    def add(self, other: Submitted) -> None:
        """What submitting further rows came to."""
        self.asked += other.asked
        self.counts += other.counts
        self.still |= other.still

    @property
    def sentence(self) -> str:
        """For the operator: counts, then the first few that still cannot enter."""
        told = "、".join(f"{WORDS[Taken(name)]} {count}" for name, count in self.counts.items() if count)
        lines = [f"{self.asked} 件:{told or '没有变化'}"]
        lines += [f"{id}:{why}" for id, why in list(self.still.items())[:20]]
        return "\n".join(lines)


@outward("重新提交隔离的订单")
async def submit_again(ids: list[int], fetch: bool, actor: str) -> Submitted:
    """Submit these rows of the quarantine again. Twice: what has entered is not there to be submitted.

    With `fetch` the order is fetched from its channel first, as after a change over there; what could not be read at
    all always is. Each is committed by itself; one that fails is told and stops no other.
    """
    submitted = Submitted(len(ids))
    for id in ids:
        row = await in_transaction(lambda session, id=id: session.get(Quarantined, id))  # type: ignore[misc]
        if row is None or row.resolved_at is not None:
            continue
        try:
            if fetch or thaw(row.reading) is None:
                await _fetch(row, submitted)
            else:
                await _as_read(id, row, actor, submitted)
        except Exception as error:  # what nobody foresaw of one
            submitted.still[row.channel_order_id] = f"没有提交成:{in_short(error)}"
    return submitted


async def _as_read(id: int, row: Quarantined, actor: str, submitted: Submitted) -> None:
    done = await in_transaction(lambda session: resubmission.resubmit(session, id, {}, actor, utcnow()))
    if done is not None and done.taken is not None:
        submitted.counts[done.taken.value] += 1
        if done.taken is Taken.QUARANTINED:
            submitted.still[row.channel_order_id] = " ".join(done.faults)


async def _fetch(row: Quarantined, submitted: Submitted) -> None:
    try:
        channel = platforms().channel(row.channel)
        order = await fetch_order(channel, row.channel_order_id)
    except (PlatformError, NotConnected) as error:
        submitted.still[row.channel_order_id] = f"从渠道取不到:{error}"
        return

    def work(session: Session) -> tuple[Taken, str]:
        ((taken, _),) = take_orders(session, [order], utcnow()).items()
        faults = quarantine.faults_of(session, row.channel, row.shop, row.channel_order_id)
        return taken, " ".join(faults)

    taken, faults = await in_transaction(work)
    submitted.counts[taken.value] += 1
    if taken is Taken.QUARANTINED:
        submitted.still[row.channel_order_id] = faults


async def waiting_with(codes: list[str], channels: list[str]) -> list[int]:
    """Ids of what is set aside with one of these faults, of these channels."""
    return await in_transaction(lambda session: resubmission.waiting_with(session, codes, channels))
