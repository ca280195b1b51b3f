"""`orderloom channels backfill`: the run is started, followed while it reads, and its proof shown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deployments.book_access import order_book
from deployments.language import in_english, tell
from deployments.prefect_calls import PrefectCalls, Run, calls_of
from models.database import transact, utcnow
from models.intake_page import Backfilled, backfilled
from models.settings import Settings
from models.wording import CHANNEL_WORDS, say

DEPLOYMENT = "backfill-orders/backfill"
LOOK_EVERY = 1.0
#: Seconds after which a run that has not begun is no longer waited for.
MUST_BEGIN_WITHIN = 120.0
#: Without a terminal: a line whenever so many more percent are read.
STEP = 10.0


def backfill_and_wait(config: Settings, since: datetime, until: datetime | None, channels: Sequence[str]) -> int:
    """Start the run and follow it; 0 when all was read and nothing is missing. Raises `PrefectAway`."""
    console, begun = Console(), utcnow()
    wanted = {"since": since.isoformat(), "until": until.isoformat() if until else None, "channels": list(channels)}
    with calls_of(config) as calls:
        run = calls.start_run(DEPLOYMENT, {name: value for name, value in wanted.items() if value})
        console.print(tell("已开始:", "started: ") + f"{calls.url}/runs/flow-run/{run.id}", soft_wrap=True)
        run = _follow(calls, run, console)
    if not run.ended:
        console.print(
            tell(
                "还没有开始:可能前面还有一次补拉,或服务没有在运行(`orderloom status`)。它会排队,结果在 Prefect 界面。",
                "Not begun: another backfill may be first, or the workers are down (`orderloom status`). It is queued.",
            )
        )
        return 1
    console.print(f"{run.state_name}{' · ' + run.message if run.message else ''}", markup=False, highlight=False)
    with order_book(config):
        read = transact(lambda session: backfilled(session, since, begun))
    if read:
        console.print(_table(read))
    if any(one.failed for one in read):
        console.print(tell("有些段没有读完,请再运行一次。", "Some slices were not read to their end: run it again."))
    if any(one.missing for one in read):
        console.print(tell("缺的会自动再拉,也在员工页面 /intake。", "What is missing is pulled again; see /intake."))
    return 0 if run.state == "COMPLETED" and not any(one.failed or one.missing for one in read) else 1


def _follow(calls: PrefectCalls, run: Run, console: Console) -> Run:
    """The run once it is over, or as it is when it has not begun for long. Interrupted, it goes on by itself."""
    give_up, told = time.monotonic() + MUST_BEGIN_WITHIN, -STEP
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task(tell("补拉", "backfill"), total=100.0)
        while not run.ended and (run.state == "RUNNING" or time.monotonic() < give_up):
            time.sleep(LOOK_EVERY)
            run = calls.read_run(run.id)
            percent = calls.progress_of(run.id) or 0.0
            shown.update(task, completed=percent)
            if not console.is_terminal and percent >= told + STEP:
                told = percent
                console.print(tell(f"补拉 {percent:.0f}%", f"backfill {percent:.0f} %"), highlight=False)
    return run


def _table(read: Sequence[Backfilled]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(tell("渠道", "channel"))
    for name in (
        tell("段", "slices"),
        tell("平台计数", "platform"),
        tell("我们有", "ours"),
        tell("缺", "missing"),
        tell("没有读完", "failed"),
    ):
        table.add_column(name, justify="right")
    for one in read:
        name = say(CHANNEL_WORDS, one.channel, "en" if in_english() else "zh")
        table.add_row(name, *map(str, (one.slices, one.told, one.held, one.missing, one.failed)))
    return table
