"""Processes that take in orders (`tests.benchmarks.taking`), as seen from outside: what they did, and their memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

#: Seconds between two looks at a process's memory.
LOOK = 0.02


@dataclass(frozen=True)
class Taken:
    """What one stretch of work came to. `seconds` by part; `judge` is a share of `take`, not a part beside it."""

    orders: int
    seconds: dict[str, float]

    @property
    def rate(self) -> float:
        """Orders a second, all parts together."""
        return self.orders / sum(took for part, took in self.seconds.items() if part != "judge")

    @property
    def write_rate(self) -> float:
        """Orders a second that were judged by the row rules, written and committed."""
        return self.orders / self.seconds["take"]


def all_of(stretches: Sequence[Taken]) -> Taken:
    """Several stretches as one."""
    seconds: Counter[str] = Counter()
    for stretch in stretches:
        seconds.update(stretch.seconds)
    return Taken(sum(stretch.orders for stretch in stretches), dict(seconds))


class Taker:
    """One such process, on one database. `peak` is the most bytes it was seen to hold while it worked."""

    def __init__(self, way: str, url: str, privacy_key: str) -> None:
        self.way, self.peak = way, 0
        environment = {**os.environ, "ORDERLOOM_DATABASE_URL": url, "ORDERLOOM_PRIVACY_KEY": privacy_key}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.taking"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._looked_at = psutil.Process(self._process.pid)
        self._answer()

    @property
    def held(self) -> int:
        """Bytes that it holds now (RSS)."""
        return int(self._looked_at.memory_info().rss)

    def take(self, files: Sequence[Path]) -> Taken:
        """Have these files taken in."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"way": self.way, "files": [str(file) for file in files]}) + "\n")
        self._process.stdin.flush()
        done = threading.Event()
        looking = threading.Thread(target=self._look, args=(done,))
        looking.start()
        try:
            said = self._answer()
        finally:
            done.set()
            looking.join()
        return Taken(said["orders"], said["seconds"])

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(30)

    def _look(self, done: threading.Event) -> None:
        while not done.wait(LOOK) and self._process.poll() is None:
            self.peak = max(self.peak, self.held)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process that takes in orders ended with {self._process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said
