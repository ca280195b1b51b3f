"""One furnished house for all tests of flows: every test places orders of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.database import TemporaryServer
from tests.house import House, house

#: A lane that looks around every second, so that no test waits five.
QUICK = {"lane": {"idle_scan_seconds": 1.0}}


@pytest.fixture(scope="package")
def _house(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(database_server, tmp_path_factory.mktemp("house"), overrides=QUICK) as furnished:
        yield furnished


@pytest.fixture
def home(_house: House) -> Iterator[House]:
    """The house, with platforms that do what they are told."""
    yield _house
    _house.sandbox.world.clear_faults()
