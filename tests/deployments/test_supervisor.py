"""The supervisor with small programs: order, restarts, growing delays, a stop that leaves nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments.services import Program, open_log
from deployments.supervisor import FIRST_DELAY, StackFailed, Supervisor

SLEEPS = "import time; time.sleep(60)"


def program(directory: Path, name: str, code: str = SLEEPS, **options: Any) -> Program:
    """A Python program of one line."""
    return Program(name, [sys.executable, "-c", code], lambda: dict(os.environ), directory / f"{name}.log", **options)


@contextmanager
def supervised(*services: Program, stop_order: Sequence[Sequence[str]] = ()) -> Iterator[Supervisor]:
    """A supervisor that works while the block runs."""
    supervisor = Supervisor(services, stop_order)
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.hurry()
        supervisor.stop()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for the condition; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def test_a_service_starts_only_when_what_it_needs_is_ready(tmp_path: Path) -> None:
    door = tmp_path / "open"
    first = program(tmp_path, "first", is_ready=door.exists)
    second = program(tmp_path, "second", needs=["first"])
    with supervised(first, second) as supervisor:
        until(lambda: supervisor.watched["first"].running)
        time.sleep(1.0)
        assert supervisor.watched["second"].starts == 0

        door.touch()
        until(lambda: supervisor.are_ready())

        assert supervisor.watched["second"].starts == 1


def test_a_killed_service_comes_back_and_the_others_live_on(tmp_path: Path) -> None:
    one, other = program(tmp_path, "one"), program(tmp_path, "other", needs=["one"])
    with supervised(one, other) as supervisor:
        until(supervisor.are_ready)
        killed, untouched = one.pids(), other.pids()

        os.kill(killed[0], signal.SIGKILL)
        until(lambda: supervisor.watched["one"].starts == 2 and supervisor.watched["one"].ready)

        assert one.pids() != killed
        assert other.pids() == untouched
        assert supervisor.watched["other"].starts == 1
        assert supervisor.watched["one"].said == "signal SIGKILL"


def test_a_service_that_keeps_ending_is_started_ever_more_rarely(tmp_path: Path) -> None:
    with supervised(program(tmp_path, "broken", "raise SystemExit(3)")) as supervisor:
        broken = supervisor.watched["broken"]
        until(lambda: broken.ends >= 3)

        assert broken.delay == FIRST_DELAY * 2**broken.ends


def test_a_job_is_done_once_and_what_needs_it_starts_afterwards(tmp_path: Path) -> None:
    job = program(tmp_path, "job", "print('done')", once=True)
    after = program(tmp_path, "after", needs=["job"])
    with supervised(job, after) as supervisor:
        until(supervisor.are_ready)
        time.sleep(1.0)

        assert supervisor.watched["job"].starts == 1
        assert job.log_file.read_text() == "done\n"


def test_a_job_that_fails_three_times_is_reported_with_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print('no such table', file=sys.stderr); sys.exit(1)"
    with supervised(program(tmp_path, "migrate", code, once=True)) as supervisor:
        with pytest.raises(StackFailed) as failed:
            until(supervisor.are_ready)

        assert "migrate" in str(failed.value)
        assert "no such table" in str(failed.value)
        assert "orderloom doctor" in failed.value.english


def test_stopping_ends_a_service_together_with_what_it_had_started(tmp_path: Path) -> None:
    spawns = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    parent = program(tmp_path, "parent", spawns + "time.sleep(60)")
    with supervised(parent) as supervisor:
        until(supervisor.are_ready)
        process = psutil.Process(parent.pids()[0])
        until(lambda: len(process.children()) == 1)
        family = [process, *process.children()]

    assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []


def test_groups_are_stopped_one_after_the_other(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    says = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        f"    with open({str(ended)!r}, 'a') as file: file.write(sys.argv[1] + chr(10))\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(60)"
    )
    names = [str(tmp_path / name) for name in ("database", "worker")]
    services = []
    for name in names:
        service = program(tmp_path, Path(name).name, says, is_ready=Path(name).exists)
        service.command.append(name)
        services.append(service)
    supervisor = Supervisor(services, (("worker",), ("database",)))
    supervisor.start()
    until(supervisor.are_ready)

    supervisor.stop()

    assert ended.read_text().splitlines() == [names[1], names[0]]


def test_a_program_that_ignores_the_request_is_killed_after_its_patience(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    deaf = f"import pathlib, signal, time; signal.signal(15, signal.SIG_IGN); pathlib.Path({str(ready)!r}).touch(); "
    service = program(tmp_path, "deaf", deaf + "time.sleep(60)", is_ready=ready.exists, patience=0.5)
    supervisor = Supervisor([service])
    supervisor.start()
    until(supervisor.are_ready)
    process = psutil.Process(service.pids()[0])

    supervisor.stop()

    assert not process.is_running()


def test_a_log_that_has_grown_long_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.services.LONGEST_LOG", 10)
    log = tmp_path / "logs" / "lane.log"
    os.close(open_log(log))
    log.write_text("longer than ten bytes")

    os.close(open_log(log))

    assert log.read_text() == ""
    assert log.with_name("lane.log.1").read_text() == "longer than ten bytes"
    assert log.stat().st_mode & 0o077 == 0
