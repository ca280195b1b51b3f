"""The two kinds of service that the stack has: a program of ours as a child process, and the database server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from deployments.postgres import EmbeddedPostgres, PostgresProblem

REPOSITORY = Path(__file__).resolve().parents[1]
LONGEST_LOG = 20 * 1024 * 1024  # bytes; a longer one is put aside when its program starts
KILLED_WITHIN = 5.0  # seconds from SIGKILL to being gone


def open_log(file: Path) -> int:
    """A descriptor to append to, readable by us alone; a log that has grown long becomes `.1` first."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    if file.exists() and file.stat().st_size > LONGEST_LOG:
        file.replace(file.with_name(file.name + ".1"))
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def last_words(file: Path, lines: int = 6) -> str:
    """The end of a log, or nothing."""
    try:
        with open(file, "rb") as stream:
            stream.seek(max(0, file.stat().st_size - 8192))
            return "\n".join(stream.read().decode(errors="replace").strip().splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def listens(port: int) -> bool:
    """Whether somebody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Program:
    """A child process in a session of its own. With `once` a job: ready when it has ended well.

    `environment` is asked for at each start: the whole environment of the child.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Callable[[], Mapping[str, str]],
        log_file: Path,
        *,
        needs: Sequence[str] = (),
        is_ready: Callable[[], bool] = lambda: True,
        once: bool = False,
        patience: float = 10.0,
    ) -> None:
        self.name, self.log_file = name, log_file
        self.needs: Sequence[str] = tuple(needs)
        self.command, self._environment = list(command), environment
        self.is_ready, self._once, self._patience = is_ready, once, patience
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program; what it says is appended to its log."""
        log = open_log(self.log_file)
        try:
            self._process = subprocess.Popen(
                self.command,
                env=dict(self._environment()),
                cwd=REPOSITORY,  # `-m` looks there first
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)

    def ended(self) -> str | None:
        """Its exit status and last words; None while it runs, and for a job that has succeeded."""
        assert self._process is not None
        status = self._process.poll()
        if status is None or (self._once and status == 0):
            return None
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit {status}"
        words = last_words(self.log_file) if status > 0 else ""
        return f"{how}\n{words}" if words else how

    def ready(self) -> bool:
        """A job: it has succeeded. A program: it answers."""
        if self._once:
            return self._process is not None and self._process.poll() == 0
        return self.is_ready()

    def pids(self) -> list[int]:
        """The child, while it lives."""
        return [self._process.pid] if self._process and self._process.poll() is None else []

    def stop(self, hurry: Callable[[], bool]) -> None:
        """SIGTERM, patience, SIGKILL; then whatever it had started itself."""
        if self._process is None or self._process.poll() is not None:
            return
        children = descendants(self._process.pid)
        self._process.terminate()
        deadline = time.monotonic() + self._patience
        while self._process.poll() is None and time.monotonic() < deadline and not hurry():
            time.sleep(0.05)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(KILLED_WITHIN)
        end_processes(children)


class Database:
    """The built-in PostgreSQL. Its start may have to recover, so it happens in a thread."""

    name = "postgres"
    needs: Sequence[str] = ()

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        self.log_file = postgres.log_dir
        self.problem: PostgresProblem | None = None
        self._starting: threading.Thread | None = None
        self._looked_at = 0.0
        self._alive = False

    def start(self) -> None:
        """Start the server, or adopt the one that a killed supervisor left running."""
        self.problem = None
        self._starting = threading.Thread(target=self._start, name="postgres", daemon=True)
        self._starting.start()

    def _start(self) -> None:
        try:
            self._postgres.start()
            self._looked_at, self._alive = time.monotonic(), True
        except PostgresProblem as problem:
            self.problem = problem
        except Exception as error:  # a lost connection while it comes up; the next try says more
            self.problem = PostgresProblem(str(error), str(error))

    def ended(self) -> str | None:
        """What kept it from starting, or that it is gone. Looked at once a second."""
        if self._starting is not None and self._starting.is_alive():
            return None
        if self.problem is not None:
            return str(self.problem)
        if time.monotonic() - self._looked_at > 1.0:
            self._looked_at, self._alive = time.monotonic(), self._postgres.pid is not None
        return None if self._alive else "the server process is gone"

    def ready(self) -> bool:
        """`start` has seen it accept connections."""
        return self._starting is not None and not self._starting.is_alive() and self.problem is None

    def pids(self) -> list[int]:
        """The postmaster, while it runs."""
        pid = self._postgres.pid
        return [pid] if pid is not None else []

    def stop(self, hurry: Callable[[], bool]) -> None:
        """Fast shutdown, never in a greater hurry: the data are worth the second."""
        if self._starting is not None:
            self._starting.join()
        self._postgres.stop()


def descendants(pid: int) -> list[psutil.Process]:
    """All processes that this one has started, however deep."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def end_processes(processes: Sequence[psutil.Process], patience: float = 2.0) -> None:
    """End these very processes (psutil compares start times): SIGTERM, then SIGKILL."""
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, left = psutil.wait_procs(processes, timeout=patience)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=KILLED_WITHIN)
