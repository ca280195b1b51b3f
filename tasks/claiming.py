"""How a lane gets its work: claims, wake-ups, heartbeats. One `Shift` is one flow run of the lane.

The lane sleeps until a NOTIFY, the next due time, or a few seconds, whichever comes first. What it holds is
renewed with every heartbeat; a lane that was declared dead learns it there and stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from prefect.logging import get_run_logger
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from models import lane as lanes
from models.database import in_transaction, utcnow
from models.fulfilment import NOTIFY_CHANNEL, Claim, claim_ready, next_ready_in, renew
from models.lane import Lane
from models.settings import settings
from tasks.doorbell import Doorbell, first_of

#: Seconds between heartbeats of a lane.
HEARTBEAT = 5.0


class LaneLost(Exception):
    """This lane was declared dead (it was silent too long): it must not go on under its name."""


@dataclass
class LaneProcess:
    """What the shifts of one lane process share: its name, its places, and who is in them."""

    name: str
    concurrency: int
    in_flight: dict[int, Claim] = field(default_factory=dict)
    carried: int = 0
    row: Lane | None = None
    free: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    claiming: asyncio.Lock = field(default_factory=asyncio.Lock)  # two shifts must not fill the same places

    @property
    def places(self) -> int:
        """How many more fulfilments may be worked on now, over all shifts of this process."""
        return self.concurrency - len(self.in_flight)

    def enter(self, claim: Claim) -> None:
        """A fulfilment takes a place."""
        self.in_flight[claim.fulfilment_id] = claim

    def leave(self, claim: Claim) -> None:
        """A fulfilment gives its place back."""
        self.in_flight.pop(claim.fulfilment_id, None)
        self.carried += 1
        self.free.set()

    @property
    def drained(self) -> bool:
        """Whether this process claims no more: it was told to stop, or people want the lanes drained."""
        return self.closing.is_set() or (self.row is not None and self.row.draining)

    async def beat(self, run_id: str | None) -> Lane:
        """One heartbeat: prolong what is held, learn what people want. Raises `LaneLost`."""

        def work(session: Session) -> Lane:
            renew(session, list(self.in_flight.values()), settings().lane.claim_seconds)
            return lanes.beat(session, self.name, len(self.in_flight), self.carried, run_id, utcnow())

        self.row = await in_transaction(work)
        if self.row.ended_at is not None:
            raise LaneLost(f"通道 {self.name} 曾被判为失联,已停止;守护进程会另起一个。")
        return self.row


_here: LaneProcess | None = None


def this_lane() -> LaneProcess:
    """The lane that this process is. Flow parameters are data, so a shift finds its process here."""
    assert _here is not None, "register_lane() comes first"
    return _here


def lane_name(kind: str = "lane") -> str:
    """A name no other lane process has or had: `lane-myhost-4711-3f9c`."""
    return f"{kind}-{socket.gethostname()[:24]}-{os.getpid()}-{os.urandom(2).hex()}"


async def register_lane(concurrency: int, kind: str = "lane") -> LaneProcess:
    """Enter this process as a lane; `this_lane()` gives it to its shifts."""
    global _here
    process = LaneProcess(lane_name(kind), concurrency)
    row = await in_transaction(
        lambda session: lanes.register(session, process.name, os.getpid(), socket.gethostname(), utcnow())
    )
    process.row = row
    _here = process
    return process


class Shift:
    """One shift of a lane: hands out claims until its time is over or somebody says drain."""

    def __init__(self, seconds: float, run_id: str | None = None) -> None:
        self.process = this_lane()
        self.until = asyncio.get_running_loop().time() + seconds
        self.run_id = run_id
        self._bell = Doorbell(NOTIFY_CHANNEL)

    @property
    def over(self) -> bool:
        """Whether this shift claims no more."""
        return self.process.drained or asyncio.get_running_loop().time() >= self.until

    async def claims(self) -> AsyncIterator[Claim]:
        """Claims, one by one, as they become ready and places become free."""
        try:
            while not self.over:
                claims = await self._claim()
                for claim in claims:
                    yield claim
                if len(claims) == 0:
                    await self._rest()
        finally:
            self._bell.hang_up()

    async def _claim(self) -> list[Claim]:
        """Claim as many as there are places; nothing while paused, or while the database is away."""
        lane = settings().lane
        try:
            self.process.free.clear()
            await self._bell.listen()
            self._bell.rang.clear()
            async with self.process.claiming:
                places = self.process.places
                if places <= 0 or (self.process.row is not None and self.process.row.paused):
                    return []
                claims = await in_transaction(
                    lambda session: claim_ready(session, self.process.name, places, lane.claim_seconds)
                )
                for claim in claims:
                    self.process.enter(claim)
            return claims
        except DBAPIError as error:
            get_run_logger().warning("数据库暂时不可用,稍后再试:%s", str(error.orig)[:200])
            self._bell.hang_up()
            await asyncio.sleep(1.0)
            return []

    async def _rest(self) -> None:
        """Sleep until the bell, a free place, the next due time, or the next scan."""
        full = self.process.places <= 0
        seconds = settings().lane.idle_scan_seconds
        if not full:
            due = await self._next_due()
            seconds = seconds if due is None else min(seconds, due + 0.01)
        seconds = max(0.05, min(seconds, self.until - asyncio.get_running_loop().time()))
        await first_of(seconds, self.process.free if full else self._bell.rang, self.process.closing)

    async def _next_due(self) -> float | None:
        try:
            return await in_transaction(next_ready_in)
        except DBAPIError:
            return None


async def keep_beating(shift: Shift) -> None:
    """Heartbeats for as long as a shift lasts, so that what it holds stays its own. Ends when cancelled."""
    while True:
        with contextlib.suppress(DBAPIError):  # the claims have time; the next beat tries again
            await shift.process.beat(shift.run_id)
        await asyncio.sleep(HEARTBEAT)
