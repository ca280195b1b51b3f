"""A whole house for tests and benchmarks, without processes: database, sandbox platforms, portal, opening stock.

    with house(server, directory) as home:
        home.place(20)          # paid orders appear on the platforms
        ...                     # run flows or steps in this process; `home.environment` is for child processes

The settings of this process point at the house while it stands.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from integrations.portal.public import make_public
from integrations.sandbox.credentials import settings_for_sandbox
from integrations.sandbox.opening import open_book
from models.database import engine_for, transact, utcnow
from models.privacy import new_key
from models.refund import Refund
from models.settings import settings
from tests.database import TemporaryServer, fresh_database
from tests.sandbox import Sandbox, free_socket, running_sandbox, serving


@dataclass(frozen=True)
class House:
    """A furnished house. `environment` makes a child process live in it."""

    url: str
    sandbox: Sandbox
    environment: dict[str, str]

    def effects(self, platform: str, operation: str) -> dict[str, int]:
        """How often each key took effect on a platform."""
        return self.sandbox.world.effects(platform, operation)

    def refunds(self, refund: Refund) -> int:
        """How often the keeper of the money paid this refund: by our number, or by its own where it has no other."""
        paid = self.effects(refund.keeper, "refund")
        own = set(refund.refund_id.split(","))
        # WeChat shop has a number for each product of a refund: ours with its place behind it
        numbered = [n for n in paid if n in own or n == refund.refund_no or n.startswith(f"{refund.refund_no}-")]
        return max((paid[number] for number in numbered), default=0)


@contextmanager
def house(
    server: TemporaryServer,
    directory: Path,
    *,
    speed: float = 100.0,
    overrides: Mapping[str, Any] | None = None,
    more_channels: bool = False,
) -> Iterator[House]:
    """A furnished house on a fresh database. `overrides` are settings by section, e.g. `{"lane": {...}}`.

    `more_channels`: it sells on Taobao, JD and Pinduoduo too.
    """
    door = free_socket()
    portal_url = f"http://127.0.0.1:{door.getsockname()[1]}"
    with fresh_database(server) as url, running_sandbox(directory, portal_url=portal_url, speed=speed) as sandbox:
        # most tests are about something else than the warehouse's minutes, or the seconds that great-expectations
        # takes in each of hundreds of processes: those that are switch them on
        sections = {
            **settings_for_sandbox(sandbox.port, portal_url, sandbox.credentials, more_channels=more_channels),
            **(overrides or {}),
            "policy": {"stock_check_minutes": 0, "judge_batches": False, **(overrides or {}).get("policy", {})},
        }
        environment = {
            "ORDERLOOM_DATABASE_URL": url,
            "ORDERLOOM_STATE_DIR": str(directory),
            "ORDERLOOM_PRIVACY_KEY": new_key(),
            **{
                f"ORDERLOOM_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
                for name, value in sections.items()
            },
        }
        with living_in(environment), serving(make_public(), door):
            transact(_furnish)
            yield House(url, sandbox, environment)
        engine_for(url).dispose()


@contextmanager
def living_in(environment: Mapping[str, str]) -> Iterator[None]:
    """Let this process read its settings from these variables while the block runs."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    settings.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        settings.cache_clear()


@contextmanager
def with_policy(**changes: Any) -> Iterator[dict[str, str]]:
    """While the block runs, the seller's thresholds are these; the others stay. Yields what child processes need."""
    environment = {"ORDERLOOM_POLICY": json.dumps({**settings().policy.model_dump(), **changes})}
    with living_in(environment):
        yield environment


_houses = itertools.count(1)


def _furnish(session: Session) -> None:
    open_book(session, utcnow())
    # several houses may show their runs on one Prefect server: no two of them number an order alike
    start = next(_houses) * 10_000
    session.connection().execute(text("SELECT setval('order_number_seq', :start)"), {"start": start})
