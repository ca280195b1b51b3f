"""Workers that may be killed, one forking process for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.kill_worker import KillWorkers, kill_workers


@pytest.fixture(scope="module")
def workers() -> Iterator[KillWorkers]:
    """Workers that may be killed."""
    with kill_workers() as forking:
        yield forking
