"""Ctrl-C, SIGTERM and a closed terminal ask a running stack to stop; asking again makes it hurry."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import TracebackType

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """While the context lasts, signals set `asked`; a second one calls `again`. Main thread only."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.again: Callable[[], None] = lambda: None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        for number in NUMBERS:
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _heard(self, number: int, frame: object) -> None:
        if self.asked.is_set():
            self.again()
        self.asked.set()
