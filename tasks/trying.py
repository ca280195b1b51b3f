"""Step: rules are tried on the orders of the last days, by as many processes as there are cores."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from models.database import in_transaction, utcnow
from models.decision_table import TableBroken
from models.past_orders import Page, Past, first_page, keep_tried, page, the_past
from models.rule_version import KIND_WORDS, RuleKind, RulesRefused
from models.tryout import Rules, Trial
from models.tryout_tally import Tally

#: Orders of one page: what one process looks at before it tells what it found.
AT_ONCE = 500
#: More processes than this would only keep PostgreSQL from its other work.
MOST_PROCESSES = 8
#: Letters of one line between the processes: a page of orders, or the rules.
LONGEST_LINE = 256 * 1024 * 1024

#: Is told how many orders of how many have been looked at.
Progress = Callable[[int, int], Awaitable[None]]


class TryoutFailed(Exception):
    """The try-out could not be finished; nothing was changed. The sentence says why, and what to do."""


@dataclass(frozen=True)
class Tryout:
    """What a try-out came to. `at` is when it was done; `seconds` is how long it took in `processes` processes."""

    past: Past
    days: int
    by: str
    at: datetime
    tally: Tally
    seconds: float
    processes: int

    def summary(self) -> dict[str, Any]:
        """What is kept with the version."""
        return {
            "days": self.days,
            "orders": self.tally.orders,
            "ruled": self.tally.ruled,
            "changed": self.tally.changed,
            "broken": self.tally.broken,
            "reviewed_before": self.tally.reviewed_before,
            "reviewed_after": self.tally.reviewed_after,
            "at": self.at.isoformat(),
            "by": self.by,
            "digest": self.past.digest,
            "against": dict(self.past.against),
        }


async def no_progress(done: int, orders: int) -> None:
    """For those who only want the result."""


async def try_rules(
    kind: RuleKind, number: int, days: int, by: str, progress: Progress = no_progress, processes: int | None = None
) -> Tryout:
    """What version `number` would have decided otherwise on the orders of the last `days` days.

    Changes no order; keeps the result with the version (`rule_version.tried`). Twice: the newer result is kept. When it
    is cancelled, or fails, its processes are ended and nothing is kept. Raises `RulesRefused`, `TryoutFailed`.
    """
    began, now = time.monotonic(), utcnow()
    past = await in_transaction(lambda session: the_past(session, kind, number, days, now))
    _must_be_readable(past)
    count = processes or min(os.cpu_count() or 1, MOST_PROCESSES)
    tally = await _look_at_all(past, count, progress)
    tryout = Tryout(past, days, by, utcnow(), tally, time.monotonic() - began, count)
    if not await in_transaction(lambda session: keep_tried(session, past, tryout.summary())):
        raise RulesRefused(f"{KIND_WORDS[kind][0]}第 {number} 版在试算期间被修改,结果已作废:请再试算一次。")
    return tryout


def _must_be_readable(past: Past) -> None:
    try:
        Trial(past.rules)
    except (TableBroken, KeyError, TypeError, ValueError, AttributeError) as error:
        why = str(error) if isinstance(error, TableBroken) else f"缺少或写错了 {error}"
        name = f"{KIND_WORDS[past.kind][0]}第 {past.number} 版"
        raise RulesRefused(f"{name}读不懂:{why}。请先用 change-rules 改好再试算。没有任何改变。") from None


async def _look_at_all(past: Past, count: int, progress: Progress) -> Tally:
    """The counts over all pages, whichever process looked at them."""
    tally, pages = Tally(), _Pages(past)
    await progress(0, past.orders)

    async def work(helper: _Helper) -> None:
        while (found := await pages.next()) is not None:
            tally.add(await helper.look(found))
            await progress(min(tally.orders, past.orders), past.orders)

    async with _helpers(past.rules, count) as helpers:
        try:
            async with asyncio.TaskGroup() as group:
                for helper in helpers * 2:  # one page is read while the other is looked at, and no more than that
                    group.create_task(work(helper))
        except* (TryoutFailed, OSError) as failed:
            raise failed.exceptions[0] from None
    return tally


class _Pages:
    """The orders page by page, to whoever asks next. Each page is a transaction of its own: nothing is held open."""

    def __init__(self, past: Past) -> None:
        self._past, self._after, self._turn = past, first_page(past), asyncio.Lock()

    async def next(self) -> Page | None:
        """The next page; None when there are no more."""
        async with self._turn:
            found = await in_transaction(self._read)
            if found is not None:
                self._after = found.last
            return found

    def _read(self, session: Session) -> Page | None:
        return page(session, self._past, self._after, AT_ONCE)


class _Helper:
    """One process that looks at pages, one at a time."""

    def __init__(self, process: Process) -> None:
        self.process, self._turn = process, asyncio.Lock()

    async def begin(self, rules: Rules) -> None:
        """Give it the rules."""
        await self._tell(json.dumps({"kind": rules.kind, "bodies": _plain(rules.bodies), "past": _plain(rules.past)}))

    async def look(self, orders: Page) -> Tally:
        """What it found about a page. Raises `TryoutFailed` when the process is gone."""
        assert self.process.stdout is not None
        async with self._turn:
            await self._tell(orders.orders)
            answer = await self.process.stdout.readline()
        if not answer.endswith(b"\n"):
            raise await self._gone()
        return Tally.of(json.loads(answer))

    async def end(self) -> None:
        """End the process, whatever it is doing."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
            await self.process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise await self._gone() from None

    async def _gone(self) -> TryoutFailed:
        code = await self.process.wait()
        how = f"被信号 {-code} 终止" if code < 0 else f"以 {code} 退出"
        return TryoutFailed(f"试算的子进程意外结束({how}),没有任何改变。请再运行一次;内存不足时把最近几天改小。")


@asynccontextmanager
async def _helpers(rules: Rules, count: int) -> AsyncIterator[list[_Helper]]:
    """So many processes with these rules; when the block ends, however it does, they are gone."""
    helpers: list[_Helper] = []
    try:
        for _ in range(count):
            helpers.append(await _started())
        for helper in helpers:
            await helper.begin(rules)
        yield helpers
    finally:
        await asyncio.shield(asyncio.gather(*(helper.end() for helper in helpers)))


async def _started() -> _Helper:
    command = (sys.executable, "-m", "tasks.tryout_process")
    return _Helper(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE))


def _plain(bodies: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): body for name, body in bodies.items()}
