"""Keeps the processes of the stack running: each starts when what it needs is ready, and again when it ends.

A process that ends is started again after a growing delay (0.5 to 30 s, reset after a minute of life); the others
live on meanwhile. Processes have sessions of their own, so that Ctrl-C reaches the supervisor alone, and nothing
ties them to its life: what a killed supervisor leaves behind is found again by pid and start time (`stack_record`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

log = logging.getLogger("orderloom.supervisor")

FIRST_DELAY = 0.5  # seconds
LONGEST_DELAY = 30.0
SETTLED_AFTER = 60.0  # a process that lived this long starts again without delay
LOOK_EVERY = 0.25
ASK_EVERY = 0.5  # whether a service is ready
GIVE_UP_AFTER = 3  # ends before a service was ready for the first time


class Service(Protocol):
    """Something that runs, or a job that is done once. Calls come from one thread and must not block for long."""

    name: str
    needs: Sequence[str]
    log_file: Path

    def start(self) -> None:
        """Begin; returns at once."""

    def ended(self) -> str | None:
        """How it ended, or None while it runs (or, for a job, once it has succeeded)."""

    def ready(self) -> bool:
        """Whether what needs it may start."""

    def pids(self) -> list[int]:
        """Its processes, to be remembered for a later clean-up."""

    def stop(self, hurry: Callable[[], bool]) -> None:
        """End it in its own way and wait for that; at once when `hurry()` says so."""


class StackFailed(Exception):
    """A service does not come up. `str()` is Chinese, `english` the same in English."""

    def __init__(self, name: str, reason: str, log_file: Path) -> None:
        super().__init__(
            f"{name} 起不来:{reason}\n日志:{log_file}\n先运行 `orderloom doctor` 看看机器和设置,再启动一次。"
        )
        self.english = (
            f"{name} does not come up: {reason}\nLog: {log_file}\nRun `orderloom doctor` first, then start again."
        )


@dataclass
class Watched:
    """What the supervisor knows of one service. Times are monotonic seconds."""

    service: Service
    running: bool = False
    ready: bool = False
    was_ready: bool = False
    started_at: float = 0.0
    due_at: float = 0.0
    asked_at: float = 0.0  # whether it is ready
    delay: float = FIRST_DELAY
    starts: int = 0
    ends: int = 0
    said: str = ""
    seconds_to_ready: float | None = None  # from the stack's start


@dataclass
class Supervisor:
    """Watches services in a thread of its own. `changed` is called, there, after every start, end and readiness.

    `stop_order`: names that are stopped together, group after group; by default one by one, last given first.
    """

    services: Sequence[Service]
    stop_order: Sequence[Sequence[str]] = ()
    changed: Callable[[Mapping[str, Watched]], None] = lambda _: None
    watched: dict[str, Watched] = field(init=False)

    def __post_init__(self) -> None:
        self.watched = {service.name: Watched(service) for service in self.services}
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._began = 0.0

    def start(self) -> None:
        """Begin to start services; returns at once."""
        self._began = time.monotonic()
        self._thread.start()

    def are_ready(self, names: Sequence[str] | None = None) -> bool:
        """Whether these services (default: all) have been ready once. Raises `StackFailed` when one gives no hope."""
        wanted = [self.watched[name] for name in names or self.watched]
        for one in wanted:
            hopeless = one.ends >= GIVE_UP_AFTER or not self._thread.is_alive()
            if hopeless and not one.was_ready:
                raise StackFailed(one.service.name, one.said, one.service.log_file)
        return all(one.was_ready for one in wanted)

    def stop(self) -> None:
        """Stop everything, group after group. Safe to call again."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        for names in self.stop_order or [[name] for name in reversed(self.watched)]:
            group = [self.watched[name] for name in names if name in self.watched]
            with ThreadPoolExecutor(len(names)) as threads:
                list(threads.map(lambda one: one.service.stop(self._hurry.is_set), group))
            for one in group:
                one.running = one.ready = False
            self.changed(self.watched)

    def hurry(self) -> None:
        """A stop under way waits for nothing any more."""
        self._hurry.set()

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            changed = [self._look(one) for one in self.watched.values()]
            if any(changed):
                self.changed(self.watched)

    def _look(self, one: Watched) -> bool:
        """Move one service on; whether anything changed."""
        now = time.monotonic()
        if not one.running:
            if now < one.due_at or not all(self.watched[name].ready for name in one.service.needs):
                return False
            return self._begin(one, now)
        said = one.service.ended()
        if said is not None:
            return self._note_end(one, said, now)
        if now - one.started_at > SETTLED_AFTER:
            one.delay = FIRST_DELAY
        if one.ready or now < one.asked_at + ASK_EVERY:
            return False
        one.asked_at = now
        if one.service.ready():
            one.ready = one.was_ready = True
            if one.seconds_to_ready is None:
                one.seconds_to_ready = now - self._began
            return True
        return False

    def _begin(self, one: Watched, now: float) -> bool:
        one.started_at, one.running, one.starts = now, True, one.starts + 1
        try:
            one.service.start()
        except OSError as error:
            return self._note_end(one, str(error), now)
        return True

    def _note_end(self, one: Watched, said: str, now: float) -> bool:
        log.warning("%s ended (%s); next start in %.1f s", one.service.name, said.splitlines()[0], one.delay)
        one.running = one.ready = False
        one.ends, one.said = one.ends + 1, said
        one.due_at = now + one.delay
        one.delay = min(one.delay * 2, LONGEST_DELAY)
        return True
