"""The standard lane as the stack runs it: a process of its own that talks to a real Prefect server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.house import House
from tests.prefect import RunningServer

#: Seconds until a lane process has started, done what it was waited for, or ended.
PATIENCE = 150.0


@contextmanager
def lane_process(
    home: House, server: RunningServer, log: Path, *, kill_at: str = "", **settings: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A lane in this house while the block lasts; `settings` are those of the lane. What it says goes to `log`."""
    environment = {
        **os.environ,
        **home.environment,
        **server.environment,
        "ORDERLOOM_LANE": json.dumps(settings),
        "ORDERLOOM_KILL_AT": kill_at,
    }
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.lane"], env=environment, stdout=stream, stderr=stream
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)


def wait_until(true: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Look several times a second until it is true; the test fails when it never is."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)
