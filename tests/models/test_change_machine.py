"""Changes in any order while lanes work and die: what is sent in the end is what the channel says.

`ORDERLOOM_CHANGE_EXAMPLES` raises the number of runs, and draws them at random.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Connection, create_engine

from models import revision
from tests.database import TemporaryServer, fresh_database
from tests.models.build import open_shop
from tests.models.change_machine import Changes

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("ORDERLOOM_CHANGE_EXAMPLES", "0"))
QUICK = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # shrinking would take minutes
    suppress_health_check=list(HealthCheck),
)
SEEN = settings(QUICK, max_examples=60, derandomize=False)
#: With this seed the machine comes across each mistake soon; with others it does later.
SOON = 3
LONG = settings(QUICK, max_examples=EXAMPLES or 1, derandomize=False, print_blob=True)


@pytest.fixture(scope="module")
def connection(database_server: TemporaryServer) -> Iterator[Connection]:
    """A database of this module's own; every run is undone."""
    with fresh_database(database_server) as url:
        engine = create_engine(url)
        with engine.connect() as opened:
            opened.begin()
            yield opened
        engine.dispose()


def run(connection: Connection, how: settings) -> None:
    """Run the machine."""
    machine: Any = lambda: Changes(connection, open_shop)  # noqa: E731 (hypothesis wants a class, and takes a function)
    if not how.derandomize and not EXAMPLES:
        seed(SOON)(machine)
    run_state_machine_as_test(machine, settings=how)


def test_whatever_changes_when_what_is_sent_is_what_the_channel_says(connection: Connection) -> None:
    run(connection, LONG if EXAMPLES else QUICK)


def _old_waybills_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(revision._Desk, "stale_waybill", lambda self, part: False)


def _nobody_sends_what_is_added(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(revision, "send_by_another", lambda *_: None)


def _promises_are_kept_whole(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(revision, "lessen", lambda *_, **__: None)


@pytest.mark.parametrize(
    ("mistake", "seen"),
    [
        (_old_waybills_stay, "sent to the old address"),
        (_nobody_sends_what_is_added, "lines_not_carried"),
        (_promises_are_kept_whole, "on hand"),
    ],
)
def test_the_machine_sees_rules_that_are_broken_on_purpose(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, mistake: Callable[[pytest.MonkeyPatch], None], seen: str
) -> None:
    mistake(monkeypatch)
    with pytest.raises(AssertionError, match=seen):
        run(connection, SEEN)
