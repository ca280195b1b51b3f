"""Commands of these tests run on a database of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployments.command import Run, command_on


@pytest.fixture
def orderloom(tmp_path: Path, database_url: str) -> Run:
    """`orderloom …` with its state in `tmp_path`."""
    return command_on(tmp_path, database_url)
