"""What is written down about a running stack (`stack.json`), so that everybody can find it, and nobody its remains.

The supervisor holds `stack.lock` for as long as it lives; whoever gets the lock and still finds processes in the
record has found what a killed supervisor left behind. A pid counts only with the start time it was written with.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from deployments.kept_secrets import write_privately

SAME_START = 2.0  # seconds two readings of one start time may differ by


class AlreadyRunning(Exception):
    """Another supervisor works in this state directory."""

    def __init__(self, state_dir: Path, pid: int | None) -> None:
        named = f"(进程 {pid})" if pid else ""
        super().__init__(
            f"Orderloom 已在 {state_dir} 中运行{named}。看状态:`orderloom status`;要重新启动,先 `orderloom down`;"
            f"要另起一套,用 --state-dir 指定另一个目录。"
        )
        self.english = (
            f"Orderloom already runs in {state_dir}{f' (process {pid})' if pid else ''}. See `orderloom status`; to "
            f"restart it run `orderloom down` first; for a second one name another directory with --state-dir."
        )


@dataclass
class ChildRecord:
    """One service. `state`: `waiting`, `starting`, `ready`, `done` (a job), `ended` (starts again soon)."""

    state: str = "waiting"
    pid: int | None = None
    started: float | None = None  # the process's start time, epoch seconds
    starts: int = 0
    seconds: float | None = None  # from the stack's start to the first time it was ready
    said: str = ""


@dataclass
class StackRecord:
    """A stack as it was last seen. `mode`: `up` or `demo`."""

    mode: str
    pid: int
    started: float
    ports: dict[str, int]
    children: dict[str, ChildRecord] = field(default_factory=dict)
    problem: str = ""
    ready: bool = False

    @classmethod
    def load(cls, state_dir: Path) -> StackRecord | None:
        """The record in this state directory, or None."""
        try:
            raw = json.loads((state_dir / "stack.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        raw["children"] = {name: ChildRecord(**child) for name, child in raw["children"].items()}
        return cls(**raw)

    def save(self, state_dir: Path) -> None:
        """Replace the file in one step."""
        write_privately(state_dir / "stack.json", json.dumps(asdict(self), indent=2, ensure_ascii=False))

    def supervisor(self) -> psutil.Process | None:
        """The supervisor that wrote this, while it lives."""
        return living(self.pid, self.started)

    def living_children(self) -> dict[str, psutil.Process]:
        """The children that live, by name, in the order they were started in."""
        found = {name: living(child.pid, child.started) for name, child in self.children.items()}
        return {name: process for name, process in found.items() if process is not None}


def living(pid: int | None, started: float | None) -> psutil.Process | None:
    """The process of this pid if it is the very one that started then, and no zombie."""
    if pid is None or started is None:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < SAME_START and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if same else None


@contextmanager
def alone(state_dir: Path) -> Iterator[None]:
    """Be the only one to start or stop a stack here. Raises `AlreadyRunning`."""
    with open(os.open(state_dir / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            record = StackRecord.load(state_dir)
            raise AlreadyRunning(state_dir, record.pid if record else None) from None
        yield
