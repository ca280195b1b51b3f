"""What a person sees of a starting stack and a running demo: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deployments.completeness import ShopProof, proof_table
from deployments.language import in_english, tell
from deployments.summary import Progress
from deployments.supervisor import Watched
from models.wording import STAGE_WORDS, WAITING_WORDS, say

#: Seconds between two plain lines when nothing but numbers changed.
PLAIN_EVERY = 5.0


class View:
    """The live view. Use as a context manager; `show` as often as you like."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, refresh_per_second=4, transient=False) if console.is_terminal else None
        self._said: set[str] = set()
        self._last_line = ""
        self._last_at = 0.0

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.end()

    def show_proof(self, shops: Sequence[ShopProof]) -> None:
        """Whether every order is here, for good: below everything else."""
        self.console.print(proof_table(shops))

    def end(self) -> None:
        """Leave the last picture on the screen; what is printed afterwards comes below it."""
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """One line above the picture."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def show_start(self, watched: Mapping[str, Watched]) -> None:
        """Which services are up."""
        if self._live:
            self._live.update(starting(watched))
            return
        for name, one in watched.items():
            if one.was_ready and name not in self._said:
                self._said.add(name)
                self.say(f"  {name} {one.seconds_to_ready or 0:.1f} s")

    def show(
        self,
        progress: Progress,
        placed: int,
        per_second: float,
        shops: Sequence[ShopProof],
        where: Sequence[tuple[str, str]],
        starting_again: Sequence[str] = (),
    ) -> None:
        """How far the orders are, whether all are here, where to look, and which services are being started again."""
        again = tell("正在重新启动:", "starting again: ") + ", ".join(starting_again) if starting_again else ""
        if self._live:
            table = orders_table(progress, placed, per_second)
            again_line = Text(again, style="yellow")
            self._live.update(Group(table, Text(), proof_table(shops), again_line, where_to_look(where)))
            return
        if again and again not in self._said:
            self._said.add(again)
            self.say(again)
        line = plain_line(progress, placed)
        if line != self._last_line and time.monotonic() - self._last_at > PLAIN_EVERY:
            self._last_line, self._last_at = line, time.monotonic()
            self.say(line)


def starting(watched: Mapping[str, Watched]) -> RenderableType:
    """The services and how long each took."""
    table = Table(title=tell("正在启动", "Starting"), title_justify="left", show_header=False, box=None)
    for name, one in watched.items():
        if one.was_ready:
            table.add_row(Text("✓", style="green"), name, f"{one.seconds_to_ready or 0:.1f} s")
        elif one.ends:
            table.add_row(Text("!", style="red"), name, Text(one.said.splitlines()[0] if one.said else "", style="red"))
        else:
            table.add_row(Text("…"), name, tell("启动中", "starting") if one.running else tell("等待", "waiting"))
    return table


def orders_table(progress: Progress, placed: int, per_second: float) -> RenderableType:
    """Orders per stage, and what those that are not shipped wait for."""
    lang = "en" if in_english() else "zh"
    title = tell(
        f"订单 {progress.ingested}/{placed} · 已发货 {progress.shipped} · 已通知 {progress.notified}"
        f" · {per_second:.1f} 单/秒",
        f"orders {progress.ingested}/{placed} · shipped {progress.shipped} · notified {progress.notified}"
        f" · {per_second:.1f} orders/s",
    )
    table = Table(box=None, padding=(0, 3, 0, 0))
    table.add_column(tell("阶段", "stage"))
    table.add_column("", justify="right")
    table.add_column(tell("未发货的在等", "not shipped, waiting for"))
    table.add_column("", justify="right")
    stages = [(say(STAGE_WORDS, name, lang), str(count)) for name, count in progress.by_stage.items()]
    moving = tell("(处理中)", "(moving)")
    waits = [
        (moving if name == "moving" else say(WAITING_WORDS, name, lang), str(count))
        for name, count in sorted(progress.waiting.items())
    ]
    for number in range(max(len(stages), len(waits), 3)):
        row = [column[number] if number < len(column) else ("", "") for column in (stages, waits)]
        table.add_row(*(text for pair in row for text in pair))
    return Group(Text(title, style="italic"), table)


def where_to_look(where: Sequence[tuple[str, str]]) -> RenderableType:
    """Addresses and accounts."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, text in where:
        table.add_row(Text(name, style="bold"), Text(text))
    return Panel(table, title=tell("去哪里看", "Where to look"), title_align="left")


def plain_line(progress: Progress, placed: int) -> str:
    """The same in one line."""
    lang = "en" if in_english() else "zh"
    stages = " ".join(f"{say(STAGE_WORDS, name, lang)} {count}" for name, count in progress.by_stage.items())
    waits = " ".join(
        f"{say(WAITING_WORDS, name, lang)} {count}"
        for name, count in sorted(progress.waiting.items())
        if name != "moving"
    )
    told = tell(
        f"订单 {progress.ingested}/{placed} 已发货 {progress.shipped} 已通知 {progress.notified}",
        f"orders {progress.ingested}/{placed} shipped {progress.shipped} notified {progress.notified}",
    )
    return " | ".join(part for part in (told, stages, waits) if part)
